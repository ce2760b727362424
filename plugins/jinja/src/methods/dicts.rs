//! Methods of dicts.

use std::sync::Arc;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

use super::lists::acyclic;
use crate::args::{self, Args};
use crate::filters::sequences::members;
use crate::limits;
use crate::mutable::{Dict, Pairs};
use crate::values::{self, wrong};

/// The methods that change nothing.
pub(crate) fn call(
    state: &State<'_, '_>,
    value: &Value,
    name: &str,
    given: &[Value],
) -> Result<Value, Error> {
    match name {
        "get" => {
            let args = Args::bind_places(&["key!", "default"], given)?;
            let found = values::item(value, &args.value(0))?;
            Ok(match (found.is_undefined(), args.get(1)) {
                (false, _) => found,
                (true, Some(default)) => default.clone(),
                (true, None) => Value::from(()),
            })
        }
        "keys" | "values" | "items" | "copy" => {
            Args::bind(&[], given)?;
            let members = members(state, value)?;
            let all = match name {
                "keys" => members.into_iter().map(|(key, _)| key).collect(),
                "values" => members.into_iter().map(|(_, item)| item).collect(),
                "items" => members
                    .into_iter()
                    .map(|(k, v)| values::tuple(vec![k, v]))
                    .collect(),
                _ => return Ok(dict(members.into_iter().collect())),
            };
            Ok(Value::from_object(View {
                name: view(name),
                all,
            }))
        }
        "fromkeys" => {
            let args = Args::bind_places(&["iterable!", "value"], given)?;
            let item = args.get(1).cloned().unwrap_or_else(|| Value::from(()));
            let keys = values::items(state, &args.value(0))?;
            Ok(dict(
                keys.into_iter().map(|key| (key, item.clone())).collect(),
            ))
        }
        "update" | "pop" | "popitem" | "setdefault" | "clear" => {
            // A stored function of that name may still be meant.
            if value
                .get_attr(name)
                .is_ok_and(|found| !found.is_undefined())
            {
                return Err(ErrorKind::UnknownMethod.into());
            }
            Err(wrong(format!(
                "this dict cannot be changed; make one with `dict(…)` before `{name}`"
            )))
        }
        _ => Err(ErrorKind::UnknownMethod.into()),
    }
}

fn view(name: &str) -> &'static str {
    match name {
        "keys" => "dict_keys",
        "values" => "dict_values",
        _ => "dict_items",
    }
}

/// What `keys()`, `values()` and `items()` give: it prints with its name and has no items by number.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) name: &'static str,
    pub(crate) all: Vec<Value>,
}

impl minijinja::value::Object for View {
    fn repr(self: &Arc<Self>) -> minijinja::value::ObjectRepr {
        minijinja::value::ObjectRepr::Iterable
    }

    fn enumerate(self: &Arc<Self>) -> minijinja::value::Enumerator {
        minijinja::value::Enumerator::Values(self.all.clone())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.all.len())
    }
}

/// A dict.
pub(crate) fn dict(pairs: Pairs) -> Value {
    Value::from_object(Dict::new(pairs))
}

/// The pairs that `dict(…)` and `update(…)` take: another dict or pairs, then names.
///
/// # Errors
/// If they are neither, or a key cannot be one.
pub(crate) fn pairs(state: &State<'_, '_>, given: &[Value]) -> Result<Vec<(Value, Value)>, Error> {
    state.consume_fuel(2 * limits::CALL)?;
    let (places, names) = args::split(given)?;
    let mut pairs = match places {
        [] => Vec::new(),
        [other] if other.kind() == ValueKind::Map => members(state, other)?,
        [other] => {
            let mut pairs = Vec::new();
            for pair in values::items(state, other)? {
                let [key, item] = <[Value; 2]>::try_from(values::items(state, &pair)?)
                    .map_err(|_| wrong("each item has to be a pair of key and value"))?;
                values::hashable(&key)?;
                pairs.push((key, item));
            }
            pairs
        }
        _ => return Err(ErrorKind::TooManyArguments.into()),
    };
    pairs.extend(
        names
            .into_iter()
            .map(|(name, item)| (Value::from(name), item)),
    );
    Ok(pairs)
}

/// The methods that change the dict. Others are unknown here.
pub(crate) fn changing(
    state: &State<'_, '_>,
    dict: &Arc<Dict>,
    name: &str,
    given: &[Value],
) -> Result<Value, Error> {
    let own = Arc::as_ptr(dict).cast::<()>();
    state.consume_fuel(1)?;
    match name {
        "update" => {
            let more = pairs(state, given)?;
            acyclic(state, own, more.iter().flat_map(|(key, item)| [key, item]))?;
            let mut pairs = dict.lock();
            for (key, item) in more {
                state.consume_fuel(1)?;
                pairs.insert(key, item);
            }
        }
        "setdefault" => {
            let args = Args::bind_places(&["key!", "default"], given)?;
            let key = args.value(0);
            values::hashable(&key)?;
            if let Some(item) = dict.lock().get(&key) {
                return Ok(item.clone());
            }
            let item = args.get(1).cloned().unwrap_or_else(|| Value::from(()));
            acyclic(state, own, [&key, &item])?;
            dict.lock().insert(key, item.clone());
            return Ok(item);
        }
        "pop" => {
            let args = Args::bind_places(&["key!", "default"], given)?;
            values::hashable(&args.value(0))?;
            let mut pairs = dict.lock();
            state.consume_fuel(pairs.len() as u64 / 32)?;
            return match (pairs.remove(&args.value(0)), args.get(1)) {
                (Some(item), _) => Ok(item),
                (None, Some(default)) => Ok(default.clone()),
                (None, None) => Err(wrong("there is no such key in the dict")),
            };
        }
        "popitem" => {
            Args::bind(&[], given)?;
            let last = dict.lock().pop();
            let (key, item) = last.ok_or_else(|| wrong("popitem(): dictionary is empty"))?;
            return Ok(values::tuple(vec![key, item]));
        }
        "clear" => {
            Args::bind(&[], given)?;
            dict.lock().clear();
        }
        _ => return Err(ErrorKind::UnknownMethod.into()),
    }
    Ok(Value::from(()))
}
