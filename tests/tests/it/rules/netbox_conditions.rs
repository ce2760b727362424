//! Our answers to conditions are NetBox's own, recorded in `tests/data/netbox-conditions.json`.
//!
//! | NetBox | here |
//! |---|---|
//! | `true`, `false` | the same |
//! | `invalid` (logged, the rule does not fire) | no match, and an error that says why |
//! | `refused` (an error when the rule is saved) | refused |
//! | `crash-on-save` (HTTP 500) | refused |
//! | `crash` (HTTP 500 in the middle of the user's change) | refused, or no match and an error |
//!
//! One more difference is meant: a regular expression that is none crashes NetBox only when evaluation reaches
//! it. It is refused when the rule is saved, so cases that hold one are refused whatever NetBox answered.

use std::collections::BTreeMap;

use hookbox::{
    config::Config,
    rules::{ConditionLimits, Conditions},
};
use serde_json::{Value, json};

const CORPUS: &str = include_str!("../../../data/netbox-conditions.json");

fn corpus() -> Value {
    serde_json::from_str(CORPUS).expect("the corpus is JSON")
}

fn limits() -> ConditionLimits {
    ConditionLimits::from(&Config::defaults().limits)
}

/// What we say, in NetBox's words.
fn our_answer(conditions: &Value, context: &Value) -> &'static str {
    let Ok(parsed) = Conditions::parse(conditions, limits()) else {
        return "refused";
    };
    let evaluation = parsed.expect("there are conditions").evaluate(context);
    match (evaluation.error, evaluation.matched) {
        (Some(_), false) => "invalid",
        (Some(_), true) => "an error that matches",
        (None, true) => "true",
        (None, false) => "false",
    }
}

fn leaves(conditions: &Value) -> Vec<&Value> {
    match conditions.get("and").or_else(|| conditions.get("or")) {
        Some(members) => members
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(leaves)
            .collect(),
        None => vec![conditions],
    }
}

fn has_a_bad_regex(conditions: &Value) -> bool {
    leaves(conditions)
        .iter()
        .any(|c| c["op"] == "regex" && c["value"] == "[")
}

/// Whether a case uses what NetBox 4.7 added.
fn is_new_in_4_7(conditions: &Value) -> bool {
    leaves(conditions).iter().any(|c| {
        let attr = c["attr"].as_str().unwrap_or_default();
        c["op"] == "changed" || c["op"] == "unchanged" || attr.starts_with("snapshots.")
    })
}

#[test]
fn every_recorded_answer_of_netbox_4_7_is_ours_too() {
    let corpus = corpus();
    let mut tally: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for case in corpus["cases"].as_array().expect("cases") {
        let conditions = &case["conditions"];
        let snapshots = case["snapshots"].as_str().expect("a name");
        let context =
            json!({ "data": corpus["data"], "snapshots": corpus["snapshots"][snapshots] });
        let ours = our_answer(conditions, &context);
        let theirs = case["v47"].as_str().expect("an answer");
        let agrees = if has_a_bad_regex(conditions) {
            ours == "refused"
        } else {
            match theirs {
                "crash-on-save" => ours == "refused",
                "crash" => ours == "refused" || ours == "invalid",
                answer => ours == answer,
            }
        };
        if agrees {
            *tally.entry(format!("{theirs} → {ours}")).or_default() += 1;
        } else {
            wrong.push(format!(
                "NetBox {theirs}, ours {ours} ({snapshots}): {conditions}"
            ));
        }
    }
    println!("agreed: {} {tally:#?}", tally.values().sum::<usize>());
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(tally.values().sum::<usize>(), 360);
}

/// Whoever comes from 4.6 finds its answers, wherever it gave one and 4.7 has not added to the language.
#[test]
fn every_recorded_answer_of_netbox_4_6_is_ours_but_for_what_4_7_added() {
    let corpus = corpus();
    let mut compared = 0;
    for case in corpus["cases"].as_array().expect("cases") {
        let conditions = &case["conditions"];
        if is_new_in_4_7(conditions) || has_a_bad_regex(conditions) {
            continue;
        }
        let context = json!({ "data": corpus["data"] });
        let ours = our_answer(conditions, &context);
        let agrees = match case["v46"].as_str().expect("an answer") {
            "crash-on-save" => ours == "refused",
            // It walked into a text, a number or a list of them.
            "crash" => ours == "invalid",
            answer => ours == answer,
        };
        assert!(agrees, "ours {ours}: {case}");
        compared += 1;
    }
    assert_eq!(compared, 256);
}
