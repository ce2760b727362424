//! The server dies and comes back.

use hookbox_tests::{process::hookbox, server::Server, sink::Sink};
use serde_json::{Value, json};

const EVENTS: usize = 1000;
const IN_FLIGHT: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_loses_nothing_and_repeats_only_what_was_under_way() {
    let dir = tempfile::tempdir().expect("a folder");
    let sink = Sink::start().await;
    sink.admit(EVENTS / 4);
    let mut server = Server::start(dir.path());
    server
        .webhook(json!({"payload_url": sink.url(), "max_in_flight": IN_FLIGHT}))
        .await;

    let mut accepted = Vec::new();
    for batch in 0..EVENTS / 100 {
        let events: Vec<Value> = (0..100)
            .map(|n| json!({"event": "created", "data": {"n": batch * 100 + n}}))
            .collect();
        let answer = server.post("/v1/events", &events.into()).await;
        for event in answer["events"].as_array().expect("events") {
            accepted.push(event["deliveries"][0].as_str().expect("an id").to_owned());
        }
    }
    // A quarter has been answered, and as many more as may be under way hang.
    sink.wait_for(EVENTS / 4 + IN_FLIGHT).await;
    server.kill();
    let before = sink.received().len();
    sink.admit(usize::MAX);

    let server = Server::start(dir.path());
    server
        .wait_until("/v1/queue", |queue| {
            queue["finished"].as_u64() == Some(EVENTS as u64)
        })
        .await;
    let counts = sink.counts();
    let missing = accepted
        .iter()
        .filter(|id| !counts.contains_key(*id))
        .count();
    let repeated = counts.values().filter(|n| **n > 1).count();
    println!("{before} had arrived at the kill; {missing} missing, {repeated} repeated");
    assert_eq!(missing, 0);
    assert_eq!(
        counts.len(),
        EVENTS,
        "something arrived that was never accepted"
    );
    assert!(
        repeated <= IN_FLIGHT,
        "{repeated} repeated, {IN_FLIGHT} can have been under way"
    );
    assert!(
        counts.values().all(|n| *n <= 2),
        "something arrived three times"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_do_not_share_a_folder() {
    let dir = tempfile::tempdir().expect("a folder");
    let _first = Server::start(dir.path());
    let second = hookbox()
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.path())
        .output()
        .expect("hookbox runs");
    let error = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{error}");
    assert!(error.contains("another hookbox"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_database_is_reported_and_left_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(Server::start(dir.path()));
    let database = std::fs::read_dir(dir.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| {
            path.extension()
                .is_some_and(|e| e == "db" || e == "sqlite" || e == "sqlite3")
        })
        .expect("a database");
    for suffix in ["-wal", "-shm"] {
        let mut name = database.clone().into_os_string();
        name.push(suffix);
        let _ = std::fs::remove_file(name);
    }
    std::fs::write(
        &database,
        b"this is no database, it is a text that somebody put here",
    )
    .expect("written");
    let output = hookbox()
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.path())
        .output()
        .expect("hookbox runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(&*database.to_string_lossy()), "{error}");
    assert!(!error.contains("panicked"), "{error}");
    assert!(
        std::fs::read(&database)
            .expect("still there")
            .starts_with(b"this is no database")
    );
}

#[test]
fn a_port_in_use_is_said_in_one_line() {
    let dir = tempfile::tempdir().expect("a folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("an address").to_string();
    let output = hookbox()
        .args(["serve", "--listen", &addr, "--data-dir"])
        .arg(dir.path())
        .output()
        .expect("hookbox runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(&addr) && error.contains("in use"), "{error}");
}
