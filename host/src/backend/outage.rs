//! Outages of the backend in the log: two lines for each, however many calls fail.
//!
//! The first failed call of an outage is one line, and the first answered call after it is the other. A call that is
//! answered while others fail does not end the outage: a part of the backend may go on answering. There is one outage for
//! the process, as there is one log.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::BackendError;

/// Time without a failed call after which an outage is over: more than the longest pause between two tries.
const QUIET: Duration = Duration::from_secs(6);

/// Time without a failed call after which the next one is a new outage, even if no call was answered meanwhile.
const FORGOTTEN: Duration = Duration::from_secs(300);

static OUTAGE: Outage = Outage(Mutex::new(None));

/// A call failed; `action` says what cannot be done. Logs the first failure of an outage.
///
/// Only a backend that is away or full has an outage. Every other error is logged.
pub(crate) fn failed(action: &str, error: &BackendError) {
    if !error.is_passing() {
        tracing::error!(%error, "cannot {action}");
    } else if OUTAGE.failed(Instant::now()) {
        tracing::error!(
            %error,
            "cannot {action}; further failures are not logged until the backend answers again"
        );
    }
}

/// A call was answered. Logs the end of an outage.
pub(crate) fn answered() {
    if let Some(ended) = OUTAGE.ended(Instant::now()) {
        let seconds = ended.last.duration_since(ended.first).as_secs_f64();
        tracing::warn!(
            seconds,
            failed_calls = ended.calls,
            "the backend answers again"
        );
    }
}

struct Outage(Mutex<Option<Failures>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failures {
    first: Instant,
    last: Instant,
    calls: usize,
}

impl Outage {
    /// Whether this is the first failure of an outage. A failure after a long quiet time is: a process without a worker
    /// may see no answered call in between.
    fn failed(&self, now: Instant) -> bool {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.take_if(|failures| now.duration_since(failures.last) >= FORGOTTEN);
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
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.take_if(|failures| now.duration_since(failures.last) >= QUIET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_begins_once_and_ends_once_with_its_count() {
        let (outage, begin) = (Outage(Mutex::new(None)), Instant::now());
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
        assert!(!outage.failed(at(300)));
        assert!(outage.failed(at(616)));
    }
}
