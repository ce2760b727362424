//! What Python's values can do, for filters and methods alike.

use std::borrow::Cow;
use std::cmp::Ordering;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

use crate::filters::html::escaped;
use crate::{limits, mutable};

/// An error in the words of whoever wrote the template.
pub(crate) fn wrong(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// What Python's `str.isspace()` and `str.split()` take for white space.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// A number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    /// The value's number; booleans are 0 and 1. None for all else and for integers from 2^127 on.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        match value.kind() {
            ValueKind::Bool => Some(Self::Int(value.is_true().into())),
            ValueKind::Number if value.is_integer() => {
                i128::try_from(value.clone()).ok().map(Self::Int)
            }
            ValueKind::Number => f64::try_from(value.clone()).ok().map(Self::Float),
            _ => None,
        }
    }

    pub(crate) fn float(self) -> f64 {
        match self {
            Self::Int(number) => number as f64,
            Self::Float(number) => number,
        }
    }
}

/// An integer where Python's `__index__` gives one.
pub(crate) fn index(value: &Value) -> Result<i64, Error> {
    match Number::of(value) {
        Some(Number::Int(number)) => Ok(number
            .clamp(i64::MIN.into(), i64::MAX.into())
            .try_into()
            .unwrap_or_default()),
        _ => Err(wrong(format!(
            "an integer is needed, not {}",
            type_name(value)
        ))),
    }
}

/// The name of the value's type in Python.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::Undefined => "Undefined",
        ValueKind::None => "NoneType",
        ValueKind::Bool => "bool",
        ValueKind::Number if value.is_integer() => "int",
        ValueKind::Number => "float",
        ValueKind::String => "str",
        ValueKind::Bytes => "bytes",
        ValueKind::Seq if is_tuple(value) => "tuple",
        ValueKind::Seq | ValueKind::Iterable => "list",
        ValueKind::Map => "dict",
        _ => "object",
    }
}

/// Whether it prints with round brackets.
pub(crate) fn is_tuple(value: &Value) -> bool {
    value.is_tuple()
        || value
            .downcast_object_ref::<crate::filters::Group>()
            .is_some()
}

/// The items of what Python can iterate over, paid for.
///
/// # Errors
/// If it cannot, or there are too many items.
pub(crate) fn items(state: &State<'_, '_>, value: &Value) -> Result<Vec<Value>, Error> {
    if matches!(
        value.kind(),
        ValueKind::None | ValueKind::Bool | ValueKind::Number
    ) {
        let name = type_name(value);
        return Err(wrong(format!("'{name}' object is not iterable")));
    }
    // All at once where the number is known, so that too many are refused before they are made.
    let known = value.as_str().is_none().then(|| value.len()).flatten();
    state.consume_fuel((known.unwrap_or(0) as u64).saturating_mul(limits::ITEM))?;
    let mut items = Vec::new();
    for item in value.try_iter()?.checked() {
        if known.is_none() {
            state.consume_fuel(limits::ITEM)?;
        }
        items.push(item?);
    }
    Ok(items)
}

/// A list.
pub(crate) fn list(items: Vec<Value>) -> Value {
    Value::from_object(mutable::List::new(items))
}

/// A tuple.
pub(crate) fn tuple(items: Vec<Value>) -> Value {
    Value::from(minijinja::value::Tuple::from(items))
}

/// A text that is safe if the one it was made of is.
pub(crate) fn like(origin: &Value, text: String) -> Value {
    if origin.is_safe() {
        Value::from_safe_string(text)
    } else {
        Value::from(text)
    }
}

/// Python's `<`, `==` and `>` in one.
///
/// # Errors
/// If Python knows no order of the two.
pub(crate) fn compare(state: &State<'_, '_>, a: &Value, b: &Value) -> Result<Ordering, Error> {
    compare_nested(state, a, b, 0)
}

