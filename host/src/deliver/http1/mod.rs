//! HTTP/1.1 with a receiver: the request exactly as it was built, the answer as far as it can be understood.

mod body;
mod head;
mod wire;

use std::{io::Write as _, net::SocketAddr, sync::Arc};

use hyper::body::Bytes;

use super::{Failure, Outgoing, meter::Meter, response::Response, transport::Connected};
use body::{End, Framing};
pub(super) use head::{HEAD_BYTES, read as read_head};
pub(super) use wire::Wire;

/// Bodies up to this size go out in one piece with the headers.
const SMALL_BODY: usize = 16 * 1024;

/// A connection that is ready for a request.
pub(super) struct Http1 {
    wire: Wire,
    meter: Arc<Meter>,
    peer: Option<SocketAddr>,
    used: bool,
}

/// An answer whose body has not been read yet.
pub(super) struct Answer {
    /// Without the body.
    pub(super) response: Response,
    pub(super) rest: Rest,
}

/// The part of an answer after its head.
pub(super) struct Rest {
    connection: Http1,
    framing: Framing,
    reusable: bool,
}

impl Http1 {
    pub(super) fn new(connected: Connected) -> Self {
        Self {
            wire: Wire::new(connected.transport),
            meter: connected.meter,
            peer: connected.peer,
            used: false,
        }
    }

    /// Whether a request may be sent on it: the receiver has not closed it, and has sent nothing unasked.
    pub(super) fn is_ready(&mut self) -> bool {
        self.meter.set(HEAD_BYTES);
        self.wire.is_quiet()
    }

    /// Sends a request and reads the answer's head. `bytes` is how many of the answer are read in all.
    ///
    /// # Errors
    /// [`Failure::Unsent`] if the connection had been used before and took no byte of the request.
    pub(super) async fn exchange(
        mut self,
        request: &Outgoing,
        bytes: usize,
    ) -> Result<Answer, Failure> {
        self.meter.set(bytes);
        let mut first = head_of(request);
        if request.body.len() <= SMALL_BODY {
            first.extend_from_slice(&request.body);
            self.wire.send([Bytes::from(first)]);
        } else {
            self.wire.send([Bytes::from(first), request.body.clone()]);
        }
        let mut head = match read_head(&mut self.wire, HEAD_BYTES).await {
            Ok(head) => head,
            Err(error) if self.used && self.wire.sent_nothing() => {
                return Err(Failure::Unsent(error));
            }
            Err(error) => return Err(Failure::Final(error)),
        };
        let framing = Framing::of(&mut head);
        let stays_open = if head.version == "HTTP/1.0" {
            head.has("connection", "keep-alive") && !head.has("transfer-encoding", "chunked")
        } else {
            !head.has("connection", "close")
        };
        // Where a message ends must be beyond doubt, or the rest of this one would answer the next request.
        let reusable = stays_open && head.is_sound() && head.status != 101;
        self.used = true;
        Ok(Answer {
            response: response_of(head, self.peer),
            rest: Rest {
                connection: self,
                framing,
                reusable,
            },
        })
    }
}

impl Rest {
    /// Reads the body, at most `cap` bytes of it. Whether that is all, and the connection if it can be used again.
    pub(super) async fn body(mut self, cap: usize, kept: &mut Vec<u8>) -> (bool, Option<Http1>) {
        let wire = &mut self.connection.wire;
        let end = body::read(wire, self.framing, cap, kept).await;
        let reusable = self.reusable && end == End::Clean && wire.is_between_messages();
        (end != End::Cut, reusable.then_some(self.connection))
    }
}

/// The request's first line and headers, as their author spelled them.
fn head_of(request: &Outgoing) -> Vec<u8> {
    let mut head = Vec::with_capacity(1024 + request.body.len().min(SMALL_BODY));
    let target = request.target();
    // Writing to a vector does not fail.
    let _ = write!(head, "{} {target} HTTP/1.1\r\n", request.method);
    if !request.names_host() {
        let _ = write!(head, "Host: {}\r\n", request.authority());
    }
    for (name, value) in &request.headers {
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    if let Some(length) = request.content_length() {
        let _ = write!(head, "Content-Length: {length}\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

fn response_of(head: head::Head, peer: Option<SocketAddr>) -> Response {
    let fields = head.fields.iter();
    let fields: Vec<_> = fields
        .map(|(name, value)| (name.as_str(), value.as_slice()))
        .collect();
    let mut response = Response::new(head.status, head.version, peer, &fields);
    response.truncated |= !head.whole;
    response.notes = head.notes;
    response
}
