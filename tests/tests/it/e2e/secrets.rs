//! Secrets go where a webhook's owner put them, and neither events nor records get at them.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread::{self, JoinHandle},
};

use hookbox_tests::{server::Server, sink::Sink};
use reqwest::Method;
use serde_json::{Value, json};

async fn secret(server: &Server, name: &str, value: &str) {
    let path = format!("/v1/secrets/{name}");
    let body = json!({ "value": value });
    let (status, answer) = server.request(Method::PUT, &path, Some(&body)).await;
    assert!(status.is_success(), "{answer}");
}

/// A key with this scope.
async fn key(server: &Server, scope: &str) -> String {
    let key = json!({"name": scope, "scope": scope});
    let key = server.post("/v1/keys", &key).await;
    key["key"].as_str().expect("the key").to_owned()
}

async fn post(server: &Server, key: &str, path: &str, body: &Value) -> Value {
    let request = reqwest::Client::new().post(format!("{}{path}", server.url));
    let answer = request.bearer_auth(key).json(body).send().await;
    answer.expect("an answer").json().await.expect("JSON")
}

/// The handle that a body shows in halves.
fn handle(body: &str) -> String {
    let shown = body.split_whitespace().next().expect("two halves");
    let handle = shown.replacen('/', "", 1);
    assert!(handle.starts_with("hbs_") && handle.len() == 36, "{body}");
    handle
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_that_comes_with_an_event_places_nothing() {
    const HALVES: &str = "{% set h = secret('token') %}{{ h[:20] }}/{{ h[20:] }} {{ data.x }}";
    let dir = tempfile::tempdir().expect("a folder");
    let (server, sink) = (Server::start(dir.path()), Sink::start().await);
    secret(&server, "token", "t0p-s3cret").await;
    secret(&server, "other", "0ther-s3cret").await;
    let template = format!("{HALVES} {{{{ secret('token') }}}}");
    let id = server
        .webhook(json!({"payload_url": sink.url(), "body_template": template}))
        .await;
    let (reader, sender) = (key(&server, "read").await, key(&server, "ingest").await);

    // Whoever may look has a dry run of the stored webhook show a handle, also of a secret that it does not name.
    let mut handles = Vec::new();
    for name in ["token", "other"] {
        let webhook = json!({"body_template": HALVES.replace("token", name)});
        let question = json!({"webhook_id": id, "webhook": webhook, "event": {"event": "x"}});
        let report = post(&server, &reader, "/v1/render", &question).await;
        handles.push(handle(report["request"]["body"].as_str().expect("a body")));
    }
    // And a delivery shows another.
    let send = async |x: &str| {
        let event = json!({"event": "x", "data": {"x": x}});
        let answer = post(&server, &sender, "/v1/events", &event).await;
        let delivery = answer["events"][0]["deliveries"][0].as_str();
        server
            .delivery(delivery.expect("a delivery"), "finished")
            .await
    };
    send("-").await;
    sink.wait_for(1).await;
    handles.push(handle(
        std::str::from_utf8(&sink.received()[0].body).expect("text"),
    ));

    let placed = handles.join(" ");
    let delivery = send(&placed).await;
    sink.wait_for(2).await;
    let body = String::from_utf8(sink.received()[1].body.to_vec()).expect("text");
    assert!(body.ends_with(&format!(" {placed} t0p-s3cret")), "{body}");
    assert_eq!(body.matches("s3cret").count(), 1, "{body}");
    // Nor are they secrets to a dry run.
    let question = json!({"webhook_id": id, "event": {"event": "x", "data": {"x": handles[2]}}});
    let report = post(&server, &reader, "/v1/render", &question).await;
    assert!(report.to_string().contains(&handles[2]), "{report:#}");
    assert!(!delivery.to_string().contains("s3cret"), "{delivery:#}");
}

/// What may only look must not learn of a secret what a render with it would come to.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_is_the_same_whatever_the_secrets_are() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path());
    let mut reports = Vec::new();
    for value in ["80", "99999", "https://hooks.example/x", "a\r\nb", "東京"] {
        secret(&server, "s", value).await;
        for webhook in [
            json!({"payload_url": "{{ secret('s') }}"}),
            json!({"payload_url": "http://x.invalid:{{ secret('s') }}/"}),
            json!({"payload_url": "http://{{ secret('s') }}.x.invalid/"}),
            json!({"payload_url": "http://a:{{ secret('s') }}@x.invalid/"}),
            json!({"payload_url": "http://x.invalid/", "additional_headers": "X-S: {{ secret('s') }}"}),
            json!({"payload_url": "http://x.invalid/", "body_template": "{\"s\": {{ secret('s') }}}"}),
        ] {
            let event = json!({"event": "x", "timestamp": "2026-03-06T15:11:23Z"});
            let question = json!({"webhook": webhook, "event": event});
            let mut report = server.post("/v1/render", &question).await;
            assert_eq!(report["outcome"], "request", "{report:#}");
            report["elapsed_us"] = json!(0);
            let headers = report["request"]["headers"]
                .as_array_mut()
                .expect("headers");
            headers.retain(|header| header[0] != "webhook-timestamp");
            reports.push(report);
        }
    }
    let (first, rest) = reports.split_at(6);
    for (n, report) in rest.iter().enumerate() {
        assert_eq!(report, &first[n % 6]);
    }
}

