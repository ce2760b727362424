//! Which rules an event matches, and what it is told about the others.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    model::{EventId, EventRuleSpec, TenantId, Timestamp, WebhookSpec},
    rules::TraceStep,
};

const LIMITS: ConditionLimits = ConditionLimits {
    bytes: 65_536,
    depth: 32,
    count: 1000,
};

fn event_of(event_type: &str, object_type: &str, context: &str) -> Event {
    Event::from_stored(
        EventId::from("evt_1"),
        TenantId::default_tenant(),
        event_type.to_owned(),
        object_type.to_owned(),
        Timestamp::from_millis(0),
        context.into(),
    )
}

fn site_created(data: &Value) -> Event {
    event_of(
        "object_created",
        "dcim.site",
        &json!({ "data": data }).to_string(),
    )
}

/// A rule for created sites that runs `w1`.
fn rule(name: &str) -> EventRule {
    EventRule {
        id: RuleId::from(format!("rul_{name}")),
        external_id: None,
        spec: EventRuleSpec {
            name: name.to_owned(),
            object_types: vec!["dcim.site".to_owned()],
            event_types: vec!["object_created".to_owned()],
            webhooks: vec![WebhookId::from("w1")],
            ..EventRuleSpec::default()
        },
        created: Timestamp::from_millis(0),
        updated: Timestamp::from_millis(0),
    }
}

fn rule_with(name: &str, change: impl FnOnce(&mut EventRuleSpec)) -> EventRule {
    let mut rule = rule(name);
    change(&mut rule.spec);
    rule
}

fn with_conditions(name: &str, conditions: Value) -> EventRule {
    rule_with(name, |spec| spec.conditions = Some(conditions))
}

/// `w1` and `w2` are enabled, `off` is not.
fn webhooks() -> Vec<Webhook> {
    let webhook = |id: &str| Webhook {
        id: WebhookId::from(id),
        external_id: None,
        spec: WebhookSpec {
            name: id.to_owned(),
            enabled: id != "off",
            ..WebhookSpec::default()
        },
        warnings: Vec::new(),
        created: Timestamp::from_millis(0),
        updated: Timestamp::from_millis(0),
    };
    ["w1", "w2", "off"].map(webhook).to_vec()
}

fn matched(rules: &[EventRule], event: &Event) -> Matched {
    RuleSet::compile(rules, &webhooks(), LIMITS).match_event(event)
}

fn targets(matched: &Matched) -> Vec<(&str, &str)> {
    matched
        .targets()
        .iter()
        .map(|t| {
            (
                t.rule().as_str().trim_start_matches("rul_"),
                t.webhook().as_str(),
            )
        })
        .collect()
}

fn verdict<'m>(matched: &'m Matched, name: &str) -> &'m RuleVerdict {
    let rules = &matched.explanation().rules;
    rules.iter().find(|v| v.name == name).expect("a verdict")
}

#[test]
fn matching_rules_run_in_the_order_of_their_names_each_webhook_once() {
    let rules = [
        rule_with("b", |s| {
            s.webhooks = ["w2", "w1", "w2", "off", "gone"]
                .map(WebhookId::from)
                .to_vec();
        }),
        rule("a"),
    ];
    let matched = matched(&rules, &site_created(&json!({})));
    assert_eq!(targets(&matched), [("a", "w1"), ("b", "w2"), ("b", "w1")]);
}

