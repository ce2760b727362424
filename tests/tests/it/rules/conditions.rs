//! Conditions case by case, from `tests/data/condition-cases.json`, and the limits that hold them.

use std::mem::ManuallyDrop;

use hookbox::{
    config::Config,
    rules::{ConditionLimits, Conditions, Evaluation},
};
use serde_json::{Value, json};

const CASES: &str = include_str!("../../../data/condition-cases.json");

fn limits() -> ConditionLimits {
    ConditionLimits::from(&Config::defaults().limits)
}

fn refusal(conditions: &Value) -> String {
    Conditions::parse(conditions, limits())
        .map(|_| ())
        .expect_err("refused")
        .to_string()
}

fn evaluate(conditions: &Value, context: &Value) -> Evaluation {
    let parsed = Conditions::parse(conditions, limits()).expect("accepted");
    parsed.expect("there are conditions").evaluate(context)
}

#[test]
fn each_case_is_answered_as_it_says() {
    let cases: Value = serde_json::from_str(CASES).expect("JSON");
    let mut wrong = Vec::new();
    for case in cases["cases"].as_array().expect("a list") {
        let mut context = json!({ "data": case["data"] });
        if let Some(snapshots) = case.get("snapshots") {
            context["snapshots"] = snapshots.clone();
        }
        let (answer, error) = match Conditions::parse(&case["conditions"], limits()) {
            Err(errors) => ("refused", errors.to_string()),
            Ok(None) => ("no conditions", String::new()),
            Ok(Some(conditions)) => {
                let evaluation = conditions.evaluate(&context);
                match (evaluation.error, evaluation.matched) {
                    (Some(error), false) => ("invalid", error),
                    (Some(error), true) => ("matches with an error", error),
                    (None, true) => ("true", String::new()),
                    (None, false) => ("false", String::new()),
                }
            }
        };
        let says = case.get("says").map_or("", |s| s.as_str().expect("text"));
        if answer != case["answer"] || !error.contains(says) {
            wrong.push(format!("{}: {answer} {error:?}", case["name"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn null_an_empty_object_and_empty_text_are_no_conditions() {
    for none in [json!(null), json!({}), json!("")] {
        assert!(
            Conditions::parse(&none, limits())
                .expect("accepted")
                .is_none()
        );
    }
}

#[test]
fn the_trace_tells_each_step_in_words() {
    let conditions = json!({ "and": [
        { "attr": "status.value", "value": "active" },
        { "or": [
            { "attr": "tags.slug", "op": "contains", "value": "core", "negate": true },
            { "attr": "never", "value": "looked at" },
        ] },
        { "attr": "site", "op": "changed" },
    ] });
    let context = json!({
        "data": { "status": { "value": "active" }, "tags": [{ "slug": "edge" }] },
        "snapshots": { "prechange": { "site": 1 }, "postchange": { "site": 1 } },
    });
    let evaluation = evaluate(&conditions, &context);
    let trace: Vec<String> = evaluation
        .trace
        .iter()
        .map(|s| {
            let actual = s
                .actual
                .as_ref()
                .map(|a| format!(" on {a}"))
                .unwrap_or_default();
            format!("{}: {}{actual} = {:?}", s.path, s.condition, s.result)
        })
        .collect();
    assert!(!evaluation.matched);
    assert_eq!(
        trace,
        [
            r#": all of 3 = Some(false)"#,
            r#"and[0]: status.value eq "active" on "active" = Some(true)"#,
            r#"and[1]: any of 2 = Some(true)"#,
            r#"and[1].or[0]: not tags.slug contains "core" on ["edge"] = Some(true)"#,
            r#"and[2]: site changed on {"prechange":1,"postchange":1} = Some(false)"#,
        ]
    );
}

#[test]
fn a_step_that_fails_carries_the_error_and_no_result() {
    let conditions = json!({ "or": [{ "attr": "name", "op": "gt", "value": 1 }, { "and": [] }] });
    let evaluation = evaluate(&conditions, &json!({ "data": { "name": "x" } }));
    let error = r#"`gt` needs a number, and "name" is text."#;
    assert_eq!(evaluation.error.as_deref(), Some(error));
    let step = &evaluation.trace[1];
    assert_eq!((step.result, step.error.as_deref()), (None, Some(error)));
    assert_eq!(evaluation.trace[0].result, None);
}

#[test]
fn traces_are_short_however_large_the_values() {
    let long = "é".repeat(10_000);
    let deep = json!([[[[long]]], long, vec![json!({ &*long: long }); 100]]);
    let members: Vec<Value> = (0..500)
        .map(|i| json!({ "attr": "v", "value": i, "negate": true }))
        .collect();
    let evaluation = evaluate(
        &json!({ "and": members }),
        &json!({ "data": { "v": deep } }),
    );
    assert!(evaluation.matched);
    assert_eq!(evaluation.trace.len(), Evaluation::MAX_STEPS);
    let size = serde_json::to_string(&evaluation).expect("JSON").len();
    assert!(size < 300_000, "{size} bytes");
    let shown = evaluation.trace[1]
        .actual
        .as_ref()
        .expect("a value")
        .to_string();
    assert!(
        shown.contains("(90 more)") || shown.contains("items"),
        "{shown}"
    );
}

#[test]
fn limits_are_exact_and_named() {
    let leaf = json!({ "attr": "a", "value": 1 });
    let nested = |depth| (0..depth).fold(leaf.clone(), |inner, _| json!({ "and": [inner] }));
    assert!(Conditions::parse(&nested(32), limits()).is_ok());
    assert!(refusal(&nested(33)).contains("nested more than 32 deep"));

    let many = |n| json!({ "or": vec![leaf.clone(); n] });
    assert!(Conditions::parse(&many(999), limits()).is_ok());
    assert!(refusal(&many(1000)).contains("more than 1000 conditions"));

    let long = |n| json!({ "attr": "a", "value": "x".repeat(n) });
    assert!(Conditions::parse(&long(65_000), limits()).is_ok());
    assert!(refusal(&long(65_536)).contains("longer than 65536 bytes"));
}

fn object(key: &str, value: Value) -> Value {
    Value::Object([(key.to_owned(), value)].into_iter().collect())
}

#[test]
fn depth_bombs_are_refused_without_recursion() {
    let mut lists = json!(1);
    let mut groups = json!({ "attr": "a", "value": 1 });
    for _ in 0..10_000 {
        lists = Value::Array(vec![lists]);
        groups = object("and", Value::Array(vec![groups]));
    }
    // Dropping a value this deep is itself recursive; that is serde_json's affair and not under test.
    let lists = ManuallyDrop::new(object("attr", lists));
    let groups = ManuallyDrop::new(groups);
    assert!(refusal(&lists).contains("deep"));
    assert!(refusal(&groups).contains("deep"));
}

#[test]
fn patterns_that_would_compile_large_are_refused_quickly() {
    let start = std::time::Instant::now();
    let bombs = [
        r"(((\w{1000}){1000}){1000}){1000}".to_owned(),
        r"(?i)(((((\w\W\s\d){50}){50}){50}){50})".to_owned(),
        "(a?){100000}".to_owned(),
        "(".repeat(1000),
        r"\w".repeat(500),
        format!("(?i){}", r"[\w]".repeat(249)),
        format!("(?i){}", r"[^\W]".repeat(199)),
        format!("(?i){}", r"[\w\W]".repeat(160)),
        format!("(?i){}", r"[\s\S]".repeat(160)),
        r"[\w\W]".repeat(160),
        format!("(?i){}", "[\\x00-\u{10ffff}]".repeat(80)),
        "x".repeat(1001),
        format!("{}a{}", "(?:".repeat(200), "){2}".repeat(200)),
        format!("{}a{}", "(?:".repeat(49), "){2}".repeat(49)),
    ];
    for bomb in bombs {
        let error = refusal(&json!({ "attr": "a", "op": "regex", "value": bomb }));
        assert!(error.starts_with("conditions.value: "), "{error}");
    }
    let many: Vec<Value> = (0..600)
        .map(|_| json!({ "attr": "a", "op": "regex", "value": r"\w+\w+" }))
        .collect();
    let error = refusal(&json!({ "or": many }));
    assert!(error.contains("large"), "{error}");
    println!("{:?}", start.elapsed());
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}

#[test]
fn work_on_one_event_is_bounded_and_running_out_is_an_error() {
    let leaf = json!({ "attr": "v", "op": "contains", "value": 7 });
    let mapped = json!({ "attr": "v.a", "value": 7 });
    let hostile = [
        (json!({ "or": vec![leaf; 999] }), json!(vec![1; 300_000])),
        (
            json!({ "or": vec![mapped; 999] }),
            json!(vec![json!({ "a": 1 }); 100_000]),
        ),
    ];
    for (conditions, value) in hostile {
        let context = json!({ "data": { "v": value } });
        let start = std::time::Instant::now();
        let evaluation = evaluate(&conditions, &context);
        println!("{:?}", start.elapsed());
        let error = evaluation.error.expect("out of fuel");
        assert!(
            !evaluation.matched && error.contains("too much work"),
            "{error}"
        );
        assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
    }
}

#[test]
fn a_pattern_that_needs_every_state_at_every_byte_runs_out_before_it_takes_long() {
    for pattern in [
        "(?:a?){400}(?:a?){400}b",
        "(?:.*.*.*a)+x",
        r"(?:\w?){3}\d",
        "(?:(?:a?){20}){20}(?:a*){20}b",
    ] {
        let conditions = json!({ "attr": "v", "op": "regex", "value": pattern });
        let (mut ran_out, mut length) = (false, 1_000_000);
        // From the longest text down to the first that is affordable: that one costs the most.
        loop {
            let context = json!({ "data": { "v": "a".repeat(length) } });
            let start = std::time::Instant::now();
            let evaluation = evaluate(&conditions, &context);
            assert!(
                start.elapsed().as_secs() < 5,
                "{pattern} took {:?}",
                start.elapsed()
            );
            assert!(!evaluation.matched);
            if evaluation.error.is_none() {
                println!("{pattern} on {length} bytes: {:?}", start.elapsed());
                break;
            }
            ran_out = true;
            length = length * 9 / 10;
        }
        assert!(ran_out || length == 1_000_000);
        assert!(
            length > 200,
            "{pattern} is affordable only on {length} bytes"
        );
    }
}
