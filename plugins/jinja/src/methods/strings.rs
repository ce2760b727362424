//! Methods of texts.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

use super::dicts::dict;
use super::format;
use super::letters::{capitalize, is, swapcase, title};
use super::lists::place;
use crate::args::Args;
use crate::json;
use crate::limits;
use crate::mutable::Pairs;
use crate::output::to_str;
use crate::values::{self, afford, is_space, like, lines, wrong};
use crate::writer::{Style, Writer};

/// The methods.
pub(crate) fn call(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    given: &[Value],
) -> Result<Value, Error> {
    let text = value.as_str().unwrap_or_default();
    let none = |out: String| Args::bind(&[], given).map(|_| like(value, out));
    if matches!(name, "title" | "swapcase" | "istitle") {
        // Each character has several tables to be looked up in.
        state.consume_fuel(text.len() as u64 / 4)?;
    }
    match name {
        "upper" => none(text.to_uppercase()),
        "lower" => none(text.to_lowercase()),
        "casefold" => none(text.to_lowercase().replace('ß', "ss").replace('ς', "σ")),
        "capitalize" => none(capitalize(text)),
        "title" => none(title(text)),
        "swapcase" => none(swapcase(text)),
        "strip" | "lstrip" | "rstrip" => {
            let args = Args::bind_places(&["chars"], given)?;
            let chars = chars(state, text, args.get(0))?;
            let out = match name {
                "strip" => text.trim_matches(|c| strips(c, chars)),
                "lstrip" => text.trim_start_matches(|c| strips(c, chars)),
                _ => text.trim_end_matches(|c| strips(c, chars)),
            };
            Ok(match chars {
                None => json::vouch_like(value, out.to_owned()),
                Some(_) => like(value, out.to_owned()),
            })
        }
        "removeprefix" | "removesuffix" => {
            let args = Args::bind_places(&["affix!"], given)?;
            let affix = needle(&args, 0)?;
            let out = match name {
                "removeprefix" => text.strip_prefix(affix),
                _ => text.strip_suffix(affix),
            };
            Ok(like(value, out.unwrap_or(text).to_owned()))
        }
        "split" | "rsplit" => {
            let args = Args::bind(&["sep", "maxsplit"], given)?;
            let most = usize::try_from(args.int(1, -1)?).unwrap_or(usize::MAX);
            let by = args.some(0).map(|_| needle(&args, 0)).transpose()?;
            let parts = split(text, by, most, name == "rsplit")?;
            state.consume_fuel((parts.len() as u64).saturating_mul(limits::ITEM))?;
            Ok(strings(value, parts))
        }
        "splitlines" => {
            let ends = Args::bind(&["keepends"], given)?.flag(0, false);
            let parts = lines(text, ends);
            state.consume_fuel((parts.len() as u64).saturating_mul(limits::ITEM))?;
            Ok(strings(value, parts))
        }
        "partition" | "rpartition" => {
            let args = Args::bind_places(&["sep!"], given)?;
            let by = needle(&args, 0)?;
            if by.is_empty() {
                return Err(wrong("empty separator"));
            }
            let [a, b, c] = match (name, text.split_once(by), text.rsplit_once(by)) {
                ("partition", Some((head, tail)), _) | ("rpartition", _, Some((head, tail))) => {
                    [head, by, tail]
                }
                ("partition", ..) => [text, "", ""],
                _ => ["", "", text],
            };
            Ok(values::tuple(
                [a, b, c].map(|part| like(value, part.to_owned())).to_vec(),
            ))
        }
        "replace" => {
            let args = Args::bind_places(&["old!", "new!", "count"], given)?;
            let count = args.int(2, -1)?;
            let out = replaced(state, text, needle(&args, 0)?, needle(&args, 1)?, count)?;
            Ok(like(value, out))
        }
        "startswith" | "endswith" => {
            let args = Args::bind_places(&["affix!", "start", "end"], given)?;
            let affix = args.value(0);
            let affixes = match affix.kind() {
                ValueKind::Seq if values::is_tuple(&affix) => values::items(state, &affix)?,
                _ => vec![affix],
            };
            let (_, part) = part(text, &args, 1)?;
            let Some(part) = part else {
                return Ok(Value::from(false));
            };
            for affix in affixes {
                let affix = affix.as_str().ok_or_else(|| wrong("it has to be a text"))?;
                let found = match name {
                    "startswith" => part.starts_with(affix),
                    _ => part.ends_with(affix),
                };
                if found {
                    return Ok(Value::from(true));
                }
            }
            Ok(Value::from(false))
        }
        "find" | "rfind" | "index" | "rindex" | "count" => {
            let args = Args::bind_places(&["sub!", "start", "end"], given)?;
            let sub = needle(&args, 0)?;
            let (start, part) = part(text, &args, 1)?;
            if name == "count" {
                let count = part.map_or(0, |part| match sub {
                    "" => part.chars().count() + 1,
                    sub => part.matches(sub).count(),
                });
                return Ok(Value::from(count));
            }
            let found = part.and_then(|part| {
                let at = match name {
                    "find" | "index" => part.find(sub),
                    _ => part.rfind(sub),
                }?;
                Some(start + part.get(..at)?.chars().count())
            });
            match found {
                Some(at) => Ok(Value::from(at)),
                None if name.ends_with("find") => Ok(Value::from(-1)),
                None => Err(wrong("substring not found")),
            }
        }
        "center" | "ljust" | "rjust" => {
            let args = Args::bind_places(&["width!", "fillchar"], given)?;
            let width = args.int(0, 0)?;
            let fill = args.get(1).map_or(Some(" "), Value::as_str);
            let mut fill = fill.unwrap_or_default().chars();
            let (Some(fill), None) = (fill.next(), fill.next()) else {
                return Err(wrong(
                    "The fill character must be exactly one character long",
                ));
            };
            if name == "center" {
                return Ok(like(value, centered(state, text, width, fill)?));
            }
            let fill = filling(state, text, width, fill)?;
            Ok(like(
                value,
                match name {
                    "ljust" => format!("{text}{fill}"),
                    _ => format!("{fill}{text}"),
                },
            ))
        }
        "zfill" => {
            let width = Args::bind_places(&["width!"], given)?.int(0, 0)?;
            let zeros = filling(state, text, width, '0')?;
            let bare = text.strip_prefix(['+', '-']).unwrap_or(text);
            let sign = text.strip_suffix(bare).unwrap_or_default();
            Ok(like(value, format!("{sign}{zeros}{bare}")))
        }
        "expandtabs" => {
            let size = Args::bind(&["tabsize"], given)?.int(0, 8)?;
            let size = usize::try_from(size).unwrap_or(0);
            afford(state, size.saturating_mul(text.matches('\t').count()))?;
            Ok(like(value, expandtabs(text, size)))
        }
        "join" => {
            let all = values::items(state, &Args::bind_places(&["iterable!"], given)?.value(0))?;
            let mut out = String::new();
            for (n, item) in all.iter().enumerate() {
                let item = item.as_str().ok_or_else(|| {
                    let name = values::type_name(item);
                    wrong(format!(
                        "sequence item {n}: expected str instance, {name} found"
                    ))
                })?;
                afford(state, item.len() + text.len())?;
                if n > 0 {
                    out.push_str(text);
                }
                out.push_str(item);
            }
            Ok(like(value, out))
        }
        "format" => format::format(state, value, given),
        "format_map" => {
            let map = Args::bind_places(&["mapping!"], given)?.value(0);
            format::format_map(state, value, &map)
        }
        "encode" => {
            let args = Args::bind(&["encoding", "errors"], given)?;
            let encoding = args.text(state, 0, "utf-8")?.to_lowercase();
            match (&*encoding, text.is_ascii()) {
                ("utf-8" | "utf8", _) | ("ascii" | "latin-1" | "latin1", true) => {
                    Ok(Value::from_bytes(text.as_bytes().to_vec()))
                }
                _ => Err(wrong("only UTF-8 is supported")),
            }
        }
        "maketrans" => {
            let args = Args::bind_places(&["x!", "y", "z"], given)?;
            let mut pairs = Pairs::default();
            let (from, to) = (needle(&args, 0)?, needle(&args, 1)?);
            if from.chars().count() != to.chars().count() {
                return Err(wrong("the first two arguments must have equal length"));
            }
            for (from, to) in from.chars().zip(to.chars()) {
                pairs.insert(Value::from(u32::from(from)), Value::from(u32::from(to)));
            }
            if args.get(2).is_some() {
                for c in needle(&args, 2)?.chars() {
                    pairs.insert(Value::from(u32::from(c)), Value::from(()));
                }
            }
            Ok(dict(pairs))
        }
        "translate" => {
            state.consume_fuel(text.len() as u64 / 2)?;
            let table = Args::bind_places(&["table!"], given)?.value(0);
            let mut out = String::with_capacity(text.len());
            for c in text.chars() {
                let to = table
                    .get_item(&Value::from(u32::from(c)))
                    .unwrap_or_default();
                if to.is_undefined() {
                    out.push(c);
                } else if let Some(to) = to.as_str() {
                    afford(state, to.len())?;
                    out.push_str(to);
                } else if !to.is_none() {
                    let code = u32::try_from(values::index(&to)?)
                        .ok()
                        .and_then(char::from_u32);
                    out.push(code.ok_or_else(|| wrong("character mapping must be in range"))?);
                }
            }
            Ok(like(value, out))
        }
        _ => {
            let holds = is(name, text).ok_or(ErrorKind::UnknownMethod)?;
            Args::bind(&[], given)?;
            Ok(Value::from(holds))
        }
    }
}

