//! Errors as `application/problem+json` (RFC 9457).
//!
//! Each kind of failure has a `type` of its own, which does not change: `/problems/<slug>`, a URI
//! relative to the server, where the kind is explained. Nothing about the machine, the store or another
//! tenant is ever in a problem; what operators need is logged where it is turned into one.

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    backend::{BackendError, TransitionError, outage},
    engine::{AcceptError, CheckError, DryRunError, NoInput},
    ingest::{ACCEPTED_ENCODINGS, IngestError, cloudevent_of_key},
    model::{FieldError, FieldErrors},
    tenant::limiter::LimiterError,
    transformers::{AdmitError, StoreError},
};

/// `Retry-After` of a full store: making room takes a while.
const STORE_FULL_RETRY: Duration = Duration::from_secs(10);

/// A problem (RFC 9457).
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub(crate) struct ProblemBody {
    /// The kind, as a URI relative to the server. Stable.
    #[serde(rename = "type")]
    #[schema(example = "/problems/validation-failed")]
    pub(crate) kind: String,
    /// The title of the kind.
    pub(crate) title: String,
    /// The HTTP status.
    pub(crate) status: u16,
    /// The cause of this error.
    pub(crate) detail: String,
    /// The errors of fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) errors: Vec<FieldError>,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident $status:literal $slug:literal $title:literal, $help:literal;)+) => {
        /// The kinds of problem.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Kind { $($name,)+ }

        impl Kind {
            pub(super) const ALL: &[Self] = &[$(Self::$name,)+];

            const fn parts(self) -> (u16, &'static str, &'static str, &'static str) {
                match self { $(Self::$name => ($status, $slug, $title, $help),)+ }
            }
        }
    };
}

kinds! {
    MalformedBody 400 "malformed-body" "The body cannot be read",
        "The syntax of the body does not match its content type. The detail says where the error is.";
    InvalidQuery 400 "invalid-query" "The query parameters are not valid",
        "A parameter is unknown, or its value is not valid. A cursor is valid only for the list that returned it.";
    Unauthenticated 401 "unauthenticated" "A valid API key is needed",
        "Send a valid key as `Authorization: Bearer hb_…`. The detail says what is wrong with the one that was sent, as far as it can be seen from it.";
    Forbidden 403 "forbidden" "This API key may not do this",
        "The key's scope does not cover the request. The detail names the scope that does.";
    NotFound 404 "not-found" "Not found",
        "The path does not exist, or the key's tenant has no such object.";
    MethodNotAllowed 405 "method-not-allowed" "Method not allowed",
        "The Allow header lists the methods of this path.";
    Timeout 408 "timeout" "The request was not received in time",
        "The request was not received completely in time (server.request_timeout_seconds). Nothing was stored.";
    Conflict 409 "conflict" "Conflict",
        "A name is taken, an object is still in use, or another request changed it meanwhile. The detail says which.";
    WrongState 409 "wrong-state" "The delivery's state does not allow this",
        "Ended and scheduled deliveries can be requeued; queued and scheduled ones can be cancelled.";
    LimitReached 409 "limit-reached" "Limit reached",
        "Remove something or send less at once, or ask the operator for a higher limit (section limits of the configuration).";
    TooLarge 413 "too-large" "The body is too large",
        "The detail names the limit.";
    UnsupportedMediaType 415 "unsupported-media-type" "Unsupported content type",
        "Send JSON as application/json, and a plugin as application/wasm.";
    UnsupportedEncoding 415 "unsupported-encoding" "Unsupported content encoding",
        "Send the body unencoded, or in one of the encodings that the header Accept-Encoding names.";
    EventMismatch 409 "event-mismatch" "An event with this source and id has other content",
        "A CloudEvent's source and id identify one event, and another event with the same ones was accepted before. Nothing was stored. Give each event an id of its own.";
    ValidationFailed 422 "validation-failed" "The request is not valid",
        "The syntax is valid but the content is not. `errors` lists all errors by field.";
    PluginRefused 422 "plugin-refused" "The plugin was refused",
        "The detail says what is wrong with it, where, and what to do. `hookbox plugin check FILE` says the same, and more, without a server.";
    IdempotencyMismatch 422 "idempotency-mismatch" "The idempotency key was used with other content",
        "A request with the same key had other content. Use a new key for a new request.";
    Contended 503 "contended" "Conflicting changes",
        "Other requests changed the tenant's configuration during every try. Nothing was stored. Retry-After says when to try again.";
    Internal 500 "internal" "Internal error",
        "This is a defect of hookbox. The server's log describes it. It is not known whether anything was stored.";
    Overloaded 503 "overloaded" "The server is at its request limit",
        "The limit of requests under way is reached (server.max_connections). Try again.";
    Busy 503 "busy" "Concurrency limit reached",
        "Each tenant and each of its keys has a share of requests in flight, processors, reads and writes of the store, dry runs and uploads. Other requests of this key or tenant use its share, or too many other requests came first. Nothing was stored. Retry-After says when to try again.";
    Starting 503 "starting" "hookbox is starting",
        "The server does not have its store yet. A first start takes some seconds, as the built-in transformer is compiled. Nothing was stored. Retry-After says when to try again.";
    StoreUnavailable 503 "store-unavailable" "The store is unavailable",
        "Nothing was stored. Retry-After says when to try again.";
    StoreFull 503 "store-full" "The store is full",
        "Nothing was stored. Deliveries that end free room; if that is not enough, the operator has to. Retry-After says when to try again.";
}

