//! What Jinja2 understands and minijinja's parser does not, said in words that it does.
//!
//! Filters, tests, functions and methods are minijinja's own extension points; operators, literals and
//! macros are not. The few places where those differ are found in the source by their tokens and
//! replaced there, without adding or taking a line, so that errors still name the right one:
//!
//! - `a % b` becomes `__mod(a, b)`, which also lays out text; comparisons and `in` become functions that fail
//!   where Python's do;
//! - list and dict literals become calls, where a method of the template could change them;
//! - a macro that uses `varargs` or `kwargs` gets them as parameters, and a wrapper that fills them;
//! - slices become functions;
//! - escapes in text literals that only Python knows become those that minijinja knows;
//! - `loop.cycle(…)`, whatever the loop is called, becomes a method that checks that there is something to
//!   cycle through, without which minijinja panics;
//! - `{% for x in a, b %}` gets its brackets, and a sign `+` before a value goes.
//!
//! A fork of minijinja would have to follow it forever; a parser of our own for whole templates would be
//! most of a template engine.

use std::borrow::Cow;

use crate::escapes::unescape;
use crate::macros::{Edits, defaults, macros};
use crate::tokens::{Kind, Token, is, tags, text};

/// The methods that change what they are called on.
const CHANGING: [&str; 10] = [
    "append",
    "extend",
    "insert",
    "pop",
    "remove",
    "sort",
    "reverse",
    "clear",
    "update",
    "setdefault",
];

/// The filters that make text of which Python knows that it is escaped, so that `+` escapes what is added.
const ESCAPING: [&str; 7] = [
    "e",
    "escape",
    "forceescape",
    "safe",
    "tojson",
    "urlize",
    "xmlattr",
];

/// The template as minijinja has to get it.
pub(crate) fn rewrite(source: &str) -> Cow<'_, str> {
    let tags = tags(source);
    let changing = tags.iter().any(|tag| {
        tag.tokens.windows(3).any(|three| {
            matches!(three, [dot, name, open] if is(source, dot, ".") && is(source, open, "(")
                && (CHANGING.contains(&text(source, name)) || is(source, name, "popitem")))
        })
    });
    let escaping = tags.iter().any(|tag| {
        let mut pairs = tag.tokens.windows(2);
        tag.tokens.first().is_some_and(|first| is(source, first, "autoescape"))
            || pairs.any(|pair| {
                matches!(pair, [pipe, name] if is(source, pipe, "|") && ESCAPING.contains(&text(source, name)))
            })
            // As an argument of `map`.
            || tag.tokens.iter().any(|token| {
                token.kind == Kind::Text
                    && ESCAPING.contains(&text(source, token).trim_matches(['\'', '"']))
            })
    });
    let macros = macros(source, &tags);
    let mut edits = Edits {
        source,
        list: Vec::new(),
        late: Vec::new(),
    };
    for (number, tag) in tags.iter().enumerate() {
        let mut pieces = Pieces::new(source, &tag.tokens);
        pieces.literals();
        pieces.cycle();
        pieces.signs();
        pieces.numbers();
        pieces.words();
        // Inner operators first: each puts its function around what is there.
        pieces.slices();
        pieces.operator("%", "__mod", false);
        pieces.operator("~", "__concat", true);
        if changing {
            pieces.containers();
        }
        if changing || escaping {
            pieces.operator("+", "__add", true);
        }
        pieces.comparisons();
        pieces.memberships();
        pieces.bare_tuple(tag.block);
        if tag.block {
            // With what has become of their defaults.
            defaults(tag, &mut edits, &mut pieces);
        }
        if macros.iter().any(|any| any.begin == number) {
            pieces.more_parameters();
        }
        pieces.collect(&mut edits);
        let late = std::mem::take(&mut edits.late);
        edits.list.extend(late);
        for any in macros.iter().filter(|any| any.end == number) {
            edits.wrap(tag, any);
        }
    }
    edits.apply()
}