fn strings(origin: &Value, parts: Vec<&str>) -> Value {
    let part = |part: &str| like(origin, part.to_owned());
    values::list(parts.into_iter().map(part).collect())
}

/// A text argument.
fn needle(args: &Args, at: usize) -> Result<&str, Error> {
    let value = args.get(at);
    value.and_then(Value::as_str).ok_or_else(|| {
        let name = value.map_or("nothing", values::type_name);
        wrong(format!("a text is needed, not {name}"))
    })
}

/// The characters to strip: none are given for white space.
///
/// # Errors
/// If they are no text, or a template could not pay for seeking each character of the text among them.
pub(crate) fn chars<'a>(
    state: &State<'_, '_>,
    text: &str,
    argument: Option<&'a Value>,
) -> Result<Option<&'a str>, Error> {
    match argument {
        Some(value) if !value.is_none() => match value.as_str() {
            Some(chars) => {
                let sought = text.len().saturating_mul(chars.len());
                state.consume_fuel(sought as u64 / 64)?;
                Ok(Some(chars))
            }
            None => Err(wrong("strip arg must be None or str")),
        },
        _ => Ok(None),
    }
}

pub(crate) fn strips(c: char, chars: Option<&str>) -> bool {
    chars.map_or_else(|| is_space(c), |chars| chars.contains(c))
}

