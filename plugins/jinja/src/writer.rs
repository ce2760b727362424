//! Values as Python writes them: `str()`, `repr()` and `json.dumps()`.

mod raw;

use std::borrow::Cow;
use std::fmt::Write;

use minijinja::value::{ObjectRepr, ValueKind};
use minijinja::{Error, ErrorKind, Value};

use crate::document::Lazy;
use crate::globals::Range;
use crate::literals::{push_float, push_json_text, push_repr};
use crate::methods::dicts::View;
use crate::values::{self, wrong};

/// How deep a value may nest where it is written out. A template can nest further than any event, and
/// writing recurses.
const MAX_DEPTH: usize = 128;

/// How a value is written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Style {
    /// `repr(value)`.
    #[default]
    Repr,
    /// `json.dumps(value)`: ASCII only, with `, ` and `: ` between the parts.
    Json(Json),
}

/// How `json.dumps()` shall write.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Json {
    /// Keys in order of their code points, as Jinja2's `tojson` wants it.
    pub(crate) sort_keys: bool,
    /// `<`, `>`, `&` and `'` as escapes, as Jinja2's `tojson` wants it.
    pub(crate) html_safe: bool,
    /// Spaces per level, and a line per item.
    pub(crate) indent: Option<usize>,
    /// `null` instead of `NaN` and `Infinity`, which are no JSON.
    pub(crate) strict: bool,
}

/// `str(value)`: text as it is, everything else as `repr()` gives it; undefined is empty. With its price in bytes.
///
/// # Errors
/// As [`Writer::value`].
pub(crate) fn to_str(value: &Value, limit: usize) -> Result<(Cow<'_, str>, usize), Error> {
    if let Some(text) = value.as_str() {
        return Ok((text.into(), text.len()));
    }
    let mut writer = Writer::new(Style::Repr, limit);
    if !value.is_undefined() {
        writer.value(value)?;
    }
    Ok(writer.end())
}

/// Writes values to a text. What lies in the event goes from its JSON text straight to this one.
pub(crate) struct Writer {
    pub(crate) out: String,
    style: Style,
    limit: usize,
    depth: usize,
    /// What the work cost beside the bytes written, in bytes.
    extra: usize,
}

impl Writer {
    /// A writer of at most about so many bytes.
    pub(crate) fn new(style: Style, limit: usize) -> Self {
        Self {
            out: String::new(),
            style,
            limit,
            depth: 0,
            extra: 0,
        }
    }

    /// The price of all that was written, in bytes.
    pub(crate) fn cost(&self) -> usize {
        self.out.len() + self.extra
    }

    /// What was written, and its price.
    pub(crate) fn end(self) -> (Cow<'static, str>, usize) {
        let cost = self.cost();
        (self.out.into(), cost)
    }

    fn json(&self) -> Option<Json> {
        match self.style {
            Style::Repr => None,
            Style::Json(json) => Some(json),
        }
    }

    /// Writes a value.
    ///
    /// # Errors
    /// If the value nests too deeply, cannot be written in this style, or takes more than the limit,
    /// which is out of fuel.
    pub(crate) fn value(&mut self, value: &Value) -> Result<(), Error> {
        if let Some(text) = value.as_str() {
            let markup = value.is_safe() && self.json().is_none();
            if markup {
                self.out.push_str("Markup(");
            }
            self.text(text)?;
            if markup {
                self.out.push(')');
            }
            return Ok(());
        }
        match value.kind() {
            ValueKind::None => self.constant("null", "None"),
            ValueKind::Undefined if self.json().is_some_and(|json| json.html_safe) => {
                return Err(wrong("Object of type Undefined is not JSON serializable"));
            }
            ValueKind::Undefined => self.constant("null", "Undefined"),
            ValueKind::Bool if value.is_true() => self.constant("true", "True"),
            ValueKind::Bool => self.constant("false", "False"),
            ValueKind::Number => match as_float(value) {
                Some(number) => self.float(number),
                None => write!(self.out, "{value}")?,
            },
            _ => return self.container(value),
        }
        Ok(())
    }

