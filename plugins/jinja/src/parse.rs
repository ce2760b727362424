//! JSON text straight into the engine's values, without a tree in between.
//!
//! Integers stay exact as far as 128 bits reach and become floats beyond; everything else is RFC 8259.

use hookbox_guest::Failure;
use minijinja::Value;

/// How deep arrays and objects may nest. The host lets 64 through; the stack stands several times this.
const MAX_DEPTH: usize = 128;

/// Parses one JSON value.
///
/// # Errors
/// A plugin error that says where the text is no JSON or nests too deeply.
pub(crate) fn parse(text: &str) -> Result<Value, Failure> {
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(MAX_DEPTH)?;
    parser.skip_space();
    if parser.at < text.len() {
        return Err(parser.error("text after the end"));
    }
    Ok(value)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
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

    fn value(&mut self, depth: usize) -> Result<Value, Failure> {
        self.skip_space();
        match self.peek() {
            Some(b'{') => self.object(self.deeper(depth)?),
            Some(b'[') => self.array(self.deeper(depth)?),
            Some(b'"') => self.string(),
            Some(b't') => self.word("true", Value::from(true)),
            Some(b'f') => self.word("false", Value::from(false)),
            Some(b'n') => self.word("null", Value::from(())),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => Err(self.error("no value")),
            None => Err(self.error("a sudden end")),
        }
    }

    fn deeper(&self, depth: usize) -> Result<usize, Failure> {
        depth
            .checked_sub(1)
            .ok_or_else(|| self.error("nested too deeply"))
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

    fn array(&mut self, depth: usize) -> Result<Value, Failure> {
        let mut items = Vec::new();
        if !self.empty(b']') {
            loop {
                items.push(self.value(depth)?);
                if !self.more(b']')? {
                    break;
                }
            }
        }
        Ok(Value::from(items))
    }

    fn object(&mut self, depth: usize) -> Result<Value, Failure> {
        let mut pairs = Vec::new();
        if !self.empty(b'}') {
            loop {
                self.skip_space();
                if self.peek() != Some(b'"') {
                    return Err(self.error("no key"));
                }
                let key = self.string()?;
                self.expect(b':')?;
                pairs.push((key, self.value(depth)?));
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
