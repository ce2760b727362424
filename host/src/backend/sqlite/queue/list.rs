//! Reading deliveries, events and attempts.

use std::sync::Arc;

use rusqlite::{Connection, Row, ToSql, types::Value};

use crate::{
    backend::{
        Cursor, Delivery, DeliveryFilter, MAX_PAGE, PAGE_ROWS, Page, Status, StoredEvent,
        sqlite::fault::{Fault, Sql},
    },
    ingest::Event,
    model::{DeliveryId, EventId, RuleId, TenantId, Timestamp, WebhookId},
    record::Attempt,
};

/// The columns that [`read`] needs, then those that lists sort by and a claim goes on with.
const COLUMNS: &str = "SELECT d.id, d.tenant, e.id, o.webhook, d.rule, d.object_type, e.event_type,
        d.status, d.attempts, d.total_attempts, d.receives, d.created, d.updated,
        CASE WHEN d.lane IS NOT NULL THEN d.due END, d.last_result, d.seq, d.event, d.fence, d.last_error
    FROM deliveries d JOIN events e ON e.seq = d.event JOIN outlets o ON o.id = d.outlet";

/// A delivery with the keys that only the backend knows.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) delivery: Delivery,
    pub(super) seq: i64,
    pub(super) event: i64,
    pub(super) fence: u64,
}

fn read(row: &Row<'_>) -> Result<Stored, Fault> {
    let text = |column| row.get::<_, String>(column);
    let time = |column| row.get(column).map(Timestamp::from_millis);
    let delivery = Delivery {
        id: text(0)?.into(),
        tenant: text(1)?.into(),
        event: text(2)?.into(),
        webhook: WebhookId::from(text(3)?),
        rule: RuleId::from(text(4)?),
        object_type: text(5)?,
        event_type: text(6)?,
        status: status(row, 7)?,
        attempts: row.get(8)?,
        total_attempts: row.get(9)?,
        receives: row.get(10)?,
        created: time(11)?,
        updated: time(12)?,
        next_attempt: row.get::<_, Option<i64>>(13)?.map(Timestamp::from_millis),
        last_result: row.get(14)?,
        last_error: row.get(18)?,
    };
    Ok(Stored {
        delivery,
        seq: row.get(15)?,
        event: row.get(16)?,
        fence: row.get::<_, i64>(17)?.unsigned_abs(),
    })
}

pub(super) fn status(row: &Row<'_>, column: usize) -> Result<Status, Fault> {
    let name: String = row.get(column)?;
    Status::from_name(&name).ok_or_else(|| Fault::stored("a delivery has an unknown state"))
}

pub(super) fn by_seq(conn: &Connection, seq: i64) -> Result<Stored, Fault> {
    let found = conn.one(&format!("{COLUMNS} WHERE d.seq = ?1"), [seq], read)?;
    found.ok_or_else(|| Fault::stored("a delivery has no event or no outlet"))
}

pub(super) fn find(
    conn: &Connection,
    tenant: &TenantId,
    id: &DeliveryId,
) -> Result<Option<Stored>, Fault> {
    let sql = format!("{COLUMNS} WHERE d.id = ?1 AND d.tenant = ?2");
    conn.one(&sql, [id.as_str(), tenant.as_str()], read)
}

pub(super) fn delivery(
    conn: &Connection,
    tenant: &TenantId,
    id: &DeliveryId,
) -> Result<Option<Delivery>, Fault> {
    Ok(find(conn, tenant, id)?.map(|stored| stored.delivery))
}

pub(super) fn attempts(
    conn: &Connection,
    tenant: &TenantId,
    id: &DeliveryId,
) -> Result<Vec<Attempt>, Fault> {
    let sql = "SELECT a.document FROM deliveries d JOIN attempts a ON a.delivery = d.seq
               WHERE d.id = ?1 AND d.tenant = ?2 ORDER BY a.number";
    conn.all(sql, [id.as_str(), tenant.as_str()], read_attempt)
}

