//! The limit of the bytes that are read from a connection.
//!
//! Every byte that a receiver sends counts, whether it is an answer, framing or TLS, because the meter is right above
//! TCP (or the tunnel through the operator's proxy). A protocol's parser could read any number of bytes that never
//! make up an answer: chunk sizes of endless zeros, 1xx answers, PING frames. The meter ends these.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that a task reads before it lets others run. Parsing so many takes well under a millisecond.
const TURN: usize = 32 * 1024;

/// Bytes that may still be read from one connection.
#[derive(Debug)]
pub(super) struct Meter(Mutex<Reading>);

#[derive(Debug)]
struct Reading {
    left: usize,
    /// Read since the task last let others run.
    turn: usize,
}

impl Meter {
    /// For a connection of which so many bytes may be read.
    pub(super) fn new(bytes: usize) -> Arc<Self> {
        let reading = Reading {
            left: bytes,
            turn: 0,
        };
        Arc::new(Self(Mutex::new(reading)))
    }

    /// From now on so many bytes may be read, whatever was left.
    pub(super) fn set(&self, bytes: usize) {
        *self.reading() = Reading {
            left: bytes,
            turn: 0,
        };
    }

    /// So many more bytes may be read.
    pub(super) fn add(&self, bytes: usize) {
        let mut reading = self.reading();
        reading.left = reading.left.saturating_add(bytes);
    }

    /// No more than so many bytes may be read from now on.
    pub(super) fn cap(&self, bytes: usize) {
        let mut reading = self.reading();
        reading.left = reading.left.min(bytes);
    }

    /// Reduces the bytes that may be read, as a charge for data that costs more to handle than its size.
    pub(super) fn charge(&self, bytes: usize) {
        let mut reading = self.reading();
        reading.left = reading.left.saturating_sub(bytes);
        reading.turn = reading.turn.saturating_add(bytes);
    }

    fn next(&self) -> Next {
        let mut reading = self.reading();
        if reading.left == 0 {
            Next::End
        } else if reading.turn >= TURN {
            reading.turn = 0;
            Next::LetOthersRun
        } else {
            Next::Read
        }
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Next {
    Read,
    LetOthersRun,
    End,
}

/// A connection whose bytes are counted. Reading fails with [`io::ErrorKind::QuotaExceeded`] when none are left. A
/// single call may read more, by at most the size of the caller's buffer.
#[derive(Debug)]
pub(super) struct Metered<T> {
    inner: T,
    meter: Arc<Meter>,
}

impl<T> Metered<T> {
    pub(super) fn new(inner: T, meter: Arc<Meter>) -> Self {
        Self { inner, meter }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Metered<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.meter.next() {
            Next::Read => {}
            Next::LetOthersRun => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Next::End => return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into())),
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        self.meter.charge(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Metered<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
