//! Python's `datetime.strptime`, in the C locale.

use jiff::civil::{self, Date, ISOWeekDate, Weekday};
use jiff::tz::Offset;
use jiff::{Span, ToSpan};

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

const DAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// What was read so far.
#[derive(Default)]
struct Parts {
    year: Option<i16>,
    month: Option<i8>,
    day: Option<i8>,
    hour: i8,
    /// Of a clock of twelve hours.
    hour12: Option<i8>,
    afternoon: bool,
    minute: i8,
    second: i8,
    micros: i32,
    /// The day of the year.
    ordinal: Option<i32>,
    /// From Monday, 0.
    weekday: Option<i8>,
    /// The week of the year, and whether weeks begin on Monday.
    week: Option<(i32, bool)>,
    iso_year: Option<i16>,
    iso_week: Option<i8>,
    offset: Option<Offset>,
}

/// The time that a text says in a format.
///
/// # Errors
/// What does not suit.
pub(super) fn strptime(
    text: &str,
    format: &str,
) -> Result<(civil::DateTime, Option<Offset>), String> {
    let mut parts = Parts::default();
    let rest = parts.read(text, format)?;
    if !rest.is_empty() {
        return Err(format!(
            "`{}` remains",
            rest.chars().take(40).collect::<String>()
        ));
    }
    let date = parts.date().ok_or("there is no such date")?;
    let hour = match parts.hour12 {
        Some(hour) => hour % 12 + 12 * i8::from(parts.afternoon),
        None => parts.hour,
    };
    let time = civil::Time::new(hour, parts.minute, parts.second, parts.micros * 1000);
    let time = time.map_err(|_| "there is no such time of the day")?;
    Ok((date.to_datetime(time), parts.offset))
}

/// The longest number at the text's begin, of so many digits at most, within the range.
fn number(text: &str, digits: usize, range: std::ops::RangeInclusive<i32>) -> Option<(i32, &str)> {
    (1..=digits).rev().find_map(|length| {
        let (number, rest) = text.split_at_checked(length)?;
        let plain = number.bytes().all(|b| b.is_ascii_digit());
        let number = number.parse().ok().filter(|_| plain)?;
        range.contains(&number).then_some((number, rest))
    })
}

/// The place in the list of the name that the text begins with: by its first three letters, or whole.
fn name<'t>(text: &'t str, names: &[&str], whole: bool) -> Option<(i8, &'t str)> {
    let at = |at: usize| i8::try_from(at).ok();
    names.iter().enumerate().find_map(|(place, known)| {
        let known = if whole { known } else { known.get(..3)? };
        let (head, rest) = text.split_at_checked(known.len())?;
        head.eq_ignore_ascii_case(known)
            .then_some((at(place)?, rest))
    })
}

