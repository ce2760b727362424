//! What becomes of macros in [`crate::rewrite`]: those that take any arguments, and those whose defaults
//! speak of other parameters.

use std::borrow::Cow;

use crate::rewrite::Pieces;
use crate::tokens::{Kind, Tag, Token, text};

/// A macro's defaults that speak of parameters before them: those are set at its start instead.
pub(crate) fn defaults(tag: &Tag, edits: &mut Edits<'_>, pieces: &mut Pieces<'_>) {
    let source = edits.source;
    let last = tag.tokens.len().wrapping_sub(1);
    if !pieces.is(0, "macro") || !pieces.is(2, "(") || !pieces.is(last, ")") {
        return;
    }
    let (mut known, mut at, mut late): (Vec<&str>, usize, String) = (Vec::new(), 3, String::new());
    while at < last {
        let Some(name) = tag.tokens.get(at).map(|token| text(source, token)) else {
            return;
        };
        let (mut end, mut depth) = (at + 1, 0_usize);
        while end < last && (depth > 0 || !pieces.is(end, ",")) {
            if pieces.any(end, &["(", "[", "{"]) {
                depth += 1;
            } else if pieces.any(end, &[")", "]", "}"]) {
                depth = depth.saturating_sub(1);
            }
            end += 1;
        }
        let default = tag.tokens.get(at + 2..end).unwrap_or_default();
        let speaks =
            |token: &Token| token.kind == Kind::Name && known.contains(&text(source, token));
        if pieces.is(at + 1, "=") && default.iter().any(speaks) {
            let expression = pieces.take(at + 2..end).replace('\n', " ");
            late.push_str(&format!(
                "{{%if {name} is undefined%}}{{%set {name}={expression}%}}{{%endif%}}"
            ));
            pieces.replace(at + 2, "__unset");
        }
        known.push(name);
        at = end + 1;
    }
    if !late.is_empty() {
        let late = match late.strip_suffix("%}") {
            Some(late) if tag.trims => format!("{late}-%}}"),
            _ => late,
        };
        edits.late.push((tag.end..tag.end, late));
    }
}

/// A macro that takes more arguments than it names.
pub(crate) struct Macro<'s> {
    pub(crate) name: &'s str,
    /// The numbers of its first and last tag.
    pub(crate) begin: usize,
    pub(crate) end: usize,
    pub(crate) varargs: bool,
    pub(crate) kwargs: bool,
}

/// The macros in whose bodies `varargs` or `kwargs` stands; all, where a template asks for their kind.
pub(crate) fn macros<'s>(source: &'s str, tags: &[Tag]) -> Vec<Macro<'s>> {
    let named = |tag: &Tag, name: &str| {
        tag.tokens
            .iter()
            .any(|t| t.kind == Kind::Name && text(source, t) == name)
    };
    let asked = tags
        .iter()
        .any(|tag| named(tag, "catch_kwargs") || named(tag, "catch_varargs"));
    let (mut open, mut found): (Vec<Macro<'_>>, Vec<Macro<'_>>) = (Vec::new(), Vec::new());
    for (number, tag) in tags.iter().enumerate() {
        let first = tag
            .tokens
            .first()
            .filter(|_| tag.block)
            .map(|token| text(source, token));
        match (first, tag.tokens.get(1)) {
            (Some("macro"), Some(name)) => open.push(Macro {
                name: text(source, name),
                begin: number,
                end: number,
                varargs: false,
                kwargs: false,
            }),
            (Some("endmacro"), _) => {
                if let Some(mut done) = open.pop() {
                    done.end = number;
                    if done.varargs || done.kwargs || asked {
                        found.push(done);
                    }
                }
            }
            _ => {
                if let Some(innermost) = open.last_mut() {
                    innermost.varargs |= named(tag, "varargs");
                    innermost.kwargs |= named(tag, "kwargs");
                }
            }
        }
    }
    found
}

/// Replacements in the source, in order.
pub(crate) struct Edits<'s> {
    pub(crate) source: &'s str,
    pub(crate) list: Vec<(std::ops::Range<usize>, String)>,
    /// What comes after the tag at hand.
    pub(crate) late: Vec<(std::ops::Range<usize>, String)>,
}

impl<'s> Edits<'s> {
    /// After a macro's end, its wrapper.
    pub(crate) fn wrap(&mut self, tag: &Tag, of: &Macro<'_>) {
        let Macro {
            name,
            varargs,
            kwargs,
            ..
        } = of;
        let mark = if tag.trims { "-" } else { "" };
        let set = format!("{{% set {name} = __macro({name}, {varargs}, {kwargs}) {mark}%}}");
        self.list.push((tag.end..tag.end, set));
    }

    pub(crate) fn apply(self) -> Cow<'s, str> {
        if self.list.is_empty() {
            return self.source.into();
        }
        let (mut out, mut from) = (String::with_capacity(self.source.len() * 2), 0);
        for (at, with) in self.list {
            out.push_str(self.source.get(from..at.start).unwrap_or_default());
            out.push_str(&with);
            from = at.end;
        }
        out.push_str(self.source.get(from..).unwrap_or_default());
        out.into()
    }
}
