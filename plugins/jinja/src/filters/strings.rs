//! Filters of text.

use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Error, State, Value};

use super::Filter;
use super::html::{escape_text, escaped};
use super::wrap::wordwrap;
use crate::args::Args;
use crate::json;
use crate::methods::dicts;
use crate::methods::strings as methods;
use crate::output::to_str;
use crate::percent;
use crate::values::{self, afford, is_space, like, lines, wrong};

pub(crate) const FILTERS: &[Filter] = &[
    Filter {
        names: &["upper"],
        parameters: &[],
        apply: upper,
    },
    Filter {
        names: &["lower"],
        parameters: &[],
        apply: lower,
    },
    Filter {
        names: &["title"],
        parameters: &[],
        apply: title,
    },
    Filter {
        names: &["capitalize"],
        parameters: &[],
        apply: capitalize,
    },
    Filter {
        names: &["trim"],
        parameters: &["chars"],
        apply: trim,
    },
    Filter {
        names: &["replace"],
        parameters: &["old!", "new!", "count"],
        apply: replace,
    },
    Filter {
        names: &["truncate"],
        parameters: &["length", "killwords", "end", "leeway"],
        apply: truncate,
    },
    Filter {
        names: &["indent"],
        parameters: &["width", "first", "blank"],
        apply: indent,
    },
    Filter {
        names: &["center"],
        parameters: &["width"],
        apply: center,
    },
    Filter {
        names: &["wordcount"],
        parameters: &[],
        apply: wordcount,
    },
    Filter {
        names: &["string"],
        parameters: &[],
        apply: string,
    },
    Filter {
        names: &["wordwrap"],
        parameters: &[
            "width",
            "break_long_words",
            "wrapstring",
            "break_on_hyphens",
        ],
        apply: wordwrap,
    },
    Filter {
        names: &["urlencode"],
        parameters: &[],
        apply: urlencode,
    },
];

fn upper(state: &mut State<'_, '_>, value: &Value, _: &Args) -> Result<Value, Error> {
    Ok(like(value, to_str(state, value)?.to_uppercase()))
}

fn lower(state: &mut State<'_, '_>, value: &Value, _: &Args) -> Result<Value, Error> {
    Ok(like(value, to_str(state, value)?.to_lowercase()))
}

fn capitalize(state: &mut State<'_, '_>, value: &Value, _: &Args) -> Result<Value, Error> {
    Ok(like(
        value,
        crate::methods::letters::capitalize(&to_str(state, value)?),
    ))
}

/// Unlike Python's method, only space, `-` and opening brackets begin a word.
fn title(state: &mut State<'_, '_>, value: &Value, _: &Args) -> Result<Value, Error> {
    let text = to_str(state, value)?;
    state.consume_fuel(text.len() as u64 / 6)?;
    let begins = |c: char| is_space(c) || matches!(c, '-' | '(' | '{' | '[' | '<');
    let mut out = String::with_capacity(text.len());
    for word in text.split_inclusive(begins) {
        let mut chars = word.chars();
        out.extend(chars.next().into_iter().flat_map(char::to_uppercase));
        out.push_str(&chars.as_str().to_lowercase());
    }
    Ok(like(value, out))
}

fn trim(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    let text = to_str(state, value)?;
    let chars = methods::chars(state, &text, args.get(0))?;
    let out = text.trim_matches(|c| methods::strips(c, chars)).to_owned();
    Ok(match chars {
        None => json::vouch_like(value, out),
        Some(_) => like(value, out),
    })
}

fn replace(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    let count = args.some(2).map_or(Ok(-1), values::index)?;
    let (old, new) = (args.value(0), args.value(1));
    let mut text = to_str(state, value)?.into_owned();
    let (mut from, mut to) = (
        to_str(state, &old)?.into_owned(),
        to_str(state, &new)?.into_owned(),
    );
    let html = matches!(state.auto_escape(), AutoEscape::Html);
    let safe = html && (value.is_safe() || old.is_safe() || new.is_safe());
    if html {
        if !value.is_safe() && safe {
            text = escape_text(&text);
        }
        if safe {
            from = escaped(state, &old)?;
            to = escaped(state, &new)?;
        }
    }
    let out = methods::replaced(state, &text, &from, &to, count)?;
    Ok(if safe {
        Value::from_safe_string(out)
    } else {
        Value::from(out)
    })
}

/// The length that Python's `len()` gives, and the text if it is one.
fn sized(value: &Value) -> Result<(usize, Option<&str>), Error> {
    if let Some(text) = value.as_str() {
        return Ok((text.chars().count(), Some(text)));
    }
    match value.kind() {
        ValueKind::Undefined => Ok((0, Some(""))),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => value
            .len()
            .map(|length| (length, None))
            .ok_or_else(|| wrong("it has no length")),
        _ => {
            let name = values::type_name(value);
            Err(wrong(format!("object of type '{name}' has no len()")))
        }
    }
}