fn split<'t>(
    text: &'t str,
    by: Option<&str>,
    most: usize,
    from_end: bool,
) -> Result<Vec<&'t str>, Error> {
    let limit = most.saturating_add(1);
    let mut parts: Vec<&str> = match by {
        Some("") => return Err(wrong("empty separator")),
        Some(by) if from_end => text.rsplitn(limit, by).collect(),
        Some(by) => text.splitn(limit, by).collect(),
        None => {
            let mut parts = Vec::new();
            let mut rest = text;
            loop {
                rest = if from_end {
                    rest.trim_end_matches(is_space)
                } else {
                    rest.trim_start_matches(is_space)
                };
                if rest.is_empty() {
                    break;
                }
                let cut = if from_end {
                    rest.rfind(is_space).and_then(|at| {
                        let after = rest.get(at..)?.chars().next()?.len_utf8();
                        Some((rest.get(at + after..)?, rest.get(..at)?))
                    })
                } else {
                    rest.find(is_space)
                        .and_then(|at| Some((rest.get(..at)?, rest.get(at..)?)))
                };
                match cut {
                    Some((part, tail)) if parts.len() < most => {
                        parts.push(part);
                        rest = tail;
                    }
                    _ => {
                        parts.push(rest);
                        break;
                    }
                }
            }
            parts
        }
    };
    if from_end {
        parts.reverse();
    }
    Ok(parts)
}

