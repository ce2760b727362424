//! `hookbox bench`: deliveries per second, end to end, and next to it the bare HTTP client.

use std::{
    io::{self, Write},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use clap::Args;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};
use url::Url;

use super::{
    client::{Client, Payload},
    embedded::Embedded,
    error::{CliError, CliResult, root_cause},
    receiver::{Connection, listen},
    setup::temporary,
};

/// Events in one request.
const BATCH: usize = 500;
/// Deliveries sent one by one, to see how long one takes when nothing else happens.
const SINGLES: usize = 100;
/// How long the deliveries may take in all.
const PATIENCE: Duration = Duration::from_secs(600);

/// Measure deliveries per second on this machine
///
/// End to end: events are posted to the API, matched, stored durably, rendered in the sandbox and sent to a
/// receiver in another process. The store is a temporary one. Next to it the same number of requests is
/// sent by the bare HTTP client, without queue and sandbox.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hookbox bench
  hookbox bench --deliveries 20000 --concurrency 128")]
pub(super) struct BenchArgs {
    /// How many deliveries to make
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    deliveries: u32,
    /// How many requests are under way at once
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Counts requests and how long they took to arrive; the other process of `hookbox bench`
#[derive(Debug, Args)]
#[command(after_help = "Example:
  hookbox bench")]
pub(super) struct BenchReceiverArgs {}

pub(super) async fn run(args: BenchArgs) -> CliResult {
    let (total, concurrency) = (args.deliveries as usize, usize::from(args.concurrency));
    let receiver = Receiver::spawn().await?;
    let bare = bare_loop(&receiver, total, concurrency).await?;
    let (hookbox, singles) = end_to_end(&receiver, total, concurrency).await?;

    let report = json!({
        "deliveries": total,
        "concurrency": concurrency,
        "hookbox_per_second": per_second(total, hookbox).round(),
        "bare_client_per_second": per_second(total, bare).round(),
        "ratio": (per_second(total, hookbox) / per_second(total, bare) * 1000.0).round() / 1000.0,
        "single_delivery_p50_ms": percentile_ms(&singles, 50),
        "single_delivery_p99_ms": percentile_ms(&singles, 99),
        "debug_build": cfg!(debug_assertions),
    });
    let mut out = io::stdout();
    if args.json {
        return Ok(writeln!(out, "{report:#}")?);
    }
    writeln!(
        out,
        "{total} deliveries, {concurrency} at once, receiver in another process"
    )?;
    writeln!(
        out,
        "  hookbox, end to end    {:>8.0} per second",
        per_second(total, hookbox)
    )?;
    writeln!(
        out,
        "  bare HTTP client       {:>8.0} per second",
        per_second(total, bare)
    )?;
    writeln!(
        out,
        "  ratio                  {:>8.1} %",
        per_second(total, hookbox) / per_second(total, bare) * 100.0
    )?;
    writeln!(
        out,
        "one delivery alone, from posting the event to its receipt: p50 {} ms, p99 {} ms",
        percentile_ms(&singles, 50),
        percentile_ms(&singles, 99)
    )?;
    if cfg!(debug_assertions) {
        writeln!(
            out,
            "this is a debug build: build with --release for numbers that mean something"
        )?;
    }
    Ok(())
}

fn per_second(n: usize, took: Duration) -> f64 {
    n as f64 / took.as_secs_f64().max(1e-9)
}

/// The value that `percent` of the sorted values do not exceed, in milliseconds.
fn percentile_ms(sorted_us: &[u64], percent: usize) -> f64 {
    let rank = (sorted_us.len() * percent).div_ceil(100).saturating_sub(1);
    sorted_us.get(rank).map_or(0.0, |us| *us as f64 / 1000.0)
}

fn now_us() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Like the Slack message, with the moment of posting in a header.
const BODY: &str = r#"{"text": "IP address {{ data['address'] }} was created by {{ username }}!"}"#;

fn event() -> Value {
    json!({
        "event": "created",
        "object_type": "ipam.ipaddress",
        "username": "jstretch",
        "data": {"id": 181, "address": "192.0.2.10/24", "status": {"value": "active", "label": "Active"}, "sent_us": now_us()},
    })
}

/// The same requests by the HTTP client alone.
async fn bare_loop(receiver: &Receiver, total: usize, concurrency: usize) -> CliResult<Duration> {
    let http = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|e| CliError::failed(root_cause(&e)))?;
    let url = receiver.url("bare");
    let body = r#"{"text": "IP address 192.0.2.10/24 was created by jstretch!"}"#;
    let left = Arc::new(AtomicUsize::new(total));
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..concurrency {
        let (http, url, left) = (http.clone(), url.clone(), Arc::clone(&left));
        tasks.spawn(async move {
            while left
                .try_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                .is_ok()
            {
                let answer = http
                    .post(url.as_str())
                    .header("content-type", "application/json")
                    .header("x-event", "created")
                    .header("x-sent-us", now_us().to_string())
                    .body(body)
                    .send()
                    .await?;
                answer.bytes().await?;
            }
            Ok::<_, reqwest::Error>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended
            .map_err(CliError::failed)?
            .map_err(|e| CliError::failed(format!("the bare client failed: {}", root_cause(&e))))?;
    }
    let took = started.elapsed();
    receiver.wait_for("bare", total).await?;
    Ok(took)
}

/// Through all of hookbox: the time for all, and the sorted times of single deliveries in µs.
async fn end_to_end(
    receiver: &Receiver,
    total: usize,
    concurrency: usize,
) -> CliResult<(Duration, Vec<u64>)> {
    let folder = tempfile::tempdir()
        .map_err(|e| CliError::failed(format!("cannot make a temporary folder: {e}")))?;
    let mut config = temporary(folder.path())?;
    // One webhook may have a quarter of a worker's slots.
    config.worker.concurrency = concurrency.saturating_mul(4);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let base = format!("http://{}", listener.local_addr()?);
    let hookbox =
        Embedded::start(config, &folder.path().join("data"), listener, true, None).await?;
    let base = Url::parse(&base).map_err(CliError::failed)?;
    let client = Client::new(base, hookbox.new_admin_key.clone())?;
    let measured = measure(&client, receiver, total, concurrency).await;
    hookbox.shut_down().await;
    measured
}

async fn measure(
    client: &Client,
    receiver: &Receiver,
    total: usize,
    concurrency: usize,
) -> CliResult<(Duration, Vec<u64>)> {
    let webhook = json!({
        "name": "bench",
        "payload_url": format!("{}{{{{ data.path }}}}", receiver.url("")),
        "additional_headers": "X-Event: {{ event }}\nX-Sent-Us: {{ data.sent_us }}",
        "body_template": BODY,
        "max_in_flight": concurrency,
    });
    let rule = json!({"name": "bench", "object_types": ["*"], "event_types": ["*"], "webhooks": ["bench"]});
    client.post(&["webhooks"], Payload::Json(&webhook)).await?;
    client.post(&["event-rules"], Payload::Json(&rule)).await?;
    let to = |path: &str| {
        let mut event = event();
        event["data"]["path"] = json!(path);
        event
    };

    // The first delivery opens connections and compiles nothing any more.
    client.post(&["events"], Payload::Json(&to("warm"))).await?;
    receiver.wait_for("warm", 1).await?;

    let started = Instant::now();
    let mut posted = 0;
    while posted < total {
        let batch: Vec<Value> = (0..BATCH.min(total - posted)).map(|_| to("all")).collect();
        posted += batch.len();
        client
            .post(&["events"], Payload::Json(&Value::Array(batch)))
            .await?;
    }
    receiver.wait_for("all", total).await?;
    let took = started.elapsed();

    for n in 1..=SINGLES {
        client
            .post(&["events"], Payload::Json(&to("single")))
            .await?;
        receiver.wait_for("single", n).await?;
    }
    let stats = receiver.stats("single").await?;
    let mut singles: Vec<u64> = stats
        .get("latencies_us")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_u64)
        .collect();
    singles.sort_unstable();
    Ok((took, singles))
}

/// The receiver's process; killed when dropped.
struct Receiver {
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
    async fn spawn() -> CliResult<Self> {
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

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    async fn get(&self, path: &str) -> CliResult<Value> {
        let answer = async { self.http.get(self.url(path)).send().await?.json().await };
        answer.await.map_err(|e: reqwest::Error| {
            CliError::failed(format!("the receiver failed: {}", root_cause(&e)))
        })
    }

    async fn stats(&self, path: &str) -> CliResult<Value> {
        self.get(&format!("stats/{path}")).await
    }

    /// Waits until `n` requests have come to this path.
    async fn wait_for(&self, path: &str, n: usize) -> CliResult {
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

/// What came to one path.
#[derive(Debug, Default)]
struct Tally {
    count: usize,
    latencies_us: Vec<u64>,
}

/// The four parts of a run; other paths are not counted.
const PATHS: [&str; 4] = ["bare", "warm", "all", "single"];

#[derive(Debug, Default)]
struct Tallies {
    by_path: Mutex<[Tally; PATHS.len()]>,
    changed: tokio::sync::Notify,
}

pub(super) async fn run_receiver(_: BenchReceiverArgs) -> CliResult {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let values: Vec<u64> = (1..=100).map(|n| n * 1000).collect();
        assert_eq!(percentile_ms(&values, 50), 50.0);
        assert_eq!(percentile_ms(&values, 99), 99.0);
        assert_eq!(percentile_ms(&[7000], 99), 7.0);
        assert_eq!(percentile_ms(&[], 50), 0.0);
    }
}