impl Kind {
    pub(super) fn status(self) -> StatusCode {
        StatusCode::from_u16(self.parts().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(super) const fn slug(self) -> &'static str {
        self.parts().1
    }

    pub(super) const fn title(self) -> &'static str {
        self.parts().2
    }

    /// The explanation and the remedy, for `GET /problems/<slug>`.
    pub(super) const fn help(self) -> &'static str {
        self.parts().3
    }
}

/// A failed request.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    kind: Kind,
    detail: String,
    errors: Vec<FieldError>,
    retry_after: Option<Duration>,
}

/// The result of a handler.
pub(super) type Answer<T> = Result<T, Problem>;

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
        }
    }

    pub(super) fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// No object of this kind and id.
    pub(super) fn no_such(what: &str, id: &str) -> Self {
        let id: String = id.chars().take(80).collect();
        Self::new(Kind::NotFound, format!("there is no {what} {id:?}"))
    }

    /// A defect or a fault that is not the client's: logged in full, told in general.
    pub(super) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(
            Kind::Internal,
            "the request could not be completed; the server's log says why",
        )
    }
}

impl From<FieldErrors> for Problem {
    fn from(errors: FieldErrors) -> Self {
        let detail = match errors.0.as_slice() {
            [only] if only.field.is_empty() => only.message.clone(),
            [only] => only.to_string(),
            _ => "there are several errors; `errors` lists them".to_owned(),
        };
        Self {
            errors: errors.0,
            ..Self::new(Kind::ValidationFailed, detail)
        }
    }
}

impl From<BackendError> for Problem {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::Unavailable { retry_after, .. } => {
                outage::failed("answer a request", &error);
                Self::new(Kind::StoreUnavailable, "nothing was stored; try again")
                    .after(retry_after)
            }
            BackendError::Full(_) => {
                outage::failed("answer a request", &error);
                Self::new(Kind::StoreFull, "nothing was stored").after(STORE_FULL_RETRY)
            }
            BackendError::Conflict { field, message } => Self {
                errors: vec![FieldError::new(field, message.clone())],
                ..Self::new(Kind::Conflict, message)
            },
            BackendError::RevisionMismatch => Self::new(
                Kind::Contended,
                "other requests keep changing the tenant's configuration; nothing was stored; try again",
            )
            .after(Duration::from_secs(1)),
            BackendError::LimitReached { .. } => Self::new(Kind::LimitReached, error.to_string()),
            BackendError::TooManyBytes { stored, limit } => Self::new(
                Kind::LimitReached,
                format!(
                    "the components stored have {stored} bytes, those counted that are being uploaded or were just \
                     now; with this one there may be {limit} (limits.plugin_bytes): \
                     `hookbox plugin prune NAME --keep 0` removes versions of a plugin that nothing needs, and what an upload that was cut off has left goes within the hour"
                ),
            ),
            BackendError::IdempotencyMismatch { key } => {
                if let Some(names) = cloudevent_of_key(&key) {
                    let detail = format!("an event with {names} was accepted before, with other content");
                    return Self::new(Kind::EventMismatch, detail);
                }
                // The client knows the key alone of `request:<key>#<index>`.
                let key = key
                    .strip_prefix("request:")
                    .and_then(|rest| Some(rest.rsplit_once('#')?.0))
                    .unwrap_or(&key);
                Self::new(
                    Kind::IdempotencyMismatch,
                    format!("the key {key:?} was used before with another request"),
                )
            }
            BackendError::BadCursor => Self::new(Kind::InvalidQuery, error.to_string()),
            other => Self::internal(&other),
        }
    }
}

impl Problem {
    /// The request did not get its permit.
    fn busy(why: &dyn std::fmt::Display) -> Self {
        Self::new(Kind::Busy, why.to_string()).after(Duration::from_secs(1))
    }
}

impl From<AcceptError> for Problem {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::TooManyDeliveries { .. } => {
                Self::new(Kind::LimitReached, error.to_string())
            }
            AcceptError::Busy => Self::busy(&error),
            AcceptError::Backend(error) => error.into(),
        }
    }
}

impl From<LimiterError> for Problem {
    fn from(error: LimiterError) -> Self {
        match error {
            LimiterError::QueueFull | LimiterError::TimedOut => Self::busy(&error),
            LimiterError::Panicked => Self::internal(&error),
        }
    }
}

impl From<CheckError> for Problem {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Invalid(errors) => errors.into(),
            CheckError::Busy(why) => Self::new(Kind::Busy, why).after(Duration::from_secs(10)),
            CheckError::Backend(error) => error.into(),
        }
    }
}

