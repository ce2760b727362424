//! An event's context as text, in which numbers keep their digits.
//!
//! `serde_json` parses integers beyond 64 bits as floats, and some floats as a neighbouring one. Receivers would see
//! the difference. So values with such numbers are not written from the parsed form; their text is kept.

use std::borrow::Cow;

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};

/// The members of a JSON object, each value as its text. Of a key that stands twice the last value counts, in the
/// place of the first, as everywhere else.
pub(super) type Members<'a> = IndexMap<Cow<'a, str>, &'a RawValue>;

/// The members of JSON that has been checked and parsed; none if it is no object.
pub(super) fn members(json: &[u8]) -> Members<'_> {
    serde_json::from_slice(json).unwrap_or_default()
}

/// A member that is to be written.
#[derive(Serialize)]
#[serde(untagged)]
enum Member<'a> {
    Parsed(&'a Value),
    Text(Box<RawValue>),
    Borrowed(&'a RawValue),
}

/// Writes an object, with the texts that its members came as where the parsed form may not hold them.
///
/// # Errors
/// The writer's.
pub(super) fn write(
    object: &Map<String, Value>,
    texts: &Members<'_>,
) -> serde_json::Result<String> {
    let members = object.iter().map(|(key, value)| {
        let exact = texts.get(key.as_str()).and_then(|text| exact(value, text));
        (key, exact.map_or(Member::Parsed(value), Member::Text))
    });
    serde_json::to_string(&members.collect::<IndexMap<_, _>>())
}

/// The context with more under its `data`, before the event's own keys, which win. Nothing if its data is neither
/// an object nor null.
pub(super) fn merge(context: &str, extra: &Map<String, Value>) -> Option<String> {
    let mut context = members(context.as_bytes());
    let data = context.get_mut("data")?;
    if !matches!(data.get().as_bytes().first(), Some(b'{' | b'n')) {
        return None;
    }
    let own = members(data.get().as_bytes());
    let mut merged: IndexMap<Cow<'_, str>, Member<'_>> = extra
        .iter()
        .map(|(key, value)| (key.as_str().into(), Member::Parsed(value)))
        .collect();
    let own = own.into_iter();
    merged.extend(own.map(|(key, text)| (key, Member::Borrowed(text))));
    let merged = serde_json::value::to_raw_value(&merged).ok()?;
    *data = &merged;
    serde_json::to_string(&context).ok()
}

/// The text of a value without the white space, if the value holds numbers that its parsed form may not, and
/// no key twice: the stored text must mean the same to every reader.
pub(super) fn exact(value: &Value, text: &RawValue) -> Option<Box<RawValue>> {
    let (has_float, keys) = survey(value);
    if !has_float {
        return None;
    }
    let (compact, colons) = compact(text.get());
    if colons != keys {
        return None;
    }
    RawValue::from_string(compact).ok()
}

/// Whether there is a float, as which all numbers are parsed that no integer holds, and how many keys there
/// are. With a stack of its own, so that depth costs no stack.
fn survey(value: &Value) -> (bool, usize) {
    let (mut has_float, mut keys) = (false, 0);
    let mut pending = vec![value];
    while let Some(value) = pending.pop() {
        match value {
            Value::Number(n) => has_float |= n.is_f64(),
            Value::Array(items) => pending.extend(items),
            Value::Object(map) => {
                keys += map.len();
                pending.extend(map.values());
            }
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }
    (has_float, keys)
}

/// Valid JSON without the white space between its tokens, and how many colons are among these: one for each key.
fn compact(json: &str) -> (String, usize) {
    let mut out = String::with_capacity(json.len());
    let (mut in_string, mut is_escaped, mut colons) = (false, false, 0);
    for c in json.chars() {
        if in_string {
            in_string = is_escaped || c != '"';
            is_escaped = !is_escaped && c == '\\';
        } else {
            match c {
                ' ' | '\t' | '\n' | '\r' => continue,
                '"' => in_string = true,
                ':' => colons += 1,
                _ => {}
            }
        }
        out.push(c);
    }
    (out, colons)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn written(json: &str) -> String {
        let object: Map<String, Value> = serde_json::from_str(json).expect("an object");
        write(&object, &members(json.as_bytes())).expect("written")
    }

    #[test]
    fn numbers_are_written_with_the_digits_that_they_came_with() {
        for number in [
            "1180591620717411303424",
            "-1180591620717411303425",
            "5.701777339999999e+43",
            "1E2",
            "1.50",
            "-0",
            "0.1000000000000000055511151231257827",
        ] {
            let json = format!(r#"{{"a":{number},"b":{{"c":[1,{number}]}}}}"#);
            assert_eq!(written(&json), json);
        }
    }

    #[test]
    fn the_rest_is_written_as_it_was_parsed() {
        let json = "{ \"a\" : [ 1 , \"\\u00e9 \\\" : \\\\\" ] , \"b\" : { \"c\\\"\" : 1.50 } }";
        assert_eq!(written(json), r#"{"a":[1,"é \" : \\"],"b":{"c\"":1.50}}"#);
    }

    /// Else two readers could see two events.
    #[test]
    fn no_key_is_written_twice() {
        let json = r#"{"a": 1.50, "a": {"b": 1.50, "b": 2.50}, "c": [{"d": ":", "d": 1e2}]}"#;
        assert_eq!(written(json), r#"{"a":{"b":2.5},"c":[{"d":100.0}]}"#);
    }

    #[test]
    fn more_data_comes_first_and_yields_to_the_events_own() {
        let extra = json!({"x": 1, "own": "lost"});
        let extra = extra.as_object().expect("an object");
        let merged =
            |data: &str| merge(&format!(r#"{{"event":"e","data":{data},"z":1.50}}"#), extra);
        let expected =
            r#"{"event":"e","data":{"x":1,"own":1180591620717411303424,"n":[1.50]},"z":1.50}"#;
        assert_eq!(
            merged(r#"{"own":1180591620717411303424,"n":[1.50]}"#).as_deref(),
            Some(expected)
        );
        let expected = r#"{"event":"e","data":{"x":1,"own":"lost"},"z":1.50}"#;
        assert_eq!(merged("null").as_deref(), Some(expected));
        assert_eq!(merged("[1]"), None);
        assert_eq!(merged("\"text\""), None);
        assert_eq!(merge(r#"{"event":"e"}"#, extra), None);
    }

    proptest! {
        /// Whatever was read is what is written, and in one form only.
        #[test]
        fn what_is_written_reads_as_what_came(
            text in r#"\{("[ab:]\\\\?\"?":? ?(1|-2|3\.50|1e30|18446744073709551616|"[:\\"]"|\[ ?1\.0 ?, ?\{"c" ?: ?2\}\]),? ?){0,4}\}"#
        ) {
            if let Ok(object) = serde_json::from_str::<Map<String, Value>>(&text) {
                let out = written(&text);
                prop_assert_eq!(serde_json::from_str::<Map<String, Value>>(&out).expect("JSON"), object);
                prop_assert_eq!(&written(&out), &out);
            }
        }
    }
}
