//! Stage 2: which rules an event matches, and why.
// Placeholder until the real stage is merged.
#![expect(
    missing_docs,
    unused_variables,
    clippy::unimplemented,
    reason = "placeholder"
)]
mod explanation;
use crate::{ingest::Event, model::*};
pub use explanation::{Explanation, Mismatch, RuleVerdict, TraceStep};
#[derive(Debug, Clone, Copy)]
pub struct ConditionLimits {
    pub bytes: usize,
    pub depth: usize,
    pub count: usize,
}
#[derive(Debug)]
pub struct Conditions;
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct Evaluation {
    pub matched: bool,
    pub error: Option<String>,
    pub trace: Vec<TraceStep>,
}
impl Conditions {
    pub fn parse(
        json: &serde_json::Value,
        limits: ConditionLimits,
    ) -> Result<Option<Self>, FieldErrors> {
        unimplemented!()
    }
    pub fn evaluate(&self, context: &serde_json::Value) -> Evaluation {
        unimplemented!()
    }
}
#[derive(Debug)]
pub struct RuleSet;
#[derive(Debug)]
pub struct Target {
    pub rule: RuleId,
    pub webhook: WebhookId,
}
#[derive(Debug)]
pub struct Matched;
impl Matched {
    pub fn targets(&self) -> &[Target] {
        unimplemented!()
    }
    pub fn into_explanation(self) -> Explanation {
        unimplemented!()
    }
}
impl RuleSet {
    pub fn compile(rules: &[EventRule], webhooks: &[Webhook], limits: ConditionLimits) -> Self {
        unimplemented!()
    }
    pub fn match_event(&self, event: &Event) -> Matched {
        unimplemented!()
    }
}
