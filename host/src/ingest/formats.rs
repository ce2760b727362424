//! From a request to its events: which format it is in, and the bounds of the whole.

use http::HeaderMap;
use serde_json::{Value, value::RawValue};

use super::{
    IngestError, cloudevents,
    event::{self, Identified, Incoming},
    request_idempotency,
};
use crate::{
    config::IngestConfig,
    model::{FieldErrors, TenantId},
};

/// Characters of an `Idempotency-Key`.
const MAX_KEY: usize = 255;

/// The events of one `POST /v1/events`.
///
/// The content type decides: `application/json` (or none) holds one event or an array, `application/x-ndjson`
/// one event a line, `application/cloudevents+json` and `application/cloudevents-batch+json` CloudEvents
/// in structured and batch mode. A `ce-specversion` header makes it a CloudEvent in binary mode, whatever
/// the content type (CloudEvents HTTP binding 1.0.2, section 3).
///
/// All events are checked before any is accepted, and every error is reported, as `[index].field`.
///
/// # Errors
/// See [`IngestError`].
pub fn parse_request(
    content_type: Option<&str>,
    headers: &HeaderMap,
    idempotency_key: Option<&str>,
    body: &[u8],
    tenant: &TenantId,
    limits: &IngestConfig,
) -> Result<Vec<Incoming>, IngestError> {
    if body.len() > limits.max_request_bytes {
        return Err(IngestError::TooLarge {
            what: "the request".to_owned(),
            limit: limits.max_request_bytes,
        });
    }
    if let Some(key) = idempotency_key
        && (key.is_empty()
            || key.len() > MAX_KEY
            || !key.bytes().all(|b| b.is_ascii_graphic() || b == b' '))
    {
        return Err(IngestError::Invalid(FieldErrors::one(
            "Idempotency-Key",
            format!("must be 1 to {MAX_KEY} printable ASCII characters"),
        )));
    }
    let media_type = content_type
        .and_then(|t| t.split(';').next())
        .map(|t| t.trim().to_ascii_lowercase())
        .unwrap_or_default();
    let (parts, is_batch): (Vec<Part<'_>>, bool) = if headers.contains_key("ce-specversion") {
        let value = cloudevents::from_binary(&media_type, headers, body)?;
        (
            vec![Part {
                raw: body,
                value: Ok(value),
            }],
            false,
        )
    } else {
        match media_type.as_str() {
            "" | "application/json" | "text/json" => split_json(body)?,
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => {
                (split_lines(body), true)
            }
            "application/cloudevents+json" => {
                (vec![Part::parse(body, cloudevents::from_structured)], false)
            }
            "application/cloudevents-batch+json" => {
                (split_array(body, cloudevents::from_structured)?, true)
            }
            other => return Err(IngestError::UnsupportedMediaType(other.to_owned())),
        }
    };
    if !is_batch && body.len() > limits.max_event_bytes {
        return Err(IngestError::TooLarge {
            what: "the event".to_owned(),
            limit: limits.max_event_bytes,
        });
    }
    if parts.len() > limits.max_batch {
        return Err(IngestError::Invalid(FieldErrors::one(
            "",
            format!(
                "{} events in one request; at most {} are allowed",
                parts.len(),
                limits.max_batch
            ),
        )));
    }

    let mut events = Vec::with_capacity(parts.len());
    let mut errors = FieldErrors::default();
    for (index, part) in parts.into_iter().enumerate() {
        let raw = part.raw;
        match part.into_event(tenant, limits) {
            Ok(mut incoming) => {
                if let Some(key) = idempotency_key {
                    incoming.idempotency = Some(request_idempotency(key, index, raw));
                }
                events.push(incoming);
            }
            Err(wrong) if is_batch => {
                errors.0.extend(wrong.0.into_iter().map(|mut e| {
                    let dot = if e.field.is_empty() { "" } else { "." };
                    e.field = format!("[{index}]{dot}{}", e.field);
                    e
                }));
            }
            Err(wrong) => errors.0.extend(wrong.0),
        }
    }
    errors.into_result(events).map_err(IngestError::Invalid)
}

/// One event's bytes and what they parsed to.
struct Part<'a> {
    raw: &'a [u8],
    value: Result<Identified, FieldErrors>,
}

impl<'a> Part<'a> {
    fn parse(raw: &'a [u8], read: impl FnOnce(Value) -> Result<Identified, FieldErrors>) -> Self {
        let value = serde_json::from_slice(raw)
            .map_err(|e| FieldErrors::one("", format!("this is not valid JSON: {e}")))
            .and_then(read);
        Self { raw, value }
    }

    fn into_event(self, tenant: &TenantId, limits: &IngestConfig) -> Result<Incoming, FieldErrors> {
        if self.raw.len() > limits.max_event_bytes {
            return Err(FieldErrors::one("", event::over_limit(limits)));
        }
        event::from_value(tenant, self.value?, limits)
    }
}

/// One object, or an array of them whose elements are kept apart by their own text.
fn split_json(body: &[u8]) -> Result<(Vec<Part<'_>>, bool), IngestError> {
    let first = body.iter().find(|b| !b.is_ascii_whitespace());
    if first == Some(&b'[') {
        return Ok((split_array(body, plain)?, true));
    }
    let value: Value = serde_json::from_slice(body).map_err(|e| malformed(&e))?;
    Ok((
        vec![Part {
            raw: body,
            value: plain(value),
        }],
        false,
    ))
}

