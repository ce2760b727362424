//! Turns the answer of a plugin that its author ran outside the sandbox into the result of a run inside.

use serde::Deserialize;

use super::{
    Cost, ErrorKind, LogLine, Output, RenderError, Rendering,
    bindings::{
        Level,
        types::{Failure, FailureKind, Header, Request},
    },
    fault,
    limits::Limits,
    log::Log,
    run::{MAX_REASON, within_limits},
    text::clean_line,
};
use crate::config::SandboxConfig;

/// An answer, in the world's own words. One of `send`, `skip` and `failure` is there.
#[derive(Debug, Deserialize)]
pub struct OutsideAnswer {
    send: Option<Sent>,
    skip: Option<String>,
    failure: Option<Failed>,
    #[serde(default)]
    logs: Vec<Logged>,
}

#[derive(Debug, Deserialize)]
struct Sent {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    #[serde(deserialize_with = "base64_bytes")]
    body: Vec<u8>,
}

#[derive(Debug, Deserialize)]
struct Failed {
    kind: String,
    field: Option<String>,
    line: Option<u32>,
    message: String,
}

#[derive(Debug, Deserialize)]
struct Logged {
    level: String,
    message: String,
}

fn base64_bytes<'de, D: serde::Deserializer<'de>>(text: D) -> Result<Vec<u8>, D::Error> {
    use base64::Engine as _;
    let text = String::deserialize(text)?;
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .map_err(serde::de::Error::custom)
}

impl OutsideAnswer {
    /// The answer as the sandbox would have passed it on: within the limits on output and log, and cleaned. It cost
    /// nothing that could be counted.
    #[must_use]
    pub fn rendering(self, config: &SandboxConfig) -> Rendering {
        let limits = Limits::new(config);
        let output = match (self.send, self.skip, self.failure) {
            (Some(sent), ..) => match within_limits(sent.into(), &limits) {
                Ok(rendered) => Output::Request(rendered),
                Err(error) => Output::Error(error),
            },
            (None, Some(reason), _) => Output::Skip(clean_line(&reason, MAX_REASON)),
            (None, None, Some(failed)) => Output::Error(fault::from_guest(&failed.into())),
            (None, None, None) => Output::Error(RenderError::new(
                ErrorKind::PluginError,
                "the plugin decided nothing",
            )),
        };
        Rendering {
            output,
            cost: Cost::default(),
            logs: cleaned(self.logs, limits.log_bytes),
        }
    }
}

fn cleaned(logs: Vec<Logged>, limit: usize) -> Vec<LogLine> {
    let mut log = Log::new(limit);
    for Logged { level, message } in logs {
        let level = match level.as_str() {
            "debug" => Level::Debug,
            "warn" => Level::Warn,
            "error" => Level::Error,
            _ => Level::Info,
        };
        log.add(level, &message);
    }
    log.finish()
}

impl From<Sent> for Request {
    fn from(sent: Sent) -> Self {
        let headers = sent.headers.into_iter();
        Self {
            method: sent.method,
            url: sent.url,
            headers: headers
                .map(|(name, value)| Header { name, value })
                .collect(),
            body: sent.body,
        }
    }
}

impl From<Failed> for Failure {
    fn from(failed: Failed) -> Self {
        Self {
            kind: match failed.kind.as_str() {
                "template-syntax" => FailureKind::TemplateSyntax,
                "template-runtime" => FailureKind::TemplateRuntime,
                "out-of-fuel" => FailureKind::OutOfFuel,
                "out-of-memory" => FailureKind::OutOfMemory,
                "output-too-large" => FailureKind::OutputTooLarge,
                _ => FailureKind::PluginError,
            },
            field: failed.field,
            line: failed.line,
            message: failed.message,
        }
    }
}
