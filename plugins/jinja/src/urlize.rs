//! `urlize`: links for what looks like a URL or a mail address.

use minijinja::{Error, State, Value};

use crate::args::Args;
use crate::filters::html::{escape_text, escaped, markup};
use crate::limits;
use crate::output::to_str;
use crate::values::{self, is_space, wrong};

/// `urlize(trim_url_limit, nofollow, target, rel, extra_schemes)`.
pub(crate) fn urlize(
    state: &mut State<'_, '_>,
    value: &Value,
    args: &Args,
) -> Result<Value, Error> {
    let limit = args.some(0).map(values::index).transpose()?;
    let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(0));
    let mut rel: Vec<String> = match args.some(3) {
        Some(_) => args
            .text(state, 3, "")?
            .split_whitespace()
            .map(String::from)
            .collect(),
        None => Vec::new(),
    };
    if args.flag(1, false) {
        rel.push("nofollow".to_owned());
    }
    rel.push("noopener".to_owned());
    rel.sort();
    rel.dedup();
    let mut attributes = format!(" rel=\"{}\"", escape_text(&rel.join(" ")));
    if let Some(target) = args.some(2).filter(|target| target.is_true()) {
        attributes.push_str(&format!(" target=\"{}\"", escaped(state, target)?));
    }
    let mut schemes = Vec::new();
    if let Some(extra) = args.some(4) {
        for scheme in values::items(state, extra)? {
            let scheme = to_str(state, &scheme)?.into_owned();
            if !is_scheme(&scheme) {
                return Err(wrong(format!(
                    "{scheme:?} is not a valid URI scheme prefix."
                )));
            }
            schemes.push(scheme);
        }
    }
    let link = Link {
        limit,
        attributes,
        schemes,
    };
    let text = escaped(state, value)?;
    state.consume_fuel(2 * limits::CALL)?;
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let end = rest.find(is_space).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        state.consume_fuel(2 * limits::CALL + word.len() as u64)?;
        link.word(word, &mut out);
        let space = tail.find(|c| !is_space(c)).unwrap_or(tail.len());
        let (space, after) = tail.split_at(space);
        out.push_str(space);
        rest = after;
    }
    Ok(markup(state, out))
}

fn is_scheme(text: &str) -> bool {
    let Some((name, slashes)) = text.split_once(':') else {
        return false;
    };
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '+' | '-');
    name.chars().count() >= 2 && name.chars().all(part) && matches!(slashes, "" | "/" | "//")
}

struct Link {
    limit: Option<usize>,
    attributes: String,
    schemes: Vec<String>,
}

impl Link {
    /// A word with what stands around it, the way Jinja2 takes them apart.
    fn word(&self, word: &str, out: &mut String) {
        let mut middle = word;
        while let Some(after) = ["(", "<", "&lt;"]
            .iter()
            .find_map(|mark| middle.strip_prefix(mark))
        {
            middle = after;
        }
        out.push_str(word.strip_suffix(middle).unwrap_or_default());
        let trimmed = middle;
        while let Some(before) = [")", ">", ".", ",", "\n", "&gt;"]
            .iter()
            .find_map(|mark| middle.strip_suffix(mark))
        {
            middle = before;
        }
        let mut end = middle.len();
        for (open, close) in [("(", ")"), ("<", ">"), ("&lt;", "&gt;")] {
            let within = trimmed.get(..end).unwrap_or_default();
            let opened = within.matches(open).count();
            if opened <= within.matches(close).count() {
                continue;
            }
            let tail = trimmed.get(end..).unwrap_or_default();
            for _ in 0..opened.min(tail.matches(close).count()) {
                let tail = trimmed.get(end..).unwrap_or_default();
                end += tail.find(close).map_or(0, |at| at + close.len());
            }
        }
        let (middle, tail) = trimmed.split_at(end);
        self.link(middle, out);
        out.push_str(tail);
    }

