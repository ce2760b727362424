//! How much memory this process holds, and whether the corpus of hostile guests makes it hold more.
//!
//! Measured in a process of its own (`guests resident`), as others in the same one would blur it.

use std::fs;

use hookbox::sandbox::Sandbox;

use crate::guest::{self, Guest, corpus, render, request};

/// Renders of each guest in each round.
const RENDERS: usize = 5;

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct Resident {
    /// Guests in the corpus.
    pub guests: usize,
    /// Rounds over all of it that were measured.
    pub rounds: usize,
    /// Bytes before the first of them.
    pub before: u64,
    /// Bytes after the last.
    pub after: u64,
}

impl Resident {
    /// Bytes that the process holds more than before.
    #[must_use]
    pub const fn growth(&self) -> u64 {
        self.after.saturating_sub(self.before)
    }
}

/// Loads and runs the whole corpus so many times, after three times for what is allocated once (slots of the
/// pool, the allocator's arenas, tables of signals and threads).
///
/// # Panics
/// If the well-behaved guest between them does not render as always.
pub async fn rounds(rounds: usize) -> Resident {
    let sandbox = guest::sandbox();
    let corpus = corpus();
    for _ in 0..3 {
        round(&sandbox, &corpus).await;
    }
    let before = bytes();
    for _ in 0..rounds {
        round(&sandbox, &corpus).await;
    }
    Resident {
        guests: corpus.len(),
        rounds,
        before,
        after: bytes(),
    }
}

async fn round(sandbox: &Sandbox, corpus: &[Guest]) {
    let neighbour = sandbox.load("echo", &guest::echo()).expect("well-behaved");
    for guest in corpus {
        // what is refused is part of it: the compiler has seen it
        if let Ok(transformer) = sandbox.load(&guest.name, &guest.wasm) {
            for _ in 0..RENDERS {
                drop(render(sandbox, &transformer, "{}").await);
            }
        }
        assert_eq!(
            request(&render(sandbox, &neighbour, "{}").await).body(),
            b"{}",
            "after {}",
            guest.name
        );
    }
}

/// Resident bytes of this process.
///
/// # Panics
/// If /proc does not say.
#[must_use]
pub fn bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.trim().parse::<u64>().ok())
        .expect("a number of kilobytes")
        * 1024
}
