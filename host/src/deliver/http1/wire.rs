//! A connection as HTTP/1.1 uses it: a request that goes out while the answer comes in, and lines.

use std::{
    collections::VecDeque,
    io,
    mem::MaybeUninit,
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::FutureExt;
use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::deliver::transport::Transport;

/// Bytes that are read at once.
const READ: usize = 8 * 1024;

/// A connection, and the bytes that have been read but not used.
pub(in crate::deliver) struct Wire {
    transport: Transport,
    buffer: Vec<u8>,
    /// Where the unused part of the buffer begins.
    start: usize,
    sending: Sending,
}

/// The bytes that have still to be sent.
#[derive(Default)]
struct Sending {
    parts: VecDeque<Bytes>,
    unflushed: bool,
    anything_sent: bool,
    failed: bool,
}

/// Why there is no line.
#[derive(Debug)]
pub(in crate::deliver) enum NoLine {
    /// The receiver closed the connection.
    Closed,
    /// It is longer than it may be.
    TooLong,
    /// The connection broke.
    Broken(io::Error),
}

impl Wire {
    pub(in crate::deliver) fn new(transport: Transport) -> Self {
        Self {
            transport,
            buffer: Vec::new(),
            start: 0,
            sending: Sending::default(),
        }
    }

    /// Has these bytes sent, from the next time on that something is waited for.
    pub(in crate::deliver) fn send(&mut self, parts: impl IntoIterator<Item = Bytes>) {
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        self.sending = Sending {
            parts: parts.collect(),
            unflushed: true,
            ..Sending::default()
        };
    }

    /// Whether not a single byte of the request has been sent.
    pub(super) fn sent_nothing(&self) -> bool {
        !self.sending.anything_sent
    }

    /// Whether all has been sent and nothing is left over, so that the next request may follow.
    pub(super) fn is_between_messages(&self) -> bool {
        let Sending {
            parts,
            unflushed,
            failed,
            ..
        } = &self.sending;
        parts.is_empty() && !unflushed && !failed && self.unused().is_empty()
    }

    /// Whether the receiver has neither closed the connection nor sent anything since it was last used. Does not wait.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.unused().is_empty() && self.fill().now_or_never().is_none()
    }

    /// The connection itself, if all bytes that were read have been used.
    pub(in crate::deliver) fn into_transport(self) -> Option<Transport> {
        self.unused().is_empty().then_some(self.transport)
    }

    /// The bytes that have been read and not used.
    pub(super) fn unused(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Marks so many of the bytes that have been read as used.
    pub(super) fn used(&mut self, bytes: usize) {
        self.start = self.start.saturating_add(bytes).min(self.buffer.len());
    }

    /// Waits for more bytes and returns their number, 0 at the end. Pending data is sent meanwhile.
    pub(super) async fn fill(&mut self) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_fill(cx)).await
    }

    /// The next line without its end, which is LF or CRLF: where it is in [`Wire::text`]. It is not longer than `room`,
    /// which is lessened by it and its end.
    pub(super) async fn line(&mut self, room: &mut usize) -> Result<Range<usize>, NoLine> {
        // Each byte is looked at once, however many reads a line takes.
        let mut searched = 0;
        loop {
            let unused = self.unused();
            let rest = unused.get(searched..).unwrap_or_default();
            let found = rest.iter().position(|byte| *byte == b'\n');
            let length = found.map_or(unused.len(), |at| searched + at + 1);
            if length > *room {
                return Err(NoLine::TooLong);
            }
            if found.is_some() {
                let line = self.start..self.start + length;
                let text = self.text(line.clone());
                let end = if text.ends_with(b"\r\n") { 2 } else { 1 };
                *room -= length;
                self.start += length;
                return Ok(line.start..line.end - end);
            }
            searched = length;
            match self.fill().await {
                // As Python's http.client has it, what came last is a line, whether it was ended or not.
                Ok(0) if !self.unused().is_empty() => {
                    let line = self.start..self.buffer.len();
                    self.start = line.end;
                    return Ok(line);
                }
                Ok(0) => return Err(NoLine::Closed),
                Ok(_) => {}
                Err(error) => return Err(NoLine::Broken(error)),
            }
        }
    }

    /// The text of a line, until the next bytes are waited for.
    pub(super) fn text(&self, line: Range<usize>) -> &[u8] {
        self.buffer.get(line).unwrap_or_default()
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.poll_send(cx).is_err() {
            // The answer may have come all the same: many receivers close when they have answered.
            self.sending.failed = true;
            self.sending.parts.clear();
        }
        let mut space = [const { MaybeUninit::uninit() }; READ];
        let mut read = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.transport).poll_read(cx, &mut read))?;
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }

    /// Sends as much as the connection takes.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut transport = Pin::new(&mut self.transport);
        while let Some(part) = self.sending.parts.front_mut() {
            match transport.as_mut().poll_write(cx, part) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(sent)) => {
                    self.sending.anything_sent = true;
                    drop(part.split_to(sent));
                    if part.is_empty() {
                        self.sending.parts.pop_front();
                    }
                }
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        if self.sending.unflushed && transport.as_mut().poll_flush(cx)?.is_ready() {
            self.sending.unflushed = false;
        }
        Ok(())
    }
}
