//! `pprint`: Python's `pprint.pformat`, 80 columns wide.

use minijinja::value::ValueKind;
use minijinja::{Error, State, Value};

use crate::args::Args;
use crate::filters::sequences::members;
use crate::methods::strings::repr;
use crate::values::{self, wrong};

const WIDTH: usize = 80;
const MAX_DEPTH: usize = 64;

/// The filter.
pub(crate) fn pprint(state: &mut State<'_, '_>, value: &Value, _: &Args) -> Result<Value, Error> {
    let mut out = String::new();
    format(state, value, 0, 0, 0, &mut out)?;
    Ok(Value::from(out))
}

/// `repr()` with the keys of dicts in order.
fn sorted_repr(state: &State<'_, '_>, value: &Value, depth: usize) -> Result<String, Error> {
    if depth > MAX_DEPTH {
        return Err(wrong("the value nests too deeply"));
    }
    let all = |items: Vec<Value>| -> Result<Vec<String>, Error> {
        items
            .iter()
            .map(|item| sorted_repr(state, item, depth + 1))
            .collect()
    };
    Ok(match value.kind() {
        ValueKind::Map => {
            let mut parts = Vec::new();
            for (key, item) in sorted_members(state, value)? {
                let item = sorted_repr(state, &item, depth + 1)?;
                parts.push(format!("{}: {item}", repr(state, &key)?));
            }
            format!("{{{}}}", parts.join(", "))
        }
        ValueKind::Seq if values::is_tuple(value) => match &*all(values::items(state, value)?)? {
            [only] => format!("({only},)"),
            parts => format!("({})", parts.join(", ")),
        },
        ValueKind::Seq => format!("[{}]", all(values::items(state, value)?)?.join(", ")),
        _ => repr(state, value)?,
    })
}

/// Sorted by key; keys of different types by the names of their types.
fn sorted_members(state: &State<'_, '_>, value: &Value) -> Result<Vec<(Value, Value)>, Error> {
    let mut members = members(state, value)?;
    state.consume_fuel(members.len() as u64 * 4)?;
    members.sort_by(|(a, _), (b, _)| {
        let numeric = |v: &Value| matches!(v.kind(), ValueKind::Bool | ValueKind::Number);
        if a.kind() == b.kind() || (numeric(a) && numeric(b)) {
            a.cmp(b)
        } else {
            values::type_name(a).cmp(values::type_name(b))
        }
    });
    Ok(members)
}

/// `PrettyPrinter._format`: `indent` columns stand before it, `allowance` come after.
fn format(
    state: &State<'_, '_>,
    value: &Value,
    indent: usize,
    allowance: usize,
    depth: usize,
    out: &mut String,
) -> Result<(), Error> {
    let flat = sorted_repr(state, value, depth)?;
    let room = WIDTH.saturating_sub(indent + allowance);
    if flat.chars().count() <= room {
        out.push_str(&flat);
        return Ok(());
    }
    values::afford(state, indent)?;
    let spaces = " ".repeat(indent);
    match value.kind() {
        ValueKind::Map => {
            out.push('{');
            let members = sorted_members(state, value)?;
            for (n, (key, item)) in members.iter().enumerate() {
                let key = repr(state, key)?;
                out.push_str(&key);
                out.push_str(": ");
                let last = n + 1 == members.len();
                let after = if last { allowance + 1 } else { 1 };
                let column = indent + key.chars().count() + 3;
                format(state, item, column, after, depth + 1, out)?;
                if !last {
                    out.push_str(&format!(",\n{spaces} "));
                }
            }
            out.push('}');
        }
        ValueKind::Seq => {
            let tuple = values::is_tuple(value);
            let items = values::items(state, value)?;
            out.push(if tuple { '(' } else { '[' });
            let close = match (tuple, items.len()) {
                (true, 1) => ",)",
                (true, _) => ")",
                _ => "]",
            };
            for (n, item) in items.iter().enumerate() {
                let last = n + 1 == items.len();
                let after = if last { allowance + close.len() } else { 1 };
                format(state, item, indent + 1, after, depth + 1, out)?;
                if !last {
                    out.push_str(&format!(",\n{spaces} "));
                }
            }
            out.push_str(close);
        }
        // Escaped text is of another class, which is printed as it is.
        ValueKind::String if !value.is_safe() => {
            let text = value.as_str().unwrap_or_default();
            string(state, text, indent, allowance, depth, out)?;
        }
        _ => out.push_str(&flat),
    }
    Ok(())
}

/// `PrettyPrinter._pprint_str`.
fn string(
    state: &State<'_, '_>,
    text: &str,
    indent: usize,
    allowance: usize,
    depth: usize,
    out: &mut String,
) -> Result<(), Error> {
    let (indent, allowance) = if depth == 0 {
        (indent + 1, allowance + 1)
    } else {
        (indent, allowance)
    };
    let most = WIDTH.saturating_sub(indent);
    state.consume_fuel(text.len() as u64 / 2)?;
    let lines = values::lines(text, true);
    let mut chunks: Vec<String> = Vec::new();
    let quoted = |text: &str| repr(state, &Value::from(text));
    for (n, line) in lines.iter().enumerate() {
        let last_line = n + 1 == lines.len();
        let whole = quoted(line)?;
        let room = if last_line {
            most.saturating_sub(allowance)
        } else {
            most
        };
        if whole.chars().count() <= room {
            chunks.push(whole);
            continue;
        }
        // `\S*\s*`: words with the space after them.
        let mut words: Vec<&str> = Vec::new();
        let mut rest = *line;
        while !rest.is_empty() {
            let word = rest.find(values::is_space).unwrap_or(rest.len());
            let tail = rest.get(word..).unwrap_or_default();
            let space = tail.find(|c| !values::is_space(c)).unwrap_or(tail.len());
            let (part, after) = rest.split_at(word + space);
            words.push(part);
            rest = after;
        }
        let mut current = String::new();
        for (at, word) in words.iter().enumerate() {
            let candidate = format!("{current}{word}");
            let room = if at + 1 == words.len() && last_line {
                most.saturating_sub(allowance)
            } else {
                most
            };
            if quoted(&candidate)?.chars().count() > room {
                if !current.is_empty() {
                    chunks.push(quoted(&current)?);
                }
                current = (*word).to_owned();
            } else {
                current = candidate;
            }
        }
        if !current.is_empty() {
            chunks.push(quoted(&current)?);
        }
    }
    if let [only] = &*chunks {
        out.push_str(only);
        return Ok(());
    }
    values::afford(state, chunks.len().saturating_mul(indent))?;
    let brackets = depth == 0;
    if brackets {
        out.push('(');
    }
    out.push_str(&chunks.join(&format!("\n{}", " ".repeat(indent))));
    if brackets {
        out.push(')');
    }
    Ok(())
}
