//! The result of a render: a request, a decision to skip, or an error; its cost and its log.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The outcome of one run in the sandbox.
#[derive(Clone, Debug)]
pub struct Rendering {
    /// The request, the skip or the error.
    pub output: Output,
    /// Fuel, memory and time.
    pub cost: Cost,
    /// The guest's log, up to the configured number of bytes.
    pub logs: Vec<LogLine>,
}

/// The result of a run.
#[derive(Clone, Debug)]
pub enum Output {
    /// A request, as the guest returned it: not yet validated.
    Request(Rendered),
    /// The guest decided that nothing is sent; the reason.
    Skip(String),
    /// The run ended without a decision.
    Error(RenderError),
}

/// A request as a guest returned it. Its sizes are within the sandbox's limits and nothing else is known
/// of it; `hookbox::request` validates it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Rendered {
    /// The method, as written by the guest.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The headers, in order.
    #[must_use]
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body alone.
    #[must_use]
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }

    /// Makes a request as a guest might return it. Nothing of it is validated.
    pub fn new(
        method: impl Into<String>,
        url: impl Into<String>,
        headers: Vec<(String, String)>,
        body: impl Into<Vec<u8>>,
    ) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers,
            body: body.into(),
        }
    }
}

/// The cost of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cost {
    /// Fuel: deterministic, about one per executed Wasm instruction and one per byte copied in bulk.
    pub fuel: u64,
    /// Maximum linear memory held at once, in bytes.
    pub peak_memory_bytes: u64,
    /// Wall-clock time on the render thread, in microseconds.
    pub elapsed_us: u64,
}

/// One line of a guest's log. The text holds no control characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// The severity.
    pub level: LogLevel,
    /// The text.
    pub message: String,
}

/// The severity of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Details for finding faults.
    Debug,
    /// Information.
    Info,
    /// Probably a mistake.
    Warn,
    /// Went wrong.
    Error,
}

/// The error of a run that ended without a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[error("{message}")]
pub struct RenderError {
    /// The kind of error.
    pub kind: ErrorKind,
    /// The webhook field at fault, where known.
    pub field: Option<String>,
    /// The line in that field, from 1, where known.
    pub line: Option<u32>,
    /// One sentence for the webhook's owner.
    pub message: String,
}

impl RenderError {
    /// An error that concerns no field in particular.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            field: None,
            line: None,
            message: message.into(),
        }
    }

    /// The same error, of this field.
    #[must_use]
    pub fn in_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }
}

/// Kinds of render errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// A template does not parse.
    TemplateSyntax,
    /// A template failed while it ran.
    TemplateRuntime,
    /// The fuel is used up.
    OutOfFuel,
    /// The wall-clock deadline has passed.
    Timeout,
    /// More memory was asked for than is granted.
    OutOfMemory,
    /// The guest crashed.
    Trap,
    /// A body, URL, header or list of headers is over its limit.
    OutputTooLarge,
    /// The output is no valid HTTP request.
    InvalidRequest,
    /// The plugin reported an error of its own, or does not fit the world.
    PluginError,
}

impl ErrorKind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::TemplateSyntax,
        Self::TemplateRuntime,
        Self::OutOfFuel,
        Self::Timeout,
        Self::OutOfMemory,
        Self::Trap,
        Self::OutputTooLarge,
        Self::InvalidRequest,
        Self::PluginError,
    ];

    /// The kind's name in reports and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TemplateSyntax => "template_syntax",
            Self::TemplateRuntime => "template_runtime",
            Self::OutOfFuel => "out_of_fuel",
            Self::Timeout => "timeout",
            Self::OutOfMemory => "out_of_memory",
            Self::Trap => "trap",
            Self::OutputTooLarge => "output_too_large",
            Self::InvalidRequest => "invalid_request",
            Self::PluginError => "plugin_error",
        }
    }

    /// Whether another try may end differently: only the wall clock is not deterministic.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Timeout)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
