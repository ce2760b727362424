//! How far an upload is, on a terminal; elsewhere nothing is shown.

use std::{io, time::Duration};

use futures_util::stream;
use indicatif::{ProgressBar, ProgressStyle};

/// The bytes that are sent between two updates of the bar.
const PIECE: usize = 64 << 10;
/// How often the bar is drawn while the server works.
const TICK: Duration = Duration::from_millis(250);

/// The bar of one upload, on standard error.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Of so many bytes.
    pub(super) fn of(bytes: usize) -> Self {
        let bar = ProgressBar::new(bytes as u64);
        if let Ok(style) =
            ProgressStyle::with_template("sending {bytes} of {total_bytes} {wide_bar}")
        {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// The bytes, which move the bar as they are taken.
    pub(super) fn body(&self, bytes: Vec<u8>) -> reqwest::Body {
        let bytes = axum::body::Bytes::from(bytes);
        let bar = self.0.clone();
        reqwest::Body::wrap_stream(stream::unfold(bytes, move |mut rest| {
            let bar = bar.clone();
            async move {
                if rest.is_empty() {
                    now_the_server_works(&bar);
                    return None;
                }
                let piece = rest.split_to(rest.len().min(PIECE));
                bar.inc(piece.len() as u64);
                Some((Ok::<_, io::Error>(piece), rest))
            }
        }))
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        self.0.finish_and_clear();
    }
}

/// Nothing is known of how far that is, only that it goes on.
fn now_the_server_works(bar: &ProgressBar) {
    let style = "{spinner} sent; the server checks, compiles and tries it: {elapsed}";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(TICK);
}
