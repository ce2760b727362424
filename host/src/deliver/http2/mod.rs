//! HTTP/2 with a receiver: one connection that all requests to it share.
//!
//! The limit for reading follows the requests in flight: each adds the share of one answer, and the rest of it ends
//! with the request. Without requests only a little housekeeping may come. A connection on which an answer was cut off
//! takes no more requests and is closed after the last one that is under way.

mod frames;

use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::FutureExt;
use h2::{Reason, RecvStream, SendStream, client::SendRequest};
use http::{HeaderMap, HeaderName, Request, Uri, Version, header};
use hyper::body::Bytes;
use tokio::sync::Notify;

use super::{
    Failure, Outgoing,
    error::{self, SendError},
    meter::Meter,
    response::Response,
    transport::Connected,
};
use frames::Frames;

/// Bytes that may come while no request is under way: settings, pings, a GOAWAY.
const IDLE_BYTES: usize = 4 * 1024;

/// Bytes of an answer's headers.
const HEADER_LIST: u32 = 64 * 1024;

/// Bytes of one answer, and of all answers of a connection, that may be on their way before they are taken.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// A connection for any number of requests. Clones share it.
#[derive(Clone)]
pub(super) struct Http2 {
    requests: SendRequest<Bytes>,
    shared: Arc<Shared>,
}

struct Shared {
    meter: Arc<Meter>,
    peer: Option<SocketAddr>,
    /// Of one answer that may be read.
    answer_bytes: usize,
    state: Mutex<State>,
    /// Ends the connection's task, and with it the connection.
    close: Notify,
}

#[derive(Default)]
struct State {
    under_way: usize,
    /// Takes no more requests.
    retired: bool,
}

impl Http2 {
    /// Begins to speak HTTP/2. `answer_bytes` is how many are read of one answer in all.
    ///
    /// # Errors
    /// When the connection broke.
    pub(super) async fn start(
        connected: Connected,
        answer_bytes: usize,
    ) -> Result<Self, SendError> {
        let Connected {
            transport,
            meter,
            peer,
            ..
        } = connected;
        let (requests, connection) = h2::client::Builder::new()
            .enable_push(false)
            .max_header_list_size(HEADER_LIST)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(64 * 1024)
            .max_concurrent_reset_streams(16)
            .handshake(Frames::new(transport, Arc::clone(&meter)))
            .await
            .map_err(|error| of_error(&error))?;
        meter.set(IDLE_BYTES);
        let shared = Arc::new(Shared {
            meter,
            peer,
            answer_bytes,
            state: Mutex::default(),
            close: Notify::new(),
        });
        let closing = Arc::clone(&shared);
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "an HTTP/2 connection to a receiver ended");
                    }
                }
                () = closing.close.notified() => {}
            }
            closing.state().retired = true;
        });
        Ok(Self { requests, shared })
    }

    /// Whether it takes no more requests.
    pub(super) fn is_retired(&self) -> bool {
        self.shared.state().retired
    }

    /// Whether no request is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.shared.state().under_way == 0
    }

    /// Takes no more requests from now on, and is closed when none is under way.
    pub(super) fn retire(&self) {
        self.shared.retire();
    }

    /// Sends a request and reads the answer's headers.
    ///
    /// # Errors
    /// See [`Failure`].
    pub(super) async fn exchange(self, request: &Outgoing) -> Result<Answer, Failure> {
        let begun = Turn::begin(Arc::clone(&self.shared));
        let mut turn = begun.ok_or(Failure::Unsent(SendError::Internal(
            "its HTTP/2 connections were closed each time",
        )))?;
        let head = head_of(request)?;
        let unsent = |error: h2::Error| {
            self.retire();
            match failure_of(&error) {
                Failure::Final(error) => Failure::Unsent(error),
                Failure::Malformed(error) => Failure::WantsHttp1(error),
                other => other,
            }
        };
        let mut requests = self.requests.clone().ready().await.map_err(unsent)?;
        let empty = request.body.is_empty();
        let (answer, stream) = requests.send_request(head, empty).map_err(unsent)?;
        let mut sending = (!empty).then(|| send_body(stream, request.body.clone()).boxed());
        let answer = beside(&mut sending, pin!(answer)).await.map_err(|error| {
            // The receiver is done with this request alone; anything else concerns the connection.
            turn.finished = error.is_reset() && error.is_remote();
            failure_of(&error)
        })?;
        let (parts, body) = answer.into_parts();
        let fields = parts.headers.iter();
        let fields: Vec<_> = fields
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        let status = parts.status.as_u16();
        let response = Response::new(status, "HTTP/2.0", self.shared.peer, &fields);
        let rest = Rest {
            body,
            sending,
            turn,
        };
        Ok(Answer { response, rest })
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn retire(&self) {
        let mut state = self.state();
        state.retired = true;
        if state.under_way == 0 {
            self.close.notify_one();
        }
    }
}

/// A request under way, and its share of what may be read.
struct Turn {
    shared: Arc<Shared>,
    finished: bool,
}

