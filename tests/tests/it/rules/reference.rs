//! NetBox's conditions told once more in Python, with Python's own operators and `re`, to ask about any case:
//! `tests/data/netbox/conditions.py`. What it says is first held against NetBox's recorded answers.

use std::{collections::BTreeMap, sync::LazyLock};

use hookbox::{
    config::Config,
    rules::{ConditionLimits, Conditions},
};
use hookbox_tests::python::Script;
use serde_json::{Value, json};

const SCRIPT: &str = include_str!("../../../data/netbox/conditions.py");
const RECORDED: &str = include_str!("../../../data/netbox-conditions.json");
const CASES: &str = include_str!("../../../data/condition-cases.json");

static LIMITS: LazyLock<ConditionLimits> =
    LazyLock::new(|| ConditionLimits::from(&Config::defaults().limits));

/// What NetBox says to one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answers {
    pub(super) v46: String,
    pub(super) v47: String,
}

pub(super) struct Reference(Script);

impl Reference {
    pub(super) fn start() -> Self {
        Self(Script::start(SCRIPT))
    }

    /// On an event's context, of which `data` and `snapshots` count.
    pub(super) fn answers(&mut self, conditions: &Value, context: &Value) -> Answers {
        let mut case = context.clone();
        case["conditions"] = conditions.clone();
        let said = self.0.ask(&case);
        let of = |version: &str| said[version].as_str().expect("an answer").to_owned();
        Answers {
            v46: of("4.6"),
            v47: of("4.7"),
        }
    }
}

/// What hookbox says, in NetBox's words, and its error.
pub(super) fn ours(conditions: &Value, context: &Value) -> (&'static str, String) {
    let parsed = match Conditions::parse(conditions, *LIMITS) {
        Err(errors) => return ("refused", errors.to_string()),
        Ok(None) => return ("none", String::new()),
        Ok(Some(parsed)) => parsed,
    };
    let evaluation = parsed.evaluate(context);
    match (evaluation.error, evaluation.matched) {
        (Some(error), false) => ("invalid", error),
        (Some(error), true) => ("an error that matches", error),
        (None, true) => ("true", String::new()),
        (None, false) => ("false", String::new()),
    }
}

/// Whether hookbox's answer is what NetBox's has to become here: the same, but an error for a crash.
pub(super) fn agrees(ours: &str, netbox: &str) -> bool {
    match netbox {
        "crash-on-save" => ours == "refused",
        "crash" => ours == "refused" || ours == "invalid",
        answer => ours == answer,
    }
}

#[test]
fn the_reference_says_what_netbox_said_in_every_recorded_case() {
    let recorded: Value = serde_json::from_str(RECORDED).expect("JSON");
    let mut reference = Reference::start();
    for case in recorded["cases"].as_array().expect("a list") {
        let snapshots = case["snapshots"].as_str().expect("a name");
        let context =
            json!({ "data": recorded["data"], "snapshots": recorded["snapshots"][snapshots] });
        let answers = reference.answers(&case["conditions"], &context);
        assert_eq!(
            (json!(answers.v46), json!(answers.v47)),
            (case["v46"].clone(), case["v47"].clone()),
            "{case}"
        );
    }
}

/// The answers of the cases that stand in a file are hookbox's, and are NetBox 4.7's; `differs` says where not,
/// and why.
#[test]
fn each_own_case_is_answered_as_by_netbox_or_differs_for_a_reason() {
    let cases: Value = serde_json::from_str(CASES).expect("JSON");
    let mut reference = Reference::start();
    let mut wrong = Vec::new();
    for case in cases["cases"].as_array().expect("a list") {
        let mut context = json!({ "data": case["data"] });
        if let Some(snapshots) = case.get("snapshots") {
            context["snapshots"] = snapshots.clone();
        }
        let netbox = reference.answers(&case["conditions"], &context).v47;
        let answer = case["answer"].as_str().expect("an answer");
        if agrees(answer, &netbox) == case.get("differs").is_some() {
            wrong.push(format!("{}: {answer}, NetBox {netbox}", case["name"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A value of each kind, with those that Python holds to be equal or nearly so.
fn values() -> Vec<Value> {
    let texts = [
        r#"null"#,
        "true",
        "false",
        "0",
        "1",
        "-1",
        "2",
        "1.0",
        "0.0",
        "-0.0",
        "1.5",
        "1e16",
        "9007199254740992",
        "9007199254740993",
        "9007199254740992.0",
        "18446744073709551615",
        "18446744073709551616.0",
        r#""""#,
        r#""a""#,
        r#""A""#,
        r#""ab""#,
        r#""b\na""#,
        r#""1""#,
        r#""é""#,
        r#""e\u0301""#,
        r#""true""#,
        "[]",
        "[null]",
        "[1]",
        "[1.0]",
        "[true]",
        r#"["a"]"#,
        r#"["b", "a"]"#,
        "[[1]]",
        "[[]]",
        r#"[{"a": 1}]"#,
        "{}",
        r#"{"a": 1}"#,
        r#"{"a": 1.0}"#,
        r#"{"b": 1, "a": true}"#,
        r#"{"1": null}"#,
    ];
    let parsed = texts.map(|text| serde_json::from_str(text).expect("JSON"));
    parsed.into()
}

#[test]
fn each_operator_answers_as_in_netbox_on_every_pair_of_kinds_of_values() {
    let operators = ["eq", "gt", "gte", "lt", "lte", "in", "contains", "regex"];
    let mut reference = Reference::start();
    let mut tally: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for op in operators {
        for found in values() {
            let context = json!({ "data": { "v": found } });
            for (i, value) in values().into_iter().enumerate() {
                let negate = i % 2 == 1;
                let conditions = json!({ "attr": "v", "op": op, "value": value, "negate": negate });
                let netbox = reference.answers(&conditions, &context);
                let (answer, _) = ours(&conditions, &context);
                if agrees(answer, &netbox.v47) && agrees(answer, &netbox.v46) {
                    *tally.entry(format!("{op} {answer}")).or_default() += 1;
                } else {
                    wrong.push(format!("{found} {op} {value}: {answer}, NetBox {netbox:?}"));
                }
            }
        }
    }
    println!("{tally:#?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// NetBox asks Python whether a rule has conditions at all.
#[test]
fn what_is_false_in_python_is_no_conditions() {
    let mut reference = Reference::start();
    let context = json!({"data": {"a": 1}, "snapshots": null});
    let mut none = 0;
    for text in [
        "null",
        "false",
        "true",
        "0",
        "-0",
        "0.0",
        "-0.0",
        "0e5",
        "1e-400",
        "1",
        "0.1",
        "\"\"",
        "\" \"",
        "\"0\"",
        "[]",
        "[[]]",
        "[0]",
        "[null]",
        "{}",
        "{\"and\": []}",
        "{\"or\": []}",
        "{\"\": 0}",
    ] {
        let conditions: Value = serde_json::from_str(text).expect("JSON");
        let (ours, _) = ours(&conditions, &context);
        let theirs = reference.answers(&conditions, &context);
        for netbox in [&theirs.v46, &theirs.v47] {
            assert!(agrees(ours, netbox), "{text}: NetBox {netbox}, ours {ours}");
        }
        none += usize::from(ours == "none");
    }
    assert_eq!(none, 11);
}
