//! What letters are, and their case, as Python sees it.

use crate::values::is_space;

fn titled(c: char) -> String {
    match c {
        'Ǆ' | 'ǆ' | 'ǅ' => "ǅ".to_owned(),
        'Ǉ' | 'ǉ' | 'ǈ' => "ǈ".to_owned(),
        'Ǌ' | 'ǌ' | 'ǋ' => "ǋ".to_owned(),
        'Ǳ' | 'ǳ' | 'ǲ' => "ǲ".to_owned(),
        _ => {
            let mut upper = c.to_uppercase();
            let first = upper.next().into_iter();
            first.chain(upper.flat_map(char::to_lowercase)).collect()
        }
    }
}

pub(crate) fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(titled).unwrap_or_default();
    first + &chars.as_str().to_lowercase()
}

/// Every run of letters with the first in title case: `it's` becomes `It'S`.
pub(super) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut within = false;
    for c in text.chars() {
        let cased = c.is_lowercase() || c.is_uppercase();
        match (cased, within) {
            (true, true) => out.extend(c.to_lowercase()),
            (true, false) => out.push_str(&titled(c)),
            (false, _) => out.push(c),
        }
        within = cased;
    }
    out
}

pub(super) fn swapcase(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_uppercase() {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
    }
    out
}

/// The questions without arguments: `isalpha()` and its like.
pub(crate) fn is(name: &str, text: &str) -> Option<bool> {
    let all = |holds: fn(char) -> bool| !text.is_empty() && text.chars().all(holds);
    let superscript = |c: char| matches!(c, '²' | '³' | '¹' | '⁰'..='⁹' | '₀'..='₉' | '①'..='⑨');
    let decimal =
        |c: char| c.is_numeric() && crate::filters::numbers::digit(c).is_some_and(|d| d < 10);
    let any_cased = text.chars().any(|c| c.is_lowercase() || c.is_uppercase());
    Some(match name {
        "isalpha" => all(|c| c.is_alphabetic() && !c.is_numeric()),
        "isalnum" => all(char::is_alphanumeric),
        "isascii" => text.is_ascii(),
        "isdecimal" => !text.is_empty() && text.chars().all(decimal),
        "isdigit" => !text.is_empty() && text.chars().all(|c| decimal(c) || superscript(c)),
        "isnumeric" => all(char::is_numeric),
        "isspace" => all(is_space),
        "islower" => any_cased && !text.chars().any(char::is_uppercase),
        "isupper" => any_cased && !text.chars().any(char::is_lowercase),
        "istitle" => any_cased && title(text) == text,
        "isprintable" => text.chars().all(is_printable),
        "isidentifier" => {
            let mut chars = text.chars();
            let first = chars.next().is_some_and(|c| c == '_' || c.is_alphabetic());
            first && chars.all(|c| c == '_' || c.is_alphanumeric())
        }
        _ => return None,
    })
}

/// Whether `repr()` shows the character as it is.
pub(crate) fn is_printable(c: char) -> bool {
    !matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{a0}' | '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}'
        | '\u{6dd}' | '\u{70f}' | '\u{1680}' | '\u{180e}' | '\u{2000}'..='\u{200f}'
        | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' | '\u{3000}' | '\u{e000}'..='\u{f8ff}'
        | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}'..='\u{ffff}' | '\u{e0000}'..)
}
