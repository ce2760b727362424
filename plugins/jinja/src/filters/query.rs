//! `json_query`: the part of JMESPath that looks things up.
//!
//! `a.b`, `"a b"`, `[0]`, `[-1]`, `[*]`, `*`, `[]` (flatten), `[?a.b == 'x']` (also `!=`, `<`, `<=`, `>`,
//! `>=`, or just a path; literals are `'text'` and `` `json` ``) and `|`. No functions, slices or
//! multi-selects; those are refused.

use minijinja::value::ValueKind;
use minijinja::{Error, State, Value};

use crate::args::Args;
use crate::filters::sequences::members;
use crate::py::{self, wrong};

/// `json_query(expr)`: what is found, or `None`.
pub(crate) fn json_query(
    state: &mut State<'_, '_>,
    value: &Value,
    args: &Args,
) -> Result<Value, Error> {
    let expression = args.text(state, 0, "")?;
    let mut value = value.clone();
    for part in top(&expression, '|') {
        value = path(state, &value, part.trim(), 0)?;
    }
    Ok(value)
}

fn odd(rest: &str) -> Error {
    wrong(format!("`json_query` does not understand `{rest}`"))
}

/// The parts between a character outside of quotes and brackets.
fn top(text: &str, by: char) -> Vec<&str> {
    let (mut parts, mut from, mut depth, mut quote) = (Vec::new(), 0, 0_usize, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (None, '\'' | '"' | '`') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') => depth = depth.saturating_sub(1),
            (None, c) if c == by && depth == 0 => {
                parts.push(text.get(from..at).unwrap_or_default());
                from = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text.get(from..).unwrap_or_default());
    parts
}

/// What a path leads to. What comes after a projection applies to each of its items.
fn path(state: &State<'_, '_>, value: &Value, path: &str, depth: usize) -> Result<Value, Error> {
    state.consume_fuel(4)?;
    if depth > 32 {
        return Err(wrong("the query nests too deeply"));
    }
    let path = path.trim();
    if path.is_empty() || path == "@" {
        return Ok(value.clone());
    }
    if let Some(rest) = path.strip_prefix('[') {
        let Some((inner, rest)) = closing(rest) else {
            return Err(odd(path));
        };
        let rest = rest.strip_prefix('.').unwrap_or(rest);
        let list = matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable);
        if let Ok(at) = inner.trim().parse::<i64>() {
            let found = if list {
                py::item(value, &Value::from(at))?
            } else {
                Value::from(())
            };
            return self::path(state, &none(found), rest, depth + 1);
        }
        if !list {
            return Ok(Value::from(()));
        }
        let mut chosen = Vec::new();
        for item in py::items(state, value)? {
            match inner.trim() {
                "" if matches!(item.kind(), ValueKind::Seq | ValueKind::Iterable) => {
                    chosen.extend(py::items(state, &item)?);
                }
                "" | "*" => chosen.push(item),
                other => {
                    let condition = other.strip_prefix('?').ok_or_else(|| odd(path))?;
                    if holds(state, &item, condition, depth)? {
                        chosen.push(item);
                    }
                }
            }
        }
        return project(state, chosen, rest, depth);
    }
    let (name, rest) = if let Some(quoted) = path.strip_prefix('"') {
        quoted.split_once('"').ok_or_else(|| odd(path))?
    } else {
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '*' | '@');
        path.split_at(path.find(|c| !plain(c)).unwrap_or(path.len()))
    };
    let rest = match rest.strip_prefix('.') {
        Some(rest) => rest,
        None if rest.is_empty() || rest.starts_with('[') => rest,
        None => return Err(odd(rest)),
    };
    if name == "*" {
        let all = match value.kind() {
            ValueKind::Map => members(state, value)?,
            _ => return Ok(Value::from(())),
        };
        return project(
            state,
            all.into_iter().map(|(_, item)| item).collect(),
            rest,
            depth,
        );
    }
    if name.is_empty() {
        return Err(odd(path));
    }
    let found = match value.kind() {
        ValueKind::Map => py::item(value, &Value::from(name))?,
        _ => Value::from(()),
    };
    self::path(state, &none(found), rest, depth + 1)
}

/// What stands before the closing bracket, and after it.
fn closing(text: &str) -> Option<(&str, &str)> {
    let (mut depth, mut quote) = (1_usize, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (None, '\'' | '"' | '`') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((text.get(..at)?, text.get(at + 1..)?));
        }
    }
    None
}

fn none(value: Value) -> Value {
    if value.is_undefined() {
        Value::from(())
    } else {
        value
    }
}

fn project(
    state: &State<'_, '_>,
    items: Vec<Value>,
    rest: &str,
    depth: usize,
) -> Result<Value, Error> {
    // Flattening ends a projection: it looks at all that was found so far together.
    let (rest, flatten) = rest.split_at(rest.find("[]").unwrap_or(rest.len()));
    let rest = rest.strip_suffix('.').unwrap_or(rest);
    let mut found = Vec::new();
    for item in items {
        let item = path(state, &item, rest, depth + 1)?;
        if !item.is_none() {
            found.push(item);
        }
    }
    path(state, &py::list(found), flatten, depth + 1)
}

/// Whether a filter's condition holds for an item.
fn holds(
    state: &State<'_, '_>,
    item: &Value,
    condition: &str,
    depth: usize,
) -> Result<bool, Error> {
    for operator in ["==", "!=", "<=", ">=", "<", ">"] {
        let Some((left, right)) = split(condition, operator) else {
            continue;
        };
        let left = operand(state, item, left, depth)?;
        let right = operand(state, item, right, depth)?;
        return Ok(match operator {
            "==" => left == right,
            "!=" => left != right,
            _ => match py::compare(state, &left, &right) {
                Ok(order) => match operator {
                    "<" => order.is_lt(),
                    "<=" => order.is_le(),
                    ">" => order.is_gt(),
                    _ => order.is_ge(),
                },
                Err(_) => false,
            },
        });
    }
    Ok(operand(state, item, condition, depth)?.is_true())
}

/// Both sides of an operator outside of quotes.
fn split<'t>(text: &'t str, operator: &str) -> Option<(&'t str, &'t str)> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => quote = Some(c),
            (None, _) => {
                if let Some(right) = text.get(at..)?.strip_prefix(operator) {
                    return Some((text.get(..at)?, right));
                }
            }
        }
    }
    None
}

fn operand(state: &State<'_, '_>, item: &Value, text: &str, depth: usize) -> Result<Value, Error> {
    let text = text.trim();
    let between = |quote: char| text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote));
    if let Some(literal) = between('\'') {
        return Ok(Value::from(literal));
    }
    let Some(literal) = between('`') else {
        return path(state, item, text, depth + 1);
    };
    let document = crate::document::Document::new(literal).map_err(|e| wrong(e.message))?;
    document.value().map_err(|e| wrong(e.message))
}
