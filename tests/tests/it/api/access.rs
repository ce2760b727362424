//! Keys, scopes and tenants.

use hookbox::{
    backend::KeyScope,
    model::{Secret, TenantId},
    tenant::keys::ensure_admin_key,
};
use hookbox_tests::api::{ADMIN, Api};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{event, every_event_to, webhook};

/// Every operation that the description lists under `/v1`, with ids filled in.
fn operations() -> Vec<(Method, String)> {
    let document = serde_json::to_value(hookbox::api::document()).unwrap();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        if !path.starts_with("/v1/") {
            continue;
        }
        let path = path.replace("{id}", "none").replace("{name}", "none");
        for method in item.as_object().unwrap().keys() {
            if let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) {
                found.push((method, path.clone()));
            }
        }
    }
    assert!(found.len() > 25, "{found:?}");
    found
}

#[tokio::test]
async fn nothing_under_v1_answers_without_a_valid_key() {
    let api = Api::start().await;
    for (method, path) in operations() {
        let answer = api.send(api.request(method.clone(), &path)).await;
        answer.problem(401, "unauthenticated");
        assert_eq!(
            answer.headers["www-authenticate"],
            "Bearer realm=\"hookbox\""
        );
        for authorization in [
            format!("Bearer {ADMIN}x"),
            format!("Token {ADMIN}"),
            format!("Basic {ADMIN}"),
            ADMIN.to_owned(),
            "Bearer".to_owned(),
            "Bearer hb_".to_owned(),
        ] {
            let request = api
                .request(method.clone(), &path)
                .header("authorization", authorization);
            api.send(request).await.problem(401, "unauthenticated");
        }
    }
}

#[tokio::test]
async fn a_key_does_what_its_scope_says_and_no_more() {
    let api = Api::start().await;
    let read = api.key_of("default", KeyScope::Read).await;
    let ingest = api.key_of("default", KeyScope::Ingest).await;
    let dry_runs = ["/v1/render", "/v1/event-rules/evaluate"];
    for (method, path) in operations() {
        let answer = api.call_as(&read, method.clone(), &path, None).await;
        let looks = method == Method::GET || dry_runs.contains(&path.as_str());
        let may = looks && path != "/v1/keys" && path != "/v1/workers";
        assert_eq!(
            answer.status != StatusCode::FORBIDDEN,
            may,
            "read: {method} {path}"
        );

        let answer = api.call_as(&ingest, method.clone(), &path, None).await;
        let may = path == "/v1/events";
        assert_eq!(
            answer.status != StatusCode::FORBIDDEN,
            may,
            "ingest: {method} {path}"
        );
    }
    let refused = api
        .call_as(&ingest, Method::GET, "/v1/webhooks", None)
        .await;
    assert!(
        refused
            .problem(403, "forbidden")
            .contains("scope read or admin")
    );
}

#[tokio::test]
async fn a_key_is_shown_once_and_is_refused_as_soon_as_it_is_deleted() {
    let api = Api::start().await;
    let made = api
        .post("/v1/keys", &json!({"name": "NetBox", "scope": "ingest"}))
        .await;
    let made = made.expect(201);
    let key = made["key"].as_str().unwrap();
    assert!(key.starts_with("hb_") && key.len() == 46);

    api.call_as(key, Method::POST, "/v1/events", Some(&event("a")))
        .await
        .expect(202);
    let list = api.get("/v1/keys").await;
    assert!(
        !list.text.contains(key) && !list.text.contains("hash"),
        "{}",
        list.text
    );
    assert_eq!(list.expect(200)["results"].as_array().unwrap().len(), 2);

    let path = format!("/v1/keys/{}", made["id"].as_str().unwrap());
    api.delete(&path).await.expect(204);
    let refused = api
        .call_as(key, Method::POST, "/v1/events", Some(&event("b")))
        .await;
    refused.problem(401, "unauthenticated");
    api.delete(&path).await.problem(404, "not-found");
}

