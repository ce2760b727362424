//! Numbers and texts laid out as Python's `format()` and `%` do.

use minijinja::value::ValueKind;
use minijinja::{Error, State, Value};

use crate::values::{Number, afford, type_name, wrong};

/// Digits after the point that are made at most: no float has more.
const MOST_DIGITS: usize = 1100;

/// How to lay something out: `[[fill]align][sign][#][0][width][grouping][.precision][type]`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spec {
    pub(crate) fill: Option<char>,
    pub(crate) align: Option<char>,
    /// `+`, a space, or none.
    pub(crate) sign: Option<char>,
    pub(crate) alternate: bool,
    pub(crate) zero: bool,
    pub(crate) width: usize,
    pub(crate) grouping: Option<char>,
    pub(crate) precision: Option<usize>,
    pub(crate) kind: Option<char>,
}

impl Spec {
    /// Reads a specification in the words of `str.format()`.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let invalid = || wrong(format!("Invalid format specifier '{text}'"));
        let mut spec = Self::default();
        let chars: Vec<char> = text.chars().collect();
        let is_align = |n: usize| {
            chars
                .get(n)
                .is_some_and(|c| matches!(c, '<' | '>' | '^' | '='))
        };
        let mut rest = chars.as_slice();
        if is_align(1) {
            spec.fill = chars.first().copied();
            spec.align = chars.get(1).copied();
            rest = chars.get(2..).unwrap_or_default();
        } else if is_align(0) {
            spec.align = chars.first().copied();
            rest = chars.get(1..).unwrap_or_default();
        }
        let mut rest = rest.iter().copied().peekable();
        spec.sign = rest
            .next_if(|c| matches!(c, '+' | '-' | ' '))
            .filter(|&c| c != '-');
        spec.alternate = rest.next_if_eq(&'#').is_some();
        spec.zero = rest.next_if_eq(&'0').is_some();
        spec.width = number(&mut rest).unwrap_or(0);
        spec.grouping = rest.next_if(|c| matches!(c, ',' | '_'));
        if rest.next_if_eq(&'.').is_some() {
            spec.precision = Some(number(&mut rest).ok_or_else(invalid)?);
        }
        spec.kind = rest.next();
        match rest.next() {
            Some(_) => Err(invalid()),
            None => Ok(spec),
        }
    }

    /// Lays out a value by its own type, as `format(value, spec)` does.
    ///
    /// # Errors
    /// If the specification does not suit the value, or the result is too large.
    pub(crate) fn apply(&self, state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
        match value.kind() {
            ValueKind::Bool | ValueKind::Number => self.number(state, value),
            ValueKind::String | ValueKind::Undefined => {
                if self.kind.is_some_and(|kind| kind != 's') || self.sign.is_some() {
                    let kind = self.kind.unwrap_or(' ');
                    return Err(wrong(format!(
                        "Unknown format code '{kind}' for object of type 'str'"
                    )));
                }
                let text = value.as_str().unwrap_or_default();
                self.pad(state, "", self.cut(text), '<')
            }
            _ => {
                let name = type_name(value);
                Err(wrong(format!(
                    "unsupported format string passed to {name}.__format__"
                )))
            }
        }
    }

    /// As much of a text as the precision allows.
    pub(crate) fn cut<'t>(&self, text: &'t str) -> &'t str {
        let end = self
            .precision
            .and_then(|most| text.char_indices().nth(most));
        end.and_then(|(at, _)| text.get(..at)).unwrap_or(text)
    }

    /// Lays out a number.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub(crate) fn number(&self, state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
        let integer = value.is_integer() || value.kind() == ValueKind::Bool;
        let (negative, prefix, digits) = match self.kind {
            None | Some('d' | 'n') if integer => self.integer(value, 10)?,
            Some('b') if integer => self.integer(value, 2)?,
            Some('o') if integer => self.integer(value, 8)?,
            Some('x' | 'X') if integer => self.integer(value, 16)?,
            Some('c') if integer => {
                let code = u32::try_from(value.clone()).ok().and_then(char::from_u32);
                let c = code.ok_or_else(|| wrong("%c arg not in range(0x110000)"))?;
                (false, "", c.to_string())
            }
            None | Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | 'n' | '%') => {
                let number = Number::of(value).map(Number::float);
                let number = match number {
                    Some(number) => number,
                    None => f64::try_from(value.clone())?,
                };
                let negative = number.is_sign_negative() && !number.is_nan();
                (negative, "", self.float(number.abs())?)
            }
            Some(kind) => {
                let name = type_name(value);
                return Err(wrong(format!(
                    "Unknown format code '{kind}' for object of type '{name}'"
                )));
            }
        };
        let digits = if self.kind.is_some_and(char::is_uppercase) {
            digits.to_uppercase()
        } else {
            digits
        };
        let sign = match (negative, self.sign) {
            (true, _) => "-",
            (false, Some('+')) => "+",
            (false, Some(_)) => " ",
            (false, None) => "",
        };
        let head = format!("{sign}{prefix}");
        let mut digits = match self.grouping {
            Some(by) => grouped(&digits, by, if prefix.is_empty() { 3 } else { 4 }),
            None => digits,
        };
        if self.zero && self.align.is_none() {
            let has = head.len() + digits.chars().count();
            let missing = self.width.saturating_sub(has);
            afford(state, missing)?;
            let bare = digits.chars().next().is_some_and(|c| c.is_ascii_hexdigit());
            if let (Some(by), true, true) = (self.grouping, missing > 0, bare) {
                // Zeros are grouped, too.
                let plain: String = digits.chars().filter(|&c| c != by).collect();
                let mut zeros = 0;
                while head.len() + digits.len() < self.width && zeros <= missing {
                    zeros += 1;
                    digits = grouped(&format!("{:0>zeros$}{plain}", ""), by, 3);
                }
            } else {
                digits = format!("{:0>missing$}{digits}", "");
            }
        }
        self.pad(state, &head, &digits, '>')
    }

    fn integer(&self, value: &Value, base: u32) -> Result<(bool, &'static str, String), Error> {
        if self.precision.is_some() && self.kind != Some('%') {
            return Err(wrong("Precision not allowed in integer format specifier"));
        }
        let (negative, size) = match Number::of(value) {
            Some(Number::Int(number)) => (number < 0, number.unsigned_abs()),
            _ => (false, u128::try_from(value.clone())?),
        };
        let (prefix, digits) = match base {
            2 => ("0b", format!("{size:b}")),
            8 => ("0o", format!("{size:o}")),
            16 if self.kind == Some('X') => ("0X", format!("{size:x}")),
            16 => ("0x", format!("{size:x}")),
            _ => ("", size.to_string()),
        };
        Ok((negative, if self.alternate { prefix } else { "" }, digits))
    }

    fn float(&self, number: f64) -> Result<String, Error> {
        if !number.is_finite() {
            let text = if number.is_nan() { "nan" } else { "inf" };
            let percent = if self.kind == Some('%') { "%" } else { "" };
            return Ok(format!("{text}{percent}"));
        }
        let precision = self.precision.unwrap_or(6);
        if precision > MOST_DIGITS {
            return Err(wrong(format!("a precision of {precision} is too large")));
        }
        let point = if self.alternate && precision == 0 {
            "."
        } else {
            ""
        };
        Ok(match self.kind {
            Some('f' | 'F') => format!("{number:.precision$}{point}"),
            Some('%') => format!("{:.precision$}{point}%", number * 100.0),
            Some('e' | 'E') => scientific(number, precision),
            Some(_) => self.general(number, precision.max(1), false),
            None if self.precision.is_some() => self.general(number, precision.max(1), true),
            None => {
                let mut out = String::new();
                crate::literals::push_float(&mut out, number);
                out
            }
        })
    }

    /// The shorter of both notations; with a digit after the point, if `floating`.
    fn general(&self, number: f64, precision: usize, floating: bool) -> String {
        let long = scientific(number, precision - 1);
        let (mantissa, exponent) = long.split_once('e').unwrap_or((&long, "0"));
        let exponent: i64 = exponent.parse().unwrap_or(0);
        let most = i64::try_from(precision).unwrap_or(i64::MAX) - i64::from(floating);
        let trim = |text: &str| match (self.alternate, text.contains('.')) {
            (false, true) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            _ => text.to_owned(),
        };
        if (-4..most).contains(&exponent) {
            let digits = i64::try_from(precision).unwrap_or(0) - 1 - exponent;
            let digits = usize::try_from(digits).unwrap_or(0);
            let text = trim(&format!("{number:.digits$}"));
            if floating && !text.contains('.') {
                return text + ".0";
            }
            return text;
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trim(mantissa), exponent.abs())
    }

    /// Fills up to the width.
    ///
    /// # Errors
    /// If the width is more than a template can pay for.
    pub(crate) fn pad(
        &self,
        state: &State<'_, '_>,
        head: &str,
        text: &str,
        align: char,
    ) -> Result<String, Error> {
        let has = head.chars().count() + text.chars().count();
        let missing = self.width.saturating_sub(has);
        afford(state, missing.saturating_mul(4))?;
        let zero = if self.zero { '0' } else { ' ' };
        let fill: String = std::iter::repeat_n(self.fill.unwrap_or(zero), missing).collect();
        Ok(match self.align.unwrap_or(align) {
            '<' => format!("{head}{text}{fill}"),
            '^' => {
                let middle = fill.char_indices().nth(missing / 2);
                let (left, right) = fill.split_at(middle.map_or(0, |(at, _)| at));
                format!("{left}{head}{text}{right}")
            }
            '=' => format!("{head}{fill}{text}"),
            _ => format!("{fill}{head}{text}"),
        })
    }
}

/// A decimal number at the start, saturating.
pub(crate) fn number<I: Iterator<Item = char>>(
    chars: &mut std::iter::Peekable<I>,
) -> Option<usize> {
    let mut number = None;
    while let Some(c) = chars.next_if(char::is_ascii_digit) {
        let digit = c.to_digit(10).unwrap_or(0) as usize;
        number = Some(
            number
                .unwrap_or(0_usize)
                .saturating_mul(10)
                .saturating_add(digit),
        );
    }
    number
}

/// `1.5e+03`.
fn scientific(number: f64, digits: usize) -> String {
    let text = format!("{number:.digits$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{exponent:0>2}")
}

/// The digits before the point in groups.
fn grouped(digits: &str, by: char, size: usize) -> String {
    let end = digits.find(['.', 'e']).unwrap_or(digits.len());
    let (whole, rest) = digits.split_at(end);
    let mut out = String::with_capacity(digits.len() * 2);
    let count = whole.chars().count();
    for (n, c) in whole.chars().enumerate() {
        if n > 0 && (count - n) % size == 0 {
            out.push(by);
        }
        out.push(c);
    }
    out + rest
}
