//! Reading deliveries, events and attempts.

use std::{collections::HashMap, sync::Arc, vec::IntoIter};

use redis::{Pipeline, Value};

use crate::backend::redis::queue::report::moment;
use crate::{
    backend::{
        BackendError, Cursor, Delivery, DeliveryFilter, MAX_PAGE, PAGE_ROWS, Page, Status,
        StoredEvent,
        page::page as cut,
        redis::{
            fault::stored,
            script::ATTEMPTS,
            store::{Mode, Store, int, list, text},
        },
        schedule,
    },
    ingest::Event,
    model::{DeliveryId, EventId, RuleId, TenantId, Timestamp, WebhookId, WorkerId},
    record::Attempt,
};

/// Deliveries looked at in one step of a scan. Redis does nothing else during one, so it is short.
const STEP: usize = 100;
/// Steps for one page: a filter that fits next to nothing gives short pages instead of long waits.
const STEPS: usize = PAGE_ROWS / STEP;

/// A delivery with what only the backend knows.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) delivery: Delivery,
    pub(super) fence: u64,
    /// Unique in the shard, and in the order of creation.
    stamp: i64,
}

/// A delivery of all fields of its hash.
pub(super) fn read(id: String, fields: Value) -> Result<Stored, BackendError> {
    let odd = || stored("a delivery lacks a field");
    let mut fields: HashMap<String, String> = redis::from_redis_value(fields).map_err(|_| odd())?;
    let mut text = |name: &str| fields.remove(name).ok_or_else(odd);
    let number = |text: String| text.parse::<u64>().map_err(|_| odd());
    let count = |text: String| text.parse::<u32>().map_err(|_| odd());
    let (created, due) = (text("c")?, text("due")?);
    let status =
        Status::from_name(&text("s")?).ok_or_else(|| stored("a delivery has an unknown state"))?;
    let waits = matches!(status, Status::Queued | Status::Scheduled);
    let delivery = Delivery {
        id: id.into(),
        tenant: text("t")?.into(),
        event: text("e")?.into(),
        webhook: WebhookId::from(text("w")?),
        rule: RuleId::from(text("r")?),
        object_type: text("ot")?,
        event_type: text("et")?,
        status,
        attempts: count(text("a")?)?,
        total_attempts: count(text("n")?)?,
        receives: count(text("rc")?)?,
        created: moment(&created)?,
        updated: moment(&text("u")?)?,
        next_attempt: waits.then(|| moment(&due)).transpose()?,
        last_result: text("lr").ok(),
        last_error: text("le").ok().filter(|kind| !kind.is_empty()),
    };
    Ok(Stored {
        fence: number(text("f")?)?,
        stamp: created.parse::<f64>().map_err(|_| odd())? as i64,
        delivery,
    })
}

/// Reads those of these deliveries that exist and are the tenant's, in the order of the ids.
async fn read_all(
    store: &Store,
    shard: usize,
    tenant: &TenantId,
    ids: Vec<String>,
) -> Result<Vec<Stored>, BackendError> {
    let mut get = Pipeline::new();
    for id in &ids {
        get.hgetall(store.key(shard, &format!("d:{id}")));
    }
    let found = store.scan(shard, &get).await?;
    let mut all = Vec::with_capacity(ids.len());
    for (id, fields) in ids.into_iter().zip(found) {
        let gone = match &fields {
            Value::Array(fields) => fields.is_empty(),
            Value::Map(fields) => fields.is_empty(),
            _ => true,
        };
        if !gone {
            all.push(read(id, fields)?);
        }
    }
    all.retain(|found| found.delivery.tenant == *tenant);
    Ok(all)
}

pub(super) async fn delivery(
    store: &Store,
    tenant: &TenantId,
    id: &DeliveryId,
) -> Result<Option<Delivery>, BackendError> {
    let shard = store.shard_of(tenant)?;
    let found = read_all(store, shard, tenant, vec![id.to_string()]).await?;
    Ok(found.into_iter().next().map(|found| found.delivery))
}

/// All attempts that are kept, or the one of this number.
pub(super) async fn attempts(
    store: &Store,
    tenant: &TenantId,
    id: &DeliveryId,
    number: Option<u32>,
) -> Result<Vec<Attempt>, BackendError> {
    let shard = store.shard_of(tenant)?;
    let number = number.map(|number| number.to_string()).unwrap_or_default();
    let args = [
        tenant.as_str().as_bytes(),
        id.as_str().as_bytes(),
        number.as_bytes(),
    ];
    let answer = store.run(shard, &ATTEMPTS, &args, Mode::REPEATABLE).await?;
    let mut answer = answer.ok()?;
    let first = u32::try_from(answer.int()?).unwrap_or(0);
    let numbered = answer.list()?.into_iter().zip(first..);
    numbered
        .map(|(document, number)| read_attempt(&text(document)?, number))
        .collect()
}

