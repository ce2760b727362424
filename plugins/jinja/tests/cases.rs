//! The corpus: one file in `cases` per webhook, with the event (`event.json` where it names none), what
//! the webhook's fields are where they differ from the defaults, and the request or error to expect.
//! Cases marked `"jinja2": true` expect what Jinja2 itself made; `tests/tests/it/jinja2` holds them to it, by
//! `jinja2_check.py`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::fs;
use std::path::Path;

use hookbox_guest::{Decision, Event, FailureKind, Webhook};
use hookbox_jinja::{check, transform};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

/// Data and work are told apart by what was allocated, as in the component.
#[global_allocator]
static ALLOCATOR: hookbox_jinja::Counting = hookbox_jinja::Counting;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    about: String,
    #[serde(default)]
    #[expect(dead_code, reason = "for jinja2_check.py")]
    jinja2: bool,
    event: Option<Value>,
    webhook: Value,
    expect: Value,
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"))
}

fn render(event: &str, webhook: &Webhook) -> Value {
    hookbox_guest::testing::set_secret("token", "hbs_token");
    match transform(&Event::from_text(event), webhook) {
        Ok(Decision::Send(request)) => json!({
            "url": request.url,
            "headers": request.headers,
            "body": String::from_utf8(request.body).unwrap(),
        }),
        Ok(Decision::Skip(_)) => panic!("templates never skip"),
        Err(failure) => json!({"error": {
            "kind": failure.kind,
            "field": failure.field,
            "line": failure.line,
            "message": failure.message,
        }}),
    }
}

/// Whether the error is the expected one; of its message a part is enough.
fn agrees(got: &Value, expected: &Value) -> bool {
    let part = expected.pointer("/error/message").and_then(Value::as_str);
    let message = got.pointer("/error/message").and_then(Value::as_str);
    match (part, message) {
        (Some(part), Some(message)) if message.contains(part) => ["kind", "field", "line"]
            .iter()
            .all(|key| got["error"][key] == expected["error"][key]),
        _ => got == expected,
    }
}

