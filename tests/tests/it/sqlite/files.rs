//! The folder: its modes, its lock, and files that are not what they should be.

use std::{
    fs,
    io::{Seek, SeekFrom, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    time::Duration,
};

use hookbox::{
    backend::{BackendError, DeliveryFilter, Queue, sqlite::SqliteBackend},
    config::QueueLimits,
    model::DeliveryId,
    record::{FailureKind, Next},
};

use super::{open_in, prune::inside};
use crate::contract::bed::{LIMITS, LONG, tenant};

async fn error(dir: &Path) -> BackendError {
    SqliteBackend::open(dir, LIMITS).await.unwrap_err()
}

fn corrupt(error: &BackendError, file: &Path, what_to_do: &str) {
    assert!(matches!(error, BackendError::Corrupt(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&file.display().to_string()), "{text}");
    assert!(text.contains(what_to_do), "{text}");
}

#[tokio::test]
async fn only_the_owner_can_read_what_is_stored() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("a/b");
    let (_backend, bed) = open_in(&dir).await;
    bed.webhook(&tenant("t"), |_| ()).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    let mut files = 0;
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        files += 1;
    }
    assert!(files >= 3, "the database, its log and the lock");
}

#[tokio::test]
async fn a_file_that_others_could_read_is_made_private() {
    let dir = tempfile::tempdir().unwrap();
    open_in(dir.path()).await.0.close().await;
    let file = dir.path().join("hookbox.db");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    open_in(dir.path()).await.0.close().await;
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[tokio::test]
async fn one_process_at_a_time_uses_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let (backend, bed) = open_in(dir.path()).await;
    let refused = error(dir.path()).await;
    assert!(matches!(refused, BackendError::Unavailable { .. }));
    assert!(
        refused
            .to_string()
            .contains("another hookbox uses this folder")
    );
    bed.ping().await.unwrap();
    backend.close().await;
    open_in(dir.path()).await;
}

#[tokio::test]
async fn closing_leaves_one_file_and_refuses_what_comes_later() {
    let dir = tempfile::tempdir().unwrap();
    let (backend, bed) = open_in(dir.path()).await;
    let t = tenant("t");
    let hook = bed.webhook(&t, |_| ()).await;
    let sent = bed.send_one(&t, &hook).await;
    bed.get(&t, &sent).await;
    backend.close().await;
    assert!(!dir.path().join("hookbox.db-wal").exists());
    assert!(matches!(
        bed.ping().await,
        Err(BackendError::Unavailable { .. })
    ));
    let read = bed.delivery(&t, &sent).await;
    assert!(matches!(read, Err(BackendError::Unavailable { .. })));
    backend.close().await;
    let (_backend, bed) = open_in(dir.path()).await;
    assert_eq!(bed.claim_one().await.delivery.id, sent);
}

#[tokio::test]
async fn what_a_dead_process_had_under_way_is_claimable_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let t = tenant("t");
    let limits = QueueLimits {
        max_receives: 2,
        max_in_flight: 1,
        ..LIMITS
    };
    let mut sent = None;
    for receives in [1, 2] {
        let backend = SqliteBackend::open(dir.path(), limits).await.unwrap();
        let bed = crate::contract::bed::Bed::new(backend.clone(), ());
        if sent.is_none() {
            let hook = bed.webhook(&t, |_| ()).await;
            sent = Some(bed.send_one(&t, &hook).await);
        }
        let leased = bed.claim_one().await;
        assert_eq!(leased.delivery.receives, receives);
        // Closing does not release: that is the worker's part, and a crash does not either.
        backend.close().await;
    }
    // A delivery that takes the process down twice is not tried a third time.
    let backend = SqliteBackend::open(dir.path(), limits).await.unwrap();
    let id = sent.unwrap();
    let delivery = backend.delivery(&t, &id).await.unwrap().unwrap();
    assert_eq!(delivery.status, hookbox::backend::Status::Failed);
    assert_eq!(backend.attempts(&t, &id).await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_was_stored_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let t = tenant("t");
    let (backend, bed) = open_in(dir.path()).await;
    let hook = bed.webhook(&t, |spec| spec.rate_limit = Some(1000.0)).await;
    let key = bed.instance_key().await.unwrap();
    let sent = [bed.send_one(&t, &hook).await, bed.send_one(&t, &hook).await];
    let leased = bed.claim_for(1, LONG).await.leased;
    bed.end(&leased[0].token, Next::Retry(Duration::from_secs(50)))
        .await;
    let before = (
        bed.get(&t, &sent[0]).await,
        bed.overview(None).await.unwrap(),
    );
    backend.close().await;

    let (_backend, bed) = open_in(dir.path()).await;
    assert_eq!(
        (
            bed.get(&t, &sent[0]).await,
            bed.overview(None).await.unwrap()
        ),
        before
    );
    assert_eq!(bed.instance_key().await.unwrap(), key);
    assert_eq!(bed.tenant(&t).await.unwrap().webhooks.len(), 1);
    assert_eq!(bed.claim_one().await.delivery.id, sent[1]);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hookbox.db");
    let text = "this is not a database, but somebody's only copy of something\n".repeat(100);
    fs::write(&file, &text).unwrap();
    corrupt(&error(dir.path()).await, &file, "move the file away");
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[tokio::test]
async fn another_programs_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hookbox.db");
    let other = rusqlite::Connection::open(&file).unwrap();
    other.execute_batch("CREATE TABLE t (x)").unwrap();
    drop(other);
    corrupt(&error(dir.path()).await, &file, "another program");
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    open_in(dir.path()).await.0.close().await;
    let file = dir.path().join("hookbox.db");
    let conn = rusqlite::Connection::open(&file).unwrap();
    conn.pragma_update(None, "user_version", 999).unwrap();
    drop(conn);
    corrupt(&error(dir.path()).await, &file, "newer hookbox");
}