impl Turn {
    /// None if the connection takes no more requests, and may be about to be closed.
    fn begin(shared: Arc<Shared>) -> Option<Self> {
        let mut state = shared.state();
        if state.retired {
            return None;
        }
        state.under_way += 1;
        drop(state);
        shared.meter.add(shared.answer_bytes);
        Some(Self {
            shared,
            finished: false,
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let shared = &self.shared;
        let mut state = shared.state();
        state.under_way = state.under_way.saturating_sub(1);
        let shares = state.under_way.saturating_mul(shared.answer_bytes);
        shared.meter.cap(shares.saturating_add(IDLE_BYTES));
        state.retired |= !self.finished;
        if state.retired && state.under_way == 0 {
            shared.close.notify_one();
        }
    }
}

/// The rest of a request that goes out while the answer comes in.
type Sending = Option<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// An answer whose body has not been read yet.
pub(super) struct Answer {
    /// Without the body.
    pub(super) response: Response,
    pub(super) rest: Rest,
}

/// The part of an answer after its headers.
pub(super) struct Rest {
    body: RecvStream,
    sending: Sending,
    turn: Turn,
}

impl Rest {
    /// Reads the body, at most `cap` bytes of it. Whether that is all.
    pub(super) async fn body(mut self, cap: usize, kept: &mut Vec<u8>) -> bool {
        let whole = loop {
            let (body, sending) = (&mut self.body, &mut self.sending);
            let bytes = match beside(sending, pin!(body.data())).await {
                None => break true,
                Some(Ok(bytes)) => bytes,
                // The receiver wants no more of the request; the answer is complete (RFC 9113 section 8.1).
                Some(Err(error)) => break error.reason() == Some(Reason::NO_ERROR),
            };
            let fits = bytes.get(..cap.saturating_sub(kept.len()));
            kept.extend_from_slice(fits.unwrap_or(&bytes));
            if fits.is_some_and(|fits| fits.len() < bytes.len()) {
                break false;
            }
            let taken = self.body.flow_control().release_capacity(bytes.len());
            if taken.is_err() {
                break false;
            }
            // Full: whether the end follows is only known by waiting for it, unless it has come.
            if kept.len() >= cap {
                break self.body.is_end_stream();
            }
        };
        self.turn.finished = whole;
        whole
    }
}

/// Waits for something of the answer while the rest of the request goes out.
async fn beside<F: Future>(sending: &mut Sending, mut answer: Pin<&mut F>) -> F::Output {
    poll_fn(|cx| {
        if let Some(rest) = sending
            && rest.as_mut().poll(cx).is_ready()
        {
            *sending = None;
        }
        answer.as_mut().poll(cx)
    })
    .await
}

/// Sends a body as fast as the receiver takes it. A failure to send is not reported: the answer, or its absence,
/// decides about the request.
async fn send_body(mut stream: SendStream<Bytes>, mut body: Bytes) {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let room = poll_fn(|cx| stream.poll_capacity(cx)).await;
        let Some(Ok(room)) = room else { return };
        let part = body.split_to(room.min(body.len()));
        let last = body.is_empty();
        if stream.send_data(part, last).is_err() {
            return;
        }
    }
}

fn head_of(request: &Outgoing) -> Result<Request<()>, SendError> {
    const NOT_TAKEN: SendError =
        SendError::Internal("its HTTP/2 client did not accept the request");
    let mut headers = HeaderMap::with_capacity(request.headers.len() + 1);
    for (name, value) in &request.headers {
        // In lower case, as HTTP/2 has them (RFC 9113 section 8.2).
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| NOT_TAKEN)?;
        headers.append(name, value.clone());
    }
    if let Some(length) = request.content_length() {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    let mut head = Request::new(());
    *head.method_mut() = super::to_http(request.method);
    *head.uri_mut() = Uri::try_from(request.url.as_str()).map_err(|_| NOT_TAKEN)?;
    *head.version_mut() = Version::HTTP_2;
    *head.headers_mut() = headers;
    Ok(head)
}

/// The meaning of an error of the connection for a request on it.
fn failure_of(error: &h2::Error) -> Failure {
    let told = of_error(error);
    if error.is_library() {
        return Failure::Malformed(told);
    }
    if !error.is_remote() {
        return Failure::Final(told);
    }
    match error.reason() {
        Some(Reason::HTTP_1_1_REQUIRED) => Failure::WantsHttp1(told),
        // The receiver has not begun to process it (RFC 9113 section 8.7).
        Some(Reason::REFUSED_STREAM) => Failure::Unsent(told),
        // A GOAWAY reaches, as an error, only requests that it says were not processed (section 6.8).
        _ if error.is_go_away() => Failure::Unsent(told),
        _ => Failure::Final(told),
    }
}

fn of_error(error: &h2::Error) -> SendError {
    if let Some(io) = error.get_io() {
        return error::of_answer(io);
    }
    let reason = error.reason();
    let reason = (reason.as_ref()).map_or("unknown", |reason| reason.description());
    SendError::Protocol(match (error.is_remote(), error.is_go_away()) {
        (true, true) => format!("it ended the HTTP/2 connection: {reason}"),
        (true, false) => format!("it reset the HTTP/2 stream: {reason}"),
        (false, _) => format!("it sent invalid HTTP/2: {reason}"),
    })
}
