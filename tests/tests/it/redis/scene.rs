//! One Redis, one API process, one worker and one receiver: enough to see whether deliveries flow.

use std::time::{Duration, Instant};

use hookbox::backend::Status;
use hookbox_tests::{
    fleet::{Fleet, Worker},
    redis::{Options, RedisServer},
    server::{KEY, Server},
    sink::Sink,
};
use reqwest::{Client, StatusCode, header::RETRY_AFTER};
use serde_json::{Value, json};
use tokio::time::sleep;

/// How long a step on Redis may take in these tests.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(1000);
/// How long a worker has a delivery for itself without a word from it.
pub(crate) const LEASE: Duration = Duration::from_secs(10);
/// How long anything may take to recover.
const PATIENCE: Duration = Duration::from_secs(30);

/// Processes as in [`Scene`], with short timeouts.
pub(crate) fn fleet(url: impl Into<String>) -> Fleet {
    Fleet::new(url)
        .with("redis.timeout_ms", TIMEOUT.as_millis())
        .with("worker.lease_seconds", LEASE.as_secs())
        .with("delivery.timeout_seconds", 5)
        .with("delivery.max_timeout_seconds", 5)
}

/// What a sender was told.
#[derive(Debug)]
pub(crate) enum Reply {
    /// 202: the deliveries that will follow.
    Accepted(Vec<String>),
    /// 503: when to try again, in seconds.
    TryLater(u64),
    /// Anything else: status and body, for who reads the failure.
    Other(#[expect(dead_code, reason = "it is printed")] String),
}

/// A running hookbox over one Redis.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) api: Server,
    pub(crate) worker: Worker,
    pub(crate) sink: Sink,
    pub(crate) redis: RedisServer,
    client: Client,
}

impl Scene {
    /// Starts all on a Redis with these options, and sees one delivery through.
    pub(crate) async fn start(options: Options) -> Self {
        let redis = RedisServer::start(options);
        let fleet = fleet(redis.url());
        Self::start_on(redis, &fleet).await
    }

    /// The same with processes of this fleet.
    pub(crate) async fn start_on(redis: RedisServer, fleet: &Fleet) -> Self {
        let (api, worker) = (fleet.api().await, fleet.worker());
        Self::of(redis, api, worker).await
    }

    /// The same with these processes.
    pub(crate) async fn of(redis: RedisServer, api: Server, worker: Worker) -> Self {
        let mut scene = Self {
            api,
            worker,
            sink: Sink::start().await,
            redis,
            client: Client::new(),
        };
        scene.configure().await;
        scene.flows().await;
        scene
    }

    /// A webhook to the sink, for every event.
    pub(crate) async fn configure(&self) {
        let url = self.sink.url();
        self.api
            .webhook(json!({"payload_url": url, "body_template": "{{ data.n }}"}))
            .await;
    }

    /// Posts an event whose body the sink will get as this number.
    pub(crate) async fn post(&self, n: usize) -> Reply {
        let event = json!({"event": "created", "object_type": "a.b", "data": {"n": n}});
        let request = self
            .client
            .post(format!("{}/v1/events", self.api.url))
            .bearer_auth(KEY)
            .json(&event);
        let answer = request.send().await.expect("the API answers");
        let status = answer.status();
        let retry_after = answer.headers().get(RETRY_AFTER).cloned();
        let text = answer.text().await.expect("a body");
        match (status, retry_after) {
            (StatusCode::ACCEPTED, _) => {
                let answer: Value = serde_json::from_str(&text).expect("JSON");
                let deliveries = answer["events"][0]["deliveries"].as_array();
                let deliveries = deliveries.expect("a list").iter();
                let id = |id: &Value| id.as_str().expect("an id").to_owned();
                Reply::Accepted(deliveries.map(id).collect())
            }
            (StatusCode::SERVICE_UNAVAILABLE, Some(seconds)) => {
                let seconds = seconds.to_str().ok().and_then(|s| s.parse().ok());
                Reply::TryLater(seconds.expect("seconds"))
            }
            _ => Reply::Other(format!("{status} {text}")),
        }
    }

    /// Sees that an event is refused with 503 and `Retry-After`, and soon.
    pub(crate) async fn refuses(&mut self) {
        let begin = Instant::now();
        let reply = self.post(0).await;
        let took = begin.elapsed();
        assert!(
            matches!(reply, Reply::TryLater(1..=60)),
            "503 with Retry-After was to be the answer, not {reply:?}"
        );
        // The key is looked up first, and then the event is stored: two steps.
        assert!(took < 3 * TIMEOUT, "that took {took:?}");
        self.lives();
    }

    /// Sees that events are accepted and delivered again, without anyone doing anything.
    pub(crate) async fn flows(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let accepted = loop {
            self.lives();
            match self.post(1).await {
                Reply::Accepted(deliveries) if !deliveries.is_empty() => break deliveries,
                reply => assert!(Instant::now() < deadline, "it stays at {reply:?}"),
            }
            sleep(Duration::from_millis(100)).await;
        };
        self.arrives(&accepted, deadline).await;
    }

    /// Sees that these deliveries arrive.
    pub(crate) async fn arrives(&mut self, deliveries: &[String], deadline: Instant) {
        loop {
            let counts = self.sink.counts();
            if deliveries.iter().all(|id| counts.contains_key(id)) {
                return;
            }
            self.lives();
            assert!(Instant::now() < deadline, "{deliveries:?} do not arrive");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// No process has ended.
    pub(crate) fn lives(&mut self) {
        assert!(self.api.is_alive(), "the API process has ended");
        assert!(self.worker.is_alive(), "the worker has ended");
    }

    /// How many deliveries there are, in whatever state.
    pub(crate) async fn deliveries(&self) -> u64 {
        let queue = self.api.get("/v1/queue").await;
        let count = |status: Status| queue[status.as_str()].as_u64().expect("a number");
        Status::ALL.into_iter().map(count).sum()
    }
}
