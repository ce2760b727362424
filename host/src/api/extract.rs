//! Extractors: the parts of a request that handlers take. Each failure is a problem that names the remedy.

use std::time::{Duration, Instant};

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{HeaderMap, header, request::Parts},
};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{
    Shared,
    problem::{Answer, Kind, Problem},
};
use crate::{
    config::Config,
    model::{FieldError, FieldErrors, json},
    tenant::limiter::Caller,
};

/// Bytes of a JSON body other than events, so that whatever the limits of its parts allow fits in: a
/// webhook's three long texts or a rule's conditions, an event for a dry run, and the short fields. JSON
/// writes a character of a text in up to two bytes for one; only control characters take more.
fn json_limit(config: &Config) -> usize {
    const SHORT_FIELDS: usize = 128 << 10;
    let limits = &config.limits;
    limits
        .template_bytes
        .saturating_mul(3)
        .saturating_add(limits.conditions_bytes)
        .saturating_add(config.sandbox.url_bytes)
        .saturating_mul(2)
        .saturating_add(config.ingest.max_event_bytes)
        .saturating_add(SHORT_FIELDS)
}

/// Bytes of a JSON body that is parsed at once. A larger one takes long for a thread of the runtime, and up to
/// forty times its text in memory, so it waits for the caller's turn.
const SMALL_JSON_BYTES: usize = 16 << 10;

/// Reads a body of at most `limit` bytes within `server.request_timeout_seconds`. What is announced as
/// longer is refused before any of it is read; what turns out longer, as soon as it does.
pub(super) async fn read_body(
    state: &Shared,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Answer<Bytes> {
    let seconds = state.engine.config().server.request_timeout_seconds;
    read_body_within(Pace::within(seconds), headers, body, limit).await
}

/// The minimum pace of a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Maximum time for the whole body.
    most: Duration,
    /// Time that a client may take to begin, and the average rate after that, in bytes a second.
    least: Option<(Duration, u64)>,
}

impl Pace {
    /// Within so many seconds.
    pub(super) const fn within(seconds: u64) -> Self {
        Self {
            most: Duration::from_secs(seconds),
            least: None,
        }
    }

    /// From the second `begin` on at least so many bytes a second.
    pub(super) const fn at_least(self, begin: u64, rate: u64) -> Self {
        Self {
            least: Some((Duration::from_secs(begin), rate)),
            ..self
        }
    }

    /// Time after the start at which the next byte must have come when `received` bytes are there.
    fn next_byte(self, received: usize) -> Duration {
        let by_rate = self.least.map_or(Duration::MAX, |(begin, rate)| {
            let millis = (received as u64).saturating_mul(1000) / rate.max(1);
            begin.saturating_add(Duration::from_millis(millis))
        });
        self.most.min(by_rate)
    }
}

/// [`read_body`] at this pace.
pub(super) async fn read_body_within(
    pace: Pace,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Answer<Bytes> {
    let begun = Instant::now();
    let too_large = || {
        Problem::new(
            Kind::TooLarge,
            format!("the body must have at most {limit} bytes"),
        )
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|n| n > limit) {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(announced.unwrap_or(0).min(64 << 10));
    let mut stream = body.into_data_stream();
    loop {
        let due = pace.next_byte(bytes.len());
        let next = tokio::time::timeout(due.saturating_sub(begun.elapsed()), stream.next());
        let Some(chunk) = next.await.map_err(|_| too_slow(due, pace.most))? else {
            break;
        };
        let chunk = chunk.map_err(|_| Problem::new(Kind::MalformedBody, "the body ended early"))?;
        if bytes.len().saturating_add(chunk.len()) > limit {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.into())
}

fn too_slow(due: Duration, most: Duration) -> Problem {
    let why = if due < most {
        "the body of the request came too slowly".to_owned()
    } else {
        format!(
            "the request was not received within {} seconds",
            most.as_secs()
        )
    };
    Problem::new(Kind::Timeout, why)
}

/// A JSON body of a known shape.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned + Send + 'static> FromRequest<Shared> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Shared) -> Answer<Self> {
        let (parts, body) = request.into_parts();
        require_json(&parts.headers)?;
        let limit = json_limit(state.engine.config());
        let bytes = read_body(state, &parts.headers, body, limit).await?;
        if bytes.len() <= SMALL_JSON_BYTES {
            return from_json(&bytes).map(Self);
        }
        let caller = parts.extensions.get::<Caller>();
        let caller = caller.ok_or_else(|| Problem::internal(&"a body is read without a key"))?;
        let parse = move || from_json(&bytes).map(Self);
        state.engine.compute(caller, parse).await?
    }
}

/// A JSON object whose fields are checked one by one.
pub(super) type JsonObject = Json<Map<String, Value>>;

fn require_json(headers: &HeaderMap) -> Answer<()> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.split(';').next())
        .map(|v| v.trim().to_ascii_lowercase());
    match content_type.as_deref() {
        Some(t) if t == "application/json" || t.ends_with("+json") => Ok(()),
        _ => Err(Problem::new(
            Kind::UnsupportedMediaType,
            "send the body as Content-Type: application/json",
        )),
    }
}

