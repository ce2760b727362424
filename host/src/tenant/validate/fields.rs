//! Reads the fields of one JSON object and collects everything that is wrong with them.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::NAME_CHARS;
use crate::model::FieldErrors;

/// Errors of one object that are reported; hostile input could hold a million.
const MAX_ERRORS: usize = 50;

/// A value, or its errors. Paths are relative to the field: empty for the field itself,
/// `[2]` for an item, `jitter` for a field of it.
pub(super) type Read<T> = Result<T, FieldErrors>;

/// The error of a field as a whole.
pub(super) fn wrong<T>(message: impl Into<String>) -> Read<T> {
    Err(FieldErrors::one("", message))
}

/// One object, and its errors so far.
pub(super) struct Fields<'a> {
    object: &'a Map<String, Value>,
    /// The keys that were read, whether they are there or not.
    known: Vec<&'static str>,
    errors: FieldErrors,
}

impl<'a> Fields<'a> {
    pub(super) fn new(object: &'a Map<String, Value>) -> Self {
        Self {
            object,
            known: Vec::new(),
            errors: FieldErrors::default(),
        }
    }

    pub(super) fn get(&mut self, key: &'static str) -> Option<&'a Value> {
        self.known.push(key);
        self.object.get(key)
    }

    pub(super) fn error(&mut self, key: &str, message: impl Into<String>) {
        self.absorb(key, FieldErrors::one("", message));
    }

    /// Whether this field, or something in it, is already known to be wrong.
    pub(super) fn is_wrong(&self, key: &str) -> bool {
        self.errors.0.iter().any(|e| e.field.starts_with(key))
    }

    /// Takes over the errors of a reader, with their paths under `key`.
    pub(super) fn absorb(&mut self, key: &str, errors: FieldErrors) {
        let room = MAX_ERRORS.saturating_sub(self.errors.0.len());
        self.errors
            .0
            .extend(errors.under(key).0.into_iter().take(room));
    }

    /// Sets `target` to the field's value, if the field is there.
    pub(super) fn set<T>(
        &mut self,
        target: &mut T,
        key: &'static str,
        read: impl FnOnce(&Value) -> Read<T>,
    ) {
        match self.get(key).map(read) {
            Some(Ok(value)) => *target = value,
            Some(Err(errors)) => self.absorb(key, errors),
            None => {}
        }
    }

    /// The same for a field that may be null.
    pub(super) fn set_nullable<T>(
        &mut self,
        target: &mut Option<T>,
        key: &'static str,
        read: impl FnOnce(&Value) -> Read<T>,
    ) {
        self.set(target, key, |value| match value {
            Value::Null => Ok(None),
            value => read(value).map(Some),
        });
    }

    /// Reads `id` and `external_id`: an integer is the number that the object had elsewhere; hookbox's
    /// own id, which is text, says nothing new.
    pub(super) fn set_external_id(&mut self, target: &mut Option<i64>) {
        if !matches!(self.get("id"), Some(Value::String(_))) {
            self.set_nullable(target, "id", external_id);
        }
        if self.get("external_id").is_some() {
            self.set_nullable(target, "external_id", external_id);
        }
    }

    /// The value, if nothing is wrong. A key that was not read and is not in `ignored` is an error.
    pub(super) fn finish<T>(mut self, ignored: &[&str], value: T) -> Result<T, FieldErrors> {
        for key in self.object.keys() {
            let key = key.as_str();
            if self.known.contains(&key) || ignored.contains(&key) {
                continue;
            }
            if self.errors.0.len() >= MAX_ERRORS {
                break;
            }
            let message = match did_you_mean(key, &self.known) {
                Some(close) => format!("is not a known field; did you mean {close}?"),
                None => "is not a known field".to_owned(),
            };
            self.error(&shortened(key), message);
        }
        self.errors.into_result(value)
    }
}

/// The known word that is nearly `word`, if there is one.
pub(crate) fn did_you_mean<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    // The comparison costs the product of the lengths.
    if word.len() > 64 {
        return None;
    }
    known
        .iter()
        .map(|&k| (strsim::jaro_winkler(word, k), k))
        .filter(|(likeness, _)| *likeness > 0.85)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

/// Outside text for an error message: without control characters and not long.
pub(super) fn shortened(text: &str) -> String {
    const CHARS: usize = 80;
    let mut short: String = text
        .chars()
        .filter(|c| !c.is_control())
        .take(CHARS)
        .collect();
    if text.chars().nth(CHARS).is_some() {
        short.push('…');
    }
    short
}

/// The type of a value, in words.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn expected<T>(what: &str, value: &Value) -> Read<T> {
    wrong(format!("must be {what}, not {}", kind_of(value)))
}

