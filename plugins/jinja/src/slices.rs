//! Slices, `value[start:stop:step]`, as functions: minijinja gives a list for what cannot be sliced, views that
//! cannot change, and panics at bounds beyond 32 bits.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

use crate::globals::Range;
use crate::limits;
use crate::methods::dicts::View;
use crate::rewrite::Pieces;
use crate::tokens::Kind;
use crate::values::{self, Number, afford, like, type_name, wrong};

/// A bracket that has been opened.
struct Open {
    at: usize,
    /// Of a subscript or call: the first token of what it is of.
    subject: Option<usize>,
    comma: bool,
    colons: [usize; 2],
    /// How many there were.
    count: usize,
}

impl Pieces<'_> {
    /// Puts a function in the place of each slice. Linear in the tokens.
    pub(crate) fn slices(&mut self) {
        if !(0..self.tokens.len()).any(|at| self.is(at, ":")) {
            return;
        }
        let mut open: Vec<Open> = Vec::new();
        // Where what ends with a closing bracket begins.
        let mut begins = vec![0; self.tokens.len()];
        for at in 0..self.tokens.len() {
            if self.any(at, &["(", "[", "{"]) {
                let subject = !self.is(at, "{") && self.ends_before(at);
                open.push(Open {
                    at,
                    subject: subject.then(|| self.begin(at - 1, &begins)),
                    comma: false,
                    colons: [0; 2],
                    count: 0,
                });
            } else if self.any(at, &[")", "]", "}"]) {
                let Some(open) = open.pop() else { continue };
                if let Some(begin) = begins.get_mut(at) {
                    *begin = open.subject.unwrap_or(open.at);
                }
                if let (Some(first), Some(colons)) = (open.subject, open.colons.get(..open.count))
                    && self.is(open.at, "[")
                    && !colons.is_empty()
                    && !open.comma
                    // No subscript follows a filter.
                    && !first.checked_sub(1).is_some_and(|before| self.is(before, "|"))
                {
                    self.slice(first, open.at, colons, at);
                }
            } else if let Some(open) = open.last_mut() {
                open.comma |= self.is(at, ",");
                if self.is(at, ":") {
                    match open.colons.get_mut(open.count) {
                        Some(colon) => *colon = at,
                        None => open.comma = true,
                    }
                    open.count = (open.count + 1).min(2);
                }
            }
        }
    }

    /// The first token of the value that ends with this one, given those of closing brackets.
    fn begin(&self, end: usize, begins: &[usize]) -> usize {
        let is_text = |at: usize| self.tokens.get(at).map(|token| token.kind) == Some(Kind::Text);
        let mut at = end;
        loop {
            if self.any(at, &[")", "]", "}"]) {
                return begins.get(at).copied().unwrap_or(at);
            }
            at = match at.checked_sub(1) {
                Some(point) if self.is(point, ".") && point > 0 => point - 1,
                // Texts side by side are one.
                Some(before) if is_text(at) && is_text(before) => before,
                _ => return at,
            };
        }
    }

    fn slice(&mut self, first: usize, open: usize, colons: &[usize], close: usize) {
        if let Some(before) = self.before.get_mut(first) {
            before.push_str("__slice(");
        }
        let mut from = open;
        self.replace(open, ",");
        for end in colons.iter().copied().chain([close]) {
            let bound = if from + 1 == end { "none" } else { "" };
            let mark = if end == close { ")" } else { "," };
            self.replace(end, format!("{bound}{mark}"));
            from = end;
        }
    }
}

