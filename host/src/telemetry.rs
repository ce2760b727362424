//! The operator's view of a running hookbox: log lines and metrics. No secret and no payload is in
//! either; metrics carry no tenant label, so their number is bounded.

mod exposition;
mod log;
mod metrics;
mod process;

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

pub use exposition::Exposition;
pub use log::flush;
pub use metrics::{Metrics, Part};

use crate::config::{LogConfig, LogFormat};

/// Starts logging to standard error, panics included. `RUST_LOG` takes the place of the configured filter. Logging
/// never fails or delays anybody: see `telemetry/log.rs`. Call [`flush`] before the process ends.
///
/// # Errors
/// When the filter does not parse, or logging has been started before.
pub fn init(config: &LogConfig) -> Result<(), String> {
    let filter = EnvFilter::try_from_default_env()
        .or_else(|_| EnvFilter::try_new(&config.filter))
        .map_err(|e| format!("log.filter is {:?}: {e}", config.filter))?;
    let writer = log::LogWriter::to_stderr().map_err(|e| format!("cannot log: {e}"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // It would say on standard error that standard error cannot be written to, and panic.
        .log_internal_errors(false)
        // Colours are for terminals; in a file they are noise.
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(writer);
    match config.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    }
    .map_err(|e| e.to_string())?;
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = std::backtrace::Backtrace::capture();
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        match backtrace.status() {
            std::backtrace::BacktraceStatus::Captured => {
                tracing::error!(thread, %backtrace, "a defect: {panic}");
            }
            _ => tracing::error!(thread, "a defect: {panic}"),
        }
    }));
    Ok(())
}
