//! Stage 2: which rules an event matches, and why.
//!
//! [`RuleSet`] holds a tenant's rules, compiled once per change of configuration; [`RuleSet::match_event`]
//! answers for one event, and [`Explanation`] tells its owner what each rule said. [`Conditions`] is NetBox's
//! condition language. All of it is pure: no I/O, no clock, no state.

mod conditions;
mod explanation;
mod ruleset;

pub(crate) use conditions::truthy;
pub use conditions::{ConditionLimits, Conditions, Evaluation};
pub use explanation::{Explanation, Mismatch, RuleVerdict, TraceStep};
pub use ruleset::{Matched, RuleSet, Target};
