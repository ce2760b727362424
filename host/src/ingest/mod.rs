//! Stage 1: bytes become an [`Event`].
//!
//! A request is one event, an array of them, NDJSON, or CloudEvents in any of their three modes ([`parse_request`]
//! tells them apart), plain or compressed. The resulting events are bounded in size, number and depth, have a type and
//! an object type as text, and keep all that the sender wrote, in the sender's order. NetBox's default webhook body is
//! a valid event as it is.

mod cloudevents;
mod context;
mod encoding;
mod event;
mod formats;
mod object_type;

pub use cloudevents::named_in as cloudevent_of_key;
pub use encoding::ACCEPTED as ACCEPTED_ENCODINGS;
pub use event::{Event, Incoming, parse_event};
pub use formats::parse_request;
pub use object_type::{PluginModel, is_netbox_app};

use crate::model::{FieldErrors, Idempotency};

/// Why a request was not accepted. The texts are for the sender.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// A content type that holds no events.
    #[error(
        "the content type {0:?} is not supported for events; send application/json, \
         application/x-ndjson, application/cloudevents+json or application/cloudevents-batch+json, or a \
         CloudEvent in binary mode"
    )]
    UnsupportedMediaType(String),
    /// A content encoding that is not understood.
    #[error(
        "the content encoding {0:?} is not supported; send events unencoded or with one of {accepted}",
        accepted = ACCEPTED_ENCODINGS
    )]
    UnsupportedEncoding(String),
    /// Over a size limit.
    #[error("{what} is over the limit of {limit} bytes")]
    TooLarge {
        /// The part that is too large.
        what: String,
        /// The limit.
        limit: usize,
    },
    /// Not the syntax its content type promises.
    #[error("{0}")]
    Malformed(String),
    /// The syntax is right and the content is not.
    #[error("{0}")]
    Invalid(FieldErrors),
}

impl IngestError {
    fn not_json(error: &serde_json::Error) -> Self {
        Self::Malformed(format!("this is not valid JSON: {error}"))
    }
}

/// The idempotency of one event in a request that came with an `Idempotency-Key`. The key counts for the
/// request as a whole: each event has a part of it, and all have the fingerprint of the whole, so that
/// another request under the same key is an error whichever of its events are the same.
fn request_idempotency(key: &str, index: usize, fingerprint: &str) -> Idempotency {
    Idempotency {
        key: format!("request:{key}#{index}"),
        fingerprint: Some(fingerprint.to_owned()),
    }
}
