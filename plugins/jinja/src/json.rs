//! `body_escape: "json"`: where in a JSON text we are, and a value as it has to stand there.
//!
//! A small state machine reads all that has been written so far, literal text and values alike. It
//! knows strings and escapes and nothing more, for nothing more decides how a value is written.

use std::{borrow::Cow, cell::RefCell, collections::HashMap};

use minijinja::{Error, ErrorKind, Value};

use crate::scan::{Class, run};
use crate::values::like;
use crate::writer::{self, Json, Style, Writer};

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
    /// In a string it is `str(value)`, escaped. Outside it is the value as JSON; there JSON that the template's
    /// author [vouched](vouch) for is left as it is. Either way the place is the same after it.
    ///
    /// # Errors
    /// Where an escape has been begun, for it would swallow the value's first characters; and if the text
    /// gets larger than the limit.
    pub(crate) fn write(self, value: &Value, limit: usize) -> Result<(Cow<'_, str>, usize), Error> {
        match self {
            Self::Outside => match value.as_str() {
                Some(text) if is_vouched(value) && is_json(text) => {
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
                let (text, cost) = writer::to_str(value, limit)?;
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

thread_local! {
    /// While a JSON body is rendered, the texts that its author vouched for, by where they are in memory. They are
    /// held, so that no other text comes to be there.
    static VOUCHED: RefCell<Option<HashMap<usize, Value>>> = const { RefCell::new(None) };
}

/// Renders a template, of a JSON body or another.
pub(crate) fn rendering<R>(json: bool, render: impl FnOnce() -> R) -> R {
    VOUCHED.set(json.then(HashMap::new));
    let result = render();
    VOUCHED.set(None);
    result
}

/// A safe text, which in a JSON body may stand as JSON if it is: what `tojson` made, and what the author called
/// `safe`. That a text is marked as safe says less. It means that it is HTML, as all that is captured is while
/// `autoescape` is on and all that `escape` returns, and event data such as `[1]` is in it as it came.
pub(crate) fn vouch(text: String) -> Value {
    let value = Value::from_safe_string(text);
    VOUCHED.with_borrow_mut(|vouched| {
        if let (Some(vouched), Some(place)) = (vouched, place(&value)) {
            vouched.insert(place, value.clone());
        }
    });
    value
}

/// A text that differs from another in white space around its tokens, and is as good as that.
pub(crate) fn vouch_like(origin: &Value, text: String) -> Value {
    if is_vouched(origin) {
        vouch(text)
    } else {
        like(origin, text)
    }
}

fn is_vouched(value: &Value) -> bool {
    value.is_safe()
        && place(value).is_some_and(|place| {
            VOUCHED.with_borrow(|vouched| {
                vouched
                    .as_ref()
                    .is_some_and(|vouched| vouched.contains_key(&place))
            })
        })
}

/// Where a safe text is in memory, which it shares with its clones.
fn place(value: &Value) -> Option<usize> {
    Some(value.as_str()?.as_ptr().addr())
}

/// Whether a text is one whole JSON value: what an author calls safe may also be none.
pub(crate) fn is_json(text: &str) -> bool {
    serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
}