#[tokio::test]
async fn a_damaged_file_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let (backend, bed) = open_in(dir.path()).await;
    let t = tenant("t");
    let hook = bed.webhook(&t, |_| ()).await;
    for _ in 0..50 {
        bed.send_one(&t, &hook).await;
    }
    backend.close().await;
    let path = dir.path().join("hookbox.db");
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let size = file.metadata().unwrap().len();
    // All pages but the first ones, which hold the schema.
    file.seek(SeekFrom::Start(size / 2)).unwrap();
    file.write_all(&vec![0x5a; usize::try_from(size / 2).unwrap()])
        .unwrap();
    drop(file);
    corrupt(&error(dir.path()).await, &path, "restore a backup");
}

/// A folder of the version before kinds of errors were kept beside deliveries: those of failed ones are found, and damage
/// is no reason not to start.
#[tokio::test]
async fn kinds_of_errors_from_before_they_were_kept_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let conn = inside(dir.path());
    for sql in [
        include_str!("../../../../host/src/backend/sqlite/migrations/0001_initial.sql"),
        include_str!("../../../../host/src/backend/sqlite/migrations/0002_plugins.sql"),
        include_str!("../../../../host/src/backend/sqlite/migrations/0003_component_bytes.sql"),
        "INSERT INTO events VALUES (1, 'evt_1', 't', 'object_created', 'dcim.site', 1, 1, 0, '{}', '{}');
         INSERT INTO outlets (id, tenant, webhook) VALUES (1, 't', 'whk_1')",
    ] {
        conn.execute_batch(sql).unwrap();
    }
    let error = |kind: &str| format!(r#"{{"error": {{"kind": "{kind}"}}}}"#);
    let all = [
        ("failed", vec![error("dns"), error("connect")]),
        (
            "finished",
            vec![error("connect"), r#"{"error": null}"#.to_owned()],
        ),
        ("failed", vec!["{".to_owned()]),
        ("failed", vec![]),
    ];
    for ((status, attempts), n) in all.iter().zip(1..) {
        let sql = "INSERT INTO deliveries (seq, id, tenant, event, outlet, rule, object_type, status, due,
                       total_attempts, created, updated)
                   VALUES (?1, ?2, 't', 1, 1, 'rul_1', 'dcim.site', ?3, 1, ?4, 1, 1)";
        let key = rusqlite::params![n, format!("dlv_{n}"), status, attempts.len() as i64];
        conn.execute(sql, key).unwrap();
        for (document, number) in attempts.iter().zip(1..) {
            let sql = "INSERT INTO attempts (delivery, number, document) VALUES (?1, ?2, ?3)";
            conn.execute(sql, rusqlite::params![n, number, document])
                .unwrap();
        }
    }
    conn.pragma_update(None, "application_id", 0x686b_6278)
        .unwrap();
    conn.pragma_update(None, "user_version", 3).unwrap();
    drop(conn);

    let (_backend, bed) = open_in(dir.path()).await;
    let t = tenant("t");
    let of = async |kind: &str| {
        let error = Some(FailureKind::parse(kind).unwrap());
        let filter = DeliveryFilter {
            error,
            ..DeliveryFilter::default()
        };
        bed.list(&t, &filter).await
    };
    assert_eq!(of("connect").await, [DeliveryId::from("dlv_1")]);
    assert!(of("dns").await.is_empty());
    assert_eq!(bed.list(&t, &DeliveryFilter::default()).await.len(), 4);
}
