//! Each method with each kind of body, over a real connection to NetBox's kind of receiver.

use hookbox_tests::{
    process::{Running, hookbox},
    server::Server,
};
use serde_json::{Value, json};

#[tokio::test]
async fn each_method_carries_its_body() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let receiver = Running::start(hookbox().args(["receiver", "--port", "0", "--json"]));
    let hello: Value = serde_json::from_str(&receiver.line().unwrap()).unwrap();
    let url = hello["listening"].as_str().unwrap();
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE"];
    let templates = [
        ("text", "text of {{ event }}"),
        ("empty", "{# #}"),
        ("default", ""),
    ];
    for method in methods {
        for (name, template) in templates {
            let webhook = json!({
                "name": format!("{method} {name}"),
                "payload_url": format!("{url}/{name}"),
                "http_method": method,
                "http_content_type": "text/x-own; charset=utf-8",
                "body_template": template,
            });
            server.webhook(webhook).await;
        }
    }
    let event =
        json!({"event": "created", "timestamp": "t", "object_type": "a.b", "data": {"x": 1.0}});
    server.post("/v1/events", &event).await;
    let mut received: Vec<Value> = (0..15)
        .map(|_| serde_json::from_str(&receiver.line().unwrap()).unwrap())
        .collect();
    received.sort_by_key(|line| line["path"].to_string() + &line["method"].to_string());
    let mut expected: Vec<(String, String, &str)> = Vec::new();
    for method in methods {
        let default =
            r#"{"event": "created", "timestamp": "t", "object_type": "a.b", "data": {"x": 1.0}}"#;
        for (name, body) in [
            ("text", "text of created"),
            ("empty", ""),
            ("default", default),
        ] {
            expected.push((format!("/{name}"), method.to_owned(), body));
        }
    }
    expected.sort();
    for (line, (path, method, body)) in received.iter().zip(&expected) {
        assert_eq!(
            (&line["path"], &line["method"], &line["body"]),
            (&json!(path), &json!(method), &json!(body))
        );
        let header = |name: &str| {
            let mut pairs = line["headers"].as_array().unwrap().iter();
            let found = pairs.find(|pair| pair[0].as_str().unwrap().eq_ignore_ascii_case(name));
            found.map_or(Value::Null, |pair| pair[1].clone())
        };
        assert_eq!(
            header("content-type"),
            "text/x-own; charset=utf-8",
            "{line}"
        );
        // As `requests` has it, which names no length where there is nothing to GET with.
        let length = match (method.as_str(), body.len()) {
            ("GET", 0) => Value::Null,
            (_, length) => json!(length.to_string()),
        };
        assert_eq!(header("content-length"), length, "{line}");
    }
}
