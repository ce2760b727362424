//! Filters that Jinja2 lacks and its users miss, by the names and arguments that Ansible gave them:
//! regular expressions, Base64 and digests.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use minijinja::{Error, State, Value};
use regex_lite::{Captures, Regex, RegexBuilder};
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::{Filter, net, query, time};
use crate::args::Args;
use crate::engine::to_str;
use crate::functions::holds_secret;
use crate::py::{self, afford, wrong};

pub(crate) const FILTERS: &[Filter] = &[
    Filter {
        names: &["regex_replace"],
        parameters: &[
            "pattern!",
            "replacement!",
            "ignorecase",
            "multiline",
            "count",
        ],
        apply: regex_replace,
    },
    Filter {
        names: &["regex_search"],
        parameters: &[
            "regex!",
            "group",
            "group2",
            "group3",
            "ignorecase",
            "multiline",
        ],
        apply: regex_search,
    },
    Filter {
        names: &["regex_findall"],
        parameters: &["regex!", "multiline", "ignorecase"],
        apply: regex_findall,
    },
    Filter {
        names: &["b64encode"],
        parameters: &["encoding"],
        apply: b64encode,
    },
    Filter {
        names: &["b64decode"],
        parameters: &["encoding"],
        apply: b64decode,
    },
    Filter {
        names: &["hash"],
        parameters: &["hashtype"],
        apply: hash,
    },
    Filter {
        names: &["hmac"],
        parameters: &["key!", "hashtype"],
        apply: hmac,
    },
    Filter {
        names: &["json_query"],
        parameters: &["expr!"],
        apply: query::json_query,
    },
    Filter {
        names: &["to_datetime"],
        parameters: &["format"],
        apply: time::to_datetime,
    },
    Filter {
        names: &["strftime"],
        parameters: &["second", "utc"],
        apply: time::strftime,
    },
    Filter {
        names: &["ipaddr"],
        parameters: &["query"],
        apply: net::ipaddr,
    },
];

/// The expression, compiled and paid for. Matching takes time in proportion to pattern times text.
fn regex(
    state: &State<'_, '_>,
    pattern: &str,
    text: &str,
    ignore_case: bool,
    multi_line: bool,
) -> Result<Regex, Error> {
    let steps = pattern.len().saturating_mul(8 + text.len() / 16);
    state.consume_fuel(64 + steps as u64 / 4)?;
    RegexBuilder::new(pattern)
        .case_insensitive(ignore_case)
        .multi_line(multi_line)
        .size_limit(64 << 10)
        .nest_limit(32)
        .build()
        .map_err(|e| wrong(format!("the regular expression is not valid: {e}")))
}