fn read_attempt(document: &str, number: u32) -> Result<Attempt, BackendError> {
    if let Some(lost) = document.strip_prefix("lost ") {
        let mut parts = lost.split(' ');
        let worker = WorkerId::from(parts.next().unwrap_or_default());
        let mut moment = || moment(parts.next().unwrap_or_default());
        return Ok(schedule::lost_attempt(number, worker, moment()?, moment()?));
    }
    let mut attempt: Attempt = serde_json::from_str(document)
        .map_err(|_| stored("an attempt is not the JSON it should be"))?;
    attempt.number = number;
    Ok(attempt)
}

/// An event of its tenant, types, time and context, in this order.
pub(super) fn read_event(id: EventId, fields: &mut IntoIter<Value>) -> Result<Event, BackendError> {
    let mut next = || text(fields.next().unwrap_or(Value::Nil));
    let (tenant, event_type, object_type) = (next()?, next()?, next()?);
    let received = next()?
        .parse()
        .map_err(|_| stored("an event's time is no number"))?;
    Ok(Event::from_stored(
        id,
        tenant.into(),
        event_type,
        object_type,
        Timestamp::from_millis(received),
        Arc::from(next()?),
    ))
}

pub(super) async fn event(
    store: &Store,
    tenant: &TenantId,
    id: &EventId,
) -> Result<Option<StoredEvent>, BackendError> {
    let shard = store.shard_of(tenant)?;
    let mut get = Pipeline::new();
    get.cmd("HMGET")
        .arg(store.key(shard, &format!("e:{id}")))
        .arg(&["t", "et", "ot", "rx"])
        .get(store.key(shard, &format!("context:{id}")))
        .get(store.key(shard, &format!("follows:{id}")));
    let mut found = store.read(shard, &get).await?.into_iter();
    let mut next = || found.next().unwrap_or(Value::Nil);
    let mut fields = list(next())?;
    fields.push(next());
    // Without one of its parts it has just been removed.
    let follows = next();
    if follows == Value::Nil || fields.contains(&Value::Nil) {
        return Ok(None);
    }
    let mut fields = fields.into_iter();
    let event = read_event(id.clone(), &mut fields)?;
    if event.tenant() != tenant {
        return Ok(None);
    }
    let follows = text(follows)?;
    let (ids, explanation) = follows.split_once('\n').unwrap_or_default();
    let explanation = serde_json::from_str(explanation)
        .map_err(|_| stored("an explanation is not the JSON it should be"))?;
    let ids = ids.split_whitespace().map(str::to_owned).collect();
    let deliveries = read_all(store, shard, tenant, ids).await?;
    Ok(Some(StoredEvent {
        event,
        explanation,
        deliveries: deliveries.into_iter().map(|found| found.delivery).collect(),
    }))
}

fn fits(delivery: &Delivery, filter: &DeliveryFilter) -> bool {
    fn is<T: PartialEq>(wanted: Option<&T>, found: &T) -> bool {
        wanted.is_none_or(|wanted| wanted == found)
    }
    is(filter.status.as_ref(), &delivery.status)
        && is(filter.webhook.as_ref(), &delivery.webhook)
        && is(filter.rule.as_ref(), &delivery.rule)
        && is(filter.event.as_ref(), &delivery.event)
        && is(filter.object_type.as_ref(), &delivery.object_type)
        && filter
            .error
            .is_none_or(|kind| delivery.last_error.as_deref() == Some(kind.as_str()))
        && filter.since.is_none_or(|since| delivery.created >= since)
        && filter.until.is_none_or(|until| delivery.created < until)
}

/// A walk through the deliveries that match, by steps that are short for Redis.
pub(super) struct Scan {
    shard: usize,
    tenant: TenantId,
    filter: DeliveryFilter,
    source: Source,
    newest_first: bool,
    /// The stamps that are left, both included.
    left: (i64, i64),
    done: bool,
}

enum Source {
    /// A sorted set by stamp.
    Set(String),
    /// The deliveries of one event.
    Few(Vec<String>),
}

impl Scan {
    pub(super) async fn oldest_first(
        store: &Store,
        shard: usize,
        tenant: &TenantId,
        filter: &DeliveryFilter,
    ) -> Result<Self, BackendError> {
        Self::new(store, shard, tenant, filter, i64::MAX, false).await
    }

    /// Walks the shortest of the lists that hold all that match.
    async fn new(
        store: &Store,
        shard: usize,
        tenant: &TenantId,
        filter: &DeliveryFilter,
        before: i64,
        newest_first: bool,
    ) -> Result<Self, BackendError> {
        let source = match &filter.event {
            Some(event) => {
                let mut get = Pipeline::new();
                get.get(store.key(shard, &format!("follows:{event}")));
                let found = store.read(shard, &get).await?.into_iter().next();
                let ids: Option<String> = redis::from_redis_value(found.unwrap_or(Value::Nil))
                    .map_err(|_| stored("an event's deliveries are no text"))?;
                let ids = ids.unwrap_or_default();
                let ids = ids.split('\n').next().unwrap_or_default();
                Source::Few(ids.split_whitespace().map(str::to_owned).collect())
            }
            None => Source::Set(shortest(store, shard, tenant, filter).await?),
        };
        let micros = |time: Timestamp| time.as_millis().saturating_mul(1000);
        let since = filter.since.map_or(0, micros);
        let until = filter.until.map_or(i64::MAX, micros);
        Ok(Self {
            shard,
            tenant: tenant.clone(),
            filter: filter.clone(),
            source,
            newest_first,
            left: (since, until.saturating_sub(1).min(before.saturating_sub(1))),
            done: false,
        })
    }

