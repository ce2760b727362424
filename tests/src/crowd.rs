//! What a crowd of requests with one key does to another key of the same tenant.
//!
//! A victim saves a webhook, posts an event and waits for its delivery, over and over; a crowd of loops with a `read`
//! or an `ingest` key makes requests of one kind at the same time. [`Stage::measure`] tells how long the victim's
//! steps took. `cargo run -p hookbox-tests --bin crowd` prints it for every kind.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};

use crate::{
    process::hookbox,
    server::{Server, Starting},
    sink::Sink,
};

/// Where the crowd comes from: it has not the victim's address.
const CROWD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A kind of request that a crowd makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: the victim alone.
    Quiet,
    /// Conditions with a pattern that needs every state at every byte of a long text.
    Evaluate,
    /// Dry runs of a template that loops.
    DryRun,
    /// Dry runs with a large body, for a host that has no address.
    LargeDryRun,
    /// Deliveries by two filters of which one fits all and the other none.
    List,
    /// A page of a thousand deliveries.
    LargeList,
    /// One stored event.
    Get,
    /// How the queue stands.
    Queue,
    /// Keys that do not exist.
    Stranger,
    /// Bodies that never come.
    SlowBody,
    /// Single events that match nothing.
    Event,
    /// A thousand such events in one request.
    Batch,
    /// Events of a megabyte.
    LargeEvent,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Quiet,
        Self::Evaluate,
        Self::DryRun,
        Self::LargeDryRun,
        Self::List,
        Self::LargeList,
        Self::Get,
        Self::Queue,
        Self::Stranger,
        Self::SlowBody,
        Self::Event,
        Self::Batch,
        Self::LargeEvent,
    ];

    fn is_ingest(self) -> bool {
        matches!(
            self,
            Self::SlowBody | Self::Event | Self::Batch | Self::LargeEvent
        )
    }
}

/// What was measured of the victim.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Each save of a webhook.
    pub saves: Vec<Duration>,
    /// Each event, until it was accepted.
    pub events: Vec<Duration>,
    /// Each event, until its delivery arrived.
    pub deliveries: Vec<Duration>,
    /// Requests of the crowd that were answered, and those refused with 503 among them.
    pub crowd: (u64, u64),
    /// Requests of the victim, and probes, that did not succeed.
    pub failed: usize,
}

/// The part of these that is at least as short as the result.
#[must_use]
pub fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    let place = times.len().saturating_mul(percent) / 100;
    times.get(place.min(last)).copied().unwrap_or_default()
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for times in [&self.saves, &self.events, &self.deliveries] {
            let ms = |percent| percentile(times, percent).as_secs_f64() * 1e3;
            write!(f, "{:8.1} {:8.1} | ", ms(50), ms(99))?;
        }
        let (answered, refused) = self.crowd;
        write!(
            f,
            "{:4} {answered:7} {refused:7} {:3}",
            self.saves.len(),
            self.failed
        )
    }
}

/// The head of a table of [`Measured`].
pub const HEAD: &str = "milliseconds  save p50      p99 | event p50     p99 | deliv. p50    p99 |    n answered     503 failed";

/// A server, a receiver, and what the crowd asks for.
#[derive(Debug)]
pub struct Stage {
    server: Server,
    sink: Sink,
    client: Client,
    webhook: String,
    other_webhook: String,
    read: String,
    ingest: String,
    event: String,
}

