//! `hookbox bench`: deliveries per second, end to end, and next to it the bare HTTP client.

mod receiver;

use std::{
    io::{self, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use clap::Args;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};
use url::Url;

use super::{
    client::{Client, Payload},
    error::{CliError, CliResult, root_cause},
    instance::{Instance, Plan, Store},
    setup::{address, any_secret, temporary},
    terminal::write_table,
};
use crate::{
    backend::redis::RedisBackend,
    config::{Config, RedisConfig, redis_address::Address},
    model::Secret,
};

pub(super) use receiver::{BenchReceiverArgs, run_receiver};

use receiver::Receiver;

/// Events in one request.
const BATCH: usize = 500;
/// Deliveries sent one by one, to see how long one takes when nothing else happens.
const SINGLES: usize = 100;

/// Measure deliveries per second on this machine
///
/// End to end: events are posted to the API, matched, stored durably, rendered in the sandbox and sent to a
/// receiver in another process. The store is a temporary one, embedded, and then one on Redis if that is given.
/// Next to it the same number of requests is sent by the bare HTTP client, without queue and sandbox.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hookbox bench
  hookbox bench --deliveries 20000 --concurrency 128
  hookbox bench --redis redis://127.0.0.1:6379")]
pub(super) struct BenchArgs {
    /// How many deliveries to make
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    deliveries: u32,
    /// How many requests are under way at once
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
    /// Also measure with this Redis. The keys there begin with hookbox-bench- and are removed afterwards
    #[arg(long, value_name = "URL", value_parser = any_secret)]
    redis: Option<Secret>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: BenchArgs) -> CliResult {
    let (total, concurrency) = (args.deliveries as usize, usize::from(args.concurrency));
    let redis = args.redis.as_ref().map(address).transpose()?;
    let receiver = Receiver::spawn().await?;
    let bench = Bench {
        receiver: &receiver,
        total,
        concurrency,
    };
    let bare = bench.bare_loop().await?;
    let mut runs = vec![bench.embedded().await?];
    if let Some(address) = redis {
        runs.push(bench.redis(address).await?);
    }

    let mut out = io::stdout();
    if args.json {
        let mut report = json!({
            "deliveries": total,
            "concurrency": concurrency,
            "bare_client_per_second": per_second(total, bare).round(),
            "debug_build": cfg!(debug_assertions),
        });
        for run in &runs {
            report[run.store] = json!({
                "per_second": per_second(total, run.all).round(),
                "ratio": (per_second(total, run.all) / per_second(total, bare) * 1000.0).round() / 1000.0,
                "single_delivery_p50_ms": percentile_ms(&run.singles_us, 50),
                "single_delivery_p99_ms": percentile_ms(&run.singles_us, 99),
            });
        }
        return Ok(writeln!(out, "{report:#}")?);
    }
    writeln!(
        out,
        "{total} deliveries, {concurrency} at once, receiver in another process; one delivery alone: from posting \
         the event to its receipt\n"
    )?;
    let rows: Vec<Vec<String>> = std::iter::once(vec![
        "bare HTTP client".to_owned(),
        format!("{:.0}", per_second(total, bare)),
        "100 %".to_owned(),
    ])
    .chain(runs.iter().map(|run| {
        vec![
            format!("hookbox, {}", run.store),
            format!("{:.0}", per_second(total, run.all)),
            format!(
                "{:.1} %",
                per_second(total, run.all) / per_second(total, bare) * 100.0
            ),
            format!("{} ms", percentile_ms(&run.singles_us, 50)),
            format!("{} ms", percentile_ms(&run.singles_us, 99)),
        ]
    }))
    .collect();
    write_table(
        &mut out,
        &["", "per second", "ratio", "one alone p50", "p99"],
        &rows,
    )?;
    if cfg!(debug_assertions) {
        writeln!(
            out,
            "\nthis is a debug build: build with --release for numbers that mean something"
        )?;
    }
    Ok(())
}

/// The measurements with one store.
struct Run {
    store: &'static str,
    /// The time that all deliveries took.
    all: Duration,
    /// Single ones, in microseconds, sorted.
    singles_us: Vec<u64>,
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

/// One run: what goes where, how often.
struct Bench<'a> {
    receiver: &'a Receiver,
    total: usize,
    concurrency: usize,
}

impl Bench<'_> {
    /// The same requests by the HTTP client alone.
    async fn bare_loop(&self) -> CliResult<Duration> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| CliError::failed(root_cause(&e)))?;
        let url = self.receiver.url("bare");
        let body = r#"{"text": "IP address 192.0.2.10/24 was created by jstretch!"}"#;
        let left = Arc::new(AtomicUsize::new(self.total));
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..self.concurrency {
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
            ended.map_err(CliError::failed)?.map_err(|e| {
                CliError::failed(format!("the bare client failed: {}", root_cause(&e)))
            })?;
        }
        let took = started.elapsed();
        self.receiver.wait_for("bare", self.total).await?;
        Ok(took)
    }

    /// Through all of hookbox, on an embedded store.
    async fn embedded(&self) -> CliResult<Run> {
        self.hookbox(
            "embedded",
            |_| {},
            |folder| Store::Embedded(folder.join("data")),
        )
        .await
    }

    /// Through all of hookbox, on a Redis, whose other keys are left alone.
    async fn redis(&self, address: Address) -> CliResult<Run> {
        let mut redis = Config::defaults().redis;
        redis.url = address.into();
        redis.prefix = format!("hookbox-bench-{}", uuid::Uuid::now_v7().simple());
        let run = self
            .hookbox(
                "redis",
                |config| config.redis = redis.clone(),
                |_| Store::Redis,
            )
            .await;
        let removed = remove(&redis).await;
        let run = run?;
        removed.map(|()| run)
    }

    async fn hookbox(
        &self,
        store: &'static str,
        change: impl FnOnce(&mut Config),
        place: impl FnOnce(&Path) -> Store,
    ) -> CliResult<Run> {
        let folder = tempfile::tempdir()
            .map_err(|e| CliError::failed(format!("cannot make a temporary folder: {e}")))?;
        let mut config = temporary(folder.path())?;
        // One webhook may have a quarter of a worker's slots.
        config.worker.concurrency = self.concurrency.saturating_mul(4);
        change(&mut config);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let base = format!("http://{}", listener.local_addr()?);
        let plan = Plan {
            store: place(folder.path()),
            ..Plan::embedded(config, folder.path(), listener)
        };
        let hookbox = Instance::start(plan).await?;
        let base = Url::parse(&base).map_err(CliError::failed)?;
        let client = Client::new(base, hookbox.new_admin_key.clone())?;
        let run = self.measure(store, &client).await;
        hookbox.shut_down().await;
        run
    }

    /// The load on one running hookbox.
    async fn measure(&self, store: &'static str, client: &Client) -> CliResult<Run> {
        let Self {
            receiver,
            total,
            concurrency,
        } = *self;
        let webhook = json!({
            "name": "bench",
            "payload_url": format!("{}{{{{ data.path }}}}", receiver.url("")),
            "additional_headers": "X-Event: {{ event }}\nX-Sent-Us: {{ data.sent_us }}",
            "body_template": BODY,
            "max_in_flight": concurrency,
        });
        let rule = json!({"name": "bench", "object_types": ["*"], "event_types": ["*"], "webhooks": ["bench"]});
        let post = async |path, json: &Value| -> CliResult {
            let IgnoredAny = client.post(&[path], Payload::Json(json)).await?;
            Ok(())
        };
        post("webhooks", &webhook).await?;
        post("event-rules", &rule).await?;
        let path = |part: &str| format!("{store}-{part}");
        let to = |part: &str| {
            let mut event = event();
            event["data"]["path"] = json!(path(part));
            event
        };

        // The first delivery opens connections and compiles nothing any more.
        post("events", &to("warm")).await?;
        receiver.wait_for(&path("warm"), 1).await?;

        let started = Instant::now();
        let mut posted = 0;
        while posted < total {
            let batch: Vec<Value> = (0..BATCH.min(total - posted)).map(|_| to("all")).collect();
            posted += batch.len();
            post("events", &Value::Array(batch)).await?;
        }
        receiver.wait_for(&path("all"), total).await?;
        let all = started.elapsed();

        for n in 1..=SINGLES {
            post("events", &to("single")).await?;
            receiver.wait_for(&path("single"), n).await?;
        }
        let stats = receiver.stats(&path("single")).await?;
        let mut singles_us: Vec<u64> = stats
            .get("latencies_us")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_u64)
            .collect();
        singles_us.sort_unstable();
        Ok(Run {
            store,
            all,
            singles_us,
        })
    }
}

/// Removes what a run has left in Redis.
async fn remove(redis: &RedisConfig) -> CliResult {
    let limits = Config::defaults().queue_limits();
    let removed = async { RedisBackend::open(redis, limits).await?.remove_all().await };
    removed.await.map_err(|e| {
        let prefix = &redis.prefix;
        CliError::failed(format!("cannot remove the keys {prefix}:* from Redis: {e}"))
    })
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
