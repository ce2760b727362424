//! The queue's contract. Deliveries wait here, are claimed by workers under a lease, and are settled.
//!
//! [`Queue`] is the contract that every backend keeps and that one test suite checks. Each method that
//! changes something is **one atomic, durable step**: when it has returned `Ok`, a crash cannot undo it;
//! when it has not, nothing of it has happened.
//!
//! ```text
//!              claim                settle: Finished ▶ finished
//!   queued ───────────▶ started ──▶ settle: Skip     ▶ skipped
//!     ▲  ▲                │  │      settle: Fail     ▶ failed ◀── reclaim, received too often
//!     │  └── release ─────┘  └────▶ settle: Retry    ▶ scheduled ── claim (when due) ▶ started
//!     │      defer
//!     └───── reclaim (lease expired)
//!   queued, scheduled ── cancel ▶ cancelled;   finished, failed, skipped, cancelled ── requeue ▶ queued
//! ```
//!
//! **Leases.** A claim gives a worker a delivery for a limited time and a fencing token, which rises with
//! every claim of that delivery. Renewing, settling and releasing need the current token, so a worker
//! that comes late finds [`Settled::LeaseLost`] and changes nothing.
//!
//! **Receives.** The receive count rises at the claim and falls to zero when an attempt is settled. A
//! delivery that takes its workers down with it therefore ends in `failed` after
//! [`crate::config::QueueLimits::max_receives`], instead of going round for ever.
//!
//! **Fairness.** A claim takes from tenants in turn, within a tenant from webhooks in turn, and within a
//! webhook from the lane of first attempts before the lane of retries, oldest first. A webhook that has
//! as many deliveries under way as it may ([`crate::model::WebhookSpec::max_in_flight`]), is paused, is
//! over its rate limit or is disabled is passed over and costs the others nothing.
//!
//! **Time** is the backend's own clock; callers pass durations.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    backend::BackendError,
    ingest::Event,
    model::{DeliveryId, EventId, RuleId, TenantId, Timestamp, WebhookId, WorkerId},
    record::{Attempt, Next},
    rules::Explanation,
};

/// Deliveries that one page of a list looks at. They take some milliseconds, for which a reader of the store is busy.
pub const PAGE_ROWS: usize = 5000;

use super::{Delivery, DeliveryFilter, LeaseToken, Leased, Page, Status};
use crate::{config::Retention, model::Idempotency};

/// An event on its way in, with all that follows from it.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// The event.
    pub event: Event,
    /// If the sender named the event, or the request, so that it can be recognised.
    pub idempotency: Option<Idempotency>,
    /// What it sets off; may be empty.
    pub deliveries: Vec<NewDelivery>,
    /// Why, rule by rule.
    pub explanation: Explanation,
}

/// One delivery to be created with an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    /// Its id, made by the caller.
    pub id: DeliveryId,
    /// Where it goes.
    pub webhook: WebhookId,
    /// The rule that asked for it.
    pub rule: RuleId,
}

/// What became of one [`NewEvent`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Enqueued {
    /// The event's id: the earlier one's for a duplicate.
    pub id: EventId,
    /// The deliveries that belong to it.
    pub deliveries: Vec<DeliveryId>,
    /// Whether it had been accepted before; nothing new was stored then.
    pub duplicate: bool,
}

/// What a claim got.
#[derive(Debug, Default)]
pub struct Claim {
    /// The claimed deliveries, in the order in which they should be worked on.
    pub leased: Vec<Leased>,
    /// How long until anything more could become claimable without a new event, a settlement or a change
    /// of configuration: the next retry, the end of a pause or of a rate limit's wait, a lease's expiry.
    /// Zero when more is claimable now; `None` when there is nothing to wait for.
    pub next_due: Option<Duration>,
    /// The expired leases that this claim took back, for the log.
    pub lost: Vec<LostLease>,
}

/// A lease that expired: its worker stopped, hung, or could not reach the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostLease {
    /// The delivery that was leased.
    pub delivery: DeliveryId,
    /// Its owner.
    pub tenant: TenantId,
    /// Its webhook.
    pub webhook: WebhookId,
    /// The worker that had the lease.
    pub worker: WorkerId,
    /// Whether the delivery failed, as this was its last permitted claim. Otherwise it is queued again.
    pub has_failed: bool,
}

/// The end of one attempt, to be stored with what follows from it in one step.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// Random, drawn once for each settlement. By it a backend that is asked again, because its first answer was lost
    /// on the way, knows that it has stored this very settlement.
    pub id: u64,
    /// The claim under which the attempt ran.
    pub lease: LeaseToken,
    /// The full record. Its number is set by the queue.
    pub attempt: Attempt,
    /// What happens next.
    pub next: Next,
    /// Holds back all of this webhook's deliveries for so long (the receiver's `Retry-After`). A changed
    /// spec ends it; see [`crate::backend::Registry::put_webhook`].
    pub pause: Option<Duration>,
}

