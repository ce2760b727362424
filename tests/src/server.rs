//! The real program, started as a server in a process of its own.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc,
    time::Duration,
};

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::process::{KillOnDrop, hookbox, program};

/// The admin key of every test server.
pub const KEY: &str = "hb_test_admin_key_of_the_end_to_end_tests_0123456789";

/// A `hookbox serve` on its way; killed when it is dropped.
#[derive(Debug)]
pub struct Starting {
    process: KillOnDrop,
    urls: mpsc::Receiver<String>,
}

impl Starting {
    /// Starts this command, which is to print where it listens.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn new(command: &mut Command) -> Self {
        let mut child = command
            .env("HOOKBOX_ADMIN_KEY", KEY)
            .env("HOOKBOX__STORAGE__CACHE_DIR", cache_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("hookbox starts");
        let stdout = child.stdout.take().expect("piped");
        let (sender, urls) = mpsc::channel();
        // Reads on for as long as the server runs, so that it never blocks on a full pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(at) = line.find("http://") {
                    let url = line[at..].split_whitespace().next().unwrap_or_default();
                    let _ = sender.send(url.trim_end_matches(['.', '/']).to_owned());
                }
            }
        });
        Self {
            process: KillOnDrop(child),
            urls,
        }
    }

    /// Whether the process runs.
    pub fn is_alive(&mut self) -> bool {
        self.process.is_alive()
    }

    /// Waits until it listens.
    ///
    /// # Panics
    /// If it does not within a minute.
    #[must_use]
    pub fn ready(self) -> Server {
        let url = self
            .urls
            .recv_timeout(Duration::from_secs(60))
            .expect("the server prints its address within a minute");
        // Errs when another test in this process has done it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Server {
            process: self.process,
            url,
            client: Client::new(),
        }
    }
}

/// One for all tests: compiling the built-in transformer takes seconds in a debug build.
#[must_use]
pub fn cache_dir() -> PathBuf {
    program().with_file_name("test-cache")
}

/// A running `hookbox serve`; killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    process: KillOnDrop,
    /// Where its API is.
    pub url: String,
    client: Client,
}

impl Server {
    /// Starts a server on a free port with its data in `dir`, and waits until it listens.
    #[must_use]
    pub fn start(dir: &Path) -> Self {
        Self::start_with(dir, &[])
    }

    /// The same with further arguments.
    #[must_use]
    pub fn start_with(dir: &Path, args: &[&str]) -> Self {
        let mut command = hookbox();
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(["--allow-network", "127.0.0.0/8", "--data-dir"])
            .arg(dir)
            .args(args);
        Starting::new(&mut command).ready()
    }

    /// Starts a server with its data in `dir` and these environment variables, that logs to a file all
    /// that it and its HTTP client can.
    ///
    /// # Panics
    /// If the file cannot be made.
    #[must_use]
    pub fn start_logged(dir: &Path, environment: &[(&str, &str)], log: &Path) -> Self {
        let log = std::fs::File::create(log).expect("a file for the log");
        let mut command = hookbox();
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir)
            .env(
                "HOOKBOX__LOG__FILTER",
                "warn,hookbox=trace,hyper=trace,hyper_util=trace,h2=trace,rustls=trace",
            )
            .envs(environment.iter().copied())
            .stderr(log);
        Starting::new(&mut command).ready()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// SIGKILL: no chance to tidy up.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// SIGTERM, and how it ended.
    pub fn terminate(&mut self) -> ExitStatus {
        self.process.terminate()
    }

    /// Whether the process runs.
    pub fn is_alive(&mut self) -> bool {
        self.process.is_alive()
    }

    /// A request with the admin key; the answer's status and JSON (null if it is none).
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> (StatusCode, Value) {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(KEY);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.expect("an answer");
        let status = response.status();
        let bytes = response.bytes().await.expect("a body");
        (
            status,
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        )
    }

    /// Uploads a plugin; `query` is what follows `?`. The answer's status and JSON.
    pub async fn upload(&self, query: &str, wasm: Vec<u8>) -> (StatusCode, Value) {
        let response = self
            .client
            .post(format!("{}/v1/plugins?{query}", self.url))
            .bearer_auth(KEY)
            .header("content-type", "application/wasm")
            .body(wasm)
            .send()
            .await
            .expect("an answer");
        let status = response.status();
        (status, response.json().await.expect("JSON"))
    }

    /// GET, which must succeed.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.request(Method::GET, path, None).await;
        assert!(status.is_success(), "GET {path}: {status} {body}");
        body
    }

    /// POST, which must succeed.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.request(Method::POST, path, Some(body)).await;
        assert!(status.is_success(), "POST {path}: {status} {answer}");
        answer
    }

    /// POST, which must be refused.
    pub async fn refuse(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let (status, answer) = self.request(Method::POST, path, Some(body)).await;
        assert!(status.is_client_error(), "POST {path}: {status} {answer}");
        (status, answer)
    }

    /// A webhook with a rule that runs it for every event; the webhook's id.
    pub async fn webhook(&self, mut webhook: Value) -> String {
        let name = webhook["name"].as_str().unwrap_or("hook").to_owned();
        webhook["name"] = json!(name);
        let created = self.post("/v1/webhooks", &webhook).await;
        let id = created["id"].as_str().expect("an id").to_owned();
        let rule = json!({
            "name": format!("every event to {name}"),
            "object_types": ["*"], "event_types": ["*"], "webhooks": [id],
        });
        self.post("/v1/event-rules", &rule).await;
        id
    }

    /// Polls a path until `done` holds of its answer; panics after 60 seconds.
    pub async fn wait_until(&self, path: &str, done: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            let answer = self.get(path).await;
            if done(&answer) {
                return answer;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "still not so: {answer:#}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until its store answers, writes included.
    ///
    /// # Panics
    /// If it does not within a minute.
    pub async fn wait_ready(&self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        while self.request(Method::GET, "/readyz", None).await.0 != StatusCode::OK {
            assert!(tokio::time::Instant::now() < deadline, "it is not ready");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Posts one event that sets off one delivery; the delivery's id.
    pub async fn send(&self, event: &Value) -> String {
        let answer = self.post("/v1/events", event).await;
        let delivery = &answer["events"][0]["deliveries"][0];
        delivery
            .as_str()
            .unwrap_or_else(|| panic!("no delivery: {answer}"))
            .to_owned()
    }

    /// Waits until a delivery has this status; the delivery with its attempts.
    pub async fn delivery(&self, id: &str, status: &str) -> Value {
        self.wait_until(&format!("/v1/deliveries/{id}"), |d| d["status"] == status)
            .await
    }
}

/// NetBox's default webhook body for a new site, as 4.6 sends it.
#[must_use]
pub fn netbox_event() -> Value {
    serde_json::from_str(include_str!("../data/netbox-site-created.json")).expect("valid JSON")
}
