//! The context attributes (CE 3.1) of an event.

use std::fmt::Write;

use hookbox_guest::{Event, Failure, Level};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::settings::{Settings, is_cloudevent};

/// One of the types that an attribute may have (CE 2, "Type System"); the others are texts.
pub(crate) enum Attribute {
    Boolean(bool),
    Integer(i32),
    Text(String),
}

impl Attribute {
    /// A text, without the characters that the type String excludes: control characters and noncharacters.
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.chars().filter(|c| is_allowed(*c)).collect())
    }

    /// As JSON 2.2 maps it.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Boolean(value) => (*value).into(),
            Self::Integer(value) => (*value).into(),
            Self::Text(value) => value.as_str().into(),
        }
    }

    /// As HTTP 3.1.3.2 has it: percent-encoded but for printable ASCII other than space, `"` and `%`.
    pub(crate) fn to_header(&self) -> String {
        match self {
            Self::Boolean(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Text(value) => {
                let mut header = String::with_capacity(value.len());
                for byte in value.bytes() {
                    match byte {
                        0x21..=0x7e if byte != b'"' && byte != b'%' => {
                            header.push(char::from(byte));
                        }
                        _ => hex(&mut header, "%", byte),
                    }
                }
                header
            }
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Text(text) if text.is_empty())
    }
}

/// Everything but `datacontenttype`, in the order of the specification.
pub(crate) fn all(event: &Event, settings: &Settings) -> Result<Vec<(String, Attribute)>, Failure> {
    let relayed = is_cloudevent(event);
    let own = |name: &str| relayed.then(|| event.str_at(&format!("/{name}"))).flatten();

    let source = own("source").or(settings.source.as_deref()).ok_or_else(|| {
        Failure::in_settings("settings: `source` is missing: the URI reference that names where the events come from")
    })?;
    let event_type = match own("type") {
        Some(own) => own.to_owned(),
        None if event.object_type().is_empty() => {
            format!("{}{}", settings.type_prefix, event.event_type())
        }
        None => format!(
            "{}{}.{}",
            settings.type_prefix,
            event.object_type(),
            event.event_type()
        ),
    };
    let subject = own("subject").map_or_else(|| event.fill(&settings.subject), str::to_owned);

    let mut attributes = vec![
        ("specversion".to_owned(), Attribute::text("1.0")),
        ("id".to_owned(), Attribute::text(&id(event))),
        ("source".to_owned(), Attribute::text(source)),
        ("type".to_owned(), Attribute::text(&event_type)),
    ];
    // CE 3.1.1: none of these may be empty
    if let Some((name, _)) = attributes.iter().find(|(_, value)| value.is_empty()) {
        return Err(Failure::plugin_error(format!(
            "the event makes no CloudEvent: its `{name}` would be empty"
        )));
    }
    let optional = [
        (
            "dataschema",
            own("dataschema").or(settings.dataschema.as_deref()),
        ),
        ("subject", Some(&*subject)),
        ("time", event.timestamp()),
    ];
    for (name, value) in optional {
        attributes.extend(value.map(|value| (name.to_owned(), Attribute::text(value))));
    }
    for (name, pointer) in &settings.extensions {
        attributes.extend(extension(name, event.at(pointer)).map(|value| (name.clone(), value)));
    }
    // CE 3.1.2 and 3.1.3: these have no value rather than an empty one
    attributes.retain(|(_, value)| !value.is_empty());
    Ok(attributes)
}

/// The event's own id, or else a digest of it: `source` and `id` together name an event (CE 3.1.1), and an attempt
/// that is repeated must not make another one.
fn id(event: &Event) -> String {
    match event.at("/id") {
        Some(Value::String(id)) if !id.is_empty() => id.clone(),
        Some(Value::Number(id)) => id.to_string(),
        _ => {
            let mut id = String::with_capacity(32);
            for byte in Sha256::digest(event.text()).iter().take(16) {
                hex(&mut id, "", *byte);
            }
            id.to_ascii_lowercase()
        }
    }
}

fn extension(name: &str, value: Option<&Value>) -> Option<Attribute> {
    match value? {
        Value::Null => None,
        Value::Bool(value) => Some(Attribute::Boolean(*value)),
        Value::String(value) => Some(Attribute::text(value)),
        Value::Number(number) => {
            let integer = number.as_i64().and_then(|n| i32::try_from(n).ok());
            Some(integer.map_or_else(|| Attribute::text(&number.to_string()), Attribute::Integer))
        }
        Value::Array(_) | Value::Object(_) => {
            hookbox_guest::log(
                Level::Warn,
                &format!(
                    "the extension {name} is left out: a list or an object cannot be an attribute"
                ),
            );
            None
        }
    }
}

fn is_allowed(c: char) -> bool {
    let code = u32::from(c);
    !c.is_control() && !(0xfdd0..=0xfdef).contains(&code) && code & 0xfffe != 0xfffe
}

fn hex(out: &mut String, before: &str, byte: u8) {
    // writing to a String cannot fail
    let _ = write!(out, "{before}{byte:02X}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_lose_what_the_type_string_excludes() {
        let Attribute::Text(text) =
            Attribute::text("a\u{0}b\u{7f}c\u{9f}d\u{fdd0}e\u{fffe}f\u{1ffff}gé😀")
        else {
            panic!("a text");
        };
        assert_eq!(text, "abcdefgé😀");
    }
}
