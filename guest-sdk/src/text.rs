//! Texts that receivers bound in length.

use std::borrow::Cow;

/// The text if it has at most `most` characters (Unicode scalar values); otherwise its beginning and `…`,
/// together `most` characters.
///
/// ```
/// assert_eq!(hookbox_guest::clip("Zürich", 6), "Zürich");
/// assert_eq!(hookbox_guest::clip("Zürich", 4), "Zür…");
/// ```
#[must_use]
pub fn clip(text: &str, most: usize) -> Cow<'_, str> {
    if text.chars().nth(most).is_none() {
        return Cow::Borrowed(text);
    }
    let kept = text.chars().take(most.saturating_sub(1));
    Cow::Owned(kept.chain((most > 0).then_some('…')).collect())
}

#[cfg(test)]
mod tests {
    use super::clip;

    #[test]
    fn the_limit_holds_for_any_length() {
        for most in 0..8 {
            assert!(clip("aäöüz", most).chars().count() <= most);
        }
        assert_eq!(clip("", 0), "");
        assert_eq!(clip("ab", 1), "…");
    }
}
