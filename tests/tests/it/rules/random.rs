//! Random conditions on random events: hookbox beside NetBox's rules in Python. What differs is shrunk to the
//! smallest that does.
//!
//! A long run by hand: `HOOKBOX_CONDITIONS_CASES=100000 HOOKBOX_CONDITIONS_SEED=7 tests/run -E
//! 'test(random_conditions)'`.

use std::cell::{Cell, RefCell};

use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::select,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner},
};
use serde_json::{Map, Value, json};

use super::reference::{Reference, agrees, ours};

const PATTERNS: &str = include_str!("../../../data/python-patterns.json");

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Few, so that they are often equal or nearly so.
fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => Just(Value::Null),
        2 => any::<bool>().prop_map(Value::from),
        4 => (-1_i64..3).prop_map(Value::from),
        2 => select(vec![0.0, -0.0, 1.0, 2.0, 0.5, 1e16, 1e-7, 1.8446744073709552e19]).prop_map(Value::from),
        1 => select(vec![1_u64 << 53, (1 << 53) + 1, (1 << 63) - 1, 1 << 63, u64::MAX]).prop_map(Value::from),
        4 => select(vec!["", "a", "b", "ab", "A", "é", "e\u{301}", "a\nb", "ab\n", "1", "null", "Zürich ☃", "😀"])
            .prop_map(Value::from),
    ]
}

fn value(depth: u32) -> impl Strategy<Value = Value> {
    scalar().prop_recursive(depth, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            object(inner.clone()),
            // As related objects come.
            vec(object(inner), 0..3).prop_map(Value::from),
        ]
    })
}

fn key() -> impl Strategy<Value = &'static str> {
    select(vec!["a", "a", "b", "b", "c", ""])
}

fn object(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    vec((key(), values), 0..4).prop_map(|pairs| {
        let pairs = pairs.into_iter().map(|(k, v)| (k.to_owned(), v));
        Value::Object(pairs.collect())
    })
}

/// The parts of an event's context that conditions see.
fn context() -> impl Strategy<Value = Value> {
    let data = prop_oneof![1 => Just(Value::Null), 12 => object(value(3))];
    let side = prop_oneof![1 => Just(Value::Null), 3 => object(value(2))];
    let snapshots = prop_oneof![
        8 => (side.clone(), side.clone())
            .prop_map(|(before, after)| json!({ "prechange": before, "postchange": after })),
        1 => side.prop_map(|before| json!({ "prechange": before })),
        1 => scalar(),
    ];
    (data, option::of(snapshots)).prop_map(|(data, snapshots)| {
        let mut context = json!({ "data": data });
        if let Some(snapshots) = snapshots {
            context["snapshots"] = snapshots;
        }
        context
    })
}

fn attr() -> impl Strategy<Value = String> {
    let path = || vec(key(), 1..4).prop_map(|keys| keys.join("."));
    let side = select(vec!["prechange", "prechange", "postchange", "c", ""]);
    prop_oneof![
        6 => path(),
        3 => (side, path()).prop_map(|(side, path)| format!("snapshots.{side}.{path}")),
        1 => select(vec!["snapshots", "snapshots.prechange", "snapshots.postchange", "snapshots.prechange."])
            .prop_map(str::to_owned),
    ]
}

/// Python's, those whose answers are known to differ left out.
fn pattern() -> impl Strategy<Value = Value> {
    let patterns: Value = serde_json::from_str(PATTERNS).expect("JSON");
    let valid = patterns["matches"].as_array().expect("a list").iter();
    let valid: Vec<Value> = valid.map(|entry| entry[0].clone()).collect();
    let rest = [&patterns["invalid"], &patterns["unsupported"]];
    let rest: Vec<Value> = rest
        .into_iter()
        .flat_map(|list| list.as_array().expect("a list"))
        .cloned()
        .collect();
    let boundary = |p: &Value| {
        p.as_str()
            .is_some_and(|p| p.contains(r"\b") || p.contains(r"\B"))
    };
    let valid: Vec<Value> = valid.into_iter().filter(|p| !boundary(p)).collect();
    prop_oneof![20 => select(valid), 1 => select(rest)]
}

