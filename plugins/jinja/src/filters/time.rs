//! `to_datetime` and `strftime`, by Ansible's names.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use jiff::civil;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::Offset;
use minijinja::value::{DynObject, Object, ObjectRepr};
use minijinja::{Error, ErrorKind, State, Value};

use super::strptime::strptime;
use crate::args::Args;
use crate::output::to_str;
use crate::values::{Number, wrong};

/// A date and time, with an offset from UTC if one is known.
#[derive(Debug)]
struct DateTime {
    at: civil::DateTime,
    offset: Option<Offset>,
}

impl DateTime {
    fn format(&self, state: &State<'_, '_>, format: &str) -> Result<Value, Error> {
        state.consume_fuel(16 + format.len() as u64)?;
        let format = self.localized(format);
        let mut parts = BrokenDownTime::from(self.at);
        parts.set_offset(self.offset);
        let text = parts.to_string(format);
        text.map(Value::from)
            .map_err(|e| wrong(format!("the format does not suit: {e}")))
    }

    /// The format with what Python means by it where jiff means something else: the C locale's layouts, six
    /// digits of microseconds, the zone's name by its offset, and no zone where none is known. What is no
    /// directive stays as it is.
    fn localized(&self, format: &str) -> String {
        let mut out = String::with_capacity(format.len());
        let mut rest = format;
        while let Some((plain, directive)) = rest.split_once('%') {
            out.push_str(plain);
            // GNU's flags, of which there may be one.
            let flagged = directive.starts_with(['-', '_', '0', '^', '#']);
            let (flag, tail) = directive.split_at(usize::from(flagged));
            let mut tail = tail.chars();
            match (tail.next(), self.offset) {
                (Some('c'), _) if !flagged => out.push_str("%a %b %e %H:%M:%S %Y"),
                (Some('x'), _) if !flagged => out.push_str("%m/%d/%y"),
                (Some('X'), _) if !flagged => out.push_str("%H:%M:%S"),
                (Some('f'), _) if !flagged => out.push_str("%6f"),
                (Some('z' | 'Z'), None) => {}
                (Some('Z'), Some(Offset::UTC)) => out.push_str("UTC"),
                (Some('Z'), Some(_)) => out.push_str("UTC%:z"),
                (Some(c), _) if "aAbBCdDeFgGhHIjklmMnpPrRsStTuUVwWyYz%".contains(c) => {
                    out.push('%');
                    out.push_str(flag);
                    out.push(c);
                }
                _ => {
                    out.push_str("%%");
                    rest = directive;
                    continue;
                }
            }
            rest = tail.as_str();
        }
        out.push_str(rest);
        out
    }

    /// Seconds since 1970; without an offset as if it were UTC.
    fn timestamp(&self) -> Result<f64, Error> {
        let offset = self.offset.unwrap_or(Offset::UTC);
        let at = offset.to_timestamp(self.at);
        at.map(|at| at.as_microsecond() as f64 / 1e6)
            .map_err(|e| wrong(format!("this time has no timestamp: {e}")))
    }

    fn iso(&self, between: char) -> String {
        let at = self.at;
        let mut out = format!(
            "{:04}-{:02}-{:02}{between}{:02}:{:02}:{:02}",
            at.year(),
            at.month(),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        );
        let micros = at.subsec_nanosecond() / 1000;
        if micros > 0 {
            out.push_str(&format!(".{micros:06}"));
        }
        if let Some(offset) = self.offset {
            let sign = if offset.is_negative() { '-' } else { '+' };
            let seconds = offset.seconds().unsigned_abs();
            let (minutes, seconds) = (seconds / 60, seconds % 60);
            out.push_str(&format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60));
            if seconds > 0 {
                out.push_str(&format!(":{seconds:02}"));
            }
        }
        out
    }
}