#[test]
fn stars_stand_for_all_and_short_event_types_for_their_slugs() {
    let rules = [
        rule_with("any object", |s| s.object_types = vec!["*".to_owned()]),
        rule_with("any event", |s| s.event_types = vec!["*".to_owned()]),
        rule_with("short", |s| s.event_types = vec!["created".to_owned()]),
        rule_with("twice", |s| {
            s.object_types = vec!["dcim.site".to_owned(); 2];
        }),
        rule_with("deleted", |s| s.event_types = vec!["deleted".to_owned()]),
        rule_with("nothing", |s| s.object_types = Vec::new()),
    ];
    let names = |m: &Matched| {
        targets(m)
            .iter()
            .map(|t| t.0.to_owned())
            .collect::<Vec<_>>()
    };
    let on =
        |event_type, object_type| names(&matched(&rules, &event_of(event_type, object_type, "{}")));
    assert_eq!(
        on("object_created", "dcim.site"),
        ["any event", "any object", "short", "twice"]
    );
    assert_eq!(on("object_deleted", "dcim.site"), ["any event", "deleted"]);
    assert_eq!(on("object_created", ""), ["any object"]);
}

#[test]
fn each_rule_says_why_it_did_not_match() {
    let rules = [
        rule_with("disabled", |s| s.enabled = false),
        rule_with("object type", |s| {
            s.object_types = vec!["dcim.rack".to_owned()];
        }),
        rule_with("event type", |s| {
            s.event_types = vec!["object_updated".to_owned()];
        }),
        rule_with("no webhook", |s| s.webhooks.clear()),
        rule_with("webhook off", |s| s.webhooks = vec![WebhookId::from("off")]),
        with_conditions("conditions", json!({ "attr": "name", "value": "x" })),
        with_conditions("error", json!({ "attr": "nmae", "value": "x" })),
        with_conditions("refused", json!({ "AND": [] })),
        with_conditions("yes", json!({ "attr": "name", "value": "y" })),
        with_conditions("empty", json!({})),
    ];
    let matched = matched(&rules, &site_created(&json!({ "name": "y" })));
    let says = |name| {
        let v = verdict(&matched, name);
        (v.mismatch, v.reason.as_str())
    };
    use Mismatch::{ConditionError, Conditions, Disabled, EventType, NoWebhook, ObjectType};
    assert_eq!(says("disabled"), (Some(Disabled), "The rule is disabled."));
    assert_eq!(
        says("object type"),
        (
            Some(ObjectType),
            r#"It is for the object types dcim.rack, not "dcim.site"."#
        )
    );
    assert_eq!(
        says("event type"),
        (
            Some(EventType),
            r#"It is for the event types object_updated, not "object_created"."#
        )
    );
    assert_eq!(says("no webhook"), (Some(NoWebhook), "It runs no webhook."));
    assert_eq!(
        says("webhook off"),
        (Some(NoWebhook), "All its webhooks are disabled.")
    );
    assert_eq!(
        says("conditions"),
        (
            Some(Conditions),
            r#"Its conditions do not hold: name eq "x" is false, as the event has "y"."#
        )
    );
    assert_eq!(
        says("error"),
        (
            Some(ConditionError),
            r#""nmae" is not in the event: there is no "nmae" (did you mean "name"?)."#
        )
    );
    assert_eq!(
        says("refused"),
        (
            Some(ConditionError),
            r#"Its conditions are not accepted; save them again. conditions: Write "AND" in lower case."#
        )
    );
    assert_eq!(says("yes"), (None, "Its conditions hold."));
    assert_eq!(says("empty").0, None);
    assert_eq!(verdict(&matched, "yes").trace.len(), 1);
    let names: Vec<&str> = matched
        .explanation()
        .rules
        .iter()
        .map(|v| v.name.as_str())
        .collect();
    assert!(names.is_sorted() && names.len() == rules.len(), "{names:?}");
}

#[test]
fn the_context_is_parsed_only_for_conditions_and_a_broken_one_is_no_panic() {
    let rules = [
        rule("plain"),
        with_conditions("strict", json!({ "attr": "a", "value": 1, "negate": true })),
    ];
    let matched = matched(
        &rules,
        &event_of("object_created", "dcim.site", "{not json"),
    );
    assert_eq!(targets(&matched), [("plain", "w1")]);
    assert_eq!(
        verdict(&matched, "strict").mismatch,
        Some(Mismatch::Conditions)
    );
}

