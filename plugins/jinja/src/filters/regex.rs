//! `regex_replace`, `regex_search` and `regex_findall`, by Ansible's names and arguments.
//!
//! Matches are found where Python's `re` finds them, in the language of `regex-lite`, which takes time in
//! proportion to the text whatever the expression is: without look-around and references back.

use minijinja::{Error, ErrorKind, State, Value};
use regex_lite::{Captures, Regex, RegexBuilder};

use super::pattern::{live, translate};
use crate::args::Args;
use crate::limits;
use crate::output::to_str;
use crate::values::{self, afford, wrong};

/// More states than an expression within the library's limit of size has.
const MOST_STATES: usize = 4096;

/// The expression, compiled and paid for. Matching takes time in proportion to the text times the states
/// of the expression that may be live at once, see [`live`].
fn compile(
    state: &State<'_, '_>,
    pattern: &str,
    text: &str,
    ignore_case: bool,
    multi_line: bool,
) -> Result<Regex, Error> {
    state.consume_fuel(24 + pattern.len() as u64 + text.len() as u64 / 16)?;
    // With `x` in its flags, an expression has comments and spaces that mean nothing.
    let verbose = pattern.split("(?").skip(1).any(|flags| {
        let mut flags = flags
            .chars()
            .take_while(|&c| c.is_ascii_alphabetic() || c == '-');
        flags.any(|c| c == 'x')
    });
    let expression = if verbose {
        pattern.to_owned()
    } else {
        translate(pattern, text, ignore_case)
    };
    let live = live(&expression);
    state.consume_fuel(live.min(MOST_STATES) as u64)?;
    let regex = RegexBuilder::new(&expression)
        .case_insensitive(ignore_case)
        .multi_line(multi_line)
        .size_limit(64 << 10)
        .nest_limit(32)
        .build()
        .map_err(|e| wrong(format!("the regular expression is not valid: {e}")))?;
    let matching = text.len().saturating_mul(live.saturating_add(2)) / 2;
    state.consume_fuel(matching as u64).map_err(|_| {
        let message = "matching this regular expression against a text of this length needs more work than \
                       one render may cost; make one of them shorter";
        Error::new(ErrorKind::OutOfFuel, message)
    })?;
    Ok(regex)
}

/// The matches one after the other. As in Python, an empty one may follow right after one that is not,
/// which the library's own iterator leaves out.
fn matches<'t>(regex: &Regex, text: &'t str) -> impl Iterator<Item = Captures<'t>> {
    let mut from = Some(0);
    std::iter::from_fn(move || {
        let found = regex.captures_at(text, from?)?;
        let whole = found.get(0)?;
        from = if whole.is_empty() {
            let next = text.get(whole.end()..).and_then(|rest| rest.chars().next());
            next.map(|c| whole.end() + c.len_utf8())
        } else {
            Some(whole.end())
        };
        Some(found)
    })
}

/// The number of the group of this name or number.
fn group(regex: &Regex, name: &str) -> Result<usize, Error> {
    let found = match name.parse::<usize>() {
        Ok(number) => Some(number).filter(|&number| number < regex.captures_len()),
        Err(_) => regex.capture_names().position(|known| known == Some(name)),
    };
    found.ok_or_else(|| wrong(format!("the regular expression has no group `{name}`")))
}

/// A part of a replacement.
enum Part<'r> {
    Text(&'r str),
    Group(usize),
}

