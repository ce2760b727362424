//! The redactor: it hides the secrets of a request in the receiver's answer and in errors.

use std::{collections::HashSet, sync::Arc};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};

use super::plain::Plain;

/// Shorter texts are not hidden, as they would be found by chance.
const SHORTEST: usize = 6;

/// Hides the secrets of one request, in the plain form and in the forms in which a receiver sends them back: in a URL,
/// a JSON document, a page of HTML, or credentials. Cheap to clone.
#[derive(Clone, Default)]
pub struct Redactor {
    finder: Option<AhoCorasick>,
    forms: Arc<[Form]>,
    hides_destination: bool,
}

/// A text to look for, and its replacement.
struct Form {
    text: Vec<u8>,
    shown: String,
}

/// A place to be hidden, and the form that stands there.
struct Found {
    start: usize,
    end: usize,
    form: usize,
}

impl Redactor {
    /// A redactor for these values, by name. `hides_destination` says whether the request's destination is one of them.
    pub(super) fn new<'s>(
        secrets: impl IntoIterator<Item = (&'s str, &'s str)>,
        hides_destination: bool,
    ) -> Self {
        let mut forms: Vec<Form> = Vec::new();
        let mut known = HashSet::new();
        for (name, value) in secrets {
            for text in parts(value).into_iter().flat_map(spellings) {
                if text.len() >= SHORTEST && known.insert(text.clone()) {
                    let shown = format!("[secret:{name}]");
                    forms.push(Form { text, shown });
                }
            }
        }
        let finder = (!forms.is_empty()).then(|| {
            // The dense automaton that is chosen otherwise takes hundreds of times the bytes of its patterns.
            AhoCorasick::builder()
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .match_kind(MatchKind::LeftmostLongest)
                .build(forms.iter().map(|form| &form.text))
                .ok()
        });
        Self {
            finder: finder.flatten(),
            forms: forms.into(),
            hides_destination,
        }
    }

    /// Whether the destination is secret: host, port, address, and the names in its certificate.
    #[must_use]
    pub const fn hides_destination(&self) -> bool {
        self.hides_destination
    }

    /// The text with the secrets hidden. `is_cut` says that the text was cut off, so that it may end with a part of a
    /// secret.
    #[must_use]
    pub fn redact(&self, text: &[u8], is_cut: bool) -> Vec<u8> {
        let Some(finder) = &self.finder else {
            return text.to_vec();
        };
        let plain = Plain::of(text);
        let found = |place: &dyn Fn(usize) -> usize, m: aho_corasick::Match| Found {
            start: place(m.start()),
            end: place(m.end()),
            form: m.pattern().as_usize(),
        };
        let spelt = |at| plain.place(at);
        let mut all: Vec<Found> = finder
            .find_iter(plain.bytes())
            .map(|m| found(&spelt, m))
            .collect();
        // Also in the literal text: the characters before a secret and its first letters may together look like an
        // escape.
        let literal = text.to_ascii_lowercase();
        all.extend(finder.find_iter(&literal).map(|m| found(&|at| at, m)));
        if is_cut {
            all.extend(self.cut_off(&plain, text.len()));
        }
        self.replace(text, all)
    }

    /// [`Redactor::redact`] for text that is whole.
    #[must_use]
    pub fn redact_text(&self, text: &str) -> String {
        if self.finder.is_none() {
            return text.to_owned();
        }
        String::from_utf8_lossy(&self.redact(text.as_bytes(), false)).into_owned()
    }

    /// The part of an error on the way to the receiver that may be shown. If where that is is secret, an error of
    /// connecting is told by its kind alone, since its words are about a host, a port, an address or a certificate.
    #[must_use]
    pub fn error(&self, kind: &str, message: &str) -> String {
        if !self.hides_destination {
            return self.redact_text(message);
        }
        let what = match kind {
            "blocked" => "is blocked",
            "dns" => "has no address that can be looked up",
            "connect" => "cannot be connected to",
            "proxy" => "could not be reached by the operator's proxy",
            "tls" => "did not complete the TLS handshake, probably because of its certificate",
            _ => return self.redact_text(message),
        };
        format!(
            "the destination {what}; details are hidden, as the URL's host or port holds a secret"
        )
    }

    /// Where in a text that is cut at its end a secret begins there.
    fn cut_off(&self, plain: &Plain, end: usize) -> Option<Found> {
        let ends = [plain.bytes(), plain.without_open_escape()];
        let parts = self.forms.iter().enumerate().flat_map(|(form, known)| {
            let longest = ends.map(|text| (text.len(), begun(&known.text, text)));
            let longest = longest.into_iter().filter(|(_, part)| *part >= SHORTEST);
            longest.map(move |(length, part)| Found {
                start: plain.place(length.saturating_sub(part)),
                end,
                form,
            })
        });
        parts.min_by_key(|found| found.start)
    }

    /// The text with something else in these places. Where two overlap, the first is named and both are hidden.
    fn replace(&self, text: &[u8], mut found: Vec<Found>) -> Vec<u8> {
        found.sort_by_key(|found| (found.start, usize::MAX - found.end));
        let mut out = Vec::with_capacity(text.len());
        let mut at = 0;
        for Found { start, end, form } in found {
            if start >= at {
                out.extend_from_slice(text.get(at..start).unwrap_or_default());
                let shown = self.forms.get(form).map(|form| form.shown.as_bytes());
                out.extend_from_slice(shown.unwrap_or_default());
            }
            at = at.max(end);
        }
        out.extend_from_slice(text.get(at..).unwrap_or_default());
        out
    }
}