fn external_id(value: &Value) -> Read<i64> {
    match value.as_i64() {
        Some(n) => Ok(n),
        None => expected("a whole number", value),
    }
}

pub(super) fn boolean(value: &Value) -> Read<bool> {
    match value {
        Value::Bool(b) => Ok(*b),
        value => expected("true or false", value),
    }
}

/// Text of at most `max_bytes` in UTF-8.
pub(super) fn text(max_bytes: usize) -> impl FnOnce(&Value) -> Read<String> {
    move |value| {
        let Value::String(text) = value else {
            return expected("text", value);
        };
        if text.len() > max_bytes {
            return wrong(format!(
                "has {} bytes; at most {max_bytes} are allowed",
                text.len()
            ));
        }
        if text.contains('\0') {
            return wrong("must not hold a null character");
        }
        Ok(text.clone())
    }
}

/// Text of at most `max_chars` characters on one line.
pub(super) fn line(max_chars: usize) -> impl FnOnce(&Value) -> Read<String> {
    move |value| {
        let text = text(max_chars.saturating_mul(4))(value)?;
        let chars = text.chars().count();
        if chars > max_chars {
            return wrong(format!(
                "has {chars} characters; at most {max_chars} are allowed"
            ));
        }
        if text.chars().any(char::is_control) {
            return wrong("must not hold line breaks or other control characters");
        }
        Ok(text)
    }
}

/// A name; blanks around it are dropped, as NetBox does.
pub(super) fn name(value: &Value) -> Read<String> {
    let text = line(NAME_CHARS)(value)?;
    match text.trim() {
        "" => wrong("must not be blank"),
        trimmed => Ok(trimmed.to_owned()),
    }
}

/// A choice: its value alone, or NetBox's `{"value": …, "label": …}`.
pub(super) fn choice(value: &Value) -> Read<&str> {
    let inner = match value {
        Value::Object(object) => object.get("value").unwrap_or(value),
        value => value,
    };
    match inner {
        Value::String(text) => Ok(text),
        _ => expected("text", value),
    }
}

pub(super) fn whole(range: RangeInclusive<u32>) -> impl FnOnce(&Value) -> Read<u32> {
    move |value| {
        let (least, most) = (*range.start(), *range.end());
        match value.as_u64().and_then(|n| u32::try_from(n).ok()) {
            Some(n) if range.contains(&n) => Ok(n),
            _ if value.is_number() => {
                wrong(format!("must be a whole number from {least} to {most}"))
            }
            _ => expected("a whole number", value),
        }
    }
}

pub(super) fn number(range: RangeInclusive<f64>) -> impl FnOnce(&Value) -> Read<f64> {
    move |value| match value.as_f64() {
        Some(n) if range.contains(&n) => Ok(n),
        Some(_) => wrong(format!("must be from {} to {}", range.start(), range.end())),
        None => expected("a number", value),
    }
}

/// A list of at most `max` items, each read by `read`; all that is wrong with any is reported.
pub(super) fn list<T>(
    max: usize,
    mut read: impl FnMut(&Value) -> Read<T>,
) -> impl FnOnce(&Value) -> Read<Vec<T>> {
    move |value| {
        let Value::Array(items) = value else {
            return expected("a list", value);
        };
        if items.len() > max {
            return wrong(format!(
                "has {} items; at most {max} are allowed",
                items.len()
            ));
        }
        let mut errors = FieldErrors::default();
        let mut out = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            match read(item) {
                Ok(value) => out.push(value),
                Err(found) => errors.0.extend(found.under(&format!("[{i}]")).0),
            }
            if errors.0.len() >= MAX_ERRORS {
                break;
            }
        }
        errors.into_result(out)
    }
}

/// An object of any keys.
pub(super) fn object(value: &Value) -> Read<&Map<String, Value>> {
    match value {
        Value::Object(object) => Ok(object),
        value => expected("an object", value),
    }
}

/// Refuses a value whose JSON is longer than `max` bytes.
pub(super) fn small_json(max: usize) -> impl FnOnce(&Value) -> Read<Value> {
    move |value| {
        let bytes = serde_json::to_vec(value).map_or(usize::MAX, |json| json.len());
        if bytes > max {
            wrong(format!(
                "is {bytes} bytes of JSON; at most {max} are allowed"
            ))
        } else {
            Ok(value.clone())
        }
    }
}