impl Stage {
    /// Starts a server with its data in `dir`, with so many deliveries in its store. `program` is another build of
    /// hookbox, to compare with.
    ///
    /// # Panics
    /// If it cannot be set up.
    pub async fn set_up(dir: &Path, deliveries: usize, program: Option<&Path>) -> Self {
        let mut command = program.map_or_else(hookbox, Command::new);
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(["--allow-network", "127.0.0.0/8", "--data-dir"])
            .arg(dir);
        let server = Starting::new(&mut command).ready();
        let sink = Sink::start().await;
        let make_key = async |scope: &str| {
            let key = server
                .post("/v1/keys", &json!({"name": scope, "scope": scope}))
                .await;
            key["key"].as_str().expect("a key").to_owned()
        };
        let (read, ingest) = (make_key("read").await, make_key("ingest").await);
        let make_webhook = async |name: &str, rate: Option<f64>, about: &str| {
            let webhook = webhook(name, &sink.url(), rate);
            let created = server.post("/v1/webhooks", &webhook).await;
            let id = created["id"].as_str().expect("an id").to_owned();
            let rule = json!({"name": name, "object_types": [about], "event_types": ["*"], "webhooks": [id]});
            server.post("/v1/event-rules", &rule).await;
            id
        };
        let webhook = make_webhook("victim", None, "dcim.site").await;
        // Its deliveries wait, so that they are of no account but in lists.
        let other_webhook = make_webhook("other", Some(0.001), "dcim.rack").await;
        let events = |count: usize| vec![event("dcim.rack"); count];
        let mut stored = 0;
        let mut event = String::new();
        while stored < deliveries {
            let count = (deliveries - stored).min(1000);
            let answer = server.post("/v1/events", &json!(events(count))).await;
            let id = &answer["events"][0]["id"];
            event = id.as_str().expect("an id").to_owned();
            stored += count;
        }
        let client = Client::builder()
            .local_address(IpAddr::from(CROWD))
            .build()
            .expect("a client");
        Self {
            server,
            sink,
            client,
            webhook,
            other_webhook,
            read,
            ingest,
            event,
        }
    }

    /// Measures so many rounds of the victim, while so many loops of the crowd make requests of this kind.
    ///
    /// # Panics
    /// If the server is gone.
    pub async fn measure(&self, kind: Kind, loops: usize, rounds: usize) -> Measured {
        let stop = Arc::new(AtomicBool::new(false));
        let counts = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
        let mut crowd = JoinSet::new();
        for _ in 0..loops {
            if let Some(request) = self.request(kind) {
                crowd.spawn(ask(request, Arc::clone(&stop), Arc::clone(&counts)));
            }
        }
        let silent = match kind {
            Kind::SlowBody => self.silent(16 * loops).await,
            _ => Vec::new(),
        };
        // So that the crowd is there.
        let warm = if kind == Kind::Quiet { 3 } else { loops as u64 };
        let begun = Instant::now();
        while !crowd.is_empty()
            && counts.0.load(Ordering::Relaxed) < warm
            && begun.elapsed() < Duration::from_secs(10)
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut measured = Measured::default();
        for round in 0..rounds {
            self.round(round, &mut measured).await;
        }
        measured.crowd = (
            counts.0.load(Ordering::Relaxed),
            counts.1.load(Ordering::Relaxed),
        );
        stop.store(true, Ordering::Relaxed);
        drop(silent);
        crowd.abort_all();
        while crowd.join_next().await.is_some() {}
        measured
    }

    /// One save, one event, and its delivery.
    async fn round(&self, round: usize, measured: &mut Measured) {
        let begun = Instant::now();
        let path = format!("/v1/webhooks/{}", self.webhook);
        let mut body = webhook("victim", &self.sink.url(), None);
        body["description"] = json!(round.to_string());
        let (status, _) = self.server.request(Method::PUT, &path, Some(&body)).await;
        measured.saves.push(begun.elapsed());
        measured.failed += usize::from(status != StatusCode::OK);

        let arrived = self.sink.arrived();
        let begun = Instant::now();
        let event = event("dcim.site");
        let (status, _) = self
            .server
            .request(Method::POST, "/v1/events", Some(&event))
            .await;
        measured.events.push(begun.elapsed());
        if status == StatusCode::ACCEPTED {
            self.sink.wait_for(arrived + 1).await;
            measured.deliveries.push(begun.elapsed());
        } else {
            measured.failed += 1;
        }
        for probe in ["/healthz", "/readyz"] {
            let (status, _) = self.server.request(Method::GET, probe, None).await;
            measured.failed += usize::from(status != StatusCode::OK);
        }
    }

