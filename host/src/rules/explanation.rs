//! Why rules matched or did not: stored with each event and shown to its owner.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::model::RuleId;

/// What each rule said to one event.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The rules in the order in which they were looked at (by name), at most
    /// [`Explanation::MAX_RULES`]; those that match are never left out.
    pub rules: Vec<RuleVerdict>,
    /// How many rules that did not match are not listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: u32,
}

impl Explanation {
    /// How many rules that do not match are listed.
    pub const MAX_RULES: usize = 100;
}

/// What one rule said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RuleVerdict {
    /// The rule.
    pub rule: RuleId,
    /// Its name at that time.
    pub name: String,
    /// Whether it matched.
    pub matched: bool,
    /// What kept it from matching.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mismatch: Option<Mismatch>,
    /// One sentence: why it matched or did not.
    pub reason: String,
    /// The conditions, step by step, as far as they were evaluated.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub trace: Vec<TraceStep>,
}

/// What kept a rule from matching.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mismatch {
    /// The rule is disabled.
    Disabled,
    /// It is for other object types.
    ObjectType,
    /// It is for other event types.
    EventType,
    /// Its conditions do not hold.
    Conditions,
    /// Its conditions could not be evaluated on this event.
    ConditionError,
    /// It runs no webhook, or only disabled ones.
    NoWebhook,
}

/// One evaluated condition or group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TraceStep {
    /// Where in the conditions: `and[0].or[1]`; empty for the whole.
    pub path: String,
    /// The condition in words: `status.value eq "active"`.
    pub condition: String,
    /// What the event holds there, shortened; absent for groups.
    #[serde(
        skip_serializing_if = "Option::is_none",
        default,
        deserialize_with = "present"
    )]
    pub actual: Option<serde_json::Value>,
    /// Whether it held, or nothing if it could not be evaluated.
    pub result: Option<bool>,
    /// Why it could not be evaluated.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// A value that is there, even if it is null: an `Option` would take null for absent.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(value).map(Some)
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_null_in_the_event_stays_apart_from_no_value() {
        let step = |actual: Option<Value>| TraceStep {
            path: String::new(),
            condition: "role eq null".to_owned(),
            actual,
            result: Some(true),
            error: None,
        };
        for step in [step(None), step(Some(Value::Null)), step(Some(json!("a")))] {
            let stored = serde_json::to_string(&step).unwrap();
            assert_eq!(serde_json::from_str::<TraceStep>(&stored).unwrap(), step);
        }
    }
}
