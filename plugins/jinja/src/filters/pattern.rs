//! Python's regular expressions in the words of `regex-lite`.
//!
//! That library's `\w`, `\d`, `\s` and ignoring of case are of ASCII, as it has no tables of Unicode. But no
//! more characters need to be told apart than the text has: those are written into the expression.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

use super::numbers::digit;
use crate::values::is_space;

/// The most characters of a repeat's numbers.
const LONGEST: usize = 16;

/// The expression as the library has to get it to find in this text what Python would. What does not parse
/// is left to the library to complain about.
pub(super) fn translate(pattern: &str, text: &str, ignore_case: bool) -> String {
    let foreign: BTreeSet<char> = text.chars().filter(|c| !c.is_ascii()).collect();
    let mut translator = Translator {
        rest: pattern.chars().peekable(),
        out: String::with_capacity(pattern.len() + 16),
        foreign: foreign.into_iter().collect(),
        ignore_case,
    };
    translator.run();
    translator.out
}

/// About how many states of an expression may be live at once: those within repeats, as often as they are
/// repeated, and of the others, which only follow one another, a quarter. An estimate that takes time in
/// proportion to the expression, whatever that is.
pub(super) fn live(expression: &str) -> usize {
    // What stands before each open bracket; and within the last, before the last atom, and that.
    let mut open: Vec<Part> = Vec::new();
    let [mut before, mut last] = [Part::default(); 2];
    let mut chars = expression.chars();
    while let Some(c) = chars.next() {
        match c {
            '(' => {
                open.push(before.and(last));
                [before, last] = [Part::default(); 2];
            }
            ')' => {
                let inner = before.and(last);
                before = open.pop().unwrap_or_default();
                last = inner;
            }
            '*' | '+' => last = last.repeated(1),
            '{' => {
                let rest = chars.as_str();
                let (bounds, after) = rest.split_once('}').unwrap_or((rest, ""));
                let numbers = bounds.split(',').map(|n| n.parse().unwrap_or(1));
                last = last.repeated(numbers.max().unwrap_or(1));
                chars = after.chars();
            }
            _ => {
                before = before.and(last);
                last = Part { plain: 1, live: 0 };
                match c {
                    '\\' => {
                        chars.next();
                    }
                    '[' => {
                        while let Some(c) = chars.next().filter(|&c| c != ']') {
                            if c == '\\' {
                                chars.next();
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    let mut all = before.and(last);
    for before in open {
        all = all.and(before);
    }
    all.live.saturating_add(all.plain / 4)
}

/// States of a part of an expression, outside of repeats and within.
#[derive(Clone, Copy, Default)]
struct Part {
    plain: usize,
    live: usize,
}

impl Part {
    fn and(self, other: Self) -> Self {
        Self {
            plain: self.plain.saturating_add(other.plain),
            live: self.live.saturating_add(other.live),
        }
    }

    fn repeated(self, times: usize) -> Self {
        let states = self.plain.saturating_add(self.live);
        Self {
            plain: 0,
            live: states.saturating_mul(times.max(1)).saturating_add(1),
        }
    }
}

struct Translator<'p> {
    rest: Peekable<Chars<'p>>,
    out: String,
    /// The text's characters beyond ASCII, sorted.
    foreign: Vec<char>,
    ignore_case: bool,
}

impl Translator<'_> {
    fn run(&mut self) {
        let mut class = false;
        while let Some(c) = self.rest.next() {
            match c {
                '\\' => self.escape(class),
                '[' if !class => {
                    class = true;
                    self.out.push(c);
                    self.out.extend(self.rest.next_if_eq(&'^'));
                    if self.rest.next_if_eq(&']').is_some() {
                        self.out.push_str("\\]");
                    }
                }
                ']' if class => {
                    class = false;
                    self.out.push(c);
                }
                // In Python, these are characters like others.
                '[' | '&' | '~' if class => self.out.extend(['\\', c]),
                '-' if class && self.rest.peek() == Some(&'-') => self.out.push_str("\\-"),
                '{' if !class => self.repeat(),
                c if self.ignore_case && !c.is_ascii() => self.letter(c, class),
                c => self.out.push(c),
            }
        }
    }

    fn escape(&mut self, class: bool) {
        let Some(c) = self.rest.next() else {
            self.out.push('\\');
            return;
        };
        let (is, not_ascii): (fn(char) -> bool, _) = match c.to_ascii_lowercase() {
            'w' => (
                |c| c.is_alphanumeric(),
                r"\x00-\x2F\x3A-\x40\x5B-\x5E\x60\x7B-\x7F",
            ),
            'd' => (|c| digit(c).is_some(), r"\x00-\x2F\x3A-\x7F"),
            's' => (is_space, r"\x00-\x08\x0E-\x1B\x21-\x7F"),
            _ if c == 'Z' => return self.out.push_str(r"\z"),
            _ if !c.is_ascii() => return self.out.push(c),
            _ => return self.out.extend(['\\', c]),
        };
        let kind = c.to_ascii_lowercase();
        // Python's white space, unlike the library's, has ASCII's separators.
        let ascii = if kind == 's' {
            r"\s\x1C-\x1F".to_owned()
        } else {
            format!("\\{kind}")
        };
        let negated = c.is_ascii_uppercase();
        match (class, negated) {
            (true, false) => self.out.push_str(&ascii),
            (true, true) => self.out.push_str(not_ascii),
            (false, _) => {
                let caret = if negated { "^" } else { "" };
                let _ = write!(self.out, "[{caret}{ascii}");
            }
        }
        // What the text does not have may belong or not, which makes a few ranges of many characters.
        let belongs = |c: char| is(c) != (class && negated);
        for run in self.foreign.chunk_by(|&a, &b| belongs(a) == belongs(b)) {
            if let (Some(&first), Some(&last)) = (run.first(), run.last())
                && belongs(first)
            {
                let _ = write!(self.out, "{first}-{last}");
            }
        }
        if !class {
            self.out.push(']');
        }
    }

    /// After a curly bracket: a repeat, or just that character.
    fn repeat(&mut self) {
        let rest = self.rest.clone().take(LONGEST);
        let rest: String = rest.take_while(|&c| c != '}').collect();
        let closed = self.rest.clone().nth(rest.chars().count()) == Some('}');
        let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let repeats = match rest.split_once(',') {
            Some((least, most)) => number(least) && number(most),
            None => !rest.is_empty() && number(&rest),
        };
        if !(closed && repeats) {
            self.out.push_str("\\{");
        } else if rest.starts_with(',') {
            self.out.push_str("{0");
        } else {
            self.out.push('{');
        }
    }

    /// A letter beyond ASCII, in both cases.
    fn letter(&mut self, c: char, class: bool) {
        let range = class && (self.out.ends_with('-') || self.rest.peek() == Some(&'-'));
        if range {
            return self.out.push(c);
        }
        let mut cases: BTreeSet<char> = BTreeSet::from([c]);
        for mut other in [
            c.to_lowercase().collect::<Vec<_>>(),
            c.to_uppercase().collect(),
        ] {
            if other.len() == 1 {
                cases.extend(other.pop());
            }
        }
        if !class {
            self.out.push('[');
        }
        self.out.extend(cases);
        if !class {
            self.out.push(']');
        }
    }
}
