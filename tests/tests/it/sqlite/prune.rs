//! What pruning forgets without counting it, seen in the file.

use std::{path::Path, time::Duration};

use hookbox::{
    backend::{Queue, Registry, Usage, sqlite::SqliteBackend},
    config::{QueueLimits, Retention},
    model::{DeliveryId, Idempotency, Timestamp},
    record::Next,
};
use rusqlite::Connection;

use super::open_in;
use crate::contract::bed::{LIMITS, LONG, event, tenant, until};

pub(super) const KEEP: Retention = Retention {
    finished: LONG,
    failed: LONG,
};
const FORGET: Retention = Retention {
    finished: Duration::ZERO,
    failed: Duration::ZERO,
};
const HOUR: i64 = 3_600_000;

/// A second connection, to see and do what no method does. Another process never has one.
pub(super) fn inside(dir: &Path) -> Connection {
    Connection::open(dir.join("hookbox.db")).unwrap()
}

pub(super) fn rows(conn: &Connection, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    conn.query_row(&sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn usage_is_kept_for_400_days() {
    let dir = tempfile::tempdir().unwrap();
    let (_backend, bed) = open_in(dir.path()).await;
    let t = tenant("t");
    bed.enqueue_one(event(&t, &[])).await;
    let conn = inside(dir.path());
    let now = Timestamp::now().as_millis() / HOUR;
    // More than one step removes, and one hour that is just young enough.
    for hour in (now - 400 * 24 - 700..now - 400 * 24).chain([now - 399 * 24]) {
        let sql = "INSERT INTO usage (tenant, hour, events) VALUES ('t', ?1, 1)";
        conn.execute(sql, [hour]).unwrap();
    }
    assert_eq!(bed.prune(KEEP, 10).await.unwrap(), 0, "it is not counted");
    assert_eq!(rows(&conn, "usage"), 2);
    let all = (Timestamp::from_millis(0), Timestamp::now().plus(LONG));
    let expected = Usage {
        events: 2,
        ..Usage::default()
    };
    assert_eq!(bed.usage(&t, all.0, all.1).await.unwrap(), expected);
}

#[tokio::test]
async fn all_keys_go_after_their_window_however_many() {
    let dir = tempfile::tempdir().unwrap();
    let limits = QueueLimits {
        idempotency_window: Duration::from_millis(1),
        ..LIMITS
    };
    let backend = SqliteBackend::open(dir.path(), limits).await.unwrap();
    let t = tenant("t");
    let keyed = |i: usize| {
        let mut new = event(&t, &[]);
        new.idempotency = Some(Idempotency {
            key: i.to_string(),
            fingerprint: None,
        });
        new
    };
    backend
        .enqueue((0..1200).map(keyed).collect())
        .await
        .unwrap();
    let conn = inside(dir.path());
    assert_eq!(rows(&conn, "idempotency"), 1200);
    let stored = Timestamp::now();
    until(async || (Timestamp::now().since(stored).as_millis() > 1).then_some(())).await;
    backend.prune(KEEP, 500).await.unwrap();
    assert_eq!(rows(&conn, "idempotency"), 0);
    assert_eq!(rows(&conn, "events"), 1200);
}

#[tokio::test]
async fn nothing_is_left_of_a_tenant_that_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let (_backend, bed) = open_in(dir.path()).await;
    let (gone, stays) = (tenant("gone"), tenant("stays"));
    let mut sent: Vec<DeliveryId> = Vec::new();
    for t in [&gone, &stays] {
        let hook = bed.webhook(t, |_| ()).await;
        sent.push(bed.send_one(t, &hook).await);
        let leased = bed.claim_one().await;
        bed.end(&leased.token, Next::Finished).await;
        if t == &gone {
            assert!(Registry::delete_webhook(&**bed, t, &hook).await.unwrap());
        }
    }
    let conn = inside(dir.path());
    // While a delivery is remembered, so is what it was for.
    bed.prune(KEEP, 100).await.unwrap();
    assert_eq!((rows(&conn, "outlets"), rows(&conn, "turns")), (2, 2));
    bed.prune(FORGET, 100).await.unwrap();
    assert_eq!((rows(&conn, "outlets"), rows(&conn, "turns")), (1, 1));
    assert_eq!(rows(&conn, "counts WHERE tenant = 'gone'"), 0);
    // Both can come back.
    for t in [&gone, &stays] {
        let hook = bed.webhook(t, |_| ()).await;
        let sent = bed.send_one(t, &hook).await;
        assert_eq!(bed.claim_one().await.delivery.id, sent);
        assert_eq!(bed.overview(Some(t)).await.unwrap().started, 1);
    }
}
