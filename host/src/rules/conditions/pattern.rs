//! Python's regular expressions on an engine whose time is linear.
//!
//! A pattern is read as Python's `re` reads it and written anew for `regex-automata`, atom by atom, so that
//! nothing reaches that engine by accident which means something else there (`\<`, `[[:alpha:]]`, `(?x)`).
//! That crate is used directly and not through `regex`, because matching must be anchored without text around the
//! pattern, its memory must be known, and its caches must not outlive a match.
//!
//! Patterns that need backtracking (look-around, back-references, atomic groups, possessive repeats) are refused when
//! the rule is saved. One difference is known: at `\b` and `\B`, a character belongs to a word as Unicode recommends
//! (combining marks do, `½` does not), and not as in Python.

mod translate;

use regex_automata::{
    Anchored, Input,
    meta::{Config, Regex},
    util::syntax,
};
use regex_syntax::hir::{Class, Hir, HirKind};

use super::fuel::{Fuel, OutOfFuel};

/// A compiled pattern, matched at the start of a text as `re.match` does.
#[derive(Debug)]
pub(super) struct Pattern {
    regex: Regex,
    bytes: usize,
    /// Maximum work for each byte of a text, in units of fuel.
    width: u64,
}

impl Pattern {
    /// Characters of a pattern.
    const MAX_LENGTH: usize = 1000;
    /// Bytes of one compiled pattern: several Unicode classes, repeated.
    const MAX_BYTES: usize = 256 * 1024;

    /// Compiles a Python pattern into at most so many bytes. Takes at most a few milliseconds.
    ///
    /// # Errors
    /// The error and its remedy, in one sentence.
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
        let invalid = || "The pattern is not a valid regular expression.".to_owned();
        let syntax = syntax::Config::new().nest_limit(translate::MAX_NESTING * 3);
        let hir = syntax::parse_with(&translated.pattern, &syntax).map_err(|_| invalid())?;
        let regex = Regex::builder()
            .configure(config)
            .build_from_hir(&hir)
            .map_err(|e| match e.size_limit() {
                Some(_) => too_large(),
                None => invalid(),
            })?;
        let bytes = regex.memory_usage().saturating_add(translated.cost);
        let width = width(&hir);
        Ok(Self {
            regex,
            bytes,
            width,
        })
    }

    /// Memory that it takes, plus the work of compiling it, which is charged as memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it matches at the start of the text.
    pub(super) fn is_match(&self, text: &str, fuel: &mut Fuel) -> Result<bool, OutOfFuel> {
        // The cache is as large as the pattern is.
        let cache = (self.regex.memory_usage() / 256) as u64;
        let steps = self.width.saturating_mul(text.len() as u64 + 1);
        fuel.spend(cache.saturating_add(steps))?;
        let input = Input::new(text).anchored(Anchored::Yes).earliest(true);
        // A cache of its own, so that memory does not grow with the number of patterns that ever matched.
        let mut cache = self.regex.create_cache();
        Ok(self.regex.search_half_with(&mut cache, &input).is_some())
    }
}

/// A bound on the work for one byte of text, in units of fuel: the states of the automaton that can be active at once,
/// and the transitions between them. A counted repetition has one copy of its part for each time. The states for the
/// bytes of one character are passed one after the other, so few of them count.
///
/// Recursion is bounded by the nesting that the parser allows.
fn width(hir: &Hir) -> u64 {
    let sum = |parts: &[Hir]| parts.iter().map(width).fold(0, u64::saturating_add);
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len() as u64,
        HirKind::Class(class) => {
            let (ranges, bytes) = match class {
                Class::Unicode(class) => (class.ranges().len(), class.maximum_len()),
                Class::Bytes(class) => (class.ranges().len(), Some(1)),
            };
            // The engine looks through the ranges of a byte one after the other.
            bytes.unwrap_or(1) as u64 + ranges.min(64) as u64 / 4
        }
        HirKind::Capture(capture) => width(&capture.sub).saturating_add(2),
        HirKind::Concat(parts) => sum(parts),
        HirKind::Alternation(parts) => sum(parts).saturating_add(parts.len() as u64),
        HirKind::Repetition(repetition) => {
            let copies = repetition.max.unwrap_or(repetition.min).max(1);
            let one = width(&repetition.sub).saturating_add(2);
            one.saturating_mul(u64::from(copies))
        }
    }
}
