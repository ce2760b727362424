//! `json_query`: JMESPath, but for references (`&name`) and most functions, for which Jinja2 has filters.
//!
//! Of the functions there are those that conditions need: `contains`, `ends_with`, `length`, `not_null` and
//! `starts_with`, and `keys` and `values`.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

use super::jmespath::{self, Compare, Node};
use super::sequences::members;
use crate::args::Args;
use crate::methods::dicts;
use crate::mutable::Pairs;
use crate::py::{self, wrong};

/// `json_query(expr)`: what is found, or `None`.
///
/// # Errors
/// If the expression is none or too long, or a function is given what it cannot work on.
pub(crate) fn json_query(
    state: &mut State<'_, '_>,
    value: &Value,
    args: &Args,
) -> Result<Value, Error> {
    if value.is_undefined() {
        return Err(ErrorKind::UndefinedError.into());
    }
    let expression = args.text(state, 0, "")?;
    state.consume_fuel(4 + expression.len() as u64 / 4)?;
    find(state, &jmespath::parse(&expression)?, value)
}

fn none() -> Value {
    Value::from(())
}

fn is_list(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

/// A list's items, or none if it is no list.
fn items(state: &State<'_, '_>, value: &Value) -> Result<Option<Vec<Value>>, Error> {
    if !is_list(value) {
        return Ok(None);
    }
    py::items(state, value).map(Some)
}

/// What the expression finds in a value. It calls itself no deeper than the expression has parts.
fn find(state: &State<'_, '_>, node: &Node, value: &Value) -> Result<Value, Error> {
    state.consume_fuel(1)?;
    match node {
        Node::Current => Ok(value.clone()),
        Node::Literal(literal) => Ok(literal.clone()),
        Node::Field(name) if value.kind() == ValueKind::Map => {
            let found = py::item(value, &Value::from(name.as_str()))?;
            Ok(if found.is_undefined() { none() } else { found })
        }
        Node::Index(at) if is_list(value) => {
            let found = py::item(value, &Value::from(*at))?;
            Ok(if found.is_undefined() { none() } else { found })
        }
        Node::Field(_) | Node::Index(_) => Ok(none()),
        Node::Slice(parts) => slice(state, value, parts),
        Node::Then(first, second) => find(state, second, &find(state, first, value)?),
        Node::Each(list, each) => {
            let list = find(state, list, value)?;
            project(state, items(state, &list)?, each, None)
        }
        Node::Those(list, each, condition) => {
            let list = find(state, list, value)?;
            project(state, items(state, &list)?, each, Some(condition))
        }
        Node::EachValue(dict, each) => {
            let dict = find(state, dict, value)?;
            project(state, values(state, &dict)?, each, None)
        }
        Node::Flatten(list) => flatten(state, &find(state, list, value)?),
        Node::Or(left, right) => match find(state, left, value)? {
            found if is_true(&found) => Ok(found),
            _ => find(state, right, value),
        },
        Node::And(left, right) => match find(state, left, value)? {
            found if is_true(&found) => find(state, right, value),
            found => Ok(found),
        },
        Node::Not(inner) => Ok(Value::from(!is_true(&find(state, inner, value)?))),
        Node::Compare(how, left, right) => {
            let (left, right) = (find(state, left, value)?, find(state, right, value)?);
            compare(state, *how, &left, &right)
        }
        Node::List(_) | Node::Dict(_) if value.is_none() => Ok(none()),
        Node::List(nodes) => {
            let found = nodes.iter().map(|node| find(state, node, value));
            Ok(py::list(found.collect::<Result<_, _>>()?))
        }
        Node::Dict(nodes) => {
            let mut pairs = Pairs::default();
            for (name, node) in nodes {
                pairs.insert(Value::from(name.as_str()), find(state, node, value)?);
            }
            Ok(dicts::dict(pairs))
        }
        Node::Call(name, nodes) => {
            let found = nodes.iter().map(|node| find(state, node, value));
            call(state, name, &found.collect::<Result<Vec<_>, _>>()?)
        }
    }
}

/// What is found in each item for which the condition holds, but for `None`; `None` of what is no list.
fn project(
    state: &State<'_, '_>,
    items: Option<Vec<Value>>,
    each: &Node,
    condition: Option<&Node>,
) -> Result<Value, Error> {
    let Some(items) = items else {
        return Ok(none());
    };
    let mut all = Vec::new();
    for item in items {
        if let Some(condition) = condition
            && !is_true(&find(state, condition, &item)?)
        {
            continue;
        }
        let found = find(state, each, &item)?;
        if !found.is_none() {
            all.push(found);
        }
    }
    Ok(py::list(all))
}

fn values(state: &State<'_, '_>, dict: &Value) -> Result<Option<Vec<Value>>, Error> {
    if dict.kind() != ValueKind::Map {
        return Ok(None);
    }
    let members = members(state, dict)?;
    Ok(Some(members.into_iter().map(|(_, value)| value).collect()))
}

/// The list with the items of those of its items that are lists themselves in their places.
fn flatten(state: &State<'_, '_>, list: &Value) -> Result<Value, Error> {
    let Some(list) = items(state, list)? else {
        return Ok(none());
    };
    let mut flat = Vec::new();
    for item in list {
        match items(state, &item)? {
            Some(inner) => flat.extend(inner),
            None => flat.push(item),
        }
    }
    Ok(py::list(flat))
}

/// Python's `list[start:stop:step]`.
fn slice(state: &State<'_, '_>, list: &Value, parts: &[Option<i64>; 3]) -> Result<Value, Error> {
    let Some(list) = items(state, list)? else {
        return Ok(none());
    };
    let [start, stop, step] = *parts;
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(wrong("`json_query`: the step of a slice cannot be 0"));
    }
    let length = i64::try_from(list.len()).unwrap_or(i64::MAX);
    let (low, high) = if step > 0 {
        (0, length)
    } else {
        (-1, length - 1)
    };
    let place = |part: Option<i64>, default: i64| match part {
        None => default,
        Some(at) if at < 0 => at.saturating_add(length).clamp(low, high),
        Some(at) => at.clamp(low, high),
    };
    let (start, stop) = if step > 0 {
        (place(start, low), place(stop, high))
    } else {
        (place(start, high), place(stop, low))
    };
    let (mut at, mut chosen) = (start, Vec::new());
    while (step > 0 && at < stop) || (step < 0 && at > stop) {
        chosen.extend(
            usize::try_from(at)
                .ok()
                .and_then(|at| list.get(at))
                .cloned(),
        );
        at = at.saturating_add(step);
    }
    Ok(py::list(chosen))
}