/// Whether a settlement counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is stored; perhaps by an earlier call whose answer was lost on the way.
    Done,
    /// The lease had expired and was reclaimed, or the delivery is gone. Nothing was stored.
    LeaseLost,
}

/// How the queue stands, as `GET /v1/queue` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueueOverview {
    /// Deliveries in each state.
    pub queued: u64,
    /// Under way.
    pub started: u64,
    /// Waiting for a retry.
    pub scheduled: u64,
    /// Delivered.
    pub finished: u64,
    /// Given up.
    pub failed: u64,
    /// Not wanted by the transformer.
    pub skipped: u64,
    /// Called off.
    pub cancelled: u64,
    /// When the oldest delivery that waits for its first attempt was accepted.
    pub oldest_queued: Option<Timestamp>,
    /// Webhooks that are held back, and until when.
    pub paused: Vec<PausedWebhook>,
}

impl QueueOverview {
    /// Counts so many deliveries more in a state.
    pub(super) fn add(&mut self, status: Status, number: u64) {
        *match status {
            Status::Queued => &mut self.queued,
            Status::Started => &mut self.started,
            Status::Scheduled => &mut self.scheduled,
            Status::Finished => &mut self.finished,
            Status::Failed => &mut self.failed,
            Status::Skipped => &mut self.skipped,
            Status::Cancelled => &mut self.cancelled,
        } += number;
    }
}

/// A webhook whose receiver asked for a rest, or whose deliveries were put off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PausedWebhook {
    /// The webhook.
    pub webhook: WebhookId,
    /// When its deliveries go on.
    pub until: Timestamp,
}

/// What a tenant used in a span of time, as `GET /v1/usage` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Events accepted.
    pub events: u64,
    /// Attempts made.
    pub attempts: u64,
    /// Attempts that delivered.
    pub delivered: u64,
    /// Fuel spent in the sandbox.
    pub fuel: u64,
    /// Bytes of request bodies sent.
    pub bytes_sent: u64,
}

/// A worker, as `GET /v1/workers` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkerInfo {
    /// Its id.
    pub id: WorkerId,
    /// The machine it runs on.
    pub host: String,
    /// Its process.
    pub pid: u32,
    /// When it started.
    pub started: Timestamp,
    /// When it was last heard of. Set by the queue.
    pub last_seen: Timestamp,
    /// Deliveries it has under way.
    pub in_flight: u32,
    /// Deliveries it can have under way.
    pub concurrency: u32,
}

/// A stored event with its explanation and deliveries.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// The event.
    pub event: Event,
    /// Why rules matched or did not.
    pub explanation: Explanation,
    /// Its deliveries, oldest first.
    pub deliveries: Vec<Delivery>,
}

/// Why a delivery could not be requeued or cancelled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransitionError {
    /// There is none of this id in this tenant.
    #[error("no delivery {0}")]
    NotFound(DeliveryId),
    /// Its state does not allow it.
    #[error("delivery {id} is {status}; {allowed}")]
    WrongState {
        /// The delivery.
        id: DeliveryId,
        /// The state it is in.
        status: Status,
        /// Which states would do, in words.
        allowed: &'static str,
    },
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// Attempts of one delivery whose records are kept, as requeuing has no limit.
pub const KEPT_ATTEMPTS: usize = 100;

/// The queue's contract; see the module's page. All methods may fail with [`BackendError`], in which case
/// nothing has changed (or, if the connection broke on the way back, the step happened as a whole).
#[async_trait]
pub trait Queue: Send + Sync + std::fmt::Debug {
    /// Stores events with their deliveries, all or none, and wakes a waiting worker. The answers are in
    /// the order of the batch. An event whose idempotency key is known stores nothing; within one batch,
    /// later ones are duplicates of earlier ones.
    ///
    /// # Errors
    /// [`BackendError::IdempotencyMismatch`] if a key is known with another fingerprint.
    async fn enqueue(&self, batch: Vec<NewEvent>) -> Result<Vec<Enqueued>, BackendError>;

    /// Leases up to `max` deliveries to `worker` for `lease`. Also does what time has brought about:
    /// reclaims expired leases and makes due retries claimable.
    async fn claim(
        &self,
        worker: &WorkerId,
        max: usize,
        lease: Duration,
    ) -> Result<Claim, BackendError>;

    /// Extends leases to `lease` from now; returns those that are lost.
    async fn renew(
        &self,
        leases: &[LeaseToken],
        lease: Duration,
    ) -> Result<Vec<LeaseToken>, BackendError>;