impl From<DryRunError> for Problem {
    fn from(error: DryRunError) -> Self {
        match error {
            DryRunError::Crowded => Self::busy(&error),
            DryRunError::Backend(error) => error.into(),
        }
    }
}

impl From<AdmitError> for Problem {
    fn from(error: AdmitError) -> Self {
        match error {
            AdmitError::Refused(why) => Self::new(Kind::PluginRefused, why),
            AdmitError::Failed(why) => Self::internal(&why),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::First(_) => Self::new(Kind::ValidationFailed, error.to_string()),
            StoreError::LimitReached(why) => Self::new(Kind::LimitReached, why),
            StoreError::Version(error) => error.into(),
            StoreError::Admit(error) => error.into(),
            StoreError::Backend(error) => error.into(),
        }
    }
}

impl From<NoInput> for Problem {
    fn from(error: NoInput) -> Self {
        match error {
            NoInput::Backend(error) => error.into(),
            other => Self::new(Kind::NotFound, other.to_string()),
        }
    }
}

impl From<TransitionError> for Problem {
    fn from(error: TransitionError) -> Self {
        match error {
            TransitionError::NotFound(id) => Self::no_such("delivery", id.as_str()),
            TransitionError::WrongState { .. } => Self::new(Kind::WrongState, error.to_string()),
            TransitionError::Backend(error) => error.into(),
        }
    }
}

impl From<IngestError> for Problem {
    fn from(error: IngestError) -> Self {
        let kind = match error {
            IngestError::Invalid(errors) => return errors.into(),
            IngestError::UnsupportedMediaType(_) => Kind::UnsupportedMediaType,
            IngestError::UnsupportedEncoding(_) => Kind::UnsupportedEncoding,
            IngestError::TooLarge { .. } => Kind::TooLarge,
            IngestError::Malformed(_) => Kind::MalformedBody,
        };
        Self::new(kind, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.kind.status();
        let body = ProblemBody {
            kind: format!("/problems/{}", self.kind.slug()),
            title: self.kind.title().to_owned(),
            status: status.as_u16(),
            detail: self.detail,
            errors: self.errors,
        };
        let json = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (
            status,
            [(header::CONTENT_TYPE, "application/problem+json")],
            json,
        )
            .into_response();
        let headers = response.headers_mut();
        if self.kind == Kind::Unauthenticated {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"hookbox\""),
            );
        }
        if self.kind == Kind::UnsupportedEncoding {
            let accepted = HeaderValue::from_static(ACCEPTED_ENCODINGS);
            headers.insert(header::ACCEPT_ENCODING, accepted);
        }
        if let Some(wait) = self.retry_after {
            let seconds = wait
                .as_secs()
                .saturating_add(u64::from(wait.subsec_nanos() > 0));
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        // The rest of an oversized or slow body is not read, so the connection cannot go on.
        if matches!(self.kind, Kind::TooLarge | Kind::Timeout | Kind::Overloaded) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_kind_has_a_type_of_its_own_and_a_valid_status() {
        let slugs: HashSet<_> = Kind::ALL.iter().map(|k| k.slug()).collect();
        assert_eq!(slugs.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert_eq!(kind.status().as_u16(), kind.parts().0);
        }
    }

    #[test]
    fn what_the_store_said_stays_inside() {
        let secret = "no such table at /var/lib/hookbox/hookbox.db";
        for error in [
            BackendError::Internal(secret.to_owned()),
            BackendError::Corrupt(secret.to_owned()),
            BackendError::Full(secret.to_owned()),
            BackendError::Unavailable {
                reason: secret.to_owned(),
                retry_after: Duration::from_millis(1500),
            },
        ] {
            let problem = Problem::from(error);
            assert!(
                !format!("{problem:?}").contains("hookbox.db"),
                "{problem:?}"
            );
        }
    }

    #[test]
    fn each_ingest_error_has_its_status() {
        for (error, status) in [
            (IngestError::Malformed(String::new()), 400),
            (
                IngestError::TooLarge {
                    what: String::new(),
                    limit: 1,
                },
                413,
            ),
            (IngestError::UnsupportedMediaType(String::new()), 415),
            (IngestError::UnsupportedEncoding(String::new()), 415),
            (IngestError::Invalid(FieldErrors::one("event", "")), 422),
        ] {
            assert_eq!(Problem::from(error).kind.status().as_u16(), status);
        }
    }

    #[test]
    fn a_full_or_unavailable_store_and_a_change_that_lost_every_try_say_when_to_come_back() {
        let unavailable = BackendError::Unavailable {
            reason: String::new(),
            retry_after: Duration::from_millis(1500),
        };
        for (error, seconds) in [
            (BackendError::Full(String::new()), "10"),
            (BackendError::RevisionMismatch, "1"),
            (unavailable, "2"),
        ] {
            let response = Problem::from(error).into_response();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers()[header::RETRY_AFTER], seconds);
        }
    }
}
