//! Plugins that are not taken in, each with what is wrong, where, and what to do.

use std::time::Duration;

use hookbox_tests::api::{ADMIN, Api};
use reqwest::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{assemble, says, sender};

#[tokio::test]
async fn each_refusal_says_what_where_and_what_to_do() {
    let api = Api::start_with(|config| {
        config.plugins.function_bytes = 2000;
        config.sandbox.deadline_ms = 2000;
    })
    .await;
    let precompiled = [b"\x7fELF\x02\x01\x01\xc8".as_slice(), &[0; 200]].concat();
    let endless = "(loop $l (br $l))";
    let greedy = "(drop (memory.grow (i32.const 60000)))";
    let bomb = assemble(
        "bomb",
        "(func (export \"transform\") (param i32 i32 i32 i32) (result i32)\n;; repeat 3000 nop\n(unreachable))",
    );
    let http = "(component (import \"wasi:http/types@0.2.0\" (instance (export \"x\" (func)))))";
    for (wasm, words) in [
        (b"(component)".to_vec(), vec!["text", "wasm-tools parse"]),
        (precompiled, vec!["not a WebAssembly component"]),
        (Vec::new(), vec!["empty", "upload"]),
        (
            b"\0asm\x01\0\0\0".to_vec(),
            vec!["component type", "bindings"],
        ),
        (
            wat::parse_str(http).unwrap(),
            vec!["wasi:http", "disableFeatures"],
        ),
        (
            wat::parse_str("(component)").unwrap(),
            vec!["does not fit the world"],
        ),
        (bomb, vec!["function ", "plugins.function_bytes", "split"]),
        (
            sender("u", "b", "(unreachable)"),
            vec!["smoke test", "trap", "plugin check"],
        ),
        (
            sender("u", "b", endless),
            vec!["smoke test", "out_of_fuel", "sandbox.fuel"],
        ),
        (
            sender("u", "b", greedy),
            vec!["smoke test", "out_of_memory"],
        ),
    ] {
        let refused = api.upload("name=x", wasm).await;
        let text = refused.problem(422, "plugin-refused");
        for words in words {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
    let cut = says("https://example.com/", "x");
    let refused = api.upload("name=x", cut[..cut.len() - 10].to_vec()).await;
    assert!(refused.problem(422, "plugin-refused").contains("damaged"));
    api.get("/v1/plugins/x").await.problem(404, "not-found");
}

#[tokio::test]
async fn what_is_asked_for_is_checked_before_a_byte_is_read() {
    let api = Api::start().await;
    let wasm = says("https://example.com/", "x");
    for (query, slug) in [
        ("", "invalid-query"),
        ("name=a&canary=0", "invalid-query"),
        ("name=a&canary=100", "invalid-query"),
        ("name=a&canary=5&hold=true", "invalid-query"),
        ("name=a&colour=red", "invalid-query"),
    ] {
        api.upload(query, wasm.clone()).await.problem(400, slug);
    }
    for name in [
        "jinja",
        "a%40b",
        "a%20b",
        "..%2Fx",
        "%00",
        &"a".repeat(65),
        "%C3%A9",
    ] {
        let refused = api.upload(&format!("name={name}"), wasm.clone()).await;
        refused.problem(422, "validation-failed");
    }
    for query in ["name=a&canary=5", "name=a&hold=true"] {
        let refused = api.upload(query, wasm.clone()).await;
        assert!(refused.problem(422, "validation-failed").contains("first"));
    }
    let request = api
        .request(Method::POST, "/v1/plugins?name=a")
        .bearer_auth(ADMIN);
    let refused = api.send(request.body(wasm)).await;
    assert!(
        refused
            .problem(415, "unsupported-media-type")
            .contains("application/wasm")
    );
}

fn head(length: u64) -> String {
    format!(
        "POST /v1/plugins?name=x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ADMIN}\r\n\
         Content-Type: application/wasm\r\nContent-Length: {length}\r\n\r\n"
    )
}

#[tokio::test]
async fn what_is_too_large_is_refused_unread_and_a_tenant_has_one_upload_at_a_time() {
    let api = Api::start().await;
    let address = api.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head(33_554_433).as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");

    let wasm = says("https://example.com/", "x");
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(head(wasm.len() as u64).as_bytes())
        .await
        .unwrap();
    slow.write_all(&wasm[..100]).await.unwrap();
    // Until the slow one has its turn, others may have it.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let other = api.upload("name=y", wasm.clone()).await;
        if other.status == 503 {
            other.problem(503, "busy");
            assert!(other.headers.contains_key("retry-after"));
            break;
        }
        assert!(tokio::time::Instant::now() < deadline);
    }
    slow.write_all(&wasm[100..]).await.unwrap();
    let mut answer = vec![0; 12];
    slow.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 201");
}
