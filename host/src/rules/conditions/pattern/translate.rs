//! From the syntax of Python's `re` (3.12) to that of the `regex` crates.

use std::{collections::HashSet, fmt::Write as _};

mod class;

/// Groups inside each other.
pub(super) const MAX_NESTING: u32 = 50;

/// A Python pattern in the other syntax. Capturing groups become plain ones: nobody asks what they caught.
pub(super) struct Translated {
    pub(super) pattern: String,
    /// The work of compiling its classes, in bytes of memory that would take as long to build. A class can be
    /// dear and yet come out small, as `[\w\W]` does, so the size of the outcome does not bound the time.
    pub(super) cost: usize,
}

pub(super) fn translate(python: &str) -> Result<Translated, String> {
    let mut translator = Translator {
        input: python.chars().collect(),
        at: 0,
        out: String::with_capacity(python.len() * 2),
        groups: Vec::new(),
        branch: Branch::default(),
        flags: Flags::default(),
        names: HashSet::new(),
        ignores_case: false,
        set_cost: 0,
        fold_cost: 0,
    };
    translator.pattern()?;
    let fold_cost = if translator.ignores_case {
        translator.fold_cost
    } else {
        0
    };
    Ok(Translated {
        pattern: translator.out,
        cost: translator.set_cost + fold_cost,
    })
}

struct Translator {
    input: Vec<char>,
    at: usize,
    out: String,
    groups: Vec<Group>,
    branch: Branch,
    flags: Flags,
    names: HashSet<String>,
    /// Anywhere.
    ignores_case: bool,
    /// For the sets, and for folding the case of what classes hold; see [`Translated::cost`].
    set_cost: usize,
    fold_cost: usize,
}

/// An open group: what to go back to when it closes.
struct Group {
    outer: Branch,
    flags: Flags,
    opened_at: usize,
}

/// The alternative that is being read, and those before it in the same group.
#[derive(Default)]
struct Branch {
    last: Last,
    /// It ends in a `$` that means the end of the text.
    ends: bool,
    /// One of the alternatives before it does.
    earlier_ends: bool,
    /// There was an alternative before it.
    alternatives: bool,
}

/// The item before the current position, to which a repetition would apply.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Last {
    #[default]
    Nothing,
    Atom,
    Assertion,
    Repeat,
}

/// The flags that the translation heeds itself; `i` is written into the groups.
#[derive(Clone, Copy, Default)]
struct Flags {
    multiline: bool,
    dot_all: bool,
    verbose: bool,
}

