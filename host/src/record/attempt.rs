//! The record of one attempt. Nothing in it is secret: handles stand where secrets were sent.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    model::{Timestamp, WorkerId},
    sandbox::{Cost, LogLine, RenderError},
};

/// One attempt of a delivery: the render and its cost, the request, and the response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// Number of the attempt, from 1, over the delivery's whole life. The queue sets it when the attempt is settled.
    pub number: u32,
    /// Time at which the worker began.
    pub started: Timestamp,
    /// The worker that made the attempt.
    pub worker: WorkerId,
    /// The outcome.
    pub outcome: AttemptOutcome,
    /// The render, if the sandbox ran.
    pub render: Option<RenderRecord>,
    /// The request that was sent, or would have been sent. None if the render made no request.
    pub request: Option<RequestRecord>,
    /// The response, if one came.
    pub response: Option<ResponseRecord>,
    /// Durations of the parts.
    pub timings: Timings,
    /// The error because of which it was not delivered.
    pub error: Option<AttemptError>,
    /// The transformer's own reason for sending nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_reason: Option<String>,
    /// Parts that worked but are probably mistakes, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The outcome of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AttemptOutcome {
    /// The receiver answered 2xx.
    Delivered,
    /// The transformer decided to send nothing.
    Skipped,
    /// Anything else; `error` says what.
    Failed,
}

/// The error of a failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttemptError {
    /// A render error's kind, or `blocked`, `dns`, `connect`, `proxy`, `tls`, `timeout`, `protocol`, `status`,
    /// `webhook_missing`, `worker_lost`, `internal`. [`crate::record::FailureKind`] has them all.
    pub kind: String,
    /// The webhook field at fault.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub field: Option<String>,
    /// The line in that field.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub line: Option<u32>,
    /// The error in one sentence for the webhook's owner.
    pub message: String,
    /// Whether another attempt can help.
    pub retryable: bool,
}

impl AttemptError {
    /// An error that concerns no field.
    pub(crate) fn new(kind: &str, message: impl Into<String>, retryable: bool) -> Self {
        Self {
            kind: kind.to_owned(),
            field: None,
            line: None,
            message: message.into(),
            retryable,
        }
    }
}

impl From<RenderError> for AttemptError {
    fn from(error: RenderError) -> Self {
        Self {
            kind: error.kind.as_str().to_owned(),
            field: error.field,
            line: error.line,
            message: error.message,
            retryable: error.kind.is_retryable(),
        }
    }
}

/// One render: the transformer, its cost and its log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RenderRecord {
    /// The transformer, as `name@sha256`.
    pub transformer: String,
    /// Fuel spent: deterministic, about one per executed Wasm instruction.
    pub fuel: u64,
    /// Maximum linear memory held at once, in bytes.
    pub peak_memory_bytes: u64,
    /// Time on the render thread, in microseconds.
    pub elapsed_us: u64,
    /// The transformer's log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogLine>,
    /// The transformer's input besides the event. Absent in records of earlier versions of hookbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub input: Option<RenderInput>,
}

impl From<&RenderRecord> for Cost {
    fn from(render: &RenderRecord) -> Self {
        Self {
            fuel: render.fuel,
            peak_memory_bytes: render.peak_memory_bytes,
            elapsed_us: render.elapsed_us,
        }
    }
}

/// A transformer's input besides the event. The event is stored with the delivery; with both, the render can be
/// repeated exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RenderInput {
    /// The whole attempt, in microseconds.
    Kept {
        /// The webhook as the transformer saw it: the text of a JSON object.
        webhook: String,
        /// The action data that the rule merged under the event's `data`: the text of a JSON object.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        action_data: Option<String>,
        /// The names of the secrets that it asked for.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        secrets: Vec<String>,
    },
    /// So many bytes, which is more than [`RenderInput::MAX_BYTES`]: every attempt has a record of its own.
    LeftOut(u64),
}

impl RenderInput {
    /// The most bytes that are kept, all texts and names together.
    pub const MAX_BYTES: usize = 64 * 1024;

    /// Keeps it, if it is small enough.
    #[must_use]
    pub fn new(webhook: &str, action_data: Option<String>, secrets: Vec<String>) -> Self {
        let names = secrets.iter().map(String::len);
        let bytes = names
            .chain([webhook.len(), action_data.as_ref().map_or(0, String::len)])
            .fold(0_usize, usize::saturating_add);
        if bytes > Self::MAX_BYTES {
            return Self::LeftOut(bytes as u64);
        }
        Self::Kept {
            webhook: webhook.to_owned(),
            action_data,
            secrets,
        }
    }
}

/// A body: text where it is UTF-8, base64 otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// UTF-8 text.
    #[serde(rename = "body")]
    Text(String),
    /// Any other bytes, as base64.
    #[serde(rename = "body_base64")]
    Base64(String),
}

impl Body {
    /// The body of bytes that may have been cut in the middle of a character.
    #[must_use]
    pub fn new_cut(bytes: &[u8]) -> Self {
        let whole = match std::str::from_utf8(bytes) {
            Err(e) if e.error_len().is_none() => bytes.get(..e.valid_up_to()),
            _ => None,
        };
        Self::new(whole.unwrap_or(bytes))
    }

    /// The body of these bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        use base64::{Engine, engine::general_purpose::STANDARD};
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(STANDARD.encode(bytes)),
        }
    }
}

/// The request as recorded: secrets and the credentials hookbox computed are redacted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RequestRecord {
    /// The method.
    pub method: String,
    /// The URL.
    pub url: String,
    /// The headers that were sent, in order. The record of an attempt keeps 32 KiB of them.
    pub headers: Vec<(String, String)>,
    /// Number of headers that were left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub headers_left_out: usize,
    /// The body. The record of an attempt keeps the first 64 KiB.
    #[serde(flatten)]
    pub body: Body,
    /// Whether the body was cut.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// Size of the whole body in bytes, counted with `[secret:NAME]` in place of secrets, so that it does not show
    /// their length.
    #[serde(default)]
    pub body_bytes: u64,
}

impl RequestRecord {
    /// Bytes of a request's body that an attempt records. Every attempt has a record of its own, and one event can have
    /// very many attempts.
    pub const MAX_BODY: usize = 64 * 1024;
    /// Bytes of a request's headers that an attempt records, names and values together.
    pub const MAX_HEADERS: usize = 32 * 1024;
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes fields by reference"
)]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// The response as recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResponseRecord {
    /// The status code.
    pub status: u16,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// The address that answered. With a proxy, the address to which the proxy connected, if hookbox chose it.
    /// `[redacted]` if the URL's host or port holds a secret.
    pub peer: Option<String>,
    /// The headers, in order.
    pub headers: Vec<(String, String)>,
    /// The first part of the body (64 KiB by default).
    #[serde(flatten)]
    pub body: Body,
    /// Whether the body was cut.
    pub truncated: bool,
}

/// Durations of the parts of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Timings {
    /// Wait from acceptance to the first attempt, in milliseconds. 0 for later attempts, whose waits are planned.
    pub waited_ms: u64,
    /// Render, including the wait for a render thread, in microseconds.
    pub render_us: u64,
    /// Check by the guard, including name resolution, in microseconds.
    pub guard_us: u64,
    /// Time from the start of sending to the response's headers, including the connection, in microseconds.
    pub response_us: u64,
    /// Time for reading the response's body, in microseconds.
    pub body_us: u64,
    /// The whole attempt, in microseconds.
    pub total_us: u64,
}
