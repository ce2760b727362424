//! Filters that Jinja2 lacks and its users miss, by the names and arguments that Ansible gave them; and of
//! them Base64 and digests.

use base64::Engine;
use base64::alphabet::STANDARD as STANDARD_ALPHABET;
use base64::engine::general_purpose::{GeneralPurpose, PAD, STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use minijinja::{Error, State, Value};
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::{Filter, net, regex, time};
use crate::args::Args;
use crate::functions::holds_secret;
use crate::output::to_str;
use crate::values::{afford, wrong};

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
        apply: regex::regex_replace,
    },
    Filter {
        names: &["regex_search"],
        parameters: &[
            "regex!",
            // The groups, `regex::GROUPS` of them, which have no names.
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "*ignorecase",
            "*multiline",
        ],
        apply: regex::regex_search,
    },
    Filter {
        names: &["regex_findall"],
        parameters: &["regex!", "multiline", "ignorecase"],
        apply: regex::regex_findall,
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

/// How text becomes bytes: UTF-8, or UTF-16-LE as PowerShell's `-EncodedCommand` wants it.
enum Encoding {
    Utf8,
    Utf16,
}

fn encoding(state: &State<'_, '_>, args: &Args) -> Result<Encoding, Error> {
    let name = args.text(state, 0, "utf-8")?;
    match &*name.to_ascii_lowercase().replace('_', "-") {
        "utf-8" | "utf8" => Ok(Encoding::Utf8),
        "utf-16-le" | "utf-16le" => Ok(Encoding::Utf16),
        _ => Err(wrong(format!(
            "there is no encoding `{name}`; known are utf-8 and utf-16-le"
        ))),
    }
}

/// `b64encode(encoding='utf-8')`.
fn b64encode(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    let text = plain(state, value, "b64encode")?;
    let encoding = encoding(state, args)?;
    afford(state, text.len().saturating_mul(8))?;
    Ok(Value::from(match encoding {
        Encoding::Utf8 => STANDARD.encode(text),
        Encoding::Utf16 => {
            let units = text.encode_utf16().flat_map(u16::to_le_bytes);
            STANDARD.encode(units.collect::<Vec<u8>>())
        }
    }))
}

/// Python's `b64decode` minds neither line breaks nor the last digit's spare bits.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD_ALPHABET,
    PAD.with_decode_allow_trailing_bits(true),
);

/// `b64decode(encoding='utf-8')`.
fn b64decode(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    let mut text = plain(state, value, "b64decode")?;
    let encoding = encoding(state, args)?;
    afford(state, text.len().saturating_mul(2))?;
    text.retain(|c| !c.is_ascii_whitespace());
    let bytes = LENIENT.decode(text);
    let bytes = bytes.map_err(|e| wrong(format!("this is no Base64: {e}")))?;
    let text = match encoding {
        Encoding::Utf8 => String::from_utf8(bytes).ok(),
        Encoding::Utf16 => {
            let (units, rest) = bytes.as_chunks::<2>();
            let units: Vec<u16> = units.iter().copied().map(u16::from_le_bytes).collect();
            String::from_utf16(&units).ok().filter(|_| rest.is_empty())
        }
    };
    text.map(Value::from)
        .ok_or_else(|| wrong("the decoded bytes are no text in this encoding"))
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

/// Takes the price of some digests over so many bytes: the least is a block, and that of the longer ones
/// takes more work.
fn digesting(state: &State<'_, '_>, kind: &str, bytes: usize, digests: usize) -> Result<(), Error> {
    let block = if kind.contains("384") || kind.contains("512") {
        4096
    } else {
        1536
    };
    let bytes = bytes.saturating_mul(8);
    afford(state, bytes.saturating_add(digests.saturating_mul(block)))
}

/// `hash(hashtype='sha1')`, in hexadecimal digits.
fn hash(state: &mut State<'_, '_>, value: &Value, args: &Args) -> Result<Value, Error> {
    let text = plain(state, value, "hash")?;
    let kind = args.text(state, 0, "sha1")?;
    digesting(state, &kind, text.len(), 1)?;
    Ok(match &*kind.to_ascii_lowercase() {
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
    let kind = args.text(state, 1, "sha256")?;
    digesting(state, &kind, text.len().saturating_add(key.len()), 2)?;
    macro_rules! mac {
        ($hash:ty) => {{
            let mac = <Hmac<$hash> as KeyInit>::new_from_slice(key.as_bytes());
            let mut mac = mac.map_err(|_| wrong("this is no key"))?;
            mac.update(text.as_bytes());
            hex(&mac.finalize().into_bytes())
        }};
    }
    Ok(match &*kind.to_ascii_lowercase() {
        "md5" => mac!(Md5),
        "sha1" => mac!(Sha1),
        "sha224" => mac!(Sha224),
        "sha256" => mac!(Sha256),
        "sha384" => mac!(Sha384),
        "sha512" => mac!(Sha512),
        _ => return Err(unknown(&kind)),
    })
}
