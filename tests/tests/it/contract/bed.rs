//! What the cases stand on: an empty backend and short words for what they do with it.

use std::{
    any::Any,
    collections::HashMap,
    future::Future,
    ops::Deref,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hookbox::{
    backend::{
        Backend, Claim, Delivery, DeliveryFilter, Enqueued, LeaseToken, Leased, NewDelivery,
        NewEvent, Registry, Settled, Settlement, Status,
    },
    config::{Config, QueueLimits},
    ingest::parse_event,
    model::{
        DeliveryId, EventId, RuleId, TenantId, Timestamp, Webhook, WebhookId, WebhookSpec, WorkerId,
    },
    record::{Attempt, AttemptError, AttemptOutcome, Next, Timings},
    rules::{Explanation, RuleVerdict},
};
use serde_json::json;

/// Makes an empty backend with these limits.
pub(crate) type Open = fn(QueueLimits) -> Pin<Box<dyn Future<Output = Bed> + Send>>;

/// Limits under which nothing gets in a case's way.
pub(crate) const LIMITS: QueueLimits = QueueLimits {
    max_receives: 3,
    max_in_flight: 1000,
    idempotency_window: Duration::from_secs(3600),
};

/// A lease that does not expire while a case runs.
pub(crate) const LONG: Duration = Duration::from_secs(600);
/// A lease that soon expires.
pub(crate) const SHORT: Duration = Duration::from_millis(60);

/// A backend and what has to live as long as it.
pub(crate) struct Bed {
    backend: Arc<dyn Backend>,
    _keep: Box<dyn Any + Send + Sync>,
}

impl Deref for Bed {
    type Target = Arc<dyn Backend>;

    fn deref(&self) -> &Arc<dyn Backend> {
        &self.backend
    }
}

impl Bed {
    pub(crate) fn new(backend: Arc<dyn Backend>, keep: impl Any + Send + Sync) -> Self {
        Self {
            backend,
            _keep: Box::new(keep),
        }
    }

    /// A webhook with these settings.
    pub(crate) async fn webhook(
        &self,
        tenant: &TenantId,
        change: impl FnOnce(&mut WebhookSpec),
    ) -> WebhookId {
        let webhook = webhook(change);
        self.put_webhook(tenant, &webhook, None).await.unwrap();
        webhook.id
    }

    pub(crate) async fn stored_webhook(&self, tenant: &TenantId, id: &WebhookId) -> Webhook {
        Registry::webhook(&*self.backend, tenant, id)
            .await
            .unwrap()
            .expect("the webhook is there")
    }

    /// One event with one delivery for each webhook; the deliveries.
    pub(crate) async fn send(&self, tenant: &TenantId, webhooks: &[&WebhookId]) -> Vec<DeliveryId> {
        self.enqueue_one(event(tenant, webhooks)).await.deliveries
    }

    /// One event with one delivery; the delivery.
    pub(crate) async fn send_one(&self, tenant: &TenantId, webhook: &WebhookId) -> DeliveryId {
        self.send(tenant, &[webhook]).await.remove(0)
    }

    pub(crate) async fn enqueue_one(&self, event: NewEvent) -> Enqueued {
        self.enqueue(vec![event]).await.unwrap().remove(0)
    }

    pub(crate) async fn claim_for(&self, max: usize, lease: Duration) -> Claim {
        self.claim(&WorkerId::from("wrk_test"), max, lease)
            .await
            .unwrap()
    }

    /// Claims all there is, for long.
    pub(crate) async fn claim_all(&self) -> Vec<Leased> {
        self.claim_for(1000, LONG).await.leased
    }

    /// Claims the one delivery that is expected to be claimable.
    pub(crate) async fn claim_one(&self) -> Leased {
        let mut all = self.claim_all().await;
        assert_eq!(all.len(), 1, "one delivery was to be claimable");
        all.remove(0)
    }

    /// Waits until something can be claimed, and claims it with this lease.
    pub(crate) async fn claim_when_due(&self, lease: Duration) -> Leased {
        until(async || self.claim_for(1, lease).await.leased.pop()).await
    }

    pub(crate) async fn end(&self, token: &LeaseToken, next: Next) -> Settled {
        self.settle(settlement(token, next)).await.unwrap()
    }

    pub(crate) async fn get(&self, tenant: &TenantId, id: &DeliveryId) -> Delivery {
        self.delivery(tenant, id)
            .await
            .unwrap()
            .expect("the delivery is there")
    }

    pub(crate) async fn status(&self, tenant: &TenantId, id: &DeliveryId) -> Status {
        self.get(tenant, id).await.status
    }

    /// The ids of all deliveries that match, newest first.
    pub(crate) async fn list(&self, tenant: &TenantId, filter: &DeliveryFilter) -> Vec<DeliveryId> {
        let page = self.deliveries(tenant, filter, 1000, None).await.unwrap();
        assert_eq!(page.next, None);
        page.results.into_iter().map(|d| d.id).collect()
    }

    /// How many deliveries are in each state, by looking at all of them.
    pub(crate) async fn scan(&self, tenant: &TenantId) -> HashMap<Status, u64> {
        let (mut counts, mut cursor) = (HashMap::new(), None);
        loop {
            let page = self
                .deliveries(tenant, &DeliveryFilter::default(), 7, cursor.as_deref())
                .await
                .unwrap();
            for delivery in page.results {
                *counts.entry(delivery.status).or_default() += 1;
            }
            cursor = page.next;
            if cursor.is_none() {
                return counts;
            }
        }
    }
}

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::from(name)
}

