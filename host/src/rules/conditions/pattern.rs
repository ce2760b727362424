//! Python's regular expressions on an engine whose time is linear.
//!
//! A pattern is read as Python's `re` reads it and written anew for `regex-automata`, atom by atom, so that
//! nothing reaches that engine by accident which means something else there (`\<`, `[[:alpha:]]`, `(?x)`).
//! That crate and not its front `regex`, because matching must be anchored without text around the pattern,
//! and because its memory must be known and its caches must not outlive a match.
//!
//! What needs backtracking (look-around, back-references, atomic groups, possessive repeats) is refused when
//! the rule is saved. Known difference: what counts as part of a word at
//! `\b` and `\B` is Unicode's recommendation (combining marks do, `½` does not), and not Python's.

mod translate;

use regex_automata::{
    Anchored, Input,
    meta::{Config, Regex},
    util::syntax,
};

use super::fuel::{Fuel, OutOfFuel};

/// A compiled pattern, matched at the start of a text as `re.match` does.
#[derive(Debug)]
pub(super) struct Pattern {
    regex: Regex,
    bytes: usize,
}

impl Pattern {
    /// Characters of a pattern.
    const MAX_LENGTH: usize = 1000;
    /// Bytes of one compiled pattern: several Unicode classes, repeated.
    const MAX_BYTES: usize = 256 * 1024;

    /// Compiles a Python pattern into at most so many bytes. Takes at most a few milliseconds.
    ///
    /// # Errors
    /// One sentence: what is wrong and what to do.
    pub(super) fn compile(python: &str, max_bytes: usize) -> Result<Self, String> {
        if python.chars().nth(Self::MAX_LENGTH).is_some() {
            return Err(format!(
                "The pattern is longer than {} characters; shorten it or split it over several conditions.",
                Self::MAX_LENGTH
            ));
        }
        let translated = translate::translate(python)?;
        let bytes = max_bytes.min(Self::MAX_BYTES);
        let too_large = || {
            "The compiled pattern would be too large; use fewer or smaller repetitions, and [a-z0-9] in place \
             of \\w."
                .to_owned()
        };
        if translated.cost > bytes {
            return Err(too_large());
        }
        // Only the engines whose work is bounded by pattern times text, and that need little memory of their own.
        let config = Config::new()
            .nfa_size_limit(Some(bytes))
            .hybrid(false)
            .onepass(false)
            .dfa(false);
        let regex = Regex::builder()
            .configure(config)
            .syntax(syntax::Config::new().nest_limit(translate::MAX_NESTING * 3))
            .build(&translated.pattern)
            .map_err(|e| match e.size_limit() {
                Some(_) => too_large(),
                None => "The pattern is not a valid regular expression.".to_owned(),
            })?;
        let bytes = regex.memory_usage().saturating_add(translated.cost);
        Ok(Self { regex, bytes })
    }

    /// Memory it takes, and what it took to compile as if that were memory too.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it matches at the start of the text.
    pub(super) fn is_match(&self, text: &str, fuel: &mut Fuel) -> Result<bool, OutOfFuel> {
        let states = 1 + (self.regex.memory_usage() / 128) as u64;
        fuel.spend(states.saturating_mul(text.len() as u64 + 1))?;
        let input = Input::new(text).anchored(Anchored::Yes).earliest(true);
        // A cache of its own, so that memory does not grow with the number of patterns that ever matched.
        let mut cache = self.regex.create_cache();
        Ok(self.regex.search_half_with(&mut cache, &input).is_some())
    }
}