fn split_array(
    body: &[u8],
    read: impl Fn(Value) -> Result<Identified, FieldErrors>,
) -> Result<Vec<Part<'_>>, IngestError> {
    let items: Vec<&RawValue> = serde_json::from_slice(body).map_err(|e| malformed(&e))?;
    Ok(items
        .into_iter()
        .map(|raw| Part::parse(raw.get().as_bytes(), &read))
        .collect())
}

fn plain(value: Value) -> Result<Identified, FieldErrors> {
    Ok(value.into())
}

fn split_lines(body: &[u8]) -> Vec<Part<'_>> {
    body.split(|b| *b == b'\n')
        .filter(|line| !line.trim_ascii().is_empty())
        .map(|line| Part::parse(line, plain))
        .collect()
}

pub(super) fn malformed(error: &serde_json::Error) -> IngestError {
    IngestError::Malformed(format!("the body is not valid JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(
        content_type: &str,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> Result<Vec<Incoming>, IngestError> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().expect("a header"));
        }
        let limits = Config::defaults().ingest;
        parse_request(
            Some(content_type),
            &map,
            None,
            body.as_bytes(),
            &TenantId::default_tenant(),
            &limits,
        )
    }

    #[test]
    fn one_an_array_and_lines_are_told_apart() {
        let one = r#"{"event": "created", "object_type": "dcim.site"}"#;
        assert_eq!(
            parse("application/json; charset=utf-8", &[], one).map(|e| e.len()),
            Ok(1)
        );
        assert_eq!(
            parse("application/json", &[], &format!(" [{one}, {one}]")).map(|e| e.len()),
            Ok(2)
        );
        assert_eq!(
            parse("application/x-ndjson", &[], &format!("{one}\n\n{one}\r\n")).map(|e| e.len()),
            Ok(2)
        );
        assert_eq!(parse("application/json", &[], "[]").map(|e| e.len()), Ok(0));
    }

    #[test]
    fn errors_say_which_event_of_a_batch() {
        let Err(IngestError::Invalid(errors)) = parse(
            "application/json",
            &[],
            r#"[{"event": "x"}, {"event": 3}, 4]"#,
        ) else {
            panic!("refused")
        };
        assert_eq!(errors.0[0].field, "[1].event");
        assert_eq!(errors.0[1].field, "[2]");
    }

    #[test]
    fn malformed_json_says_where() {
        let error = parse("application/json", &[], "{\"event\": \n}").expect_err("refused");
        assert_eq!(error.status(), 400);
        assert!(error.to_string().contains("line 2 column 1"), "{error}");
        assert_eq!(
            parse("text/csv", &[], "a,b").expect_err("refused").status(),
            415
        );
    }

    #[test]
    fn cloudevents_come_in_three_modes() {
        let structured = r#"{"specversion": "1.0", "id": "7", "source": "/nb", "type": "created",
            "objecttype": "dcim.site", "time": "2026-03-06T15:11:23Z", "data": {"name": "x"}}"#;
        let one = parse("application/cloudevents+json", &[], structured)
            .expect("an event")
            .remove(0);
        assert_eq!(one.event.event_type(), "object_created");
        assert_eq!(one.event.object_type(), "dcim.site");
        assert_eq!(
            one.idempotency.map(|i| i.key).as_deref(),
            Some("cloudevent:3:/nb7")
        );
        assert!(
            one.event
                .context()
                .contains(r#""timestamp":"2026-03-06T15:11:23Z""#)
        );

        let batch = format!("[{structured},{structured}]");
        assert_eq!(
            parse("application/cloudevents-batch+json", &[], &batch).map(|e| e.len()),
            Ok(2)
        );

        let headers = [
            ("ce-specversion", "1.0"),
            ("ce-id", "7"),
            ("ce-source", "/nb"),
            ("ce-type", "created"),
        ];
        let binary = parse("application/json", &headers, r#"{"name": "Z%C3%BC"}"#)
            .expect("an event")
            .remove(0);
        assert!(
            binary
                .event
                .context()
                .contains(r#""data":{"name":"Z%C3%BC"}"#)
        );
        let text = parse("text/plain", &headers, "hello")
            .expect("an event")
            .remove(0);
        assert!(text.event.context().contains(r#""data":"hello""#));
        assert!(
            parse(
                "application/cloudevents+json",
                &[],
                r#"{"specversion": "0.3"}"#
            )
            .is_err()
        );
    }

    #[test]
    fn a_request_key_covers_each_event_and_its_content() {
        let limits = Config::defaults().ingest;
        let body = br#"[{"event": "a"}, {"event": "b"}]"#;
        let parse = |key| {
            parse_request(
                None,
                &HeaderMap::new(),
                Some(key),
                body,
                &TenantId::default_tenant(),
                &limits,
            )
        };
        let events = parse("k").expect("events");
        let keys: Vec<_> = events
            .iter()
            .map(|e| e.idempotency.clone().expect("a key"))
            .collect();
        assert_eq!(keys[0].key, "request:k#0");
        assert_ne!(keys[0].fingerprint, keys[1].fingerprint);
        assert_eq!(parse("k\u{7f}").expect_err("refused").status(), 422);
    }
}
