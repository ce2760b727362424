//! Texts and floats as literals of Python and JSON.

use crate::methods::letters::is_printable;
use crate::scan::{Class, run};

/// Writes `repr()` of a finite float: the shortest digits that read back as the same number, in
/// scientific notation below 1e-4 and from 1e16 on.
pub(crate) fn push_float(out: &mut String, number: f64) {
    let magnitude = number.abs();
    if number != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let text = format!("{number:e}");
        let text = nearest(text, number, |decimals| format!("{number:.decimals$e}"));
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent),
        };
        out.push_str(digits);
        out.push('e');
        out.push(sign);
        if exponent.len() < 2 {
            out.push('0');
        }
        out.push_str(exponent);
        return;
    }
    let text = nearest(number.to_string(), number, |decimals| {
        format!("{number:.decimals$}")
    });
    out.push_str(&text);
    if !text.contains('.') {
        out.push_str(".0");
    }
}

/// What Python takes of texts that are equally short and read back as the same number: the one that is nearest to
/// it, and of two as near the even one, where Rust takes the upper. Only from 16 digits on are there two.
fn nearest(shortest: String, number: f64, rounded: impl Fn(usize) -> String) -> String {
    let mantissa = shortest.split('e').next().unwrap_or_default();
    let Some((whole, fraction)) = mantissa.split_once('.') else {
        return shortest;
    };
    if whole.len() + fraction.len() < 16 {
        return shortest;
    }
    let even = rounded(fraction.len());
    if even.parse() == Ok(number) {
        even
    } else {
        shortest
    }
}

/// Writes what stands between the quotes of a JSON string, ASCII only.
pub(crate) fn push_json_text(out: &mut String, text: &str, html_safe: bool) {
    let mut rest = text;
    loop {
        let plain = if html_safe {
            run(rest.as_bytes(), ESCAPED_HTML)
        } else {
            run(rest.as_bytes(), ESCAPED)
        };
        out.push_str(rest.get(..plain).unwrap_or_default());
        let mut after = rest.get(plain..).unwrap_or_default().chars();
        let Some(c) = after.next() else { return };
        push_escaped(out, c, html_safe);
        rest = after.as_str();
    }
}

/// Writes a character of a JSON string that may have to be escaped.
pub(crate) fn push_escaped(out: &mut String, c: char, html_safe: bool) {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        // An escape that the event had and Python would not have written.
        ' '..='~' if !html_safe || !ESCAPED_HTML.has(c as u8) => out.push(c),
        _ => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str("\\u");
                for shift in [12, 8, 4, 0] {
                    out.extend(HEX.get(usize::from(*unit >> shift & 15)));
                }
            }
        }
    }
}

/// Writes `repr(text)`.
pub(crate) fn push_repr(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if is_printable(c) => out.push(c),
            c => match u32::from(c) {
                code @ 0..0x100 => out.push_str(&format!("\\x{code:02x}")),
                code @ 0x100..0x10000 => out.push_str(&format!("\\u{code:04x}")),
                code => out.push_str(&format!("\\U{code:08x}")),
            },
        }
    }
    out.push(quote);
}

/// What cannot stand in a JSON string of ASCII only as it is.
pub(crate) const ESCAPED: Class = Class {
    any: b"\"\\",
    outside: (b' ', b'~'),
};

/// What Jinja2's `tojson` escapes.
pub(crate) const ESCAPED_HTML: Class = Class {
    any: b"\"\\<>&'",
    outside: (b' ', b'~'),
};

/// What `repr()` may have to escape.
pub(crate) const ESCAPED_REPR: Class = Class {
    any: b"\"\\'",
    outside: (b' ', b'~'),
};