    fn link(&self, text: &str, out: &mut String) {
        let attributes = &self.attributes;
        let mail = text.strip_prefix("mailto:");
        if is_url(text) {
            let web = text.starts_with("https://") || text.starts_with("http://");
            let scheme = if web { "" } else { "https://" };
            let shown = match self.limit.and_then(|most| text.char_indices().nth(most)) {
                Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
                None => text.to_owned(),
            };
            out.push_str(&format!(
                "<a href=\"{scheme}{text}\"{attributes}>{shown}</a>"
            ));
        } else if let Some(address) = mail.filter(|address| is_mail(address)) {
            out.push_str(&format!("<a href=\"{text}\">{address}</a>"));
        } else if !text.starts_with("www.") && !text.contains(':') && is_mail(text) {
            out.push_str(&format!("<a href=\"mailto:{text}\">{text}</a>"));
        } else if self
            .schemes
            .iter()
            .any(|s| text != s && text.starts_with(s.as_str()))
        {
            out.push_str(&format!("<a href=\"{text}\"{attributes}>{text}</a>"));
        } else {
            out.push_str(text);
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// `^\S+@\w[\w.-]*\.\w+$`
fn is_mail(text: &str) -> bool {
    let Some((name, host)) = text.rsplit_once('@') else {
        return false;
    };
    let Some((before, last)) = host.rsplit_once('.') else {
        return false;
    };
    !name.is_empty()
        && before.starts_with(is_word)
        && before.chars().all(|c| is_word(c) || matches!(c, '.' | '-'))
        && !last.is_empty()
        && last.chars().all(is_word)
}

/// What Jinja2 takes for a URL: a host with a scheme, `www.`, or a well-known last label, then perhaps a
/// port and a path.
fn is_url(text: &str) -> bool {
    let lower = text.to_lowercase();
    let scheme = ["https://", "http://"]
        .iter()
        .find_map(|scheme| lower.strip_prefix(scheme));
    let host = scheme
        .or_else(|| lower.strip_prefix("www."))
        .unwrap_or(&lower);
    let bracket = host.starts_with('[');
    let end = match host.find(']') {
        Some(at) if bracket => at + 1,
        _ => host.find(['/', '?', '#', ':']).unwrap_or(host.len()),
    };
    let (host, after) = host.split_at(end);
    if !ends_well(after) {
        return false;
    }
    if scheme.is_some() && (is_ipv6(host) || is_ipv4(host)) {
        return true;
    }
    let (before, last) = host.rsplit_once('.').unwrap_or(("", host));
    let label = |least: usize| {
        move |label: &str| {
            label.chars().count() >= least
                && label.chars().all(|c| is_word(c) || matches!(c, '%' | '-'))
        }
    };
    let with_mark = scheme.is_some() || lower.starts_with("www.");
    if with_mark && (before.is_empty() || before.split('.').all(label(1))) {
        let letters = last.chars().all(|c| c.is_ascii_lowercase());
        let plain = letters && (2..=63).contains(&last.len());
        let punycode = last.strip_prefix("xn--").is_some_and(|rest| {
            (2..=59).contains(&rest.chars().count()) && rest.chars().all(|c| is_word(c) || c == '%')
        });
        if (plain || punycode) && !host.starts_with('.') {
            return true;
        }
    }
    let known = ["com", "net", "int", "edu", "gov", "org", "info", "mil"].contains(&last);
    let whole = lower.strip_suffix(after).unwrap_or(&lower);
    let whole = whole.rsplit_once('.').map_or("", |(before, _)| before);
    known && !whole.is_empty() && whole.split('.').all(label(2))
}

/// A port and a path, or nothing.
fn ends_well(text: &str) -> bool {
    let text = match text.strip_prefix(':') {
        Some(rest) => {
            let digits = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            if !(1..=5).contains(&digits) {
                return false;
            }
            rest.get(digits..).unwrap_or_default()
        }
        None => text,
    };
    text.is_empty() || text.starts_with(['/', '?', '#'])
}

fn is_ipv4(host: &str) -> bool {
    let part =
        |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    host.split('.').count() == 4 && host.split('.').all(part)
}

fn is_ipv6(host: &str) -> bool {
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    inner.is_some_and(|inner| {
        inner.matches(':').count() >= 2
            && inner.split(':').count() <= 9
            && inner
                .split(':')
                .all(|part| part.len() <= 4 && part.bytes().all(|b| b.is_ascii_hexdigit()))
    })
}
