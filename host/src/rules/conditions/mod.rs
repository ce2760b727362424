//! NetBox's condition language (4.7: with `changed`, `unchanged` and `snapshots.*` paths), bounded.
//!
//! ```json
//! {"and": [
//!   {"attr": "status.value", "value": "active"},
//!   {"or": [{"attr": "tags.slug", "op": "contains", "value": "core"}, {"attr": "site", "op": "changed"}]}
//! ]}
//! ```
//!
//! The answers are NetBox's own: `and` and `or` are evaluated from the left and stop as soon as they are
//! decided, values compare as in Python (`1`, `1.0` and `true` are equal), a path maps over lists, and a
//! condition that cannot be evaluated (a missing key, a number where text is needed) keeps the whole rule
//! from matching, whatever `negate` and `or` say. Conditions that make NetBox crash are errors here: when the rule is
//! saved, if the error can be found then (an invalid regular expression, `"AND"`), or else when it is evaluated.
//!
//! Integers beyond 64 bits are read as floats, which is the JSON parser's limit.

mod compare;
mod evaluate;
mod fuel;
mod parse;
mod path;
mod pattern;
mod shorten;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

pub(super) use fuel::Fuel;
pub(crate) use parse::truthy;
pub(super) use shorten::text as shorten_text;

use super::TraceStep;
use crate::{config::TenantLimits, model::FieldErrors};
use compare::Order;
use pattern::Pattern;

/// A condition set, parsed and bounded. Constructed only by [`Conditions::parse`].
#[derive(Debug)]
pub struct Conditions {
    root: Node,
    pattern_bytes: usize,
}

/// Limits of a condition set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConditionLimits {
    /// Bytes as compact JSON, escapes not counted.
    pub bytes: usize,
    /// Groups (`and`, `or`) inside each other; above 100 it counts as 100.
    pub depth: usize,
    /// Conditions and groups together.
    pub count: usize,
}

impl From<&TenantLimits> for ConditionLimits {
    fn from(limits: &TenantLimits) -> Self {
        Self {
            bytes: limits.conditions_bytes,
            depth: limits.conditions_depth,
            count: limits.conditions_count,
        }
    }
}

/// The result of evaluating conditions for one event.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Evaluation {
    /// Whether the conditions hold; false if there is an error.
    pub matched: bool,
    /// The reason why the conditions could not be evaluated.
    pub error: Option<String>,
    /// Each step in the order of evaluation, a group before its members, as far as it went; at most
    /// [`Evaluation::MAX_STEPS`].
    pub trace: Vec<TraceStep>,
}

impl Evaluation {
    /// Maximum number of steps in a trace.
    pub const MAX_STEPS: usize = 100;
}

impl Conditions {
    /// Memory that the compiled regular expressions of one condition set may take.
    pub(super) const MAX_PATTERN_BYTES: usize = 1 << 20;

    /// Save-time validation. Whatever is false in Python (`null`, `{}`, `[]`, `""`, `0`, `false`) means that there
    /// are no conditions.
    ///
    /// The cost is linear in the limits; input beyond them is refused before it is looked at closely.
    ///
    /// # Errors
    /// All errors, up to a few dozen, each with its path (`conditions.and[0].value`) and the remedy.
    pub fn parse(json: &Value, limits: ConditionLimits) -> Result<Option<Self>, FieldErrors> {
        parse::parse(json, limits, Self::MAX_PATTERN_BYTES)
    }

    /// As [`Conditions::parse`], but with less memory for regular expressions.
    pub(super) fn parse_within(
        json: &Value,
        limits: ConditionLimits,
        pattern_bytes: usize,
    ) -> Result<Option<Self>, FieldErrors> {
        parse::parse(json, limits, pattern_bytes.min(Self::MAX_PATTERN_BYTES))
    }

    /// Memory that the compiled regular expressions take.
    pub(super) fn pattern_bytes(&self) -> usize {
        self.pattern_bytes
    }

    /// Evaluates on an event's context, of which `data` and `snapshots` are used. Never panics; the cost is
    /// bounded, and conditions that cost too much on this event end in an error.
    #[must_use]
    pub fn evaluate(&self, context: &Value) -> Evaluation {
        self.evaluate_with(context, &mut Fuel::for_event(), Evaluation::MAX_STEPS)
    }

    /// As [`Conditions::evaluate`], with the fuel and the trace steps that are left for this event.
    pub(super) fn evaluate_with(
        &self,
        context: &Value,
        fuel: &mut Fuel,
        max_steps: usize,
    ) -> Evaluation {
        evaluate::evaluate(
            &self.root,
            context,
            fuel,
            max_steps.min(Evaluation::MAX_STEPS),
        )
    }
}

#[derive(Debug)]
enum Node {
    Group { logic: Logic, members: Vec<Node> },
    Leaf(Leaf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Logic {
    And,
    Or,
}

impl Logic {
    const fn as_str(self) -> &'static str {
        match self {
            Self::And => "and",
            Self::Or => "or",
        }
    }
}

#[derive(Debug)]
struct Leaf {
    attr: Box<str>,
    test: Test,
    negate: bool,
    /// The condition as people read it, shortened.
    words: Box<str>,
}

/// An operator and what it compares with, of a type that fits.
#[derive(Debug)]
enum Test {
    Equals(Value),
    Compares(Order, Value),
    IsIn(Vec<Value>),
    Contains(Value),
    Matches(Pattern),
    Changed,
    Unchanged,
}

impl Test {
    const fn name(&self) -> &'static str {
        match self {
            Self::Equals(_) => "eq",
            Self::Compares(order, _) => order.as_str(),
            Self::IsIn(_) => "in",
            Self::Contains(_) => "contains",
            Self::Matches(_) => "regex",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
        }
    }
}

#[cfg(test)]
mod tests;
