//! The fair queue before the render threads: every owner gets the same share of their time.
//!
//! Start-time fair queueing: each owner has a clock of its own that advances by the time its jobs took, and the
//! owner whose clock is furthest behind is next. An owner that had nothing to do for a while starts at the present:
//! time that was not used is not saved up. So whoever asks for little is served at once, however much others
//! ask for and however long their jobs take; only a job that is running is waited for.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

/// Minimum number of owners whose clocks are remembered, whether they have jobs or not.
const MAX_IDLE: usize = 1024;

/// Jobs that wait, by owner.
#[derive(Debug)]
pub(super) struct FairQueue<J> {
    owners: HashMap<Arc<str>, Owner<J>>,
    /// Owners with waiting jobs, by their clocks.
    order: BTreeSet<(u64, Arc<str>)>,
    /// The clock of who was served last: the present.
    now: u64,
    /// The number of owners at which idle ones are forgotten.
    forget_at: usize,
}

#[derive(Debug)]
struct Owner<J> {
    jobs: VecDeque<J>,
    /// Nanoseconds.
    clock: u64,
    running: usize,
    /// The time of the last job: the guess for the next one, until it has ended.
    guess: u64,
}

impl<J> Default for FairQueue<J> {
    fn default() -> Self {
        Self {
            owners: HashMap::new(),
            order: BTreeSet::new(),
            now: 0,
            forget_at: MAX_IDLE,
        }
    }
}

impl<J> FairQueue<J> {
    /// Puts a job at the end of its owner's line.
    pub(super) fn push(&mut self, owner: &Arc<str>, job: J) {
        // An idle owner's clock is at most a few jobs ahead of the present.
        if self.owners.len() >= self.forget_at {
            self.owners.retain(|_, owner| !owner.is_idle());
            self.forget_at = self.owners.len().saturating_mul(2).max(MAX_IDLE);
        }
        let now = self.now;
        let entry = self
            .owners
            .entry(Arc::clone(owner))
            .or_insert_with(|| Owner {
                jobs: VecDeque::new(),
                clock: now,
                running: 0,
                guess: 0,
            });
        if entry.is_idle() {
            entry.clock = entry.clock.max(now);
        }
        if entry.jobs.is_empty() {
            self.order.insert((entry.clock, Arc::clone(owner)));
        }
        entry.jobs.push_back(job);
    }

    /// Takes the next job. Each is to be followed by [`FairQueue::ended`], with what it took.
    pub(super) fn pop(&mut self) -> Option<(Started, J)> {
        let (clock, name) = self.order.pop_first()?;
        let owner = self.owners.get_mut(&name)?;
        let job = owner.jobs.pop_front()?;
        self.now = self.now.max(clock);
        owner.running = owner.running.saturating_add(1);
        let guess = owner.guess;
        owner.clock = owner.clock.saturating_add(guess);
        if !owner.jobs.is_empty() {
            self.order.insert((owner.clock, Arc::clone(&name)));
        }
        Some((Started { owner: name, guess }, job))
    }

    /// Notes what a job took.
    pub(super) fn ended(&mut self, started: Started, took: Duration) {
        let Started { owner: name, guess } = started;
        let Some(owner) = self.owners.get_mut(&name) else {
            return;
        };
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let before = owner.clock;
        owner.clock = before.saturating_sub(guess).saturating_add(took);
        owner.guess = took;
        owner.running = owner.running.saturating_sub(1);
        if !owner.jobs.is_empty() {
            self.order.remove(&(before, Arc::clone(&name)));
            self.order.insert((owner.clock, name));
        }
    }
}

impl<J> Owner<J> {
    fn is_idle(&self) -> bool {
        self.jobs.is_empty() && self.running == 0
    }
}

/// A job that was taken.
#[derive(Debug)]
#[must_use]
pub(super) struct Started {
    owner: Arc<str>,
    guess: u64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(line: &mut FairQueue<u64>) -> Option<(Arc<str>, u64)> {
        let (started, took) = line.pop()?;
        let owner = Arc::clone(&started.owner);
        line.ended(started, Duration::from_nanos(took));
        Some((owner, took))
    }

