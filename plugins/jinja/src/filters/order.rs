//! Filters that compare what is in a list or dict: they sort, group, add up and find what is there once.

use std::collections::HashSet;

use minijinja::value::ValueKind;
use minijinja::{Error, State, Value};

use super::Group;
use super::sequences::members;
use crate::args::Args;
use crate::values::{self, Path, fold, items, wrong};

pub(super) fn sort(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
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
    values::sort(state, keyed, args.flag(0, false)).map(values::list)
}

pub(super) fn unique(
    state: &mut State<'_, '_>,
    value: &Value,
    args: &Args,
) -> Result<Value, Error> {
    let exact = args.flag(0, false);
    let path = Path::new(args.get(1));
    let (mut seen, mut out) = (HashSet::new(), Vec::new());
    for item in items(state, value)? {
        let key = path.of(state, &item, None)?;
        values::hashable(&key)?;
        state.consume_fuel(2)?;
        if seen.insert(if exact { key } else { fold(key) }) {
            out.push(item);
        }
    }
    Ok(values::list(out))
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
            Some((known, _)) => better(values::compare(state, &key, known)?),
            None => true,
        };
        if wins {
            best = Some((key, item));
        }
    }
    Ok(best.map(|(_, item)| item).unwrap_or_default())
}

pub(super) fn min(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    extreme(state, value, args, std::cmp::Ordering::is_lt)
}

pub(super) fn max(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    extreme(state, value, args, std::cmp::Ordering::is_gt)
}

pub(super) fn sum(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    let path = Path::new(args.get(0));
    let mut total = args.get(1).cloned().unwrap_or_else(|| Value::from(0));
    if total.as_str().is_some() {
        return Err(wrong("sum() can't sum strings; use `join`"));
    }
    // Floats are summed as Python up to 3.11 does, one after the other.
    for item in items(state, value)? {
        total = values::add(state, &total, &path.of(state, &item, None)?)?;
    }
    Ok(total)
}

pub(super) fn groupby(
    state: &mut State<'_, '_>,
    value: &Value,
    args: &Args,
) -> Result<Value, Error> {
    let exact = args.flag(2, false);
    let path = Path::new(args.get(0));
    let mut keyed = Vec::new();
    for item in items(state, value)? {
        let key = path.of(state, &item, args.some(1))?;
        let shown = key.clone();
        let key = if exact { key } else { fold(key) };
        keyed.push((key.clone(), values::tuple(vec![key, shown, item])));
    }
    let mut groups: Vec<(Value, Value, Vec<Value>)> = Vec::new();
    for entry in values::sort(state, keyed, false)? {
        let [key, shown, item] =
            [0, 1, 2].map(|at| entry.get_item_by_index(at).unwrap_or_default());
        match groups.last_mut() {
            Some((known, _, list)) if *known == key => list.push(item),
            _ => groups.push((key, shown, vec![item])),
        }
    }
    let group = |(_, grouper, list)| {
        let list = values::list(list);
        Value::from_object(Group { grouper, list })
    };
    Ok(values::list(groups.into_iter().map(group).collect()))
}

pub(super) fn dictsort(
    state: &mut State<'_, '_>,
    value: &Value,
    args: &Args,
) -> Result<Value, Error> {
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
        keyed.push((by, values::tuple(vec![key, item])));
    }
    values::sort(state, keyed, args.flag(2, false)).map(values::list)
}
