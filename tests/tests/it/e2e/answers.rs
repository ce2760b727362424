//! Answers of every shape beside Python's requests, with which the receivers of NetBox's webhooks work: a status that it
//! takes is taken here. The corpus is `tests/data/answers`, each file what a receiver sends before it closes the connection.

use std::{collections::BTreeMap, fs, path::Path};

use hookbox_tests::{python::Script, server::Server};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Sends one POST to each URL as NetBox does; the statuses, or the errors' names.
const REQUESTS: &str = r#"
import json, sys, requests
for line in sys.stdin:
    with requests.Session() as session:
        try:
            request = requests.Request('POST', json.loads(line), data=b'{}').prepare()
            answer = session.send(request, timeout=20, allow_redirects=False).status_code
        except Exception as e:
            answer = type(e).__name__
    print(json.dumps(answer), flush=True)
"#;

/// Answers each request with the file whose name is the URL's path, at this port of every loopback address.
async fn receiver(corpus: BTreeMap<String, Vec<u8>>) -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let serve = move |mut stream: TcpStream| {
        let corpus = corpus.clone();
        async move {
            let mut request = Vec::new();
            while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
                if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                    return;
                }
            }
            let text = String::from_utf8_lossy(&request);
            let name = text.split(['/', ' ']).nth(2).unwrap_or_default();
            let _ = stream.write_all(&corpus[name]).await;
            let _ = stream.shutdown().await;
            // What is left of the request must not make the end a reset.
            let _ = stream.read_to_end(&mut request).await;
        }
    };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_requests_takes_is_taken_and_nothing_is_sent_twice() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/answers");
    let files = fs::read_dir(folder).expect("the corpus");
    let corpus: BTreeMap<_, _> = files
        .map(|file| file.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|e| e == "http"))
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy();
            (name.into_owned(), fs::read(&path).expect("read"))
        })
        .collect();
    assert!(corpus.len() > 70, "{} files", corpus.len());
    let port = receiver(corpus.clone()).await;
    // It closes each connection, and most of its answers do not say so. With an address of its own for each request none
    // is sent on a connection that is just being closed.
    let urls: Vec<String> = (1..=corpus.len())
        .map(|n| format!("http://127.0.1.{n}:{port}"))
        .collect();

    let names: Vec<String> = corpus.into_keys().collect();
    let asked = (names.clone(), urls.clone());
    let theirs: Vec<Value> = tokio::task::spawn_blocking(move || {
        let (names, urls) = asked;
        let mut script = Script::start(REQUESTS);
        let asked = names.iter().zip(urls);
        asked
            .map(|(name, url)| script.ask(&format!("{url}/{name}").into()))
            .collect()
    })
    .await
    .expect("answered");

    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path());
    server
        .webhook(json!({
            "payload_url": "{{ data.url }}/{{ data.name }}",
            "retry": {"schedule": []},
        }))
        .await;
    let mut deliveries = Vec::new();
    for (name, url) in names.iter().zip(&urls) {
        let event = json!({"event": "created", "data": {"name": name, "url": url}});
        deliveries.push(server.send(&event).await);
    }
    let (mut taken, mut stricter) = (0, Vec::new());
    for ((name, theirs), id) in names.iter().zip(theirs).zip(deliveries) {
        let path = format!("/v1/deliveries/{id}");
        let ended = |d: &Value| d["status"] == "finished" || d["status"] == "failed";
        let ours = server.wait_until(&path, ended).await;
        let ours = &ours["attempts"][0];
        if theirs.is_number() {
            taken += 1;
            if ours["response"]["status"] != theirs {
                stricter.push(format!("{name}: requests {theirs}, here {}", ours["error"]));
            }
        }
    }
    assert!(stricter.is_empty(), "{stricter:#?}");
    assert!(taken > 45, "requests took only {taken}");
}
