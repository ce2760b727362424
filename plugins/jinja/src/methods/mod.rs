//! Python's methods of texts, lists, tuples and dicts.

pub(crate) mod dicts;
pub(crate) mod format;
pub(crate) mod letters;
pub(crate) mod lists;
pub(crate) mod strings;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

use crate::{limits, values};

/// The methods that change nothing. The engine charges for what they return; they also read what they
/// are called on.
pub(crate) fn call(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    given: &[Value],
) -> Result<Value, Error> {
    if name == "__cycle" {
        return cycle(state, value, given);
    }
    state.consume_fuel(limits::CALL)?;
    values::read(state, value)?;
    match value.kind() {
        ValueKind::String => strings::call(state, value, name, given),
        ValueKind::Map => dicts::call(state, value, name, given),
        ValueKind::Seq | ValueKind::Iterable => lists::call(state, value, name, given),
        ValueKind::Bytes if name == "decode" => {
            let bytes = value.as_bytes().unwrap_or_default().to_vec();
            let text = String::from_utf8(bytes);
            text.map(Value::from)
                .map_err(|_| values::wrong("these bytes are no UTF-8"))
        }
        ValueKind::Number if name == "is_integer" => {
            let number = f64::try_from(value.clone())?;
            Ok(Value::from(number.fract() == 0.0))
        }
        ValueKind::Number if name == "bit_length" && value.is_integer() => {
            let number = i128::try_from(value.clone())?.unsigned_abs();
            Ok(Value::from(128 - number.leading_zeros()))
        }
        _ => Err(ErrorKind::UnknownMethod.into()),
    }
}

/// `value.cycle(…)`, most likely of a loop, which takes its first argument for granted.
fn cycle(state: &mut State<'_, '_>, value: &Value, given: &[Value]) -> Result<Value, Error> {
    // Not of a loop, if it has such an attribute of its own.
    if value.get_attr("cycle")?.is_undefined() {
        let (items, names) = crate::args::split(given)?;
        if items.is_empty() || !names.is_empty() {
            return Err(values::wrong(
                "cycle() takes one item or more, and none by name",
            ));
        }
        return value.call_method(state, "cycle", items);
    }
    value.call_method(state, "cycle", given)
}
