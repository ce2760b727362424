//! Methods of lists and tuples.

use std::sync::Arc;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

use crate::args::Args;
use crate::mutable::{Dict, List};
use crate::values::{self, items, wrong};

/// The methods that change nothing.
pub(crate) fn call(
    state: &State<'_, '_>,
    value: &Value,
    name: &str,
    given: &[Value],
) -> Result<Value, Error> {
    match name {
        "count" => {
            let args = Args::bind(&["value!"], given)?;
            let wanted = args.value(0);
            let all = items(state, value)?;
            Ok(Value::from(
                all.iter().filter(|&item| *item == wanted).count(),
            ))
        }
        "index" => {
            let args = Args::bind(&["value!", "start", "stop"], given)?;
            let wanted = args.value(0);
            let all = items(state, value)?;
            let (start, stop) = (args.int(1, 0)?, args.int(2, i64::MAX)?);
            let (start, stop) = (place(start, all.len()), place(stop, all.len()));
            let mut within = all.iter().enumerate().take(stop).skip(start);
            match within.find(|(_, item)| **item == wanted) {
                Some((at, _)) => Ok(Value::from(at)),
                None => Err(wrong("the value is not in the list")),
            }
        }
        "copy" if !values::is_tuple(value) => {
            Args::bind(&[], given)?;
            Ok(values::list(items(state, value)?))
        }
        "append" | "extend" | "insert" | "pop" | "remove" | "sort" | "reverse" | "clear"
            if !values::is_tuple(value) =>
        {
            Err(wrong(format!(
                "this list cannot be changed; make one with the filter `list` before `{name}`"
            )))
        }
        _ => Err(ErrorKind::UnknownMethod.into()),
    }
}

/// A place in a list of so many items, counted from the end if negative.
pub(crate) fn place(at: i64, length: usize) -> usize {
    if at < 0 {
        let back = usize::try_from(at.unsigned_abs()).unwrap_or(usize::MAX);
        length.saturating_sub(back)
    } else {
        usize::try_from(at).unwrap_or(usize::MAX).min(length)
    }
}

/// The methods that change the list. Others are unknown here.
pub(crate) fn changing(
    state: &State<'_, '_>,
    list: &Arc<List>,
    name: &str,
    given: &[Value],
) -> Result<Value, Error> {
    let own = Arc::as_ptr(list).cast::<()>();
    state.consume_fuel(1)?;
    match name {
        "append" => {
            let item = Args::bind(&["object!"], given)?.value(0);
            acyclic(state, own, [&item])?;
            list.lock().push(item);
        }
        "extend" => {
            let more = items(state, &Args::bind(&["iterable!"], given)?.value(0))?;
            acyclic(state, own, &more)?;
            list.lock().extend(more);
        }
        "insert" => {
            let args = Args::bind(&["index!", "object!"], given)?;
            let (at, item) = (args.int(0, 0)?, args.value(1));
            acyclic(state, own, [&item])?;
            let mut items = list.lock();
            state.consume_fuel(items.len() as u64 / 64)?;
            let at = place(at, items.len());
            items.insert(at, item);
        }
        "pop" => {
            let at = Args::bind(&["index"], given)?.int(0, -1)?;
            let mut items = list.lock();
            state.consume_fuel(items.len() as u64 / 64)?;
            let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
            let from_start = if at < 0 {
                at.saturating_add(length)
            } else {
                at
            };
            return match usize::try_from(from_start)
                .ok()
                .filter(|&at| at < items.len())
            {
                Some(at) => Ok(items.remove(at)),
                None => Err(wrong("pop index out of range, or the list is empty")),
            };
        }
        "remove" => {
            let wanted = Args::bind(&["value!"], given)?.value(0);
            let all = items(state, &Value::from_dyn_object(list.clone()))?;
            match all.iter().position(|item| *item == wanted) {
                Some(at) => drop(list.lock().remove(at)),
                None => return Err(wrong("the value is not in the list")),
            }
        }
        "sort" => {
            let args = Args::bind(&["key", "reverse"], given)?;
            if args.some(0).is_some() {
                return Err(wrong(
                    "a key function is not supported; use the filter `sort`",
                ));
            }
            let all = items(state, &Value::from_dyn_object(list.clone()))?;
            let keyed = all.into_iter().map(|item| (item.clone(), item)).collect();
            let sorted = values::sort(state, keyed, args.flag(1, false))?;
            *list.lock() = sorted;
        }
        "reverse" => {
            Args::bind(&[], given)?;
            let mut items = list.lock();
            state.consume_fuel(items.len() as u64 / 8)?;
            items.reverse();
        }
        "clear" => {
            Args::bind(&[], given)?;
            list.lock().clear();
        }
        _ => return Err(ErrorKind::UnknownMethod.into()),
    }
    Ok(Value::from(()))
}

/// Refuses values that hold the list or dict at this address, which would then hold itself: all that
/// walks over values would never end.
pub(crate) fn acyclic<'v>(
    state: &State<'_, '_>,
    own: *const (),
    values: impl IntoIterator<Item = &'v Value>,
) -> Result<(), Error> {
    let mut open: Vec<Value> = values
        .into_iter()
        .filter(|value| value.as_object().is_some())
        .cloned()
        .collect();
    while let Some(value) = open.pop() {
        state.consume_fuel(1)?;
        let list = value.downcast_object::<List>();
        let dict = value.downcast_object::<Dict>();
        let address = list.as_ref().map(|list| Arc::as_ptr(list).cast::<()>());
        let address = address.or(dict.as_ref().map(|dict| Arc::as_ptr(dict).cast()));
        if address == Some(own) {
            return Err(wrong("a list or dict cannot hold itself"));
        }
        if value
            .downcast_object_ref::<crate::document::Lazy>()
            .is_some_and(|lazy| !lazy.changed())
        {
            continue;
        }
        match value.kind() {
            ValueKind::Seq | ValueKind::Iterable => open.extend(objects(items(state, &value)?)),
            ValueKind::Map => {
                for key in items(state, &value)? {
                    open.extend(objects([values::item(&value, &key)?, key]));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn objects(values: impl IntoIterator<Item = Value>) -> impl Iterator<Item = Value> {
    values
        .into_iter()
        .filter(|value| value.as_object().is_some())
}
