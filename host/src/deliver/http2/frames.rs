//! HTTP/2's frames, counted.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::deliver::{meter::Meter, transport::Transport};

/// Bytes that a frame costs besides its own: to handle an empty one is work too.
const FRAME_COST: usize = 64;

/// Bytes of what each frame begins with (RFC 9113 section 4.1).
const FRAME_HEAD: u8 = 9;

/// A connection on which each frame that comes is charged for.
pub(super) struct Frames {
    transport: Transport,
    meter: Arc<Meter>,
    next: NextFrame,
}

impl Frames {
    pub(super) fn new(transport: Transport, meter: Arc<Meter>) -> Self {
        let next = NextFrame::default();
        Self {
            transport,
            meter,
            next,
        }
    }
}

/// The progress of the frame that is being received.
#[derive(Default)]
struct NextFrame {
    /// Bytes of the head that have come.
    head: u8,
    /// Bytes of the payload that are still to come, as far as is known.
    payload: usize,
}

impl NextFrame {
    /// Follows the frames through these bytes. Returns how many began.
    fn follow(&mut self, mut bytes: &[u8]) -> usize {
        let mut begun = 0;
        while let Some((first, rest)) = bytes.split_first() {
            if self.head == FRAME_HEAD {
                let passed = self.payload.min(bytes.len());
                self.payload -= passed;
                bytes = bytes.get(passed..).unwrap_or_default();
                if self.payload == 0 {
                    *self = Self::default();
                }
                continue;
            }
            // The first three bytes are the payload's length.
            if self.head < 3 {
                self.payload = self.payload << 8 | usize::from(*first);
            }
            self.head += 1;
            if self.head == FRAME_HEAD {
                begun += 1;
                if self.payload == 0 {
                    *self = Self::default();
                }
            }
            bytes = rest;
        }
        begun
    }
}

impl AsyncRead for Frames {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.transport).poll_read(cx, buffer))?;
        let new = buffer.filled().get(before..).unwrap_or_default();
        let begun = self.next.follow(new);
        self.meter.charge(begun * FRAME_COST);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Frames {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn frames_are_counted_however_their_bytes_arrive(
            payloads in proptest::collection::vec(0_usize..700, 0..30),
            cuts in proptest::collection::vec(1_usize..50, 1..20),
        ) {
            let mut bytes = Vec::new();
            for length in &payloads {
                bytes.extend_from_slice(&[0, (length >> 8) as u8, *length as u8, 6, 0, 0, 0, 0, 0]);
                bytes.resize(bytes.len() + length, 0xff);
            }
            let mut next = NextFrame::default();
            let (mut begun, mut rest) = (0, bytes.as_slice());
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                begun += next.follow(now);
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(begun, payloads.len());
        }
    }
}
