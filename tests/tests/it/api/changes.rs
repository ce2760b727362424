//! Changes that come at once, to several APIs on one store: each is as if it had come alone.

use std::collections::HashSet;

use futures_util::future::join_all;
use hookbox::{backend::sqlite::SqliteBackend, config::Config, tenant::keys::ensure_admin_key};
use hookbox_tests::api::{Answer, Api};
use serde_json::{Value, json};

use super::{every_event_to, webhook};

/// How many changes come at once.
const MANY: usize = 24;

/// Three APIs that know of each other only what is in the store.
async fn three(change: impl FnOnce(&mut Config)) -> [Api; 3] {
    let first = Api::start_with(change).await;
    let others = [first.beside().await, first.beside().await];
    let [second, third] = others;
    [first, second, third]
}

/// Sends them all at once, in turn to each API.
async fn at_once(apis: &[Api; 3], path: &str, bodies: &[Value]) -> Vec<Answer> {
    let posts = bodies.iter().zip(apis.iter().cycle());
    join_all(posts.map(|(body, api)| api.post(path, body))).await
}

fn stored(answers: &[Answer]) -> usize {
    stored_with(answers, 201)
}

fn stored_with(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|a| a.status == status).count()
}

/// Whether an object has all fields as the patch has them.
fn has(object: &Value, patch: &Value) -> bool {
    let mut fields = patch.as_object().unwrap().iter();
    fields.all(|(field, value)| &object[field] == value)
}

