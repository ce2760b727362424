//! `/v1/webhooks` and `/v1/render`.

use hookbox_tests::api::Api;
use serde_json::{Value, json};

use super::{event, every_event_to, webhook};

#[tokio::test]
async fn netboxs_own_json_is_stored_as_it_is_and_the_secret_is_never_shown() {
    let api = Api::start().await;
    let netbox: Value =
        serde_json::from_str(include_str!("../../../data/validate/netbox-webhook.json")).unwrap();
    let created = api.post("/v1/webhooks", &netbox).await;
    let shown = created.expect(201);
    assert_eq!(shown["external_id"], 3);
    assert_eq!(shown["secret_set"], true);
    assert_eq!(shown["body_template"], netbox["body_template"]);
    let location = created.headers["location"].to_str().unwrap();
    let read = api.get(location).await;
    assert_eq!(read.expect(200), shown);
    let list = api.get("/v1/webhooks").await;
    for answer in [&created, &read, &list] {
        assert!(!answer.text.contains("s3cret"), "{}", answer.text);
    }
}

#[tokio::test]
async fn put_replaces_patch_changes_and_both_keep_the_secret_unless_told() {
    let api = Api::start().await;
    let mut first = webhook("a");
    first["secret"] = json!("s3cret");
    first["timeout"] = json!(7);
    let path = format!("/v1/webhooks/{}", api.create("/v1/webhooks", &first).await);

    let patched = api
        .patch(&path, &json!({"rate_limit": 2.5}))
        .await
        .expect(200);
    assert_eq!(
        (&patched["rate_limit"], &patched["timeout"]),
        (&json!(2.5), &json!(7))
    );
    assert_eq!(patched["secret_set"], true);

    let replaced = api.put(&path, &webhook("b")).await.expect(200);
    assert_eq!(
        (&replaced["name"], &replaced["timeout"]),
        (&json!("b"), &Value::Null)
    );
    assert_eq!(replaced["secret_set"], true);

    // What was answered can be sent back.
    let again = api.put(&path, &replaced).await.expect(200);
    assert_eq!(
        (&again["name"], &again["secret_set"]),
        (&json!("b"), &json!(true))
    );

    let cleared = api.patch(&path, &json!({"secret": ""})).await.expect(200);
    assert_eq!(cleared["secret_set"], false);
}

#[tokio::test]
async fn a_template_that_does_not_parse_is_refused_with_field_and_line() {
    let api = Api::start().await;
    let mut broken = webhook("a");
    broken["body_template"] = json!("{\n  \"a\": {{ data.x\n}");
    let refused = api.post("/v1/webhooks", &broken).await;
    refused.problem(422, "validation-failed");
    let error = &refused.json()["errors"][0];
    assert_eq!(error["field"], "body_template", "{error}");
    assert!(
        error["line"].as_u64().is_some_and(|line| line >= 2),
        "{error}"
    );
    assert_eq!(
        api.get("/v1/webhooks").await.expect(200)["results"],
        json!([])
    );
}

#[tokio::test]
async fn all_that_is_wrong_is_said_at_once() {
    let api = Api::start().await;
    let refused = api
        .post(
            "/v1/webhooks",
            &json!({"payload_url": "ftp://x", "timeout": 0, "enabld": true}),
        )
        .await;
    let text = refused.problem(422, "validation-failed");
    for says in [
        "name: is required",
        "payload_url: must begin",
        "timeout: must be",
        "did you mean enabled?",
    ] {
        assert!(text.contains(says), "{text}");
    }
}

#[tokio::test]
async fn names_and_external_ids_are_taken_once() {
    let api = Api::start().await;
    let mut first = webhook("a");
    first["id"] = json!(3);
    api.create("/v1/webhooks", &first).await;
    let taken = api.post("/v1/webhooks", &webhook("a")).await;
    assert!(
        taken.problem(409, "conflict").contains("name"),
        "{}",
        taken.text
    );
    first["name"] = json!("b");
    let taken = api.post("/v1/webhooks", &first).await;
    assert!(
        taken
            .problem(422, "validation-failed")
            .contains("\"a\" already has the external id 3")
    );
}

#[tokio::test]
async fn a_webhook_that_a_rule_names_cannot_be_removed() {
    let api = Api::start().await;
    let path = format!(
        "/v1/webhooks/{}",
        api.create("/v1/webhooks", &webhook("a")).await
    );
    let rule = api.create("/v1/event-rules", &every_event_to("a")).await;
    api.delete(&path).await.problem(409, "conflict");
    api.delete(&format!("/v1/event-rules/{rule}"))
        .await
        .expect(204);
    api.delete(&path).await.expect(204);
    api.delete(&path).await.problem(404, "not-found");
    api.get(&path).await.problem(404, "not-found");
}

