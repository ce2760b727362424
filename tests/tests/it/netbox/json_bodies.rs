//! JSON that templates write: with `body_escape: "json"` it cannot come out broken, whatever the values; without,
//! a body that is broken is sent with a warning that says where.

use hookbox::model::{BodyEscape, WebhookSpec};
use hookbox_tests::{
    process::{hookbox, stdout},
    server::Server,
    sink::Sink,
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use serde_json::{Value, json};

use super::{file, wire::Renderer};

/// Text that JSON, Jinja2 or Python could stumble over.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[\"\\\\{}\\[\\],:'%#\n\r\t\u{0}\u{1f}\u{7f}\u{85}\u{2028}\u{2029}\u{feff}é😀a ]{0,12}",
        Just(r#""}, "admin": true, "x": {"y": ""#.to_owned()),
        Just("{{ 7 * 7 }}{% raw %}".to_owned()),
    ]
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // serde_json reads some of the longest numbers a bit off, and so would not find them again.
        (any::<i32>(), -300_i32..300).prop_map(|(n, e)| json!(f64::from(n) * 10_f64.powi(e))),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((text(), inner), 0..4).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

#[test]
fn an_escaped_body_is_json_whatever_the_values() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let renderer = Renderer::new();
    let spec = WebhookSpec {
        name: "w".to_owned(),
        payload_url: "http://example.com/".to_owned(),
        body_template: r#"{"text": "{{ data.x }}", "n": {{ data.y }}}"#.to_owned(),
        body_escape: BodyEscape::Json,
        ..WebhookSpec::default()
    };
    let config = Config {
        cases: 400,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    let outcome = runner.run(&(values(), values()), |(x, y)| {
        // As read from text: what a float is written as may be read as its neighbour.
        let event = json!({"event": "created", "data": {"x": x, "y": y}}).to_string();
        let read: Value = serde_json::from_str(&event).unwrap();
        let sent = runtime
            .block_on(renderer.send(&spec, &event))
            .map_err(TestCaseError::fail)?;
        let body: Value = serde_json::from_slice(&sent.3).map_err(|e| {
            TestCaseError::fail(format!("{e}: {}", String::from_utf8_lossy(&sent.3)))
        })?;
        prop_assert_eq!(body.as_object().unwrap().len(), 2);
        prop_assert!(body["text"].is_string());
        if x.is_string() {
            prop_assert_eq!(&body["text"], &x);
        }
        let n = &body["n"];
        prop_assert!(
            n == &read["data"]["y"] || y.is_f64() && n.as_f64() == y.as_f64(),
            "{} is not {}",
            n,
            y
        );
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

/// That a text counts as HTML does not make it JSON: what event data is in it is one string.
#[tokio::test]
async fn only_what_tojson_makes_and_an_author_calls_safe_stands_as_json() {
    let renderer = Renderer::new();
    let render = |expression: &str, x: &str| {
        let body_template = format!(r#"{{%autoescape true%}}{expression}{{%endautoescape%}}"#);
        let spec = WebhookSpec {
            name: "w".to_owned(),
            payload_url: "http://example.com/".to_owned(),
            body_template,
            body_escape: BodyEscape::Json,
            ..WebhookSpec::default()
        };
        let event = json!({"event": "created", "data": {"x": x}}).to_string();
        let renderer = &renderer;
        async move {
            let sent = renderer.send(&spec, &event).await.expect("it renders");
            serde_json::from_slice::<Value>(&sent.3).expect("it is JSON")
        }
    };
    for x in ["[1]", r#"{"admin": true}"#, "true", "7"] {
        for data in [
            "{% set x %}{{ data.x }}{% endset %}{{ x }}",
            "{% set x %}{{ data.x }}{% endset %}{{ x | trim }}",
            "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(data.x) }}",
            "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{{ data.x }}{% endcall %}",
            "{% filter trim %}{{ data.x }}{% endfilter %}",
            "{{ data.x | escape }}",
            "{{ data.x | forceescape | trim }}",
            "{{ ('' | safe) ~ data.x }}",
            "{{ ('' | safe) + data.x }}",
            "{{ ('%s' | safe) % data.x }}",
            "{{ '%s' | safe | format(data.x) }}",
            "{{ ('{}' | safe).format(data.x) }}",
            "{{ [data.x, '' | safe] | join }}",
            "{{ 'x' | safe | replace('x', data.x) }}",
            "{{ ('x' | safe).replace('x', data.x) }}",
            "{{ data.x | tojson | trim('\"') }}",
            "{{ (data.x | tojson)[1:-1] }}",
            "{{ ['[1', '2]'] | map('safe') | join(data.x[:0] ~ ',') }}",
        ] {
            let body = render(data, x).await;
            assert!(body.is_string(), "{data} of {x}: {body}");
        }
        let vouched: Value = serde_json::from_str(x).expect("JSON");
        for (author, expected) in [
            ("{{ data.x | tojson }}", json!(x)),
            ("{{ data.x | tojson | indent(2) | trim }}", json!(x)),
            ("{{ (data.x | tojson).strip() }}", json!(x)),
            ("{% set x = data.x | tojson %}{{ x }}", json!(x)),
            (
                "{{ {'k': data.x} | tojson(indent=2) | indent }}",
                json!({"k": x}),
            ),
            ("{{ data.x | safe }}", vouched),
            ("{{ '[1, 2]' | safe }}", json!([1, 2])),
        ] {
            assert_eq!(render(author, x).await, expected, "{author} of {x}");
        }
    }
}

/// In the reports of `hookbox render` and `POST /v1/render`, and with the attempt that sent it.
#[tokio::test]
async fn a_body_that_claims_to_be_json_and_is_not_is_sent_with_a_warning_that_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let (server, sink) = (
        Server::start(&folder.path().join("data")),
        Sink::start().await,
    );
    let webhook = json!({
        "name": "w",
        "payload_url": sink.url(),
        "body_template": "{\n \"name\": {{ data.name }}}",
    });
    let event = json!({"event": "created", "object_type": "a.b", "data": {"name": "x"}});
    let is_told = |warnings: &Value| {
        let warnings = warnings.as_array().unwrap();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        let warning = warnings[0].as_str().unwrap();
        assert!(warning.contains("line 2 column 10"), "{warning}");
    };

    let files = [("webhook.json", &webhook), ("event.json", &event)];
    let [hook, about] = files.map(|(name, content)| file(folder.path(), name, content));
    let output = hookbox()
        .args(["render", "--json", "--webhook", &hook, "--event", &about])
        .output()
        .unwrap();
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    is_told(&report["warnings"]);

    let question = json!({"webhook": webhook, "event": event});
    let report = server.post("/v1/render", &question).await;
    is_told(&report["warnings"]);
    assert_eq!(report["outcome"], "request");

    server.webhook(webhook).await;
    let id = server.send(&event).await;
    let delivery = server.delivery(&id, "finished").await;
    is_told(&delivery["attempts"][0]["warnings"]);
    sink.wait_for(1).await;
    assert_eq!(sink.received()[0].body, "{\n \"name\": x}");
}