impl Translator {
    fn pattern(&mut self) -> Result<(), String> {
        while let Some(c) = self.next() {
            match c {
                _ if self.flags.verbose
                    && matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c') => {}
                '#' if self.flags.verbose => while self.next().is_some_and(|c| c != '\n') {},
                '\\' => self.escape()?,
                '[' => {
                    let class = self.class()?;
                    self.atom(&class)?;
                }
                '(' => self.open()?,
                ')' => self.close()?,
                '|' => {
                    self.branch = Branch {
                        earlier_ends: self.branch.earlier_ends || self.branch.ends,
                        alternatives: true,
                        ..Branch::default()
                    };
                    self.out.push('|');
                }
                '^' => self.assertion(if self.flags.multiline {
                    "(?m:^)"
                } else {
                    r"\A"
                })?,
                '$' if self.flags.multiline => self.assertion("(?m:$)")?,
                '$' => {
                    // The end, or before a line feed that ends the text. Without look-ahead that is said by
                    // consuming the line feed, which is right only where nothing follows.
                    self.assertion(r"(?:\n?\z)")?;
                    self.branch.ends = true;
                }
                '.' => self.atom(if self.flags.dot_all {
                    "(?s:.)"
                } else {
                    r"[^\n]"
                })?,
                '*' => self.repeat("*")?,
                '+' => self.repeat("+")?,
                '?' => self.repeat("?")?,
                '{' => match self.bounds()? {
                    Some(bounds) => self.repeat(&bounds)?,
                    None => self.literal('{')?,
                },
                other => self.literal(other)?,
            }
        }
        match self.groups.last() {
            None => Ok(()),
            Some(group) => Err(format!(
                "The group opened at character {} is not closed; add a `)`.",
                group.opened_at
            )),
        }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    fn peek(&self) -> Option<char> {
        self.input.get(self.at).copied()
    }

    fn eat(&mut self, text: &str) -> bool {
        let rest = self.input.get(self.at..).unwrap_or_default();
        let found = rest.iter().copied().take(text.len()).eq(text.chars());
        if found {
            self.at += text.len();
        }
        found
    }

    /// An error at the character that was just read.
    fn error<T>(&self, message: &str) -> Result<T, String> {
        Err(format!(
            "At character {} of the pattern: {message}",
            self.at
        ))
    }

    /// Nothing may follow a `$` (see there).
    fn not_after_end(&self) -> Result<(), String> {
        if self.branch.ends {
            return self.error(
                "`$` can only stand at the end of the pattern or of an alternative; write `\\$` for a dollar sign.",
            );
        }
        Ok(())
    }

    fn atom(&mut self, text: &str) -> Result<(), String> {
        self.not_after_end()?;
        self.out.push_str(text);
        self.branch.last = Last::Atom;
        Ok(())
    }

    fn assertion(&mut self, text: &str) -> Result<(), String> {
        self.not_after_end()?;
        self.out.push_str(text);
        self.branch.last = Last::Assertion;
        Ok(())
    }

    fn literal(&mut self, c: char) -> Result<(), String> {
        let mut text = String::new();
        push_literal(&mut text, c);
        self.atom(&text)
    }

    fn repeat(&mut self, text: &str) -> Result<(), String> {
        match self.branch.last {
            Last::Nothing | Last::Assertion => {
                return self.error("there is nothing to repeat; write a backslash before a literal `*`, `+`, `?` or `{`.");
            }
            Last::Repeat => {
                return self.error("a repetition cannot be repeated; put a group around it.");
            }
            Last::Atom => {}
        }
        self.not_after_end()?;
        match self.peek() {
            // Fewest first: the same texts match.
            Some('?') => self.at += 1,
            Some('+') => {
                return self
                    .error("possessive repetitions are not supported; leave the second `+` out.");
            }
            _ => {}
        }
        self.out.push_str(text);
        self.branch.last = Last::Repeat;
        Ok(())
    }

    /// `{2}`, `{2,}`, `{,5}`, `{2,5}`; anything else is a literal brace, as in Python.
    fn bounds(&mut self) -> Result<Option<String>, String> {
        let start = self.at;
        let least = self.digits();
        let most = if self.eat(",") {
            Some(self.digits())
        } else {
            None
        };
        let empty = least.is_empty() && most.is_none();
        if empty || !self.eat("}") {
            self.at = start;
            return Ok(None);
        }
        let number = |digits: &str| -> Result<u32, String> {
            digits
                .parse()
                .ok()
                .filter(|n| *n <= 100_000)
                .ok_or_else(|| "A repetition count in the pattern is too large.".to_owned())
        };
        let least = if least.is_empty() { 0 } else { number(&least)? };
        let text = match most.as_deref() {
            None => format!("{{{least}}}"),
            Some("") => format!("{{{least},}}"),
            Some(most) => {
                let most = number(most)?;
                if most < least {
                    return self.error("the repetition's maximum is less than its minimum.");
                }
                format!("{{{least},{most}}}")
            }
        };
        Ok(Some(text))
    }

    fn digits(&mut self) -> String {
        let mut digits = String::new();
        while let Some(c) = self.peek().filter(char::is_ascii_digit) {
            digits.push(c);
            self.at += 1;
        }
        digits
    }

    fn open(&mut self) -> Result<(), String> {
        let opened_at = self.at;
        if !self.eat("?") {
            return self.enter(opened_at, self.flags, "(?:");
        }
        match self.next() {
            Some(':') => self.enter(opened_at, self.flags, "(?:"),
            Some('#') => {
                while let Some(c) = self.next() {
                    if c == ')' {
                        return Ok(());
                    }
                }
                self.error("the comment is not closed; add a `)`.")
            }
            Some('P') if self.eat("<") => {
                let mut name = String::new();
                loop {
                    match self.next() {
                        Some('>') => break,
                        Some(c) if c == '_' || c.is_alphanumeric() => name.push(c),
                        _ => {
                            return self
                                .error("a group's name is letters, digits and `_`, ended by `>`.");
                        }
                    }
                }
                if name.is_empty() || name.starts_with(|c: char| c.is_numeric()) {
                    return self.error("a group's name starts with a letter or `_`.");
                }
                if !self.names.insert(name) {
                    return self.error("two groups have the same name.");
                }
                self.enter(opened_at, self.flags, "(?:")
            }
            Some('P') if self.eat("=") => self.unsupported("back-references such as `(?P=name)`"),
            Some('=' | '!') => self.unsupported("look-ahead such as `(?=…)` and `(?!…)`"),
            Some('<') => self.unsupported("look-behind such as `(?<=…)` and `(?<!…)`"),
            Some('>') => self.unsupported("atomic groups such as `(?>…)`"),
            Some('(') => self.unsupported("conditional groups such as `(?(1)…)`"),
            Some(c) if c == '-' || c.is_ascii_alphabetic() => {
                self.at -= 1;
                self.flag_group(opened_at)
            }
            _ => self.error("`(?` must be followed by `:`, `P<name>`, `#` or flags."),
        }
    }

    fn unsupported<T>(&self, what: &str) -> Result<T, String> {
        self.error(&format!(
            "{what} are not supported, as the time they take has no bound; use `negate`, or several conditions."
        ))
    }

    /// `(?i)` at the start of the pattern, `(?i:…)` and `(?s-i:…)` anywhere.
    fn flag_group(&mut self, opened_at: usize) -> Result<(), String> {
        let outer = self.flags;
        let mut flags = outer;
        let (mut on, mut any_off) = (true, false);
        let mut ignore_case = None;
        loop {
            match self.next() {
                Some('i') => ignore_case = Some(on),
                Some('m') => flags.multiline = on,
                Some('s') => flags.dot_all = on,
                Some('x') => flags.verbose = on,
                Some('u') if on => {}
                Some('-') if on => (on, any_off) = (false, true),
                Some(')') if !any_off => {
                    let started = !self.groups.is_empty()
                        || self.branch.alternatives
                        || self.branch.last != Last::Nothing;
                    if started {
                        return self.error(
                            "flags for the whole pattern stand at its start; elsewhere write them as `(?i:…)`.",
                        );
                    }
                    if ignore_case == Some(true) {
                        self.ignores_case = true;
                        self.out.push_str("(?i)");
                    }
                    self.flags = flags;
                    return Ok(());
                }
                Some(':') => break,
                Some('a' | 'L') => {
                    return self
                        .error("the flags `a` and `L` are not supported; use [a-z] and [0-9].");
                }
                _ => {
                    return self
                        .error("the flags are `i`, `m`, `s`, `u` and `x`, ended by `)` or `:`.");
                }
            }
        }
        self.ignores_case |= ignore_case == Some(true);
        let opening = match ignore_case {
            Some(true) => "(?i:",
            Some(false) => "(?-i:",
            None => "(?:",
        };
        self.enter(opened_at, outer, opening)?;
        self.flags = flags;
        Ok(())
    }

    fn enter(&mut self, opened_at: usize, flags: Flags, opening: &str) -> Result<(), String> {
        self.not_after_end()?;
        if self.groups.len() >= MAX_NESTING as usize {
            return self.error(&format!("groups can be nested at most {MAX_NESTING} deep."));
        }
        self.out.push_str(opening);
        self.groups.push(Group {
            outer: std::mem::take(&mut self.branch),
            flags,
            opened_at,
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let Some(group) = self.groups.pop() else {
            return self.error("this `)` closes nothing; write `\\)` for a literal one.");
        };
        let ends = self.branch.ends || self.branch.earlier_ends;
        self.branch = group.outer;
        self.branch.ends = ends;
        self.branch.last = Last::Atom;
        self.flags = group.flags;
        self.out.push(')');
        Ok(())
    }

    /// An escape outside a class.
    fn escape(&mut self) -> Result<(), String> {
        match self.peek() {
            Some('A') => self.escaped_assertion(r"\A"),
            Some('Z') => self.escaped_assertion(r"\z"),
            Some('b') => self.escaped_assertion(r"(?:\b)"),
            Some('B') => self.escaped_assertion(r"(?:\B)"),
            // `\101` is a character, `\1` and `\10` are references.
            Some('1'..='9') if !self.three_octal_digits() => {
                self.unsupported("back-references such as `\\1`")
            }
            _ => match self.escaped_item()? {
                class::Item::Char(c) => self.literal(c),
                class::Item::Set { alone, .. } => self.atom(alone),
            },
        }
    }

    fn escaped_assertion(&mut self, text: &str) -> Result<(), String> {
        self.at += 1;
        self.assertion(text)
    }

    fn three_octal_digits(&self) -> bool {
        let digits = self.input.get(self.at..self.at + 3);
        digits.is_some_and(|digits| digits.iter().all(|c| ('0'..='7').contains(c)))
    }
}

/// Writes a character so that it means itself everywhere.
fn push_literal(out: &mut String, c: char) {
    if c.is_ascii_alphanumeric() {
        out.push(c);
    } else {
        // Writing to a string cannot fail.
        let _ = write!(out, "\\x{{{:X}}}", u32::from(c));
    }
}
