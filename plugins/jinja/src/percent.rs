//! `text % values`.

use minijinja::value::ValueKind;
use minijinja::{Error, State, Value};

use crate::filters::html;
use crate::format_spec::{Spec, number};
use crate::methods::strings::{ascii, repr};
use crate::output::to_str;
use crate::values::{self, Number, wrong};

/// What the conversions take their values from.
struct Source<'v> {
    operand: &'v Value,
    places: Vec<Value>,
    next: usize,
    named: bool,
}

impl Source<'_> {
    fn next(&mut self) -> Result<Value, Error> {
        let value = self.places.get(self.next).cloned();
        self.next += 1;
        value.ok_or_else(|| wrong("not enough arguments for format string"))
    }

    fn size(&mut self) -> Result<i64, Error> {
        values::index(&self.next()?).map_err(|_| wrong("* wants int"))
    }
}

/// Lays out `text % operand`; what is put into a safe text is escaped.
///
/// # Errors
/// As in Python: values that are missing, too many, or of the wrong type.
pub(crate) fn format(
    state: &State<'_, '_>,
    text: &str,
    operand: &Value,
    safe: bool,
) -> Result<String, Error> {
    let tuple = values::is_tuple(operand);
    let mut source = Source {
        places: if tuple {
            values::items(state, operand)?
        } else {
            vec![operand.clone()]
        },
        operand,
        next: 0,
        named: false,
    };
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, conversion)) = rest.split_once('%') {
        state.consume_fuel(4)?;
        out.push_str(plain);
        rest = convert(state, conversion, &mut source, safe, &mut out)?;
    }
    out.push_str(rest);
    let mapping = !tuple && matches!(operand.kind(), ValueKind::Map | ValueKind::Seq);
    if source.next < source.places.len() && !source.named && !mapping {
        return Err(wrong(
            "not all arguments converted during string formatting",
        ));
    }
    Ok(out)
}

/// One conversion, from after its `%`; what comes after it is left.
fn convert<'t>(
    state: &State<'_, '_>,
    text: &'t str,
    source: &mut Source<'_>,
    safe: bool,
    out: &mut String,
) -> Result<&'t str, Error> {
    let mut spec = Spec::default();
    let mut named = None;
    let mut rest = text;
    if let Some(tail) = text.strip_prefix('(') {
        let (name, tail) = tail
            .split_once(')')
            .ok_or_else(|| wrong("incomplete format key"))?;
        if source.operand.kind() != ValueKind::Map {
            return Err(wrong("format requires a mapping"));
        }
        source.named = true;
        let value = source
            .operand
            .get_item(&Value::from(name))
            .unwrap_or_default();
        if value.is_undefined() {
            return Err(wrong(format!("there is no key '{name}'")));
        }
        named = Some(value);
        rest = tail;
    }
    let mut chars = rest.chars().peekable();
    while let Some(flag) = chars.next_if(|c| matches!(c, '#' | '0' | '-' | ' ' | '+')) {
        match flag {
            '#' => spec.alternate = true,
            '0' => spec.zero = true,
            '-' => spec.align = Some('<'),
            '+' => spec.sign = Some('+'),
            _ => spec.sign = spec.sign.or(Some(' ')),
        }
    }
    if chars.next_if_eq(&'*').is_some() {
        let width = source.size()?;
        if width < 0 {
            spec.align = Some('<');
        }
        spec.width = usize::try_from(width.unsigned_abs()).unwrap_or(usize::MAX);
    } else {
        spec.width = number(&mut chars).unwrap_or(0);
    }
    if chars.next_if_eq(&'.').is_some() {
        spec.precision = Some(if chars.next_if_eq(&'*').is_some() {
            usize::try_from(source.size()?.max(0)).unwrap_or(usize::MAX)
        } else {
            number(&mut chars).unwrap_or(0)
        });
    }
    while chars.next_if(|c| matches!(c, 'h' | 'l' | 'L')).is_some() {}
    let kind = chars.next().ok_or_else(|| wrong("incomplete format"))?;
    let left: usize = chars.map(char::len_utf8).sum();
    let after = text.get(text.len() - left..).unwrap_or_default();
    if kind == '%' {
        out.push('%');
        return Ok(after);
    }
    if !matches!(
        kind,
        'd' | 'i'
            | 'u'
            | 'o'
            | 'x'
            | 'X'
            | 'e'
            | 'E'
            | 'f'
            | 'F'
            | 'g'
            | 'G'
            | 'c'
            | 'r'
            | 's'
            | 'a'
    ) {
        return Err(wrong(format!("unsupported format character '{kind}'")));
    }
    let value = match named {
        Some(value) => value,
        None => source.next()?,
    };
    out.push_str(&one(state, spec, kind, &value, safe)?);
    Ok(after)
}

