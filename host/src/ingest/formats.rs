//! From a request to its events: which format it is in, and the bounds of the whole.

use std::fmt;

use http::HeaderMap;
use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::{Value, value::RawValue};
use sha2::{Digest, Sha256};

use super::{
    IngestError, cloudevents, context, encoding,
    event::{self, Identified, Incoming},
    request_idempotency,
};
use crate::{
    config::IngestConfig,
    model::{FieldErrors, TenantId, json},
};

/// Characters of an `Idempotency-Key`.
const MAX_KEY: usize = 255;

/// Errors of one request that are listed; hostile input could hold a million.
const MAX_ERRORS: usize = 100;

/// The events of one `POST /v1/events`.
///
/// `Content-Encoding` is undone first. Then the content type decides: `application/json`, `text/json`, any
/// `+json` (or none) holds one event or an array, `application/x-ndjson`
/// one event a line, `application/cloudevents+json` and `application/cloudevents-batch+json` CloudEvents
/// in structured and batch mode. With any other content type, a `ce-specversion` header makes it a
/// CloudEvent in binary mode (CloudEvents HTTP binding 1.0.2, section 3).
///
/// All events are checked before any is accepted. Errors are reported as `[index].field`: the first 100,
/// and how many more there are.
///
/// The request's size and the number of its events are checked before anything is parsed, an event's size
/// before it is, and one event is parsed at a time: parsed JSON can take a hundred times its text.
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
    let decoded = encoding::decode(headers, body, limits.max_request_bytes)?;
    let content_type = content_type.unwrap_or_default();
    let media_type = content_type
        .split(';')
        .next()
        .map(|t| t.trim().to_ascii_lowercase())
        .unwrap_or_default();
    let format = Format::of(&media_type, headers)?;
    // In binary mode the body may be anything, so a byte-order mark is part of the data.
    let without_bom = |text| match format {
        Format::Binary => text,
        _ => json::without_bom(text),
    };
    let body = without_bom(&*decoded);
    let (parts, is_batch) = match format {
        Format::Json if first_byte(body) == Some(b'[') => (items(body, limits.max_batch)?, true),
        Format::CloudEvents => (items(body, limits.max_batch)?, true),
        Format::Lines => (lines(body, limits.max_batch)?, true),
        Format::Json | Format::CloudEvent | Format::Binary => (vec![body], false),
    };
    let read = |raw| {
        // NDJSON made by joining files can have a byte-order mark at the start of any line.
        let raw: &[u8] = without_bom(raw);
        if raw.len() > limits.max_event_bytes {
            return Err(IngestError::TooLarge {
                what: "the event".to_owned(),
                limit: limits.max_event_bytes,
            });
        }
        let found = match format {
            Format::Binary => cloudevents::from_binary(content_type, &media_type, headers, raw)?,
            Format::Json | Format::Lines => Identified {
                value: parse(raw)?,
                texts: context::members(raw),
                idempotency: None,
            },
            Format::CloudEvent | Format::CloudEvents => {
                let (value, texts) = (parse(raw)?, context::members(raw));
                cloudevents::from_structured(value, texts).map_err(IngestError::Invalid)?
            }
        };
        event::from_value(tenant, found, limits).map_err(IngestError::Invalid)
    };
    let request = idempotency_key.map(|key| (key, fingerprint(format, headers, body)));

    let mut events = Vec::with_capacity(parts.len());
    let mut errors = FieldErrors::default();
    let mut unlisted = 0usize;
    for (index, raw) in parts.into_iter().enumerate() {
        let wrong = match read(raw) {
            Ok(mut incoming) => {
                if let Some((key, fingerprint)) = &request {
                    incoming.idempotency = Some(request_idempotency(key, index, fingerprint));
                }
                events.push(incoming);
                continue;
            }
            Err(error) if !is_batch => return Err(error),
            Err(IngestError::Invalid(wrong)) => wrong,
            Err(error) => FieldErrors::one("", error.to_string()),
        };
        let room = MAX_ERRORS.saturating_sub(errors.0.len());
        unlisted = unlisted.saturating_add(wrong.0.len().saturating_sub(room));
        let wrong = wrong.under(&format!("[{index}]"));
        errors.0.extend(wrong.0.into_iter().take(room));
    }
    if unlisted > 0 {
        errors.add("events", format!("{unlisted} more errors are not listed"));
    }
    errors.into_result(events).map_err(IngestError::Invalid)
}

