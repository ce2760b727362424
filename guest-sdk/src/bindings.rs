//! The component's side of the world, and the conversions to this crate's own types.
use crate::{Decision, Event, Failure, FailureKind, Level, Webhook};

/// The world `transformer`.
pub mod transformer {
    wit_bindgen::generate!({
        path: "wit",
        world: "transformer",
        pub_export_macro: true,
        runtime_path: "::hookbox_guest::bindings::rt",
        default_bindings_module: "hookbox_guest::bindings::transformer",
    });
}

/// The world `checking-transformer`.
pub mod checking {
    wit_bindgen::generate!({
        path: "wit",
        world: "checking-transformer",
        pub_export_macro: true,
        runtime_path: "::hookbox_guest::bindings::rt",
        default_bindings_module: "hookbox_guest::bindings::checking",
        with: {
            "hookbox:transformer/types@1.0.0": super::transformer::hookbox::transformer::types,
            "hookbox:transformer/host@1.0.0": super::transformer::hookbox::transformer::host,
        },
    });
}

/// What the code of the export macros refers to.
pub use wit_bindgen::rt;

use transformer::hookbox::transformer::{host, types};

/// Runs a transformer's function on what the host handed over.
pub fn transform(
    event: String,
    webhook: &str,
    f: fn(&Event, &Webhook) -> Result<Decision, Failure>,
) -> Result<types::Decision, types::Failure> {
    tell_panics();
    let event = Event::from_text(event);
    Webhook::from_text(webhook)
        .and_then(|webhook| f(&event, &webhook))
        // what was made of an event that could not be read counts for nothing
        .and_then(|decision| event.check().map(|()| decision))
        .map(Into::into)
        .map_err(Into::into)
}

/// Runs a transformer's check on what the host handed over.
pub fn check(webhook: &str, f: fn(&Webhook) -> Result<(), Failure>) -> Result<(), types::Failure> {
    tell_panics();
    Webhook::from_text(webhook)
        .and_then(|webhook| f(&webhook))
        .map_err(Into::into)
}

/// Logs the message and the place of a panic. There is no standard error here, and the host sees only that the
/// component stopped itself.
fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let message = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("without a message");
        match panic.location() {
            Some(at) => {
                let place = format!("{}:{}:{}", at.file(), at.line(), at.column());
                log(Level::Error, &format!("panicked at {place}: {message}"));
            }
            None => log(Level::Error, &format!("panicked: {message}")),
        }
    }));
}

pub(crate) fn log(level: Level, message: &str) {
    let level = match level {
        Level::Debug => host::Level::Debug,
        Level::Info => host::Level::Info,
        Level::Warn => host::Level::Warn,
        Level::Error => host::Level::Error,
    };
    host::log(level, message);
}

pub(crate) fn secret(name: &str) -> Option<String> {
    host::secret(name)
}

impl From<Decision> for types::Decision {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Send(request) => Self::Send(types::Request {
                method: request.method,
                url: request.url,
                headers: request
                    .headers
                    .into_iter()
                    .map(|(name, value)| types::Header { name, value })
                    .collect(),
                body: request.body,
            }),
            Decision::Skip(reason) => Self::Skip(reason),
        }
    }
}

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> Self {
        Self {
            kind: match failure.kind {
                FailureKind::TemplateSyntax => types::FailureKind::TemplateSyntax,
                FailureKind::TemplateRuntime => types::FailureKind::TemplateRuntime,
                FailureKind::OutOfFuel => types::FailureKind::OutOfFuel,
                FailureKind::OutOfMemory => types::FailureKind::OutOfMemory,
                FailureKind::OutputTooLarge => types::FailureKind::OutputTooLarge,
                FailureKind::PluginError => types::FailureKind::PluginError,
            },
            field: failure.field,
            line: failure.line,
            message: failure.message,
        }
    }
}
