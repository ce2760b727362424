//! Plugins without their components, and what is counted in their trials.

use redis::Value;

use crate::backend::redis::{
    RedisBackend,
    registry::named::{Named, PLUGINS, write},
    script::{SWEEP, TALLY},
    store::{Mode, int, list},
};
use crate::{
    backend::{BackendError, registry::sweeping},
    model::{Arm, Plugin, Tallies, Tally, TenantId, Timestamp},
};

/// Components that a change removes, one in each step; what is left then is for the next one, or for pruning.
const SWEEPS: usize = 64;

impl RedisBackend {
    pub(super) async fn store_plugin(
        &self,
        tenant: &TenantId,
        plugin: &Plugin,
        expected_revision: Option<u64>,
    ) -> Result<(), BackendError> {
        let shard = self.store.shard_of(tenant)?;
        let named = Named {
            kind: PLUGINS,
            tenant,
            id: &plugin.name,
            name: &plugin.name,
            document: &write(plugin)?,
            expected_revision,
            at_most: None,
        };
        let trial = plugin.canary.as_ref();
        let trial = trial.map(|canary| millis(canary.started));
        let trial = trial.unwrap_or_default();
        let versions = plugin.versions.iter().map(|v| v.sha256.as_bytes());
        let more: Vec<&[u8]> = std::iter::once(trial.as_bytes()).chain(versions).collect();
        self.put(shard, &named, &more).await?;
        sweeping(self.sweep(shard).await);
        Ok(())
    }

    pub(super) async fn remove_plugin(
        &self,
        tenant: &TenantId,
        name: &str,
    ) -> Result<bool, BackendError> {
        let shard = self.store.shard_of(tenant)?;
        let was_there = self.delete(shard, PLUGINS, tenant, name).await?;
        if was_there {
            sweeping(self.sweep(shard).await);
        }
        Ok(was_there)
    }

    /// Removes components that are not needed, by steps.
    pub(crate) async fn sweep(&self, shard: usize) -> Result<(), BackendError> {
        for _ in 0..SWEEPS {
            let answer = self.store.run(shard, &SWEEP, &[], Mode::REPEATABLE).await?;
            if answer.ok()?.int()? == 0 {
                break;
            }
        }
        Ok(())
    }

    pub(super) async fn count(
        &self,
        tenant: &TenantId,
        plugin: &str,
        started: Timestamp,
        arm: Arm,
        failed: bool,
    ) -> Result<Tallies, BackendError> {
        let shard = self.store.shard_of(tenant)?;
        let started = millis(started);
        let args: [&[u8]; 5] = [
            tenant.as_str().as_bytes(),
            plugin.as_bytes(),
            started.as_bytes(),
            match arm {
                Arm::Canary => b"canary",
                Arm::Current => b"current",
            },
            if failed { b"1" } else { b"0" },
        ];
        let answer = self.store.run(shard, &TALLY, &args, Mode::COUNT).await?;
        tallies(answer.ok()?.list()?)
    }

    pub(super) async fn counted(
        &self,
        tenant: &TenantId,
        plugin: &str,
        started: Timestamp,
    ) -> Result<Tallies, BackendError> {
        let shard = self.store.shard_of(tenant)?;
        let key = self.store.key(shard, &format!("trial:{tenant}|{plugin}"));
        let mut get = redis::pipe();
        get.cmd("HMGET").arg(key).arg("started");
        get.arg(&["canary", "canary.failed", "current", "current.failed"]);
        let found = self.store.read(shard, &get).await?.into_iter().next();
        let mut found = list(found.unwrap_or(Value::Nil))?;
        let latest = match found.is_empty() {
            true => Value::Nil,
            false => found.remove(0),
        };
        if latest == Value::Nil || int(latest)? != started.as_millis() {
            return Ok(Tallies::default());
        }
        tallies(found)
    }
}

fn millis(at: Timestamp) -> String {
    at.as_millis().to_string()
}

/// From the four numbers; one that was never counted is missing.
fn tallies(numbers: Vec<Value>) -> Result<Tallies, BackendError> {
    let mut numbers = numbers.into_iter().map(|number| match number {
        Value::Nil => Ok(0),
        number => Ok(u64::try_from(int(number)?).unwrap_or(0)),
    });
    let mut tally = || {
        Ok::<_, BackendError>(Tally {
            attempts: numbers.next().transpose()?.unwrap_or(0),
            failures: numbers.next().transpose()?.unwrap_or(0),
        })
    };
    Ok(Tallies {
        canary: tally()?,
        current: tally()?,
    })
}
