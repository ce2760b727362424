//! Reading the store for an answer, and large answers on their way out.
//!
//! Each key has its share of the store's readers. A client takes an answer as slowly as it likes, so what is on its
//! way is bounded too: in number, in memory and in time.

use std::{io, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures_util::{Stream, StreamExt};
use serde::Serialize;
use tokio::time::Instant;

use super::problem::{Answer, Kind, Problem};
use crate::tenant::limiter::{Caller, Limits, Permit, TenantLimiter};

/// Reads for answers at once. Fewer than the embedded store has readers, so that workers always find one.
const READS: Limits = Limits {
    all: 4,
    tenant: 2,
    key: 1,
    tenant_places: usize::MAX,
    key_places: WAITING,
};
/// Components being sent at once. Each is read as it is taken, and holds two pieces at most.
const COMPONENTS: Limits = Limits { all: 64, ..READS };
/// Answers being sent at once that are larger than [`SMALL`]. They are in memory as a whole.
const LARGE: Limits = READS;
/// Requests of a key that may wait in each of these queues.
const WAITING: usize = 256;
/// Maximum wait in a queue.
const WAIT: Duration = Duration::from_secs(5);
/// Size in bytes up to which a response needs no permit.
const SMALL: usize = 256 << 10;
/// Bytes a second that a client has to take, after [`PATIENCE`].
const LEAST_RATE: u64 = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes that are given away at a time of what is in memory.
const PIECE: usize = 64 << 10;

/// The limits of reads and of responses under way.
#[derive(Debug)]
pub(super) struct Sending {
    reads: TenantLimiter,
    components: TenantLimiter,
    large: TenantLimiter,
}

impl Default for Sending {
    fn default() -> Self {
        Self {
            reads: TenantLimiter::new(READS),
            components: TenantLimiter::new(COMPONENTS),
            large: TenantLimiter::new(LARGE),
        }
    }
}

/// Waits for a turn to send something large.
async fn slot(limiter: &TenantLimiter, caller: &Caller) -> Answer<Permit> {
    let turn = limiter.acquire(caller, 1, WAIT).await;
    turn.map_err(|_| {
        let why =
            "the limit of large answers under way is reached for this key, its tenant or the server; try again";
        Problem::new(Kind::Busy, why).after(WAIT)
    })
}

impl Sending {
    /// Waits for the right to send a component.
    pub(super) async fn component(&self, caller: &Caller) -> Answer<Permit> {
        slot(&self.components, caller).await
    }

    /// Answers with the JSON of what `read` reads, which may be large. It may be read twice.
    pub(super) async fn json<T, F>(&self, caller: &Caller, read: impl Fn() -> F) -> Answer<Response>
    where
        T: Serialize,
        F: Future<Output = Answer<T>>,
    {
        const JSON: HeaderValue = HeaderValue::from_static("application/json");
        {
            let _permit = self.reads.acquire(caller, 1, WAIT).await?;
            let small = to_json(&read().await?)?;
            if small.len() <= SMALL {
                return Ok(([(header::CONTENT_TYPE, JSON)], small).into_response());
            }
        }
        // A response that waits to be sent must not delay readers, and must not be in memory.
        let slot = slot(&self.large, caller).await?;
        let bytes = {
            let _permit = self.reads.acquire(caller, 1, WAIT).await?;
            to_json(&read().await?)?
        };
        let length = bytes.len() as u64;
        let pieces = futures_util::stream::unfold(bytes, async |mut rest: Bytes| {
            // A copy, so that what has been given away does not hold the whole.
            let piece = rest.split_to(PIECE.min(rest.len()));
            (!piece.is_empty()).then(|| (Ok(Bytes::copy_from_slice(&piece)), rest))
        });
        Ok(response(JSON, length, pieces, slot))
    }
}

fn to_json(value: &impl Serialize) -> Answer<Bytes> {
    let json = serde_json::to_vec(value).map_err(|e| Problem::internal(&e))?;
    Ok(json.into())
}

/// An answer of so many bytes that holds its slot until it has been taken, has taken too long, or is dropped.
pub(super) fn response(
    content_type: HeaderValue,
    length: u64,
    pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    slot: Permit,
) -> Response {
    let most = PATIENCE.saturating_add(Duration::from_secs(length / LEAST_RATE));
    let headers: [(HeaderName, HeaderValue); 2] = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_LENGTH, HeaderValue::from(length)),
    ];
    (headers, Body::from_stream(within(most, pieces, slot))).into_response()
}

/// The pieces until the time is over, which ends the connection. The time is looked at when the client takes
/// something; one that takes nothing at all is dropped by [`super::serve()`].
fn within<H: Send + 'static>(
    most: Duration,
    pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    held: H,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let end = Instant::now().checked_add(most);
    pieces.map(move |piece| {
        let _held = &held;
        if end.is_some_and(|end| Instant::now() >= end) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        piece
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::{FutureExt, stream::repeat_with};

    use super::*;

    #[tokio::test]
    async fn who_takes_too_long_is_cut_off_and_what_was_held_is_free() {
        let held = Arc::new(());
        let pieces = repeat_with(|| Ok(Bytes::from_static(b"x")));
        let most = Duration::from_millis(200);
        let mut sent = Box::pin(within(most, pieces, Arc::clone(&held)));
        assert_eq!(sent.next().await.unwrap().unwrap(), "x");
        tokio::time::sleep(most).await;
        let late = sent.next().await.unwrap().unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        assert_eq!(Arc::strong_count(&held), 2);
        drop(sent);
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[tokio::test]
    async fn a_large_answer_holds_its_slot_until_it_is_taken_and_a_small_one_does_not() {
        let (sending, caller) = (Sending::default(), Caller::of(&"t".into()));
        let held = || sending.large.try_acquire(&caller).is_none();
        let make = async |text: &str| {
            let read = || std::future::ready(Ok(text));
            sending.json(&caller, read).await.unwrap()
        };
        let small = make("small").await;
        assert!(!held());
        let text = "large".repeat(SMALL);
        let large = make(&text).await;
        assert!(held() && sending.reads.try_acquire(&caller).is_some());
        assert_eq!(
            large.headers()["content-length"],
            (text.len() + 2).to_string()
        );
        let body = axum::body::to_bytes(large.into_body(), usize::MAX).await;
        assert_eq!(body.unwrap(), format!("{text:?}"));
        assert!(!held());
        drop(make(&text).await);
        assert!(!held());
        let body = axum::body::to_bytes(small.into_body(), 100).await;
        assert_eq!(body.unwrap(), "\"small\"");
    }

    #[tokio::test]
    async fn a_key_reads_once_at_a_time_and_others_meanwhile() {
        let (sending, tenant) = (Sending::default(), crate::model::TenantId::from("t"));
        let (a, b) = (Caller::new(tenant.clone(), "a"), Caller::new(tenant, "b"));
        let endless = std::future::pending::<Answer<()>>;
        let mut first = Box::pin(sending.json(&a, endless));
        assert!((&mut first).now_or_never().is_none());
        let read = || std::future::ready(Ok("text"));
        assert!(Box::pin(sending.json(&a, read)).now_or_never().is_none());
        assert!(Box::pin(sending.json(&b, read)).now_or_never().is_some());
        drop(first);
        assert!(Box::pin(sending.json(&a, read)).now_or_never().is_some());
    }
}