/// `value[start:stop:step]`, paid for.
///
/// # Errors
/// If Python slices no such value, or not by such bounds.
pub(crate) fn slice(
    state: &State<'_, '_>,
    value: &Value,
    start: &Value,
    stop: &Value,
    step: Option<&Value>,
) -> Result<Value, Error> {
    let bound = |bound: &Value| match Number::of(bound) {
        Some(Number::Int(bound)) => Ok(Some(bound.clamp(-FAR, FAR))),
        None if bound.is_none() => Ok(None),
        _ => Err(wrong(format!(
            "slice indices must be integers or None, not {}",
            type_name(bound)
        ))),
    };
    let step = step.map(bound).transpose()?.flatten().unwrap_or(1);
    if step == 0 {
        return Err(wrong("slice step cannot be zero"));
    }
    let places = Places {
        start: bound(start)?,
        stop: bound(stop)?,
        step,
    };
    if value.is_undefined() {
        return Err(ErrorKind::UndefinedError.into());
    }
    if let Some(text) = value.as_str() {
        return Ok(like(value, of_text(state, text, places)?));
    }
    if let Some(range) = value.downcast_object_ref::<Range>() {
        let (start, stop, step) = places.within(range.length());
        return Ok(Value::from_object(range.part(start, stop, step)));
    }
    let length = match value.kind() {
        ValueKind::Iterable if value.downcast_object_ref::<View>().is_some() => None,
        ValueKind::Seq | ValueKind::Iterable => value.len(),
        _ => None,
    };
    let Some(length) = length else {
        let name = type_name(value);
        return Err(wrong(format!("'{name}' object cannot be sliced")));
    };
    let chosen = places.chosen(length);
    state.consume_fuel((chosen.len() as u64).saturating_mul(limits::ITEM))?;
    let items = chosen.map(|at| value.get_item_by_index(at));
    let items = items.collect::<Result<Vec<_>, _>>()?;
    Ok(if values::is_tuple(value) {
        values::tuple(items)
    } else {
        values::list(items)
    })
}

fn of_text(state: &State<'_, '_>, text: &str, places: Places) -> Result<String, Error> {
    if places.step != 1 {
        state.consume_fuel((text.len() / limits::READ_BYTES_PER_FUEL) as u64)?;
        let chars: Vec<char> = text.chars().collect();
        let chosen = places.chosen(chars.len());
        return Ok(chosen.filter_map(|at| chars.get(at)).collect());
    }
    let length = if text.is_ascii() {
        text.len()
    } else {
        afford(state, text.len())?;
        text.chars().count()
    };
    let mut chosen = places.chosen(length);
    let (first, count) = (chosen.next(), chosen.len());
    let Some(first) = first else {
        return Ok(String::new());
    };
    let (from, to) = if text.is_ascii() {
        (first, first + count + 1)
    } else {
        let mut starts = text.char_indices().map(|(at, _)| at);
        let from = starts.nth(first).unwrap_or(text.len());
        (from, starts.nth(count).unwrap_or(text.len()))
    };
    afford(state, to.saturating_sub(from))?;
    Ok(text.get(from..to).unwrap_or_default().to_owned())
}

/// No text or list is as long.
const FAR: i128 = 1 << 64;

/// What a slice says.
#[derive(Clone, Copy)]
struct Places {
    start: Option<i128>,
    stop: Option<i128>,
    /// Not 0.
    step: i128,
}

impl Places {
    /// The bounds within so many items, by the rules of Python's `slice.indices()`.
    fn within(self, length: usize) -> (i128, i128, i128) {
        let length = i128::try_from(length).unwrap_or(FAR);
        let forward = self.step > 0;
        let (lower, upper) = if forward {
            (0, length)
        } else {
            (-1, length - 1)
        };
        let place = |bound: i128| {
            let bound = if bound < 0 { bound + length } else { bound };
            bound.clamp(lower, upper)
        };
        let (first, end) = if forward {
            (lower, upper)
        } else {
            (upper, lower)
        };
        let start = self.start.map_or(first, place);
        (start, self.stop.map_or(end, place), self.step)
    }

    /// The places that are chosen of so many.
    fn chosen(self, length: usize) -> impl ExactSizeIterator<Item = usize> + Clone {
        let (start, stop, step) = self.within(length);
        let count = if step > 0 {
            (stop - start + step - 1) / step
        } else {
            (start - stop - step - 1) / -step
        };
        let count = u32::try_from(count.max(0)).unwrap_or(u32::MAX);
        (0..count).map(move |n| usize::try_from(start + i128::from(n) * step).unwrap_or(usize::MAX))
    }
}
