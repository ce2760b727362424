//! Values as Python writes them: `str()`, `repr()` and `json.dumps()`.

use std::fmt::{self, Write};

use minijinja::value::{ObjectRepr, ValueKind};
use minijinja::{Error, ErrorKind, Value};

/// How deep a value may nest where it is written out. A template can nest further than any event, and
/// writing recurses.
const MAX_DEPTH: usize = 128;

fn too_deep() -> Error {
    Error::new(ErrorKind::BadSerialization, "the value nests too deeply")
}

/// Writes `str(value)`: text as it is, everything else as `repr()` gives it. Undefined is empty.
pub(crate) fn write_str(out: &mut impl Write, value: &Value) -> Result<(), Error> {
    if let Some(text) = value.as_str() {
        return Ok(out.write_str(text)?);
    }
    if value.is_undefined() {
        return Ok(());
    }
    write_repr(out, value, MAX_DEPTH)
}

fn write_repr(out: &mut impl Write, value: &Value, depth: usize) -> Result<(), Error> {
    if let Some(number) = as_float(value) {
        return Ok(write_float(out, number)?);
    }
    let Some(object) = value.as_object() else {
        return Ok(write!(out, "{value:?}")?);
    };
    let depth = depth.checked_sub(1).ok_or_else(too_deep)?;
    match object.repr() {
        ObjectRepr::Map if value.kind() == ValueKind::Map => {
            out.write_char('{')?;
            for (n, (key, item)) in object.try_iter_pairs().into_iter().flatten().enumerate() {
                if n > 0 {
                    out.write_str(", ")?;
                }
                write_repr(out, &key, depth)?;
                out.write_str(": ")?;
                write_repr(out, &item, depth)?;
            }
            Ok(out.write_char('}')?)
        }
        ObjectRepr::Seq | ObjectRepr::Iterable => {
            let tuple = value.is_tuple();
            let (open, close) = if tuple { ('(', ')') } else { ('[', ']') };
            out.write_char(open)?;
            let mut count = 0_usize;
            for item in object.try_iter().into_iter().flatten() {
                if count > 0 {
                    out.write_str(", ")?;
                }
                write_repr(out, &item, depth)?;
                count += 1;
            }
            if tuple && count == 1 {
                out.write_char(',')?;
            }
            Ok(out.write_char(close)?)
        }
        _ => Ok(write!(out, "{value}")?),
    }
}

/// The number if the value is a float; none for integers and everything else.
fn as_float(value: &Value) -> Option<f64> {
    (value.is_number() && !value.is_integer())
        .then(|| f64::try_from(value.clone()).ok())
        .flatten()
}

/// Writes `repr()` of a float: the shortest digits that read back as the same number, in scientific
/// notation below 1e-4 and from 1e16 on.
fn write_float(out: &mut impl Write, number: f64) -> fmt::Result {
    if number.is_nan() {
        return out.write_str("nan");
    }
    if number.is_infinite() {
        return out.write_str(if number > 0.0 { "inf" } else { "-inf" });
    }
    let magnitude = number.abs();
    if number != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent),
        };
        return write!(out, "{digits}e{sign}{exponent:0>2}");
    }
    let text = number.to_string();
    out.write_str(&text)?;
    if text.contains('.') {
        Ok(())
    } else {
        out.write_str(".0")
    }
}

/// How `json.dumps()` shall write.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Dumps {
    /// Keys in order of their code points, as Jinja2's `tojson` wants it.
    pub sort_keys: bool,
    /// `<`, `>`, `&` and `'` as escapes, as Jinja2's `tojson` wants it.
    pub html_safe: bool,
    /// Spaces per level, and a line per item.
    pub indent: Option<usize>,
    /// `null` instead of `NaN` and `Infinity`, which are no JSON.
    pub strict: bool,
}

impl Dumps {
    /// Writes `json.dumps(value)`, ASCII only, with `, ` and `: ` between the parts.
    ///
    /// # Errors
    /// If the value nests too deeply or holds a key that JSON cannot have.
    pub(crate) fn write(self, out: &mut impl Write, value: &Value) -> Result<(), Error> {
        self.value(out, value, 0)
    }