fn truncate(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    let (length, leeway) = (
        args.int(0, 255)?,
        args.some(3).map_or(Ok(5), values::index)?,
    );
    let end = args.text(state, 2, "...")?;
    let keep = length.saturating_sub(i64::try_from(end.chars().count()).unwrap_or(i64::MAX));
    if keep < 0 {
        return Err(wrong(format!(
            "the length {length} is less than that of the end `{end}`"
        )));
    }
    if leeway < 0 {
        return Err(wrong(format!("the leeway {leeway} is negative")));
    }
    let (has, text) = sized(value)?;
    if i64::try_from(has).unwrap_or(i64::MAX) <= length.saturating_add(leeway) {
        return Ok(value.clone());
    }
    let text = text.ok_or_else(|| wrong("only text can be truncated"))?;
    let keep = usize::try_from(keep).unwrap_or_default();
    let kept = text
        .char_indices()
        .nth(keep)
        .and_then(|(at, _)| text.get(..at))
        .unwrap_or(text);
    let kept = if args.flag(1, false) {
        kept
    } else {
        kept.rsplit_once(' ').map_or(kept, |(words, _)| words)
    };
    Ok(like(value, format!("{kept}{end}")))
}

fn indent(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    let Some(text) = value.as_str() else {
        let name = values::type_name(value);
        return Err(wrong(format!("only text can be indented, not '{name}'")));
    };
    let width = match args.get(0) {
        Some(width) if width.as_str().is_some() => to_str(state, width)?.into_owned(),
        width => {
            let width = width.map_or(Ok(4), values::index)?;
            let width = usize::try_from(width).unwrap_or(0);
            afford(state, width)?;
            " ".repeat(width)
        }
    };
    let (first, blank) = (args.flag(1, false), args.flag(2, false));
    let whole = format!("{text}\n");
    let lines = lines(&whole, false);
    afford(state, lines.len().saturating_mul(width.len()))?;
    let mut out = String::with_capacity(whole.len());
    for (n, line) in lines.iter().enumerate() {
        if n > 0 {
            out.push('\n');
        }
        if (n == 0 && first) || (n > 0 && (blank || !line.is_empty())) {
            out.push_str(&width);
        }
        out.push_str(line);
    }
    Ok(if width.bytes().all(|b| b == b' ' || b == b'\t') {
        json::vouch_like(value, out)
    } else {
        like(value, out)
    })
}

fn center(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    let width = args.int(0, 80)?;
    let text = to_str(state, value)?;
    Ok(like(value, methods::centered(state, &text, width, ' ')?))
}

fn wordcount(state: &mut State<'_, '_>, value: &Value, _: &Args) -> Result<Value, Error> {
    let text = to_str(state, value)?;
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    Ok(Value::from(words.filter(|word| !word.is_empty()).count()))
}

fn string(state: &mut State<'_, '_>, value: &Value, _: &Args) -> Result<Value, Error> {
    Ok(match value.as_str() {
        Some(_) => value.clone(),
        None => Value::from(to_str(state, value)?.into_owned()),
    })
}

/// `format(*args, **kwargs)`: the value's `%` with them.
pub(crate) fn format(
    state: &mut State<'_, '_>,
    value: &Value,
    given: &[Value],
) -> Result<Value, Error> {
    let (places, names) = crate::args::split(given)?;
    let text = to_str(state, value)?.into_owned();
    let operand = match (places.is_empty(), names.is_empty()) {
        (false, false) => {
            return Err(wrong(
                "`format` takes arguments by place or by name, not both",
            ));
        }
        (true, false) => dicts::dict(
            names
                .into_iter()
                .map(|(name, value)| (Value::from(name), value))
                .collect(),
        ),
        _ => values::tuple(places.to_vec()),
    };
    let out = percent::format(state, &text, &operand, value.is_safe())?;
    Ok(like(value, out))
}

/// `urllib.parse.quote()`; in a query, `/` is quoted and a space is `+`.
fn quote(text: &str, query: bool, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => {
                out.push(byte.into());
            }
            b'/' if !query => out.push('/'),
            b' ' if query => out.push('+'),
            _ => {
                out.push('%');
                for nibble in [byte >> 4, byte & 15] {
                    out.extend(HEX.get(usize::from(nibble)).map(|&b| char::from(b)));
                }
            }
        }
    }
}

fn urlencode(state: &mut State<'_, '_>, value: &Value, _: &Args) -> Result<Value, Error> {
    let mut out = String::new();
    let pairs = match value.kind() {
        ValueKind::Map => {
            let keys = values::items(state, value)?;
            let pair = |key: Value| Ok((values::item(value, &key)?, key));
            let pairs: Result<Vec<_>, Error> = keys.into_iter().map(pair).collect();
            pairs?.into_iter().map(|(item, key)| (key, item)).collect()
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let mut pairs = Vec::new();
            for pair in values::items(state, value)? {
                let [key, item] = <[Value; 2]>::try_from(values::items(state, &pair)?)
                    .map_err(|_| wrong("each item has to be a pair of name and value"))?;
                pairs.push((key, item));
            }
            pairs
        }
        _ => {
            quote(&to_str(state, value)?, false, &mut out);
            return Ok(Value::from(out));
        }
    };
    for (n, (key, item)) in pairs.iter().enumerate() {
        if n > 0 {
            out.push('&');
        }
        quote(&to_str(state, key)?, true, &mut out);
        out.push('=');
        quote(&to_str(state, item)?, true, &mut out);
    }
    Ok(Value::from(out))
}
