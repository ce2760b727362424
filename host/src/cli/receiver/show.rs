//! How a received request is printed: as NetBox's `webhook_receiver` does, and more where that is silent.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp as Instant;
use serde_json::{Value, json};

use super::{http1::Request, signature::Verdict};
use crate::{
    cli::terminal::{is_unsafe, marked_lines, one_line},
    model::Timestamp,
};

/// JSON that is nested deeper or would become longer is printed as it came: indentation can make a
/// small text very large.
const MAX_DEPTH: usize = 64;
const MAX_PRETTY_BYTES: usize = 32 * 1024 * 1024;

/// A received request and what the receiver knows of it.
#[derive(Debug)]
pub(super) struct Received<'a> {
    pub(super) number: u64,
    pub(super) at: Timestamp,
    pub(super) peer: &'a str,
    pub(super) request: &'a Request,
    pub(super) status: u16,
    /// If a secret is set.
    pub(super) signature: Option<&'a Verdict>,
}

impl Received<'_> {
    /// NetBox's lines: log line, headers, body, footer. Nothing that was received can look like one of the others: a
    /// header begins with its name, which has no space in it, JSON with its own marks, and each line of another
    /// body with `| `.
    pub(super) fn text(&self, show_headers: bool) -> String {
        let request = self.request;
        let mut out = format!(
            "[{}] {} {} \"{} {} HTTP/1.{}\" {} -\n",
            self.number,
            http_date(self.at),
            self.peer,
            one_line(&request.method),
            one_line(&request.target),
            request.version,
            self.status,
        );
        if show_headers {
            for (name, value) in &request.headers {
                let value = String::from_utf8_lossy(value);
                // As the line below begins.
                let note = if name.eq_ignore_ascii_case("signature") {
                    " (a header)"
                } else {
                    ""
                };
                let _ = writeln!(out, "{}{note}: {}", one_line(name), one_line(&value));
            }
            out.push('\n');
        }
        out.push_str(&body(request));
        if let Some(verdict) = self.signature {
            let _ = writeln!(out, "Signature: {verdict}");
        }
        let _ = write!(out, "Completed request #{}\n------------\n", self.number);
        out
    }

    /// One line of JSON, for scripts.
    pub(super) fn json(&self) -> Value {
        let headers: Vec<(&str, String)> = self
            .request
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value).into_owned()))
            .collect();
        let mut line = json!({
            "number": self.number,
            "time": self.at,
            "peer": self.peer,
            "method": self.request.method,
            "path": self.request.target,
            "headers": headers,
            "status": self.status,
            "signatures": self.signature,
        });
        let (key, text) = match std::str::from_utf8(&self.request.body) {
            Ok(text) => ("body", text.to_owned()),
            Err(_) => ("body_base64", STANDARD.encode(&self.request.body)),
        };
        if let Some(object) = line.as_object_mut() {
            object.insert(key.to_owned(), text.into());
        }
        line
    }
}

fn http_date(at: Timestamp) -> String {
    Instant::from_millisecond(at.as_millis())
        .unwrap_or(Instant::UNIX_EPOCH)
        .strftime("%a, %d %b %Y %H:%M:%S GMT")
        .to_string()
}

/// The body, ending in a line feed.
fn body(request: &Request) -> String {
    let bytes = &request.body;
    if bytes.is_empty() {
        return "(No body)\n".to_owned();
    }
    let content_type = request.header("content-type").unwrap_or_default();
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => text,
        _ => return binary(bytes, content_type),
    };
    let mut note = String::new();
    if is_json(content_type) {
        match pretty_json(text) {
            Ok(pretty) => return pretty + "\n",
            Err(why) => note = format!("({why}: printed as it came)\n"),
        }
    }
    format!("{note}{}", marked_lines(text, "| "))
}

/// Whether the media type is JSON or built on it (RFC 6839).
fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let media_type = media_type.to_ascii_lowercase();
    media_type == "application/json" || media_type == "text/json" || media_type.ends_with("+json")
}

fn binary(bytes: &[u8], content_type: &str) -> String {
    let start: Vec<String> = bytes.iter().take(32).map(|b| format!("{b:02x}")).collect();
    let more = if bytes.len() > 32 { " …" } else { "" };
    let kind = if content_type.is_empty() {
        "binary data".to_owned()
    } else {
        one_line(content_type)
    };
    format!(
        "({} bytes of {kind}: {}{more})\n",
        bytes.len(),
        start.join(" ")
    )
}

/// Lays JSON out as Python's `json.dumps(…, indent=4)` does: ASCII, one item a line. Only the layout
/// changes: numbers, key order and repeated keys stay as they were sent, which a parsed value would lose.
fn pretty_json(text: &str) -> Result<String, String> {
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map_err(|e| format!("not valid JSON: {e}"))?;
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    let mut opened = false;
    let new_line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("    ", depth));
    };
    for c in text.chars() {
        if out.len() > MAX_PRETTY_BYTES {
            return Err("this JSON becomes too long when it is indented".to_owned());
        }
        if in_string {
            push_ascii(&mut out, c);
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        if c.is_ascii_whitespace() {
            continue;
        }
        let closes = matches!(c, '}' | ']');
        if closes {
            depth = depth.saturating_sub(1);
        }
        // An empty array or object stays on its line.
        if opened != closes {
            new_line(&mut out, depth);
        }
        opened = matches!(c, '{' | '[');
        match c {
            '{' | '[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(format!(
                        "this JSON is nested deeper than {MAX_DEPTH} levels"
                    ));
                }
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            '"' => {
                in_string = true;
                out.push(c);
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

fn push_ascii(out: &mut String, c: char) {
    if c.is_ascii() && !is_unsafe(c) {
        out.push(c);
        return;
    }
    for unit in c.encode_utf16(&mut [0; 2]) {
        let _ = write!(out, "\\u{unit:04x}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn json_is_laid_out_as_python_does() {
        let pretty = pretty_json(r#"{"a":[1.50,{},[ ],{"b":"x\"{é😀"}],"c":null,"a":-1E5}"#);
        let expected = r#"{
    "a": [
        1.50,
        {},
        [],
        {
            "b": "x\"{\u00e9\ud83d\ude00"
        }
    ],
    "c": null,
    "a": -1E5
}"#;
        assert_eq!(pretty.as_deref(), Ok(expected));
    }

    #[test]
    fn json_that_would_explode_is_left_as_it_is() {
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        assert!(pretty_json(&deep).is_err_and(|e| e.contains("nested")));
        let wide = format!(
            "{}{}1{}",
            "[".repeat(60),
            "1,".repeat(1 << 20),
            "]".repeat(60)
        );
        assert!(pretty_json(&wide).is_err_and(|e| e.contains("too long")));
    }

    proptest! {
        #[test]
        fn laying_out_changes_no_value(text in "[\\PC\"\\\\]{0,20}", n: i64) {
            let value = json!({"a": [text.clone(), n, {}, []], text: {"b": [[], [n]]}});
            let pretty = pretty_json(&value.to_string()).expect("valid");
            prop_assert_eq!(serde_json::from_str::<Value>(&pretty).expect("valid"), value);
            prop_assert!(pretty.is_ascii());
        }
    }
}
