//! CloudEvents 1.0 as events: `type` is the event, the extension `objecttype` (or else `source`) the
//! object type, `time` the timestamp, `data` the data. All attributes stay visible to templates.
//!
//! `source` and `id` together name an event (CloudEvents 1.0, section 3.1.1). The same event sent again is a
//! duplicate; another one under the same names is an error, as otherwise whoever knows the names of an event to
//! come could have it taken for a duplicate.

mod headers;
mod same;

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderMap;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{
    IngestError,
    context::Members,
    event::{Identified, MAX_EVENT_TYPE, MAX_NAME, text},
};
use crate::model::{FieldErrors, Idempotency, json};

/// The prefix of keys of CloudEvents. Then come the bytes of the source, the source and the id.
const KEY: &str = "cloudevent:";
/// The same for names that are too long for a key; then comes their SHA-256.
const HASHED_KEY: &str = "cloudevent-sha256:";
/// Bytes of source and id together that a key holds as they are.
const MAX_KEY: usize = 512;

/// Attributes whose type the specification sets to text.
const TEXTS: [&str; 4] = ["time", "subject", "datacontenttype", "dataschema"];

/// Structured mode: the whole event is one JSON object (CloudEvents JSON format 1.0, section 3).
pub(super) fn from_structured<'a>(
    value: Value,
    texts: Members<'a>,
) -> Result<Identified<'a>, FieldErrors> {
    let Value::Object(mut attributes) = value else {
        return Err(FieldErrors::one("", "a CloudEvent must be a JSON object"));
    };
    let data = attributes.remove("data").unwrap_or(Value::Null);
    to_event(attributes, data, texts)
}

/// Binary mode: attributes are `ce-` headers and the body is the data (CloudEvents HTTP binding 1.0.2, section
/// 3.1). `content_type` is the header as it came, `media_type` its media type in lower case.
pub(super) fn from_binary<'a>(
    content_type: &str,
    media_type: &str,
    headers: &HeaderMap,
    body: &'a [u8],
) -> Result<Identified<'a>, IngestError> {
    let mut attributes = headers::attributes(headers)?;
    let mut texts = Members::new();
    if !media_type.is_empty() {
        attributes.insert("datacontenttype".to_owned(), content_type.trim().into());
    }
    let data = if body.is_empty() {
        Value::Null
    } else if media_type.is_empty() || is_json(media_type) {
        let body = json::without_bom(body);
        let data = json::parse(body, json::MAX_DEPTH).map_err(|e| IngestError::not_json(&e))?;
        texts.extend(serde_json::from_slice(body).map(|text| (Cow::Borrowed("data"), text)));
        data
    } else {
        match std::str::from_utf8(body) {
            Ok(text) => text.into(),
            Err(_) => {
                attributes.insert("data_base64".to_owned(), STANDARD.encode(body).into());
                Value::Null
            }
        }
    };
    to_event(attributes, data, texts).map_err(IngestError::Invalid)
}

/// Whether data of this media type is JSON (CloudEvents JSON format 1.0.2, section 3.1).
pub(super) fn is_json(media_type: &str) -> bool {
    media_type
        .split_once('/')
        .is_some_and(|(_, subtype)| subtype == "json" || subtype.ends_with("+json"))
}

/// The names of the event that an idempotency key stands for, in words, if it is a CloudEvent's.
pub fn named_in(key: &str) -> Option<String> {
    if key.starts_with(HASHED_KEY) {
        return Some("the id and the source".to_owned());
    }
    let (length, names) = key.strip_prefix(KEY)?.split_once(':')?;
    let (source, id) = names.split_at_checked(length.parse().ok()?)?;
    let shown = |text: &str| text.chars().take(200).collect::<String>();
    Some(format!(
        "the id {:?} of the source {:?}",
        shown(id),
        shown(source)
    ))
}

fn key_of(source: &str, id: &str) -> String {
    let names = format!("{}:{source}{id}", source.len());
    if source.len().saturating_add(id.len()) <= MAX_KEY {
        format!("{KEY}{names}")
    } else {
        format!("{HASHED_KEY}{}", hex::encode(Sha256::digest(names)))
    }
}

fn to_event<'a>(
    mut attributes: Map<String, Value>,
    data: Value,
    mut texts: Members<'a>,
) -> Result<Identified<'a>, FieldErrors> {
    // JSON format 1.0.2, section 2.2: null means that the attribute is not set.
    attributes.retain(|_, value| !value.is_null());
    let mut errors = FieldErrors::default();
    if attributes.get("specversion").and_then(Value::as_str) != Some("1.0") {
        errors.add(
            "specversion",
            "must be \"1.0\", the supported version of CloudEvents",
        );
    }
    for name in TEXTS {
        text(&attributes, name, usize::MAX, &mut errors);
    }
    if !data.is_null() && attributes.contains_key("data_base64") {
        errors.add("data_base64", "must not be given together with data");
    }
    let mut required = |name: &str, most: usize| {
        let before = errors.0.len();
        let found = text(&attributes, name, most, &mut errors).filter(|text| !text.is_empty());
        if found.is_none() && errors.0.len() == before {
            errors.add(name, "is required, as a string");
        }
        found.unwrap_or_default()
    };
    let id = required("id", usize::MAX);
    let source = required("source", usize::MAX);
    let event = required("type", MAX_EVENT_TYPE);
    let object_type = match text(&attributes, "objecttype", MAX_NAME, &mut errors) {
        Some(object_type) if !object_type.is_empty() => object_type,
        _ => {
            if source.chars().count() > MAX_NAME {
                errors.add(
                    "source",
                    format!(
                        "must have at most {MAX_NAME} characters if it is also the object type; give another object type in the attribute objecttype"
                    ),
                );
            }
            source.clone()
        }
    };
    errors.into_result(())?;
    let idempotency = Idempotency {
        key: key_of(&source, &id),
        fingerprint: Some(same::fingerprint(&attributes, &data, &texts)),
    };

    let mut context = Map::new();
    context.insert("event".to_owned(), event.into());
    if let Some(time) = attributes.get("time") {
        context.insert("timestamp".to_owned(), time.clone());
    }
    context.insert("object_type".to_owned(), object_type.into());
    context.insert("data".to_owned(), data);
    for (name, value) in attributes {
        context.entry(name).or_insert(value);
    }
    // Attributes of these names are not what the context has under them.
    texts.retain(|name, _| !["event", "timestamp", "object_type"].contains(&&**name));
    Ok(Identified {
        value: Value::Object(context),
        texts,
        idempotency: Some(idempotency),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_which_event_it_stands_for() {
        let key = key_of("/né", "7:x");
        assert_eq!(key, "cloudevent:4:/né7:x");
        assert_eq!(
            named_in(&key).as_deref(),
            Some("the id \"7:x\" of the source \"/né\"")
        );
        assert_ne!(key_of("ab", "c"), key_of("a", "bc"));
        let long = key_of(&"s".repeat(300), &"i".repeat(300));
        assert!(long.len() < 100, "{long}");
        assert_eq!(named_in(&long).as_deref(), Some("the id and the source"));
        assert_eq!(named_in("event:7:ab"), None);
        assert_eq!(named_in("cloudevent:9:ab"), None);
    }

    #[test]
    fn json_is_known_by_its_subtype() {
        for media_type in ["application/json", "text/json", "application/vnd.x+json"] {
            assert!(is_json(media_type), "{media_type}");
        }
        for media_type in ["", "json", "text/plain", "application/jsonl", "+json"] {
            assert!(!is_json(media_type), "{media_type}");
        }
    }
}
