//! The workers that live. Only the process that has the folder can have any, so they are kept in its memory: nothing
//! is written to the disk to say that nothing has changed.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::{
    backend::{WorkerInfo, schedule::WORKER_SEEN},
    model::{Timestamp, WorkerId},
};

/// By id: when it was last heard of, and what it said.
type Heard = BTreeMap<WorkerId, (Instant, WorkerInfo)>;

/// The workers heard of lately.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    heard: Mutex<Heard>,
}

impl Workers {
    pub(super) fn heartbeat(&self, worker: &WorkerInfo, now: Instant) {
        let worker = WorkerInfo {
            last_seen: Timestamp::now(),
            ..worker.clone()
        };
        self.living(now).insert(worker.id.clone(), (now, worker));
    }

    pub(super) fn deregister(&self, worker: &WorkerId) {
        self.living(Instant::now()).remove(worker);
    }

    pub(super) fn list(&self, now: Instant) -> Vec<WorkerInfo> {
        let living = self.living(now);
        living.values().map(|(_, worker)| worker.clone()).collect()
    }

    /// Those that are not silent; the others are forgotten.
    fn living(&self, now: Instant) -> MutexGuard<'_, Heard> {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.retain(|_, (when, _)| now.saturating_duration_since(*when) <= WORKER_SEEN);
        heard
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn workers_that_fall_silent_are_forgotten() {
        let (workers, start) = (Workers::default(), Instant::now());
        let worker = |name: &str| WorkerInfo {
            id: WorkerId::from(name),
            host: "machine".to_owned(),
            pid: 42,
            started: Timestamp::now(),
            last_seen: Timestamp::from_millis(0),
            in_flight: 0,
            concurrency: 1,
        };
        let ids = |now| -> Vec<String> {
            let list = workers.list(now).into_iter();
            list.map(|worker| worker.id.to_string()).collect()
        };
        workers.heartbeat(&worker("wrk_silent"), start);
        let later = start + WORKER_SEEN;
        workers.heartbeat(&worker("wrk_alive"), later);
        assert_eq!(ids(later), ["wrk_alive", "wrk_silent"]);
        assert_eq!(ids(later + Duration::from_millis(1)), ["wrk_alive"]);
        workers.deregister(&WorkerId::from("wrk_alive"));
        assert_eq!(ids(later), Vec::<String>::new());
    }
}