fn leaf() -> impl Strategy<Value = Value> {
    let ops = vec![
        "eq",
        "eq",
        "gt",
        "gte",
        "lt",
        "lte",
        "in",
        "in",
        "contains",
        "contains",
        "regex",
        "changed",
        "unchanged",
    ];
    let valid = (
        attr(),
        select(ops),
        value(1),
        vec(value(1), 0..3),
        pattern(),
    );
    let valid = valid.prop_map(|(attr, op, value, list, pattern)| {
        let value = match (op, value) {
            ("changed" | "unchanged", _) => None,
            ("regex", _) => Some(pattern),
            ("in", _) | (_, Value::Object(_)) => Some(Value::Array(list)),
            ("gt" | "gte" | "lt" | "lte", value) if !value.is_number() => Some(json!(1)),
            ("contains", Value::Null) => Some(json!("a")),
            (_, value) => Some(value),
        };
        let mut leaf = json!({ "attr": attr, "op": op });
        leaf.as_object_mut()
            .expect("an object")
            .extend(value.map(|v| ("value".to_owned(), v)));
        leaf
    });
    let any = (
        attr(),
        option::of(value(1)),
        option::of(select(vec!["eq", "in", "changed", "neq", "EQ"])),
    )
        .prop_map(|(attr, value, op)| {
            let value = value.map(|v| ("value".to_owned(), v));
            let op = op.map(|op| ("op".to_owned(), json!(op)));
            let attr = Some(("attr".to_owned(), json!(attr)));
            Value::Object(
                attr.into_iter()
                    .chain(value)
                    .chain(op)
                    .collect::<Map<_, _>>(),
            )
        });
    let leaf = prop_oneof![20 => valid, 1 => any];
    (leaf, option::of(value(1))).prop_map(|(mut leaf, negate)| {
        if let Some(negate) = negate {
            leaf["negate"] = negate;
        }
        leaf
    })
}

fn conditions() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 12, 4, |inner| {
        let logic =
            prop_oneof![30 => select(vec!["and", "or"]), 1 => select(vec!["AND", "Or", "c"])];
        (logic, vec(inner, 0..4)).prop_map(|(logic, members)| json!({ logic: members }))
    })
}

fn leaves(conditions: &Value) -> Vec<&Value> {
    match conditions.get("and").or_else(|| conditions.get("or")) {
        Some(members) => {
            let members = members.as_array().into_iter().flatten();
            members.flat_map(leaves).collect()
        }
        None => vec![conditions],
    }
}

/// A regular expression that Python refuses when it gets there, or that needs backtracking.
fn has_a_pattern_refused_here(conditions: &Value) -> bool {
    leaves(conditions).into_iter().any(|leaf| {
        leaf["op"] == "regex"
            && ours(
                &json!({ "attr": "a", "op": "regex", "value": leaf["value"] }),
                &Value::Null,
            )
            .0 == "refused"
    })
}

/// What came with 4.7: conditions on snapshots, and an answer where there is no data.
fn is_known_to_4_6(conditions: &Value, context: &Value) -> bool {
    let old = |leaf: &Value| {
        let attr = leaf["attr"].as_str().unwrap_or_default();
        let op = leaf["op"].as_str().unwrap_or("eq");
        attr.split('.').next() != Some("snapshots") && !op.ends_with("changed")
    };
    !context["data"].is_null() && leaves(conditions).into_iter().all(old)
}

#[test]
fn random_conditions_answer_as_in_netbox() {
    let cases = number("HOOKBOX_CONDITIONS_CASES", 4000);
    let seed = number("HOOKBOX_CONDITIONS_SEED", 1);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: u32::try_from(cases).expect("fewer"),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let reference = RefCell::new(Reference::start());
    let tally: [Cell<u32>; 4] = Default::default();
    let outcome = runner.run(&(conditions(), context()), |(conditions, context)| {
        let netbox = reference.borrow_mut().answers(&conditions, &context);
        let (answer, error) = ours(&conditions, &context);
        if has_a_pattern_refused_here(&conditions) {
            prop_assert_eq!(answer, "refused");
            return Ok(());
        }
        let kinds = ["true", "false", "invalid", "refused"];
        let kind = kinds
            .iter()
            .position(|kind| *kind == answer)
            .expect("one of these");
        tally[kind].set(tally[kind].get() + 1);
        let known = is_known_to_4_6(&conditions, &context);
        if agrees(answer, &netbox.v47) && (!known || agrees(answer, &netbox.v46)) {
            return Ok(());
        }
        Err(TestCaseError::fail(format!(
            "{answer} {error:?}, {netbox:?}"
        )))
    });
    match outcome {
        Ok(()) => println!(
            "{cases} random conditions from seed {seed}: {tally:?} true, false, invalid, refused"
        ),
        Err(TestError::Fail(reason, (conditions, context))) => {
            panic!("{conditions} on {context}: {reason}")
        }
        Err(other) => panic!("{other}"),
    }
    let [yes, no, ..] = tally;
    assert!(
        yes.get() * 20 > no.get() && no.get() * 20 > yes.get(),
        "the dice are loaded"
    );
}