impl Object for DateTime {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let at = self.at;
        Some(match key.as_str()? {
            "year" => Value::from(at.year()),
            "month" => Value::from(at.month()),
            "day" => Value::from(at.day()),
            "hour" => Value::from(at.hour()),
            "minute" => Value::from(at.minute()),
            "second" => Value::from(at.second()),
            "microsecond" => Value::from(at.subsec_nanosecond() / 1000),
            _ => return None,
        })
    }

    fn call_method(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        method: &str,
        given: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "strftime" => {
                let format = Args::bind(&["format!"], given)?.text(state, 0, "")?;
                self.format(state, &format)
            }
            "isoformat" => Args::bind(&[], given).map(|_| Value::from(self.iso('T'))),
            "timestamp" => self.timestamp().map(Value::from),
            "weekday" => Ok(Value::from(self.at.weekday().to_monday_zero_offset())),
            "isoweekday" => Ok(Value::from(self.at.weekday().to_monday_one_offset())),
            _ => Err(ErrorKind::UnknownMethod.into()),
        }
    }

    /// The order in time, if both or neither have an offset.
    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        order(self, other.downcast_ref::<Self>()?)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iso(' '))
    }
}

fn order(a: &DateTime, b: &DateTime) -> Option<Ordering> {
    match (a.offset, b.offset) {
        (None, None) => Some(a.at.cmp(&b.at)),
        (Some(x), Some(y)) => {
            let (a, b) = (x.to_timestamp(a.at), y.to_timestamp(b.at));
            Some(a.ok()?.cmp(&b.ok()?))
        }
        _ => None,
    }
}

/// The order of two times, if that is what the values are.
pub(crate) fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    order(a.downcast_object_ref()?, b.downcast_object_ref()?)
}

/// ISO 8601 as NetBox writes it, and with `Z`.
fn iso(text: &str) -> Option<DateTime> {
    let pieces = jiff::fmt::temporal::Pieces::parse(text).ok()?;
    // A leap second would become the one before it.
    if pieces.time_zone_annotation().is_some() || text.contains(":60") {
        return None;
    }
    let at = pieces.date().to_datetime(pieces.time().unwrap_or_default());
    let offset = pieces.to_numeric_offset();
    if offset.is_some_and(|offset| offset.seconds().abs() >= 24 * 60 * 60) {
        return None;
    }
    Some(DateTime { at, offset })
}

/// `to_datetime(format='%Y-%m-%d %H:%M:%S')`. Without a format it also takes ISO 8601.
pub(crate) fn to_datetime(
    state: &mut State<'_, '_>,
    value: &Value,
    args: &Args,
) -> Result<Value, Error> {
    let text = to_str(state, value)?;
    state.consume_fuel(32 + text.len() as u64 / 4)?;
    if args.get(0).is_none()
        && let Some(found) = iso(&text)
    {
        return Ok(Value::from_object(found));
    }
    let format = args.text(state, 0, "%Y-%m-%d %H:%M:%S")?;
    state.consume_fuel(format.len() as u64 / 4)?;
    let found = strptime(&text, &format);
    let (at, offset) =
        found.map_err(|why| wrong(format!("the time does not suit `{format}`: {why}")))?;
    Ok(Value::from_object(DateTime { at, offset }))
}

/// Ansible's `format | strftime(seconds)`, always UTC; or `time | strftime(format)` of what
/// [`to_datetime`] gave.
pub(crate) fn strftime(
    state: &mut State<'_, '_>,
    value: &Value,
    args: &Args,
) -> Result<Value, Error> {
    if let Some(time) = value.downcast_object_ref::<DateTime>() {
        return time.format(state, &args.text(state, 0, "%Y-%m-%d %H:%M:%S")?);
    }
    let format = to_str(state, value)?;
    let seconds = args.some(0).ok_or_else(|| {
        wrong("there is no clock here: give the seconds since 1970, as in `'%Y' | strftime(0)`")
    })?;
    let seconds = match seconds.as_str() {
        Some(text) => super::numbers::parse_float(text),
        None => Number::of(seconds).map(Number::float),
    };
    let seconds = seconds
        .filter(|seconds| seconds.is_finite())
        .ok_or_else(|| wrong("the seconds since 1970 have to be a number"))?;
    let at = jiff::Timestamp::from_microsecond((seconds * 1e6) as i64);
    let at = at.map_err(|e| wrong(format!("this is no time: {e}")))?;
    let at = Offset::UTC.to_datetime(at);
    let offset = Some(Offset::UTC);
    DateTime { at, offset }.format(state, &format)
}
