//! `/v1/deliveries`, `/v1/queue` and `/v1/usage`. There is no worker, so what is queued stays so.

use hookbox_tests::api::Api;
use serde_json::{Value, json};

use super::{event, every_event_to, webhook};

async fn with_deliveries(count: usize) -> (Api, Vec<String>) {
    let api = Api::start().await;
    api.create("/v1/webhooks", &webhook("a")).await;
    api.create("/v1/event-rules", &every_event_to("a")).await;
    let mut ids = Vec::new();
    for i in 0..count {
        let accepted = api
            .post("/v1/events", &event(&i.to_string()))
            .await
            .expect(202);
        ids.push(
            accepted["events"][0]["deliveries"][0]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    (api, ids)
}

fn ids_of(page: &Value) -> Vec<&str> {
    let results = page["results"].as_array().unwrap();
    results.iter().map(|d| d["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn deliveries_are_listed_newest_first_filtered_and_paged() {
    let (api, ids) = with_deliveries(3).await;
    api.post(&format!("/v1/deliveries/{}/cancel", ids[1]), &Value::Null)
        .await
        .expect(200);

    let queued = api.get("/v1/deliveries?status=queued").await.expect(200);
    assert_eq!(ids_of(&queued), [&ids[2], &ids[0]]);
    for (query, count) in [
        ("object_type=dcim.site", 3),
        ("object_type=dcim.rack", 0),
        ("status=cancelled&object_type=dcim.site", 1),
        ("since=2020-01-01T00:00:00Z", 3),
        ("until=2020-01-01T00:00:00Z", 0),
        ("webhook=whk_none", 0),
    ] {
        let page = api
            .get(&format!("/v1/deliveries?{query}"))
            .await
            .expect(200);
        assert_eq!(ids_of(&page).len(), count, "{query}");
    }
    for (i, id) in ids.iter().enumerate() {
        let one = api.get(&format!("/v1/deliveries/{id}")).await.expect(200);
        let event = one["event"].as_str().unwrap();
        let rule = one["rule"].as_str().unwrap();
        let of_event = format!("/v1/deliveries?event={event}&rule={rule}");
        assert_eq!(ids_of(&api.get(&of_event).await.expect(200)), [id], "{i}");
        let of_rule = format!("/v1/deliveries?rule={rule}");
        assert_eq!(ids_of(&api.get(&of_rule).await.expect(200)).len(), 3);
    }
    for query in ["event=evt_none", "rule=rul_none"] {
        let none = api
            .get(&format!("/v1/deliveries?{query}"))
            .await
            .expect(200);
        assert_eq!(none["results"], json!([]), "{query}");
    }
    let first = api.get("/v1/deliveries?limit=2").await.expect(200);
    let next = first["next"].as_str().unwrap();
    let second = api
        .get(&format!("/v1/deliveries?limit=2&cursor={next}"))
        .await
        .expect(200);
    assert_eq!(
        (ids_of(&first).len(), ids_of(&second)),
        (2, vec![ids[0].as_str()])
    );
    assert_eq!(second["next"], Value::Null);
}

#[tokio::test]
async fn a_delivery_is_cancelled_and_requeued_when_its_state_allows() {
    let (api, ids) = with_deliveries(1).await;
    let path = format!("/v1/deliveries/{}", ids[0]);
    let act = |what: &str| {
        let path = format!("{path}/{what}");
        let api = &api;
        async move { api.post(&path, &Value::Null).await }
    };
    let wrong = act("requeue").await;
    assert!(
        wrong.problem(409, "wrong-state").contains("queued"),
        "{}",
        wrong.text
    );
    assert_eq!(act("cancel").await.expect(200)["status"], "cancelled");
    act("cancel").await.problem(409, "wrong-state");
    assert_eq!(act("requeue").await.expect(200)["status"], "queued");

    let shown = api.get(&path).await.expect(200);
    assert_eq!(
        (&shown["attempts"], &shown["total_attempts"]),
        (&json!([]), &json!(0))
    );
    let none = api
        .post("/v1/deliveries/dlv_none/cancel", &Value::Null)
        .await;
    none.problem(404, "not-found");
}

#[tokio::test]
async fn requeueing_by_filter_means_what_failed_unless_it_says_otherwise() {
    let (api, ids) = with_deliveries(3).await;
    for id in &ids[..2] {
        api.post(&format!("/v1/deliveries/{id}/cancel"), &Value::Null)
            .await
            .expect(200);
    }
    let requeue = |filter: Value| {
        let api = &api;
        async move { api.post("/v1/deliveries/requeue", &filter).await }
    };
    assert_eq!(requeue(json!({})).await.expect(200)["requeued"], 0);
    let misspelt = requeue(json!({"statsu": "cancelled"})).await;
    assert!(
        misspelt
            .problem(422, "validation-failed")
            .contains("did you mean status?")
    );
    assert_eq!(
        requeue(json!({"status": "cancelled"})).await.expect(200)["requeued"],
        2
    );
    let queue = api.get("/v1/queue").await.expect(200);
    assert_eq!(
        (&queue["queued"], &queue["workers"]),
        (&json!(3), &json!(0))
    );
}

#[tokio::test]
async fn deliveries_are_called_off_by_filter_but_not_by_none() {
    let (api, ids) = with_deliveries(3).await;
    let first = api
        .get(&format!("/v1/deliveries/{}", ids[0]))
        .await
        .expect(200);
    let cancel = async |filter: Value| api.post("/v1/deliveries/cancel", &filter).await;
    let all = cancel(json!({})).await;
    assert!(
        all.problem(422, "validation-failed")
            .contains("give at least one"),
        "{}",
        all.text
    );
    let event = json!({"event": first["event"]});
    assert_eq!(cancel(event.clone()).await.expect(200)["cancelled"], 1);
    assert_eq!(cancel(event).await.expect(200)["cancelled"], 0);
    let blocked = json!({"error": "blocked"});
    assert_eq!(cancel(blocked).await.expect(200)["cancelled"], 0);
    assert_eq!(
        cancel(json!({"status": "queued"})).await.expect(200)["cancelled"],
        2
    );
}

#[tokio::test]
async fn a_kind_of_error_that_there_is_not_is_refused_with_those_there_are() {
    let (api, _) = with_deliveries(1).await;
    let page = api.get("/v1/deliveries?error=blocked").await.expect(200);
    assert_eq!(page["results"], json!([]));
    let wrong = api.get("/v1/deliveries?error=blokced").await;
    let told = wrong.problem(400, "invalid-query");
    assert!(told.contains("blocked, connect, dns"), "{told}");
    let wrong = json!({"error": "blokced"});
    let wrong = api.post("/v1/deliveries/requeue", &wrong).await;
    let told = wrong.problem(422, "validation-failed");
    assert!(told.contains("blocked, connect, dns"), "{told}");
}

#[tokio::test]
async fn what_was_used_is_summed_over_a_span() {
    let (api, _) = with_deliveries(2).await;
    let usage = api.get("/v1/usage").await.expect(200);
    assert_eq!(
        (&usage["events"], &usage["attempts"]),
        (&json!(2), &json!(0)),
        "{usage:#}"
    );
    let earlier = api
        .get("/v1/usage?until=2020-01-01T00:00:00Z")
        .await
        .expect(200);
    assert_eq!(earlier["events"], 0);
    assert_eq!(
        api.get("/v1/plugins").await.expect(200)["results"][0]["name"],
        "jinja"
    );
    assert_eq!(
        api.get("/v1/workers").await.expect(200)["results"],
        json!([])
    );
}

#[tokio::test]
async fn metrics_say_how_the_queue_stands() {
    let (api, _) = with_deliveries(2).await;
    let metrics = api.get("/metrics").await;
    for line in [
        "hookbox_queue_deliveries{status=\"queued\"} 2\n",
        "hookbox_queue_deliveries{status=\"failed\"} 0\n",
    ] {
        assert!(metrics.text.contains(line), "{}", metrics.text);
    }
}
