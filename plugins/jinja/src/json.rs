//! `body_escape: "json"`: where in a JSON text we are, and a value as it has to stand there.
//!
//! A small state machine reads all that has been written so far, literal text and values alike. It
//! knows strings and escapes and nothing more, for nothing more decides how a value is written.

use std::borrow::Cow;

use minijinja::{Error, ErrorKind, Value};

use crate::python::{self, Json, Style, Writer};
use crate::scan::{Class, run};

/// Where the text written so far ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Place {
    /// Between or within tokens, outside any string.
    #[default]
    Outside,
    /// In a string.
    Text,
    /// In a string, directly after a backslash.
    Escape,
    /// In a string, where this many hexadecimal digits of a `\u` escape are due.
    Hex(u8),
}

impl Place {
    /// The place after these bytes, too.
    pub(crate) fn after(self, written: &[u8]) -> Self {
        let (mut place, mut rest) = (self, written);
        loop {
            // What a step could not change is stepped over at once.
            let skip = match place {
                Self::Outside => run(rest, Class::of(b"\"")),
                Self::Text => run(rest, Class::of(b"\"\\")),
                Self::Escape | Self::Hex(_) => 0,
            };
            let Some((&byte, after)) = rest.get(skip..).and_then(<[u8]>::split_first) else {
                return place;
            };
            rest = after;
            place = match (place, byte) {
                (Self::Outside, b'"') => Self::Text,
                (Self::Outside, _) | (Self::Text, b'"') => Self::Outside,
                (Self::Text, b'\\') => Self::Escape,
                (Self::Escape, b'u') => Self::Hex(4),
                (Self::Hex(due @ 2..), _) => Self::Hex(due - 1),
                (Self::Text | Self::Escape | Self::Hex(_), _) => Self::Text,
            };
        }
    }

    /// A value, written so that it stays one value, or a part of the string around it, and its price in
    /// bytes.
    ///
    /// In a string it is `str(value)`, escaped. Outside it is the value as JSON; JSON that a template
    /// marked as safe there (`tojson` does) is left as it is. Either way the place is the same after it.
    ///
    /// # Errors
    /// Where an escape has been begun, for it would swallow the value's first characters; and if the text
    /// gets larger than the limit.
    pub(crate) fn write(self, value: &Value, limit: usize) -> Result<(Cow<'_, str>, usize), Error> {
        match self {
            Self::Outside => match value.as_str() {
                Some(text) if value.is_safe() && is_json(text) => {
                    Ok((text.into(), text.len().saturating_mul(2)))
                }
                _ => {
                    let style = Style::Json(Json {
                        strict: true,
                        ..Json::default()
                    });
                    let mut writer = Writer::new(style, limit);
                    writer.value(value)?;
                    Ok(writer.end())
                }
            },
            Self::Text => {
                let (text, cost) = python::to_str(value, limit)?;
                let mut out = String::with_capacity(text.len());
                crate::literals::push_json_text(&mut out, &text, false);
                Ok((out.into(), cost))
            }
            Self::Escape | Self::Hex(_) => Err(Error::new(
                ErrorKind::InvalidOperation,
                "a value stands directly after an unfinished `\\` escape of a JSON string; \
                 write `\\\\` for a backslash",
            )),
        }
    }
}

/// Whether a text is one whole JSON value: what is marked as safe may also be none.
pub(crate) fn is_json(text: &str) -> bool {
    serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
}
