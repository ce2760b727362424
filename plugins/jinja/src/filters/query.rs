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
    let pipes = unquoted(&expression).filter(|&(_, c, depth)| c == '|' && depth == 0);
    let ends = pipes.map(|(at, ..)| at).chain([expression.len()]);
    let (mut value, mut from) = (value.clone(), 0);
    for end in ends {
        let part = expression.get(from..end).unwrap_or_default().trim();
        if part.is_empty() {
            return Err(odd(&expression));
        }
        value = path(state, &value, part, 0)?;
        from = end + 1;
    }
    Ok(value)
}

fn odd(rest: &str) -> Error {
    wrong(format!("`json_query` does not understand `{rest}`"))
}

/// The characters outside of quotes, with their places and the brackets that are open before them. Within
/// quotes, a backslash takes the next character along.
fn unquoted(text: &str) -> impl Iterator<Item = (usize, char, usize)> {
    let (mut quote, mut escaped, mut depth) = (None, false, 0_usize);
    text.char_indices().filter_map(move |(at, c)| {
        if let Some(open) = quote {
            if escaped || c == '\\' {
                escaped = !escaped;
            } else if c == open {
                quote = None;
            }
            return None;
        }
        let before = depth;
        match c {
            '\'' | '"' | '`' => quote = Some(c),
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        Some((at, c, before))
    })
}

/// What follows on a part of a path: nothing, a name after a dot, or brackets.
fn next(rest: &str) -> Result<&str, Error> {
    match rest.strip_prefix('.') {
        Some(name) if !name.is_empty() && !name.starts_with(['.', '[']) => Ok(name),
        None if rest.is_empty() || rest.starts_with('[') => Ok(rest),
        _ => Err(odd(rest)),
    }
}

/// What a path leads to. What comes after a projection applies to each of its items.
fn path(state: &State<'_, '_>, value: &Value, path: &str, depth: usize) -> Result<Value, Error> {
    state.consume_fuel(4 + path.len() as u64 / 64)?;
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
        let rest = next(rest)?;
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
    let quoted = path.starts_with('"');
    let (name, rest) = if let Some(quoted) = path.strip_prefix('"') {
        quoted.split_once('"').ok_or_else(|| odd(path))?
    } else {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = match path.strip_prefix(['*', '@']) {
            Some(_) => 1,
            None => path.find(|c| !plain(c)).unwrap_or(path.len()),
        };
        path.split_at(end)
    };
    let rest = next(rest)?;
    if name == "@" && !quoted {
        return self::path(state, value, rest, depth + 1);
    }
    if name == "*" && !quoted {
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
    if !quoted && (name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit())) {
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
    let (at, ..) = unquoted(text).find(|&(_, c, depth)| c == ']' && depth == 0)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
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
    let flatten = unquoted(rest).find(|&(at, c, depth)| {
        c == '[' && depth == 0 && rest.get(at..).is_some_and(|rest| rest.starts_with("[]"))
    });
    let (rest, flatten) = rest.split_at(flatten.map_or(rest.len(), |(at, ..)| at));
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
    state.consume_fuel(condition.len() as u64 / 16)?;
    for operator in ["==", "!=", "<=", ">=", "<", ">"] {
        let Some((left, right)) = split(condition, operator) else {
            continue;
        };
        let left = operand(state, item, left, depth)?;
        let right = operand(state, item, right, depth)?;
        return Ok(match operator {
            "==" => equal(&left, &right),
            "!=" => !equal(&left, &right),
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

/// In JSON, unlike in Python, `true` is not 1.
fn equal(left: &Value, right: &Value) -> bool {
    let bools = [left, right].map(|value| value.kind() == ValueKind::Bool);
    bools[0] == bools[1] && left == right
}

/// Both sides of an operator outside of quotes.
fn split<'t>(text: &'t str, operator: &str) -> Option<(&'t str, &'t str)> {
    unquoted(text).find_map(|(at, ..)| {
        let right = text.get(at..)?.strip_prefix(operator)?;
        Some((text.get(..at)?, right))
    })
}

fn operand(state: &State<'_, '_>, item: &Value, text: &str, depth: usize) -> Result<Value, Error> {
    let text = text.trim();
    if text.is_empty() {
        return Err(wrong("a condition of `json_query` lacks a side"));
    }
    let between = |quote: char| text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote));
    if let Some(literal) = between('\'') {
        return Ok(Value::from(literal.replace("\\'", "'")));
    }
    let Some(literal) = between('`') else {
        return path(state, item, text, depth + 1);
    };
    let value = crate::document::Document::new(literal).and_then(|document| document.value());
    value.map_err(|_| wrong(format!("`json_query`: {literal} is no valid JSON")))
}