/// `Z`, `+0200`, `+02:00` or with seconds.
fn offset(text: &str) -> Option<(Offset, &str)> {
    if let Some(rest) = text.strip_prefix('Z') {
        return Some((Offset::UTC, rest));
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    let two = |text| number(text, 2, 0..=59).filter(|(_, rest)| text.len() - rest.len() == 2);
    let (hours, rest) = two(rest).filter(|&(hours, _)| hours < 24)?;
    let (minutes, mut rest) = two(rest.strip_prefix(':').unwrap_or(rest))?;
    let mut seconds = (hours * 60 + minutes) * 60;
    if let Some((more, after)) = two(rest.strip_prefix(':').unwrap_or(rest)) {
        seconds += more;
        rest = after;
    }
    Some((Offset::from_seconds(sign * seconds).ok()?, rest))
}

impl Parts {
    /// Reads what the format asks for, and gives what remains of the text.
    fn read<'t>(&mut self, mut text: &'t str, format: &str) -> Result<&'t str, String> {
        let mut rest = format.chars();
        while let Some(c) = rest.next() {
            let found = match c {
                '%' => match rest.next() {
                    Some('c') => Some(self.read(text, "%a %b %d %H:%M:%S %Y")?),
                    Some('x') => Some(self.read(text, "%m/%d/%y")?),
                    Some('X') => Some(self.read(text, "%H:%M:%S")?),
                    Some('%') => text.strip_prefix('%'),
                    Some(directive) => self.directive(directive, text)?,
                    None => return Err("it ends in a single `%`".to_owned()),
                },
                c if c.is_whitespace() => {
                    rest = rest.as_str().trim_start().chars();
                    let after = text.trim_start();
                    (after.len() < text.len()).then_some(after)
                }
                c => text.strip_prefix(|found: char| found.to_lowercase().eq(c.to_lowercase())),
            };
            text = found.ok_or_else(|| {
                let near: String = text.chars().take(40).collect();
                format!("it does not suit `{near}`")
            })?;
        }
        Ok(text)
    }

    /// Reads what one directive asks for: none if it is not there.
    fn directive<'t>(&mut self, c: char, text: &'t str) -> Result<Option<&'t str>, String> {
        let small = |number: i32| i8::try_from(number).unwrap_or(0);
        let mut rest = None;
        let mut take = |digits, range| {
            let (found, after) = number(text, digits, range)?;
            rest = Some(after);
            Some(found)
        };
        match c {
            'Y' | 'G' => {
                let year = take(4, 0..=9999).and_then(|year| i16::try_from(year).ok());
                rest = rest.filter(|rest| text.len() - rest.len() == 4);
                *(if c == 'Y' {
                    &mut self.year
                } else {
                    &mut self.iso_year
                }) = year;
            }
            'y' => {
                let year = take(2, 0..=99);
                rest = rest.filter(|rest| text.len() - rest.len() == 2);
                let year = year.map(|year| year + if year < 69 { 2000 } else { 1900 });
                self.year = year.and_then(|year| i16::try_from(year).ok());
            }
            'm' => self.month = take(2, 1..=12).map(small),
            'd' => {
                let spaced = text
                    .strip_prefix(' ')
                    .and_then(|text| number(text, 1, 1..=9));
                let found = number(text, 2, 1..=31).or(spaced);
                self.day = found.map(|(day, _)| small(day));
                rest = found.map(|(_, after)| after);
            }
            'H' => self.hour = take(2, 0..=23).map_or(0, small),
            'I' => self.hour12 = take(2, 1..=12).map(small),
            'M' => self.minute = take(2, 0..=59).map_or(0, small),
            'S' => self.second = take(2, 0..=61).map_or(0, small),
            'f' => {
                let found = take(6, 0..=999_999);
                let digits = text.len() - rest.map_or(0, str::len);
                let scale = 10_i32.pow(6_u32.saturating_sub(u32::try_from(digits).unwrap_or(6)));
                self.micros = found.map_or(0, |found| found * scale);
            }
            'j' => self.ordinal = take(3, 1..=366),
            'U' | 'W' => self.week = take(2, 0..=53).map(|week| (week, c == 'W')),
            'V' => self.iso_week = take(2, 1..=53).map(small),
            'w' => self.weekday = take(1, 0..=6).map(|day| small((day + 6) % 7)),
            'u' => self.weekday = take(1, 1..=7).map(|day| small(day - 1)),
            'a' | 'A' | 'b' | 'B' | 'h' | 'p' | 'z' | 'Z' => rest = self.word(c, text),
            _ => return Err(format!("there is no directive `%{c}`")),
        }
        Ok(rest)
    }

    /// Reads a name or an offset.
    fn word<'t>(&mut self, c: char, text: &'t str) -> Option<&'t str> {
        let (found, rest) = match c {
            'a' | 'A' => name(text, &DAYS, c == 'A')?,
            'b' | 'B' | 'h' => name(text, &MONTHS, c == 'B')?,
            'p' => name(text, &["am", "pm"], true)?,
            'z' => {
                let (offset, rest) = offset(text)?;
                self.offset = Some(offset);
                return Some(rest);
            }
            // As in Python, it says nothing of the time.
            _ => name(text, &["utc", "gmt"], true)?,
        };
        match c {
            'a' | 'A' => self.weekday = Some(found),
            'b' | 'B' | 'h' => self.month = Some(found + 1),
            'p' => self.afternoon = found == 1,
            _ => {}
        }
        Some(rest)
    }

    /// The date, which Python takes to be in 1900 if nothing else is said.
    fn date(&self) -> Option<Date> {
        match (self.iso_year, self.iso_week) {
            (Some(year), Some(week)) if self.ordinal.is_none() => {
                let weekday = Weekday::from_monday_zero_offset(self.weekday?).ok()?;
                return Some(ISOWeekDate::new(year, week, weekday).ok()?.date());
            }
            (None, None) => {}
            _ => return None,
        }
        let year = self.year.unwrap_or(1900);
        let first = Date::new(year, 1, 1).ok().filter(|_| year > 0)?;
        let days: Span = match (self.ordinal, self.week, self.weekday) {
            (Some(day), ..) => (day - 1).days(),
            (None, Some((week, monday)), Some(day)) => {
                let of = |weekday: i8| (i32::from(weekday) + i32::from(!monday)) % 7;
                let start = of(first.weekday().to_monday_zero_offset());
                // The days before the year's first whole week are in week 0.
                let whole = if week == 0 {
                    -start
                } else {
                    (7 - start) % 7 + 7 * (week - 1)
                };
                (whole + of(day)).days()
            }
            _ => return Date::new(year, self.month.unwrap_or(1), self.day.unwrap_or(1)).ok(),
        };
        first.checked_add(days).ok()
    }
}