fn compare_nested(
    state: &State<'_, '_>,
    a: &Value,
    b: &Value,
    depth: usize,
) -> Result<Ordering, Error> {
    state.consume_fuel(1)?;
    if let (Some(x), Some(y)) = (a.as_str(), b.as_str()) {
        afford(state, x.len().min(y.len()))?;
        return Ok(x.cmp(y));
    }
    let numeric = |value: &Value| matches!(value.kind(), ValueKind::Bool | ValueKind::Number);
    if numeric(a) && numeric(b) {
        return Ok(a.cmp(b));
    }
    let ordered = |value: &Value| matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable);
    if ordered(a) && ordered(b) && is_tuple(a) == is_tuple(b) && depth < 32 {
        let (mut left, mut right) = (a.try_iter()?, b.try_iter()?);
        loop {
            match (left.next(), right.next()) {
                (None, None) => return Ok(Ordering::Equal),
                (None, _) => return Ok(Ordering::Less),
                (_, None) => return Ok(Ordering::Greater),
                (Some(x), Some(y)) if x == y => state.consume_fuel(1)?,
                (Some(x), Some(y)) => return compare_nested(state, &x, &y, depth + 1),
            }
        }
    }
    if let Some(order) = crate::filters::time::compare(a, b) {
        return Ok(order);
    }
    Err(wrong(format!(
        "'<' not supported between instances of '{}' and '{}'",
        type_name(a),
        type_name(b)
    )))
}

/// `sorted(items, key, reverse)`: stable, and able to fail.
pub(crate) fn sort(
    state: &State<'_, '_>,
    mut keyed: Vec<(Value, Value)>,
    reverse: bool,
) -> Result<Vec<Value>, Error> {
    state.consume_fuel((keyed.len() as u64).saturating_mul(3 * limits::ITEM))?;
    // Merging runs of doubling length: the library's own sort may panic where an order is none.
    let mut width = 1;
    while width < keyed.len() {
        let mut merged = Vec::with_capacity(keyed.len());
        for run in keyed.chunks(width.saturating_mul(2)) {
            let (left, right) = run.split_at(width.min(run.len()));
            let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
            while let (Some(x), Some(y)) = (left.peek(), right.peek()) {
                state.consume_fuel(1)?;
                let order = compare(state, &y.0, &x.0)?;
                let swap = if reverse {
                    order.is_gt()
                } else {
                    order.is_lt()
                };
                merged.extend(if swap { right.next() } else { left.next() }.cloned());
            }
            merged.extend(left.chain(right).cloned());
        }
        keyed = merged;
        width = width.saturating_mul(2);
    }
    Ok(keyed.into_iter().map(|(_, value)| value).collect())
}

/// Refuses what Python cannot put into a set or take for a key.
pub(crate) fn hashable(value: &Value) -> Result<(), Error> {
    let unhashable = match value.kind() {
        ValueKind::Map => true,
        ValueKind::Seq | ValueKind::Iterable => !is_tuple(value),
        _ => false,
    };
    if unhashable {
        let name = type_name(value);
        return Err(wrong(format!("unhashable type: '{name}'")));
    }
    Ok(())
}

/// One or more paths of attributes, as `map`, `sort` and their like take them.
#[derive(Debug, Default)]
pub(crate) struct Path(Vec<Value>);

impl Path {
    /// A path `a.b.0`, or an index; nothing leads to the value itself.
    pub(crate) fn new(attribute: Option<&Value>) -> Self {
        let Some(attribute) = attribute.filter(|a| !a.is_none()) else {
            return Self::default();
        };
        match attribute.as_str() {
            Some(text) => Self::parse(text),
            None => Self(vec![attribute.clone()]),
        }
    }

    fn parse(text: &str) -> Self {
        let part = |part: &str| match part.parse::<u32>() {
            Ok(number) if part.bytes().all(|b| b.is_ascii_digit()) => Value::from(number),
            _ => Value::from(part),
        };
        Self(text.split('.').map(part).collect())
    }

    /// The paths between commas.
    pub(crate) fn several(attribute: Option<&Value>) -> Vec<Self> {
        match attribute.and_then(Value::as_str) {
            Some(text) => text.split(',').map(Self::parse).collect(),
            None => vec![Self::new(attribute)],
        }
    }

