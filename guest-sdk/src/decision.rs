//! What a transformer answers: a request, a reason to send nothing, or a failure.

use std::fmt;

use serde::Serialize;

use crate::Request;

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

/// Why there is no decision, in words for the author of the webhook. The delivery fails and is not tried
/// again, since the same event would fail again.
///
/// Any error becomes a plugin error by `?`. For that it is itself no [`std::error::Error`]:
///
/// ```
/// use hookbox_guest::Failure;
///
/// fn port(text: &str) -> Result<u16, Failure> {
///     if text.is_empty() {
///         return Err(Failure::plugin_error("there is no port"));
///     }
///     Ok(text.parse()?)
/// }
/// assert_eq!(port("x").unwrap_err().message, "invalid digit found in string");
/// ```
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

    /// The webhook's settings do not suit this transformer: a plugin error in the field `settings`.
    pub fn in_settings(message: impl Into<String>) -> Self {
        Self::plugin_error(message).in_field("settings")
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

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::plugin_error(error.to_string())
    }
}

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
