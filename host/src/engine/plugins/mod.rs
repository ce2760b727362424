//! From a webhook's `plugin` to a transformer that is ready to run.
//!
//! [`resolve`] says which component is meant, [`cache`] has it or gets it, [`rollout`] watches trials, and
//! [`admission`] takes new ones in.

pub(super) mod admission;
mod cache;
mod entries;
mod rollout;
mod smoke_test;

pub use admission::{AdmitError, Taken};
pub use rollout::Observation;
pub(super) use rollout::OnTrial;
pub use smoke_test::{SAMPLE_EVENT, SmokeTest};

use self::cache::{Asker, Lookup};
pub(super) use self::cache::{LoadError, TransformerCache, Waiting};
use super::{BUILT_IN, Engine};
use crate::{
    backend::BackendError,
    model::{Arm, DeliveryId, Plugin, TenantId, Timestamp, split_reference},
    sandbox::{ErrorKind, RenderError, Transformer},
    tenant::Snapshot,
};

/// The component that a webhook's `plugin` names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    /// The built-in transformer.
    BuiltIn,
    /// A stored version.
    Stored {
        name: String,
        sha256: String,
        trial: Option<OnTrial>,
    },
}

/// The transformer that a webhook's render runs.
#[derive(Clone, Debug)]
pub(super) struct Pick {
    pub(super) transformer: Transformer,
    /// The trial in which this attempt counts.
    pub(super) trial: Option<OnTrial>,
}

/// Why there is no transformer.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum NoTransformer {
    /// The webhook's `plugin` means nothing.
    #[error("{0}")]
    Unknown(RenderError),
    /// It means something that cannot be had.
    #[error("{error}")]
    Load {
        error: LoadError,
        /// The trial that this speaks against.
        trial: Option<OnTrial>,
    },
}

/// The trial in which an attempt counts, whatever became of it.
pub(super) fn trial_of(pick: &Result<Pick, NoTransformer>) -> Option<OnTrial> {
    match pick {
        Ok(Pick { trial, .. }) | Err(NoTransformer::Load { trial, .. }) => trial.clone(),
        Err(NoTransformer::Unknown(_)) => None,
    }
}

impl NoTransformer {
    /// In words for the owner of the webhook, and whether trying again may help.
    pub(super) fn tell(self) -> (RenderError, bool) {
        match self {
            Self::Unknown(error) => (error, false),
            Self::Load { error, .. } => {
                let message = error.to_string();
                let told = RenderError::new(ErrorKind::PluginError, message).in_field("plugin");
                (told, error.is_passing())
            }
        }
    }
}

/// A transformer, or what it is waited for with.
pub(super) enum Picking {
    Ready(Result<Pick, NoTransformer>),
    Waiting(Waiting, PickedUp),
}

/// The use of a transformer once it is loaded.
#[derive(Debug)]
pub(super) struct PickedUp {
    name: String,
    trial: Option<OnTrial>,
}

impl PickedUp {
    pub(super) fn pick(
        self,
        loaded: Result<Transformer, LoadError>,
    ) -> Result<Pick, NoTransformer> {
        let Self { name, trial } = self;
        match loaded {
            Ok(transformer) => Ok(Pick {
                transformer: transformer.named(&name),
                trial,
            }),
            Err(error) => Err(NoTransformer::Load { error, trial }),
        }
    }
}

/// Says which component a webhook runs. `find` knows the tenant's plugins.
fn resolve<'p>(
    plugin: Option<&str>,
    delivery: Option<&DeliveryId>,
    find: impl FnOnce(&str) -> Option<&'p Plugin>,
) -> Result<Source, RenderError> {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    let unknown =
        |message: String| Err(RenderError::new(ErrorKind::PluginError, message).in_field("plugin"));
    let (name, version) = split_reference(plugin.unwrap_or(BUILT_IN));
    if name == BUILT_IN {
        return match version {
            None | Some(VERSION) => Ok(Source::BuiltIn),
            Some(other) => unknown(format!(
                "there is no version {other:?} of {BUILT_IN:?} here; it is {VERSION:?}, and the name alone \
                 means whichever version comes with hookbox"
            )),
        };
    }
    let Some(plugin) = find(name) else {
        return unknown(format!(
            "there is no plugin named {name:?}; upload one with `hookbox plugin upload`, or use the built-in \
             {BUILT_IN:?}"
        ));
    };
    match plugin.choose(version, delivery) {
        Ok(choice) => Ok(Source::Stored {
            name: plugin.name.clone(),
            sha256: choice.sha256.to_owned(),
            trial: choice.trial.map(|(started, arm)| OnTrial {
                plugin: plugin.name.clone(),
                started,
                share: plugin.canary.as_ref().map_or(0, |canary| canary.share),
                arm,
            }),
        }),
        Err(error) => unknown(error.to_string()),
    }
}

