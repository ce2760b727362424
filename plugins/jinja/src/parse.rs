//! JSON text straight into the engine's values, without a tree in between, and only as far as a template
//! looks into it: templates use a few fields of events that have hundreds.
//!
//! Integers stay exact as far as 128 bits reach and become floats beyond; everything else is RFC 8259.

use std::sync::{Arc, OnceLock};

use hookbox_guest::Failure;
use minijinja::Value;
use minijinja::value::{DynObject, Enumerator, Object, ObjectRepr};

use crate::python;

/// How deep arrays and objects may nest. The host lets 64 through; the stack stands several times this.
const MAX_DEPTH: usize = 128;

/// Reads a JSON value. Arrays and objects are parsed when they are first looked into; until then only
/// their ends are known. What turns out to be no JSON there, which a host never sends, is empty.
///
/// # Errors
/// A plugin error that says where the text is no JSON or nests too deeply.
pub(crate) fn parse(text: &str) -> Result<Value, Failure> {
    let text: Arc<str> = text.into();
    let mut parser = Parser::new(&text, 0);
    let value = parser.value()?;
    parser.end()?;
    Ok(value)
}

/// Writes a JSON text as Python's `json.dumps()` writes the value it stands for.
///
/// # Errors
/// As [`parse`].
pub(crate) fn dumps(text: &str) -> Result<String, Failure> {
    let text: Arc<str> = text.into();
    let mut parser = Parser::new(&text, 0);
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    parser.dump(&mut out, MAX_DEPTH)?;
    parser.end()?;
    Ok(out)
}

/// An array or object that begins at `at`.
#[derive(Debug)]
struct Lazy {
    text: Arc<str>,
    at: usize,
    repr: ObjectRepr,
    items: OnceLock<Value>,
}

impl Lazy {
    fn items(&self) -> &Value {
        self.items.get_or_init(|| {
            let mut parser = Parser::new(&self.text, self.at);
            let items = match self.repr {
                ObjectRepr::Map => parser.object(),
                _ => parser.array(),
            };
            items.unwrap_or_default()
        })
    }
}

impl Object for Lazy {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        self.repr
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.items().as_object()?.get_value(key)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.items().as_object()?.get_value_by_str(key)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.items()
            .as_object()
            .map_or(Enumerator::Empty, DynObject::enumerate)
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        self.items().as_object()?.enumerator_len()
    }
}

