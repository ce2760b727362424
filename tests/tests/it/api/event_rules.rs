//! `/v1/event-rules`

use hookbox_tests::api::Api;
use serde_json::{Value, json};

use super::{event, every_event_to, webhook};

#[tokio::test]
async fn netboxs_rules_find_the_webhooks_that_came_with_the_same_number() {
    let api = Api::start().await;
    let hook: Value =
        serde_json::from_str(include_str!("../../../data/validate/netbox-webhook.json")).unwrap();
    let rule: Value = serde_json::from_str(include_str!(
        "../../../data/validate/netbox-event-rule.json"
    ))
    .unwrap();
    let early = api.post("/v1/event-rules", &rule).await;
    assert!(
        early
            .problem(422, "validation-failed")
            .contains("store the webhook first")
    );
    let id = api.create("/v1/webhooks", &hook).await;
    let created = api.post("/v1/event-rules", &rule).await;
    let shown = created.expect(201);
    assert_eq!(shown["webhooks"], json!([id]));
    assert_eq!(shown["event_types"], json!(["object_created"]));
    assert_eq!(shown["external_id"], 7);

    let path = created.headers["location"].to_str().unwrap();
    assert_eq!(api.get(path).await.expect(200), shown);
    let again = api.put(path, &shown).await.expect(200);
    assert_eq!(
        again["conditions"], rule["conditions"],
        "what was answered can be sent back"
    );
    let off = api
        .patch(path, &json!({"enabled": false, "conditions": null}))
        .await
        .expect(200);
    assert_eq!(
        (&off["enabled"], &off["conditions"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(off["object_types"], json!(["ipam.ipaddress"]));
    api.delete(path).await.expect(204);
    api.patch(path, &json!({"enabled": true}))
        .await
        .problem(404, "not-found");
}

#[tokio::test]
async fn conditions_are_checked_when_a_rule_is_saved() {
    let api = Api::start().await;
    api.create("/v1/webhooks", &webhook("a")).await;
    let rule = |conditions: Value| json!({"name": "r", "object_types": ["*"], "event_types": ["*"], "webhooks": ["a"], "conditions": conditions});
    let refused = api
        .post(
            "/v1/event-rules",
            &rule(json!({"and": [{"attr": "a", "op": "near", "value": 1}]})),
        )
        .await;
    let text = refused.problem(422, "validation-failed");
    assert!(
        text.contains("conditions.and[0]") && !text.contains("conditions.conditions"),
        "{text}"
    );
    api.create(
        "/v1/event-rules",
        &rule(json!({"attr": "status.value", "value": "active"})),
    )
    .await;
}

#[tokio::test]
async fn conditions_can_be_tried_on_an_event() {
    let api = Api::start().await;
    let evaluate = |conditions: Value| {
        let body = json!({"conditions": conditions, "event": event("Oslo")});
        let api = &api;
        async move {
            api.post("/v1/event-rules/evaluate", &body)
                .await
                .expect(200)
        }
    };
    let yes = evaluate(json!({"attr": "status.value", "value": "active"})).await;
    assert_eq!(
        (&yes["matched"], &yes["error"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(yes["trace"][0]["actual"], "active", "{yes:#}");
    let no = evaluate(json!({"attr": "name", "value": "Bergen"})).await;
    assert_eq!(no["matched"], false);
    let broken = evaluate(json!({"attr": "nothing", "value": 1})).await;
    assert_eq!(broken["matched"], false);
    assert!(broken["error"].is_string(), "{broken:#}");
    assert_eq!(evaluate(Value::Null).await["matched"], true);
}

#[tokio::test]
async fn a_tenant_has_as_many_rules_as_it_may() {
    let api = Api::start_with(|config| config.limits.event_rules = 2).await;
    api.create("/v1/webhooks", &webhook("a")).await;
    let named = |name: &str| {
        let mut rule = every_event_to("a");
        rule["name"] = name.into();
        rule
    };
    let first = api.create("/v1/event-rules", &named("first")).await;
    api.create("/v1/event-rules", &named("second")).await;
    let refused = api.post("/v1/event-rules", &named("third")).await;
    assert!(
        refused.problem(409, "limit-reached").contains("at most 2"),
        "{}",
        refused.text
    );
    // What is there can be changed, and there is room again once something is gone.
    let path = format!("/v1/event-rules/{first}");
    api.put(&path, &named("first again")).await.expect(200);
    api.delete(&path).await.expect(204);
    api.create("/v1/event-rules", &named("third")).await;
}

#[tokio::test]
async fn conditions_that_are_false_in_python_are_none() {
    let api = Api::start().await;
    api.create("/v1/webhooks", &webhook("a")).await;
    let conditions = [
        json!([]),
        json!(""),
        json!(0),
        json!(false),
        json!({}),
        json!(null),
    ];
    for (n, conditions) in conditions.into_iter().enumerate() {
        let mut rule = every_event_to("a");
        rule["name"] = json!(format!("rule {n}"));
        rule["conditions"] = conditions.clone();
        let stored = api.post("/v1/event-rules", &rule).await.expect(201);
        assert_eq!(stored["conditions"], Value::Null, "{conditions}");
        let tried = json!({"conditions": conditions, "event": event("Oslo")});
        let tried = api.post("/v1/event-rules/evaluate", &tried).await;
        assert_eq!(tried.expect(200)["matched"], true, "{conditions}");
    }
    let accepted = api.post("/v1/events", &event("Oslo")).await.expect(202);
    let deliveries = accepted["events"][0]["deliveries"].as_array().unwrap();
    assert_eq!(deliveries.len(), 6);
    for conditions in [json!([0]), json!("x"), json!(1), json!(true)] {
        let mut rule = every_event_to("a");
        rule["name"] = json!("refused");
        rule["conditions"] = conditions;
        api.post("/v1/event-rules", &rule)
            .await
            .problem(422, "validation-failed");
    }
}

#[tokio::test]
async fn a_rule_of_netbox_3_7_says_its_types_in_fields_of_their_own() {
    let api = Api::start().await;
    api.create("/v1/webhooks", &webhook("a")).await;
    let rule = json!({"name": "old", "content_types": ["dcim.site"], "type_create": true, "type_update": false,
        "type_delete": true, "type_job_start": false, "type_job_end": true, "webhooks": ["a"]});
    let stored = api.post("/v1/event-rules", &rule).await.expect(201);
    assert_eq!(stored["object_types"], json!(["dcim.site"]));
    assert_eq!(
        stored["event_types"],
        json!(["object_created", "object_deleted", "job_completed"])
    );
    for (field, value, error) in [
        (
            "content_types",
            json!([]),
            "content_types: must not be empty",
        ),
        (
            "type_create",
            json!("yes"),
            "type_create: must be true or false",
        ),
    ] {
        let mut rule = rule.clone();
        rule["name"] = json!("other");
        rule[field] = value;
        let refused = api.post("/v1/event-rules", &rule).await;
        let text = refused.problem(422, "validation-failed");
        assert!(text.contains(error), "{text}");
    }
}