/// Answers one request with this and what the request itself said.
fn answer(listener: TcpListener, head: &'static str) -> JoinHandle<()> {
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).expect("a request");
        stream.write_all(head.as_bytes()).expect("written");
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_echoes_is_hidden_however_it_is_spelt() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path());
    secret(&server, "token", "T0p/s3cr\u{e9}t").await;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    server
        .webhook(json!({"payload_url": url, "body_template": "{{ secret('token') }}"}))
        .await;
    let done = answer(
        listener,
        "HTTP/1.1 200 OK\r\nX-T0p%2fs3cr%c3%a9t: t0p%2Fs3cr%C3%A9t\r\nX-Raw: T0p/s3cr\u{e9}t\r\n\
         Connection: close\r\n\r\n\
         {\"a\": \"T0p\\/s3cr\\u00e9t\", \"b\": \"\\\"T0p\\\\\\/s3cr\\\\u00E9t\\\"\"} T0p&#x2F;s3cr&#233;t t0p%2fs3cr%c3%a9t",
    );
    let id = server.send(&json!({"event": "x"})).await;
    let delivery = server.delivery(&id, "finished").await;
    done.join().expect("it answered");
    let response = &delivery["attempts"][0]["response"];
    let text = response.to_string().to_lowercase();
    assert!(!text.contains("s3cr"), "{response:#}");
    assert_eq!(text.matches("[secret:token]").count(), 7, "{response:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_holds_a_secret_is_told_nowhere() {
    let dir = tempfile::tempdir().expect("a folder");
    let (server, sink) = (Server::start(dir.path()), Sink::start().await);
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("bound").port().to_string()
    };
    let open = url::Url::parse(&sink.url()).expect("a URL");
    let open = open.port().expect("a port").to_string();
    for (name, value) in [
        ("host", "127.0.0.1"),
        ("local", "localhost"),
        ("open", &open),
        ("closed", &closed),
    ] {
        secret(&server, name, value).await;
    }
    let once = json!({"payload_url": sink.url(), "retry": {"schedule": [], "jitter": 0}});
    let webhook = format!("/v1/webhooks/{}", server.webhook(once).await);
    let attempt = async |url: &str, status: &str| {
        let change = json!({ "payload_url": url });
        let (changed, answer) = server.request(Method::PATCH, &webhook, Some(&change)).await;
        assert!(changed.is_success(), "{answer}");
        let delivery = server.send(&json!({"event": "x"})).await;
        let delivery = server.delivery(&delivery, status).await;
        let attempt = delivery["attempts"][0].clone();
        for part in ["request", "response", "error"] {
            let text = attempt[part].to_string();
            for value in ["127.0.0.1", "localhost", &*closed, &*open] {
                assert!(!text.contains(value), "{url}: {value} in {attempt:#}");
            }
        }
        attempt
    };
    let place = "http://{{ secret('host') }}:{{ secret('open') }}/";
    let delivered = attempt(place, "finished").await;
    assert_eq!(delivered["response"]["peer"], "[redacted]", "{delivered:#}");
    for (url, kind) in [
        (
            "http://{{ secret('local') }}:{{ secret('closed') }}/",
            "connect",
        ),
        ("https://{{ secret('local') }}:{{ secret('open') }}/", "tls"),
        ("http://{{ secret('open') }}.invalid/", "dns"),
        ("http://10.0.0.1:{{ secret('closed') }}/", "blocked"),
    ] {
        let failed = attempt(url, "failed").await;
        assert_eq!(failed["error"]["kind"], kind, "{failed:#}");
        let message = failed["error"]["message"].as_str().expect("words");
        assert!(
            message.contains("the URL's host or port holds a secret"),
            "{message}"
        );
    }
}
