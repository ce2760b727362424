//! Draining: the rest of a body whose request has been answered before its end, such as a refused upload.
//!
//! A connection that is closed while it holds unread bytes is reset. A reset discards the part of the answer that the
//! client has not read yet, so the client would see a broken connection instead of the reason (RFC 9112, section 9.6).
//! So the rest of the body is read and discarded, within bounds.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, BodyDataStream, Bytes, HttpBody},
    extract::Request,
    http::header,
    middleware::Next,
    response::Response,
};
use futures_util::{Stream, StreamExt};
use tokio::runtime::Handle;

/// Maximum number of bytes that are drained: the size of the largest request that is accepted by default.
const MOST_BYTES: u64 = 32 << 20;
/// Maximum time for draining a body.
const MOST_TIME: Duration = Duration::from_secs(30);
/// Maximum wait for the next bytes: only clients that go on sending are drained.
const PAUSE: Duration = Duration::from_secs(2);

/// Reads the part of a request's body that its handler left, unless its announced length is over [`MOST_BYTES`] or the
/// client waits for `100 Continue` before it sends.
pub(super) async fn read_the_rest(request: Request, next: Next) -> Response {
    let body = request.body();
    let waits = request.headers().contains_key(header::EXPECT);
    if body.is_end_stream() || body.size_hint().lower() > MOST_BYTES || waits {
        return next.run(request).await;
    }
    let lingering = |body: Body| Body::from_stream(Lingering(Some(body.into_data_stream())));
    next.run(request.map(lingering)).await
}

/// A body of which the rest is read when it is dropped.
struct Lingering(Option<BodyDataStream>);

impl Stream for Lingering {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(body) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let polled = body.poll_next_unpin(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.0 = None;
        }
        polled
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        // Without a runtime there is no connection either.
        if let Some(rest) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(tokio::time::timeout(MOST_TIME, throw_away(rest)));
        }
    }
}

async fn throw_away(mut rest: BodyDataStream) {
    let mut read = 0_u64;
    while let Ok(Some(Ok(chunk))) = tokio::time::timeout(PAUSE, rest.next()).await {
        read = read.saturating_add(chunk.len() as u64);
        if read > MOST_BYTES {
            return;
        }
    }
}
