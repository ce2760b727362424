//! The record of one attempt. Nothing in it is secret: handles stand where secrets were sent.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    model::{Timestamp, WorkerId},
    sandbox::{Cost, LogLine, RenderError},
};

/// One try of a delivery: what was rendered, sent, answered, and what it cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// From 1, over the delivery's whole life. Set by the queue when it is settled.
    pub number: u32,
    /// When the worker began.
    pub started: Timestamp,
    /// The worker that made it.
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
    /// Why it was not delivered.
    pub error: Option<AttemptError>,
    /// Why the transformer sent nothing, in its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_reason: Option<String>,
    /// Things that worked but probably are not meant so.
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

/// Why an attempt failed.
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
    /// One sentence for the webhook's owner.
    pub message: String,
    /// Whether trying again can help.
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
    /// The most linear memory it held.
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
    /// All of it.
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
    /// Base64 of anything else.
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
    /// The headers that were sent, in order; in the record of an attempt those of them that fit into
    /// [`RequestRecord::MAX_HEADERS`] bytes.
    pub headers: Vec<(String, String)>,
    /// Number of headers that were left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub headers_left_out: usize,
    /// The body; in the record of an attempt its first [`RequestRecord::MAX_BODY`] bytes.
    #[serde(flatten)]
    pub body: Body,
    /// Whether there was more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// Bytes of the whole body, with `[secret:NAME]` in the places of secrets: how long those are is not told.
    #[serde(default)]
    pub body_bytes: u64,
}

impl RequestRecord {
    /// Bytes of a request's body that an attempt records: every attempt has a record of its own, and one
    /// event can lead to very many.
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
    /// The address that answered; with a proxy the one it connected to, if hookbox chose that. `[redacted]` if a
    /// secret stands in the URL's host or port.
    pub peer: Option<String>,
    /// All headers, in order.
    pub headers: Vec<(String, String)>,
    /// The first part of the body (64 KiB by default).
    #[serde(flatten)]
    pub body: Body,
    /// Whether there was more.
    pub truncated: bool,
}

/// Durations of the parts of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Timings {
    /// From acceptance to the first attempt; zero for later ones, whose waits are planned.
    pub waited_ms: u64,
    /// Waiting for and running in the sandbox.
    pub render_us: u64,
    /// The guard, name resolution included.
    pub guard_us: u64,
    /// From the start of sending to the response's headers, connecting included.
    pub response_us: u64,
    /// Reading the response's body.
    pub body_us: u64,
    /// All of it.
    pub total_us: u64,
}
