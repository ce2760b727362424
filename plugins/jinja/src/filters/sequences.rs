//! Filters of lists, dicts, and of values of any kind.
//!
//! Where Python makes an iterator, these make a list: it prints, counts and can be read twice.

use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Error, ErrorKind, State, Value};

use super::html::escaped;
use super::order::{dictsort, groupby, max, min, sort, sum, unique};
use super::{Filter, Group};
use crate::args::Args;
use crate::output::to_str;
use crate::pprint;
use crate::values::{self, Path, items, wrong};

pub(crate) const FILTERS: &[Filter] = &[
    Filter {
        names: &["list"],
        parameters: &[],
        apply: list,
    },
    Filter {
        names: &["first"],
        parameters: &[],
        apply: first,
    },
    Filter {
        names: &["last"],
        parameters: &[],
        apply: last,
    },
    Filter {
        names: &["length", "count"],
        parameters: &[],
        apply: length,
    },
    Filter {
        names: &["reverse"],
        parameters: &[],
        apply: reverse,
    },
    Filter {
        names: &["random"],
        parameters: &[],
        apply: random,
    },
    Filter {
        names: &["items"],
        parameters: &[],
        apply: pairs,
    },
    Filter {
        names: &["join"],
        parameters: &["d", "attribute"],
        apply: join,
    },
    Filter {
        names: &["sort"],
        parameters: &["reverse", "case_sensitive", "attribute"],
        apply: sort,
    },
    Filter {
        names: &["unique"],
        parameters: &["case_sensitive", "attribute"],
        apply: unique,
    },
    Filter {
        names: &["min"],
        parameters: &["case_sensitive", "attribute"],
        apply: min,
    },
    Filter {
        names: &["max"],
        parameters: &["case_sensitive", "attribute"],
        apply: max,
    },
    Filter {
        names: &["sum"],
        parameters: &["attribute", "start"],
        apply: sum,
    },
    Filter {
        names: &["groupby"],
        parameters: &["attribute!", "default", "case_sensitive"],
        apply: groupby,
    },
    Filter {
        names: &["dictsort"],
        parameters: &["case_sensitive", "by", "reverse"],
        apply: dictsort,
    },
    Filter {
        names: &["batch"],
        parameters: &["linecount!", "fill_with"],
        apply: batch,
    },
    Filter {
        names: &["slice"],
        parameters: &["slices!", "fill_with"],
        apply: slice,
    },
    Filter {
        names: &["attr"],
        parameters: &["name!"],
        apply: attr,
    },
    Filter {
        names: &["default", "d"],
        parameters: &["default_value", "boolean"],
        apply: default,
    },
    Filter {
        names: &["pprint"],
        parameters: &[],
        apply: pprint::pprint,
    },
];

fn list(state: &mut State<'_, '_>, value: &Value, _: &Args) -> Result<Value, Error> {
    items(state, value).map(values::list)
}

fn first(state: &mut State<'_, '_>, value: &Value, _: &Args) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        return Ok(text.chars().next().map_or_else(Value::default, Value::from));
    }
    Ok(items(state, value)?.into_iter().next().unwrap_or_default())
}

fn last(state: &mut State<'_, '_>, value: &Value, _: &Args) -> Result<Value, Error> {
    Ok(items(state, value)?.pop().unwrap_or_default())
}

fn length(_: &mut State<'_, '_>, value: &Value, _: &Args) -> Result<Value, Error> {
    if value.is_undefined() {
        return Ok(Value::from(0));
    }
    let length = match value.kind() {
        ValueKind::String | ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => value.len(),
        _ => None,
    };
    length.map(Value::from).ok_or_else(|| {
        let name = values::type_name(value);
        wrong(format!("object of type '{name}' has no len()"))
    })
}

fn reverse(state: &mut State<'_, '_>, value: &Value, _: &Args) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        values::read(state, value)?;
        return Ok(Value::from(text.chars().rev().collect::<String>()));
    }
    let mut items = items(state, value)?;
    items.reverse();
    Ok(values::list(items))
}

