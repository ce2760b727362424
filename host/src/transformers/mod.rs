//! From a webhook's `plugin` to a transformer that is ready to run.
//!
//! `resolve` says which component is meant. `cache` has it or loads it; `load::LoadState` says how far that is.
//! `admission` checks an upload, `smoke_test` renders a sample event with it, `store` stores it, and `rollout`
//! watches a new version that gets a share of the deliveries.

mod admission;
mod cache;
mod entries;
mod load;
mod rollout;
mod smoke_test;
mod store;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::Semaphore;

pub use admission::AdmitError;
pub(crate) use load::{LoadError, LoadState};
pub use rollout::Observation;
pub(crate) use rollout::RolloutArm;
pub use smoke_test::{SAMPLE_EVENT, SmokeTest};
pub(crate) use store::{StoreError, Stored, pins};

use self::cache::{Purpose, TransformerCache, Waiting};
use crate::{
    backend::{Backend, BackendError},
    config::{Config, SandboxConfig},
    model::{Arm, DeliveryId, Plugin, TenantId, Timestamp, split_reference},
    sandbox::{ErrorKind, JINJA, RenderError, Sandbox, SandboxError, Transformer},
    tenant::{
        Changes, Snapshot,
        limiter::{Caller, LimiterError, Limits, Permit, TenantLimiter},
    },
};

/// The name of the built-in transformer.
pub const BUILT_IN: &str = "jinja";

/// Checks in the sandbox run one at a time, whichever tenant they are for.
const ONE: Limits = Limits {
    all: 1,
    tenant: 1,
    key: 1,
    tenant_places: usize::MAX,
    key_places: usize::MAX,
};

/// The transformers of all tenants, the built-in one included.
#[derive(Debug)]
pub(crate) struct Transformers {
    config: Arc<Config>,
    backend: Arc<dyn Backend>,
    changes: Arc<Changes>,
    sandbox: Sandbox,
    jinja: Transformer,
    cache: TransformerCache,
    /// Checks of webhooks and smoke tests of plugins. On the render threads they belong to no tenant.
    checks: TenantLimiter,
    /// Uploads that are being admitted.
    admitting: Semaphore,
}

/// The component that a webhook's `plugin` names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    /// The built-in transformer.
    BuiltIn,
    /// A stored version.
    Stored {
        name: String,
        sha256: String,
        rollout: Option<RolloutArm>,
    },
}

/// The transformer that a webhook's render runs, as far as it is loaded.
#[derive(Debug)]
pub(crate) struct Pick {
    name: String,
    /// The side of the rollout on which this render counts, also if the transformer cannot be loaded.
    pub(crate) rollout: Option<RolloutArm>,
    /// Whether it can run.
    pub(crate) state: LoadState<Transformer, Waiting>,
}

impl Pick {
    fn new(name: &str, state: LoadState<Transformer, Waiting>) -> Self {
        Self {
            name: name.to_owned(),
            rollout: None,
            state,
        }
    }

    /// Whether the transformer has to be loaded first, which may take a minute.
    pub(crate) const fn is_loading(&self) -> bool {
        matches!(self.state, LoadState::Loading(_))
    }

    /// Waits until the transformer is loaded, or cannot be. The state is not `Loading` then.
    pub(crate) async fn loaded(mut self) -> Self {
        if let LoadState::Loading(waiting) = self.state {
            let loaded = waiting.loaded().await;
            self.state = loaded.map(|it| it.named(&self.name)).into();
        }
        self
    }
}

impl Transformers {
    /// Sets up the sandbox and loads the built-in transformer, which the first start compiles in a few seconds.
    /// `compiler` is a program whose `main` begins with [`crate::sandbox::serve_as_compiler`]. Blocking.
    ///
    /// # Errors
    /// When the machine cannot host the sandbox.
    pub(crate) fn open(
        config: Arc<Config>,
        backend: Arc<dyn Backend>,
        changes: Arc<Changes>,
        compiler: PathBuf,
    ) -> Result<Self, SandboxError> {
        let sandbox = Sandbox::with_compiler(&config.sandbox, Some(&config.cache_dir()), compiler)?;
        let jinja = sandbox.load_own(BUILT_IN, JINJA)?;
        Ok(Self {
            cache: TransformerCache::new(sandbox.clone(), Arc::clone(&backend), &config),
            config,
            backend,
            changes,
            sandbox,
            jinja,
            checks: TenantLimiter::new(ONE),
            admitting: Semaphore::new(admission::AT_ONCE),
        })
    }

