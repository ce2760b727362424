//! What a transformer answers.

use std::fmt;

use serde::Serialize;

/// What shall happen with the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Send this request.
    Send(Request),
    /// Send nothing, for the reason given; the delivery ends as `skipped`.
    Skip(String),
}

impl Decision {
    /// Send nothing, for this reason.
    pub fn skip(reason: impl Into<String>) -> Self {
        Self::Skip(reason.into())
    }
}

impl From<Request> for Decision {
    fn from(request: Request) -> Self {
        Self::Send(request)
    }
}

/// The request to send. The host adds `host`, `content-length` and the signatures, and refuses what is
/// no valid HTTP request or over its limits (by default a URL of 8 KiB, 100 headers of 8 KiB each and a
/// body of 1 MiB).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// GET, POST, PUT, PATCH or DELETE.
    pub method: String,
    /// An absolute http or https URL.
    pub url: String,
    /// Names and values; of several of one name the last is sent.
    pub headers: Vec<(String, String)>,
    /// Sent as it is.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Adds a header; of several of one name the last is sent.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the body to this JSON value and adds `Content-Type: application/json`.
    #[must_use]
    pub fn json(self, value: &serde_json::Value) -> Self {
        self.header("Content-Type", "application/json")
            .body(value.to_string())
    }
}

/// Why there is no decision, in words for the author of the webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which kind.
    pub kind: FailureKind,
    /// The webhook field at fault, such as `body_template`.
    pub field: Option<String>,
    /// The line in that field, from 1.
    pub line: Option<u32>,
    /// One sentence: what went wrong and, where it can be said, what to do.
    pub message: String,
}

impl Failure {
    /// A failure that concerns no field in particular.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            field: None,
            line: None,
            message: message.into(),
        }
    }

    /// The settings, the event, or anything else did not suit this transformer.
    pub fn plugin_error(message: impl Into<String>) -> Self {
        Self::new(FailureKind::PluginError, message)
    }

    /// The same failure, of this webhook field.
    #[must_use]
    pub fn in_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The same failure, at this line (from 1) of its field.
    #[must_use]
    pub fn at_line(mut self, line: u32) -> Self {
        self.line = Some(line);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The kinds of failure that a transformer can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The user's template does not parse.
    TemplateSyntax,
    /// The user's template failed while it ran.
    TemplateRuntime,
    /// The user's template used up the budget that the transformer itself keeps for it.
    OutOfFuel,
    /// The user's template asked for more memory than the transformer grants it.
    OutOfMemory,
    /// The user's template made more output than the transformer grants it.
    OutputTooLarge,
    /// The settings, the event, or anything else did not suit this transformer.
    PluginError,
}