    fn container(&mut self, value: &Value) -> Result<(), Error> {
        if let Some(lazy) = value
            .downcast_object_ref::<Lazy>()
            .filter(|lazy| !lazy.changed())
        {
            if self.json().is_some() {
                self.out.reserve(self.limit.min(lazy.size() / 8 * 9));
            }
            return self.raw(&mut lazy.parser());
        }
        if self.json().is_none() {
            if value.downcast_object_ref::<Range>().is_some() {
                return Ok(write!(self.out, "{value}")?);
            }
            if let Some(view) = value.downcast_object_ref::<View>() {
                self.out.push_str(view.name);
                self.open('(')?;
                self.value(&values::list(view.all.clone()))?;
                self.close(')', false);
                return Ok(());
            }
        } else if value.downcast_object_ref::<Range>().is_some()
            || value.downcast_object_ref::<View>().is_some()
        {
            return Err(unserializable(value));
        }
        let object = value.as_object();
        match object.map(|object| (object.repr(), object)) {
            Some((ObjectRepr::Map, object)) if value.kind() == ValueKind::Map => {
                let mut pairs: Vec<(Value, Value)> =
                    object.try_iter_pairs().into_iter().flatten().collect();
                if self.json().is_some_and(|json| json.sort_keys) {
                    let texts = pairs
                        .iter()
                        .filter(|(key, _)| key.as_str().is_some())
                        .count();
                    let none = pairs.iter().any(|(key, _)| key.is_none());
                    if (texts > 0 && texts < pairs.len()) || (none && pairs.len() > 1) {
                        return Err(wrong("keys of different types cannot be sorted"));
                    }
                    pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
                }
                self.open('{')?;
                for (n, (key, item)) in pairs.iter().enumerate() {
                    self.separate(n)?;
                    self.extra += 2 * ITEM;
                    self.key(key)?;
                    self.out.push_str(": ");
                    self.value(item)?;
                }
                self.close('}', pairs.is_empty());
            }
            Some((ObjectRepr::Seq | ObjectRepr::Iterable, object)) => {
                let tuple = values::is_tuple(value) && self.json().is_none();
                self.open(if tuple { '(' } else { '[' })?;
                let mut count = 0;
                for item in object.try_iter().into_iter().flatten() {
                    self.separate(count)?;
                    self.extra += ITEM;
                    self.value(&item)?;
                    count += 1;
                }
                if tuple && count == 1 {
                    self.out.push(',');
                }
                self.close(if tuple { ')' } else { ']' }, count == 0);
            }
            _ if self.json().is_none() => match object {
                Some(_) => write!(self.out, "{value}")?,
                None => write!(self.out, "{value:?}")?,
            },
            _ => return Err(unserializable(value)),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Error> {
        match self.style {
            Style::Repr => {
                // Each character is looked up among those that print.
                self.extra += text.len() * 7;
                push_repr(&mut self.out, text);
            }
            Style::Json(json) => {
                self.extra += text.len() * 2;
                self.out.push('"');
                push_json_text(&mut self.out, text, json.html_safe);
                self.out.push('"');
            }
        }
        Ok(())
    }

    #[inline]
    fn quoted(&mut self, quote: char, text: &str) {
        self.out.reserve(text.len() + 2);
        self.out.push(quote);
        self.out.push_str(text);
        self.out.push(quote);
    }

    fn key(&mut self, key: &Value) -> Result<(), Error> {
        if self.json().is_none() || key.as_str().is_some() {
            return self.value(key);
        }
        match key.kind() {
            ValueKind::None | ValueKind::Bool | ValueKind::Number => {
                self.out.push('"');
                self.value(key)?;
                self.out.push('"');
                Ok(())
            }
            _ => Err(unserializable(key)),
        }
    }

    fn constant(&mut self, json: &str, python: &str) {
        let is_json = self.json().is_some();
        self.out.push_str(if is_json { json } else { python });
    }

    fn float(&mut self, number: f64) {
        let special = match number {
            n if n.is_finite() => {
                self.extra += FLOAT;
                return push_float(&mut self.out, number);
            }
            _ if self.json().is_some_and(|json| json.strict) => "null",
            n if n.is_nan() && self.json().is_some() => "NaN",
            n if n.is_nan() => "nan",
            n if self.json().is_some() && n > 0.0 => "Infinity",
            _ if self.json().is_some() => "-Infinity",
            n if n > 0.0 => "inf",
            _ => "-inf",
        };
        self.out.push_str(special);
    }

    fn open(&mut self, bracket: char) -> Result<(), Error> {
        if self.depth == MAX_DEPTH {
            let why = "the value nests too deeply";
            return Err(Error::new(ErrorKind::BadSerialization, why));
        }
        self.depth += 1;
        self.out.push(bracket);
        Ok(())
    }

    #[inline]
    fn separate(&mut self, n: usize) -> Result<(), Error> {
        if self.cost() > self.limit {
            return Err(ErrorKind::OutOfFuel.into());
        }
        let indented = self.json().is_some_and(|json| json.indent.is_some());
        match (indented, n) {
            (false, 0) => {}
            (false, _) => self.out.push_str(", "),
            (true, 0) => self.new_line(),
            (true, _) => {
                self.out.push(',');
                self.new_line();
            }
        }
        Ok(())
    }

    fn close(&mut self, bracket: char, empty: bool) {
        self.depth -= 1;
        if !empty {
            self.new_line();
        }
        self.out.push(bracket);
    }

    fn new_line(&mut self) {
        const SPACES: &str = "                                                                ";
        let Some(indent) = self.json().and_then(|json| json.indent) else {
            return;
        };
        self.out.push('\n');
        let mut missing = indent * self.depth;
        while missing > 0 {
            let spaces = SPACES.get(..missing).unwrap_or(SPACES);
            self.out.push_str(spaces);
            missing -= spaces.len();
        }
    }
}

/// The number if the value is a float; none for integers and everything else.
fn as_float(value: &Value) -> Option<f64> {
    (value.is_number() && !value.is_integer())
        .then(|| f64::try_from(value.clone()).ok())
        .flatten()
}

/// What writing a float costs beside its digits, in bytes: to find the shortest that tell it.
const FLOAT: usize = 64;

/// What an item costs beside the bytes written, in bytes, if it is a value of the engine's.
const ITEM: usize = 48;

fn unserializable(value: &Value) -> Error {
    Error::new(
        ErrorKind::BadSerialization,
        format!(
            "a value of the type {} is not JSON serializable",
            value.kind()
        ),
    )
}
