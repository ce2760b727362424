//! NetBox's conditions are Python underneath: what CPython answers, recorded by `tests/data/python_oracle.py`.

use hookbox::{
    config::Config,
    rules::{ConditionLimits, Conditions},
};
use serde_json::{Value, json};

const PATTERNS: &str = include_str!("../../../data/python-patterns.json");
const COMPARISONS: &str = include_str!("../../../data/python-comparisons.json");

fn parse(conditions: &Value) -> Result<Conditions, String> {
    let limits = ConditionLimits::from(&Config::defaults().limits);
    Conditions::parse(conditions, limits)
        .map(|conditions| conditions.expect("there are conditions"))
        .map_err(|errors| errors.to_string())
}

fn regex(pattern: &str) -> Result<Conditions, String> {
    parse(&json!({ "attr": "text", "op": "regex", "value": pattern }))
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array()
        .expect("a list")
        .iter()
        .map(|v| v.as_str().expect("text"))
}

/// Python's word boundary knows vulgar fractions as letters, and (before 3.14) no `\B` in an empty text.
const KNOWN_DIFFERENCES: [(&str, &str); 3] = [(r"\b", "½"), (r"\B", ""), (r"\B", "½")];

#[test]
fn patterns_match_what_they_match_in_python() {
    let recorded: Value = serde_json::from_str(PATTERNS).expect("JSON");
    let mut wrong = Vec::new();
    let mut checked = 0;
    for entry in recorded["matches"].as_array().expect("a list") {
        let pattern = entry[0].as_str().expect("text");
        let conditions = match regex(pattern) {
            Ok(conditions) => conditions,
            Err(error) => {
                wrong.push(format!("{pattern:?} is refused: {error}"));
                continue;
            }
        };
        for (i, text) in strings(&recorded["texts"]).enumerate() {
            let theirs = entry[1].as_array().expect("a list").contains(&json!(i));
            let ours = conditions.evaluate(&json!({ "data": { "text": text } }));
            assert_eq!(ours.error, None);
            let known = KNOWN_DIFFERENCES.contains(&(pattern, text));
            if (ours.matched != theirs) != known {
                wrong.push(format!(
                    "{pattern:?} on {text:?}: Python {theirs}, ours {}",
                    ours.matched
                ));
            }
            checked += 1;
        }
    }
    println!("{checked} pairs of pattern and text checked");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn patterns_that_python_refuses_or_that_need_backtracking_are_refused_with_a_reason() {
    let recorded: Value = serde_json::from_str(PATTERNS).expect("JSON");
    for pattern in strings(&recorded["invalid"]).chain(strings(&recorded["unsupported"])) {
        let error = regex(pattern).map(|_| ()).expect_err(pattern);
        assert!(
            error.starts_with("conditions.value: "),
            "{pattern}: {error}"
        );
        assert!(
            !error.contains("regex crate") && !error.contains("\\x{"),
            "{pattern}: {error}"
        );
    }
}

#[test]
fn values_compare_as_in_python() {
    let recorded: Value = serde_json::from_str(COMPARISONS).expect("JSON");
    let mut wrong = Vec::new();
    for case in recorded["cases"].as_array().expect("a list") {
        let (value, op, reference, theirs) = (&case[0], &case[1], &case[2], &case[3]);
        let conditions =
            parse(&json!({ "attr": "v", "op": op, "value": reference })).expect("accepted");
        let evaluation = conditions.evaluate(&json!({ "data": { "v": value } }));
        let ours = match evaluation.error {
            None => json!(evaluation.matched),
            Some(_) => Value::Null,
        };
        if ours != *theirs {
            wrong.push(format!(
                "{value} {op} {reference}: Python {theirs}, ours {ours}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
