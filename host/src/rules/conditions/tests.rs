//! Properties of conditions on anything whatever.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const LIMITS: ConditionLimits = ConditionLimits {
    bytes: 65_536,
    depth: 32,
    count: 1000,
};

fn json_value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-3_i64..3).prop_map(Value::from),
        any::<f64>().prop_map(|f| json!(f)),
        "[abé.^$]{0,3}".prop_map(Value::from),
    ];
    scalar.prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec(("[abc]", inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// Numbers around the places where types end and floats lose integers.
fn number() -> impl Strategy<Value = Value> {
    let near = proptest::sample::select(vec![0, 1 << 53, (1 << 62) - 1 + (1 << 62)]);
    let integer = (near, -3_i64..3).prop_map(|(n, d): (i64, i64)| n.saturating_add(d));
    prop_oneof![
        integer.clone().prop_map(Value::from),
        integer.prop_map(|n| json!(n as f64)),
        any::<u64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("JSON has no others", |f| f.is_finite())
            .prop_map(|f| json!(f)),
    ]
}

fn context() -> impl Strategy<Value = Value> {
    prop_oneof![
        json_value(),
        (json_value(), json_value(), json_value()).prop_map(|(data, before, after)| {
            json!({ "data": data, "snapshots": { "prechange": before, "postchange": after } })
        }),
        json_value().prop_map(|data| json!({ "data": data })),
    ]
}

/// Conditions, mostly valid ones.
fn leaf() -> impl Strategy<Value = Value> {
    let attr = prop_oneof![
        "[abc](\\.[abc]){0,2}",
        "snapshots(\\.(prechange|postchange|a)){0,2}(\\.[abc])?",
        ".{0,4}",
    ];
    let op = proptest::sample::select(vec![
        "eq",
        "gt",
        "gte",
        "lt",
        "lte",
        "in",
        "contains",
        "regex",
        "changed",
        "unchanged",
    ]);
    (attr, op, json_value(), any::<bool>()).prop_map(|(attr, op, value, negate)| {
        let mut condition = json!({ "attr": attr, "op": op, "negate": negate });
        if !op.ends_with("changed") {
            condition["value"] = match (op, value) {
                ("in", value) => json!([value, 1, "a"]),
                ("regex", value) => json!(value.as_str().unwrap_or("a+")),
                ("gt" | "gte" | "lt" | "lte", value) if !value.is_number() => json!(1),
                (_, value) => value,
            };
        }
        condition
    })
}

fn conditions() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(4, 20, 4, |inner| {
        (any::<bool>(), proptest::collection::vec(inner, 0..4)).prop_map(|(and, members)| {
            if and {
                json!({ "and": members })
            } else {
                json!({ "or": members })
            }
        })
    })
}

fn parsed(json: &Value) -> Option<Conditions> {
    Conditions::parse(json, LIMITS).ok().flatten()
}

proptest! {
    #[test]
    fn anything_is_parsed_or_refused_with_a_reason(json in prop_oneof![json_value(), conditions()]) {
        match Conditions::parse(&json, LIMITS) {
            Ok(_) => {}
            Err(errors) => {
                prop_assert!(!errors.0.is_empty());
                for error in &errors.0 {
                    prop_assert!(error.field.starts_with("conditions"));
                    prop_assert!(error.message.ends_with(['.', '?']), "{}", error.message);
                }
            }
        }
    }

    #[test]
    fn evaluation_never_panics_and_always_says_the_same(json in conditions(), context in context()) {
        if let Some(conditions) = parsed(&json) {
            let evaluation = conditions.evaluate(&context);
            prop_assert_eq!(&evaluation, &conditions.evaluate(&context));
            prop_assert!(!(evaluation.matched && evaluation.error.is_some()));
            prop_assert!(evaluation.trace.len() <= Evaluation::MAX_STEPS);
            prop_assert_eq!(&evaluation, &parsed(&json).expect("parsed before").evaluate(&context));
        }
    }

    #[test]
    fn negate_turns_answers_around_and_leaves_errors(mut json in leaf(), context in context()) {
        // No `prop_assume`: with many cases it would reject more than proptest allows.
        if context.get("data").is_none_or(Value::is_null) {
            return Ok(());
        }
        let plain = parsed(&json);
        json["negate"] = json!(!json["negate"].as_bool().unwrap_or_default());
        let negated = parsed(&json);
        prop_assert_eq!(plain.is_some(), negated.is_some());
        if let (Some(plain), Some(negated)) = (plain, negated) {
            let (plain, negated) = (plain.evaluate(&context), negated.evaluate(&context));
            prop_assert_eq!(&plain.error, &negated.error);
            if plain.error.is_none() {
                prop_assert_ne!(plain.matched, negated.matched);
            }
        }
    }

    #[test]
    fn changed_is_the_opposite_of_unchanged(attr in "[abc](\\.[abc])?", context in context()) {
        let [changed, unchanged] = ["changed", "unchanged"].map(|op| {
            parsed(&json!({ "attr": attr, "op": op })).expect("valid").evaluate(&context)
        });
        prop_assert_eq!(changed.error.is_some(), unchanged.error.is_some());
        if changed.error.is_none() {
            prop_assert_ne!(changed.matched, unchanged.matched);
        }
    }

    /// Whatever the fuel, the answer is the same as with all of it, or an error.
    #[test]
    fn fuel_never_changes_an_answer(json in conditions(), context in context(), units in 0_u64..500) {
        if let Some(conditions) = parsed(&json) {
            let full = conditions.evaluate(&context);
            let short = conditions.evaluate_with(&context, &mut Fuel::of(units), 100);
            let ran_out = short.error.as_deref().is_some_and(|e| e.contains("too much work"));
            prop_assert!(ran_out && !short.matched || short == full);
        }
    }

    #[test]
    fn of_two_numbers_one_is_less_or_they_are_equal(a in number(), b in number()) {
        let holds = |op| {
            parsed(&json!({ "attr": "v", "op": op, "value": b }))
                .expect("valid")
                .evaluate(&json!({ "data": { "v": a } }))
                .matched
        };
        let (lt, eq, gt) = (holds("lt"), holds("eq"), holds("gt"));
        prop_assert_eq!(u8::from(lt) + u8::from(eq) + u8::from(gt), 1);
        prop_assert_eq!(holds("lte"), lt || eq);
        prop_assert_eq!(holds("gte"), gt || eq);
    }

    #[test]
    fn every_text_is_a_pattern_or_is_refused(
        pattern in prop_oneof!["\\PC{0,20}", "[ab01.^$*+?{},()|\\[\\]\\\\dDwWsSbBAZx:imsP<>#-]{0,16}"],
        text in "[ab01é\n ]{0,8}",
    ) {
        if let Ok(pattern) = Pattern::compile(&pattern, Conditions::MAX_PATTERN_BYTES) {
            prop_assert!(pattern.is_match(&text, &mut Fuel::for_event()).is_ok());
        }
    }

    /// An escaped text matches itself at the start, and only there.
    #[test]
    fn escaped_text_matches_itself(text in "[\\x00-\\x7f]{1,8}") {
        let escaped: String = text
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("\\{c}") })
            .collect();
        let pattern = Pattern::compile(&escaped, Conditions::MAX_PATTERN_BYTES).expect("valid");
        prop_assert_eq!(pattern.is_match(&format!("{text}x"), &mut Fuel::for_event()), Ok(true));
        prop_assert_eq!(pattern.is_match(&format!("é{text}"), &mut Fuel::for_event()), Ok(false));
    }
}
