//! Why rules matched or did not: stored with each event and shown to its owner.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::model::RuleId;

/// The verdict of each rule on one event.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The verdicts in the order of the rules' names. All rules that match are listed, and up to 100 that do not: first
    /// those for the event's object type.
    pub rules: Vec<RuleVerdict>,
    /// Number of rules that did not match and are not listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: u32,
}

impl Explanation {
    /// Maximum number of listed rules that do not match.
    pub const MAX_RULES: usize = 100;
}

/// The verdict of one rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RuleVerdict {
    /// The rule.
    pub rule: RuleId,
    /// The rule's name at that time.
    pub name: String,
    /// Whether the rule matched.
    pub matched: bool,
    /// The test that failed. Absent if the rule matched.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mismatch: Option<Mismatch>,
    /// The reason for the verdict, in one sentence.
    pub reason: String,
    /// The conditions, step by step, as far as they were evaluated.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub trace: Vec<TraceStep>,
}

/// The test by which a rule did not match an event.
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
    /// The path in the conditions, such as `and[0].or[1]`; empty for the whole.
    pub path: String,
    /// The condition in words: `status.value eq "active"`.
    pub condition: String,
    /// The value in the event, shortened; absent for groups.
    #[serde(
        skip_serializing_if = "Option::is_none",
        default,
        deserialize_with = "present"
    )]
    pub actual: Option<serde_json::Value>,
    /// Whether the condition held; null if it could not be evaluated.
    pub result: Option<bool>,
    /// The reason why the condition could not be evaluated.
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