    /// The next ones that match, perhaps none of those looked at; nothing at the end.
    pub(super) async fn next(
        &mut self,
        store: &Store,
    ) -> Result<Option<Vec<Delivery>>, BackendError> {
        let found = self.step(store).await?;
        Ok(found.map(|found| found.into_iter().map(|found| found.delivery).collect()))
    }

    async fn step(&mut self, store: &Store) -> Result<Option<Vec<Stored>>, BackendError> {
        if self.done || self.left.0 > self.left.1 {
            return Ok(None);
        }
        let (from, to) = self.left;
        let ids = match &mut self.source {
            Source::Few(ids) => {
                self.done = true;
                std::mem::take(ids)
            }
            Source::Set(key) => {
                let mut get = Pipeline::new();
                if self.newest_first {
                    get.cmd("ZREVRANGEBYSCORE").arg(&*key).arg(to).arg(from);
                } else {
                    get.cmd("ZRANGEBYSCORE").arg(&*key).arg(from).arg(to);
                }
                get.arg("WITHSCORES").arg("LIMIT").arg(0).arg(STEP);
                let found = store.scan(self.shard, &get).await?.into_iter().next();
                let found: Vec<(String, f64)> =
                    redis::from_redis_value(found.unwrap_or(Value::Nil))
                        .map_err(|_| stored("a list of deliveries is not one"))?;
                self.done = found.len() < STEP;
                if let Some((_, last)) = found.last() {
                    // Stamps are whole numbers that a float holds exactly.
                    let last = *last as i64;
                    if self.newest_first {
                        self.left.1 = last.saturating_sub(1);
                    } else {
                        self.left.0 = last.saturating_add(1);
                    }
                }
                found.into_iter().map(|(id, _)| id).collect()
            }
        };
        let mut found = read_all(store, self.shard, &self.tenant, ids).await?;
        found.sort_by_key(|found| found.stamp);
        if self.newest_first {
            found.reverse();
        }
        found.retain(|found| (from..=to).contains(&found.stamp));
        found.retain(|found| fits(&found.delivery, &self.filter));
        Ok(Some(found))
    }
}

async fn shortest(
    store: &Store,
    shard: usize,
    tenant: &TenantId,
    filter: &DeliveryFilter,
) -> Result<String, BackendError> {
    let mut keys = vec![store.key(shard, &format!("all:{tenant}"))];
    if let Some(status) = filter.status {
        keys.push(store.key(shard, &format!("state:{tenant}|{status}")));
    }
    if let Some(webhook) = &filter.webhook {
        keys.push(store.key(shard, &format!("hook:{tenant}|{webhook}")));
    }
    if let Some(error) = filter.error {
        keys.push(store.key(shard, &format!("error:{tenant}|{error}")));
    }
    let mut count = Pipeline::new();
    for key in &keys {
        count.zcard(key);
    }
    let counts = store.read(shard, &count).await?.into_iter().map(int);
    let counts = counts.collect::<Result<Vec<i64>, _>>()?;
    let shortest = keys.into_iter().zip(counts).min_by_key(|(_, n)| *n);
    Ok(shortest.map(|(key, _)| key).unwrap_or_default())
}

pub(super) async fn deliveries(
    store: &Store,
    tenant: &TenantId,
    filter: &DeliveryFilter,
    limit: usize,
    cursor: Option<&str>,
) -> Result<Page<Delivery>, BackendError> {
    let (_, before) = Cursor::parse_delivery(cursor)?;
    let limit = limit.clamp(1, MAX_PAGE);
    let shard = store.shard_of(tenant)?;
    let mut scan = Scan::new(store, shard, tenant, filter, before, true).await?;
    let mut rows = Vec::new();
    let position = |stamp| Cursor::Delivery(0, stamp);
    for _ in 0..STEPS {
        match scan.step(store).await? {
            Some(found) => rows.extend(found),
            None => break,
        }
        if rows.len() > limit {
            break;
        }
    }
    let more = !scan.done && scan.left.0 <= scan.left.1;
    let mut page = cut(rows, limit, |last: &Stored| position(last.stamp));
    if page.next.is_none() && more {
        page.next = Some(position(scan.left.1.saturating_add(1)).encode());
    }
    Ok(Page {
        results: page.results.into_iter().map(|row| row.delivery).collect(),
        next: page.next,
    })
}
