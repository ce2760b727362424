//! Whether a transformer can run, and why not.

use std::time::Duration;

use crate::{
    backend::BackendError,
    sandbox::{ErrorKind, RenderError},
};

/// The state of loading a transformer. `T` is the loaded transformer, `W` the handle with which a caller waits.
#[derive(Debug)]
pub(crate) enum LoadState<T, W> {
    /// It can run.
    Ready(T),
    /// It cannot be loaded now.
    Failed(LoadError),
    /// It is being loaded.
    Loading(W),
}

impl<T, W> From<Result<T, LoadError>> for LoadState<T, W> {
    fn from(loaded: Result<T, LoadError>) -> Self {
        match loaded {
            Ok(loaded) => Self::Ready(loaded),
            Err(error) => Self::Failed(error),
        }
    }
}

/// Why a transformer cannot be had, in words for the owner of a webhook.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The webhook's `plugin` names nothing. Never cached.
    #[error("{0}")]
    Unknown(RenderError),
    /// Admission would refuse it now: the limits have changed since, or the sandbox has.
    #[error("the plugin's version {version} cannot be run any more: {why}")]
    Refused { version: String, why: String },
    /// The store does not have its bytes, or has others.
    #[error(
        "the stored component of the plugin's version {version} is {what}, so it is not run; upload it again \
         under another name, and tell the operator"
    )]
    Damaged { version: String, what: &'static str },
    /// This machine could not load it.
    #[error("the plugin could not be loaded; the worker's log says why")]
    Machine,
    /// Enough callers are waiting.
    #[error(
        "the plugin is being loaded, and too many others wait for it; try again in a few seconds, as deliveries do by themselves"
    )]
    Busy,
    /// The store failed. For the operator.
    #[error("the store failed")]
    Store(#[source] BackendError),
}

impl LoadError {
    /// Whether trying again later can help.
    pub(crate) const fn is_passing(&self) -> bool {
        matches!(self, Self::Machine | Self::Busy | Self::Store(_))
    }

    /// Time for which the cache answers with this error before it tries again.
    pub(crate) const fn remembered(&self) -> Duration {
        Duration::from_secs(match self {
            Self::Refused { .. } | Self::Damaged { .. } => 60,
            Self::Machine => 15,
            Self::Busy => 3,
            Self::Store(_) => 1,
            Self::Unknown(_) => 0,
        })
    }

    /// A label for metrics.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "unknown",
            Self::Refused { .. } => "refused",
            Self::Damaged { .. } => "damaged",
            Self::Machine => "machine",
            Self::Busy => "busy",
            Self::Store(_) => "store",
        }
    }

    /// The error for the owner of the webhook.
    pub(crate) fn into_render_error(self) -> RenderError {
        match self {
            Self::Unknown(error) => error,
            error => RenderError::new(ErrorKind::PluginError, error.to_string()).in_field("plugin"),
        }
    }
}
