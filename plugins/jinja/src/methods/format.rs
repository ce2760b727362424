//! `str.format()`, as Jinja2's sandbox allows it.

use minijinja::{Error, ErrorKind, State, Value};

use super::strings::{ascii, repr, shown};
use crate::args;
use crate::filters::html::escape_text;
use crate::format_spec::Spec;
use crate::values::{like, wrong};

/// What the fields take their values from.
struct Fields<'v> {
    places: &'v [Value],
    names: Vec<(String, Value)>,
    map: Option<&'v Value>,
    /// The next place, where fields do not name theirs; none once one did.
    next: Option<usize>,
    /// Whether any field named its place.
    manual: bool,
    safe: bool,
}

/// `text.format(…)`.
///
/// # Errors
/// As in Python: fields that name nothing, and specifications that do not suit.
pub(crate) fn format(
    state: &State<'_, '_>,
    value: &Value,
    given: &[Value],
) -> Result<Value, Error> {
    let (places, names) = args::split(given)?;
    fields(state, value, places, names, None)
}

/// `text.format_map(mapping)`.
///
/// # Errors
/// As [`format`].
pub(crate) fn format_map(
    state: &State<'_, '_>,
    value: &Value,
    map: &Value,
) -> Result<Value, Error> {
    fields(state, value, &[], Vec::new(), Some(map))
}

fn fields<'v>(
    state: &State<'_, '_>,
    value: &Value,
    places: &'v [Value],
    names: Vec<(String, Value)>,
    map: Option<&'v Value>,
) -> Result<Value, Error> {
    let safe = value.is_safe();
    let mut fields = Fields {
        places,
        names,
        map,
        next: Some(0),
        manual: false,
        safe,
    };
    let text = value.as_str().unwrap_or_default();
    Ok(like(value, fields.fill(state, text, 2)?))
}

impl Fields<'_> {
    /// The text with its fields filled in; within a specification fields nest once.
    fn fill(&mut self, state: &State<'_, '_>, text: &str, depth: u8) -> Result<String, Error> {
        let depth = depth
            .checked_sub(1)
            .ok_or_else(|| wrong("Max string recursion exceeded"))?;
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            state.consume_fuel(4)?;
            let (plain, tail) = rest.split_at(at);
            out.push_str(plain);
            if let Some(after) = tail.strip_prefix("{{").or_else(|| tail.strip_prefix("}}")) {
                out.extend(tail.chars().next());
                rest = after;
                continue;
            }
            let Some(field) = tail.strip_prefix('{') else {
                return Err(wrong("Single '}' encountered in format string"));
            };
            let (field, after) = end(field)?;
            out.push_str(&self.field(state, field, depth)?);
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }

    fn field(&mut self, state: &State<'_, '_>, field: &str, depth: u8) -> Result<String, Error> {
        let bracket = field.find('[').unwrap_or(field.len());
        let cut = match field.find(['!', ':']) {
            Some(at) if at > bracket => {
                let close = field.find(']').unwrap_or(bracket);
                let tail = field.get(close..).unwrap_or_default();
                tail.find(['!', ':']).map(|at| close + at)
            }
            at => at,
        };
        let (name, tail) = field.split_at(cut.unwrap_or(field.len()));
        let (conversion, spec) = match tail.strip_prefix('!') {
            Some(tail) => {
                let (conversion, spec) = tail.split_once(':').unwrap_or((tail, ""));
                (Some(conversion), spec)
            }
            None => (None, tail.strip_prefix(':').unwrap_or_default()),
        };
        let value = self.value(name)?;
        let spec = if spec.contains(['{', '}']) {
            self.fill(state, spec, depth)?
        } else {
            spec.to_owned()
        };
        let value = match conversion {
            None => value,
            Some("s") => Value::from(shown(state, &value)?),
            Some("r") => Value::from(repr(state, &value)?),
            Some("a") => Value::from(ascii(&repr(state, &value)?)),
            Some(other) => return Err(wrong(format!("Unknown conversion specifier '{other}'"))),
        };
        let text = if spec.is_empty() {
            shown(state, &value)?
        } else {
            Spec::parse(&spec)?.apply(state, &value)?
        };
        Ok(if self.safe && !value.is_safe() {
            escape_text(&text)
        } else {
            text
        })
    }

    /// What `0.a[b]` names.
    fn value(&mut self, name: &str) -> Result<Value, Error> {
        let end = name.find(['.', '[']).unwrap_or(name.len());
        let (first, mut rest) = name.split_at(end);
        let mut value = self.first(first)?;
        while !rest.is_empty() {
            let key;
            (key, rest) = if let Some(tail) = rest.strip_prefix('.') {
                tail.split_at(tail.find(['.', '[']).unwrap_or(tail.len()))
            } else if let Some(tail) = rest.strip_prefix('[') {
                let (key, tail) = tail.split_once(']').ok_or_else(|| wrong("expected '}'"))?;
                (key, tail)
            } else {
                return Err(wrong(
                    "Only '.' or '[' may follow ']' in format field specifier",
                ));
            };
            if key.is_empty() {
                return Err(wrong("Empty attribute in format string"));
            }
            // What the sandbox hides is undefined there, and prints as nothing.
            if key.starts_with('_') {
                return Ok(Value::from(""));
            }
            let key = key
                .parse::<u32>()
                .map_or_else(|_| Value::from(key), Value::from);
            value = value.get_item(&key).unwrap_or_default();
            if value.is_undefined() {
                return Err(ErrorKind::UndefinedError.into());
            }
        }
        Ok(value)
    }

    fn first(&mut self, name: &str) -> Result<Value, Error> {
        if let Some(map) = self.map {
            let value = map.get_item(&Value::from(name)).unwrap_or_default();
            return match value.is_undefined() {
                true => Err(wrong(format!("there is no '{name}'"))),
                false => Ok(value),
            };
        }
        let mixed = "cannot switch between automatic and manual field numbering";
        let place = match (name.is_empty(), name.parse::<usize>()) {
            (true, _) => {
                let next = self
                    .next
                    .filter(|_| !self.manual)
                    .ok_or_else(|| wrong(mixed))?;
                self.next = Some(next + 1);
                next
            }
            (false, Ok(place)) => {
                if self.next.is_some_and(|next| next > 0) {
                    return Err(wrong(mixed));
                }
                self.manual = true;
                place
            }
            (false, Err(_)) => {
                let named = self.names.iter().find(|(known, _)| known == name);
                let named = named.map(|(_, value)| value.clone());
                return named.ok_or_else(|| wrong(format!("there is no '{name}'")));
            }
        };
        let value = self.places.get(place).cloned();
        value.ok_or_else(|| {
            wrong(format!(
                "Replacement index {place} out of range for positional args tuple"
            ))
        })
    }
}

/// A field and what comes after its closing brace.
fn end(text: &str) -> Result<(&str, &str), Error> {
    let mut depth = 1_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            let after = text.get(at + 1..).unwrap_or_default();
            return Ok((text.get(..at).unwrap_or_default(), after));
        }
    }
    Err(wrong("expected '}' before end of string"))
}