    #[test]
    fn one_who_asks_for_little_is_next_however_long_the_line_of_another_is() {
        let (hog, modest): (Arc<str>, Arc<str>) = ("hog".into(), "modest".into());
        let mut line = FairQueue::default();
        for _ in 0..1000 {
            line.push(&hog, 100_000_000);
        }
        for _ in 0..10 {
            run(&mut line);
        }
        for _ in 0..10 {
            line.push(&modest, 50_000);
            assert_eq!(run(&mut line), Some((Arc::clone(&modest), 50_000)));
            run(&mut line);
        }
    }

    #[test]
    fn an_owner_without_work_saves_nothing_up() {
        let (early, late): (Arc<str>, Arc<str>) = ("early".into(), "late".into());
        let mut line = FairQueue::default();
        line.push(&late, 1);
        run(&mut line);
        for _ in 0..100 {
            line.push(&early, 10);
            run(&mut line);
        }
        for _ in 0..10 {
            line.push(&early, 10);
            line.push(&late, 10);
        }
        let first: Vec<_> = (0..6).filter_map(|_| run(&mut line)).collect();
        let of_late = first.iter().filter(|(owner, _)| *owner == late).count();
        assert!((2..=4).contains(&of_late), "{first:?}");
    }

    #[test]
    fn jobs_of_one_owner_run_in_order_and_idle_owners_are_forgotten() {
        let mut line = FairQueue::default();
        let one: Arc<str> = "one".into();
        for n in 0..5 {
            line.push(&one, n);
        }
        let order: Vec<_> = std::iter::from_fn(|| run(&mut line))
            .map(|(_, n)| n)
            .collect();
        assert_eq!(order, [0, 1, 2, 3, 4]);
        for n in 0..10 * MAX_IDLE {
            line.push(&n.to_string().into(), 1);
            run(&mut line);
        }
        assert!(line.owners.len() <= MAX_IDLE, "{}", line.owners.len());
    }

    proptest! {
        /// While several owners always have work, none is ahead of another by more than two of the longest jobs.
        #[test]
        fn shares_of_time_are_equal(costs in prop::collection::vec(prop::collection::vec(1u64..1000, 300), 2..6)) {
            let names: Vec<Arc<str>> = (0..costs.len()).map(|n| n.to_string().into()).collect();
            let mut line = FairQueue::default();
            for (name, jobs) in names.iter().zip(&costs) {
                for cost in jobs {
                    line.push(name, *cost);
                }
            }
            let mut spent: HashMap<Arc<str>, u64> = HashMap::new();
            for _ in 0..250 {
                let (owner, took) = run(&mut line).expect("there is work");
                *spent.entry(owner).or_default() += took;
            }
            let most = names.iter().map(|name| spent.get(name).copied().unwrap_or(0)).max().unwrap_or(0);
            let least = names.iter().map(|name| spent.get(name).copied().unwrap_or(0)).min().unwrap_or(0);
            prop_assert!(most - least <= 2000, "{spent:?}");
        }

        /// Nothing is lost, whatever comes and goes.
        #[test]
        fn every_job_is_run_once(steps in prop::collection::vec((0u8..8, any::<bool>()), 0..400)) {
            let mut line = FairQueue::default();
            let (mut pushed, mut popped) = (0u64, 0u64);
            let mut running = Vec::new();
            for (owner, push) in steps {
                if push {
                    line.push(&owner.to_string().into(), pushed);
                    pushed += 1;
                } else if let Some((started, _)) = line.pop() {
                    popped += 1;
                    running.push(started);
                } else if let Some(started) = running.pop() {
                    line.ended(started, Duration::from_nanos(7));
                }
            }
            while let Some((started, _)) = line.pop() {
                popped += 1;
                line.ended(started, Duration::from_nanos(7));
            }
            prop_assert_eq!(pushed, popped);
            prop_assert!(line.order.is_empty());
        }
    }
}
