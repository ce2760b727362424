//! What one key asks for leaves enough for others.

use std::time::Duration;

use hookbox::backend::KeyScope;
use hookbox_tests::{
    api::{ADMIN, Api},
    crowd::{Kind, Stage, percentile},
};
use reqwest::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::event;

/// A request whose body never comes, and what is answered to it if anything is within a moment.
async fn silent(api: &Api, key: &str) -> (TcpStream, String) {
    let address = api.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: 1000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1000];
    // Long enough for a refusal, which comes at once; the server waits for a body for half a minute.
    let read = tokio::time::timeout(Duration::from_millis(500), stream.read(&mut answer));
    let read = read.await.map_or(0, |read| read.unwrap_or(0));
    answer.truncate(read);
    (stream, String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test]
async fn requests_whose_bodies_never_come_leave_places_for_other_keys_and_for_probes() {
    let api = Api::start_with(|config| {
        config.server.max_connections = 8;
        config.server.max_connections_per_address = 64;
    })
    .await;
    let ingest = api.key_of("default", KeyScope::Ingest).await;
    let crowd = (0..8).map(|_| silent(&api, &ingest));
    let crowd = futures_util::future::join_all(crowd).await;
    let refused = crowd
        .iter()
        .filter(|(_, answer)| answer.starts_with("HTTP/1.1 503"));
    assert_eq!(
        refused.count(),
        4,
        "half of the places are one key's: {crowd:?}"
    );
    let held: Vec<_> = crowd
        .into_iter()
        .filter(|(_, answer)| answer.is_empty())
        .collect();
    api.get("/v1/webhooks").await.expect(200);
    api.post("/v1/events", &event("a")).await.expect(202);
    let refused = api
        .call_as(&ingest, Method::POST, "/v1/events", Some(&event("b")))
        .await;
    refused.problem(503, "overloaded");
    assert!(refused.headers.contains_key("retry-after"));

    // With all places of the tenant taken, a server that is busy is not dead.
    let mut more = Vec::new();
    for _ in 0..2 {
        more.push(silent(&api, ADMIN).await);
    }
    for probe in ["/healthz", "/readyz"] {
        let answer = api.send(api.request(Method::GET, probe)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    drop((held, more));
}

/// The attacks of a read and an ingest key, small. `cargo run -p hookbox-tests --bin crowd` is the full size.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_with_one_key_does_not_hold_up_another() {
    const LOOPS: usize = 64;
    const ROUNDS: usize = 5;
    let dir = tempfile::tempdir().unwrap();
    let stage = Stage::set_up(dir.path(), 6000, None).await;
    let quiet = stage.measure(Kind::Quiet, 0, ROUNDS).await;
    for kind in [
        Kind::Evaluate,
        Kind::List,
        Kind::LargeDryRun,
        Kind::Batch,
        Kind::SlowBody,
    ] {
        let under = stage.measure(kind, LOOPS, ROUNDS).await;
        println!("{kind:?}\n{quiet}\n{under}");
        assert_eq!(under.failed, 0, "{kind:?}");
        for (quiet, under) in [
            (&quiet.saves, &under.saves),
            (&quiet.events, &under.events),
            (&quiet.deliveries, &under.deliveries),
        ] {
            // Generous, as other tests run on the same processors: without shares it is some hundred times.
            let most = percentile(quiet, 50).max(Duration::from_millis(20)) * 25;
            let median = percentile(under, 50);
            assert!(median < most, "{kind:?}: {median:?}, quiet {quiet:?}");
        }
    }
}