/// Parses JSON into `T`. Wrong syntax is 400 with line and column; a wrong type or an unknown field is
/// 422 with its path.
pub(super) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Answer<T> {
    if bytes.trim_ascii().is_empty() {
        return Err(Problem::new(Kind::MalformedBody, "the body is empty"));
    }
    let bytes = json::without_bom(bytes);
    json::check(bytes, json::MAX_DEPTH).map_err(|error| malformed(&error))?;
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if inner.is_data() {
            wrong_shape(&path, &inner.to_string())
        } else {
            malformed(&inner)
        }
    })?;
    json.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn malformed(error: &serde_json::Error) -> Problem {
    // serde_json's text ends with the line and column.
    Problem::new(
        Kind::MalformedBody,
        format!("this is not valid JSON: {error}"),
    )
}

/// serde's text says `unknown field `x`, expected one of `a`, `b`` and where; the nearest is added.
fn wrong_shape(path: &str, message: &str) -> Problem {
    let message = message
        .rsplit_once(" at line ")
        .map_or(message, |(text, _)| text);
    let mut words = message.split('`').skip(1).step_by(2);
    let mut message: String = match wrong_type(message) {
        Some(text) => text,
        None => message.chars().take(500).collect(),
    };
    if message.starts_with("unknown ")
        && let Some(word) = words.next()
    {
        let known: Vec<&str> = words.collect();
        if let Some(close) = crate::tenant::validate::did_you_mean(word, &known) {
            message.push_str(&format!("; did you mean {close}?"));
        }
    }
    let field = if path == "." { "" } else { path };
    Problem::from(FieldErrors(vec![FieldError::new(
        field.chars().take(200).collect::<String>(),
        message,
    )]))
}

/// serde quotes a value of the wrong type, which may be half of a secret; its type is enough.
fn wrong_type(message: &str) -> Option<String> {
    let (found, expected) = message
        .strip_prefix("invalid type: ")?
        .rsplit_once(", expected ")?;
    let found = found.split(['`', '"']).next()?.trim();
    Some(format!("must be {expected}, not {found}"))
}

/// Query parameters of a known shape.
#[derive(Debug)]
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Shared> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Answer<Self> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(value)| Self(value))
            .map_err(|rejection| {
                let text = rejection.body_text();
                let text = text
                    .strip_prefix("Failed to deserialize query string: ")
                    .unwrap_or(&text);
                Problem::new(
                    Kind::InvalidQuery,
                    text.chars().take(500).collect::<String>(),
                )
            })
    }
}

/// Two parameters of a path.
#[derive(Debug)]
pub(super) struct Ids(pub(super) String, pub(super) String);

impl FromRequestParts<Shared> for Ids {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Answer<Self> {
        Path::from_request_parts(parts, state)
            .await
            .map(|Path((first, second))| Self(first, second))
            .map_err(|_| Problem::new(Kind::NotFound, "there is no such path"))
    }
}

/// The one parameter of a path.
#[derive(Debug)]
pub(super) struct Id(pub(super) String);

impl FromRequestParts<Shared> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Answer<Self> {
        Path::from_request_parts(parts, state)
            .await
            .map(|Path(id)| Self(id))
            .map_err(|_| Problem::new(Kind::NotFound, "there is no such path"))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "only its type matters")]
        status: Option<u32>,
        #[expect(dead_code, reason = "only its type matters")]
        inner: Option<Vec<u32>>,
    }

    fn problem(json: &str) -> String {
        format!("{:?}", from_json::<Outer>(json.as_bytes()).unwrap_err())
    }

    #[test]
    fn a_body_may_be_slow_but_not_stand_still() {
        let pace = Pace::within(120).at_least(10, 64 << 10);
        for (received, seconds) in [(0, 10), (64 << 10, 11), (6 << 20, 106), (32 << 20, 120)] {
            assert_eq!(pace.next_byte(received).as_secs(), seconds, "{received}");
        }
        assert_eq!(Pace::within(30).next_byte(0).as_secs(), 30);
    }

    #[tokio::test]
    async fn a_body_of_which_nothing_comes_is_given_up_and_one_that_keeps_coming_is_not() {
        let pace = Pace {
            most: Duration::from_secs(3600),
            least: Some((Duration::from_millis(50), 1)),
        };
        let silent =
            Body::from_stream(futures_util::stream::pending::<Result<Bytes, Infallible>>());
        let given_up = read_body_within(pace, &HeaderMap::new(), silent, 10).await;
        assert!(format!("{given_up:?}").contains("Timeout"), "{given_up:?}");
        let read = read_body_within(pace, &HeaderMap::new(), Body::from("text"), 4).await;
        assert_eq!(read.unwrap(), "text");
    }

    #[test]
    fn broken_json_says_where() {
        let text = problem("{\n  \"status\": }");
        assert!(
            text.contains("MalformedBody") && text.contains("line 2 column 13"),
            "{text}"
        );
        assert!(problem("{} x").contains("MalformedBody"));
    }

    #[test]
    fn a_wrong_type_says_its_path() {
        let text = problem(r#"{"inner": [1, "two"]}"#);
        assert!(
            text.contains("ValidationFailed") && text.contains("inner[1]"),
            "{text}"
        );
    }

    #[test]
    fn an_unknown_field_is_named_with_the_nearest_known_one() {
        let text = problem(r#"{"statsu": 1}"#);
        assert!(
            text.contains("`statsu`") && text.contains("did you mean status?"),
            "{text}"
        );
    }
}
