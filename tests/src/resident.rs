//! How much memory this process holds, and whether the corpus of hostile guests makes it hold more.
//!
//! Measured in a process of its own (`guests resident`), as others in the same one would blur it.

use std::fs;

use hookbox::sandbox::{Sandbox, Transformer};

use crate::guest::{self, Guest, corpus, render, request};

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

/// Runs the whole corpus so many times, the last time compiled anew, after two such times for what is allocated
/// once (slots of the pool, the allocator's arenas, stacks of signals and threads).
///
/// # Panics
/// If the well-behaved guest between them does not render as always.
pub async fn rounds(rounds: usize) -> Resident {
    let sandbox = guest::sandbox();
    let corpus = corpus();
    for _ in 0..2 {
        round(&sandbox, &load(&sandbox, &corpus)).await;
    }
    let before = bytes();
    for rest in [rounds.saturating_sub(1), rounds.min(1)] {
        let loaded = load(&sandbox, &corpus);
        for _ in 0..rest {
            round(&sandbox, &loaded).await;
        }
    }
    Resident {
        guests: corpus.len(),
        rounds,
        before,
        after: bytes(),
    }
}

/// What is refused is part of it: the compiler has seen it.
fn load(sandbox: &Sandbox, corpus: &[Guest]) -> Vec<Transformer> {
    corpus
        .iter()
        .filter_map(|guest| sandbox.load(&guest.name, &guest.wasm).ok())
        .collect()
}

async fn round(sandbox: &Sandbox, loaded: &[Transformer]) {
    let neighbour = sandbox.load("echo", &guest::echo()).expect("well-behaved");
    for transformer in loaded {
        drop(render(sandbox, transformer, "{}").await);
        assert_eq!(
            request(&render(sandbox, &neighbour, "{}").await).body(),
            b"{}",
            "after {}",
            transformer.name()
        );
    }
}

/// Resident bytes of this process.
///
/// # Panics
/// If /proc does not say.
#[must_use]
pub fn bytes() -> u64 {
    status("VmRSS:")
}

/// The most that it had.
///
/// # Panics
/// If /proc does not say.
#[must_use]
pub fn most() -> u64 {
    status("VmHWM:")
}

fn status(key: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.trim().parse::<u64>().ok())
        .expect("a number of kilobytes")
        * 1024
}
