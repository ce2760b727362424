//! `body_escape: "json"`: where in a JSON text we are, and a value as it has to stand there.
//!
//! A small state machine reads all that has been written so far, literal text and values alike. It
//! knows strings and escapes and nothing more, for nothing more decides how a value is written.

use std::fmt::Write;

use minijinja::{Error, ErrorKind, Value};

use crate::python::{self, Dumps};

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
        written
            .iter()
            .fold(self, |place, &byte| match (place, byte) {
                (Self::Outside, b'"') => Self::Text,
                (Self::Outside, _) | (Self::Text, b'"') => Self::Outside,
                (Self::Text, b'\\') => Self::Escape,
                (Self::Escape, b'u') => Self::Hex(4),
                (Self::Hex(due @ 2..), _) => Self::Hex(due - 1),
                (Self::Text | Self::Escape | Self::Hex(_), _) => Self::Text,
            })
    }

    /// Writes a value so that it stays one value, or a part of the string around it.
    ///
    /// In a string it is `str(value)`, escaped. Outside it is the value as JSON; what a template marked
    /// as safe there (`tojson` does) is written as it is.
    ///
    /// # Errors
    /// Where an escape has been begun, for it would swallow the value's first characters.
    pub(crate) fn write(self, out: &mut impl Write, value: &Value) -> Result<(), Error> {
        match self {
            Self::Outside => match value.as_str() {
                Some(text) if value.is_safe() => Ok(out.write_str(text)?),
                _ => Dumps {
                    strict: true,
                    ..Dumps::default()
                }
                .write(out, value),
            },
            Self::Text => match value.as_str() {
                Some(text) => Ok(python::write_json_text(out, text, false)?),
                None => {
                    let mut text = String::new();
                    python::write_str(&mut text, value)?;
                    Ok(python::write_json_text(out, &text, false)?)
                }
            },
            Self::Escape | Self::Hex(_) => Err(Error::new(
                ErrorKind::InvalidOperation,
                "a value stands directly after an unfinished `\\` escape of a JSON string; \
                 write `\\\\` for a backslash",
            )),
        }
    }
}