/// JMESPath's truth: all but `None`, `false`, and what is empty. 0 is true.
fn is_true(value: &Value) -> bool {
    value.kind() == ValueKind::Number || value.is_true()
}

/// The answer of `<` and its like to what is neither number nor text is `None`.
fn compare(
    state: &State<'_, '_>,
    how: Compare,
    left: &Value,
    right: &Value,
) -> Result<Value, Error> {
    // In JSON, unlike in Python, `true` is not 1.
    let bools = [left, right].map(|value| value.kind() == ValueKind::Bool);
    let equal = || bools[0] == bools[1] && left == right;
    let order = |holds: fn(std::cmp::Ordering) -> bool| {
        let (a, b) = (left.kind(), right.kind());
        if a != b || !matches!(a, ValueKind::Number | ValueKind::String) {
            return Ok(none());
        }
        py::compare(state, left, right).map(|order| Value::from(holds(order)))
    };
    match how {
        Compare::Eq => Ok(Value::from(equal())),
        Compare::Ne => Ok(Value::from(!equal())),
        Compare::Lt => order(std::cmp::Ordering::is_lt),
        Compare::Le => order(std::cmp::Ordering::is_le),
        Compare::Gt => order(std::cmp::Ordering::is_gt),
        Compare::Ge => order(std::cmp::Ordering::is_ge),
    }
}

fn call(state: &State<'_, '_>, name: &str, given: &[Value]) -> Result<Value, Error> {
    let unfit = || {
        let types: Vec<_> = given.iter().map(py::type_name).collect();
        wrong(format!(
            "`json_query`: {name}() does not work on ({})",
            types.join(", ")
        ))
    };
    let texts = || match given {
        [a, b] => a.as_str().zip(b.as_str()).ok_or_else(unfit),
        _ => Err(unfit()),
    };
    match (name, given) {
        ("not_null", [_, ..]) => {
            let found = given.iter().find(|value| !value.is_none());
            Ok(found.cloned().unwrap_or_else(none))
        }
        ("contains", [list, sought]) if is_list(list) => {
            Ok(Value::from(py::items(state, list)?.contains(sought)))
        }
        ("contains", _) => texts().map(|(text, sought)| Value::from(text.contains(sought))),
        ("starts_with", _) => texts().map(|(text, start)| Value::from(text.starts_with(start))),
        ("ends_with", _) => texts().map(|(text, end)| Value::from(text.ends_with(end))),
        ("length", [value]) if value.kind() == ValueKind::String || value.len().is_some() => {
            Ok(Value::from(value.len().unwrap_or(0)))
        }
        ("length", [value]) if is_list(value) => Ok(Value::from(py::items(state, value)?.len())),
        ("keys", [dict]) if dict.kind() == ValueKind::Map => py::items(state, dict).map(py::list),
        ("values", [dict]) if dict.kind() == ValueKind::Map => {
            let values = values(state, dict)?;
            Ok(py::list(values.unwrap_or_default()))
        }
        ("length" | "keys" | "values" | "not_null", _) => Err(unfit()),
        _ => Err(wrong(format!(
            "`json_query` has no function `{name}`; use the filters of Jinja2 on what it finds"
        ))),
    }
}
