//! Who posts events, and keeps what was promised for them.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hookbox_tests::server::Server;
use reqwest::{Client, StatusCode, header::RETRY_AFTER};
use serde_json::{Value, json};
use tokio::time::sleep;

/// Webhooks in all, at least one for each tenant. Each may have only so many deliveries under way, those that
/// a killed worker held included until their leases end, so there must be some more.
const WEBHOOKS: usize = 24;
/// Events in one request, in turn.
const SIZES: [usize; 2] = [1, 19];
/// The pause before a request is made again. Shorter than what `Retry-After` asks for: what is repeated too
/// early must do no harm either.
const PAUSE: Duration = Duration::from_millis(200);

/// All producers together.
#[derive(Debug)]
pub(crate) struct Producers {
    client: Client,
    apis: Vec<String>,
    /// An admin key of each tenant.
    keys: Vec<String>,
    promised: Mutex<BTreeMap<usize, String>>,
    repeated: AtomicUsize,
}

impl Producers {
    pub(crate) fn new(apis: &[Server], keys: Vec<String>) -> Self {
        Self {
            client: Client::new(),
            apis: apis.iter().map(|api| api.url.clone()).collect(),
            keys,
            promised: Mutex::default(),
            repeated: AtomicUsize::new(0),
        }
    }

    fn webhooks_of_each(&self) -> usize {
        WEBHOOKS.div_ceil(self.keys.len())
    }

    /// Gives each tenant its webhooks, each with a rule for a kind of event of its own.
    pub(crate) async fn configure(&self, url: &str) {
        for key in &self.keys {
            for kind in 0..self.webhooks_of_each() {
                let webhook = json!({
                    "name": format!("hook {kind}"), "payload_url": url, "body_template": "{{ data.n }}",
                });
                let webhook = self.create(key, "/v1/webhooks", &webhook).await;
                let rule = json!({
                    "name": format!("rule {kind}"), "object_types": [format!("a.kind{kind}")],
                    "event_types": ["*"], "webhooks": [webhook["id"]],
                });
                self.create(key, "/v1/event-rules", &rule).await;
            }
        }
    }

    async fn create(&self, key: &str, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.apis[0]);
        let request = self.client.post(url).bearer_auth(key).json(body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED, "{path}");
        answer.json().await.unwrap()
    }

    /// Posts these events, one request after the other, until each is accepted.
    pub(crate) async fn produce(self: Arc<Self>, who: usize, events: Range<usize>) {
        let (mut turn, mut next) = (who, events.start);
        while next < events.end {
            let size = SIZES[turn % SIZES.len()].min(events.end - next);
            self.post(turn, next..next + size).await;
            (turn, next) = (turn + 1, next + size);
        }
    }

    async fn post(&self, turn: usize, numbers: Range<usize>) {
        let key = &self.keys[turn % self.keys.len()];
        let event = |n: usize| {
            let kind = n % self.webhooks_of_each();
            json!({"event": "created", "object_type": format!("a.kind{kind}"), "data": {"n": n}})
        };
        let body: Value = match numbers.len() {
            1 => event(numbers.start),
            _ => numbers.clone().map(event).collect(),
        };
        for attempt in 0.. {
            let api = &self.apis[(turn + attempt) % self.apis.len()];
            let request = self
                .client
                .post(format!("{api}/v1/events"))
                .bearer_auth(key)
                .header("Idempotency-Key", format!("events from {}", numbers.start))
                .json(&body);
            match request.send().await {
                Ok(answer) if answer.status() == StatusCode::ACCEPTED => {
                    // A connection that breaks here leaves no promise behind.
                    if let Ok(answer) = answer.json::<Value>().await {
                        return self.note(numbers, &answer);
                    }
                }
                Ok(answer) => {
                    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
                    assert!(answer.headers().contains_key(RETRY_AFTER));
                }
                Err(_) => {}
            }
            self.repeated.fetch_add(1, Ordering::Relaxed);
            sleep(PAUSE).await;
        }
    }

    fn note(&self, numbers: Range<usize>, answer: &Value) {
        let events = answer["events"].as_array().expect("what became of each");
        assert_eq!(events.len(), numbers.len());
        let mut promised = self.lock();
        for (number, event) in numbers.zip(events) {
            let [delivery] = event["deliveries"]
                .as_array()
                .expect("deliveries")
                .as_slice()
            else {
                panic!("one delivery was to follow: {event}");
            };
            let delivery = delivery.as_str().expect("an id").to_owned();
            promised.insert(number, delivery);
        }
    }

    /// How many events have been answered 202.
    pub(crate) fn accepted(&self) -> usize {
        self.lock().len()
    }

    /// How many requests had to be made again.
    pub(crate) fn repeated(&self) -> usize {
        self.repeated.load(Ordering::Relaxed)
    }

    /// The delivery that was promised for each event.
    pub(crate) fn promised(&self) -> BTreeMap<usize, String> {
        self.lock().clone()
    }

    /// How each tenant's queue stands; null if there is no answer.
    pub(crate) async fn queue(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for key in &self.keys {
            let url = format!("{}/v1/queue", self.apis[0]);
            let answer = match self.client.get(url).bearer_auth(key).send().await {
                Ok(answer) if answer.status().is_success() => answer.json().await.ok(),
                _ => None,
            };
            all.push(answer.unwrap_or_default());
        }
        all
    }

    /// Whether every tenant's queue says that nothing waits and nothing is under way.
    pub(crate) async fn nothing_waits(&self) -> bool {
        let is_empty = |queue: &Value| {
            ["queued", "started", "scheduled"]
                .iter()
                .all(|state| queue[state] == 0)
        };
        self.queue().await.iter().all(is_empty)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, String>> {
        self.promised.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
