//! Stage 2: which rules an event matches, and why.

mod explanation;

pub use explanation::{Explanation, Mismatch, RuleVerdict, TraceStep};
