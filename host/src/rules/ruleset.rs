//! A tenant's compiled rules, and matching events against them.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use serde_json::Value;

use super::{
    ConditionLimits, Conditions, Evaluation, Explanation, Mismatch, RuleVerdict,
    conditions::{Fuel, shorten_text},
};
use crate::{
    ingest::{Event, is_netbox_app},
    model::{EventRule, RuleId, Webhook, WebhookId, event_type_slug},
};

/// Stands for every object type and every event type.
const ANY: &str = "*";
/// Memory for the compiled regular expressions of one tenant.
const MAX_PATTERN_BYTES: usize = 32 << 20;
/// Maximum number of trace steps in the explanation of one event, for all rules together. An explanation is stored with
/// each event; without this limit every rule could add a full trace.
const MAX_TRACE_STEPS: usize = 1000;
/// Maximum number of apps for one model: far more than plugins with a model of the same name.
const MAX_APPS: usize = 50;

/// A tenant's enabled and disabled rules, compiled once per configuration change.
#[derive(Debug, Default)]
pub struct RuleSet {
    /// In the order of their names.
    rules: Vec<CompiledRule>,
    /// The enabled rules by object type, and those for all object types.
    by_object_type: HashMap<String, Vec<usize>>,
    any_object_type: Vec<usize>,
    /// By model, the apps of NetBox plugins that rules name with it, as in `app.model`. An event that names the model
    /// alone gets its app from here.
    plugin_apps: HashMap<String, Vec<String>>,
}

#[derive(Debug)]
struct CompiledRule {
    id: RuleId,
    name: String,
    enabled: bool,
    object_types: Vec<String>,
    event_types: Vec<String>,
    /// The enabled webhooks of the rule, each once.
    webhooks: Vec<WebhookId>,
    names_webhooks: bool,
    /// The conditions, or the reason why they are no longer accepted.
    conditions: Result<Option<Conditions>, String>,
}

/// The result of matching an event against the rules. Made by [`RuleSet::match_event`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matched {
    targets: Vec<Target>,
    explanation: Explanation,
}

/// One delivery to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    rule: RuleId,
    webhook: WebhookId,
}

impl Matched {
    /// The deliveries to make, by the names of their rules and then in each rule's own order.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The verdict of each rule.
    #[must_use]
    pub fn explanation(&self) -> &Explanation {
        &self.explanation
    }

    /// Both, owned.
    #[must_use]
    pub fn into_parts(self) -> (Vec<Target>, Explanation) {
        (self.targets, self.explanation)
    }
}

impl Target {
    /// The rule that matched.
    #[must_use]
    pub fn rule(&self) -> &RuleId {
        &self.rule
    }

    /// The webhook it runs.
    #[must_use]
    pub fn webhook(&self) -> &WebhookId {
        &self.webhook
    }
}

impl RuleSet {
    /// Compiles stored rules. A rule whose conditions are no longer accepted (because the limits were lowered,
    /// say) becomes one that never matches and says why. Webhooks that are not among `webhooks`, or disabled,
    /// are left out. Memory is bounded whatever the rules hold: about 32 MiB for patterns, and the rules
    /// themselves.
    #[must_use]
    pub fn compile(rules: &[EventRule], webhooks: &[Webhook], limits: ConditionLimits) -> Self {
        let enabled: HashSet<&WebhookId> = webhooks
            .iter()
            .filter(|w| w.spec.enabled)
            .map(|w| &w.id)
            .collect();
        let mut sorted: Vec<&EventRule> = rules.iter().collect();
        sorted.sort_by(|a, b| (&a.spec.name, &a.id).cmp(&(&b.spec.name, &b.id)));
        let mut set = Self::default();
        let mut pattern_bytes = MAX_PATTERN_BYTES;
        for (index, rule) in sorted.into_iter().enumerate() {
            let compiled = CompiledRule::compile(rule, &enabled, limits, pattern_bytes);
            if let Ok(Some(conditions)) = &compiled.conditions {
                pattern_bytes = pattern_bytes.saturating_sub(conditions.pattern_bytes());
            }
            if compiled.enabled {
                set.index(index, &compiled.object_types);
            }
            set.note_apps(&compiled.object_types);
            set.rules.push(compiled);
        }
        set
    }