async fn listed(api: &Api, path: &str) -> Vec<Value> {
    let list = api.get(&format!("{path}?limit=1000")).await.expect(200);
    list["results"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_has_as_many_of_each_as_it_may_even_when_it_asks_all_at_once() {
    let apis = three(|config| {
        config.limits.webhooks = 5;
        config.limits.event_rules = 4;
        config.limits.secrets = 3;
    })
    .await;
    let hooks: Vec<_> = (0..MANY).map(|i| webhook(&format!("w{i}"))).collect();
    let answers = at_once(&apis, "/v1/webhooks", &hooks).await;
    assert_eq!(stored(&answers), 5);
    let webhooks = listed(&apis[0], "/v1/webhooks").await;
    assert_eq!(webhooks.len(), 5);
    let rules: Vec<_> = (0..MANY)
        .map(|i| {
            let mut rule = every_event_to(webhooks[0]["name"].as_str().unwrap());
            rule["name"] = format!("r{i}").into();
            rule
        })
        .collect();
    let of_rules = at_once(&apis, "/v1/event-rules", &rules).await;
    assert_eq!(stored(&of_rules), 4);
    assert_eq!(listed(&apis[1], "/v1/event-rules").await.len(), 4);

    let value = json!({"value": "x"});
    let puts = (0..MANY).zip(apis.iter().cycle()).map(|(i, api)| {
        let (path, value) = (format!("/v1/secrets/s{i}"), &value);
        async move { api.put(&path, value).await }
    });
    let of_secrets = join_all(puts).await;
    assert_eq!(stored_with(&of_secrets, 204), 3);
    assert_eq!(listed(&apis[2], "/v1/secrets").await.len(), 3);

    // Nobody was told anything but that there is no room.
    for answer in answers.iter().chain(&of_rules).chain(&of_secrets) {
        if !answer.status.is_success() {
            answer.problem(409, "limit-reached");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_webhooks_that_come_with_one_number_one_gets_it() {
    let apis = three(|_| {}).await;
    let numbered: Vec<_> = (0..MANY)
        .map(|i| {
            let mut hook = webhook(&format!("w{i}"));
            hook["id"] = json!(i % 4);
            hook
        })
        .collect();
    let answers = at_once(&apis, "/v1/webhooks", &numbered).await;
    assert_eq!(stored(&answers), 4);
    for answer in answers.iter().filter(|a| a.status != 201) {
        let text = answer.problem(422, "validation-failed");
        assert!(text.contains("already has the external id"), "{text}");
    }
    let numbers: HashSet<_> = listed(&apis[0], "/v1/webhooks")
        .await
        .iter()
        .map(|hook| hook["external_id"].as_i64())
        .collect();
    assert_eq!(numbers.len(), 4);

    // Taking a number by a change is the same.
    let without: Vec<_> = (0..MANY).map(|i| webhook(&format!("x{i}"))).collect();
    let created = at_once(&apis, "/v1/webhooks", &without).await;
    let patch = json!({"external_id": 99});
    let patches = created.iter().zip(apis.iter().cycle()).map(|(hook, api)| {
        let path = hook.headers["location"].to_str().unwrap();
        api.patch(path, &patch)
    });
    let patched = join_all(patches).await;
    assert_eq!(stored_with(&patched, 200), 1);
    let list = listed(&apis[0], "/v1/webhooks").await;
    let taken = list.iter().filter(|hook| hook["external_id"] == 99);
    assert_eq!(taken.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_a_webhook_counts_or_is_refused() {
    let apis = three(|_| {}).await;
    let patches = [
        json!({"description": "d"}),
        json!({"enabled": false}),
        json!({"timeout": 7}),
        json!({"max_in_flight": 3}),
        json!({"external_id": 12}),
        json!({"http_content_type": "text/plain"}),
    ];
    for round in 0..5 {
        let name = format!("w{round}");
        let id = apis[0].create("/v1/webhooks", &webhook(&name)).await;
        let path = format!("/v1/webhooks/{id}");
        let sent = patches.iter().zip(apis.iter().cycle());
        let answers = join_all(sent.map(|(patch, api)| api.patch(&path, patch))).await;
        let now = apis[0].get(&path).await.expect(200);
        for (answer, patch) in answers.iter().zip(&patches) {
            if answer.status == 200 {
                assert!(has(&now, patch), "{patch} is lost: {now:#}");
            } else {
                let text = answer.problem(409, "conflict");
                assert!(text.contains("another request changed"), "{text}");
            }
        }
        assert!(stored_with(&answers, 200) >= 1);
        apis[0].delete(&path).await.expect(204);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_one_rules_different_fields_all_count() {
    let apis = three(|_| {}).await;
    apis[0].create("/v1/webhooks", &webhook("a")).await;
    let rule = apis[0]
        .create("/v1/event-rules", &every_event_to("a"))
        .await;
    let path = format!("/v1/event-rules/{rule}");
    let patches = [
        json!({"description": "d"}),
        json!({"enabled": false}),
        json!({"object_types": ["dcim.site"]}),
        json!({"event_types": ["object_created"]}),
        json!({"action_data": {"a": 1}}),
        json!({"external_id": 12}),
    ];
    let sent = patches.iter().zip(apis.iter().cycle());
    let answers = join_all(sent.map(|(patch, api)| api.patch(&path, patch))).await;
    for answer in &answers {
        answer.expect(200);
    }
    let now = apis[0].get(&path).await.expect(200);
    for patch in &patches {
        assert!(has(&now, patch), "{patch} is lost: {now:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_place_for_a_key_is_taken_once() {
    let apis = three(|_| {}).await;
    // With the administrator's own these are 999 of 1000.
    let fill: Vec<_> = (0..998)
        .map(|i| json!({"name": format!("k{i}"), "scope": "ingest"}))
        .collect();
    assert_eq!(stored(&at_once(&apis, "/v1/keys", &fill).await), 998);
    let more: Vec<_> = (0..6)
        .map(|i| json!({"name": format!("m{i}"), "scope": "ingest"}))
        .collect();
    let answers = at_once(&apis, "/v1/keys", &more).await;
    assert_eq!(stored(&answers), 1);
    for answer in answers.iter().filter(|a| a.status != 201) {
        answer.problem(409, "limit-reached");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_start_at_once_on_a_new_store_make_one_admin_key() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Config::defaults().queue_limits();
    let backend = SqliteBackend::open(dir.path(), limits).await.unwrap();
    let starts = (0..4).map(|_| ensure_admin_key(&*backend, None));
    let made = join_all(starts).await;
    let printed = made.into_iter().filter_map(Result::unwrap);
    assert_eq!(printed.count(), 1);
}
