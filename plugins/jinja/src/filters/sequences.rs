//! Filters of lists, dicts, and of values of any kind.
//!
//! Where Python makes an iterator, these make a list: it prints, counts and can be read twice.

use std::collections::HashSet;

use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{AutoEscape, Error, ErrorKind, State, Value};

use super::html::escaped;
use super::{Filter, Group};
use crate::args::{self, Args};
use crate::engine::to_str;
use crate::functions::Names;
use crate::limits;
use crate::pprint;
use crate::py::{self, Path, fold, items, wrong};

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
    items(state, value).map(py::list)
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
        let name = py::type_name(value);
        wrong(format!("object of type '{name}' has no len()"))
    })
}

fn reverse(state: &mut State<'_, '_>, value: &Value, _: &Args) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        py::read(state, value)?;
        return Ok(Value::from(text.chars().rev().collect::<String>()));
    }
    let mut items = items(state, value)?;
    items.reverse();
    Ok(py::list(items))
}

/// Nothing here is random, so that a render can be repeated: it is the item in the middle.
fn random(state: &mut State<'_, '_>, value: &Value, _: &Args) -> Result<Value, Error> {
    let items = items(state, value)?;
    Ok(items.get(items.len() / 2).cloned().unwrap_or_default())
}

/// The pairs of a dict.
pub(crate) fn members(state: &State<'_, '_>, value: &Value) -> Result<Vec<(Value, Value)>, Error> {
    let keys = items(state, value)?;
    let pair = |key: Value| py::item(value, &key).map(|item| (key, item));
    keys.into_iter().map(pair).collect()
}

