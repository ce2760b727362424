//! What a transformer can ask of its host.

use crate::Failure;

/// How loud a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For finding faults.
    Debug,
    /// Worth knowing.
    Info,
    /// Probably not meant.
    Warn,
    /// Went wrong.
    Error,
}

/// Adds a line to the attempt's log, which the owner of the webhook reads. What goes past the host's
/// limit (16 KiB in all by default) is dropped.
pub fn log(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::log(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    crate::testing::log(level, message);
}

/// A handle for the tenant's secret of this name, or none if there is no such secret. The handle is
/// opaque text (ASCII letters, digits and `_`); wherever it stands in the request, the host puts the
/// secret's value after the transformer has ended. The value itself is never seen here.
#[must_use]
pub fn secret(name: &str) -> Option<String> {
    #[cfg(target_arch = "wasm32")]
    return crate::bindings::secret(name);
    #[cfg(not(target_arch = "wasm32"))]
    crate::testing::secret(name)
}

/// [`secret`], for those without which nothing can be sent.
///
/// # Errors
/// A plugin error that names the secret and says what to do.
pub fn required_secret(name: &str) -> Result<String, Failure> {
    secret(name).ok_or_else(|| {
        Failure::plugin_error(format!(
            "there is no secret `{name}`: store one of this name, or let the webhook's settings name another"
        ))
    })
}
