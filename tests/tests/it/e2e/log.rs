//! A log that cannot be written must not be noticed by anybody but those who read the metrics.

use std::{
    fs::{File, OpenOptions},
    os::fd::OwnedFd,
    process::Stdio,
};

use hookbox_tests::{
    process::hookbox,
    server::{Server, Starting, netbox_event},
    sink::Sink,
};
use serde_json::json;

/// A server that logs all it can to `stderr`.
fn start(stderr: Stdio) -> (Server, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let mut command = hookbox();
    command
        .args(["serve", "--listen", "127.0.0.1:0"])
        .args(["--allow-network", "127.0.0.0/8", "--data-dir"])
        .arg(dir.path())
        .env("HOOKBOX__LOG__FILTER", "trace")
        .stderr(stderr);
    (Starting::new(&mut command).ready(), dir)
}

/// Events are accepted and delivered; the lines lost.
async fn works(server: &Server) -> u64 {
    let sink = Sink::start().await;
    server
        .webhook(json!({"name": "hook", "payload_url": sink.url()}))
        .await;
    for _ in 0..20 {
        server.send(&netbox_event()).await;
    }
    sink.wait_for(20).await;
    let metrics = reqwest::get(format!("{}/metrics", server.url))
        .await
        .unwrap();
    let metrics = metrics.text().await.unwrap();
    let lost = metrics
        .lines()
        .find_map(|line| line.strip_prefix("hookbox_log_lines_lost_total "));
    lost.expect("the metric").parse().unwrap()
}

#[tokio::test]
async fn a_log_on_a_full_disk_fails_nothing_and_lines_are_counted() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (mut server, _dir) = start(full.into());
    assert!(works(&server).await > 0);
    assert!(server.terminate().success());
}

#[tokio::test]
async fn a_log_whose_reader_has_gone_fails_nothing_and_lines_are_counted() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let (mut server, _dir) = start(OwnedFd::from(writer).into());
    assert!(works(&server).await > 0);
    assert!(server.terminate().success());
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_nobody_up() {
    let (reader, writer) = std::io::pipe().unwrap();
    let (mut server, _dir) = start(OwnedFd::from(writer).into());
    // What a pipe takes is soon full.
    works(&server).await;
    assert!(server.terminate().success());
    drop(reader);
}

#[tokio::test]
async fn a_server_that_cannot_say_that_it_runs_runs() {
    // Errs when another test in this process has done it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let (port, log) = (free_port(), dir.path().join("log"));
    let mut child = hookbox()
        .args([
            "serve",
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--data-dir",
        ])
        .arg(dir.path())
        .env(
            "HOOKBOX__STORAGE__CACHE_DIR",
            hookbox_tests::server::cache_dir(),
        )
        .stdout(OpenOptions::new().write(true).open("/dev/full").unwrap())
        .stderr(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let said = async {
        loop {
            let text = std::fs::read_to_string(&log).unwrap();
            if text.contains("HOOKBOX_ADMIN_KEY") {
                return text;
            }
            assert_eq!(child.try_wait().unwrap(), None, "{text}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let minute = std::time::Duration::from_secs(60);
    let said = tokio::time::timeout(minute, said).await;
    let alive = reqwest::get(format!("http://127.0.0.1:{port}/readyz")).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        said.unwrap()
            .contains("the admin key that was made could not be shown")
    );
    assert_eq!(alive.unwrap().status(), 200);
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
