//! The receiver of the benchmark: a process of its own that counts what comes.

use std::{
    io::{self, Write},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use clap::Args;
use http::StatusCode;
use serde_json::{Value, json};

use super::now_us;
use crate::cli::{
    error::{CliError, CliResult, root_cause},
    receiver::{Connection, listen},
};

/// How long the deliveries may take in all.
const PATIENCE: Duration = Duration::from_secs(600);

/// Counts requests and how long they took to arrive; the other process of `hookbox bench`
#[derive(Debug, Args)]
#[command(after_help = "Example:
  hookbox bench")]
pub(crate) struct BenchReceiverArgs {}

/// The receiver's process; killed when dropped.
pub(super) struct Receiver {
    child: Child,
    port: u16,
    http: reqwest::Client,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Receiver {
    pub(super) async fn spawn() -> CliResult<Self> {
        let program = std::env::current_exe()
            .map_err(|e| CliError::failed(format!("cannot find this program: {e}")))?;
        let mut child = Command::new(program)
            .arg("bench-receiver")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| CliError::failed(format!("cannot start the receiver: {e}")))?;
        let line = tokio::task::spawn_blocking({
            let stdout = child.stdout.take();
            move || {
                let mut line = String::new();
                if let Some(out) = stdout {
                    let _ = io::BufRead::read_line(&mut io::BufReader::new(out), &mut line);
                }
                line
            }
        });
        let port = line.await.ok().and_then(|line| line.trim().parse().ok());
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .build()
            .map_err(|e| CliError::failed(root_cause(&e)))?;
        let receiver = Self {
            child,
            port: port.unwrap_or_default(),
            http,
        };
        if receiver.port == 0 {
            return Err(CliError::failed("the receiver did not start"));
        }
        Ok(receiver)
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    async fn get(&self, path: &str) -> CliResult<Value> {
        let answer = async { self.http.get(self.url(path)).send().await?.json().await };
        answer.await.map_err(|e: reqwest::Error| {
            CliError::failed(format!("the receiver failed: {}", root_cause(&e)))
        })
    }

    pub(super) async fn stats(&self, path: &str) -> CliResult<Value> {
        self.get(&format!("stats/{path}")).await
    }

    /// Waits until `n` requests have come to this path.
    pub(super) async fn wait_for(&self, path: &str, n: usize) -> CliResult {
        let started = Instant::now();
        loop {
            let count = self.get(&format!("wait/{path}/{n}")).await?;
            let count = count.as_u64().unwrap_or_default();
            if usize::try_from(count).is_ok_and(|count| count >= n) {
                return Ok(());
            }
            if started.elapsed() > PATIENCE {
                return Err(CliError::failed(format!(
                    "only {count} of {n} requests came"
                )));
            }
        }
    }
}

/// The requests that came to one path.
#[derive(Debug, Default)]
struct Tally {
    count: usize,
    latencies_us: Vec<u64>,
}

/// The parts of a run; other paths are not counted.
const PATHS: [&str; 7] = [
    "bare",
    "embedded-warm",
    "embedded-all",
    "embedded-single",
    "redis-warm",
    "redis-all",
    "redis-single",
];

#[derive(Debug, Default)]
struct Tallies {
    by_path: Mutex<[Tally; PATHS.len()]>,
    changed: tokio::sync::Notify,
}

pub(crate) async fn run_receiver(_: BenchReceiverArgs) -> CliResult {
    let listener = listen(0).await?;
    writeln!(io::stdout(), "{}", listener.local_addr()?.port())?;
    io::stdout().flush()?;
    let tallies = Arc::new(Tallies::default());
    // The other process holds our stdin, so its end is ours, however it ended.
    let (parent_ended, mut parent) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = parent_ended.send(());
    });
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let _ = stream.set_nodelay(true);
                let tallies = Arc::clone(&tallies);
                tokio::spawn(async move { tallies.serve(Connection::new(stream)).await });
            }
            _ = &mut parent => return Ok(()),
        }
    }
}

impl Tallies {
    async fn serve(&self, mut connection: Connection) {
        while let Ok(request) = connection.read(1 << 20).await {
            let path = request.target.trim_start_matches('/');
            let answer = match path.split('/').collect::<Vec<_>>().as_slice() {
                ["stats", path] => {
                    self.with(path, |tally| json!({"latencies_us": tally.latencies_us}))
                }
                ["wait", path, n] => self.wait(path, n.parse().unwrap_or(0)).await,
                [path] => {
                    let sent = request
                        .header("x-sent-us")
                        .and_then(|text| text.parse::<u64>().ok());
                    self.with(path, |tally| {
                        tally.count += 1;
                        if let Some(sent) = sent {
                            tally.latencies_us.push(now_us().saturating_sub(sent));
                        }
                    });
                    self.changed.notify_waiters();
                    Some(Value::Null)
                }
                _ => None,
            };
            let (status, body) = match answer {
                Some(body) => (StatusCode::OK, body.to_string()),
                None => (StatusCode::NOT_FOUND, "null".to_owned()),
            };
            let sent = connection.respond(status, "application/json", &body).await;
            if sent.is_err() || !connection.keeps_alive() {
                return;
            }
        }
    }

    fn with<T>(&self, path: &str, f: impl FnOnce(&mut Tally) -> T) -> Option<T> {
        let index = PATHS.iter().position(|known| *known == path)?;
        let mut by_path = self.by_path.lock().unwrap_or_else(PoisonError::into_inner);
        by_path.get_mut(index).map(f)
    }

    /// The count, as soon as it is `n`, or after a second.
    async fn wait(&self, path: &str, n: usize) -> Option<Value> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(1);
        loop {
            let changed = self.changed.notified();
            let count = self.with(path, |tally| tally.count)?;
            if count >= n || tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Some(count.into());
            }
        }
    }
}