/// Length of the longest part of `form` that begins it, is not all of it, and ends `text`. Linear (Knuth, Morris and
/// Pratt).
fn begun(form: &[u8], text: &[u8]) -> usize {
    let tail = text.len().saturating_sub(form.len().saturating_sub(1));
    let tail = text.get(tail..).unwrap_or_default();
    let step = |borders: &[usize], mut length: usize, byte: u8| {
        while length > 0 && form.get(length) != Some(&byte) {
            length = borders.get(length - 1).copied().unwrap_or(0);
        }
        length + usize::from(form.get(length) == Some(&byte))
    };
    // Of each beginning of the form the longest proper beginning that it also ends with.
    let mut borders = Vec::with_capacity(form.len());
    let mut border = 0;
    for (at, byte) in form.iter().enumerate() {
        if at > 0 {
            border = step(&borders, border, *byte);
        }
        borders.push(border);
    }
    tail.iter()
        .fold(0, |length, byte| step(&borders, length, *byte))
}

/// The parts of a value that may come back in an answer: the whole; the value without the space around it, which a
/// header drops, such as the line break at the end of a file; and of a URL the path and the credentials, which its
/// receiver sees.
fn parts(value: &str) -> Vec<&str> {
    let trimmed = value.trim_matches([' ', '\t', '\r', '\n']);
    let mut parts = vec![value, trimmed];
    if let Some((_, rest)) = trimmed.split_once("://") {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let user = authority.rsplit_once('@').map(|(user, _)| user);
        let password = user.and_then(|user| user.split_once(':'));
        parts.extend([rest, path]);
        parts.extend(user);
        parts.extend(password.map(|(_, password)| password));
    }
    parts
}