/// The format of a request's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// One event, or an array.
    Json,
    /// NDJSON.
    Lines,
    /// One CloudEvent in structured mode.
    CloudEvent,
    /// An array of these.
    CloudEvents,
    /// One CloudEvent whose attributes are headers.
    Binary,
}

impl Format {
    fn of(media_type: &str, headers: &HeaderMap) -> Result<Self, IngestError> {
        // In structured mode the attributes may be repeated as headers, so the content type comes first.
        match media_type {
            "application/cloudevents+json" => Ok(Self::CloudEvent),
            "application/cloudevents-batch+json" => Ok(Self::CloudEvents),
            _ if headers.contains_key("ce-specversion") => Ok(Self::Binary),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Self::Lines),
            other if other.is_empty() || is_json_of_events(other) => Ok(Self::Json),
            other => Err(IngestError::UnsupportedMediaType(other.to_owned())),
        }
    }
}

/// Whether this is JSON, and not another event format of CloudEvents that may come to be.
fn is_json_of_events(media_type: &str) -> bool {
    cloudevents::is_json(media_type) && !media_type.starts_with("application/cloudevents")
}

fn first_byte(body: &[u8]) -> Option<u8> {
    body.iter().copied().find(|b| !b.is_ascii_whitespace())
}

fn parse(raw: &[u8]) -> Result<Value, IngestError> {
    if raw.trim_ascii().is_empty() {
        return Err(IngestError::Malformed("the body is empty".to_owned()));
    }
    if raw.starts_with(b"\xFF\xFE") || raw.starts_with(b"\xFE\xFF") {
        return Err(IngestError::Malformed(
            "the text begins like UTF-16; send JSON as UTF-8".to_owned(),
        ));
    }
    json::parse(raw, json::MAX_DEPTH).map_err(|e| IngestError::not_json(&e))
}

fn too_many(most: usize) -> IngestError {
    IngestError::Invalid(FieldErrors::one(
        "events",
        format!(
            "there are more than {most} events, the limit of one request (ingest.max_batch); send them in several requests"
        ),
    ))
}

fn lines(body: &[u8], most: usize) -> Result<Vec<&[u8]>, IngestError> {
    let lines: Vec<_> = body
        .split(|b| *b == b'\n')
        .filter(|line| !line.trim_ascii().is_empty())
        .take(most.saturating_add(1))
        .collect();
    if lines.len() > most {
        return Err(too_many(most));
    }
    Ok(lines)
}

/// The text of each item of an array.
fn items(body: &[u8], most: usize) -> Result<Vec<&[u8]>, IngestError> {
    let mut found = Vec::new();
    let mut json = serde_json::Deserializer::from_slice(body);
    let items = Items {
        found: &mut found,
        most,
    };
    let outcome = items.deserialize(&mut json).and_then(|()| json.end());
    if found.len() > most {
        return Err(too_many(most));
    }
    outcome.map_err(|e| IngestError::not_json(&e))?;
    Ok(found)
}

/// Finds the items of an array without parsing them; gives up once there are more than `most`.
struct Items<'i, 'de> {
    found: &'i mut Vec<&'de [u8]>,
    most: usize,
}

impl<'de> DeserializeSeed<'de> for Items<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<&RawValue>()? {
            self.found.push(item.get().as_bytes());
            if self.found.len() > self.most {
                return Err(A::Error::custom("too many"));
            }
        }
        Ok(())
    }
}