    fn request(&self, kind: Kind) -> Option<RequestBuilder> {
        let key = if kind.is_ingest() {
            &self.ingest
        } else {
            &self.read
        };
        let url = |path: &str| format!("{}{path}", self.server.url);
        let get = |path: &str| self.client.get(url(path)).bearer_auth(key);
        let post =
            |path: &str, body: &Value| self.client.post(url(path)).bearer_auth(key).json(body);
        let dry_run = |url: &str, template: &str| {
            let webhook = json!({"payload_url": url, "body_template": template});
            post(
                "/v1/render",
                &json!({"webhook": webhook, "event": event("dcim.site")}),
            )
        };
        Some(match kind {
            Kind::Quiet | Kind::SlowBody => return None,
            Kind::Evaluate => {
                let text = "a".repeat(60_000);
                let event =
                    json!({"event": "created", "object_type": "dcim.site", "data": {"name": text}});
                let pattern = format!("(?:{})*!", "a?".repeat(200));
                let conditions = json!({"attr": "name", "op": "regex", "value": pattern});
                post(
                    "/v1/event-rules/evaluate",
                    &json!({"conditions": conditions, "event": event}),
                )
            }
            Kind::DryRun => dry_run(
                "https://1.1.1.1/",
                "{% for a in range(1000000) %}{{ a }}{% endfor %}",
            ),
            Kind::LargeDryRun => {
                let mut event = event("dcim.site");
                event["data"]["text"] = json!("a".repeat(70_000));
                let webhook = json!({"payload_url": "https://a-name-that-has-no-address.example/"});
                post("/v1/render", &json!({"webhook": webhook, "event": event}))
            }
            Kind::List => get(&format!(
                "/v1/deliveries?webhook={}&status=cancelled",
                self.other_webhook
            )),
            Kind::LargeList => get("/v1/deliveries?limit=1000"),
            Kind::Get => get(&format!("/v1/events/{}", self.event)),
            Kind::Queue => get("/v1/queue"),
            Kind::Stranger => self
                .client
                .get(url("/v1/webhooks"))
                .bearer_auth("hb_nobody_has_this_key_0123456789"),
            Kind::Event => post("/v1/events", &event("dcim.none")),
            Kind::Batch => post("/v1/events", &json!(vec![event("dcim.none"); 1000])),
            Kind::LargeEvent => {
                let mut event = event("dcim.none");
                event["data"]["text"] = json!("x".repeat(1_000_000));
                post("/v1/events", &event)
            }
        })
    }

    /// Connections that announce a body and send none.
    async fn silent(&self, count: usize) -> Vec<TcpStream> {
        let address = self.server.url.trim_start_matches("http://");
        let address = address.parse().expect("an address");
        let head = format!(
            "POST /v1/events HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: 1000\r\n\r\n",
            self.ingest
        );
        let mut silent = Vec::new();
        for _ in 0..count {
            let socket = TcpSocket::new_v4().expect("a socket");
            let from = SocketAddr::from((CROWD, 0));
            socket
                .bind(from)
                .expect("all of 127.0.0.0/8 is this machine");
            let Ok(mut stream) = socket.connect(address).await else {
                break;
            };
            // Errs when it has been refused already.
            let _ = stream.write_all(head.as_bytes()).await;
            silent.push(stream);
        }
        silent
    }
}

fn webhook(name: &str, url: &str, rate: Option<f64>) -> Value {
    json!({
        "name": name, "payload_url": url, "rate_limit": rate,
        "body_template": "{\"text\": \"{{ data.name }} was {{ event }} by {{ username }}\"}",
    })
}

fn event(object_type: &str) -> Value {
    json!({"event": "created", "object_type": object_type, "username": "a", "data": {"name": "Oslo"}})
}

/// One loop of the crowd. It does not come back at once when it was refused, as few do.
async fn ask(request: RequestBuilder, stop: Arc<AtomicBool>, counts: Arc<(AtomicU64, AtomicU64)>) {
    while !stop.load(Ordering::Relaxed) {
        let Some(again) = request.try_clone() else {
            return;
        };
        if let Ok(answer) = again.send().await {
            let refused = answer.status() == StatusCode::SERVICE_UNAVAILABLE;
            let _ = answer.bytes().await;
            counts.0.fetch_add(1, Ordering::Relaxed);
            counts.1.fetch_add(u64::from(refused), Ordering::Relaxed);
            if refused {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
