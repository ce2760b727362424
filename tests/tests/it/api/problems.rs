//! Requests that are not right, and what is said of them.

use std::time::Duration;

use hookbox_tests::api::{ADMIN, Api};
use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::test]
async fn paths_and_methods_that_are_not_there_are_problems_too() {
    let api = Api::start().await;
    api.get("/v1/webhoks").await.problem(404, "not-found");
    api.get("/../etc/passwd").await.problem(404, "not-found");
    let wrong = api.call_as(ADMIN, Method::DELETE, "/v1/events", None).await;
    wrong.problem(405, "method-not-allowed");
    assert_eq!(wrong.headers["allow"], "POST");
}

#[tokio::test]
async fn every_kind_of_problem_is_explained_where_its_type_leads() {
    let api = Api::start().await;
    let problem = api.get("/nowhere").await.json();
    let page = api
        .send(api.request(Method::GET, problem["type"].as_str().unwrap()))
        .await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("path does not exist"), "{}", page.text);
    api.get("/problems/unheard-of")
        .await
        .problem(404, "not-found");
}

#[tokio::test]
async fn a_body_that_cannot_be_read_says_where() {
    let api = Api::start().await;
    let post = |content_type: &str, body: &str| {
        let request = api.request(Method::POST, "/v1/webhooks").bearer_auth(ADMIN);
        api.send(
            request
                .header("content-type", content_type)
                .body(body.to_owned()),
        )
    };
    let broken = post("application/json", "{\n \"name\": \"a\",,\n}").await;
    assert!(
        broken.problem(400, "malformed-body").contains("line 2"),
        "{}",
        broken.text
    );
    let wrong_type = post("text/plain", "{}").await;
    wrong_type.problem(415, "unsupported-media-type");
    let array = post("application/json", "[]").await;
    array.problem(422, "validation-failed");
    let deep = post("application/json", &"[".repeat(100_000)).await;
    assert!(deep.status.is_client_error(), "{}", deep.text);
    let nested = format!(
        "{{\"name\":\"a\",\"settings\":{}1{}}}",
        "[".repeat(5000),
        "]".repeat(5000)
    );
    post("application/json", &nested)
        .await
        .problem(400, "malformed-body");
}

#[tokio::test]
async fn query_parameters_are_checked() {
    let api = Api::start().await;
    for (path, says) in [
        ("/v1/webhooks?limit=0", "1 to 1000"),
        ("/v1/webhooks?limit=1001", "1 to 1000"),
        ("/v1/webhooks?limit=x", "limit"),
        ("/v1/webhooks?page=2", "page"),
        ("/v1/deliveries?status=done", "status"),
        ("/v1/deliveries?since=yesterday", "RFC 3339"),
        ("/v1/webhooks?cursor=nonsense", "cursor"),
        ("/v1/deliveries?cursor=nonsense", "cursor"),
        ("/v1/plugins?page=2", "page"),
        ("/v1/plugins?limit=0", "1 to 1000"),
        ("/v1/plugins?cursor=nonsense", "cursor"),
        ("/v1/workers?page=2", "page"),
        ("/v1/workers?limit=1001", "1 to 1000"),
        ("/v1/workers?cursor=nonsense", "cursor"),
        (
            "/v1/usage?since=2026-02-01T00:00:00Z&until=2026-01-01T00:00:00Z",
            "later",
        ),
    ] {
        let text = api.get(path).await.problem(400, "invalid-query");
        assert!(text.contains(says), "{path}: {text}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let api = Api::start_with(|config| config.ingest.max_request_bytes = 1000).await;
    let address = api.url.trim_start_matches("http://");
    for framing in ["Content-Length: 9000000000", "Content-Length: 1001"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /v1/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ADMIN}\r\nContent-Type: application/json\r\n{framing}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ADMIN}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("1F4\r\n{}\r\n", "x".repeat(500));
    for _ in 0..3 {
        // No end of the body is ever sent.
        stream.write_all(chunk.as_bytes()).await.unwrap();
    }
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 413");

    let exact = format!("{{\"event\": \"created\"{}}}", " ".repeat(1000 - 20));
    assert_eq!(exact.len(), 1000);
    let request = api.request(Method::POST, "/v1/events").bearer_auth(ADMIN);
    let taken = api
        .send(
            request
                .header("content-type", "application/json")
                .body(exact),
        )
        .await;
    taken.expect(202);
}

#[tokio::test]
async fn a_body_that_does_not_come_ends_in_408() {
    let api = Api::start_with(|config| config.server.request_timeout_seconds = 1).await;
    let mut stream = TcpStream::connect(api.url.trim_start_matches("http://"))
        .await
        .unwrap();
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ADMIN}\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(Duration::from_secs(30), stream.read_to_string(&mut answer))
        .await
        .expect("the server gives up")
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn all_answers_carry_the_security_headers_and_none_invites_other_origins() {
    let api = Api::start().await;
    for path in ["/", "/healthz", "/openapi.json", "/v1/webhooks", "/nowhere"] {
        let request = api
            .request(Method::GET, path)
            .header("origin", "https://evil.example");
        let answer = api.send(request).await;
        assert_eq!(
            answer.headers["x-content-type-options"], "nosniff",
            "{path}"
        );
        assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
        assert!(
            answer.headers["content-security-policy"]
                .to_str()
                .unwrap()
                .starts_with("default-src 'none'"),
            "{path}"
        );
        assert!(
            !answer.headers.contains_key("access-control-allow-origin"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn operators_see_that_it_lives_and_that_the_store_answers() {
    let api = Api::start().await;
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json", "/"] {
        let answer = api.send(api.request(Method::GET, path)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
    let document = api.get("/openapi.json").await.json();
    assert_eq!(
        document,
        serde_json::to_value(hookbox::api::document()).unwrap()
    );
    assert_eq!(document["openapi"].as_str().unwrap().get(..3), Some("3.1"));
    assert_eq!(
        document["components"]["securitySchemes"]["api_key"]["scheme"],
        json!("bearer")
    );
}

#[test]
fn the_description_in_docs_is_the_one_that_the_handlers_make() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    let committed = std::fs::read_to_string(path).expect("docs/openapi.json");
    let made = hookbox::api::document().to_pretty_json().unwrap();
    assert_eq!(
        committed.trim_end(),
        made.trim_end(),
        "run `hookbox openapi > docs/openapi.json`"
    );
}

#[tokio::test]
async fn who_is_refused_early_and_sends_on_learns_why() {
    const LENGTH: usize = 20 << 20;
    let api = Api::start().await;
    let address = api.url.trim_start_matches("http://").trim_end_matches('/');
    for key in ["hb_wrong", ADMIN] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The name is refused where the key is not.
        let head = format!(
            "POST /v1/plugins?name=a%20b HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\n\
             content-type: application/wasm\r\ncontent-length: {LENGTH}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let piece = vec![0; 1 << 20];
        for _ in 0..LENGTH / piece.len() {
            stream.write_all(&piece).await.unwrap();
        }
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        let status = if key == ADMIN { "422" } else { "401" };
        let answer = String::from_utf8(answer).unwrap();
        assert_eq!(answer, format!("HTTP/1.1 {status}"));
    }
}
