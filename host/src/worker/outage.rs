//! Whether the backend answers, as far as one worker knows.
//!
//! One outage is two lines in the log, however many deliveries meet it, and also if a part of the backend goes on
//! answering.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::backend::BackendError;

/// How long there must be no failure until an outage counts as over: more than the longest pause between two tries.
const QUIET: Duration = Duration::from_secs(6);

#[derive(Debug, Default)]
pub(super) struct Outage(Mutex<Option<Failures>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failures {
    first: Instant,
    last: Instant,
    calls: usize,
}

impl Outage {
    /// A call failed. The first of an outage is logged.
    ///
    /// Other errors than those of a backend that is away or full are no outage: each of them is logged.
    pub(super) fn note(&self, what: &str, error: &BackendError) {
        if !is_passing(error) {
            tracing::error!(%error, "cannot {what}");
        } else if self.failed(Instant::now()) {
            tracing::error!(
                %error,
                "cannot {what}; this, and all else that fails, is tried again until the backend answers"
            );
        }
    }

    /// A call was answered. The first one after an outage is logged.
    pub(super) fn answered(&self) {
        if let Some(ended) = self.ended(Instant::now()) {
            let seconds = ended.last.duration_since(ended.first).as_secs_f64();
            tracing::warn!(
                seconds,
                failed_calls = ended.calls,
                "the backend answers again"
            );
        }
    }

    /// Whether this is the first failure of an outage.
    fn failed(&self, now: Instant) -> bool {
        let mut failures = self.lock();
        let begins = failures.is_none();
        let failures = failures.get_or_insert(Failures {
            first: now,
            last: now,
            calls: 0,
        });
        failures.last = now;
        failures.calls += 1;
        begins
    }

    /// The outage that is over now, if there was one.
    fn ended(&self, now: Instant) -> Option<Failures> {
        self.lock()
            .take_if(|failures| now.duration_since(failures.last) >= QUIET)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Failures>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the same call may succeed later without anybody changing anything that is stored.
pub(super) const fn is_passing(error: &BackendError) -> bool {
    matches!(
        error,
        BackendError::Unavailable { .. } | BackendError::Full(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_begins_once_and_ends_once_with_its_count() {
        let (outage, begin) = (Outage::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(outage.ended(begin), None);
        assert!(outage.failed(begin));
        for second in 1..=9 {
            // Another part of the backend answers meanwhile.
            assert_eq!(outage.ended(at(second)), None);
            assert!(!outage.failed(at(second)));
        }
        assert_eq!(outage.ended(at(14)), None);
        let whole = Failures {
            first: begin,
            last: at(9),
            calls: 10,
        };
        assert_eq!(outage.ended(at(15)), Some(whole));
        assert_eq!(outage.ended(at(16)), None);
        assert!(outage.failed(at(17)));
    }
}
