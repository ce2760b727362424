//! CloudEvents 1.0 as events: `type` is the event, the extension `objecttype` (or else `source`) the
//! object type, `time` the timestamp, `data` the data. All attributes stay visible to templates.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderMap;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::{IngestError, context::Members, event::Identified, formats::malformed};
use crate::model::{FieldErrors, json};

/// Structured mode: the whole event is one JSON object (CloudEvents JSON format 1.0, section 3).
pub(super) fn from_structured<'a>(
    value: Value,
    texts: Members<'a>,
) -> Result<Identified<'a>, FieldErrors> {
    let Value::Object(mut attributes) = value else {
        return Err(FieldErrors::one("", "a CloudEvent is a JSON object"));
    };
    let data = attributes.remove("data").unwrap_or(Value::Null);
    to_event(attributes, data, texts)
}

/// Binary mode: attributes are `ce-` headers, percent-encoded, and the body is the data (CloudEvents HTTP
/// binding 1.0.2, section 3.1).
pub(super) fn from_binary<'a>(
    media_type: &str,
    headers: &HeaderMap,
    body: &'a [u8],
) -> Result<Identified<'a>, IngestError> {
    let mut attributes = Map::new();
    let mut texts = Members::new();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix("ce-") else {
            continue;
        };
        let value = value.to_str().map_err(|_| {
            IngestError::Invalid(FieldErrors::one(
                format!("ce-{name}"),
                "must be printable ASCII",
            ))
        })?;
        let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
        attributes.insert(name.to_owned(), value.into());
    }
    if !media_type.is_empty() {
        attributes.insert("datacontenttype".to_owned(), media_type.into());
    }
    let is_json =
        media_type.is_empty() || media_type == "application/json" || media_type.ends_with("+json");
    let data = if body.is_empty() {
        Value::Null
    } else if is_json {
        let data = json::parse(body, json::MAX_DEPTH).map_err(|e| malformed(&e))?;
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

fn to_event<'a>(
    attributes: Map<String, Value>,
    data: Value,
    mut texts: Members<'a>,
) -> Result<Identified<'a>, FieldErrors> {
    let mut errors = FieldErrors::default();
    if attributes.get("specversion").and_then(Value::as_str) != Some("1.0") {
        errors.add(
            "specversion",
            "must be \"1.0\", the version of CloudEvents that is understood",
        );
    }
    let mut required = |name: &str| match attributes.get(name).and_then(Value::as_str) {
        Some(text) if !text.is_empty() => text.to_owned(),
        _ => {
            errors.add(name, "is required of every CloudEvent, as a string");
            String::new()
        }
    };
    let (id, source, event) = (required("id"), required("source"), required("type"));
    errors.into_result(())?;

    let mut context = Map::new();
    context.insert("event".to_owned(), event.into());
    if let Some(time) = attributes.get("time") {
        context.insert("timestamp".to_owned(), time.clone());
    }
    let object_type = attributes
        .get("objecttype")
        .cloned()
        .unwrap_or_else(|| source.clone().into());
    context.insert("object_type".to_owned(), object_type);
    context.insert("data".to_owned(), data);
    for (name, value) in attributes {
        context.entry(name).or_insert(value);
    }
    // Attributes of these names are not what the context has under them.
    texts.retain(|name, _| !["event", "timestamp", "object_type"].contains(&&**name));
    // CloudEvents 1.0, section 3.1.1: source and id together name an event.
    Ok(Identified {
        value: Value::Object(context),
        texts,
        key: Some(format!("cloudevent:{}:{source}{id}", source.len())),
    })
}