    /// Stores the attempt and moves the delivery on, if the lease still holds.
    async fn settle(&self, settlement: Settlement) -> Result<Settled, BackendError>;

    /// Gives leases back unused (a worker that shuts down): the deliveries are claimable at once and the
    /// receive does not count. Lost leases are ignored.
    async fn release(&self, leases: &[LeaseToken]) -> Result<(), BackendError>;

    /// Gives a lease back because the attempt cannot be made just now, through no fault of the delivery's: it
    /// waits where it did, neither an attempt nor the receive counts, and `why` is told as its last result.
    /// All of its webhook's deliveries are held back for `wait`, as by [`Settlement::pause`]. A lost lease is
    /// ignored.
    async fn defer(
        &self,
        lease: &LeaseToken,
        wait: Duration,
        why: &str,
    ) -> Result<(), BackendError>;

    /// Puts an ended delivery (`finished`, `failed`, `skipped`, `cancelled`) or a `scheduled` one back to
    /// `queued`, with the whole retry schedule before it again. Its attempts stay recorded.
    async fn requeue(
        &self,
        tenant: &TenantId,
        id: &DeliveryId,
    ) -> Result<Delivery, TransitionError>;

    /// Requeues up to `limit` deliveries that match and may be requeued, oldest first; returns how many.
    async fn requeue_matching(
        &self,
        tenant: &TenantId,
        filter: &DeliveryFilter,
        limit: usize,
    ) -> Result<usize, BackendError>;

    /// Calls off a `queued` or `scheduled` delivery.
    async fn cancel(&self, tenant: &TenantId, id: &DeliveryId)
    -> Result<Delivery, TransitionError>;

    /// Calls off up to `limit` deliveries that match and may be called off, oldest first; returns how many.
    async fn cancel_matching(
        &self,
        tenant: &TenantId,
        filter: &DeliveryFilter,
        limit: usize,
    ) -> Result<usize, BackendError>;

    /// The event, its explanation and its deliveries.
    async fn event(
        &self,
        tenant: &TenantId,
        id: &EventId,
    ) -> Result<Option<StoredEvent>, BackendError>;

    /// One delivery.
    async fn delivery(
        &self,
        tenant: &TenantId,
        id: &DeliveryId,
    ) -> Result<Option<Delivery>, BackendError>;

    /// A delivery's attempts, first to last: the last [`KEPT_ATTEMPTS`] if there were more.
    async fn attempts(
        &self,
        tenant: &TenantId,
        id: &DeliveryId,
    ) -> Result<Vec<Attempt>, BackendError>;

    /// The attempt of a delivery that has this number, if it is kept.
    async fn attempt(
        &self,
        tenant: &TenantId,
        id: &DeliveryId,
        number: u32,
    ) -> Result<Option<Attempt>, BackendError>;

    /// Deliveries that match, newest first, at most `limit`; `cursor` is the `next` of the page before. One page looks
    /// at [`PAGE_ROWS`] deliveries at most, so it may hold fewer than there are, even none, and still have a `next`.
    async fn deliveries(
        &self,
        tenant: &TenantId,
        filter: &DeliveryFilter,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<Delivery>, BackendError>;

    /// How the queue stands for a tenant, or for all of them.
    async fn overview(&self, tenant: Option<&TenantId>) -> Result<QueueOverview, BackendError>;

    /// What a tenant used from `since` until `until`.
    async fn usage(
        &self,
        tenant: &TenantId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Usage, BackendError>;

    /// Removes up to `limit` deliveries that have ended longer ago than `retention` keeps them, with their
    /// attempts, and events that no delivery refers to any more; returns how many deliveries and events.
    /// Also forgets, uncounted, idempotency keys after their window, usage of more than 400 days ago, what
    /// was kept for webhooks and workers that are gone, and components that no plugin needs. Cost is proportional to what is removed.
    async fn prune(&self, retention: Retention, limit: usize) -> Result<usize, BackendError>;

    /// Says that a worker lives; to be said more often than every five seconds.
    async fn heartbeat(&self, worker: &WorkerInfo) -> Result<(), BackendError>;

    /// Workers heard of within the last five seconds.
    async fn workers(&self) -> Result<Vec<WorkerInfo>, BackendError>;

    /// Forgets a worker that has shut down.
    async fn deregister(&self, worker: &WorkerId) -> Result<(), BackendError>;

    /// Waits until something may have become claimable, at most `at_most`. A wake-up that comes between a
    /// claim and this call is not lost. May return early.
    async fn wait(&self, at_most: Duration);

    /// Whether the backend really answers, writes included.
    async fn ping(&self) -> Result<(), BackendError>;
}