struct Parser<'a> {
    source: &'a Arc<str>,
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn new(source: &'a Arc<str>, at: usize) -> Self {
        Self {
            source,
            text: source,
            at,
        }
    }

    fn end(&mut self) -> Result<(), Failure> {
        self.skip_space();
        if self.at < self.text.len() {
            return Err(self.error("text after the end"));
        }
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// What lies between two places that both are character boundaries.
    fn slice(&self, from: usize, to: usize) -> Result<&'a str, Failure> {
        self.text
            .get(from..to)
            .ok_or_else(|| self.error("broken text"))
    }

    fn error(&self, what: &str) -> Failure {
        Failure::plugin_error(format!(
            "the event is no valid JSON: {what} at byte {}",
            self.at
        ))
    }

    fn expect(&mut self, byte: u8) -> Result<(), Failure> {
        self.skip_space();
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.error(&format!("no `{}`", char::from(byte))))
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, Failure> {
        let end = self.at + word.len();
        if self.text.get(self.at..end) == Some(word) {
            self.at = end;
            return Ok(value);
        }
        Err(self.error("an unknown word"))
    }

    fn value(&mut self) -> Result<Value, Failure> {
        self.skip_space();
        match self.peek() {
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
        let at = self.at;
        self.skip_container()?;
        Ok(Value::from_object(Lazy {
            text: Arc::clone(self.source),
            at,
            repr,
            items: OnceLock::new(),
        }))
    }

    /// Steps over a whole array or object.
    fn skip_container(&mut self) -> Result<(), Failure> {
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'"' => {
                    self.skip_string()?;
                }
                b'{' | b'[' if depth == MAX_DEPTH => return Err(self.error("nested too deeply")),
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
        Err(self.error("a sudden end"))
    }

    /// Steps over the rest of a string whose quote was just passed; tells whether it is the same in
    /// Python's writing.
    fn skip_string(&mut self) -> Result<bool, Failure> {
        let mut same = true;
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'"' => return Ok(same),
                b'\\' => {
                    same = false;
                    self.at += 1;
                }
                0x7f.. => same = false,
                _ => {}
            }
        }
        Err(self.error("a sudden end"))
    }

    fn dump(&mut self, out: &mut String, depth: usize) -> Result<(), Failure> {
        self.skip_space();
        let Some(open @ (b'{' | b'[')) = self.peek() else {
            return self.dump_scalar(out);
        };
        let depth = depth
            .checked_sub(1)
            .ok_or_else(|| self.error("nested too deeply"))?;
        let close = if open == b'{' { b'}' } else { b']' };
        out.push(char::from(open));
        if !self.empty(close) {
            loop {
                if open == b'{' {
                    self.skip_space();
                    if self.peek() != Some(b'"') {
                        return Err(self.error("no key"));
                    }
                    self.dump_scalar(out)?;
                    self.expect(b':')?;
                    out.push_str(": ");
                }
                self.dump(out, depth)?;
                if !self.more(close)? {
                    break;
                }
                out.push_str(", ");
            }
        }
        out.push(char::from(close));
        Ok(())
    }

    fn dump_scalar(&mut self, out: &mut String) -> Result<(), Failure> {
        let start = self.at;
        if self.peek() == Some(b'"') {
            self.at += 1;
            if self.skip_string()? {
                out.push_str(self.slice(start, self.at)?);
                return Ok(());
            }
            self.at = start;
        }
        let value = self.value()?;
        python::Dumps::default()
            .write(out, &value)
            .map_err(|e| Failure::plugin_error(e.to_string()))
    }

    /// Steps over a separator; false at the closing byte.
    fn more(&mut self, close: u8) -> Result<bool, Failure> {
        self.skip_space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.error("no comma")),
        }
    }

    /// Steps over the opening byte; true if the closing one follows at once.
    fn empty(&mut self, close: u8) -> bool {
        self.at += 1;
        self.skip_space();
        let empty = self.peek() == Some(close);
        self.at += usize::from(empty);
        empty
    }

    fn array(&mut self) -> Result<Value, Failure> {
        let mut items = Vec::new();
        if !self.empty(b']') {
            loop {
                items.push(self.value()?);
                if !self.more(b']')? {
                    break;
                }
            }
        }
        Ok(Value::from(items))
    }

    fn object(&mut self) -> Result<Value, Failure> {
        let mut pairs = Vec::new();
        if !self.empty(b'}') {
            loop {
                self.skip_space();
                if self.peek() != Some(b'"') {
                    return Err(self.error("no key"));
                }
                let key = self.string()?;
                self.expect(b':')?;
                pairs.push((key, self.value()?));
                if !self.more(b'}')? {
                    break;
                }
            }
        }
        Ok(Value::from_pairs(pairs))
    }

    fn number(&mut self) -> Result<Value, Failure> {
        let start = self.at;
        let mut float = false;
        while let Some(byte) = self.peek() {
            match byte {
                b'0'..=b'9' | b'-' | b'+' => {}
                b'.' | b'e' | b'E' => float = true,
                _ => break,
            }
            self.at += 1;
        }
        let digits = self.slice(start, self.at)?;
        if !float {
            if let Ok(small) = digits.parse::<i64>() {
                return Ok(Value::from(small));
            }
            if let Ok(big) = digits.parse::<i128>() {
                return Ok(Value::from(big));
            }
        }
        match digits.parse::<f64>() {
            Ok(number) => Ok(Value::from(number)),
            Err(_) => Err(self.error("a broken number")),
        }
    }

    fn string(&mut self) -> Result<Value, Failure> {
        self.at += 1;
        let start = self.at;
        let plain_end = self.plain();
        if self.text.as_bytes().get(plain_end) == Some(&b'"') {
            self.at = plain_end + 1;
            return Ok(Value::from(self.slice(start, plain_end)?));
        }
        let mut out = String::from(self.slice(start, plain_end)?);
        self.at = plain_end;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Value::from(out));
                }
                Some(b'\\') => {
                    self.at += 1;
                    let escape = self.escape()?;
                    out.push(escape);
                }
                Some(0x20..) => {
                    let end = self.plain();
                    out.push_str(self.slice(self.at, end)?);
                    self.at = end;
                }
                Some(_) => return Err(self.error("a control character")),
                None => return Err(self.error("a sudden end")),
            }
        }
    }

    /// Where the text next needs a look: a quote, a backslash, a control character or the end.
    fn plain(&self) -> usize {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        rest.iter()
            .position(|&b| b == b'"' || b == b'\\' || b < 0x20)
            .map_or(self.text.len(), |n| self.at + n)
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