    fn value(self, out: &mut impl Write, value: &Value, depth: usize) -> Result<(), Error> {
        if let Some(text) = value.as_str() {
            return Ok(self.text(out, text)?);
        }
        match value.kind() {
            ValueKind::None | ValueKind::Undefined => return Ok(out.write_str("null")?),
            ValueKind::Bool => {
                return Ok(out.write_str(if value.is_true() { "true" } else { "false" })?);
            }
            ValueKind::Number => {
                let Some(number) = as_float(value) else {
                    return Ok(write!(out, "{value}")?);
                };
                match number {
                    n if n.is_finite() => write_float(out, n)?,
                    _ if self.strict => out.write_str("null")?,
                    n if n.is_nan() => out.write_str("NaN")?,
                    n if n > 0.0 => out.write_str("Infinity")?,
                    _ => out.write_str("-Infinity")?,
                }
                return Ok(());
            }
            _ => {}
        }
        let Some(object) = value.as_object() else {
            return Err(unserializable(value));
        };
        if depth >= MAX_DEPTH {
            return Err(too_deep());
        }
        match object.repr() {
            ObjectRepr::Map => {
                let mut pairs: Vec<(Value, Value)> =
                    object.try_iter_pairs().into_iter().flatten().collect();
                if self.sort_keys {
                    pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
                }
                out.write_char('{')?;
                for (n, (key, item)) in pairs.iter().enumerate() {
                    self.separate(out, n, depth + 1)?;
                    self.key(out, key)?;
                    out.write_str(": ")?;
                    self.value(out, item, depth + 1)?;
                }
                self.close(out, '}', pairs.is_empty(), depth)
            }
            ObjectRepr::Seq | ObjectRepr::Iterable => {
                out.write_char('[')?;
                let mut empty = true;
                for (n, item) in object.try_iter().into_iter().flatten().enumerate() {
                    self.separate(out, n, depth + 1)?;
                    self.value(out, &item, depth + 1)?;
                    empty = false;
                }
                self.close(out, ']', empty, depth)
            }
            _ => Err(unserializable(value)),
        }
    }

    fn separate(self, out: &mut impl Write, n: usize, depth: usize) -> Result<(), Error> {
        match self.indent {
            None if n > 0 => out.write_str(", ")?,
            None => {}
            Some(indent) => {
                out.write_str(if n > 0 { ",\n" } else { "\n" })?;
                write!(out, "{:1$}", "", indent * depth)?;
            }
        }
        Ok(())
    }

    fn close(
        self,
        out: &mut impl Write,
        close: char,
        empty: bool,
        depth: usize,
    ) -> Result<(), Error> {
        if let Some(indent) = self.indent.filter(|_| !empty) {
            write!(out, "\n{:1$}", "", indent * depth)?;
        }
        Ok(out.write_char(close)?)
    }

    fn key(self, out: &mut impl Write, key: &Value) -> Result<(), Error> {
        if key.as_str().is_some() {
            return self.value(out, key, 0);
        }
        match key.kind() {
            ValueKind::None | ValueKind::Bool | ValueKind::Number => {
                out.write_char('"')?;
                self.value(out, key, 0)?;
                Ok(out.write_char('"')?)
            }
            _ => Err(unserializable(key)),
        }
    }

    fn text(self, out: &mut impl Write, text: &str) -> fmt::Result {
        out.write_char('"')?;
        write_json_text(out, text, self.html_safe)?;
        out.write_char('"')
    }
}

/// Writes what stands between the quotes of a JSON string, ASCII only.
pub(crate) fn write_json_text(out: &mut impl Write, text: &str, html_safe: bool) -> fmt::Result {
    let mut plain = 0;
    for (at, c) in text.char_indices() {
        let escape = match c {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            '\u{8}' => "\\b",
            '\u{c}' => "\\f",
            '<' | '>' | '&' | '\'' if html_safe => "",
            ' '..='~' => continue,
            _ => "",
        };
        out.write_str(text.get(plain..at).unwrap_or_default())?;
        plain = at + c.len_utf8();
        if escape.is_empty() {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
        } else {
            out.write_str(escape)?;
        }
    }
    out.write_str(text.get(plain..).unwrap_or_default())
}

fn unserializable(value: &Value) -> Error {
    Error::new(
        ErrorKind::BadSerialization,
        format!(
            "a value of the type {} is not JSON serializable",
            value.kind()
        ),
    )
}
