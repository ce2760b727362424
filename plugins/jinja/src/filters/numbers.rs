//! Filters of numbers.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

use super::Filter;
use crate::args::Args;
use crate::limits;
use crate::output::to_str;
use crate::values::{self, Number, is_space, wrong};

pub(crate) const FILTERS: &[Filter] = &[
    Filter {
        names: &["int"],
        parameters: &["default", "base"],
        apply: int,
    },
    Filter {
        names: &["float"],
        parameters: &["default"],
        apply: float,
    },
    Filter {
        names: &["abs"],
        parameters: &[],
        apply: abs,
    },
    Filter {
        names: &["round"],
        parameters: &["precision", "method"],
        apply: round,
    },
    Filter {
        names: &["filesizeformat"],
        parameters: &["binary"],
        apply: filesizeformat,
    },
];

fn undefined(value: &Value) -> Result<(), Error> {
    if value.is_undefined() {
        return Err(ErrorKind::UndefinedError.into());
    }
    Ok(())
}

/// The error of what Python can calculate and this cannot.
fn too_large() -> Error {
    wrong("integers of more than 128 bits are not supported")
}

/// An integer of a text.
pub(crate) enum Parsed {
    Int(i128),
    /// It takes more than 128 bits.
    TooLarge,
}

/// `int(text, base)`, or none if the text is no integer.
pub(crate) fn parse_int(text: &str, base: i64) -> Option<Parsed> {
    let text = text.trim_matches(is_space);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.get(..2).map(str::to_ascii_lowercase);
    let marked = match lower.as_deref() {
        Some("0x") => Some(16),
        Some("0o") => Some(8),
        Some("0b") => Some(2),
        _ => None,
    };
    let (base, digits) = match (base, marked) {
        (0, None) if digits.len() > 1 && digits.starts_with('0') => {
            return digits
                .bytes()
                .all(|b| matches!(b, b'0' | b'_'))
                .then_some(Parsed::Int(0));
        }
        (0, None) => (10, digits),
        (0, Some(marked)) => (marked, digits.get(2..)?),
        (base, Some(marked)) if base == marked => (marked, digits.get(2..)?),
        (base @ 2..=36, _) => (base, digits),
        _ => return None,
    };
    let digits = if marked == Some(base) {
        digits.strip_prefix('_').unwrap_or(digits)
    } else {
        digits
    };
    if digits.is_empty()
        || digits.starts_with('_')
        || digits.ends_with('_')
        || digits.contains("__")
    {
        return None;
    }
    let mut number: Option<i128> = Some(0);
    for c in digits.chars().filter(|&c| c != '_') {
        let digit = digit(c).filter(|&digit| i64::from(digit) < base)?;
        number =
            number.and_then(|number| number.checked_mul(base.into())?.checked_add(digit.into()));
    }
    Some(match number {
        Some(number) => Parsed::Int(if negative { -number } else { number }),
        None => Parsed::TooLarge,
    })
}

/// The worth of a digit or letter, also of other scripts: their tens of digits stand in blocks.
pub(crate) fn digit(c: char) -> Option<u32> {
    const ZEROS: [u32; 22] = [
        0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xe50,
        0xed0, 0xf20, 0x1040, 0x17e0, 0x1810, 0x1946, 0xa620, 0xa8d0, 0xff10,
    ];
    c.to_digit(36).or_else(|| {
        let code = u32::from(c);
        let zero = ZEROS
            .iter()
            .find(|&&zero| (zero..zero + 10).contains(&code))?;
        Some(code - zero)
    })
}

/// `float(text)`.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let text = text.trim_matches(is_space);
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let first = unsigned.chars().next()?;
    if first.is_alphabetic() && first.to_digit(10).is_none() {
        let word = unsigned.to_ascii_lowercase();
        if !matches!(&*word, "inf" | "infinity" | "nan") {
            return None;
        }
    }
    let mut plain = String::with_capacity(text.len());
    let mut last = ' ';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '_' {
            let next = chars.peek().copied().unwrap_or(' ');
            if !last.is_ascii_digit() || !next.is_ascii_digit() {
                return None;
            }
        } else {
            match digit(c).filter(|&d| d < 10) {
                Some(d) => plain.extend(char::from_digit(d, 10)),
                None => plain.push(c),
            }
        }
        last = c;
    }
    plain.parse().ok()
}

fn whole(number: f64) -> Option<Value> {
    // Beyond this, an integer of 128 bits holds none.
    (number.is_finite() && number.abs() < 1.7e38).then(|| Value::from(number.trunc() as i128))
}

fn int(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    undefined(value)?;
    let default = || args.get(0).cloned().unwrap_or_else(|| Value::from(0));
    let base = args.int(1, 10)?;
    if let Some(text) = value.as_str() {
        state.consume_fuel(limits::CALL)?;
        return match parse_int(text, base) {
            Some(Parsed::Int(number)) => Ok(Value::from(number)),
            Some(Parsed::TooLarge) => Err(too_large()),
            None => match parse_float(text).filter(|number| number.is_finite()) {
                Some(number) => whole(number).ok_or_else(too_large),
                None => Ok(default()),
            },
        };
    }
    Ok(match Number::of(value) {
        Some(Number::Int(number)) => Value::from(number),
        Some(Number::Float(number)) if number.is_finite() => whole(number).ok_or_else(too_large)?,
        Some(Number::Float(_)) => {
            return Err(wrong("cannot convert float infinity or NaN to integer"));
        }
        None if value.is_integer() => value.clone(),
        None => default(),
    })
}

