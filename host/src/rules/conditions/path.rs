//! Dotted paths through an event: `tags.slug`, `snapshots.prechange.status`.

use serde_json::{Map, Value};

use super::{
    fuel::{Fuel, OutOfFuel},
    shorten,
};

/// The value or values at a path.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// A value of the event.
    Value(&'a Value),
    /// The values of one key in all elements of a list.
    List(Vec<&'a Value>),
}

impl Found<'_> {
    /// The value, shortened for a trace.
    pub(super) fn shortened(&self) -> Value {
        match self {
            Self::Value(value) => shorten::value(value),
            Self::List(list) => {
                // One more than a trace shows, so that it says there are more.
                let some = list.iter().take(64).map(|v| shorten::value(v)).collect();
                shorten::value(&Value::Array(some))
            }
        }
    }

    /// The kind of value, in words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Value(value) => kind(value),
            Self::List(_) => "a list",
        }
    }
}

/// The kind of a value, in words.
pub(super) const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Why a path leads nowhere.
#[derive(Debug)]
pub(super) enum Stop<'a, 'p> {
    /// A key is not there, or null stands before it.
    Missing {
        key: &'p str,
        among: Option<&'a Map<String, Value>>,
    },
    /// A key is asked of something that has none.
    NoKeys {
        key: &'p str,
        of: &'static str,
    },
    OutOfFuel,
}

impl From<OutOfFuel> for Stop<'_, '_> {
    fn from(_: OutOfFuel) -> Self {
        Self::OutOfFuel
    }
}

impl Stop<'_, '_> {
    /// The reason in words, as the end of a sentence.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Missing { key, among } => {
                let shown = shorten::text(key, 100);
                match among.and_then(|map| similar(key, map)) {
                    Some(other) => format!("there is no {shown:?} (did you mean {other:?}?)"),
                    None => format!("there is no {shown:?}"),
                }
            }
            Self::NoKeys { key, of } => {
                format!("{:?} is looked up in {of}", shorten::text(key, 100))
            }
            Self::OutOfFuel => "the look-up takes too much work".to_owned(),
        }
    }
}

/// Follows the keys from a value. On a list, a key is looked up in each element. As in NetBox, an element
/// without the key, or null on the way, makes it missing; text, numbers and lists in lists have no keys.
///
/// With `empty_list_is_missing`, an empty list on the way proves nothing about the path (for comparing
/// snapshots); without, its values are an empty list.
pub(super) fn walk<'a, 'p>(
    from: &'a Value,
    keys: impl Iterator<Item = &'p str>,
    empty_list_is_missing: bool,
    fuel: &mut Fuel,
) -> Result<Found<'a>, Stop<'a, 'p>> {
    let mut at = Found::Value(from);
    for key in keys {
        fuel.step(key.len())?;
        at = match at {
            Found::Value(Value::Object(map)) => {
                Found::Value(map.get(key).ok_or_else(|| missing(key, Some(map)))?)
            }
            Found::Value(Value::Null) => return Err(missing(key, None)),
            Found::Value(Value::Array(items)) => {
                if items.is_empty() && empty_list_is_missing {
                    return Err(missing(key, None));
                }
                Found::List(each(items.iter(), key, fuel)?)
            }
            Found::List(items) => {
                if items.is_empty() && empty_list_is_missing {
                    return Err(missing(key, None));
                }
                Found::List(each(items.into_iter(), key, fuel)?)
            }
            Found::Value(other) => {
                return Err(Stop::NoKeys {
                    key,
                    of: kind(other),
                });
            }
        };
    }
    Ok(at)
}

fn each<'a, 'p>(
    items: impl ExactSizeIterator<Item = &'a Value>,
    key: &'p str,
    fuel: &mut Fuel,
) -> Result<Vec<&'a Value>, Stop<'a, 'p>> {
    let mut found = Vec::with_capacity(items.len());
    for item in items {
        fuel.step(key.len())?;
        match item {
            Value::Object(map) => found.push(map.get(key).ok_or_else(|| missing(key, Some(map)))?),
            Value::Null => return Err(missing(key, None)),
            other => {
                return Err(Stop::NoKeys {
                    key,
                    of: kind(other),
                });
            }
        }
    }
    Ok(found)
}

fn missing<'a, 'p>(key: &'p str, among: Option<&'a Map<String, Value>>) -> Stop<'a, 'p> {
    Stop::Missing { key, among }
}

/// A key that may have been meant. Only so many are compared, and only short ones: the cost must not depend
/// on the event.
fn similar<'a>(key: &str, among: &'a Map<String, Value>) -> Option<&'a str> {
    const KEYS: usize = 50;
    const LENGTH: usize = 24;
    if !(3..=LENGTH).contains(&key.len()) {
        return None;
    }
    let mut keys = among
        .keys()
        .take(KEYS)
        .filter(|other| other.len() <= LENGTH);
    keys.find(|other| strsim::damerau_levenshtein(other, key) <= 2)
        .map(String::as_str)
}