#[tokio::test]
async fn lists_are_paged_by_name() {
    let api = Api::start().await;
    for name in ["c", "a", "b"] {
        api.create("/v1/webhooks", &webhook(name)).await;
    }
    let mut names = Vec::new();
    let mut path = "/v1/webhooks?limit=2".to_owned();
    loop {
        let page = api.get(&path).await.expect(200);
        names.extend(
            page["results"]
                .as_array()
                .unwrap()
                .iter()
                .map(|w| w["name"].clone()),
        );
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/webhooks?limit=2&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(names, ["a", "b", "c"]);
}

/// Beyond some size, a list is sent in pieces as it is taken.
#[tokio::test]
async fn a_long_list_arrives_whole() {
    let api = Api::start().await;
    let long = "x".repeat(60_000);
    for name in ["a", "b", "c", "d", "e", "f"] {
        let mut webhook = webhook(name);
        webhook["body_template"] = long.clone().into();
        api.create("/v1/webhooks", &webhook).await;
    }
    let list = api.get("/v1/webhooks").await;
    assert_eq!(
        list.headers["content-length"],
        list.text.len().to_string().as_str()
    );
    let list = list.expect(200);
    let list = list["results"].as_array().unwrap();
    assert_eq!(list.len(), 6);
    assert!(list.iter().all(|webhook| webhook["body_template"] == long));
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_sent_and_stores_nothing() {
    let api = Api::start().await;
    api.put("/v1/secrets/token", &json!({"value": "very-secret-value"}))
        .await
        .expect(204);
    let body = json!({
        "webhook": {
            "payload_url": "http://127.0.0.1:1/{{ data.name }}",
            "additional_headers": "Authorization: Bearer {{ secret('token') }}",
            "body_template": "{{ event }} {{ data.name }}",
        },
        "event": event("Oslo"),
    });
    let answer = api.post("/v1/render", &body).await;
    let report = answer.expect(200);
    assert_eq!(report["outcome"], "request", "{report:#}");
    assert_eq!(report["request"]["url"], "http://127.0.0.1:1/Oslo");
    assert_eq!(report["request"]["body"], "created Oslo");
    assert_eq!(report["guard"]["allowed"], false, "{report:#}");
    assert!(report["fuel"].as_u64().unwrap() > 0);
    assert!(
        !answer.text.contains("very-secret-value"),
        "{}",
        answer.text
    );
    assert_eq!(
        api.get("/v1/webhooks").await.expect(200)["results"],
        json!([])
    );

    let id = api.create("/v1/webhooks", &webhook("stored")).await;
    let body =
        json!({"webhook_id": id, "webhook": {"body_template": "other"}, "event": event("Oslo")});
    let report = api.post("/v1/render", &body).await.expect(200);
    assert_eq!(report["request"]["url"], "https://example.com/created");
    assert_eq!(report["request"]["body"], "other");

    let loops = json!({
        "webhook": {"payload_url": "https://example.com", "body_template": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"},
        "event": event("Oslo"),
    });
    let report = api.post("/v1/render", &loops).await.expect(200);
    assert_eq!(report["outcome"], "error");
    assert_eq!(report["error"]["kind"], "out_of_fuel", "{report:#}");

    let neither = api
        .post("/v1/render", &json!({"event": event("Oslo")}))
        .await;
    assert!(
        neither
            .problem(422, "validation-failed")
            .contains("webhook_id")
    );
    let wrong = api
        .post(
            "/v1/render",
            &json!({"webhook": {"payload_url": "x"}, "event": {"evnt": 1}}),
        )
        .await;
    assert!(
        wrong.problem(422, "validation-failed").contains("event."),
        "{}",
        wrong.text
    );
}

#[tokio::test]
async fn a_webhook_may_name_the_version_of_its_plugin_that_is_there() {
    let api = Api::start().await;
    let plugins = api.get("/v1/plugins").await.expect(200);
    let listed = &plugins["results"][0];
    let (name, version) = (
        listed["name"].as_str().unwrap(),
        listed["version"].as_str().unwrap(),
    );
    let naming = |plugin: &str| {
        let mut hook = webhook(plugin);
        hook["plugin"] = plugin.into();
        hook
    };
    api.create("/v1/webhooks", &naming(name)).await;
    let pinned = naming(&format!("{name}@{version}"));
    let id = api.create("/v1/webhooks", &pinned).await;
    let body = json!({"webhook_id": id, "event": event("Oslo")});
    let report = api.post("/v1/render", &body).await.expect(200);
    assert_eq!(report["outcome"], "request", "{report:#}");

    let other = api.post("/v1/webhooks", &naming("jinja@9.9.9")).await;
    let text = other.problem(422, "validation-failed");
    assert!(
        text.contains("plugin: ") && text.contains("9.9.9") && text.contains(version),
        "{text}"
    );
    let unknown = api.post("/v1/webhooks", &naming("mustache@1")).await;
    let text = unknown.problem(422, "validation-failed");
    assert!(text.contains("no plugin named \"mustache\""), "{text}");
}

#[tokio::test]
async fn a_template_as_long_as_the_configuration_allows_is_taken() {
    let api = Api::start_with(|config| {
        config.limits.template_bytes = 3 << 20;
        // What the sandbox may spend on it is another matter.
        config.sandbox.fuel = 1 << 32;
        config.sandbox.deadline_ms = 10_000;
        config.sandbox.memory_bytes = 256 << 20;
    })
    .await;
    let mut long = webhook("long");
    long["body_template"] = "x".repeat(5 << 19).into();
    api.create("/v1/webhooks", &long).await;
}

#[tokio::test]
async fn a_body_that_a_quote_in_a_name_breaks_is_told_wherever_the_webhook_is_shown() {
    let api = Api::start().await;
    let with = |name: &str, template: &str| {
        let mut webhook = webhook(name);
        webhook["body_template"] = json!(template);
        webhook
    };
    let slack = with(
        "slack",
        r#"{"text": "Device {{ data['name'] }} is {{ data.status.value }}"}"#,
    );
    let created = api.post("/v1/webhooks", &slack).await;
    let shown = created.expect(201);
    let warning = shown["warnings"][0].as_str().unwrap();
    assert!(
        warning.contains("data.name") && warning.contains("body_escape"),
        "{warning}"
    );
    assert!(!warning.contains("status"), "{warning}");
    let path = created.headers["location"].to_str().unwrap();
    assert_eq!(
        api.get(path).await.expect(200)["warnings"],
        shown["warnings"]
    );
    let list = api.get("/v1/webhooks").await.expect(200);
    assert_eq!(list["results"][0]["warnings"], shown["warnings"]);
    // What was answered can be sent back.
    let again = api.put(path, &shown).await.expect(200);
    assert_eq!(again["warnings"], shown["warnings"]);
    let mended = api.patch(path, &json!({"body_escape": "json"})).await;
    assert_eq!(mended.expect(200)["warnings"], json!([]));
    assert_eq!(api.get(path).await.expect(200)["warnings"], json!([]));
}

#[tokio::test]
async fn templates_that_are_safe_or_are_no_json_have_no_warning_and_all_others_have_one() {
    let api = Api::start().await;
    let mut n = 0;
    for (breaks, template) in [
        (true, r#"{"text": "{{ data.custom_fields.owner.name }}"}"#),
        (
            true,
            r#"[{% for tag in data.tags %}"{{ tag.name }}"{{ ", " if not loop.last }}{% endfor %}]"#,
        ),
        (
            true,
            r#"{% if event == "deleted" %}{"gone": "{{ data.name }}"}{% else %}{}{% endif %}"#,
        ),
        (true, r#"{"site": "{{ data.name.split('-')[1] }}"}"#),
        // The quote alone is escaped.
        (true, r#"{"text": "{{ data.name|replace('"', '\\"') }}"}"#),
        (true, r#"{"text": "{{ data.name|e }}"}"#),
        (true, r#"{% set n = data.a.b %}{"text": "{{ n.c|upper }}"}"#),
        (
            true,
            r#"{"extra_vars": {"cpus": {{ data.vcpus }}, "name": "{{ data['name'] }}"}}"#,
        ),
        (
            false,
            r#"{"text": {{ data.name|tojson }}, "data": {{ data|tojson }}}"#,
        ),
        (
            false,
            r#"{"cpus": {{ data.vcpus }}, "status": "{{ data.status.value }}", "id": "{{ data.id }}"}"#,
        ),
        (false, "name={{ data.name|urlencode }}"),
        (false, "{{ data.name }}"),
        (false, "{{ data.id }}"),
        (false, ""),
        (false, r#"{"text": "always the same"}"#),
        // Nothing can be told of what never ends.
        (
            false,
            "{% for i in range(99999) %}{% for j in range(99999) %}{{ i }}{% endfor %}{% endfor %}",
        ),
    ] {
        n += 1;
        let mut webhook = webhook(&format!("hook {n}"));
        webhook["body_template"] = json!(template);
        let shown = api.post("/v1/webhooks", &webhook).await.expect(201);
        let warnings = shown["warnings"].as_array().unwrap();
        assert_eq!(!warnings.is_empty(), breaks, "{template}: {warnings:?}");
    }
}