    fn index(&mut self, rule: usize, object_types: &[String]) {
        if object_types.iter().any(|t| t == ANY) {
            self.any_object_type.push(rule);
            return;
        }
        for object_type in object_types {
            let rules = self.by_object_type.entry(object_type.clone()).or_default();
            // The same type may be named twice.
            if rules.last() != Some(&rule) {
                rules.push(rule);
            }
        }
    }

    fn note_apps(&mut self, object_types: &[String]) {
        for (app, model) in object_types.iter().filter_map(|t| t.split_once('.')) {
            if is_netbox_app(app) {
                continue;
            }
            let apps = self.plugin_apps.entry(model.to_owned()).or_default();
            if apps.len() < MAX_APPS && !apps.iter().any(|known| known == app) {
                apps.push(app.to_owned());
            }
        }
    }

    /// The event with the object type by which these rules know it: see [`Event::with_app_among`].
    #[must_use]
    pub fn recognize(&self, event: Event) -> Event {
        event.with_app_among(|model| self.plugin_apps.get(model).map_or(&[], Vec::as_slice))
    }

    /// Matches an event, after [`RuleSet::recognize`], against the rules. Returns the webhooks to run and the verdict
    /// of each rule. Rules for other object types cost nothing beyond their place in the explanation. The event's JSON
    /// is parsed only if a rule has conditions to evaluate on it. Never panics; the work is bounded for all rules
    /// together.
    #[must_use]
    pub fn match_event(&self, event: &Event) -> Matched {
        let mut matched = Matched::default();
        let mut work = Work {
            event,
            context: None,
            fuel: Fuel::for_event(),
            steps: MAX_TRACE_STEPS,
        };
        let mut candidates: Vec<usize> = self
            .by_object_type
            .get(event.object_type())
            .into_iter()
            .flatten()
            .chain(&self.any_object_type)
            .copied()
            .collect();
        candidates.sort_unstable();

        let mut verdicts: Vec<(usize, RuleVerdict)> = Vec::new();
        // Rules that matched are always listed, then those for the object type, then others while there is room.
        let mut room = Explanation::MAX_RULES;
        for &index in &candidates {
            let Some(rule) = self.rules.get(index) else {
                continue;
            };
            let verdict = rule.judge(&mut work);
            if verdict.matched {
                matched
                    .targets
                    .extend(rule.webhooks.iter().map(|webhook| Target {
                        rule: rule.id.clone(),
                        webhook: webhook.clone(),
                    }));
            } else if room == 0 {
                work.steps += verdict.trace.len();
                continue;
            } else {
                room -= 1;
            }
            verdicts.push((index, verdict));
        }
        let mut next_candidate = candidates.iter().peekable();
        let others = self
            .rules
            .iter()
            .enumerate()
            .filter(|(index, _)| next_candidate.next_if_eq(&index).is_none());
        for (index, rule) in others {
            if room == 0 {
                break;
            }
            room -= 1;
            verdicts.push((index, rule.not_a_candidate(event)));
        }
        verdicts.sort_by_key(|(index, _)| *index);
        let left_out = self.rules.len().saturating_sub(verdicts.len());
        matched.explanation = Explanation {
            rules: verdicts.into_iter().map(|(_, verdict)| verdict).collect(),
            omitted: u32::try_from(left_out).unwrap_or(u32::MAX),
        };
        matched
    }
}

/// State that is shared while all rules are matched against one event.
struct Work<'e> {
    event: &'e Event,
    /// Parsed when first needed.
    context: Option<Value>,
    fuel: Fuel,
    /// Trace steps that may still be listed.
    steps: usize,
}

impl Work<'_> {
    fn evaluate(&mut self, conditions: &Conditions) -> Evaluation {
        let context = self.context.get_or_insert_with(|| {
            // Ingest made it from a JSON object; null has no data and so matches nothing.
            serde_json::from_str(self.event.context()).unwrap_or(Value::Null)
        });
        let evaluation = conditions.evaluate_with(context, &mut self.fuel, self.steps);
        self.steps = self.steps.saturating_sub(evaluation.trace.len());
        evaluation
    }
}