fn float(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    undefined(value)?;
    state.consume_fuel(limits::CALL)?;
    let number = match value.as_str() {
        Some(text) => parse_float(text),
        None => Number::of(value).map(Number::float).or_else(|| {
            (value.kind() == ValueKind::Number)
                .then(|| f64::try_from(value.clone()).ok())
                .flatten()
        }),
    };
    Ok(match (number, args.get(0)) {
        (Some(number), _) => Value::from(number),
        (None, Some(default)) => default.clone(),
        (None, None) => Value::from(0.0),
    })
}

fn abs(_: &mut State<'_, '_>, value: &Value, _: &Args) -> Result<Value, Error> {
    match Number::of(value) {
        Some(Number::Int(number)) => number
            .checked_abs()
            .map(Value::from)
            .ok_or_else(|| wrong("integers of more than 128 bits are not supported")),
        Some(Number::Float(number)) => Ok(Value::from(number.abs())),
        None if value.is_integer() => Ok(value.clone()),
        None => {
            let name = values::type_name(value);
            Err(wrong(format!("bad operand type for abs(): '{name}'")))
        }
    }
}

/// `round(number, digits)` for a float: to the nearest, with what lies exactly between going to the
/// even digit. Rust's formatting does just that, on the exact value.
fn round_float(number: f64, digits: i64) -> f64 {
    if !number.is_finite() || digits > 323 {
        return number;
    }
    if digits >= 0 {
        let digits = usize::try_from(digits).unwrap_or_default();
        return format!("{number:.digits$}").parse().unwrap_or(number);
    }
    let Ok(power) = i32::try_from(digits.saturating_neg()) else {
        return 0.0;
    };
    let unit = 10f64.powi(power.min(400));
    if unit.is_infinite() {
        return 0.0_f64.copysign(number);
    }
    (number / unit).round_ties_even() * unit
}

fn round_int(number: i128, digits: i64) -> Option<i128> {
    if digits >= 0 {
        return Some(number);
    }
    let Some(unit) = u32::try_from(digits.saturating_neg())
        .ok()
        .and_then(|n| 10i128.checked_pow(n))
    else {
        return Some(0);
    };
    let (quotient, rest) = (number.div_euclid(unit), number.rem_euclid(unit));
    let up = rest > unit - rest || (rest == unit - rest && quotient % 2 != 0);
    (quotient + i128::from(up)).checked_mul(unit)
}

fn round(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    let digits = args.int(0, 0)?;
    if !value.is_integer() {
        // It is written out, and read again.
        state.consume_fuel(8 + digits.unsigned_abs().min(400) / 8)?;
    }
    let method = args.get(1).map_or(Some("common"), Value::as_str);
    let number = Number::of(value)
        .ok_or_else(|| wrong(format!("'{}' cannot be rounded", values::type_name(value))))?;
    let rounder: fn(f64) -> f64 = match method {
        Some("common") => {
            return Ok(match number {
                Number::Int(number) => round_int(number, digits)
                    .map(Value::from)
                    .ok_or_else(|| wrong("integers of more than 128 bits are not supported"))?,
                Number::Float(number) => Value::from(round_float(number, digits)),
            });
        }
        Some("ceil") => f64::ceil,
        Some("floor") => f64::floor,
        _ => return Err(wrong("method must be common, ceil or floor")),
    };
    let scale = 10f64.powi(i32::try_from(digits.clamp(-400, 400)).unwrap_or_default());
    let scaled = number.float() * scale;
    if !scaled.is_finite() {
        return Err(wrong("the number is too large to be rounded"));
    }
    Ok(Value::from(rounder(scaled) / scale))
}

fn filesizeformat(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    let number = match Number::of(value) {
        Some(number) => number.float(),
        None => {
            let text = to_str(state, value)?;
            parse_float(&text)
                .or_else(|| match parse_int(&text, 10)? {
                    Parsed::Int(number) => Some(number as f64),
                    Parsed::TooLarge => None,
                })
                .ok_or_else(|| wrong(format!("could not convert string to float: '{text}'")))?
        }
    };
    let binary = args.flag(0, false);
    let (base, units) = if binary {
        (
            1024_i128,
            ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"],
        )
    } else {
        (1000, ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"])
    };
    let text = if number == 1.0 {
        "1 Byte".to_owned()
    } else if number < base as f64 {
        format!("{} Bytes", number.trunc() as i128)
    } else {
        let mut text = String::new();
        let mut unit = base;
        for name in units {
            unit *= base;
            text = format!("{:.1} {name}", base as f64 * number / unit as f64);
            if (number as i128) < unit {
                break;
            }
        }
        text
    };
    Ok(Value::from(text))
}