/// What is left for the operator when somebody has emptied the store under a running server.
#[tokio::test]
async fn the_operators_own_key_outlives_the_store_and_no_other_key_does() {
    let api = Api::start().await;
    let tenant = TenantId::default_tenant();
    let env_key = "key_environment";
    assert!(api.backend.delete_key(&tenant, env_key).await.unwrap());
    let other = format!("{ADMIN}x");
    api.call_as(&other, Method::GET, "/v1/keys", None)
        .await
        .problem(401, "unauthenticated");
    let keys = api.get("/v1/keys").await.expect(200);
    assert_eq!(keys["results"][0]["id"], env_key);
    assert_eq!(keys["results"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_operators_own_key_stays_deleted_while_there_is_another_admin_key() {
    let api = Api::start().await;
    let other = api.key_of("default", KeyScope::Admin).await;
    let path = "/v1/keys/key_environment";
    api.call_as(&other, Method::DELETE, path, None)
        .await
        .expect(204);
    for _ in 0..2 {
        api.get("/v1/keys").await.problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn servers_that_start_at_once_make_one_first_key() {
    let api = Api::start().await;
    let tenant = TenantId::default_tenant();
    api.backend
        .delete_key(&tenant, "key_environment")
        .await
        .unwrap();
    let backend = api.backend.as_ref();
    let made =
        futures_util::future::join_all((0..8).map(|_| ensure_admin_key(backend, None))).await;
    let made: Vec<_> = made.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(made.len(), 1);
    let given = Some(Secret::new(ADMIN));
    let given = (0..8).map(|_| ensure_admin_key(backend, given.clone()));
    for result in futures_util::future::join_all(given).await {
        assert_eq!(result.unwrap(), None);
    }
    assert_eq!(
        api.get("/v1/keys").await.expect(200)["results"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test]
async fn a_tenant_cannot_lock_itself_out() {
    let api = Api::start().await;
    let keys = api.get("/v1/keys").await.expect(200);
    let own = keys["results"][0]["id"].as_str().unwrap();
    let refused = api.delete(&format!("/v1/keys/{own}")).await;
    assert!(
        refused
            .problem(409, "conflict")
            .contains("another admin key")
    );
}

#[tokio::test]
async fn a_tenant_sees_and_touches_nothing_of_another() {
    let api = Api::start().await;
    let id = api.create("/v1/webhooks", &webhook("mine")).await;
    let rule = api.create("/v1/event-rules", &every_event_to("mine")).await;
    api.put("/v1/secrets/token", &json!({"value": "v"}))
        .await
        .expect(204);
    let accepted = api.post("/v1/events", &event("a")).await.expect(202);
    let event_id = accepted["events"][0]["id"].as_str().unwrap();
    let delivery = accepted["events"][0]["deliveries"][0].as_str().unwrap();

    let other = api.key_of("other", KeyScope::Admin).await;
    for path in [
        format!("/v1/webhooks/{id}"),
        format!("/v1/event-rules/{rule}"),
        format!("/v1/events/{event_id}"),
        format!("/v1/deliveries/{delivery}"),
    ] {
        api.get(&path).await.expect(200);
        api.call_as(&other, Method::GET, &path, None)
            .await
            .problem(404, "not-found");
    }
    for (method, path) in [
        (Method::DELETE, format!("/v1/webhooks/{id}")),
        (Method::DELETE, format!("/v1/event-rules/{rule}")),
        (Method::DELETE, "/v1/secrets/token".to_owned()),
        (Method::DELETE, "/v1/keys/key_environment".to_owned()),
        (Method::POST, format!("/v1/deliveries/{delivery}/cancel")),
        (Method::POST, format!("/v1/deliveries/{delivery}/requeue")),
    ] {
        api.call_as(&other, method, &path, None)
            .await
            .problem(404, "not-found");
    }
    let patch = json!({"name": "stolen"});
    for method in [Method::PUT, Method::PATCH] {
        let path = format!("/v1/webhooks/{id}");
        api.call_as(&other, method, &path, Some(&patch))
            .await
            .problem(404, "not-found");
    }
    let refused = api
        .call_as(
            &other,
            Method::POST,
            "/v1/event-rules",
            Some(&every_event_to(&id)),
        )
        .await;
    assert!(
        refused
            .problem(422, "validation-failed")
            .contains("there is no webhook")
    );
    let render = json!({"webhook_id": id, "event": event("a")});
    api.call_as(&other, Method::POST, "/v1/render", Some(&render))
        .await
        .problem(404, "not-found");

    for list in [
        "/v1/webhooks",
        "/v1/event-rules",
        "/v1/secrets",
        "/v1/deliveries",
    ] {
        let seen = api
            .call_as(&other, Method::GET, list, None)
            .await
            .expect(200);
        assert_eq!(seen["results"], json!([]), "{list}");
    }
    api.call_as(&other, Method::GET, "/v1/workers", None)
        .await
        .problem(403, "forbidden");
    let queue = api
        .call_as(&other, Method::GET, "/v1/queue", None)
        .await
        .expect(200);
    assert_eq!(queue["queued"], 0);
    assert_eq!(api.get("/v1/queue").await.expect(200)["queued"], 1);
}

#[tokio::test]
async fn the_first_admin_key_is_made_once_and_an_operators_own_takes_the_place_of_the_last() {
    let api = Api::start().await;
    let backend = api.backend.as_ref();
    assert_eq!(
        ensure_admin_key(backend, None).await.unwrap(),
        None,
        "there is one"
    );

    let new = "hb_another_key_of_the_operator_0123456789";
    ensure_admin_key(backend, Some(Secret::new(new)))
        .await
        .unwrap();
    api.call_as(new, Method::GET, "/v1/keys", None)
        .await
        .expect(200);
    api.get("/v1/keys").await.problem(401, "unauthenticated");

    let error = ensure_admin_key(backend, Some(Secret::new("admin")))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("HOOKBOX_ADMIN_KEY must begin with hb_"),
        "{error}"
    );

    let dir = tempfile::tempdir().unwrap();
    let limits = hookbox::config::Config::defaults().queue_limits();
    let empty = hookbox::backend::sqlite::SqliteBackend::open(dir.path(), limits)
        .await
        .unwrap();
    let made = ensure_admin_key(empty.as_ref(), None)
        .await
        .unwrap()
        .expect("a key is made");
    assert!(made.expose().starts_with("hb_"));
    assert_eq!(ensure_admin_key(empty.as_ref(), None).await.unwrap(), None);
}

#[tokio::test]
async fn secrets_go_in_and_never_come_out() {
    let api = Api::start_with(|config| config.limits.secrets = 2).await;
    let value = json!({"value": "very-secret-value"});
    api.put("/v1/secrets/token", &value).await.expect(204);
    api.put("/v1/secrets/token", &value).await.expect(204);
    api.put("/v1/secrets/other", &value).await.expect(204);
    api.put("/v1/secrets/third", &value)
        .await
        .problem(409, "limit-reached");
    api.put("/v1/secrets/token", &value).await.expect(204);

    let list = api.get("/v1/secrets").await;
    assert!(!list.text.contains("very-secret-value"));
    let names: Vec<Value> = list.expect(200)["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["name"].clone())
        .collect();
    assert_eq!(names, ["other", "token"]);

    let refused = api.put("/v1/secrets/a%20b", &value).await;
    assert!(
        refused
            .problem(422, "validation-failed")
            .contains("letters, digits")
    );
    api.put("/v1/secrets/token", &json!({"value": ""}))
        .await
        .problem(422, "validation-failed");
    let misspelt = api
        .put("/v1/secrets/token", &json!({"vale": "very-secret-value"}))
        .await;
    assert!(
        misspelt
            .problem(422, "validation-failed")
            .contains("did you mean value?")
    );
    assert!(!misspelt.text.contains("very-secret-value"));
    let wrong_type = api
        .put("/v1/secrets/token", &json!({"value": 123_456_789}))
        .await;
    assert!(
        !wrong_type.text.contains("123456789"),
        "{}",
        wrong_type.text
    );
    api.delete("/v1/secrets/token").await.expect(204);
    api.delete("/v1/secrets/token")
        .await
        .problem(404, "not-found");
}