fn one(
    state: &State<'_, '_>,
    mut spec: Spec,
    kind: char,
    value: &Value,
    safe: bool,
) -> Result<String, Error> {
    let number = Number::of(value).is_some() || value.kind() == ValueKind::Number;
    match kind {
        's' | 'r' | 'a' => {
            let text = match kind {
                's' if safe => html::escaped(state, value)?,
                's' => to_str(state, value)?.into_owned(),
                'r' => repr(state, value)?,
                _ => ascii(&repr(state, value)?),
            };
            let text = if safe && kind != 's' {
                html::escape_text(&text)
            } else {
                text
            };
            spec.zero = false;
            let cut = spec.cut(&text).to_owned();
            spec.pad(state, "", &cut, '>')
        }
        'c' | 'o' | 'x' | 'X' if safe => Err(wrong(format!(
            "%{kind} does not work in text that is escaped; use %s or %d"
        ))),
        'c' => {
            let text = match value.as_str() {
                Some(text) if text.chars().count() == 1 => text.to_owned(),
                None if value.is_integer() => {
                    let code = u32::try_from(value.clone()).ok().and_then(char::from_u32);
                    let c = code.ok_or_else(|| wrong("%c arg not in range(0x110000)"))?;
                    c.to_string()
                }
                _ => return Err(wrong("%c requires int or char")),
            };
            spec.zero = false;
            spec.pad(state, "", &text, '>')
        }
        _ if !number => {
            let name = values::type_name(value);
            Err(wrong(format!(
                "%{kind} format: a real number is required, not {name}"
            )))
        }
        'd' | 'i' | 'u' | 'o' | 'x' | 'X' => {
            let whole = match Number::of(value) {
                Some(Number::Float(number)) if matches!(kind, 'd' | 'i' | 'u') => {
                    if !number.is_finite() || number.abs() > 1.7e38 {
                        return Err(wrong("cannot convert the float to an integer"));
                    }
                    Value::from(number.trunc() as i128)
                }
                Some(Number::Float(_)) => {
                    return Err(wrong(format!("%{kind} format: an integer is required")));
                }
                _ => value.clone(),
            };
            spec.kind = Some(if matches!(kind, 'i' | 'u') { 'd' } else { kind });
            // A precision is the least number of digits.
            let least = spec.precision.take().unwrap_or(0);
            let bare = Spec {
                width: 0,
                zero: false,
                align: None,
                ..spec.clone()
            };
            let text = bare.number(state, &whole)?;
            let from = text.find(|c: char| c.is_ascii_hexdigit()).unwrap_or(0);
            let from = if spec.alternate && kind != 'd' {
                from + 2
            } else {
                from
            };
            let (head, digits) = text.split_at(from.min(text.len()));
            let mut missing = least.saturating_sub(digits.len());
            if spec.zero && spec.align.is_none() {
                let fill = spec.width.saturating_sub(head.len() + digits.len());
                missing = missing.max(fill);
            }
            values::afford(state, missing)?;
            let digits = format!("{:0>missing$}{digits}", "");
            spec.zero = false;
            spec.pad(state, head, &digits, '>')
        }
        _ => {
            spec.kind = Some(kind);
            if spec.zero && spec.align.is_some() {
                spec.zero = false;
            }
            let float = Number::of(value).map(Number::float);
            let float = float.map_or_else(|| f64::try_from(value.clone()), Ok)?;
            spec.number(state, &Value::from(float))
        }
    }
}
