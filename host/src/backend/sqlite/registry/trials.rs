//! The counts of rollouts. In memory: no other process counts, and after a restart
//! trials are counted anew.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::model::{Arm, Plugin, Tallies, TenantId, Timestamp};

/// Trials that are remembered; past that, all are counted anew.
const MAX_TRIALS: usize = 10_000;

/// By tenant and plugin: when its latest trial started, and what was counted.
type Counted = HashMap<(TenantId, String), (Timestamp, Tallies)>;

#[derive(Debug, Default)]
pub(in crate::backend::sqlite) struct Trials(Mutex<Counted>);

impl Trials {
    fn counted(&self) -> MutexGuard<'_, Counted> {
        // Numbers are whole whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The plugin has been stored: counts of any other trial than its present one are dropped.
    pub(super) fn set(&self, tenant: &TenantId, plugin: &Plugin) {
        let key = (tenant.clone(), plugin.name.clone());
        let mut counted = self.counted();
        match (&plugin.canary, counted.get(&key)) {
            (Some(canary), Some((started, _))) if *started == canary.started => {}
            (Some(canary), _) => drop(counted.insert(key, (canary.started, Tallies::default()))),
            (None, _) => drop(counted.remove(&key)),
        }
    }

    /// The plugin has been deleted.
    pub(super) fn forget(&self, tenant: &TenantId, plugin: &str) {
        self.counted().remove(&(tenant.clone(), plugin.to_owned()));
    }

    /// Counts, unless a later trial has begun.
    pub(super) fn count(
        &self,
        tenant: &TenantId,
        plugin: &str,
        started: Timestamp,
        arm: Arm,
        failed: bool,
    ) -> Tallies {
        let mut counted = self.counted();
        if counted.len() >= MAX_TRIALS {
            counted.clear();
        }
        let fresh = (started, Tallies::default());
        let latest = counted.entry((tenant.clone(), plugin.to_owned()));
        let latest = latest.or_insert(fresh);
        if latest.0 < started {
            *latest = fresh;
        } else if latest.0 > started {
            return Tallies::default();
        }
        let tally = match arm {
            Arm::Canary => &mut latest.1.canary,
            Arm::Current => &mut latest.1.current,
        };
        tally.attempts = tally.attempts.saturating_add(1);
        tally.failures = tally.failures.saturating_add(u64::from(failed));
        latest.1
    }

    /// The counts; zeros for a rollout that is not the latest.
    pub(super) fn tallies(&self, tenant: &TenantId, plugin: &str, of: Timestamp) -> Tallies {
        let counted = self.counted();
        match counted.get(&(tenant.clone(), plugin.to_owned())) {
            Some((started, tallies)) if *started == of => *tallies,
            _ => Tallies::default(),
        }
    }
}