/// Nothing here is random, so that a render can be repeated: it is the item in the middle.
fn random(state: &mut State<'_, '_>, value: &Value, _: &Args) -> Result<Value, Error> {
    let items = items(state, value)?;
    Ok(items.get(items.len() / 2).cloned().unwrap_or_default())
}

/// The pairs of a dict.
pub(crate) fn members(state: &State<'_, '_>, value: &Value) -> Result<Vec<(Value, Value)>, Error> {
    let keys = items(state, value)?;
    let pair = |key: Value| values::item(value, &key).map(|item| (key, item));
    keys.into_iter().map(pair).collect()
}

fn pairs(state: &mut State<'_, '_>, value: &Value, _: &Args) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Undefined => Ok(values::list(Vec::new())),
        ValueKind::Map => {
            let members = members(state, value)?;
            let tuple = |(key, item)| values::tuple(vec![key, item]);
            Ok(values::list(members.into_iter().map(tuple).collect()))
        }
        _ => Err(wrong("Can only get item pairs from a mapping.")),
    }
}

fn join(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    let path = Path::new(args.get(1));
    let mut parts = Vec::new();
    for item in items(state, value)? {
        parts.push(path.of(state, &item, None)?);
    }
    let by = args.get(0).cloned().unwrap_or_else(|| Value::from(""));
    let html = matches!(state.auto_escape(), AutoEscape::Html);
    let safe = html && (by.is_safe() || parts.iter().any(Value::is_safe));
    let text = |value: &Value| match (html, safe) {
        (true, true) => escaped(state, value),
        _ => to_str(state, value).map(String::from),
    };
    let by = text(&by)?;
    let mut out = String::new();
    for (n, part) in parts.iter().enumerate() {
        if n > 0 {
            values::afford(state, by.len())?;
            out.push_str(&by);
        }
        out.push_str(&text(part)?);
    }
    Ok(if safe {
        Value::from_safe_string(out)
    } else {
        Value::from(out)
    })
}

fn batch(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    let size = usize::try_from(args.int(0, 0)?).unwrap_or(0);
    let all = items(state, value)?;
    if size == 0 {
        // Jinja2 never finds a batch full.
        let rows = if all.is_empty() {
            vec![]
        } else {
            vec![values::list(Vec::new()), values::list(all)]
        };
        return Ok(values::list(rows));
    }
    let mut rows = Vec::new();
    for row in all.chunks(size) {
        state.consume_fuel(1)?;
        let mut row = row.to_vec();
        if let Some(fill) = args.some(1) {
            values::afford(state, (size - row.len()).saturating_mul(24))?;
            row.resize(size, fill.clone());
        }
        rows.push(values::list(row));
    }
    Ok(values::list(rows))
}

fn slice(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    let all = items(state, value)?;
    let slices = usize::try_from(args.int(0, 0)?).unwrap_or(0);
    if slices == 0 {
        return Err(wrong("the number of slices has to be above zero"));
    }
    values::afford(state, slices.saturating_mul(64))?;
    let (each, extra) = (all.len() / slices, all.len() % slices);
    let (mut rows, mut rest) = (Vec::new(), all.as_slice());
    for n in 0..slices {
        let size = each + usize::from(n < extra);
        let (row, tail) = rest.split_at(size.min(rest.len()));
        rest = tail;
        let mut row = row.to_vec();
        if let (Some(fill), true) = (args.some(1), n >= extra) {
            row.push(fill.clone());
        }
        rows.push(values::list(row));
    }
    Ok(values::list(rows))
}

/// An attribute, never an item: of all that a template handles only a namespace or a group has any.
fn attr(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    let name = args.text(state, 0, "")?;
    if value.is_undefined() {
        return Err(ErrorKind::UndefinedError.into());
    }
    match value.downcast_object_ref::<Group>() {
        Some(_) => Ok(value.get_attr(&name).unwrap_or_default()),
        None => Ok(Value::UNDEFINED),
    }
}

fn default(_: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    let absent = value.is_undefined() || (args.flag(1, false) && !value.is_true());
    Ok(if absent {
        args.get(0).cloned().unwrap_or_else(|| Value::from(""))
    } else {
        value.clone()
    })
}