#[test]
fn an_explanation_lists_all_that_match_and_the_nearest_of_the_rest() {
    let mut rules: Vec<EventRule> = (0..500)
        .map(|i| {
            rule_with(&format!("a{i:03}"), |s| {
                s.object_types = vec!["dcim.rack".to_owned()];
            })
        })
        .collect();
    rules.extend((0..300).map(|i| rule(&format!("b{i:03}"))));
    rules.extend(
        (0..60).map(|i| with_conditions(&format!("c{i:03}"), json!({ "attr": "x", "value": 1 }))),
    );
    let matched = matched(&rules, &site_created(&json!({ "x": 2 })));
    let listed = |first| {
        matched
            .explanation()
            .rules
            .iter()
            .filter(|v| v.name.starts_with(first))
            .count()
    };
    assert_eq!((listed('a'), listed('b'), listed('c')), (40, 300, 60));
    assert_eq!(matched.explanation().omitted, 460);
    assert_eq!(matched.targets().len(), 300);
}

#[test]
fn rules_that_are_not_listed_take_no_room_from_the_traces_of_others() {
    let rule = |name: String, value| with_conditions(&name, json!({ "attr": "x", "value": value }));
    let mut rules: Vec<EventRule> = (0..1100).map(|i| rule(format!("a{i:04}"), 1)).collect();
    rules.push(rule("z".to_owned(), 2));
    let matched = matched(&rules, &site_created(&json!({ "x": 2 })));
    assert_eq!(verdict(&matched, "z").trace.len(), 1);
}

#[test]
fn an_explanation_stays_small_whatever_the_rules_and_the_event_hold() {
    let members: Vec<Value> = (0..900)
        .map(|i| json!({ "attr": "x", "value": i, "negate": true }))
        .collect();
    let rules: Vec<EventRule> = (0..50)
        .map(|i| with_conditions(&format!("r{i:04}"), json!({ "and": members })))
        .collect();
    let matched = matched(
        &rules,
        &site_created(&json!({ "x": vec!["é".repeat(300); 300] })),
    );
    let steps: usize = matched
        .explanation()
        .rules
        .iter()
        .map(|v| v.trace.len())
        .sum();
    assert_eq!(steps, MAX_TRACE_STEPS);
    let size = serde_json::to_string(matched.explanation())
        .expect("JSON")
        .len();
    assert!(size < 3_000_000, "{size} bytes");
}

#[test]
fn all_rules_together_do_bounded_work_and_say_when_it_ran_out() {
    let dear = |i| {
        with_conditions(
            &format!("r{i:03}"),
            json!({ "attr": "x", "op": "contains", "value": "no" }),
        )
    };
    let rules: Vec<EventRule> = (0..1000).map(dear).collect();
    let matched = matched(&rules, &site_created(&json!({ "x": vec![1; 300_000] })));
    let first = verdict(&matched, "r000");
    assert_eq!(first.mismatch, Some(Mismatch::Conditions));
    let ran_out = matched
        .explanation()
        .rules
        .iter()
        .rfind(|v| v.reason.contains("too much work"));
    assert_eq!(
        ran_out.expect("some ran out").mismatch,
        Some(Mismatch::ConditionError)
    );
}

#[test]
fn patterns_of_one_tenant_take_bounded_memory() {
    let rules: Vec<EventRule> = (0..400)
        .map(|i| {
            with_conditions(
                &format!("r{i:03}"),
                json!({ "attr": "x", "op": "regex", "value": r"(?:\w+x){6}" }),
            )
        })
        .collect();
    let set = RuleSet::compile(&rules, &webhooks(), LIMITS);
    let compiled = |r: &CompiledRule| match &r.conditions {
        Ok(Some(c)) => c.pattern_bytes(),
        _ => 0,
    };
    let bytes: usize = set.rules.iter().map(compiled).sum();
    println!("{bytes} bytes");
    assert!(
        bytes > MAX_PATTERN_BYTES / 2 && bytes <= MAX_PATTERN_BYTES,
        "{bytes}"
    );
    let last = set.rules.last().expect("a rule");
    assert!(
        last.conditions
            .as_ref()
            .expect_err("refused")
            .contains("large")
    );
}