/// The part of the text that `start` and `end` name, and how many characters come before it; none if
/// it would begin after its end.
fn part<'t>(text: &'t str, args: &Args, at: usize) -> Result<(usize, Option<&'t str>), Error> {
    if args.some(at).is_none() && args.some(at + 1).is_none() {
        return Ok((0, Some(text)));
    }
    let length = text.chars().count();
    let start = args.some(at).map_or(Ok(0), values::index)?;
    let end = args.some(at + 1).map_or(Ok(i64::MAX), values::index)?;
    let beyond = usize::try_from(start).is_ok_and(|start| start > length);
    let (start, end) = (place(start, length), place(end, length));
    if beyond || start > end {
        return Ok((start, None));
    }
    let offset = |n: usize| text.char_indices().nth(n).map_or(text.len(), |(at, _)| at);
    Ok((start, text.get(offset(start)..offset(end))))
}

/// `text.replace(old, new, count)`, paid for.
pub(crate) fn replaced(
    state: &State<'_, '_>,
    text: &str,
    old: &str,
    new: &str,
    count: i64,
) -> Result<String, Error> {
    let most = usize::try_from(count).unwrap_or(usize::MAX);
    let found = text.matches(old).take(most).count();
    afford(
        state,
        found
            .saturating_mul(new.len().saturating_add(16))
            .saturating_add(text.len()),
    )?;
    Ok(text.replacen(old, new, most))
}

fn filling(state: &State<'_, '_>, text: &str, width: i64, fill: char) -> Result<String, Error> {
    let width = usize::try_from(width).unwrap_or(0);
    let missing = width.saturating_sub(text.chars().count());
    afford(state, missing.saturating_mul(4))?;
    Ok(std::iter::repeat_n(fill, missing).collect())
}

/// The text amid its fill; Python puts the odd one to the left where the width is odd.
pub(crate) fn centered(
    state: &State<'_, '_>,
    text: &str,
    width: i64,
    fill: char,
) -> Result<String, Error> {
    let all = filling(state, text, width, fill)?;
    let missing = all.chars().count();
    let odd = missing & usize::try_from(width).unwrap_or(0) & 1;
    let (left, right) = all.split_at((missing / 2 + odd) * fill.len_utf8());
    Ok(format!("{left}{text}{right}"))
}

fn expandtabs(text: &str, size: usize) -> String {
    let (mut out, mut column) = (String::with_capacity(text.len()), 0_usize);
    for c in text.chars() {
        match c {
            '\t' => {
                let spaces = column.checked_rem(size).map_or(0, |at| size - at);
                out.extend(std::iter::repeat_n(' ', spaces));
                column += spaces;
            }
            _ => {
                out.push(c);
                column = if matches!(c, '\n' | '\r') {
                    0
                } else {
                    column + 1
                };
            }
        }
    }
    out
}

/// `repr(value)`, paid for.
pub(crate) fn repr(state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
    let mut writer = Writer::new(Style::Repr, crate::output::affordable(state));
    writer.value(value)?;
    afford(state, writer.cost())?;
    Ok(writer.out)
}

/// The text with escapes for all that is not ASCII.
pub(crate) fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match u32::from(c) {
            0..0x80 => out.push(c),
            code @ 0x80..0x100 => out.push_str(&format!("\\x{code:02x}")),
            code @ 0x100..0x10000 => out.push_str(&format!("\\u{code:04x}")),
            code => out.push_str(&format!("\\U{code:08x}")),
        }
    }
    out
}

/// The value's text for `str.format()` without a specification.
pub(crate) fn shown(state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
    to_str(state, value).map(String::from)
}