/// A replacement in Python's words: `\1`, `\g<1>`, `\g<name>`.
fn expand(replacement: &str, found: &Captures<'_>, out: &mut String) -> Result<(), Error> {
    let group = |name: &str| {
        let group = match name.parse::<usize>() {
            Ok(number) if number < found.len() => Ok(found.get(number)),
            Ok(number) => Err(wrong(format!("invalid group reference {number}"))),
            Err(_) => Ok(found.name(name)),
        };
        group.map(|group| group.map_or("", |group| group.as_str()))
    };
    let mut rest = replacement;
    while let Some((plain, tail)) = rest.split_once('\\') {
        out.push_str(plain);
        if let Some((name, after)) = tail
            .strip_prefix("g<")
            .and_then(|tail| tail.split_once('>'))
        {
            out.push_str(group(name)?);
            rest = after;
            continue;
        }
        let digits = tail
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(tail.len())
            .min(2);
        let (number, after) = tail.split_at(digits);
        if number.is_empty() {
            let mut chars = tail.chars();
            match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some('\\') | None => out.push('\\'),
                Some(other) => out.extend(['\\', other]),
            }
            rest = chars.as_str();
        } else {
            out.push_str(group(number)?);
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(())
}

fn regex_replace(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    let text = to_str(state, value)?;
    let (pattern, with) = (args.text(state, 0, "")?, args.text(state, 1, "")?);
    let count = usize::try_from(args.int(4, 0)?).unwrap_or(0);
    let regex = regex(
        state,
        &pattern,
        &text,
        args.flag(2, false),
        args.flag(3, false),
    )?;
    let (mut out, mut from) = (String::with_capacity(text.len()), 0);
    let most = if count == 0 { usize::MAX } else { count };
    for found in regex.captures_iter(&text).take(most) {
        let Some(whole) = found.get(0) else { break };
        out.push_str(text.get(from..whole.start()).unwrap_or_default());
        let before = out.len();
        expand(&with, &found, &mut out)?;
        afford(state, out.len() - before + 32)?;
        from = whole.end();
    }
    out.push_str(text.get(from..).unwrap_or_default());
    Ok(py::like(value, out))
}

/// The match, the list of the groups asked for, or `None`.
fn regex_search(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    let text = to_str(state, value)?;
    let pattern = args.text(state, 0, "")?;
    let regex = regex(
        state,
        &pattern,
        &text,
        args.flag(4, false),
        args.flag(5, false),
    )?;
    let Some(found) = regex.captures(&text) else {
        return Ok(Value::from(()));
    };
    let mut groups = Vec::new();
    for at in 1..=3 {
        if args.get(at).is_some() {
            let mut out = String::new();
            expand(&args.text(state, at, "")?, &found, &mut out)?;
            groups.push(Value::from(out));
        }
    }
    if groups.is_empty() {
        return Ok(Value::from(found.get(0).map_or("", |whole| whole.as_str())));
    }
    Ok(py::list(groups))
}

/// All matches: of the whole, of the one group, or of the groups as tuples.
fn regex_findall(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    let text = to_str(state, value)?;
    let pattern = args.text(state, 0, "")?;
    let regex = regex(
        state,
        &pattern,
        &text,
        args.flag(2, false),
        args.flag(1, false),
    )?;
    let mut all = Vec::new();
    for found in regex.captures_iter(&text) {
        state.consume_fuel(2)?;
        let mut groups: Vec<Value> = found
            .iter()
            .map(|group| Value::from(group.map_or("", |group| group.as_str())))
            .collect();
        let whole = groups.remove(0);
        all.push(match groups.len() {
            0 => whole,
            1 => groups.remove(0),
            _ => py::tuple(groups),
        });
    }
    Ok(py::list(all))
}

/// The text, unless it holds a secret's handle: what was made of that would not be the secret's.
fn plain(state: &State<'_, '_>, value: &Value, filter: &str) -> Result<String, Error> {
    let text = to_str(state, value)?.into_owned();
    if holds_secret(&text) {
        return Err(wrong(format!(
            "`{filter}` cannot work on a secret: templates only ever see its handle, and the value is \
             put in its place after the template has ended"
        )));
    }
    Ok(text)
}

fn b64encode(state: &mut State<'_, '_>, value: &Value, _: &Args) -> Result<Value, Error> {
    let text = plain(state, value, "b64encode")?;
    afford(state, text.len().saturating_mul(2))?;
    Ok(Value::from(STANDARD.encode(text)))
}

fn b64decode(state: &mut State<'_, '_>, value: &Value, _: &Args) -> Result<Value, Error> {
    let text = plain(state, value, "b64decode")?;
    afford(state, text.len())?;
    let bytes = STANDARD.decode(text.trim());
    let bytes = bytes.map_err(|e| wrong(format!("this is no Base64: {e}")))?;
    let text = String::from_utf8(bytes);
    text.map(Value::from)
        .map_err(|_| wrong("the decoded bytes are no UTF-8"))
}

fn hex(bytes: &[u8]) -> Value {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    Value::from(digits.collect::<String>())
}

fn unknown(kind: &str) -> Error {
    wrong(format!(
        "there is no hash `{kind}`; known are md5, sha1, sha224, sha256, sha384 and sha512"
    ))
}

/// `hash(hashtype='sha1')`, in hexadecimal digits.
fn hash(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    let text = plain(state, value, "hash")?;
    afford(state, text.len().saturating_mul(8).saturating_add(1024))?;
    let kind = args.text(state, 0, "sha1")?;
    Ok(match &*kind {
        "md5" => hex(&Md5::digest(&text)),
        "sha1" => hex(&Sha1::digest(&text)),
        "sha224" => hex(&Sha224::digest(&text)),
        "sha256" => hex(&Sha256::digest(&text)),
        "sha384" => hex(&Sha384::digest(&text)),
        "sha512" => hex(&Sha512::digest(&text)),
        _ => return Err(unknown(&kind)),
    })
}

/// `hmac(key, hashtype='sha256')`, in hexadecimal digits.
fn hmac(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    let text = plain(state, value, "hmac")?;
    let key = plain(state, &args.value(0), "hmac")?;
    afford(state, text.len().saturating_mul(8).saturating_add(4096))?;
    let kind = args.text(state, 1, "sha256")?;
    macro_rules! mac {
        ($hash:ty) => {{
            let mac = <Hmac<$hash> as KeyInit>::new_from_slice(key.as_bytes());
            let mut mac = mac.map_err(|_| wrong("this is no key"))?;
            mac.update(text.as_bytes());
            hex(&mac.finalize().into_bytes())
        }};
    }
    Ok(match &*kind {
        "md5" => mac!(Md5),
        "sha1" => mac!(Sha1),
        "sha224" => mac!(Sha224),
        "sha256" => mac!(Sha256),
        "sha384" => mac!(Sha384),
        "sha512" => mac!(Sha512),
        _ => return Err(unknown(&kind)),
    })
}
