//! Putting secret values where their handles stand.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use crate::model::Secret;

/// The values of the handles that one guest was given.
#[derive(Default)]
pub struct SecretValues {
    entries: HashMap<Vec<u8>, Entry>,
    /// The lengths that handles have, longest first, so that a handle is not mistaken for another one
    /// that it starts with.
    lengths: Vec<usize>,
    /// The prefix of all handles. The scan looks for it before it looks anything up.
    prefix: Vec<u8>,
    stand_ins: bool,
}

struct Entry {
    name: String,
    value: Secret,
}

/// A text with secrets in it, in both its forms.
pub(super) struct Substituted {
    /// As it is sent.
    pub(super) value: Vec<u8>,
    /// As it may be shown.
    pub(super) shown: Vec<u8>,
}

/// The text would be longer than allowed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OverLimit;

impl SecretValues {
    /// Makes them from handle, name and value of each. A handle consists of ASCII letters, digits and `_`. Other
    /// handles and empty ones are ignored, since they could not be distinguished from the text around them.
    pub fn new(secrets: impl IntoIterator<Item = (String, String, Secret)>) -> Self {
        let mut new = Self::default();
        for (handle, name, value) in secrets {
            let handle = handle.into_bytes();
            let is_handle = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
            if handle.is_empty() || !handle.iter().all(is_handle) {
                continue;
            }
            if new.entries.is_empty() {
                new.prefix.clone_from(&handle);
            } else {
                let common = handle.iter().zip(&new.prefix).take_while(|(a, b)| a == b);
                let common = common.count();
                new.prefix.truncate(common);
            }
            new.lengths.push(handle.len());
            new.entries.insert(handle, Entry { name, value });
        }
        new.lengths.sort_unstable_by(|a, b| b.cmp(a));
        new.lengths.dedup();
        new
    }

    /// The same for values that are not the true ones: where they would make up the place that a URL goes to,
    /// nothing is judged by them.
    #[must_use]
    pub fn of_stand_ins(self) -> Self {
        Self {
            stand_ins: true,
            ..self
        }
    }

    /// Whether these are not the true values.
    pub(super) const fn are_stand_ins(&self) -> bool {
        self.stand_ins
    }

    /// Whether a handle stands in this text.
    pub(super) fn stand_in(&self, text: impl AsRef<[u8]>) -> bool {
        self.split_at_handle(text.as_ref()).is_some()
    }

    /// Both forms of `text`, or nothing if it holds no handle. One pass: inserted values are not looked
    /// at again. Takes time linear in the text, whatever the number of secrets.
    ///
    /// # Errors
    /// When the sent form would exceed `limit` bytes; no more than that is ever built.
    pub(super) fn substitute(
        &self,
        text: &[u8],
        limit: usize,
    ) -> Result<Option<Substituted>, OverLimit> {
        let mut rest = text;
        let mut out: Option<Substituted> = None;
        while let Some((before, entry, after)) = self.split_at_handle(rest) {
            let out = out.get_or_insert_with(|| Substituted {
                value: Vec::with_capacity(text.len()),
                shown: Vec::with_capacity(text.len()),
            });
            let value = entry.value.expose().as_bytes();
            if out.value.len() + before.len() + value.len() > limit {
                return Err(OverLimit);
            }
            out.value.extend_from_slice(before);
            out.value.extend_from_slice(value);
            out.shown.extend_from_slice(before);
            out.shown.extend_from_slice(b"[secret:");
            out.shown.extend_from_slice(entry.name.as_bytes());
            out.shown.push(b']');
            rest = after;
        }
        if let Some(out) = &mut out {
            if out.value.len() + rest.len() > limit {
                return Err(OverLimit);
            }
            out.value.extend_from_slice(rest);
            out.shown.extend_from_slice(rest);
        }
        Ok(out)
    }

    /// [`SecretValues::substitute`] for text: its sent and its shown form.
    pub(crate) fn substitute_text(
        &self,
        text: &str,
        limit: usize,
    ) -> Result<Option<(String, String)>, OverLimit> {
        let substituted = self.substitute(text.as_bytes(), limit)?;
        // Handles are ASCII, so what is cut out and put in is whole characters: lossy loses nothing.
        let text = |bytes: Vec<u8>| {
            String::from_utf8(bytes)
                .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
        };
        Ok(substituted.map(|s| (text(s.value), text(s.shown))))
    }

