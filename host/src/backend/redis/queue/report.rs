//! How the queue stands, what was used, and which workers live.

use std::collections::HashMap;

use crate::{
    backend::{
        BackendError, PausedWebhook, QueueOverview, Status, Usage, WorkerInfo,
        redis::{
            HOME,
            fault::stored,
            script::{HEARTBEAT, OVERVIEW},
            store::{Mode, Store, int, list, text},
        },
        schedule::{MAX_PAUSED, WORKER_SEEN},
    },
    model::{TenantId, Timestamp, WebhookId, WorkerId},
};

const HOUR: i64 = 3_600_000;
const HOURS: i64 = 24;
/// Days for which usage is kept.
const DAYS: i64 = 401;

pub(super) async fn overview(
    store: &Store,
    tenant: Option<&TenantId>,
) -> Result<QueueOverview, BackendError> {
    let shards = match tenant {
        Some(tenant) => {
            let shard = store.shard_of(tenant)?;
            shard..shard + 1
        }
        None => 0..store.shards(),
    };
    let mut overview = QueueOverview::default();
    for shard in shards {
        let most = MAX_PAUSED.to_string();
        let args = [
            tenant.map_or("", TenantId::as_str).as_bytes(),
            most.as_bytes(),
        ];
        let answer = store.run(shard, &OVERVIEW, &args, Mode::REPEATABLE).await?;
        let mut answer = answer.ok()?;
        let mut numbers = answer.list()?.into_iter();
        while let (Some(state), Some(number)) = (numbers.next(), numbers.next()) {
            let status = Status::from_name(&text(state)?)
                .ok_or_else(|| stored("a delivery has an unknown state"))?;
            let number = u64::try_from(int(number)?).unwrap_or(0);
            overview.add(status, number);
        }
        let oldest = moment(&answer.text()?)?;
        if oldest.as_millis() > 0 {
            let before = overview.oldest_queued.unwrap_or(oldest);
            overview.oldest_queued = Some(before.min(oldest));
        }
        let mut paused = answer.list()?.into_iter();
        while let (Some(webhook), Some(until)) = (paused.next(), paused.next()) {
            overview.paused.push(PausedWebhook {
                webhook: WebhookId::from(text(webhook)?),
                until: moment(&text(until)?)?,
            });
        }
    }
    overview.paused.sort_by_key(|paused| paused.until);
    overview.paused.truncate(MAX_PAUSED);
    Ok(overview)
}

/// A score or stamp (microseconds, as Redis prints numbers) as a time.
pub(super) fn moment(text: &str) -> Result<Timestamp, BackendError> {
    let micros: f64 = text.parse().map_err(|_| stored("a time is not a number"))?;
    // Exact up to 2^53; casts from float saturate.
    Ok(Timestamp::from_millis((micros as i64).div_euclid(1000)))
}

/// Counted by the hour, as [`crate::backend::sqlite::queue`] does it: the hours that `since` to `until` touch.
pub(super) async fn usage(
    store: &Store,
    tenant: &TenantId,
    since: Timestamp,
    until: Timestamp,
) -> Result<Usage, BackendError> {
    let shard = store.shard_of(tenant)?;
    let this_hour = Timestamp::now().as_millis().div_euclid(HOUR);
    // Clocks may differ by a day.
    let (oldest, newest) = (this_hour - DAYS * HOURS, this_hour + HOURS);
    let first = since.as_millis().div_euclid(HOUR).max(oldest);
    let last = until
        .as_millis()
        .saturating_sub(1)
        .div_euclid(HOUR)
        .min(newest);
    let days: Vec<i64> = (first.div_euclid(HOURS)..=last.div_euclid(HOURS)).collect();
    let mut get = redis::pipe();
    for day in &days {
        get.hgetall(store.key(shard, &format!("usage:{tenant}|{day}")));
    }
    let mut usage = Usage::default();
    for (day, value) in days.iter().zip(store.read(shard, &get).await?) {
        let fields: HashMap<String, u64> = redis::from_redis_value(value)
            .map_err(|_| stored("usage is not counted in numbers"))?;
        for (field, n) in fields {
            let (hour, what) = field.split_at(field.len().saturating_sub(1));
            let hour: i64 = hour
                .parse()
                .map_err(|_| stored("usage is not by the hour"))?;
            if !(first..=last).contains(&(day * HOURS + hour)) {
                continue;
            }
            let sum = match what {
                "e" => &mut usage.events,
                "a" => &mut usage.attempts,
                "d" => &mut usage.delivered,
                "f" => &mut usage.fuel,
                _ => &mut usage.bytes_sent,
            };
            *sum = sum.saturating_add(n);
        }
    }
    Ok(usage)
}

/// The workers that live, after one of them has said that it does, or deregister (with no text).
pub(super) async fn workers(
    store: &Store,
    about: Option<(&WorkerId, &str)>,
) -> Result<Vec<WorkerInfo>, BackendError> {
    let seen = crate::backend::redis::queue::micros(WORKER_SEEN);
    let mut args = vec![seen.as_bytes()];
    if let Some((id, about)) = about {
        args.extend([id.as_str().as_bytes(), about.as_bytes()]);
    }
    let answer = store.run(HOME, &HEARTBEAT, &args, Mode::REPEATABLE).await?;
    let mut workers = Vec::new();
    for entry in answer.ok()?.list()? {
        let mut entry = list(entry)?.into_iter();
        let (Some(about), Some(seen)) = (entry.next(), entry.next()) else {
            continue;
        };
        let mut worker: WorkerInfo = serde_json::from_str(&text(about)?)
            .map_err(|_| stored("a worker is not the JSON it should be"))?;
        worker.last_seen = Timestamp::from_millis(int(seen)?);
        workers.push(worker);
    }
    workers.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(workers)
}