/// A replacement in Python's words: `\1`, `\g<1>`, `\g<name>`, and the escapes of text.
fn replacement<'r>(regex: &Regex, with: &'r str) -> Result<Vec<Part<'r>>, Error> {
    let mut parts = Vec::new();
    let mut rest = with;
    while let Some(at) = rest.find('\\') {
        let (plain, escape) = rest.split_at(at);
        let tail = escape.get(1..).unwrap_or_default();
        parts.push(Part::Text(plain));
        let digits = tail
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(tail.len())
            .min(2);
        if digits > 0 {
            let (number, after) = tail.split_at(digits);
            let octal = |digits: &str| digits.bytes().all(|b| matches!(b, b'0'..=b'7'));
            if number.starts_with('0') || tail.get(..3).is_some_and(octal) {
                return Err(wrong(
                    "a character by its octal code, such as `\\0`, is not supported; the whole match is `\\g<0>`",
                ));
            }
            parts.push(Part::Group(group(regex, number)?));
            rest = after;
            continue;
        }
        let mut chars = tail.chars();
        parts.push(match chars.next() {
            Some('g') => {
                let name = tail
                    .strip_prefix("g<")
                    .and_then(|name| name.split_once('>'));
                let (name, after) =
                    name.ok_or_else(|| wrong("after `\\g` stands the group: `\\g<1>`"))?;
                chars = after.chars();
                Part::Group(group(regex, name)?)
            }
            Some('a') => Part::Text("\x07"),
            Some('b') => Part::Text("\x08"),
            Some('f') => Part::Text("\x0c"),
            Some('n') => Part::Text("\n"),
            Some('r') => Part::Text("\r"),
            Some('t') => Part::Text("\t"),
            Some('v') => Part::Text("\x0b"),
            Some('\\') => Part::Text("\\"),
            None => return Err(wrong("the replacement ends in a single `\\`")),
            Some(c) if c.is_ascii_alphabetic() => {
                return Err(wrong(format!("the replacement has a bad escape `\\{c}`")));
            }
            Some(c) => Part::Text(escape.get(..1 + c.len_utf8()).unwrap_or_default()),
        });
        rest = chars.as_str();
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

/// `regex_replace(pattern, replacement, ignorecase=False, multiline=False, count=0)`.
///
/// # Errors
/// As [`compile`], and if the replacement is none of Python's or names a group that is not there.
pub(super) fn regex_replace(
    state: &mut State<'_, '_>,
    value: &Value,
    args: &Args,
) -> Result<Value, Error> {
    let text = to_str(state, value)?;
    let (pattern, with) = (args.text(state, 0, "")?, args.text(state, 1, "")?);
    let (ignore_case, multi_line) = (args.flag(2, false), args.flag(3, false));
    let most = match args.int(4, 0)? {
        0 => usize::MAX,
        count => usize::try_from(count).unwrap_or(0),
    };
    let regex = compile(state, &pattern, &text, ignore_case, multi_line)?;
    let parts = replacement(&regex, &with)?;
    let (mut out, mut from) = (String::with_capacity(text.len()), 0);
    for found in matches(&regex, &text).take(most) {
        let Some(whole) = found.get(0) else { break };
        out.push_str(text.get(from..whole.start()).unwrap_or_default());
        let before = out.len();
        for part in &parts {
            out.push_str(match *part {
                Part::Text(text) => text,
                Part::Group(at) => found.get(at).map_or("", |group| group.as_str()),
            });
        }
        afford(state, (out.len() - before).saturating_add(128))?;
        from = whole.end();
    }
    out.push_str(text.get(from..).unwrap_or_default());
    // As in Python, it is safe no longer, whatever the value was.
    Ok(Value::from(out))
}

/// The groups that [`regex_search`] can be asked for, as arguments without names.
pub(super) const GROUPS: usize = 9;

/// `regex_search(regex, *groups, ignorecase=False, multiline=False)`: the match, or the list of the groups
/// asked for (`'\\1'`, `'\\g<name>'`), or `None`.
///
/// # Errors
/// As [`compile`], and if there is no such group.
pub(super) fn regex_search(
    state: &mut State<'_, '_>,
    value: &Value,
    args: &Args,
) -> Result<Value, Error> {
    let text = to_str(state, value)?;
    let pattern = args.text(state, 0, "")?;
    let (ignore_case, multi_line) = (args.flag(GROUPS + 1, false), args.flag(GROUPS + 2, false));
    let regex = compile(state, &pattern, &text, ignore_case, multi_line)?;
    let mut wanted = Vec::new();
    for at in (1..=GROUPS).filter(|&at| args.get(at).is_some()) {
        let asked = args.text(state, at, "")?;
        let name = match asked.strip_prefix("\\g<") {
            Some(name) => name.strip_suffix('>'),
            None => asked
                .strip_prefix('\\')
                .filter(|name| name.bytes().all(|b| b.is_ascii_digit())),
        };
        wanted.push(name.map(str::to_owned).ok_or_else(|| {
            wrong("a group is asked for as '\\\\1' or '\\\\g<name>', after the expression")
        })?);
    }
    let Some(found) = regex.captures(&text) else {
        return Ok(Value::from(()));
    };
    let part = |at: usize| found.get(at).map(|group| Value::from(group.as_str()));
    if wanted.is_empty() {
        return Ok(part(0).unwrap_or_default());
    }
    let groups = wanted
        .iter()
        .map(|name| Ok(part(group(&regex, name)?).unwrap_or_else(|| Value::from(()))));
    Ok(values::list(groups.collect::<Result<_, Error>>()?))
}

/// `regex_findall(regex, multiline=False, ignorecase=False)`: all matches, of the whole, of the one group,
/// or of the groups as tuples.
///
/// # Errors
/// As [`compile`].
pub(super) fn regex_findall(
    state: &mut State<'_, '_>,
    value: &Value,
    args: &Args,
) -> Result<Value, Error> {
    let text = to_str(state, value)?;
    let pattern = args.text(state, 0, "")?;
    let (ignore_case, multi_line) = (args.flag(2, false), args.flag(1, false));
    let regex = compile(state, &pattern, &text, ignore_case, multi_line)?;
    let mut all = Vec::new();
    for found in matches(&regex, &text) {
        state.consume_fuel(limits::CALL + 2 * found.len() as u64)?;
        let mut groups: Vec<Value> = found
            .iter()
            .map(|group| Value::from(group.map_or("", |group| group.as_str())))
            .collect();
        let whole = groups.remove(0);
        all.push(match groups.len() {
            0 => whole,
            1 => groups.remove(0),
            _ => values::tuple(groups),
        });
    }
    Ok(values::list(all))
}
