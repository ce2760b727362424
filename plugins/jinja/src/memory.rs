//! What templates hold in memory, counted. The cap is the sandbox's, which refuses to grow the memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, with a count of what is live, at most and how often.
#[derive(Debug)]
pub struct Counting;

impl Counting {
    fn add(size: usize) {
        let live = LIVE.fetch_add(size, Relaxed).saturating_add(size);
        PEAK.fetch_max(live, Relaxed);
        CALLS.fetch_add(1, Relaxed);
    }
}

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe by its trait; this one only counts"
)]
// SAFETY: every call goes to the system's allocator as it came; the counters do not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::add(layout.size());
        // SAFETY: the caller's promises are those of the trait, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promises are those of the trait, passed on.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::add(size);
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promises are those of the trait, passed on.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What was allocated while something ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    /// Bytes held at most, beyond those held before.
    pub(crate) peak: usize,
    /// Allocations made.
    pub(crate) calls: usize,
}

/// Runs something and counts what it allocates. Counts nothing where [`Counting`] is not the allocator.
pub(crate) fn measure<T>(run: impl FnOnce() -> T) -> (T, Use) {
    let (before, calls) = (LIVE.load(Relaxed), CALLS.load(Relaxed));
    PEAK.store(before, Relaxed);
    let result = run();
    let used = Use {
        peak: PEAK.load(Relaxed).saturating_sub(before),
        calls: CALLS.load(Relaxed).wrapping_sub(calls),
    };
    (result, used)
}
