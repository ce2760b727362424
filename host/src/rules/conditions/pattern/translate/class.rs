//! Character classes, and the escapes that stand for one character or a set of them.

use super::{Translator, push_literal};

/// The meaning of an escape.
pub(super) enum Item {
    Char(char),
    /// A set, as an atom and as part of a class.
    Set {
        alone: &'static str,
        inside: &'static str,
        /// Characters in it, roughly.
        size: usize,
    },
}

/// The cost of building a set of letters, and the characters whose case is folded at the cost of one byte.
const SET_COST: usize = 4096;
const FOLDED_PER_BYTE: usize = 8;
/// Characters of Unicode.
const MANY: usize = 0x0011_0000;

// Python's `\w` is `str.isalnum()` and the underscore, its `\s` is `str.isspace()`; both are a little other than
// what Unicode's own recommendation makes of them. `(?-i:…)` as case does not matter to sets of letters, while
// folding them is dear.
const DIGIT: Item = set(r"(?-i:\p{Nd})", r"\p{Nd}", 1000);
const NOT_DIGIT: Item = set(r"(?-i:\P{Nd})", r"\P{Nd}", MANY);
const WORD: Item = set(r"(?-i:[\p{L}\p{N}_])", r"\p{L}\p{N}_", 150_000);
const NOT_WORD: Item = set(r"(?-i:[^\p{L}\p{N}_])", r"[^\p{L}\p{N}_]", MANY);
const SPACE: Item = set(r"(?-i:[\s\x1C-\x1F])", r"\s\x1C-\x1F", 30);
const NOT_SPACE: Item = set(r"(?-i:[^\s\x1C-\x1F])", r"[^\s\x1C-\x1F]", MANY);

const fn set(alone: &'static str, inside: &'static str, size: usize) -> Item {
    Item::Set {
        alone,
        inside,
        size,
    }
}

impl Translator {
    /// A class, after its opening bracket.
    pub(super) fn class(&mut self) -> Result<String, String> {
        let opened_at = self.at;
        let mut class = String::from("[");
        if self.eat("^") {
            class.push('^');
        }
        let mut first = true;
        loop {
            let Some(c) = self.next() else {
                return Err(format!(
                    "The `[` at character {opened_at} of the pattern is not closed; add a `]`, or write `\\[`."
                ));
            };
            // A bracket in the first place is a literal one.
            if c == ']' && !first {
                class.push(']');
                return Ok(class);
            }
            first = false;
            let low = match self.class_item(c)? {
                Item::Char(c) => c,
                Item::Set { inside, size, .. } => {
                    self.fold_cost += size / FOLDED_PER_BYTE;
                    class.push_str(inside);
                    if self.peek() == Some('-') && self.input.get(self.at + 1) != Some(&']') {
                        return self.error(
                            "a range cannot start with a set such as `\\d`; put the `-` last.",
                        );
                    }
                    continue;
                }
            };
            push_literal(&mut class, low);
            let range = self.peek() == Some('-')
                && self.input.get(self.at + 1).is_some_and(|next| *next != ']');
            if range {
                self.at += 1;
                let Some(c) = self.next() else { continue };
                match self.class_item(c)? {
                    Item::Char(high) if low <= high => {
                        let size = u32::from(high).abs_diff(u32::from(low)) as usize;
                        self.fold_cost += size / FOLDED_PER_BYTE;
                        class.push('-');
                        push_literal(&mut class, high);
                    }
                    Item::Char(_) => {
                        return self.error("the range in `[…]` ends before it starts.");
                    }
                    Item::Set { .. } => {
                        return self.error(
                            "a range cannot end with a set such as `\\d`; put the `-` last.",
                        );
                    }
                }
            }
        }
    }

    fn class_item(&mut self, c: char) -> Result<Item, String> {
        match (c, self.peek()) {
            ('\\', Some('b')) => {
                self.at += 1;
                Ok(Item::Char('\x08'))
            }
            ('\\', Some('1'..='7')) if !self.three_octal_digits() => self.octal(),
            ('\\', _) => self.escaped_item(),
            _ => Ok(Item::Char(c)),
        }
    }

    /// An escape that stands for a character or a set, after its backslash.
    pub(super) fn escaped_item(&mut self) -> Result<Item, String> {
        let Some(c) = self.next() else {
            return self.error("a backslash ends the pattern; write two for a literal one.");
        };
        if matches!(c, 'd' | 'D' | 'w' | 'W' | 's' | 'S') {
            self.set_cost += SET_COST;
        }
        Ok(match c {
            'd' => DIGIT,
            'D' => NOT_DIGIT,
            'w' => WORD,
            'W' => NOT_WORD,
            's' => SPACE,
            'S' => NOT_SPACE,
            'a' => Item::Char('\x07'),
            'f' => Item::Char('\x0c'),
            'n' => Item::Char('\n'),
            'r' => Item::Char('\r'),
            't' => Item::Char('\t'),
            'v' => Item::Char('\x0b'),
            'x' => self.hex(2)?,
            'u' => self.hex(4)?,
            'U' => self.hex(8)?,
            '0'..='7' => {
                self.at -= 1;
                self.octal()?
            }
            c if c.is_ascii_alphanumeric() => {
                return self.error(&format!(
                    "`\\{c}` is not an escape of Python's regular expressions."
                ));
            }
            c => Item::Char(c),
        })
    }

    fn hex(&mut self, digits: usize) -> Result<Item, String> {
        let mut code = 0_u32;
        for _ in 0..digits {
            let Some(digit) = self.next().and_then(|c| c.to_digit(16)) else {
                return self.error(&format!("this escape takes {digits} hexadecimal digits."));
            };
            code = (code << 4) | digit;
        }
        match char::from_u32(code) {
            Some(c) => Ok(Item::Char(c)),
            None => self.error("this escape names no character."),
        }
    }

    /// Up to three octal digits.
    fn octal(&mut self) -> Result<Item, String> {
        let mut code = 0_u32;
        for _ in 0..3 {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) else {
                break;
            };
            self.at += 1;
            code = (code << 3) | digit;
        }
        match char::from_u32(code).filter(|_| code <= 0o377) {
            Some(c) => Ok(Item::Char(c)),
            None => self.error("an octal escape goes up to \\377."),
        }
    }
}
