//! Hiding, in what a receiver answers, the secrets that it was sent.

use aho_corasick::{AhoCorasick, MatchKind};
use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use super::url::quote;

/// Shorter texts are left, as they would be found by chance.
const SHORTEST: usize = 6;

/// What the URL standard encodes in a query.
const QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'\'');
/// And in a path.
const PATH: &AsciiSet = &QUERY
    .remove(b'\'')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'^');

/// Knows the secrets that one request carries, as they are and as they come back from a receiver that
/// echoes a URL, a JSON document or credentials.
#[derive(Clone, Default)]
pub struct Redactor {
    finder: Option<AhoCorasick>,
    /// What is looked for, and what is put in its place.
    forms: Vec<(Vec<u8>, String)>,
}

impl Redactor {
    /// Hides these values, by name.
    pub(super) fn new<'s>(secrets: impl IntoIterator<Item = (&'s str, &'s str)>) -> Self {
        let mut forms: Vec<(Vec<u8>, String)> = Vec::new();
        for (name, value) in secrets {
            for form in parts(value).into_iter().flat_map(spellings) {
                if form.len() >= SHORTEST && !forms.iter().any(|(known, _)| *known == form) {
                    forms.push((form, format!("[secret:{name}]")));
                }
            }
        }
        let finder = (!forms.is_empty()).then(|| {
            AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .build(forms.iter().map(|(form, _)| form))
                .ok()
        });
        Self {
            finder: finder.flatten(),
            forms,
        }
    }

    /// The text with the secrets hidden. `is_cut` says that the text ends where it does because no more was
    /// read, so that a secret may stand there in part.
    #[must_use]
    pub fn redact(&self, text: &[u8], is_cut: bool) -> Vec<u8> {
        let Some(finder) = &self.finder else {
            return text.to_vec();
        };
        let shown: Vec<&str> = self.forms.iter().map(|(_, shown)| shown.as_str()).collect();
        let mut clean = finder.replace_all_bytes(text, &shown);
        if is_cut {
            let longest = self
                .forms
                .iter()
                .filter_map(|(form, shown)| {
                    let lengths = (SHORTEST..form.len().min(clean.len() + 1)).rev();
                    let part = |n: &usize| form.get(..*n).is_some_and(|part| clean.ends_with(part));
                    Some((lengths.into_iter().find(part)?, shown))
                })
                .max_by_key(|(length, _)| *length);
            if let Some((length, shown)) = longest {
                clean.truncate(clean.len().saturating_sub(length));
                clean.extend_from_slice(shown.as_bytes());
            }
        }
        clean
    }
}

/// What of a value may come back: all of it; what is left in a header, where the space around it goes, such as
/// the line break that ends a file; and of a URL what its receiver sees, path and credentials.
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

/// A value as it stands in bodies, URLs, JSON, credentials and headers.
fn spellings(value: &str) -> impl Iterator<Item = Vec<u8>> {
    let json = serde_json::Value::from(value).to_string();
    let json = json
        .strip_prefix('"')
        .and_then(|json| json.strip_suffix('"'))
        .unwrap_or(value);
    let quoted = quote(value);
    let texts = [
        value.to_owned(),
        utf8_percent_encode(value, QUERY).to_string(),
        utf8_percent_encode(value, PATH).to_string(),
        utf8_percent_encode(value, NON_ALPHANUMERIC).to_string(),
        utf8_percent_encode(&quoted, QUERY).to_string(),
        utf8_percent_encode(&quoted, PATH).to_string(),
        json.to_owned(),
        STANDARD.encode(value),
    ];
    // headers are sent in Latin-1
    let latin_1: Option<Vec<u8>> = value.chars().map(|c| u8::try_from(c).ok()).collect();
    texts.into_iter().map(String::into_bytes).chain(latin_1)
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} [secret])", self.forms.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redact(secrets: &[(&str, &str)], text: &str, is_cut: bool) -> String {
        let redactor = Redactor::new(secrets.iter().copied());
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
    fn it_is_known_in_the_spellings_of_urls_json_and_credentials() {
        let secrets = [("pw", "p@ss\"w/rd é1")];
        for echoed in [
            "/x?k=p@ss%22w/rd%20%C3%A91",
            "p%40ss%22w%2Frd%20%C3%A91",
            r#"{"k": "p@ss\"w/rd é1"}"#,
            "Basic cEBzcyJ3L3JkIMOpMQ==",
        ] {
            let shown = redact(&secrets, echoed, false);
            assert!(shown.contains("[secret:pw]"), "{echoed}: {shown}");
        }
    }

    #[test]
    fn it_is_known_as_hookbox_itself_sends_it_in_urls_and_headers() {
        let redactor = Redactor::new([("pw", "a|b\\c^-é\n")]);
        for echoed in [&b"/x?k=a%7Cb%5Cc%5E-%C3%A9%0A"[..], b"a|b\\c^-\xe9"] {
            let shown = redactor.redact(echoed, false);
            let shown = String::from_utf8_lossy(&shown);
            assert!(shown.ends_with("[secret:pw]"), "{shown}");
        }
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
        let secrets = [("token", "t0p-s3cret")];
        assert_eq!(
            redact(&secrets, "you sent t0p-s3cr", true),
            "you sent [secret:token]"
        );
        assert_eq!(redact(&secrets, "you sent t0p", true), "you sent t0p");
        assert_eq!(redact(&secrets, "", true), "");
    }
}