pub(super) fn attempt(
    conn: &Connection,
    tenant: &TenantId,
    id: &DeliveryId,
    number: u32,
) -> Result<Option<Attempt>, Fault> {
    let sql = "SELECT a.document FROM deliveries d JOIN attempts a ON a.delivery = d.seq
               WHERE d.id = ?1 AND d.tenant = ?2 AND a.number = ?3";
    let key = rusqlite::params![id.as_str(), tenant.as_str(), number];
    conn.one(sql, key, read_attempt)
}

fn read_attempt(row: &Row<'_>) -> Result<Attempt, Fault> {
    Ok(serde_json::from_str(
        row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?,
    )?)
}

const EVENT: &str =
    "SELECT id, tenant, event_type, object_type, received, context, seq, explanation FROM events";

fn read_event(row: &Row<'_>) -> Result<Event, Fault> {
    Ok(Event::from_stored(
        EventId::from(row.get::<_, String>(0)?),
        TenantId::from(row.get::<_, String>(1)?),
        row.get(2)?,
        row.get(3)?,
        Timestamp::from_millis(row.get(4)?),
        Arc::from(row.get_ref(5)?.as_str().map_err(rusqlite::Error::from)?),
    ))
}

pub(super) fn event_by_seq(conn: &Connection, seq: i64) -> Result<Event, Fault> {
    let found = conn.one(&format!("{EVENT} WHERE seq = ?1"), [seq], read_event)?;
    found.ok_or_else(|| Fault::stored("a delivery has no event"))
}

pub(super) fn event(
    conn: &Connection,
    tenant: &TenantId,
    id: &EventId,
) -> Result<Option<StoredEvent>, Fault> {
    let sql = format!("{EVENT} WHERE id = ?1 AND tenant = ?2");
    let found = conn.one(&sql, [id.as_str(), tenant.as_str()], |row| {
        let explanation: String = row.get(7)?;
        let explanation = serde_json::from_str(&explanation)?;
        Ok((read_event(row)?, row.get::<_, i64>(6)?, explanation))
    })?;
    let Some((event, seq, explanation)) = found else {
        return Ok(None);
    };
    let sql = format!("{COLUMNS} WHERE d.event = ?1 ORDER BY d.created, d.seq");
    let deliveries = conn.all(&sql, [seq], |row| Ok(read(row)?.delivery))?;
    Ok(Some(StoredEvent {
        event,
        explanation,
        deliveries,
    }))
}

/// A filter as SQL: fixed pieces, and the values that go into their parameters.
pub(super) struct Condition {
    sql: String,
    values: Vec<Value>,
}

impl Condition {
    pub(super) fn new(tenant: &TenantId, filter: &DeliveryFilter) -> Self {
        let mut condition = Self {
            sql: "d.tenant = ?1".to_owned(),
            values: vec![text(tenant.as_str())],
        };
        condition.add(filter);
        condition
    }

    /// A further condition with the same parameters: the tenant's, and what this filter says.
    fn continue_with(&mut self, filter: &DeliveryFilter) -> String {
        let before = std::mem::replace(&mut self.sql, "d.tenant = ?1".to_owned());
        self.add(filter);
        std::mem::replace(&mut self.sql, before)
    }

    fn add(&mut self, filter: &DeliveryFilter) {
        let condition = self;
        if let Some(status) = filter.status {
            condition.and("d.status = ?", text(status.as_str()));
        }
        if let Some(webhook) = &filter.webhook {
            condition.and(
                "d.outlet = (SELECT id FROM outlets WHERE tenant = ?1 AND webhook = ?)",
                text(webhook.as_str()),
            );
        }
        if let Some(rule) = &filter.rule {
            condition.and("d.rule = ?", text(rule.as_str()));
        }
        if let Some(event) = &filter.event {
            condition.and(
                "d.event = (SELECT seq FROM events WHERE id = ?)",
                text(event.as_str()),
            );
        }
        if let Some(object_type) = &filter.object_type {
            condition.and("d.object_type = ?", text(object_type));
        }
        if let Some(error) = filter.error {
            condition.and("d.last_error = ?", text(error.as_str()));
        }
        if let Some(since) = filter.since {
            condition.and("d.created >= ?", Value::Integer(since.as_millis()));
        }
        if let Some(until) = filter.until {
            condition.and("d.created < ?", Value::Integer(until.as_millis()));
        }
    }