    /// Where the path leads from a value.
    ///
    /// # Errors
    /// If it leads on from what is undefined.
    pub(crate) fn of(
        &self,
        state: &State<'_, '_>,
        value: &Value,
        default: Option<&Value>,
    ) -> Result<Value, Error> {
        let mut value = value.clone();
        for part in &self.0 {
            state.consume_fuel(limits::CALL)?;
            value = item(&value, part)?;
            if let (true, Some(default)) = (value.is_undefined(), default) {
                value = default.clone();
            }
        }
        Ok(value)
    }
}

/// `value[key]`, or undefined.
pub(crate) fn item(value: &Value, key: &Value) -> Result<Value, Error> {
    if value.is_undefined() {
        return Err(ErrorKind::UndefinedError.into());
    }
    Ok(value.get_item(key).unwrap_or_default())
}

/// Text in lower case, all else as it is: how Jinja2 compares where case does not matter.
pub(crate) fn fold(value: Value) -> Value {
    match value.as_str() {
        Some(text) => Value::from(text.to_lowercase()),
        None => value,
    }
}

/// The lines of a text, by Python's idea of a line end; with the ends, if wanted.
pub(crate) fn lines(text: &str, ends: bool) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(crate::headers::is_line_end).unwrap_or(rest.len());
        let (line, tail) = rest.split_at(end);
        let after = if tail.starts_with("\r\n") {
            2
        } else {
            tail.chars().next().map_or(0, char::len_utf8)
        };
        let whole = rest.get(..end + after).unwrap_or(line);
        lines.push(if ends { whole } else { line });
        rest = tail.get(after..).unwrap_or_default();
    }
    lines
}

/// Takes the price of a value written out: where its size is known beforehand, before it is made, so that
/// what no template could pay for never is.
///
/// # Errors
/// If the template has no fuel left.
pub(crate) fn afford(state: &State<'_, '_>, bytes: usize) -> Result<(), Error> {
    state.consume_fuel(bytes.div_ceil(limits::BYTES_PER_FUEL) as u64)
}

/// Takes the price of reading a text character by character.
///
/// # Errors
/// If the template has no fuel left.
pub(crate) fn read(state: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    let bytes = value.as_str().map_or(0, str::len);
    state.consume_fuel((bytes / limits::READ_BYTES_PER_FUEL) as u64)
}

/// `a + b`.
///
/// # Errors
/// If Python adds no such two, or the sum of integers takes more than 128 bits.
pub(crate) fn add(state: &State<'_, '_>, a: &Value, b: &Value) -> Result<Value, Error> {
    if let (Some(x), Some(y)) = (a.as_str(), b.as_str()) {
        let read = x.len().saturating_add(y.len());
        afford(state, read)?;
        if a.is_safe() || b.is_safe() {
            let (x, y) = (escaped(state, a)?, escaped(state, b)?);
            afford(state, (x.len() + y.len()).saturating_sub(read))?;
            return Ok(Value::from_safe_string(x + &y));
        }
        return Ok(Value::from([x, y].concat()));
    }
    state.consume_fuel(1)?;
    match (Number::of(a), Number::of(b)) {
        (Some(Number::Int(x)), Some(Number::Int(y))) => {
            let sum = x.checked_add(y);
            return sum
                .map(Value::from)
                .ok_or_else(|| wrong("integers of more than 128 bits are not supported"));
        }
        (Some(x), Some(y)) => return Ok(Value::from(x.float() + y.float())),
        _ => {}
    }
    let sequence = |value: &Value| matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable);
    if sequence(a) && sequence(b) && is_tuple(a) == is_tuple(b) {
        let mut all = items(state, a)?;
        all.extend(items(state, b)?);
        return Ok(if is_tuple(a) { tuple(all) } else { list(all) });
    }
    let (left, right) = (type_name(a), type_name(b));
    Err(wrong(format!(
        "unsupported operand type(s) for +: '{left}' and '{right}'"
    )))
}