/// The tokens of one tag, and what becomes of them.
pub(crate) struct Pieces<'s> {
    source: &'s str,
    pub(crate) tokens: &'s [Token],
    pub(crate) before: Vec<String>,
    instead: Vec<Option<String>>,
    pub(crate) after: Vec<String>,
}

impl<'s> Pieces<'s> {
    fn new(source: &'s str, tokens: &'s [Token]) -> Self {
        let empty = vec![String::new(); tokens.len()];
        Self {
            source,
            tokens,
            before: empty.clone(),
            instead: vec![None; tokens.len()],
            after: empty,
        }
    }

    pub(crate) fn is(&self, at: usize, what: &str) -> bool {
        self.tokens
            .get(at)
            .is_some_and(|token| is(self.source, token, what))
    }

    pub(crate) fn any(&self, at: usize, what: &[&str]) -> bool {
        what.iter().any(|what| self.is(at, what))
    }

    /// Whether no letter, digit or point stands right before the token.
    pub(crate) fn begins_word(&self, at: usize) -> bool {
        let start = self.tokens.get(at).map_or(0, |token| token.at.start);
        let before = self.source.get(..start).unwrap_or_default();
        !before.ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))
    }

    pub(crate) fn replace(&mut self, at: usize, with: impl Into<String>) {
        if let Some(piece) = self.instead.get_mut(at) {
            *piece = Some(with.into());
        }
    }

    /// Text literals with escapes that minijinja reads otherwise.
    fn literals(&mut self) {
        for (at, token) in self.tokens.iter().enumerate() {
            let text = text(self.source, token);
            // A character by its name: there is no table of them here, and a bad escape says so.
            if token.kind == Kind::Text && text.contains("\\N{") {
                if let Some(piece) = self.instead.get_mut(at) {
                    *piece = Some(r#""\x""#.to_owned());
                }
                continue;
            }
            if token.kind == Kind::Text
                && text.contains('\\')
                && let Some(decoded) = text.get(1..text.len() - 1).and_then(unescape)
                && let Some(piece) = self.instead.get_mut(at)
            {
                *piece = Some(format!(
                    "\"{}\"",
                    decoded.replace('\\', "\\\\").replace('"', "\\\"")
                ));
            }
        }
    }

    fn cycle(&mut self) {
        for at in 0..self.tokens.len() {
            let call = self.is(at, ".") && self.is(at + 1, "cycle") && self.is(at + 2, "(");
            // `self` by itself has the blocks, and can be set to nothing else.
            let before = at.wrapping_sub(1);
            let own = self.is(before, "self") && !self.is_member(before);
            if call && !own {
                self.replace(at + 1, "__cycle");
            }
        }
    }

    fn signs(&mut self) {
        for at in 0..self.tokens.len() {
            if self.is(at, "+") && !self.ends_before(at) {
                self.replace(at, "- -");
            }
        }
    }

    /// Numbers that only look like some: Python has no `007` and no `1__0`, and what follows a point is
    /// a name or the rest of a float.
    fn numbers(&mut self) {
        for (at, token) in self.tokens.iter().enumerate() {
            let number = text(self.source, token);
            if token.kind != Kind::Number || self.is_member(at) {
                continue;
            }
            let zeros = number.len() > 1 && number.bytes().all(|b| b == b'0');
            let octal =
                !zeros && number.starts_with('0') && number.bytes().all(|b| b.is_ascii_digit());
            if octal && number.len() > 1 {
                self.replace(at, format!("0 {number}"));
            } else if let Some((head, tail)) = number.split_once("__") {
                self.replace(at, format!("{head} __{tail}"));
            } else if self.is(at + 1, ".") {
                self.replace(at, format!("({number})"));
            }
        }
    }

    /// `self` where it is no block's, and `ignore missing`, which without a loader has no effect.
    fn words(&mut self) {
        for at in 0..self.tokens.len() {
            if self.is(at, "self") && !self.is_member(at) && !self.any(at + 1, &[".", "["]) {
                self.replace(at, "__self");
            } else if self.is(0, "include") && self.is(at, "ignore") && self.is(at + 1, "missing") {
                self.replace(at, "");
                self.replace(at + 1, "");
            }
        }
    }

    /// List and dict literals.
    fn containers(&mut self) {
        let mut open: Vec<(bool, bool)> = Vec::new();
        for at in 0..self.tokens.len() {
            if self.any(at, &["(", "[", "{"]) {
                let (list, dict) = (self.is(at, "["), self.is(at, "{"));
                let literal = dict || (list && !self.ends_before(at));
                open.push((dict, literal));
                if literal {
                    self.replace(at, if dict { "__dict(" } else { "__list(" });
                }
            } else if self.any(at, &[")", "]", "}"]) {
                if let Some((_, true)) = open.pop() {
                    self.replace(at, ")");
                    let before = at.wrapping_sub(1);
                    if self.is(before, ",") {
                        self.replace(before, " ");
                    }
                }
            } else if self.is(at, ":") && open.last() == Some(&(true, true)) {
                self.replace(at, ",");
            }
        }
    }

    /// `{% for x in a, b %}` and `{{ a, b }}`.
    fn bare_tuple(&mut self, block: bool) {
        let from = if !block {
            0
        } else if let Some(at) = (0..self.tokens.len()).find(|&at| self.is(at, "in"))
            && self.is(0, "for")
        {
            at + 1
        } else {
            return;
        };
        let (mut depth, mut last, mut comma) = (0_usize, from, false);
        for at in from..self.tokens.len() {
            if self.any(at, &["(", "[", "{"]) {
                depth += 1;
            } else if self.any(at, &[")", "]", "}"]) {
                depth = depth.saturating_sub(1);
            } else if block && depth == 0 && self.any(at, &["if", "recursive"]) {
                break;
            }
            comma |= depth == 0 && self.is(at, ",");
            last = at;
        }
        if comma {
            if let Some(piece) = self.before.get_mut(from) {
                piece.insert(0, '(');
            }
            if let Some(piece) = self.after.get_mut(last) {
                piece.push(')');
            }
        }
    }

    /// The parameters that a macro gets its further arguments in.
    fn more_parameters(&mut self) {
        let last = self.tokens.len().wrapping_sub(1);
        if self.is(2, "(") && self.is(last, ")") {
            let comma = if self.is(last.wrapping_sub(1), "(") || self.is(last.wrapping_sub(1), ",")
            {
                ""
            } else {
                ", "
            };
            self.replace(last, format!("{comma}varargs=none, kwargs=none)"));
        }
    }

    /// What has become of these tokens, and nothing in their place.
    pub(crate) fn take(&mut self, range: std::ops::Range<usize>) -> String {
        let mut text = String::new();
        let mut from = self
            .tokens
            .get(range.start)
            .map_or(0, |token| token.at.start);
        for at in range {
            let Some(token) = self.tokens.get(at) else {
                break;
            };
            text.push_str(self.source.get(from..token.at.start).unwrap_or_default());
            from = token.at.end;
            if let (Some(before), Some(instead), Some(after)) = (
                self.before.get_mut(at),
                self.instead.get_mut(at),
                self.after.get_mut(at),
            ) {
                text.push_str(&std::mem::take(before));
                let own = self.source.get(token.at.clone()).unwrap_or_default();
                text.push_str(instead.as_deref().unwrap_or(own));
                *instead = Some(String::new());
                text.push_str(&std::mem::take(after));
            }
        }
        text
    }

    fn collect(self, edits: &mut Edits<'_>) {
        let pieces = self.before.into_iter().zip(self.instead).zip(self.after);
        for (token, ((before, instead), after)) in self.tokens.iter().zip(pieces) {
            if instead.is_some() || !before.is_empty() || !after.is_empty() {
                let own = instead.unwrap_or_else(|| text(self.source, token).to_owned());
                edits
                    .list
                    .push((token.at.clone(), format!("{before}{own}{after}")));
            }
        }
    }
}