    /// Adds a value; its parameter.
    pub(super) fn bind(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("?{}", self.values.len())
    }

    /// Adds a condition on a value, for which its last `?` stands.
    fn and(&mut self, sql: &str, value: Value) {
        let parameter = self.bind(value);
        self.sql.push_str(" AND ");
        if let Some((before, after)) = sql.rsplit_once('?') {
            self.sql.push_str(before);
            self.sql.push_str(&parameter);
            self.sql.push_str(after);
        }
    }

    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &dyn ToSql> {
        self.values.iter().map(|value| value as &dyn ToSql)
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// The query of the rows that one page looks at, newest first, after the position `(created, seq)`: all that fit the
/// first of the filters that has an index of its own. Whether one fits the others too is its last column. So the cost
/// of a page is bounded by the rows looked at, and not by those that are found.
pub(super) fn page_query(
    tenant: &TenantId,
    filter: &DeliveryFilter,
    (created, seq): (i64, i64),
) -> (String, Condition) {
    let (walked, index) = walked(filter);
    let mut condition = Condition::new(tenant, &walked);
    let (created, seq) = (
        condition.bind(Value::Integer(created)),
        condition.bind(Value::Integer(seq)),
    );
    let limit = condition.bind(Value::Integer(PAGE_ROWS as i64 + 1));
    let rows = condition.sql.clone();
    let rest = DeliveryFilter {
        since: None,
        until: None,
        ..filter.clone()
    };
    let fits = condition.continue_with(&rest);
    let sql = format!(
        "SELECT d.created, d.seq, ({fits}) IS TRUE FROM deliveries d INDEXED BY {index}
         WHERE {rows} AND (d.created, d.seq) < ({created}, {seq})
         ORDER BY d.created DESC, d.seq DESC LIMIT {limit}"
    );
    (sql, condition)
}

/// The filter that is walked along, and its index: the one that mostly leaves least. The span of time goes with each.
fn walked(filter: &DeliveryFilter) -> (DeliveryFilter, &'static str) {
    let mut walked = DeliveryFilter {
        since: filter.since,
        until: filter.until,
        ..DeliveryFilter::default()
    };
    let index = if filter.event.is_some() {
        walked.event.clone_from(&filter.event);
        "deliveries_by_event"
    } else if filter.error.is_some() {
        walked.error = filter.error;
        "deliveries_by_error"
    } else if filter.rule.is_some() {
        walked.rule.clone_from(&filter.rule);
        "deliveries_by_rule"
    } else if filter.webhook.is_some() {
        walked.webhook.clone_from(&filter.webhook);
        "deliveries_by_outlet"
    } else if filter.object_type.is_some() {
        walked.object_type.clone_from(&filter.object_type);
        "deliveries_by_object_type"
    } else if filter.status.is_some() {
        walked.status = filter.status;
        "deliveries_by_status"
    } else {
        "deliveries_by_time"
    };
    (walked, index)
}

pub(super) fn deliveries(
    conn: &Connection,
    tenant: &TenantId,
    filter: &DeliveryFilter,
    limit: usize,
    after: (i64, i64),
) -> Result<Page<Delivery>, Fault> {
    let limit = limit.clamp(1, MAX_PAGE);
    let (sql, condition) = page_query(tenant, filter, after);
    let mut statement = conn.statement(&sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(condition.values()))?;
    let (mut results, mut looked_at, mut last) = (Vec::new(), 0, after);
    let mut next = None;
    while let Some(row) = rows.next()? {
        let (position, fits) = ((row.get(0)?, row.get(1)?), row.get::<_, bool>(2)?);
        // The first row of the next page: one more that fits, or the first that is not looked at any more.
        if looked_at == PAGE_ROWS || (fits && results.len() == limit) {
            next = Some(Cursor::Delivery(last.0, last.1).encode());
            break;
        }
        looked_at += 1;
        last = position;
        if fits {
            results.push(by_seq(conn, position.1)?.delivery);
        }
    }
    Ok(Page { results, next })
}
