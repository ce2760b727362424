//! Rules of the queue that every backend keeps in the same way: fairness, rates, and what is said of an
//! attempt. Pure.

use std::{borrow::Cow, time::Duration};

use crate::{
    model::{Timestamp, WorkerId},
    record::{Attempt, AttemptError, AttemptOutcome, FailureKind, Next, Timings},
};

/// Deliveries requeued or called off by one call at most.
pub(crate) const MAX_MOVED: usize = 10_000;

/// Deliveries of one claim at most, whatever is asked for: they are in memory with their events.
pub(crate) const MAX_CLAIM: usize = 1000;

/// First attempts that a webhook's waiting retries let pass before one of them is next.
pub(crate) const FIRSTS_PER_RETRY: u8 = 3;

/// How often a worker says that it lives, and how much it has under way.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(1500);

/// How long a silent worker is listed: as long as three of its heartbeats take.
pub(crate) const WORKER_SEEN: Duration = Duration::from_secs(5);

/// Paused webhooks in one overview at most.
pub(crate) const MAX_PAUSED: usize = 1000;

/// Nothing is put off for longer than this, so that sums of times stay far from overflowing.
pub(crate) const MAX_SPAN: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The result of a delivery that waited for a webhook that is gone.
pub(crate) const WEBHOOK_DELETED: &str = "the webhook was deleted";

/// The result of an attempt of which nobody knows how it ended.
pub(crate) const WORKER_LOST: &str = "the worker stopped or lost its lease before it said how the attempt ended; the request may have been sent";

/// The kind of that attempt's error.
pub(crate) const WORKER_LOST_KIND: &str = FailureKind::WORKER_LOST.as_str();

/// Bytes of the sentence that a list shows; the attempt has it in full.
const MAX_RESULT: usize = 500;

/// The result of a delivery that took its workers down.
pub(crate) fn poisonous(receives: &dyn std::fmt::Display) -> String {
    format!(
        "given up after {receives} workers in turn stopped or lost their lease while working on it"
    )
}

/// A rate as the generic cell rate algorithm's interval between two claims and how far ahead of it a burst
/// may run, in microseconds. The burst is what one second allows, at least one. `(0, 0)` is no limit.
pub(crate) fn rate(per_second: Option<f64>) -> (i64, i64) {
    match per_second {
        Some(rate) if rate > 0.0 && rate.is_finite() => {
            // Casts from float saturate; below one in a hundred years is as good as never.
            let interval = (1e6 / rate).min(1e6 * MAX_SPAN.as_secs_f64()) as i64;
            let burst = rate.ceil().max(1.0) as i64;
            (interval, interval.saturating_mul(burst - 1))
        }
        _ => (0, 0),
    }
}

/// One sentence on how the attempt ended.
pub(crate) fn result(attempt: &Attempt, next: &Next) -> String {
    let text: Cow<'_, str> = match (next, &attempt.error, &attempt.response) {
        (Next::Fail(reason), ..) => reason.into(),
        (_, Some(error), _) => (&error.message).into(),
        (Next::Skip(reason), ..) if !reason.is_empty() => reason.into(),
        (Next::Skip(_), ..) => "the transformer decided to send nothing".into(),
        (_, None, Some(response)) => format!("the receiver answered {}", response.status).into(),
        (_, None, None) => "ended without an answer".into(),
    };
    text.get(..text.floor_char_boundary(MAX_RESULT))
        .unwrap_or(&text)
        .to_owned()
}

/// The kind of the attempt's error, by which its delivery is found.
pub(crate) fn error_kind(attempt: &Attempt) -> Option<&str> {
    attempt.error.as_ref().map(|error| error.kind.as_str())
}

/// The usage of an attempt: whether it delivered, fuel, and bytes sent. Sums of these stay within 64 bits.
pub(crate) fn used(attempt: &Attempt) -> (bool, u64, u64) {
    let fuel = attempt.render.as_ref().map_or(0, |render| render.fuel);
    // Without an answer nobody knows how much was sent.
    let sent = attempt
        .request
        .as_ref()
        .filter(|_| attempt.response.is_some());
    let bytes = sent.map_or(0, |request| request.body_bytes);
    (
        attempt.outcome == AttemptOutcome::Delivered,
        fuel.min(1 << 40),
        bytes.min(1 << 40),
    )
}

/// The record of an attempt whose worker said nothing any more.
pub(crate) fn lost_attempt(
    number: u32,
    worker: WorkerId,
    begun: Timestamp,
    now: Timestamp,
) -> Attempt {
    let total = now.since(begun).as_micros();
    Attempt {
        number,
        started: begun,
        worker,
        outcome: AttemptOutcome::Failed,
        render: None,
        request: None,
        response: None,
        timings: Timings {
            total_us: u64::try_from(total).unwrap_or(u64::MAX),
            ..Timings::default()
        },
        error: Some(AttemptError {
            kind: WORKER_LOST_KIND.to_owned(),
            field: None,
            line: None,
            message: WORKER_LOST.to_owned(),
            retryable: true,
        }),
        skip_reason: None,
        warnings: Vec::new(),
    }
}
