//! Why a plugin is refused before anything is compiled: what, where, and what to do.

use std::fmt;

use super::Measure;
use crate::text::clean_line;

/// Faults of a plugin's structure, in words for its author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is more of something than the sandbox will compile.
    #[error(
        "{place} has {found} {}, of which there may be {limit}{}; {}",
        measure.words(), Key(*measure), measure.advice()
    )]
    TooMuch {
        /// The measure that is over its limit.
        measure: Measure,
        /// The amount, as far as it was counted.
        found: u64,
        /// The limit.
        limit: u64,
        /// Where the limit was passed.
        place: Location,
    },
    /// The bytes are cut off or are not WebAssembly.
    #[error("{place} is damaged: {reason}; build it again, and upload the whole file")]
    Damaged {
        /// Where.
        place: Location,
        /// The parser's words.
        reason: String,
    },
    /// A core module that does not say what it implements.
    #[error(
        "this is a core module without a component type, so it says nothing of what it implements; build it \
         with the bindings of hookbox:transformer, or make a component of it"
    )]
    NoComponentType,
    /// Bytes in a place where the format has none.
    #[error("{place} is of a kind that is not known (section {id}); build it with current tools")]
    UnknownSection {
        /// Its number.
        id: u8,
        /// Where.
        place: Location,
    },
}

impl Refusal {
    /// The parser's words, which may quote what a stranger wrote.
    pub(super) fn damaged(error: &wasmparser::Error, mut place: Location) -> Self {
        place.offset = error.offset() as u64;
        Self::Damaged {
            place,
            reason: clean_line(error.message(), 200),
        }
    }
}

/// Where in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// The section, in the words of the specification, if it is in one.
    pub section: Option<&'static str>,
    /// The core module, in the order of the file.
    pub module: Option<u64>,
    /// The function's index in that module, imported ones first.
    pub function: Option<u64>,
    /// The byte in the file.
    pub offset: u64,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.function, self.section) {
            (Some(function), _) => write!(f, "function {function} of ")?,
            (None, Some(section)) => write!(f, "the {section} section of ")?,
            (None, None) => {}
        }
        match self.module {
            Some(module) => write!(f, "core module {module}")?,
            None => f.write_str("the file")?,
        }
        if self.offset > 0 {
            write!(f, " (at byte {:#x})", self.offset)?;
        }
        Ok(())
    }
}

struct Key(Measure);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.key() {
            Some(key) => write!(f, " ({key})"),
            None => Ok(()),
        }
    }
}