fn pairs(state: &mut State<'_, '_>, value: &Value, _: &Args) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Undefined => Ok(py::list(Vec::new())),
        ValueKind::Map => {
            let members = members(state, value)?;
            let tuple = |(key, item)| py::tuple(vec![key, item]);
            Ok(py::list(members.into_iter().map(tuple).collect()))
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
            py::afford(state, by.len())?;
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

fn sort(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    let exact = args.flag(1, false);
    let paths = Path::several(args.get(2));
    let mut keyed = Vec::new();
    for item in items(state, value)? {
        let key = |path: &Path| {
            let key = path.of(state, &item, None)?;
            Ok(if exact { key } else { fold(key) })
        };
        let key: Result<Vec<Value>, Error> = paths.iter().map(key).collect();
        keyed.push((Value::from(key?), item));
    }
    py::sort(state, keyed, args.flag(0, false)).map(py::list)
}

fn unique(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    let exact = args.flag(0, false);
    let path = Path::new(args.get(1));
    let (mut seen, mut out) = (HashSet::new(), Vec::new());
    for item in items(state, value)? {
        let key = path.of(state, &item, None)?;
        py::hashable(&key)?;
        state.consume_fuel(2)?;
        if seen.insert(if exact { key } else { fold(key) }) {
            out.push(item);
        }
    }
    Ok(py::list(out))
}

fn extreme(
    state: &State<'_, '_>,
    value: &Value,
    args: &Args,
    better: fn(std::cmp::Ordering) -> bool,
) -> Result<Value, Error> {
    let exact = args.flag(0, false);
    let path = Path::new(args.get(1));
    let mut best: Option<(Value, Value)> = None;
    for item in items(state, value)? {
        let key = path.of(state, &item, None)?;
        let key = if exact { key } else { fold(key) };
        let wins = match &best {
            Some((known, _)) => better(py::compare(state, &key, known)?),
            None => true,
        };
        if wins {
            best = Some((key, item));
        }
    }
    Ok(best.map(|(_, item)| item).unwrap_or_default())
}

fn min(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    extreme(state, value, args, std::cmp::Ordering::is_lt)
}

fn max(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    extreme(state, value, args, std::cmp::Ordering::is_gt)
}

fn sum(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    let path = Path::new(args.get(0));
    let mut total = args.get(1).cloned().unwrap_or_else(|| Value::from(0));
    if total.as_str().is_some() {
        return Err(wrong("sum() can't sum strings; use `join`"));
    }
    // Floats are summed as Python up to 3.11 does, one after the other.
    for item in items(state, value)? {
        total = py::add(state, &total, &path.of(state, &item, None)?)?;
    }
    Ok(total)
}

fn groupby(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    let exact = args.flag(2, false);
    let path = Path::new(args.get(0));
    let mut keyed = Vec::new();
    for item in items(state, value)? {
        let key = path.of(state, &item, args.some(1))?;
        let shown = key.clone();
        let key = if exact { key } else { fold(key) };
        keyed.push((key.clone(), py::tuple(vec![key, shown, item])));
    }
    let mut groups: Vec<(Value, Value, Vec<Value>)> = Vec::new();
    for entry in py::sort(state, keyed, false)? {
        let [key, shown, item] =
            [0, 1, 2].map(|at| entry.get_item_by_index(at).unwrap_or_default());
        match groups.last_mut() {
            Some((known, _, list)) if *known == key => list.push(item),
            _ => groups.push((key, shown, vec![item])),
        }
    }
    let group = |(_, grouper, list)| {
        let list = py::list(list);
        Value::from_object(Group { grouper, list })
    };
    Ok(py::list(groups.into_iter().map(group).collect()))
}

fn dictsort(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    let exact = args.flag(0, false);
    let by_value = match args.get(1).map_or(Some("key"), Value::as_str) {
        Some("key") => false,
        Some("value") => true,
        _ => return Err(wrong("You can only sort by either \"key\" or \"value\"")),
    };
    if value.kind() != ValueKind::Map {
        return Err(wrong("only a dict can be sorted so"));
    }
    let mut keyed = Vec::new();
    for (key, item) in members(state, value)? {
        let by = if by_value { item.clone() } else { key.clone() };
        let by = if exact { by } else { fold(by) };
        keyed.push((by, py::tuple(vec![key, item])));
    }
    py::sort(state, keyed, args.flag(2, false)).map(py::list)
}

fn batch(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    let size = usize::try_from(args.int(0, 0)?).unwrap_or(0);
    let all = items(state, value)?;
    if size == 0 {
        // Jinja2 never finds a batch full.
        let rows = if all.is_empty() {
            vec![]
        } else {
            vec![py::list(Vec::new()), py::list(all)]
        };
        return Ok(py::list(rows));
    }
    let mut rows = Vec::new();
    for row in all.chunks(size) {
        state.consume_fuel(1)?;
        let mut row = row.to_vec();
        if let Some(fill) = args.some(1) {
            py::afford(state, (size - row.len()).saturating_mul(24))?;
            row.resize(size, fill.clone());
        }
        rows.push(py::list(row));
    }
    Ok(py::list(rows))
}

fn slice(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    let all = items(state, value)?;
    let slices = usize::try_from(args.int(0, 0)?).unwrap_or(0);
    if slices == 0 {
        return Err(wrong("the number of slices has to be above zero"));
    }
    py::afford(state, slices.saturating_mul(64))?;
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
        rows.push(py::list(row));
    }
    Ok(py::list(rows))
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

type Many = Rest<ValueOrKwargs>;

/// Adds the filters that hand arguments on.
pub(crate) fn add(environment: &mut Names<'_>) {
    environment.add_filter("map", |s: &mut State<'_, '_>, v: Value, r: Many| {
        map(s, &v, r)
    });
    // For slices, where a template changes lists: see `rewrite`.
    environment.add_filter(
        "__copy",
        |state: &State<'_, '_>, value: Value| match value.kind() {
            ValueKind::Seq | ValueKind::Iterable if !py::is_tuple(&value) => {
                items(state, &value).map(py::list)
            }
            _ => Ok(value),
        },
    );
    environment.add_filter("select", |s: &mut State<'_, '_>, v: Value, r: Many| {
        choose(s, &v, r, false, true)
    });
    environment.add_filter("reject", |s: &mut State<'_, '_>, v: Value, r: Many| {
        choose(s, &v, r, false, false)
    });
    environment.add_filter("selectattr", |s: &mut State<'_, '_>, v: Value, r: Many| {
        choose(s, &v, r, true, true)
    });
    environment.add_filter("rejectattr", |s: &mut State<'_, '_>, v: Value, r: Many| {
        choose(s, &v, r, true, false)
    });
    environment.add_filter("format", |s: &mut State<'_, '_>, v: Value, r: Many| {
        super::strings::format(s, &v, &args::values(r))
    });
}

/// `map(filter, *args)`, or `map(attribute=…, default=…)`.
fn map(state: &mut State<'_, '_>, value: &Value, rest: Many) -> Result<Value, Error> {
    state.consume_fuel(2 * limits::CALL)?;
    let given = args::values(rest);
    let (places, names) = args::split(&given)?;
    let all = if value.is_true() {
        items(state, value)?
    } else {
        Vec::new()
    };
    let mut out = Vec::with_capacity(all.len());
    if let (true, Some(_)) = (
        places.is_empty(),
        names.iter().find(|(n, _)| n == "attribute"),
    ) {
        let args = Args::bind(&["attribute", "default"], &given)?;
        let path = Path::new(args.get(0));
        for item in all {
            out.push(path.of(state, &item, args.some(1))?);
        }
        return Ok(py::list(out));
    }
    let Some((name, _)) = places.split_first() else {
        return Err(wrong("map requires a filter argument"));
    };
    let name = name
        .as_str()
        .ok_or_else(|| wrong("the filter's name has to be a text"))?;
    let mut call: Vec<Value> = given.clone();
    for item in all {
        if let Some(first) = call.first_mut() {
            *first = item;
        }
        state.consume_fuel(2)?;
        out.push(state.apply_filter(name, &call).map_err(at_runtime)?);
    }
    Ok(py::list(out))
}

/// A name that is only known when the template runs is no fault of its syntax.
fn at_runtime(error: Error) -> Error {
    match error.kind() {
        ErrorKind::UnknownFilter | ErrorKind::UnknownTest => wrong(error.to_string()),
        _ => error,
    }
}

/// `select`, `reject` and, by an attribute, `selectattr` and `rejectattr`.
fn choose(
    state: &mut State<'_, '_>,
    value: &Value,
    rest: Many,
    by_attribute: bool,
    wanted: bool,
) -> Result<Value, Error> {
    state.consume_fuel(limits::CALL)?;
    let given = args::values(rest);
    let (path, given) = match given.split_first() {
        Some((path, given)) if by_attribute && !path.is_kwargs() => (Path::new(Some(path)), given),
        _ if by_attribute => return Err(wrong("Missing parameter for attribute name")),
        _ => (Path::default(), given.as_slice()),
    };
    let all = if value.is_true() {
        items(state, value)?
    } else {
        Vec::new()
    };
    let mut out = Vec::new();
    let mut call = given.to_vec();
    for item in all {
        let tested = path.of(state, &item, None)?;
        let holds = match given.first().map(|name| (name, name.as_str())) {
            None => tested.is_true(),
            Some((_, Some(name))) => {
                state.consume_fuel(limits::CALL)?;
                if let Some(first) = call.first_mut() {
                    *first = tested;
                }
                state.perform_test(name, &call).map_err(at_runtime)?
            }
            Some(_) => return Err(wrong("the test's name has to be a text")),
        };
        if holds == wanted {
            out.push(item);
        }
    }
    Ok(py::list(out))
}
