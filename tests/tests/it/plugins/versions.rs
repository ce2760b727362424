//! Which version runs, and what may be done with versions.

use std::collections::BTreeSet;

use hookbox::{
    backend::KeyScope,
    model::{Plugin, PluginVersion, TenantId, Timestamp},
};
use hookbox_tests::{
    api::Api,
    process::{hookbox, stderr, stdout},
    server::{KEY, Server, netbox_event},
    sink::Sink,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{event, ran, says, upload};
use crate::contract::components::digest;

/// What the sink gets for one event, which two webhooks send.
async fn both(server: &Server, sink: &Sink) -> BTreeSet<String> {
    let before = sink.arrived();
    server.post("/v1/events", &event()).await;
    sink.wait_for(before + 2).await;
    let received = sink.received();
    received[before..]
        .iter()
        .map(|request| String::from_utf8_lossy(&request.body).into_owned())
        .collect()
}

fn set(bodies: &[&str]) -> BTreeSet<String> {
    bodies.iter().map(|&body| body.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_follows_a_plugin_or_pins_a_version_and_what_is_needed_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (server, sink) = (Server::start(dir.path()), Sink::start().await);
    let first = upload(&server, "name=mine", says(&sink.url(), "one")).await;
    let pin = format!("mine@{}", &first[..12]);
    let hook = |name: &str, plugin: &str| json!({"name": name, "payload_url": "https://unused.example", "plugin": plugin});
    server.webhook(hook("follows", "mine")).await;
    server.webhook(hook("pins", &pin)).await;
    assert_eq!(both(&server, &sink).await, set(&["one"]));

    let second = upload(&server, "name=mine", says(&sink.url(), "two")).await;
    assert_eq!(both(&server, &sink).await, set(&["one", "two"]));
    let held = upload(&server, "name=mine&hold=true", says(&sink.url(), "three")).await;
    assert_eq!(both(&server, &sink).await, set(&["one", "two"]));
    server
        .post("/v1/plugins/mine/promote", &json!({"version": &held[..8]}))
        .await;
    assert_eq!(both(&server, &sink).await, set(&["one", "three"]));
    let back = server.post("/v1/plugins/mine/rollback", &json!({})).await;
    assert_eq!(back["version"], second);
    assert_eq!(both(&server, &sink).await, set(&["one", "two"]));
    let (_, again) = server.refuse("/v1/plugins/mine/rollback", &json!({})).await;
    assert_eq!(again["type"], "/problems/conflict", "{again:#}");

    // The story says which version ran.
    let deliveries = server.get("/v1/deliveries?limit=2").await;
    let mut labels = BTreeSet::new();
    for delivery in deliveries["results"].as_array().unwrap() {
        let id = delivery["id"].as_str().unwrap();
        labels.insert(ran(&server.delivery(id, "finished").await).to_owned());
    }
    assert_eq!(labels, set(&[&pin, &format!("mine@{}", &second[..12])]));

    let gone = async |path: &str| server.request(Method::DELETE, path, None).await;
    for (path, why) in [
        ("/v1/plugins/mine".to_owned(), "the webhook"),
        (
            format!("/v1/plugins/mine/versions/{first}"),
            "the webhook \"pins\"",
        ),
        (format!("/v1/plugins/mine/versions/{second}"), "current"),
    ] {
        let (status, problem) = gone(&path).await;
        assert_eq!(status, StatusCode::CONFLICT, "{path}: {problem:#}");
        assert!(
            problem["detail"].as_str().unwrap().contains(why),
            "{path}: {problem:#}"
        );
    }
    let (status, plugin) = gone(&format!("/v1/plugins/mine/versions/{held}")).await;
    assert_eq!(status, 200);
    assert_eq!(plugin["versions"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_same_bytes_again_are_no_new_version_and_are_given_back_as_they_came() {
    let api = Api::start().await;
    let wasm = says("https://example.com/", "same");
    let made = api.upload("name=mine", wasm.clone()).await;
    let plugin = made.expect(201);
    let sha256 = plugin["version"].as_str().unwrap();
    assert_eq!(
        made.headers["location"],
        format!("/v1/plugins/mine/versions/{sha256}")
    );
    for query in ["name=mine", "name=mine&hold=true", "name=mine&canary=5"] {
        assert_eq!(api.upload(query, wasm.clone()).await.expect(200), plugin);
    }
    let request = api
        .request(
            Method::GET,
            &format!("/v1/plugins/mine/versions/{}", &sha256[..8]),
        )
        .bearer_auth(hookbox_tests::api::ADMIN);
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/wasm");
    assert_eq!(response.bytes().await.unwrap(), wasm);

    let listed = api.get("/v1/plugins").await.expect(200);
    let names: Vec<&Value> = listed["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| &p["name"])
        .collect();
    assert_eq!(names, ["jinja", "mine"]);
    assert_eq!(api.get("/v1/plugins/mine").await.expect(200), plugin);
    api.get("/v1/plugins/jinja").await.expect(200);
    api.delete("/v1/plugins/jinja")
        .await
        .problem(409, "conflict");
    api.delete("/v1/plugins/mine").await.expect(204);
    api.get("/v1/plugins/mine").await.problem(404, "not-found");
    api.delete("/v1/plugins/mine")
        .await
        .problem(404, "not-found");
}

#[tokio::test]
async fn a_webhook_can_name_only_what_is_there() {
    let api = Api::start().await;
    api.upload("name=mine", says("https://example.com/", "x"))
        .await
        .expect(201);
    for (plugin, why) in [
        ("other", "no plugin named \"other\""),
        ("mine@deadbeef", "no version"),
        ("mine@1.2.0", "hexadecimal"),
        ("jinja@9.9.9", "no version"),
    ] {
        let webhook = json!({"name": "w", "payload_url": "https://example.com/", "plugin": plugin});
        let refused = api.post("/v1/webhooks", &webhook).await;
        let text = refused.problem(422, "validation-failed");
        assert!(
            text.contains("\nplugin: ") && text.contains(why),
            "{plugin}: {text}"
        );
        let report = api
            .post(
                "/v1/render",
                &json!({"webhook": webhook, "event": netbox_event()}),
            )
            .await
            .expect(200);
        assert_eq!(report["error"]["field"], "plugin", "{report:#}");
    }
    let webhook = json!({"name": "w", "payload_url": "https://example.com/", "plugin": "mine"});
    let id = api.create("/v1/webhooks", &webhook).await;
    let report = api
        .post(
            "/v1/render",
            &json!({"webhook_id": id, "event": netbox_event()}),
        )
        .await
        .expect(200);
    assert_eq!(report["request"]["body"], "x", "{report:#}");
}

/// What anybody meets who builds twice a day: the limit on versions was no help to him.
#[tokio::test(flavor = "multi_thread")]
async fn old_versions_make_room_for_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    make_room(&server).await;
}

/// Uploads more versions than a plugin may have, of which two are pinned.
pub(super) async fn make_room(server: &Server) {
    let mut all = Vec::new();
    for n in 0..25 {
        let wasm = says(
            "https://example.com/",
            &format!("version {n} at {}", server.url),
        );
        all.push(upload(server, "name=often", wasm).await);
        if n == 2 {
            let pin = format!("often@{}", &all[1][..8].to_ascii_uppercase());
            let hook =
                json!({"name": "pins", "payload_url": "https://unused.example", "plugin": pin});
            server.post("/v1/webhooks", &hook).await;
        }
    }
    let plugin = server.get("/v1/plugins/often").await;
    let left: Vec<&str> = plugin["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| version["sha256"].as_str().unwrap())
        .collect();
    // pinned; five old ones (limits.plugin_versions_kept); the one before the current one; the current one
    let wanted: Vec<&String> = std::iter::once(&all[1]).chain(&all[18..]).collect();
    assert_eq!(left, wanted);
    // Their components went with them.
    let path = |version: &str| format!("/v1/plugins/often/versions/{version}");
    let (status, _) = server.request(Method::GET, &path(&all[10]), None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = server.request(Method::GET, &path(&all[1]), None).await;
    assert_eq!(status, StatusCode::OK);

    let prune = |keep: &str| {
        let output = hookbox()
            .args(["plugin", "prune", "often", "--keep", keep])
            .env("HOOKBOX_URL", &server.url)
            .env("HOOKBOX_KEY", KEY)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    assert_eq!(prune("4"), "deleted 1 old versions of often\n");
    assert_eq!(prune("0"), "deleted 4 old versions of often\n");
    let plugin = server.get("/v1/plugins/often").await;
    assert_eq!(plugin["versions"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn what_a_tenant_may_have_is_bounded() {
    let api = Api::start_with(|config| {
        config.limits.plugins = 1;
        config.limits.plugin_versions = 2;
        config.limits.plugin_bytes = 10_000;
    })
    .await;
    let n = |n: u32| says("https://example.com/", &n.to_string());
    api.upload("name=a", n(1)).await.expect(201);
    let more = api.upload("name=b", n(2)).await;
    assert!(
        more.problem(409, "limit-reached")
            .contains("limits.plugins")
    );
    api.upload("name=a", n(2)).await.expect(201);
    let more = api.upload("name=a", n(3)).await;
    assert!(
        more.problem(409, "limit-reached")
            .contains("(limits.plugin_versions): `hookbox plugin prune a --keep 0`")
    );
    // What is there already is no more.
    api.upload("name=a", n(1)).await.expect(200);

    let api = Api::start_with(|config| config.limits.plugin_bytes = n(1).len() as u64).await;
    api.upload("name=a", n(1)).await.expect(201);
    let more = api.upload("name=a", n(2)).await;
    assert!(
        more.problem(409, "limit-reached")
            .contains("limits.plugin_bytes")
    );
    // One component of two plugins is stored once.
    api.upload("name=b", n(1)).await.expect(201);
}

#[tokio::test]
async fn only_admins_change_plugins_and_only_those_of_their_tenant() {
    let api = Api::start().await;
    let wasm = says("https://example.com/", "x");
    let plugin = api.upload("name=mine", wasm.clone()).await.expect(201);
    let version = plugin["version"].as_str().unwrap();
    let reader = api.key_of("default", KeyScope::Read).await;
    let stranger = api.key_of("other", KeyScope::Admin).await;
    api.upload_as(&reader, "name=x", wasm.clone())
        .await
        .problem(403, "forbidden");
    for (method, path) in [
        (Method::POST, "/v1/plugins/mine/rollback".to_owned()),
        (Method::DELETE, "/v1/plugins/mine".to_owned()),
        (
            Method::DELETE,
            format!("/v1/plugins/mine/versions/{version}"),
        ),
    ] {
        let answer = api.call_as(&reader, method.clone(), &path, None).await;
        answer.problem(403, "forbidden");
        let answer = api.call_as(&stranger, method, &path, None).await;
        answer.problem(404, "not-found");
    }
    let component = format!("/v1/plugins/mine/versions/{version}");
    assert_eq!(
        api.call_as(&reader, Method::GET, "/v1/plugins/mine", None)
            .await
            .expect(200),
        plugin
    );
    for path in ["/v1/plugins/mine", &component] {
        let answer = api.call_as(&stranger, Method::GET, path, None).await;
        answer.problem(404, "not-found");
    }
}

#[tokio::test]
async fn a_component_that_was_tampered_with_in_the_store_is_not_run() {
    let api = Api::start().await;
    // Straight into the store, and another in every run, so that nobody has ever compiled it.
    let genuine = says(&api.url, "genuine");
    let version = PluginVersion {
        sha256: digest(&genuine),
        uploaded: Timestamp::now(),
        component_bytes: genuine.len() as u64,
        compiled_bytes: 1,
        imports: Vec::new(),
        trial_fuel: 1,
        trial_peak_memory_bytes: 1,
    };
    let t = TenantId::default_tenant();
    api.backend
        .put_component(&t, &version.sha256, &genuine, None)
        .await
        .unwrap();
    let plugin = Plugin::new("mine".to_owned(), version, Timestamp::now());
    api.backend.put_plugin(&t, &plugin, None).await.unwrap();

    let conn = rusqlite::Connection::open(api.folder().join("hookbox.db")).unwrap();
    let other = says(&api.url, "of hell");
    assert_eq!(genuine.len(), other.len());
    let put = |bytes: &[u8]| {
        conn.execute("UPDATE component_pieces SET bytes = ?1", [bytes])
            .unwrap();
    };
    put(&other);
    let render = json!({
        "webhook": {"payload_url": "https://example.com/", "plugin": "mine"},
        "event": netbox_event(),
    });
    let report = api.post("/v1/render", &render).await.expect(200);
    let why = report["error"]["message"].as_str().unwrap();
    assert!(why.contains("is damaged"), "{report:#}");
    assert_eq!(report["error"]["kind"], "plugin_error");
    // What was there before would have run. This process remembers for a while what it has seen.
    put(&genuine);
    let report = api
        .beside()
        .await
        .post("/v1/render", &render)
        .await
        .expect(200);
    assert_eq!(report["request"]["body"], "genuine", "{report:#}");
}