/// The fingerprint that distinguishes requests with the same key: of the body and, in binary mode, of the headers that
/// are part of the event.
fn fingerprint(format: Format, headers: &HeaderMap, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    add(body);
    if format == Format::Binary {
        let mut attributes: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .filter(|(name, _)| name.starts_with("ce-") || *name == "content-type")
            .collect();
        attributes.sort_unstable();
        for (name, value) in attributes {
            add(name.as_bytes());
            add(value);
        }
    }
    hex::encode(hash.finalize())
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
        assert!(matches!(error, IngestError::Malformed(_)));
        assert!(error.to_string().contains("line 2 column 1"), "{error}");
        let error = parse("text/csv", &[], "a,b").expect_err("refused");
        assert!(matches!(error, IngestError::UnsupportedMediaType(_)));
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
    fn attributes_may_be_repeated_as_headers_in_structured_mode() {
        let structured = r#"{"specversion": "1.0", "id": "7", "source": "/nb", "type": "created"}"#;
        let headers = [("ce-specversion", "1.0"), ("ce-id", "7")];
        let event = parse("application/cloudevents+json", &headers, structured)
            .expect("an event")
            .remove(0)
            .event;
        assert_eq!(event.object_type(), "/nb");
    }

    #[test]
    fn events_are_counted_before_any_is_parsed() {
        let most = Config::defaults().ingest.max_batch;
        let (lines, items) = ("1\n".repeat(most), "1,".repeat(most));
        for (content_type, body) in [
            ("application/x-ndjson", format!("{lines}1\n")),
            ("application/json", format!("[{items}1, what is this?")),
            ("application/cloudevents-batch+json", format!("[{items}1]")),
        ] {
            let error = parse(content_type, &[], &body).expect_err("refused");
            let says = format!("more than {most} events");
            assert!(error.to_string().contains(&says), "{content_type}: {error}");
        }
        // The allowed number of events is looked at.
        let error = parse("application/x-ndjson", &[], &lines).expect_err("no objects");
        assert!(error.to_string().contains("[0]: an event must"), "{error}");
    }

    #[test]
    fn errors_are_listed_up_to_a_bound_and_then_counted() {
        let body = r#"{"event": 1, "object_type": 2}"#.to_owned() + "\n";
        let Err(IngestError::Invalid(errors)) =
            parse("application/x-ndjson", &[], &body.repeat(70))
        else {
            panic!("refused")
        };
        assert_eq!(errors.0.len(), MAX_ERRORS + 1);
        let last = errors.0.last().expect("errors");
        assert_eq!(last.message, "40 more errors are not listed");
    }

    #[test]
    fn a_request_key_stands_for_the_request_as_a_whole() {
        let limits = Config::defaults().ingest;
        let parse = |key, body: &str, headers: &[(&'static str, &'static str)]| {
            let headers: HeaderMap = headers
                .iter()
                .map(|(name, value)| {
                    let name = http::HeaderName::from_static(name);
                    (name, http::HeaderValue::from_static(value))
                })
                .collect();
            let events = parse_request(
                None,
                &headers,
                Some(key),
                body.as_bytes(),
                &TenantId::default_tenant(),
                &limits,
            )?;
            let keys = events.into_iter().map(|e| e.idempotency.expect("a key"));
            Ok::<Vec<_>, IngestError>(keys.collect())
        };
        let one = parse("k", r#"[{"event": "a"}, {"event": "b"}]"#, &[]).expect("events");
        assert_eq!((&*one[0].key, &*one[1].key), ("request:k#0", "request:k#1"));
        assert_eq!(one[0].fingerprint, one[1].fingerprint);
        // The first event is the same, and the request is not.
        let other = parse("k", r#"[{"event": "a"}]"#, &[]).expect("events");
        assert_eq!(other[0].key, one[0].key);
        assert_ne!(other[0].fingerprint, one[0].fingerprint);

        let binary = |id| {
            let headers = [
                ("ce-specversion", "1.0"),
                ("ce-id", id),
                ("ce-source", "/nb"),
                ("ce-type", "created"),
            ];
            parse("k", "{}", &headers).expect("an event").remove(0)
        };
        assert_eq!(binary("7"), binary("7"));
        assert_ne!(binary("7").fingerprint, binary("8").fingerprint);
        let error = parse("k\u{7f}", "{}", &[]).expect_err("refused");
        assert!(matches!(error, IngestError::Invalid(_)));
    }
}