pub(crate) fn webhook(change: impl FnOnce(&mut WebhookSpec)) -> Webhook {
    let id = WebhookId::generate();
    let mut spec = WebhookSpec {
        name: id.to_string(),
        payload_url: "https://example.com/".to_owned(),
        ..WebhookSpec::default()
    };
    change(&mut spec);
    Webhook {
        id,
        external_id: Some(7),
        spec,
        warnings: Vec::new(),
        created: Timestamp::from_millis(1),
        updated: Timestamp::from_millis(2),
    }
}

/// An event of type `object_created` for `dcim.site`, with one delivery for each webhook.
pub(crate) fn event(tenant: &TenantId, webhooks: &[&WebhookId]) -> NewEvent {
    event_about(tenant, "dcim.site", webhooks)
}

pub(crate) fn event_about(
    tenant: &TenantId,
    object_type: &str,
    webhooks: &[&WebhookId],
) -> NewEvent {
    let limits = Config::defaults().ingest;
    let json = json!({"event": "created", "object_type": object_type, "data": {"name": "Zürich \u{0} \"1\""}});
    let incoming = parse_event(tenant, json.to_string().as_bytes(), &limits).unwrap();
    let rule = RuleId::generate();
    let verdict = RuleVerdict {
        rule: rule.clone(),
        name: "all sites".to_owned(),
        matched: true,
        mismatch: None,
        reason: "it matches".to_owned(),
        trace: Vec::new(),
    };
    NewEvent {
        event: incoming.event,
        idempotency: None,
        deliveries: webhooks
            .iter()
            .map(|webhook| NewDelivery {
                id: DeliveryId::generate(),
                webhook: (*webhook).clone(),
                rule: rule.clone(),
            })
            .collect(),
        explanation: Explanation {
            rules: vec![verdict],
            omitted: 3,
        },
    }
}

static SETTLEMENTS: AtomicU64 = AtomicU64::new(0);

/// A settlement that goes with `next`, unlike all others.
pub(crate) fn settlement(token: &LeaseToken, next: Next) -> Settlement {
    let outcome = match &next {
        Next::Finished => AttemptOutcome::Delivered,
        Next::Skip(_) => AttemptOutcome::Skipped,
        Next::Retry(_) | Next::Fail(_) => AttemptOutcome::Failed,
    };
    let mut attempt = attempt(outcome);
    if let Next::Skip(reason) = &next {
        attempt.skip_reason = Some(reason.clone());
    }
    Settlement {
        id: SETTLEMENTS.fetch_add(1, Ordering::Relaxed),
        lease: token.clone(),
        attempt,
        next,
        pause: None,
    }
}

pub(crate) fn attempt(outcome: AttemptOutcome) -> Attempt {
    Attempt {
        number: 0,
        started: Timestamp::from_millis(1_772_810_000_120),
        worker: WorkerId::from("wrk_test"),
        outcome,
        render: None,
        request: None,
        response: None,
        timings: Timings::default(),
        error: (outcome == AttemptOutcome::Failed).then(|| AttemptError {
            kind: "connect".to_owned(),
            field: None,
            line: None,
            message: "nobody answered".to_owned(),
            retryable: true,
        }),
        skip_reason: None,
        warnings: Vec::new(),
    }
}

pub(crate) fn ids(leased: &[Leased]) -> Vec<DeliveryId> {
    leased.iter().map(|l| l.delivery.id.clone()).collect()
}

pub(crate) fn webhooks_of(leased: &[Leased]) -> Vec<WebhookId> {
    leased.iter().map(|l| l.delivery.webhook.clone()).collect()
}

/// Asks again and again until there is an answer; ten seconds are a failure.
pub(crate) async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), asking)
        .await
        .expect("it happened within ten seconds")
}

/// An id that names nothing.
pub(crate) fn no_event() -> EventId {
    EventId::generate()
}