impl CompiledRule {
    fn compile(
        rule: &EventRule,
        enabled: &HashSet<&WebhookId>,
        limits: ConditionLimits,
        pattern_bytes: usize,
    ) -> Self {
        let spec = &rule.spec;
        let mut seen = HashSet::new();
        let conditions = match &spec.conditions {
            None => Ok(None),
            Some(json) => Conditions::parse_within(json, limits, pattern_bytes).map_err(|errors| {
                let first = errors
                    .0
                    .first()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                format!("Its conditions are not accepted; save them again. {first}")
            }),
        };
        let slug = |text: &String| event_type_slug(text).to_owned();
        Self {
            id: rule.id.clone(),
            name: spec.name.clone(),
            enabled: spec.enabled,
            object_types: spec.object_types.clone(),
            event_types: spec.event_types.iter().map(slug).collect(),
            webhooks: spec
                .webhooks
                .iter()
                .filter(|id| enabled.contains(id) && seen.insert(*id))
                .cloned()
                .collect(),
            names_webhooks: !spec.webhooks.is_empty(),
            conditions,
        }
    }

    /// The verdict of an enabled rule whose object types include the event's.
    fn judge(&self, work: &mut Work<'_>) -> RuleVerdict {
        let event_type = event_type_slug(work.event.event_type());
        if !self.event_types.iter().any(|t| t == ANY || t == event_type) {
            let reason = for_others("event types", &self.event_types, event_type);
            return self.verdict(Err(Mismatch::EventType), reason);
        }
        if self.webhooks.is_empty() {
            let reason = if self.names_webhooks {
                "All its webhooks are disabled."
            } else {
                "It runs no webhook."
            };
            return self.verdict(Err(Mismatch::NoWebhook), reason);
        }
        let conditions = match &self.conditions {
            Ok(Some(conditions)) => conditions,
            Ok(None) => {
                return self.verdict(
                    Ok(()),
                    "It is for this object type and event type, and has no conditions.",
                );
            }
            Err(reason) => return self.verdict(Err(Mismatch::ConditionError), reason.as_str()),
        };
        let evaluation = work.evaluate(conditions);
        let (outcome, reason) = match evaluation.error {
            Some(error) => (Err(Mismatch::ConditionError), error),
            None if evaluation.matched => (Ok(()), "Its conditions hold.".to_owned()),
            None => (Err(Mismatch::Conditions), why_not(&evaluation)),
        };
        RuleVerdict {
            trace: evaluation.trace,
            ..self.verdict(outcome, reason)
        }
    }

    /// The verdict of a rule that is disabled or for other object types.
    fn not_a_candidate(&self, event: &Event) -> RuleVerdict {
        if self.enabled {
            let reason = for_others("object types", &self.object_types, event.object_type());
            self.verdict(Err(Mismatch::ObjectType), reason)
        } else {
            self.verdict(Err(Mismatch::Disabled), "The rule is disabled.")
        }
    }

    fn verdict<'r>(
        &self,
        outcome: Result<(), Mismatch>,
        reason: impl Into<Cow<'r, str>>,
    ) -> RuleVerdict {
        RuleVerdict {
            rule: self.id.clone(),
            name: self.name.clone(),
            matched: outcome.is_ok(),
            mismatch: outcome.err(),
            reason: reason.into().into_owned(),
            trace: Vec::new(),
        }
    }
}

/// The condition that decided: the last one that was evaluated.
fn why_not(evaluation: &Evaluation) -> String {
    let last = evaluation.trace.last().filter(|step| step.actual.is_some());
    let Some(step) = last.filter(|_| evaluation.trace.len() < Evaluation::MAX_STEPS) else {
        return "Its conditions do not hold.".to_owned();
    };
    let actual = step
        .actual
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    format!(
        "Its conditions do not hold: {} is {}, as the event has {}.",
        step.condition,
        step.result.unwrap_or_default(),
        shorten_text(&actual, 200)
    )
}

fn for_others(what: &str, own: &[String], event: &str) -> String {
    const SHOWN: usize = 5;
    if own.is_empty() {
        return format!("It names no {what}; `*` stands for all.");
    }
    let mut names: Vec<String> = own
        .iter()
        .take(SHOWN)
        .map(|t| shorten_text(t, 50))
        .collect();
    if own.len() > SHOWN {
        names.push(format!("{} more", own.len() - SHOWN));
    }
    format!(
        "It is for the {what} {}, not {:?}.",
        names.join(", "),
        shorten_text(event, 50)
    )
}

#[cfg(test)]
mod tests;
