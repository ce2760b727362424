//! A template's tags, taken apart as far as [`crate::rewrite`] has to see them.

use std::ops::Range;

/// A tag, without its marks.
#[derive(Debug)]
pub(crate) struct Tag {
    /// Whether it is `{% … %}`.
    pub(crate) block: bool,
    pub(crate) tokens: Vec<Token>,
    /// The byte after its closing mark.
    pub(crate) end: usize,
    /// Whether the closing mark begins with `-`.
    pub(crate) trims: bool,
}

/// A name, literal or operator.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) at: Range<usize>,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Name,
    Number,
    Text,
    Operator,
}

/// The tags of a template but for comments and what lies in `raw` blocks. What does not parse is left to
/// the engine to complain about: then there are just fewer tags.
pub(crate) fn tags(source: &str) -> Vec<Tag> {
    let mut tags: Vec<Tag> = Vec::new();
    let mut at = 0;
    while let Some(found) = source.get(at..).and_then(|rest| rest.find('{')) {
        at += found;
        let rest = source.get(at..).unwrap_or_default();
        if rest.starts_with("{#") {
            let Some(end) = rest.find("#}") else { break };
            at += end + 2;
        } else if rest.starts_with("{{") || rest.starts_with("{%") {
            let Some(tag) = tag(source, at) else { break };
            at = tag.end;
            let raw = tag.block && matches!(&*tag.tokens, [only] if is(source, only, "raw"));
            if raw {
                let Some(end) = endraw(source.get(at..).unwrap_or_default()) else {
                    break;
                };
                at += end;
            } else {
                tags.push(tag);
            }
        } else {
            at += 1;
        }
    }
    tags
}

/// Where the tag `endraw` begins, before which nothing else is a tag.
fn endraw(text: &str) -> Option<usize> {
    let mut marks = text.match_indices("{%").map(|(at, _)| at);
    marks.find(|at| {
        let inner = text.get(at + 2..).unwrap_or_default();
        let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
        let end = inner.trim_ascii_start().strip_prefix("endraw");
        end.is_some_and(|end| {
            let end = end.trim_ascii_start();
            end.strip_prefix(['-', '+'])
                .unwrap_or(end)
                .starts_with("%}")
        })
    })
}

/// The token's text.
pub(crate) fn text<'s>(source: &'s str, token: &Token) -> &'s str {
    source.get(token.at.clone()).unwrap_or_default()
}

/// Whether the token is just this, and no text literal.
pub(crate) fn is(source: &str, token: &Token, what: &str) -> bool {
    token.kind != Kind::Text && text(source, token) == what
}

/// The tag that begins here, if it ends.
fn tag(source: &str, start: usize) -> Option<Tag> {
    let block = source.get(start..)?.starts_with("{%");
    let close = if block { "%}" } else { "}}" };
    let (mut at, mut depth, mut tokens) = (start + 2, 0_usize, Vec::new());
    if source.get(at..)?.starts_with(['-', '+']) {
        at += 1;
    }
    loop {
        let rest = source.get(at..)?;
        let first = rest.chars().next()?;
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        if depth == 0 {
            let marked = rest.strip_prefix(['-', '+']).unwrap_or(rest);
            if rest.starts_with(close) || marked.starts_with(close) {
                let end =
                    at + (rest.len() - marked.len()) * usize::from(!rest.starts_with(close)) + 2;
                let trims = rest.starts_with('-');
                return Some(Tag {
                    block,
                    tokens,
                    end,
                    trims,
                });
            }
        }
        let (kind, length) = match first {
            '"' | '\'' => (Kind::Text, literal(rest, first)?),
            c if c.is_alphabetic() || c == '_' => (Kind::Name, run(rest)),
            c if c.is_ascii_digit() => (Kind::Number, number(rest)),
            _ => {
                match first {
                    '(' | '[' | '{' => depth += 1,
                    ')' | ']' | '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                let double = ["**", "//", "==", "!=", "<=", ">="];
                let double = double.iter().any(|operator| rest.starts_with(operator));
                (Kind::Operator, if double { 2 } else { first.len_utf8() })
            }
        };
        tokens.push(Token {
            kind,
            at: at..at + length,
        });
        at += length;
    }
}

fn run(text: &str) -> usize {
    let ends = |c: char| !(c.is_alphanumeric() || c == '_');
    text.find(ends).unwrap_or(text.len())
}

fn number(text: &str) -> usize {
    let whole = run(text);
    let rest = text.get(whole..).unwrap_or_default();
    match rest.strip_prefix('.') {
        Some(part) if part.starts_with(|c: char| c.is_ascii_digit()) => whole + 1 + run(part),
        _ => whole,
    }
}

/// The length of a text literal with its quotes.
fn literal(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if !escaped && c == quote {
            return Some(at + 1);
        }
        escaped = c == '\\' && !escaped;
    }
    None
}