    /// The sandbox in which all transformers run.
    pub(crate) const fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// The built-in transformer.
    pub(crate) const fn built_in(&self) -> &Transformer {
        &self.jinja
    }

    /// A permit for a check in the sandbox: one check at a time, and tenants in turn.
    ///
    /// # Errors
    /// If it does not come within `server.request_timeout_seconds`.
    pub(crate) async fn check_permit(&self, tenant: &TenantId) -> Result<Permit, LimiterError> {
        let patience = Duration::from_secs(self.config.server.request_timeout_seconds);
        self.checks.acquire(&Caller::of(tenant), 1, patience).await
    }

    /// The transformer of a webhook with this `plugin`, for a delivery or a dry run. If it is not in the cache, this
    /// starts to load it.
    ///
    /// # Errors
    /// When the backend fails.
    pub(crate) async fn pick(
        &self,
        snapshot: &Snapshot,
        plugin: Option<&str>,
        delivery: Option<&DeliveryId>,
    ) -> Result<Pick, BackendError> {
        let tenant = snapshot.tenant();
        let mut source = resolve(plugin, delivery, |name| snapshot.plugin(name));
        if source.is_err() {
            // The backend may believe a revision for a moment, and the plugin be younger than that.
            let (name, _) = split_reference(plugin.unwrap_or(BUILT_IN));
            let fresh = self.backend.plugin(tenant, name).await?;
            source = resolve(plugin, delivery, |_| fresh.as_ref());
        }
        let (name, sha256, rollout) = match source {
            Ok(Source::BuiltIn) => {
                return Ok(Pick::new(BUILT_IN, LoadState::Ready(self.jinja.clone())));
            }
            Ok(Source::Stored {
                name,
                sha256,
                rollout,
            }) => (name, sha256, rollout),
            Err(error) => {
                let state = LoadState::Failed(LoadError::Unknown(error));
                return Ok(Pick::new(BUILT_IN, state));
            }
        };
        let purpose = match delivery {
            Some(_) => Purpose::Delivery,
            None => Purpose::DryRun,
        };
        let state = match self.cache.get(tenant, &sha256, purpose) {
            LoadState::Ready(transformer) => LoadState::Ready(transformer.named(&name)),
            other => other,
        };
        Ok(Pick {
            name,
            rollout,
            state,
        })
    }

    /// The loaded transformer of a webhook with this `plugin`, for a dry run or a check. Waits until it is loaded.
    ///
    /// # Errors
    /// When the backend fails. The inner error says why the transformer cannot be had.
    pub(crate) async fn get(
        &self,
        snapshot: &Snapshot,
        plugin: Option<&str>,
    ) -> Result<Result<Transformer, LoadError>, BackendError> {
        match self
            .pick(snapshot, plugin, None)
            .await?
            .loaded()
            .await
            .state
        {
            LoadState::Ready(transformer) => Ok(Ok(transformer)),
            LoadState::Failed(LoadError::Store(error)) => Err(error),
            LoadState::Failed(error) => Ok(Err(error)),
            LoadState::Loading(_) => Ok(Err(LoadError::Machine)),
        }
    }
}

/// The sandbox and the built-in transformer, without plugins or a backend. Blocking.
///
/// # Errors
/// When the machine cannot host the sandbox.
pub fn open_sandbox(
    limits: &SandboxConfig,
    cache: Option<&Path>,
) -> Result<(Sandbox, Transformer), SandboxError> {
    let sandbox = Sandbox::new(limits, cache)?;
    let jinja = sandbox.load(BUILT_IN, JINJA)?;
    Ok((sandbox, jinja))
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
                "{BUILT_IN:?} has no version {other:?} here, only {VERSION:?}; use the name alone for the version that is built in"
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
            rollout: choice.rollout.map(|(started, arm)| RolloutArm {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn source(plugin: &str) -> Result<Source, RenderError> {
        resolve(Some(plugin), None, |_| None)
    }

    #[test]
    fn the_built_in_one_has_its_name_or_its_version_or_none() {
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(resolve(None, None, |_| None), Ok(Source::BuiltIn));
        assert_eq!(source("jinja"), Ok(Source::BuiltIn));
        assert_eq!(source(&format!("jinja@{version}")), Ok(Source::BuiltIn));
        assert!(source("jinja@0.0.1").is_err());
    }

    #[test]
    fn a_missing_plugin_is_an_error_of_the_field() {
        let error = source("nope@aaaaaaaa").unwrap_err();
        assert_eq!(error.field.as_deref(), Some("plugin"));
        assert!(error.message.contains("\"nope\""), "{error}");
    }
}