    /// The names and values whose handles stand in any of these texts.
    pub(super) fn placed<'s>(
        &'s self,
        texts: impl IntoIterator<Item = &'s [u8]>,
    ) -> BTreeMap<&'s str, &'s str> {
        let mut placed = BTreeMap::new();
        for mut rest in texts {
            while let Some((_, entry, after)) = self.split_at_handle(rest) {
                placed.insert(entry.name.as_str(), entry.value.expose());
                rest = after;
            }
        }
        placed
    }

    /// The text before the first handle, the handle's entry, and the text after it.
    fn split_at_handle<'t>(&self, text: &'t [u8]) -> Option<(&'t [u8], &Entry, &'t [u8])> {
        if self.entries.is_empty() {
            return None;
        }
        let mut at = 0;
        loop {
            let rest = text.get(at..)?;
            at += match self.prefix.first() {
                Some(first) => rest.iter().position(|b| b == first)?,
                None if rest.is_empty() => return None,
                None => 0,
            };
            let rest = text.get(at..)?;
            if rest.starts_with(&self.prefix) {
                for &length in &self.lengths {
                    let handle = rest.split_at_checked(length);
                    if let Some((handle, after)) = handle
                        && let Some(entry) = self.entries.get(handle)
                    {
                        return Some((text.get(..at)?, entry, after));
                    }
                }
            }
            at += 1;
        }
    }
}

impl fmt::Debug for SecretValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretValues({} [secret])", self.entries.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(secrets: &[(&str, &str, &str)]) -> SecretValues {
        SecretValues::new(
            secrets
                .iter()
                .map(|(h, n, v)| ((*h).to_owned(), (*n).to_owned(), Secret::new(*v))),
        )
    }

    #[test]
    fn inserted_values_are_not_scanned_again() {
        let values = values(&[("hbs_a1", "one", "hbs_b2"), ("hbs_b2", "two", "x")]);
        let (value, shown) = values
            .substitute_text("hbs_a1hbs_b2", 100)
            .unwrap()
            .unwrap();
        assert_eq!(value, "hbs_b2x");
        assert_eq!(shown, "[secret:one][secret:two]");
    }

    #[test]
    fn the_longest_handle_wins() {
        let values = values(&[("hbs_1", "short", "s"), ("hbs_12", "long", "l")]);
        let (value, _) = values
            .substitute_text("hbs_12hbs_13", 100)
            .unwrap()
            .unwrap();
        assert_eq!(value, "ls3");
    }

    #[test]
    fn handles_need_nothing_in_common() {
        let values = values(&[("a1", "one", "X"), ("b2", "two", "Y")]);
        let (value, _) = values.substitute_text("a1-b2-", 100).unwrap().unwrap();
        assert_eq!(value, "X-Y-");
        assert!(values.substitute_text("a2b1", 100).unwrap().is_none());
    }

    #[test]
    fn growth_stops_at_the_limit() {
        let long = "v".repeat(1000);
        let values = values(&[("hbs_1", "s", &long)]);
        assert!(values.substitute_text(&"hbs_1".repeat(10), 9_999).is_err());
        assert!(values.substitute_text(&"hbs_1".repeat(10), 10_000).is_ok());
    }

    #[test]
    fn debug_shows_neither_values_nor_handles() {
        let shown = format!("{:?}", values(&[("hbs_1", "s", "top")]));
        assert!(
            !shown.contains("top") && !shown.contains("hbs_1"),
            "{shown}"
        );
    }

    proptest! {
        #[test]
        fn substitution_is_plain_replacement(parts in proptest::collection::vec("[a-z]{0,3}|hbs_[12]|hbs_|é", 0..20)) {
            let values = values(&[("hbs_1", "one", "A"), ("hbs_2", "two", "")]);
            let text = parts.concat();
            let expected = text.replace("hbs_1", "A").replace("hbs_2", "");
            let sent = values.substitute_text(&text, 1000).unwrap().map_or(text, |(value, _)| value);
            prop_assert_eq!(sent, expected);
        }
    }
}