/// Whether a webhook's `plugin` names something that there is among these plugins.
///
/// # Errors
/// The problem, in words for the owner of the webhook.
pub fn check_reference(plugin: Option<&str>, plugins: &[Plugin]) -> Result<(), RenderError> {
    resolve(plugin, None, |name| plugins.iter().find(|p| p.name == name)).map(|_| ())
}

impl Engine {
    /// The transformer of a webhook with this `plugin`, for a delivery or a dry run. If it is not at hand it
    /// begins to be loaded.
    ///
    /// # Errors
    /// When the backend fails.
    pub(super) async fn pick(
        &self,
        snapshot: &Snapshot,
        plugin: Option<&str>,
        delivery: Option<&DeliveryId>,
    ) -> Result<Picking, BackendError> {
        let tenant = snapshot.tenant();
        let mut source = resolve(plugin, delivery, |name| snapshot.plugin(name));
        if source.is_err() {
            // The backend may believe a revision for a moment, and the plugin be younger than that.
            let (name, _) = split_reference(plugin.unwrap_or(BUILT_IN));
            let fresh = self.backend.plugin(tenant, name).await?;
            source = resolve(plugin, delivery, |_| fresh.as_ref());
        }
        let (name, sha256, trial) = match source {
            Ok(Source::BuiltIn) => {
                return Ok(Picking::Ready(Ok(Pick {
                    transformer: self.jinja.clone(),
                    trial: None,
                })));
            }
            Ok(Source::Stored {
                name,
                sha256,
                trial,
            }) => (name, sha256, trial),
            Err(error) => return Ok(Picking::Ready(Err(NoTransformer::Unknown(error)))),
        };
        let picked = PickedUp { name, trial };
        let asker = match delivery {
            Some(_) => Asker::Delivery,
            None => Asker::DryRun,
        };
        Ok(match self.shelf.get(tenant, &sha256, asker) {
            Lookup::Ready(loaded) => Picking::Ready(picked.pick(loaded)),
            Lookup::Loading(waiting) => Picking::Waiting(waiting, picked),
        })
    }

    /// [`Engine::pick`] for who has the time to wait.
    ///
    /// # Errors
    /// When the backend fails.
    pub(super) async fn pick_and_wait(
        &self,
        snapshot: &Snapshot,
        plugin: Option<&str>,
    ) -> Result<Result<Pick, NoTransformer>, BackendError> {
        Ok(match self.pick(snapshot, plugin, None).await? {
            Picking::Ready(pick) => pick,
            Picking::Waiting(waiting, picked) => match waiting.loaded().await {
                Err(LoadError::Store(error)) => return Err(error),
                loaded => picked.pick(loaded),
            },
        })
    }
}

/// The digest as bytes, if it is one.
fn digest(sha256: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    hex::decode_to_slice(sha256, &mut digest).ok()?;
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(plugin: &str) -> Result<Source, RenderError> {
        resolve(Some(plugin), None, |_| None)
    }

    #[test]
    fn the_built_in_one_is_meant_by_its_name_by_its_version_and_by_nothing() {
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(resolve(None, None, |_| None), Ok(Source::BuiltIn));
        assert_eq!(source("jinja"), Ok(Source::BuiltIn));
        assert_eq!(source(&format!("jinja@{version}")), Ok(Source::BuiltIn));
        assert!(source("jinja@0.0.1").is_err());
    }

    #[test]
    fn what_is_not_there_is_an_error_of_the_field() {
        let error = source("nope@aaaaaaaa").unwrap_err();
        assert_eq!(error.field.as_deref(), Some("plugin"));
        assert!(error.message.contains("\"nope\""), "{error}");
    }
}
