//! Values and text cut to a size that can be stored and read.

use serde_json::{Map, Value};

/// Characters of one text.
const TEXT: usize = 200;
/// Characters of one value, all its texts and keys together.
const TOTAL: usize = 600;
/// Elements of one list or object.
const ELEMENTS: usize = 10;
/// Lists and objects inside each other.
const DEPTH: usize = 2;

/// At most `max` characters, with `…` for the rest.
pub(in crate::rules) fn text(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// A value of the same shape, with long texts, lists and objects cut; what is left out is said in its place.
pub(super) fn value(value: &Value) -> Value {
    let mut left = TOTAL;
    shorten(value, DEPTH, &mut left)
}

/// A shortened value as JSON text.
pub(super) fn json(value: &Value) -> String {
    text(&self::value(value).to_string(), TEXT)
}

fn shorten(value: &Value, depth: usize, left: &mut usize) -> Value {
    match value {
        Value::String(s) => Value::String(cut(s, left)),
        Value::Array(items) if depth == 0 || *left == 0 => {
            Value::String(format!("… ({} items)", items.len()))
        }
        Value::Object(map) if depth == 0 || *left == 0 => {
            Value::String(format!("… ({} keys)", map.len()))
        }
        Value::Array(items) => {
            let mut out: Vec<Value> = Vec::with_capacity(items.len().min(ELEMENTS + 1));
            for item in items.iter().take(ELEMENTS) {
                out.push(shorten(item, depth - 1, left));
            }
            if let Some(more) = items.len().checked_sub(ELEMENTS).filter(|n| *n > 0) {
                out.push(Value::String(format!("… ({more} more)")));
            }
            Value::Array(out)
        }
        Value::Object(map) => {
            let mut out = Map::new();
            for (key, item) in map.iter().take(ELEMENTS) {
                let key = cut(key, left);
                out.insert(key, shorten(item, depth - 1, left));
            }
            if let Some(more) = map.len().checked_sub(ELEMENTS).filter(|n| *n > 0) {
                out.insert("…".to_owned(), Value::String(format!("({more} more)")));
            }
            Value::Object(out)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn cut(s: &str, left: &mut usize) -> String {
    let short = text(s, TEXT.min(*left));
    *left = left.saturating_sub(short.chars().count());
    short
}