#[test]
fn a_rule_beyond_lowered_limits_never_matches_and_says_why() {
    let rules = [with_conditions(
        "long",
        json!({ "attr": "x", "value": "y".repeat(100), "negate": true }),
    )];
    let lowered = ConditionLimits {
        bytes: 50,
        ..LIMITS
    };
    let matched = RuleSet::compile(&rules, &webhooks(), lowered)
        .match_event(&site_created(&json!({ "x": 1 })));
    assert_eq!(targets(&matched), []);
    assert!(
        verdict(&matched, "long")
            .reason
            .contains("longer than 50 bytes")
    );
}

#[test]
fn the_trace_of_a_rule_is_that_of_its_conditions() {
    let rules = [with_conditions(
        "a",
        json!({ "or": [{ "attr": "x", "value": 1 }] }),
    )];
    let matched = matched(&rules, &site_created(&json!({ "x": 1 })));
    let path = |s: &TraceStep| s.path.clone();
    assert_eq!(
        verdict(&matched, "a")
            .trace
            .iter()
            .map(path)
            .collect::<Vec<_>>(),
        ["", "or[0]"]
    );
}

proptest! {
    /// The index finds what looking at every rule finds.
    #[test]
    fn the_index_agrees_with_a_look_at_every_rule(
        specs in proptest::collection::vec(
            (
                any::<bool>(),
                proptest::collection::vec("a|b|\\*", 0..3),
                proptest::collection::vec("created|object_created|updated|x|\\*", 0..3),
                proptest::collection::vec("w1|w2|off|gone", 0..3),
                proptest::option::of(0..2),
            ),
            0..12,
        ),
        event_type in "object_created|object_updated|x|y",
        object_type in "a|b|c|",
    ) {
        let rules: Vec<EventRule> = specs
            .iter()
            .enumerate()
            .map(|(i, (enabled, object_types, event_types, hooks, value))| {
                rule_with(&format!("{i:02}"), |s| {
                    s.enabled = *enabled;
                    s.object_types = object_types.clone();
                    s.event_types = event_types.clone();
                    s.webhooks = hooks.iter().map(|h| WebhookId::from(h.as_str())).collect();
                    s.conditions = value.map(|v| json!({ "attr": "v", "value": v }));
                })
            })
            .collect();
        let event = event_of(&event_type, &object_type, &json!({ "data": { "v": 1 } }).to_string());
        let matched = matched(&rules, &event);

        let expected: BTreeSet<(String, String)> = specs
            .iter()
            .enumerate()
            .filter(|(_, (enabled, object_types, event_types, _, value))| {
                *enabled
                    && object_types.iter().any(|t| t == "*" || *t == object_type)
                    && event_types.iter().any(|t| t == "*" || event_type_slug(t) == event_type)
                    && *value != Some(0)
            })
            .flat_map(|(i, (_, _, _, hooks, _))| {
                hooks.iter().filter(|h| h.starts_with('w')).map(move |h| (format!("{i:02}"), h.clone()))
            })
            .collect();
        let found: Vec<(&str, &str)> = targets(&matched);
        prop_assert!(found.is_sorted_by_key(|(rule, _)| *rule));
        prop_assert_eq!(found.len(), expected.len(), "each once");
        prop_assert_eq!(
            found.iter().map(|(r, w)| ((*r).to_owned(), (*w).to_owned())).collect::<BTreeSet<_>>(),
            expected
        );
        prop_assert_eq!(matched.explanation().rules.len(), rules.len());
        prop_assert_eq!(matched.explanation().omitted, 0);
    }
}