// One test for all cases. The counters belong to the whole process, which is this test's alone where
// tests are run by nextest; elsewhere the other tests here may disturb what kind a bomb is called.
#[test]
fn the_corpus_renders_as_expected() {
    let standard = fs::read_to_string(folder().join("event.json")).unwrap();
    let mut wrong = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(folder().join("cases")).unwrap() {
        let path = entry.unwrap().path();
        let case: Case = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let mut webhook: Webhook = serde_json::from_value(case.webhook.clone()).unwrap();
        if webhook.payload_url.is_empty() {
            webhook.payload_url = "https://example.com/".to_owned();
        }
        let event = case
            .event
            .map_or_else(|| standard.clone(), |event| event.to_string());
        let got = render(&event, &webhook);
        count += 1;
        if !agrees(&got, &case.expect) {
            wrong.push(format!(
                "{}: {}\n  expected {}\n  got      {got}",
                path.file_name().unwrap().display(),
                case.about,
                case.expect
            ));
        }
        // Names are looked up when they are used; `check` sees what does not parse at all.
        let unparsable = got.pointer("/error/kind") == Some(&json!(FailureKind::TemplateSyntax))
            && !case.about.starts_with("An unknown");
        assert_eq!(
            check(&webhook).is_err(),
            unparsable,
            "{}: check",
            path.display()
        );
    }
    assert!(count > 60, "only {count} cases");
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// Any JSON value, with text that JSON, Jinja2 or HTTP might trip over.
fn json_values() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        any::<String>(),
        "[\"\\\\{}%#\u{0}-\u{1f}\u{7f}\u{85}\u{2028}é😀]{0,8}"
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((text.clone(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// The value as this reader reads it: its floats are not exact to the last digit.
fn reread(value: &Value) -> Value {
    serde_json::from_str(&value.to_string()).unwrap()
}

fn body(webhook: Value, event: &Value) -> Value {
    let webhook: Webhook = serde_json::from_value(webhook).unwrap();
    let got = render(&event.to_string(), &webhook);
    let body = got["body"].as_str().unwrap_or_else(|| panic!("{got}"));
    serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {body}"))
}

/// Ways in which a value can come into a body.
const SHAPES: [&str; 16] = [
    r#"{"text": "{{ x }}", "n": {{ y }}}"#,
    r#"{"a": {{ x|safe }}, "b": "{{ x|safe }}", "c": {{ y|string|safe }}}"#,
    r#"{"a": {{ x|escape }}, "b": {{ x|e|upper }}, "c": "{{ y|forceescape }}"}"#,
    r#"{"a": {{ x|tojson }}, "b": "{{ x|tojson }}", "c": {{ y|tojson(indent=2) }}, "d": {{ y|tojson|safe }}}"#,
    r#"{% set z %}{{ x }}"{{ y }}{% endset %}{"a": "{{ z }}", "b": {{ z }}, "c": {{ z|safe }}}"#,
    r#"{% macro m(a) %}<{{ a }}">{% endmacro %}{"a": "{{ m(x) }}", "b": {{ m(y) }}, "c": {{ m(x)|safe }}}"#,
    r#"{% macro m() %}"{{ caller() }}{% endmacro %}{"a": "{% call m() %}{{ x }}\{% endcall %}"}"#,
    r#"{"a": "{% filter upper %}{{ x }}"{% endfilter %}", "b": {% filter trim %} {{ y }}{% endfilter %}}"#,
    r#"[{% for i in l %}{{ i }}, "{{ i }}"{% if not loop.last %},{% endif %}{% endfor %}]"#,
    r#"{% autoescape true %}{"a": "{{ x }}", "b": {{ x }}, "c": {{ y }}, "d": {{ x|safe }}}{% endautoescape %}"#,
    r#"{% autoescape true %}{% set z %}{{ x }}{% endset %}{"a": {{ z }}, "b": "{{ z }}"}{% endautoescape %}"#,
    r#"{"a": {{ x ~ y }}, "b": "{{ '%s' % x }}", "c": {{ [x, y]|join('"') }}, "d": {{ (x, y) }}}"#,
    r#"{"a": {{ x|regex_replace('.', '"') }}, "b": "{{ x|replace('a', '\\') }}", "c": {{ missing }}}"#,
    r#"{"a": "{{ x }}{{ y }}", "b": {{ {'k': x, 'v': y} }}, "c": {{ l|list }}, "d": {{ range(2) | list }}}"#,
    r#"{% block b %}{"a": "{{ x }}", "b": {{ y }}}{% endblock %}"#,
    r#"{"a": {{ x|urlize }}, "b": {{ {'k': x}|xmlattr }}, "c": "{{ y|pprint }}", "d": {{ y|pprint }}}"#,
];

proptest! {
    #[test]
    fn an_escaped_body_is_json_whatever_the_values(x in any::<String>(), y in json_values()) {
        let webhook = json!({
            "body_escape": "json",
            "body_template": r#"{"text": "a {{ x }} b", "n": {{ y }}, "both": ["{{ y }}", {{ x }}]}"#,
        });
        let made = body(webhook, &json!({"x": x, "y": y}));
        prop_assert_eq!(&made["text"], &json!(format!("a {x} b")));
        prop_assert_eq!(&made["n"], &reread(&y));
        prop_assert_eq!(&made["both"][1], &json!(x));
    }

    #[test]
    fn an_escaped_body_is_json_however_the_values_get_there(x in any::<String>(), y in json_values(), shape in 0..SHAPES.len()) {
        let webhook = json!({"body_escape": "json", "body_template": SHAPES[shape]});
        body(webhook, &json!({"x": x, "y": y, "l": [x, y]}));
    }

    #[test]
    fn the_default_body_and_tojson_are_the_event_itself(y in json_values()) {
        let event = json!({"event": "created", "data": y});
        prop_assert_eq!(&body(json!({}), &event), &reread(&event));
        prop_assert_eq!(body(json!({"body_template": "{{ data | tojson }}"}), &event), reread(&y));
    }

    #[test]
    fn no_value_makes_a_header(x in any::<String>(), y in json_values()) {
        let webhook: Webhook = serde_json::from_value(json!({
            "body_template": "x",
            "additional_headers": "A: {{ x }}\nB: {{ y }}",
        })).unwrap();
        let got = render(&json!({"x": x, "y": y}).to_string(), &webhook);
        let names: Vec<_> = got["headers"].as_array().unwrap().iter().map(|h| &h[0]).collect();
        prop_assert_eq!(names, ["Content-Type", "A", "B"]);
    }

    #[test]
    fn no_argument_makes_a_filter_panic(
        value in prop_oneof![any::<String>(), "[0-9a-f:./%-]{0,30}", "[0-9TZ:+., -]{0,30}", "[A-Za-z0-9+/=é日\n]{0,20}"],
        one in prop_oneof![any::<String>(), "[a-c\\[\\](){}?*+^$|&~\\\\wdsZb0-9,<>P:é日!@'`\".-]{0,30}", "(%[-_0^#]?[a-zA-Z%]|[0-9 :-]){0,10}"],
        two in prop_oneof![any::<String>(), "[a\\\\0-9g<>é]{0,12}"],
        number in any::<i64>(),
    ) {
        let event = json!({"v": value, "a": one, "b": two, "n": number, "l": [value, one, {"a": {"b": two}}, [number]]});
        for filter in [
            "v|regex_replace(a, b)", "v|regex_replace(a, b, true, true, n)", "v|regex_search(a, b)",
            "v|regex_findall(a, ignorecase=true)", "v|b64encode(a)", "v|b64decode", "v|hash(a)", "v|hmac(b)",
            "v|to_datetime", "v|to_datetime(a)", "(v|to_datetime).timestamp()", "v|to_datetime|strftime(a)", "a|strftime(n)",
            "a|strftime(n / 1000)", "v|ipaddr", "v|ipaddr(b)", "v|ipaddr(n)", "l|ipaddr(b)", "v|header_safe",
        ] {
            let webhook = Webhook { body_template: format!("{{{{ {filter} }}}}"), ..Webhook::default() };
            let _ = render(&event.to_string(), &webhook);
        }
    }

    #[test]
    fn no_template_and_no_event_makes_it_panic(template in "[{}%#|a-z0-9 .()\\[\\]'\"*~+-]{0,60}", event in any::<String>()) {
        let webhook = Webhook { body_template: template, ..Webhook::default() };
        let _ = check(&webhook);
        let _ = render(r#"{"a": {"b": [1, "x"]}}"#, &webhook);
        let _ = render(&event, &webhook);
    }
}
