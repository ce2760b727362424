//! Events as the versions of NetBox send them: the default body is theirs to the byte, and templates written
//! for one version work with the feed of another.

use hookbox::model::WebhookSpec;
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use serde_json::Value;

use super::{python, wire::Renderer};

const DUMPS: &str = include_str!("../../../data/netbox/dumps.py");
const JSON: &str = include_str!("../../../data/netbox/json.txt");

const BODIES: [(&str, &str); 4] = [
    ("4.4", include_str!("../../../data/netbox/body-4.4.json")),
    ("4.5", include_str!("../../../data/netbox/body-4.5.json")),
    ("4.6", include_str!("../../../data/netbox/body-4.6.json")),
    ("4.7", include_str!("../../../data/netbox/body-4.7.json")),
];

fn spec(body_template: &str, additional_headers: &str) -> WebhookSpec {
    WebhookSpec {
        name: "w".to_owned(),
        payload_url: "http://example.com/".to_owned(),
        body_template: body_template.to_owned(),
        additional_headers: additional_headers.to_owned(),
        ..WebhookSpec::default()
    }
}

fn all_names(spec: WebhookSpec) -> WebhookSpec {
    WebhookSpec {
        settings: serde_json::json!({"netbox_names": "all"}),
        ..spec
    }
}

#[tokio::test]
async fn the_default_body_of_each_version_is_what_that_version_sent() {
    let renderer = Renderer::new();
    for (version, body) in BODIES {
        let sent = renderer.send(&spec("", ""), body).await.unwrap();
        let sent = String::from_utf8(sent.3).unwrap();
        assert_eq!(sent, body.trim_end(), "{version}");
    }
}

/// `json.txt` holds a JSON document a line; each stands as an event's data.
#[tokio::test]
async fn the_default_body_is_what_pythons_json_writes() {
    let texts: Vec<String> = JSON
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|value| {
            format!(
                r#"{{"event": "created", "timestamp": "t", "object_type": "a.b", "data": {value}}}"#
            )
        })
        .collect();
    let theirs = python::run(DUMPS, &serde_json::json!(texts));
    let renderer = Renderer::new();
    let mut wrong = Vec::new();
    for (text, theirs) in texts.iter().zip(theirs.as_array().unwrap()) {
        let ours = match renderer.send(&spec("", ""), text).await {
            Ok(sent) => String::from_utf8(sent.3).unwrap(),
            Err(error) => error,
        };
        if Value::String(ours.clone()) != *theirs {
            wrong.push(format!("{text}\n  Python {theirs}\n  ours   {ours:?}"));
        }
    }
    println!("{} documents", texts.len());
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// Numbers as NetBox writes them, with Python.
#[test]
fn the_default_body_has_the_digits_that_python_writes_for_any_number() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let renderer = Renderer::new();
    let finite = any::<u64>().prop_map(f64::from_bits);
    let finite = finite.prop_filter("JSON has no others", |f| f.is_finite());
    let number = prop_oneof![
        finite.prop_map(|f| format!("{f:e}")),
        any::<f32>()
            .prop_filter("the same", |f| f.is_finite())
            .prop_map(|f| format!("{:?}", f64::from(f))),
        any::<i128>().prop_map(|n| n.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
    ];
    let config = Config {
        cases: 8,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&vec(number, 300), |numbers| {
        let event = format!(
            r#"{{"event": "created", "data": [{}]}}"#,
            numbers.join(", ")
        );
        let theirs = python::run(DUMPS, &serde_json::json!([event]));
        let theirs = theirs[0].as_str().unwrap();
        let ours = runtime.block_on(renderer.send(&spec("{{ data|tojson }}", ""), &event));
        let ours = String::from_utf8(ours.map_err(TestCaseError::fail)?.3).unwrap();
        let data = theirs.split_once("\"data\": ").unwrap().1;
        prop_assert_eq!(&ours, &data[..data.len() - 1]);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

#[tokio::test]
async fn text_that_is_not_unicode_is_refused() {
    let renderer = Renderer::new();
    let event = r#"{"event": "created", "data": "\ud800"}"#;
    let error = renderer.send(&spec("", ""), event).await.unwrap_err();
    assert!(error.contains("not valid JSON"), "{error}");
}

#[tokio::test]
async fn templates_written_for_any_version_work_with_the_feed_of_any_if_that_is_asked_for() {
    let renderer = Renderer::new();
    let template = "{{ model }} {{ object_type }} {{ username }} {{ request_id }} {{ request.user }} {{ request.id }} \
                    {{ event }} {{ data.slug }} {{ snapshots.postchange.status }}";
    let headers = "X-User: {{ username }}/{{ request.user }}\nX-Model: {{ model }}";
    for (version, body) in BODIES {
        let spec = all_names(spec(template, headers));
        let sent = renderer.send(&spec, body).await.unwrap();
        let id = "17af32f0-852a-46ca-a7d4-33ecd0c13de6";
        assert_eq!(
            String::from_utf8(sent.3).unwrap(),
            format!("site dcim.site jstretch {id} jstretch {id} created zuerich-nord active"),
            "{version}"
        );
        let header = |name: &str| sent.2.iter().find(|(n, _)| n == name).unwrap().1.clone();
        assert_eq!(header("x-user"), "jstretch/jstretch", "{version}");
        assert_eq!(header("x-model"), "site", "{version}");
    }
}

#[tokio::test]
async fn what_an_event_says_itself_is_not_replaced() {
    let renderer = Renderer::new();
    let body = r#"{"event": "created", "object_type": "a.b", "model": "own", "username": null,
        "request": {"user": "u", "id": null}, "request_id": "r"}"#;
    let template =
        "{{ model }} {{ username }} {{ request.user }} {{ request.id }} {{ request_id }}";
    let sent = renderer.send(&all_names(spec(template, "")), body).await;
    assert_eq!(sent.unwrap().3, b"own None u None r");
    // Without any of them there is nothing to say.
    let body = r#"{"event": "x", "data": {}}"#;
    let template =
        "[{{ model }}{{ username }}{{ request_id }}{{ request }}]{{ username is defined }}";
    let sent = renderer.send(&all_names(spec(template, "")), body).await;
    assert_eq!(sent.unwrap().3, b"[]False");
}

#[tokio::test]
async fn a_setting_that_means_nothing_is_an_error() {
    let renderer = Renderer::new();
    let mut spec = spec("x", "");
    spec.settings = serde_json::json!({"netbox_names": "some"});
    let error = renderer.send(&spec, BODIES[0].1).await.unwrap_err();
    assert!(error.contains("netbox_names must be"), "{error}");
}
