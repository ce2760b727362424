//! A reader of JSON texts (RFC 8259). Integers stay exact as far as 128 bits reach and become floats
//! beyond.

use std::sync::Arc;

use hookbox_guest::Failure;
use minijinja::Value;
use minijinja::value::ObjectRepr;

use crate::document::{Document, Lazy, broken, string_end};
use crate::scan::{Class, run};

/// What ends a run of plain characters in a string.
const STRING: Class = Class {
    any: b"\"\\",
    outside: (b' ', u8::MAX),
};

/// A reader that steps from value to value.
pub(crate) struct Parser<'a> {
    document: &'a Arc<Document>,
    text: &'a str,
    at: usize,
    /// The number of the next container.
    next: usize,
}

impl<'a> Parser<'a> {
    /// A reader at a byte, before the container of this number.
    pub(crate) fn new(document: &'a Arc<Document>, at: usize, next: usize) -> Self {
        Self {
            document,
            text: &document.text,
            at,
            next,
        }
    }

    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        self.skip_space();
        if self.at < self.text.len() {
            return Err(self.error("text after the end"));
        }
        Ok(())
    }

    /// Where it is, to come back to with [`Self::go`].
    pub(crate) fn place(&self) -> (usize, usize) {
        (self.at, self.next)
    }

    pub(crate) fn go(&mut self, place: (usize, usize)) {
        (self.at, self.next) = place;
    }

    /// The next byte.
    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no white space.
    #[inline]
    pub(crate) fn skip_space(&mut self) -> Option<u8> {
        loop {
            let byte = self.peek();
            match byte {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                _ => return byte,
            }
        }
    }

    /// What lies between two places that both are character boundaries.
    pub(crate) fn slice(&self, from: usize, to: usize) -> Result<&'a str, Failure> {
        self.text
            .get(from..to)
            .ok_or_else(|| self.error("broken text"))
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn error(&self, what: &str) -> Failure {
        broken(what, self.at)
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, Failure> {
        let end = self.at + word.len();
        if self.text.get(self.at..end) == Some(word) {
            self.at = end;
            return Ok(value);
        }
        Err(self.error("an unknown word"))
    }

    /// Reads a value. An array or object is stepped over.
    pub(crate) fn value(&mut self) -> Result<Value, Failure> {
        match self.skip_space() {
            Some(b'{') => self.lazy(ObjectRepr::Map),
            Some(b'[') => self.lazy(ObjectRepr::Seq),
            Some(b'"') => self.string(),
            Some(b't') => self.word("true", Value::from(true)),
            Some(b'f') => self.word("false", Value::from(false)),
            Some(b'n') => self.word("null", Value::from(())),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => Err(self.error("no value")),
            None => Err(self.error("a sudden end")),
        }
    }

    fn lazy(&mut self, repr: ObjectRepr) -> Result<Value, Failure> {
        let (at, number) = self.place();
        self.skip_container()?;
        let document = Arc::clone(self.document);
        Ok(Value::from_object(Lazy::new(document, at, number, repr)))
    }

    /// Steps over an array or object.
    pub(crate) fn skip_container(&mut self) -> Result<(), Failure> {
        let container = self.document.containers.get(self.next).copied();
        let container = container.ok_or_else(|| self.error("broken text"))?;
        (self.at, self.next) = (container.end, container.next);
        Ok(())
    }

    /// Steps over the opening byte of an array or object; true if the closing one follows at once.
    pub(crate) fn enter(&mut self, close: u8) -> bool {
        self.at += 1;
        self.next += 1;
        let empty = self.skip_space() == Some(close);
        self.at += usize::from(empty);
        empty
    }

    /// Steps over a separator; false at the closing byte.
    pub(crate) fn more(&mut self, close: u8) -> Result<bool, Failure> {
        match self.skip_space() {
            Some(byte) if byte == b',' || byte == close => {
                self.at += 1;
                Ok(byte == b',')
            }
            _ => Err(self.error("no comma")),
        }
    }

    /// Makes sure that a key begins here.
    pub(crate) fn key(&mut self) -> Result<(), Failure> {
        match self.skip_space() {
            Some(b'"') => Ok(()),
            _ => Err(self.error("no key")),
        }
    }

    /// Steps over the colon after a key.
    #[inline(always)]
    pub(crate) fn colon(&mut self) -> Result<(), Failure> {
        if self.skip_space() != Some(b':') {
            return Err(self.error("no colon"));
        }
        self.at += 1;
        Ok(())
    }

    /// Steps over a number or word; what it says is for the caller to judge.
    pub(crate) fn token(&mut self) -> Result<&'a str, Failure> {
        let start = self.at;
        while let Some(b'0'..=b'9' | b'a'..=b'z' | b'.' | b'-' | b'+' | b'E') = self.peek() {
            self.at += 1;
        }
        self.slice(start, self.at)
    }

    pub(crate) fn array(&mut self) -> Result<Vec<Value>, Failure> {
        let mut items = Vec::new();
        if !self.enter(b']') {
            loop {
                items.push(self.value()?);
                if !self.more(b']')? {
                    break;
                }
            }
        }
        Ok(items)
    }

    pub(crate) fn object(&mut self) -> Result<Vec<(Value, Value)>, Failure> {
        let mut pairs = Vec::new();
        if !self.enter(b'}') {
            loop {
                self.key()?;
                let key = self.string()?;
                self.colon()?;
                pairs.push((key, self.value()?));
                if !self.more(b'}')? {
                    break;
                }
            }
        }
        Ok(pairs)
    }

    fn number(&mut self) -> Result<Value, Failure> {
        let digits = self.token()?;
        if let Ok(small) = digits.parse::<i64>() {
            return Ok(Value::from(small));
        }
        if let Ok(big) = digits.parse::<i128>() {
            return Ok(Value::from(big));
        }
        match digits.parse::<f64>() {
            Ok(number) => Ok(Value::from(number)),
            Err(_) => Err(self.error("a broken number")),
        }
    }

    /// Steps over a string.
    pub(crate) fn skip_string(&mut self) -> Result<(), Failure> {
        let end = string_end(self.text.as_bytes(), self.at + 1);
        self.at = end.ok_or_else(|| self.error("a sudden end"))?;
        Ok(())
    }

    /// Reads a string.
    pub(crate) fn string(&mut self) -> Result<Value, Failure> {
        let plain = self.open_string(STRING)?;
        if self.closed() {
            return Ok(Value::from(plain));
        }
        let mut out = plain.to_owned();
        while let Some(c) = self.special()? {
            out.push(c);
            out.push_str(self.plain(STRING)?);
        }
        Ok(Value::from(out))
    }

    /// Steps over a string's opening quote and what follows up to a byte of the class, which
    /// has to hold quotes, backslashes and control characters.
    #[inline(always)]
    pub(crate) fn open_string(&mut self, stop: Class) -> Result<&'a str, Failure> {
        self.at += 1;
        self.plain(stop)
    }

    /// Steps on up to a byte of the class.
    #[inline(always)]
    pub(crate) fn plain(&mut self, stop: Class) -> Result<&'a str, Failure> {
        let start = self.at;
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        self.at += run(rest, stop);
        self.slice(start, self.at)
    }

    /// The eight bytes from a place on, as a number of the same order; none so near the end.
    #[inline(always)]
    pub(crate) fn eight(&self, at: usize) -> Option<u64> {
        let rest = self.text.as_bytes().get(at..)?;
        rest.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
    }

    /// Reads so many bytes.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<&'a str, Failure> {
        let start = self.at;
        self.at += bytes;
        self.slice(start, self.at)
    }

    /// Steps over a word, if it is next.
    #[inline(always)]
    pub(crate) fn eat(&mut self, word: &str) -> bool {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let next = rest.starts_with(word.as_bytes());
        self.at += if next { word.len() } else { 0 };
        next
    }

    /// Steps over a closing quote, if one is next.
    #[inline]
    pub(crate) fn closed(&mut self) -> bool {
        let closed = self.peek() == Some(b'"');
        self.at += usize::from(closed);
        closed
    }

    /// Reads one character of a string, written as an escape or as it is; none at the closing quote,
    /// which is stepped over.
    pub(crate) fn special(&mut self) -> Result<Option<char>, Failure> {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                Ok(None)
            }
            Some(b'\\') => {
                self.at += 1;
                self.escape().map(Some)
            }
            Some(0x20..) => {
                let c = self
                    .text
                    .get(self.at..)
                    .and_then(|rest| rest.chars().next());
                self.at += c.map_or(1, char::len_utf8);
                Ok(c)
            }
            Some(_) => Err(self.error("a control character")),
            None => Err(self.error("a sudden end")),
        }
    }

    fn escape(&mut self) -> Result<char, Failure> {
        let byte = self.peek();
        self.at += 1;
        Ok(match byte {
            Some(b @ (b'"' | b'\\' | b'/')) => char::from(b),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.hex4()?;
                let mut code = u32::from(first);
                let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
                if (0xD800..0xDC00).contains(&first) && rest.starts_with(b"\\u") {
                    self.at += 2;
                    let second = u32::from(self.hex4()?);
                    if (0xDC00..0xE000).contains(&second) {
                        code = 0x10000 + ((code - 0xD800) << 10) + (second - 0xDC00);
                    }
                }
                // A lone surrogate is no character; Rust text cannot hold it.
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return Err(self.error("an unknown escape")),
        })
    }

    fn hex4(&mut self) -> Result<u16, Failure> {
        let digits = self.text.get(self.at..self.at + 4);
        let code = digits
            .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|d| u16::from_str_radix(d, 16).ok());
        self.at += 4;
        code.ok_or_else(|| self.error("a broken escape"))
    }
}
