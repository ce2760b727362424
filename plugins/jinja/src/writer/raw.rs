//! Values of the event as Python writes them, straight from their JSON text.

use std::borrow::Cow;

use hookbox_guest::Failure;
use minijinja::{Error, ErrorKind};

use super::{Style, Writer};
use crate::json_reader::Parser;
use crate::literals::{ESCAPED, ESCAPED_HTML, ESCAPED_REPR, push_escaped};

impl Writer {
    /// Writes the JSON value that a reader stands before.
    ///
    /// # Errors
    /// As [`Self::value`], and if it is no JSON.
    pub(crate) fn raw(&mut self, parser: &mut Parser<'_>) -> Result<(), Error> {
        match parser.skip_space() {
            Some(b'"') => self.raw_text(parser),
            Some(b'{') => self.raw_object(parser),
            Some(b'[') => {
                self.open('[')?;
                let mut count = 0;
                if !parser.enter(b']') {
                    loop {
                        self.separate(count)?;
                        self.raw(parser)?;
                        count += 1;
                        if !parser.more(b']').map_err(odd)? {
                            break;
                        }
                    }
                }
                self.close(']', count == 0);
                Ok(())
            }
            _ => {
                let place = parser.place();
                if parser.eat("null") {
                    self.constant("null", "None");
                } else if parser.eat("true") {
                    self.constant("true", "True");
                } else if parser.eat("false") {
                    self.constant("false", "False");
                } else {
                    let number = parser.token().map_err(odd)?;
                    if !is_pythons(number) {
                        parser.go(place);
                        return self.value(&parser.value().map_err(odd)?);
                    }
                    self.out.push_str(number);
                }
                Ok(())
            }
        }
    }

    #[inline(never)]
    fn raw_object(&mut self, parser: &mut Parser<'_>) -> Result<(), Error> {
        self.open('{')?;
        let empty = parser.enter(b'}');
        if empty {
        } else if self.json().is_some_and(|json| json.sort_keys) {
            let mut members = Vec::with_capacity(16);
            loop {
                parser.key().map_err(odd)?;
                let place = parser.place();
                let key = key(parser)?;
                // Comparing the first eight bytes, as a number, decides nearly always.
                let at = matches!(key, Cow::Borrowed(_)).then_some(place.0 + 1);
                members.push((head(parser, at, &key), key, place));
                parser.colon().map_err(odd)?;
                step_over(parser)?;
                if !parser.more(b'}').map_err(odd)? {
                    break;
                }
            }
            let end = parser.place();
            members.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
            for (n, (_, key, place)) in members.iter().enumerate() {
                self.separate(n)?;
                parser.go(*place);
                if let Cow::Borrowed(key) = key {
                    // The quotes are Python's, too.
                    let whole = parser.take(key.len() + 2);
                    self.out.push_str(whole.map_err(odd)?);
                    self.raw_value(parser)?;
                } else {
                    self.raw_member(parser)?;
                }
            }
            parser.go(end);
        } else {
            let mut count = 0;
            loop {
                self.separate(count)?;
                parser.key().map_err(odd)?;
                self.raw_member(parser)?;
                count += 1;
                if !parser.more(b'}').map_err(odd)? {
                    break;
                }
            }
        }
        self.close('}', empty);
        Ok(())
    }

    fn raw_member(&mut self, parser: &mut Parser<'_>) -> Result<(), Error> {
        self.raw_text(parser)?;
        self.raw_value(parser)
    }

    fn raw_value(&mut self, parser: &mut Parser<'_>) -> Result<(), Error> {
        parser.colon().map_err(odd)?;
        self.out.push_str(": ");
        self.raw(parser)
    }

    /// Writes the string that a reader stands before.
    fn raw_text(&mut self, parser: &mut Parser<'_>) -> Result<(), Error> {
        let Style::Json(json) = self.style else {
            let start = parser.place();
            let plain = parser.open_string(ESCAPED_REPR);
            let plain = plain.map_err(odd)?;
            if parser.closed() {
                self.quoted('\'', plain);
                return Ok(());
            }
            parser.go(start);
            return self.value(&parser.string().map_err(odd)?);
        };
        let plain = if json.html_safe {
            parser.open_string(ESCAPED_HTML)
        } else {
            parser.open_string(ESCAPED)
        };
        let plain = plain.map_err(odd)?;
        let (end, _) = parser.place();
        if parser.closed() {
            // The quotes are Python's, too.
            let whole = parser.slice(end - plain.len() - 1, end + 1);
            self.out.push_str(whole.map_err(odd)?);
            return Ok(());
        }
        self.out.push('"');
        self.out.push_str(plain);
        while let Some(c) = parser.special().map_err(odd)? {
            push_escaped(&mut self.out, c, json.html_safe);
            let plain = if json.html_safe {
                parser.plain(ESCAPED_HTML)
            } else {
                parser.plain(ESCAPED)
            };
            self.out.push_str(plain.map_err(odd)?);
        }
        self.out.push('"');
        Ok(())
    }
}

/// Reads a key; borrowed if it is to be written as it is.
fn key<'a>(parser: &mut Parser<'a>) -> Result<Cow<'a, str>, Error> {
    let start = parser.place();
    let plain = parser.open_string(ESCAPED_HTML).map_err(odd)?;
    if parser.closed() {
        return Ok(plain.into());
    }
    parser.go(start);
    let key = parser.string().map_err(odd)?;
    Ok(key.as_str().unwrap_or_default().to_owned().into())
}

/// The first eight bytes of a key, as a number of the same order; shorter ones are filled with zeros.
/// `at` is where it stands in the text as it is, if it does.
#[inline(always)]
fn head(parser: &Parser<'_>, at: Option<usize>, key: &str) -> u64 {
    if let Some(eight) = at.and_then(|at| parser.eight(at)) {
        let beyond = u64::MAX.checked_shr(8 * key.len().min(8) as u32);
        return eight & !beyond.unwrap_or(0);
    }
    let mut head = [0; 8];
    for (to, from) in head.iter_mut().zip(key.bytes()) {
        *to = from;
    }
    u64::from_be_bytes(head)
}

/// Steps over a value.
fn step_over(parser: &mut Parser<'_>) -> Result<(), Error> {
    match parser.skip_space() {
        Some(b'{' | b'[') => parser.skip_container(),
        Some(b'"') => parser.skip_string(),
        _ => parser.token().map(drop),
    }
    .map_err(odd)
}

/// Whether Python would write the number in the same way: an integer of up to 38 digits, or a float of up
/// to 15 (any such one is the shortest that reads back as the same number) between 1e-4 and 1e15.
fn is_pythons(number: &str) -> bool {
    let digits = number.strip_prefix('-').unwrap_or(number);
    if number.len() < 16 && number.bytes().all(|b| b.is_ascii_digit()) {
        return number == "0" || number.bytes().next().is_some_and(|b| b != b'0');
    }
    let all = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match digits.split_once('.') {
        None => all(digits) && digits.len() <= 38 && (!digits.starts_with('0') || number == "0"),
        Some((whole, part)) => {
            all(whole)
                && all(part)
                && digits.len() <= 16
                && (part == "0" || !part.ends_with('0'))
                && (!whole.starts_with('0') || (whole == "0" && !part.starts_with("000")))
        }
    }
}

#[cold]
#[inline(never)]
fn odd(failure: Failure) -> Error {
    Error::new(ErrorKind::BadSerialization, failure.message)
}
