//! Filters that know of HTML.

use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Error, State, Value};

use super::Filter;
use crate::args::Args;
use crate::limits;
use crate::output::to_str;
use crate::urlize;
use crate::values::{self, is_space, wrong};

pub(crate) const FILTERS: &[Filter] = &[
    Filter {
        names: &["escape", "e"],
        parameters: &[],
        apply: escape,
    },
    Filter {
        names: &["forceescape"],
        parameters: &[],
        apply: forceescape,
    },
    Filter {
        names: &["striptags"],
        parameters: &[],
        apply: striptags,
    },
    Filter {
        names: &["xmlattr"],
        parameters: &["autospace"],
        apply: xmlattr,
    },
    Filter {
        names: &["urlize"],
        parameters: &[
            "trim_url_limit",
            "nofollow",
            "target",
            "rel",
            "extra_schemes",
        ],
        apply: urlize::urlize,
    },
];

/// The text as MarkupSafe escapes it.
pub(crate) fn escape_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            c => out.push(c),
        }
    }
    out
}

/// `markupsafe.escape(value)`.
pub(crate) fn escaped(state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
    let text = to_str(state, value)?;
    Ok(if value.is_safe() {
        text.into_owned()
    } else {
        escape_text(&text)
    })
}

fn escape(state: &mut State<'_, '_>, value: &Value, _: &Args) -> Result<Value, Error> {
    escaped(state, value).map(Value::from_safe_string)
}

fn forceescape(state: &mut State<'_, '_>, value: &Value, _: &Args) -> Result<Value, Error> {
    Ok(Value::from_safe_string(escape_text(&to_str(state, value)?)))
}

/// Safe where the template escapes, else plain.
pub(crate) fn markup(state: &State<'_, '_>, text: String) -> Value {
    match state.auto_escape() {
        AutoEscape::None => Value::from(text),
        _ => Value::from_safe_string(text),
    }
}

fn xmlattr(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    if value.kind() != ValueKind::Map {
        return Err(wrong("the attributes have to be a dict"));
    }
    let mut out = String::new();
    for key in values::items(state, value)? {
        state.consume_fuel(limits::CALL)?;
        let item = values::item(value, &key)?;
        if item.is_none() || item.is_undefined() {
            continue;
        }
        let name = to_str(state, &key)?;
        if name.contains(|c: char| is_space(c) || matches!(c, '/' | '>' | '=')) {
            return Err(wrong(format!(
                "Invalid character in attribute name: '{name}'"
            )));
        }
        if !out.is_empty() || args.flag(0, true) {
            out.push(' ');
        }
        let (name, item) = (escaped(state, &key)?, escaped(state, &item)?);
        out.push_str(&format!("{name}=\"{item}\""));
    }
    Ok(markup(state, out))
}

fn striptags(state: &mut State<'_, '_>, value: &Value, _: &Args) -> Result<Value, Error> {
    let text = to_str(state, value)?;
    state.consume_fuel(limits::CALL + text.len() as u64 / 16)?;
    let text = without(&without(&text, "<!--", "-->"), "<", ">");
    let words: Vec<&str> = text
        .split(is_space)
        .filter(|word| !word.is_empty())
        .collect();
    Ok(Value::from(unescape(&words.join(" "))))
}

/// The text without all that lies between two marks.
fn without(text: &str, open: &str, close: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, tail)) = rest.split_once(open) {
        let Some(end) = tail.find(close) else { break };
        out.push_str(before);
        rest = tail.get(end + close.len()..).unwrap_or_default();
    }
    out + rest
}

/// The text with its character references resolved: numbers, and the names in common use.
fn unescape(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, tail)) = rest.split_once('&') {
        out.push_str(before);
        let end = tail
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '#')
            .unwrap_or(tail.len());
        let (name, after) = tail.split_at(end);
        let closed = after.starts_with(';');
        match reference(name) {
            Some(c) if closed || !name.is_empty() && known_open(name) => {
                out.push(c);
                rest = after.strip_prefix(';').unwrap_or(after);
            }
            _ => {
                out.push('&');
                rest = tail;
            }
        }
    }
    out + rest
}

/// References that HTML also knows without their `;`.
fn known_open(name: &str) -> bool {
    name.starts_with('#') || matches!(name, "amp" | "lt" | "gt" | "quot" | "nbsp" | "copy" | "reg")
}

fn reference(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let number = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return Some(match number {
            0 => '\u{fffd}',
            _ => char::from_u32(number).unwrap_or('\u{fffd}'),
        });
    }
    let latin = LATIN1.iter().position(|&known| known == name);
    if let Some(at) = latin.and_then(|at| u32::try_from(at).ok()) {
        return char::from_u32(0xa0 + at);
    }
    NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|&(_, c)| c)
}

/// The names of U+00A0 to U+00FF, in order.
const LATIN1: [&str; 96] = [
    "nbsp", "iexcl", "cent", "pound", "curren", "yen", "brvbar", "sect", "uml", "copy", "ordf",
    "laquo", "not", "shy", "reg", "macr", "deg", "plusmn", "sup2", "sup3", "acute", "micro",
    "para", "middot", "cedil", "sup1", "ordm", "raquo", "frac14", "frac12", "frac34", "iquest",
    "Agrave", "Aacute", "Acirc", "Atilde", "Auml", "Aring", "AElig", "Ccedil", "Egrave", "Eacute",
    "Ecirc", "Euml", "Igrave", "Iacute", "Icirc", "Iuml", "ETH", "Ntilde", "Ograve", "Oacute",
    "Ocirc", "Otilde", "Ouml", "times", "Oslash", "Ugrave", "Uacute", "Ucirc", "Uuml", "Yacute",
    "THORN", "szlig", "agrave", "aacute", "acirc", "atilde", "auml", "aring", "aelig", "ccedil",
    "egrave", "eacute", "ecirc", "euml", "igrave", "iacute", "icirc", "iuml", "eth", "ntilde",
    "ograve", "oacute", "ocirc", "otilde", "ouml", "divide", "oslash", "ugrave", "uacute", "ucirc",
    "uuml", "yacute", "thorn", "yuml",
];

/// Further names in common use.
const NAMES: [(&str, char); 27] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("euro", '€'),
    ("hellip", '…'),
    ("ndash", '–'),
    ("mdash", '—'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("bdquo", '„'),
    ("sbquo", '‚'),
    ("bull", '•'),
    ("trade", '™'),
    ("larr", '←'),
    ("uarr", '↑'),
    ("rarr", '→'),
    ("darr", '↓'),
    ("le", '≤'),
    ("ge", '≥'),
    ("ne", '≠'),
    ("infin", '∞'),
    ("minus", '−'),
    ("thinsp", '\u{2009}'),
];
