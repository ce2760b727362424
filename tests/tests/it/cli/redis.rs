//! `serve`, `worker` and `bench` with a Redis: where it is, what if it is not there.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use hookbox_tests::{
    process::{hookbox, run, stderr, stdout},
    redis::{Options, RedisServer, free_port},
};
use serde_json::Value;
use tempfile::NamedTempFile;

/// A program that waits for a Redis; killed when dropped.
struct Waiting {
    child: Child,
    /// All that it prints.
    printed: NamedTempFile,
}

impl Waiting {
    fn start(command: &mut Command) -> Self {
        let printed = NamedTempFile::new().unwrap();
        let file = File::options().append(true).open(printed.path()).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, printed }
    }

    fn text(&self) -> String {
        fs::read_to_string(self.printed.path()).unwrap()
    }

    /// SIGTERM; the exit code, all that it printed, and how long that took.
    fn terminate(mut self) -> (Option<i32>, String, Duration) {
        let started = Instant::now();
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        let code = self.child.wait().unwrap().code();
        (code, self.text(), started.elapsed())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks as soon as something listens there.
fn get(port: u16, path: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut stream = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => break stream,
            Err(e) => assert!(Instant::now() < deadline, "nothing listens on {port}: {e}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn an_absent_redis_is_waited_for_and_whoever_asks_is_told_to_come_back() {
    let url = format!("redis://app:hush@127.0.0.1:{}", free_port());
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["serve", "--no-worker"][..], &["worker"]] {
        let port = free_port();
        let waiting = Waiting::start(
            hookbox()
                .args(arguments)
                .args(["--listen", &format!("127.0.0.1:{port}")])
                .env("HOOKBOX__REDIS__URL", &url)
                .env("HOOKBOX__REDIS__TIMEOUT_MS", "200")
                .env("HOOKBOX__STORAGE__DATA_DIR", folder.path()),
        );
        assert!(get(port, "/healthz").starts_with("HTTP/1.1 200"));
        for path in ["/readyz", "/v1/queue"] {
            let answer = get(port, path).to_lowercase();
            assert!(answer.starts_with("http/1.1 503"), "{path}: {answer}");
            assert!(
                answer.contains("\r\nretry-after: 2\r\n"),
                "{path}: {answer}"
            );
        }
        let tries = || waiting.text().matches("trying again").count();
        let deadline = Instant::now() + Duration::from_secs(60);
        while tries() < 2 {
            assert!(Instant::now() < deadline, "{}", waiting.text());
            std::thread::sleep(Duration::from_millis(50));
        }
        let (code, text, took) = waiting.terminate();
        assert_eq!(code, Some(0), "{text}");
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert!(!text.contains("hush"), "{text}");
        assert!(!text.contains("panicked"), "{text}");
    }
}

#[test]
fn a_wrong_url_is_one_line_that_does_not_repeat_it() {
    for (arguments, text) in [
        (["serve", "--redis", "redis://app:hu/sh@r"], "%2F"),
        (
            ["worker", "--redis", "rediss://:hush@r:x"],
            "the port of host 1",
        ),
        (["worker", "--redis", "hush@localhost"], "redis+sentinel://"),
        (
            ["bench", "--redis", "redis+sentinel://:hush@r"],
            "master=NAME",
        ),
    ] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let error = stderr(&output);
        assert!(error.contains(text), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(!error.contains("hu"), "{error}");
    }
}

#[test]
fn a_worker_without_redis_is_wrong_usage() {
    let output = run(&["worker"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("--redis URL"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn the_configuration_in_force_shows_no_password() {
    let output = hookbox()
        .arg("config")
        .env(
            "HOOKBOX__REDIS__URL",
            "redis+cluster://app:hush@[::1]:7000,b:7001",
        )
        .output()
        .unwrap();
    let text = stdout(&output);
    assert!(
        text.contains("\nurl = \"redis+cluster://app:[secret]@[::1]:7000,b:7001\"\n"),
        "{text}{}",
        stderr(&output)
    );
}

#[test]
fn a_redis_that_may_lose_events_is_refused_if_so_wanted() {
    let redis = RedisServer::start(Options::default());
    for command in ["serve", "worker"] {
        let output = hookbox()
            .args([command, "--redis", &redis.url()])
            .env("HOOKBOX__SERVER__LISTEN", "127.0.0.1:0")
            .env("HOOKBOX__REDIS__STRICT", "true")
            .output()
            .unwrap();
        let error = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.starts_with("hookbox: redis://127.0.0.1:"), "{error}");
        assert!(error.contains("appendonly yes"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn the_benchmark_measures_redis_too_and_leaves_nothing_there() {
    let redis = RedisServer::start(Options::default());
    redis.cli(&["SET", "other", "1"]);
    let output = run(&[
        "bench",
        "--deliveries",
        "100",
        "--concurrency",
        "8",
        "--json",
        "--redis",
        &redis.url(),
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for store in ["embedded", "redis"] {
        assert!(report[store]["per_second"].as_f64().unwrap() > 0.0);
        assert!(report[store]["single_delivery_p99_ms"].as_f64().unwrap() > 0.0);
    }
    assert_eq!(redis.cli(&["DBSIZE"]).trim(), "1");
}
