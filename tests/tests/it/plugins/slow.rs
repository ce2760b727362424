//! Clients that give or take a component as slowly as they can.

use std::time::Duration;

use hookbox::{
    backend::KeyScope,
    model::{Plugin, PluginVersion, TenantId, Timestamp},
};
use hookbox_tests::api::Api;
use reqwest::{Method, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use super::says;
use crate::contract::components::{bytes, digest};

/// Stores a plugin `mine` straight into the store, which nobody runs; the path of its component.
async fn stored(api: &Api, tenant: &str, component: &[u8]) -> String {
    let (t, sha256) = (TenantId::from(tenant), digest(component));
    let version = PluginVersion {
        sha256: sha256.clone(),
        uploaded: Timestamp::now(),
        component_bytes: component.len() as u64,
        compiled_bytes: 1,
        imports: Vec::new(),
        trial_fuel: 1,
        trial_peak_memory_bytes: 1,
    };
    let put = api.backend.put_component(&t, &sha256, component, None);
    put.await.unwrap();
    let plugin = Plugin::new("mine".to_owned(), version, Timestamp::now());
    api.backend.put_plugin(&t, &plugin, None).await.unwrap();
    format!("/v1/plugins/mine/versions/{sha256}")
}

/// Asks for a path and reads no more than the status of the answer.
async fn begin(api: &Api, key: &str, path: &str) -> (TcpStream, String) {
    let address = api.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    (stream, String::from_utf8_lossy(&status).into_owned())
}

#[tokio::test]
async fn a_tenant_takes_one_component_at_a_time_and_holds_up_no_other() {
    let api = Api::start().await;
    let component = bytes(24 << 20, 1);
    let reader = api.key_of("slow", KeyScope::Read).await;
    let other = api.key_of("other", KeyScope::Read).await;
    let path = stored(&api, "slow", &component).await;
    assert_eq!(stored(&api, "other", &component).await, path);

    let (slow, status) = begin(&api, &reader, &path).await;
    assert_eq!(status, "HTTP/1.1 200");
    // More would be taken only by who takes what there is.
    let refused = api.call_as(&reader, Method::GET, &path, None).await;
    refused.problem(503, "busy");
    assert!(refused.headers.contains_key("retry-after"));

    let get = async |key: &str| {
        let request = api.request(Method::GET, &path).bearer_auth(key);
        let answer = request.send().await.unwrap();
        let length = answer.headers()["content-length"].clone();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(length, component.len().to_string());
        assert!(answer.bytes().await.unwrap() == component);
    };
    get(&other).await;
    // Who goes away is forgotten.
    drop(slow);
    get(&reader).await;
}

#[tokio::test]
async fn a_component_that_is_not_what_was_stored_is_never_sent_to_its_end() {
    let api = Api::start().await;
    let component = bytes(3 << 20, 1);
    let reader = api.key_of("t", KeyScope::Read).await;
    let path = stored(&api, "t", &component).await;
    let get = async || {
        let request = api.request(Method::GET, &path).bearer_auth(&reader);
        request.send().await.unwrap().bytes().await
    };
    assert!(get().await.unwrap() == component);
    let conn = rusqlite::Connection::open(api.folder().join("hookbox.db")).unwrap();
    let sql = "UPDATE component_pieces SET bytes = zeroblob(262144) WHERE number = ?1";
    conn.execute(sql, [5]).unwrap();
    assert!(get().await.is_err());
    conn.execute("DELETE FROM component_pieces WHERE number = 5", [])
        .unwrap();
    assert!(get().await.is_err());
    conn.execute_batch("DELETE FROM component_pieces; DELETE FROM components;")
        .unwrap();
    let gone = api.call_as(&reader, Method::GET, &path, None).await;
    gone.problem(404, "not-found");
}

fn head(key: &str, length: usize) -> String {
    format!(
        "POST /v1/plugins?name=x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/wasm\r\nContent-Length: {length}\r\n\r\n"
    )
}

#[tokio::test]
async fn an_upload_waits_for_its_turn_when_others_are_slow() {
    let api = Api::start().await;
    let address = api.url.trim_start_matches("http://");
    let wasm = says("https://example.com/", "x");
    let mut slow = Vec::new();
    for n in 0..4 {
        let key = api.key_of(&format!("slow{n}"), KeyScope::Admin).await;
        let begin = async || {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let head = head(&key, wasm.len());
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&wasm[..100]).await.unwrap();
            stream
        };
        let mut stream = begin().await;
        // It has its turn as soon as another of the tenant has none.
        let deadline = Instant::now() + Duration::from_secs(30);
        while api
            .upload_as(&key, "name=y&hold=true", wasm.clone())
            .await
            .status
            != 503
        {
            assert!(Instant::now() < deadline);
            // Unless it came while the other had one.
            if stream.try_read(&mut [0]).is_ok() {
                stream = begin().await;
            }
        }
        slow.push(stream);
    }
    let key = api.key_of("patient", KeyScope::Admin).await;
    let patient = api.upload_as(&key, "name=x", wasm.clone());
    let ends = async {
        slow[2].write_all(&wasm[100..]).await.unwrap();
        let mut status = [0; 12];
        slow[2].read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 201");
    };
    let (patient, ()) = tokio::join!(patient, ends);
    patient.expect(201);
}