/// The plain texts of a value that comes back, as itself or encoded.
fn spellings(value: &str) -> impl Iterator<Item = Vec<u8>> {
    // headers are sent in Latin-1
    let latin_1: Option<Vec<u8>> = value.chars().map(|c| u8::try_from(c).ok()).collect();
    let latin_1 = latin_1.into_iter().filter(|_| !value.is_ascii());
    let encoded = [
        STANDARD.encode(value),
        URL_SAFE_NO_PAD.encode(value),
        hex::encode(value),
    ];
    let texts = [value.to_owned()].into_iter().chain(encoded);
    texts.map(String::into_bytes).chain(latin_1).map(|text| {
        let mut text = Plain::of(&text).into_bytes();
        // The text after it decides whether anything is left of it.
        while text.last() == Some(&b'\\') {
            text.pop();
        }
        text
    })
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hides = if self.hides_destination {
            ", destination"
        } else {
            ""
        };
        write!(f, "Redactor([secret]{hides})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redact(secrets: &[(&str, &str)], text: &str, is_cut: bool) -> String {
        let redactor = Redactor::new(secrets.iter().copied(), false);
        String::from_utf8(redactor.redact(text.as_bytes(), is_cut)).unwrap()
    }

    #[test]
    fn a_value_that_comes_back_is_hidden_wherever_it_stands() {
        let secrets = [("token", "t0p-s3cret"), ("pin", "1234")];
        assert_eq!(
            redact(
                &secrets,
                "t0p-s3cret, Bearer t0p-s3cret; 1234 t0p-s3cre",
                false
            ),
            "[secret:token], Bearer [secret:token]; 1234 t0p-s3cre"
        );
    }

    #[test]
    fn it_is_known_in_the_spellings_of_urls_json_html_and_credentials() {
        let secrets = [("pw", "P@ss\"w/rd é1\\x")];
        for echoed in [
            "/x?k=P@ss%22w/rd%20%C3%A91%5Cx",
            "p%40ss%22w%2frd%20%c3%a91%5cx",
            "P@ss%22w%2Frd+%C3%A91%5Cx",
            r#"{"k": "P@ss\"w/rd é1\\x"}"#,
            r#"{"k": "P@ss\"w\/rd \u00e91\\x"}"#,
            r#"{"k": "P@ss\u0022w\/rd \u00E91\\x"}"#,
            r#""{\"k\": \"P@ss\\\"w\\/rd \\u00e91\\\\x\"}""#,
            r"<b>P@ss&quot;w/rd &#233;1\x</b>",
            r"P@ss&#34;w&#x2F;rd é1\x",
            "p@ss-p@ss\"w/rd é1\\x",
            "Basic UEBzcyJ3L3JkIMOpMVx4",
            "5040737322772F726420C3A9315C78",
        ] {
            let shown = redact(&secrets, echoed, false);
            assert!(shown.contains("[secret:pw]"), "{echoed}: {shown}");
        }
    }

    #[test]
    fn it_is_known_as_hookbox_itself_sends_it_in_urls_and_headers() {
        let redactor = Redactor::new([("pw", "a|b\\c^-é\n")], false);
        for echoed in [&b"/x?k=a%7Cb%5Cc%5E-%C3%A9%0A"[..], b"a|b\\c^-\xe9"] {
            let shown = redactor.redact(echoed, false);
            let shown = String::from_utf8_lossy(&shown);
            assert!(shown.ends_with("[secret:pw]"), "{shown}");
        }
    }

    #[test]
    fn what_stands_before_it_does_not_hide_it_from_us() {
        let secrets = [("one", "token-1"), ("two", "41-abcdef")];
        assert_eq!(redact(&secrets, r"C:\token-1", false), r"C:\[secret:one]");
        assert_eq!(redact(&secrets, "100%41-abcdef", false), "100%[secret:two]");
    }

    #[test]
    fn of_a_secret_url_its_receiver_sees_the_path_and_that_is_hidden_too() {
        let secrets = [("hook", "https://me:passw0rd@hooks.example/services/T0/XXXX")];
        for echoed in ["no route to /services/T0/XXXX", "hello passw0rd"] {
            let shown = redact(&secrets, echoed, false);
            assert!(shown.ends_with(" [secret:hook]"), "{shown}");
        }
    }

    #[test]
    fn the_beginning_of_a_value_at_a_cut_is_hidden_too() {
        let secrets = [("token", "t0p-s3crét")];
        for (cut, shown) in [
            ("you sent t0p-s3cr", "you sent [secret:token]"),
            ("you sent t0p-s3cr%c3", "you sent [secret:token]"),
            ("you sent t0p-s3cr%c", "you sent [secret:token]"),
            (r"you sent t0p-s3cr\u00", "you sent [secret:token]"),
            ("you sent t0p", "you sent t0p"),
            ("", ""),
        ] {
            assert_eq!(redact(&secrets, cut, true), shown);
        }
    }

    #[test]
    fn an_error_tells_neither_a_secret_nor_a_secret_place() {
        let open = Redactor::new([("token", "t0p-s3cret")], false);
        assert_eq!(
            open.error("protocol", "odd header T0P-s3cret"),
            "odd header [secret:token]"
        );
        assert_eq!(open.error("tls", "it has expired"), "it has expired");
        let secret = Redactor::new([("host", "h1dden.example")], true);
        for kind in ["blocked", "dns", "connect", "proxy", "tls"] {
            let told = secret.error(kind, "certificate of other.example, port 48213");
            assert!(!told.contains("other") && !told.contains("48213"), "{told}");
        }
        assert_eq!(secret.error("timeout", "too slow"), "too slow");
    }

    proptest! {
        #[test]
        fn how_much_of_a_form_a_text_ends_with(form in "[ab]{1,8}", text in "[ab]{0,20}") {
            let expected = (0..form.len()).rev().find(|n| text.ends_with(&form[..*n]));
            prop_assert_eq!(begun(form.as_bytes(), text.as_bytes()), expected.unwrap_or(0));
        }

        #[test]
        fn nothing_else_is_lost(text in "[a-z%\\\\&;0-9 ]{0,40}") {
            prop_assert_eq!(redact(&[("x", "SECRET-of-none")], &text, false), text);
        }
    }
}
