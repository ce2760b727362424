//! Plugins in JavaScript and Python, from `plugin new` to a delivered event: the real toolchains, the real program.

use hookbox_tests::{
    plugins::{Language, component},
    process::{hookbox, stderr, stdout},
    server::{KEY, Server},
    sink::Sink,
};
use serde_json::{Value, json};

async fn is_uploaded_and_delivers(language: Language) {
    let component = tokio::task::spawn_blocking(move || component(language))
        .await
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (server, sink) = (Server::start(dir.path()), Sink::start().await);
    let uploaded = hookbox()
        .args(["plugin", "upload", "--name", "news"])
        .arg(&component)
        .env("HOOKBOX_URL", &server.url)
        .env("HOOKBOX_KEY", KEY)
        .output()
        .unwrap();
    assert!(uploaded.status.success(), "{}", stderr(&uploaded));
    println!("{}", stdout(&uploaded));

    // what is wrong with the settings is said when the webhook is saved
    for (settings, named) in [
        (json!({}), "channel"),
        (json!({"channel": "#network", "chanel": 1}), "`chanel`"),
    ] {
        let hook = json!({"name": "wrong", "payload_url": sink.url(), "plugin": "news", "settings": settings});
        let (_, problem) = server.refuse("/v1/webhooks", &hook).await;
        assert!(problem.to_string().contains(named), "{problem:#}");
    }

    let hook = json!({
        "name": "news", "payload_url": sink.url(), "plugin": "news", "settings": {"channel": "#network"},
    });
    server.webhook(hook).await;
    let event = json!({
        "event": "created", "object_type": "dcim.site", "username": "jstretch", "data": {"name": "Zürich"},
    });
    let mut fuel = Vec::new();
    for (n, render) in ["first", "warm", "warm"].into_iter().enumerate() {
        let id = server.send(&event).await;
        sink.wait_for(n + 1).await;
        let delivery = server.delivery(&id, "finished").await;
        let attempt = &delivery["attempts"][0];
        println!(
            "{language:?}, {render} render: {} us with loading, {} us in the sandbox, {} fuel, {} bytes",
            attempt["timings"]["render_us"],
            attempt["render"]["elapsed_us"],
            attempt["render"]["fuel"],
            attempt["render"]["peak_memory_bytes"],
        );
        fuel.push(attempt["render"]["fuel"].clone());
    }
    assert_eq!(fuel[0], fuel[1]);
    assert_eq!(fuel[1], fuel[2]);
    for request in sink.received() {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let text = "dcim.site Zürich: created by jstretch";
        assert_eq!(body, json!({"channel": "#network", "text": text}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_in_javascript_is_built_uploaded_and_delivers() {
    is_uploaded_and_delivers(Language::JavaScript).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_in_python_is_built_uploaded_and_delivers() {
    is_uploaded_and_delivers(Language::Python).await;
}
