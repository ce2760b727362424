//! The files are taken away while hookbox runs.

use std::{
    fs::{self, OpenOptions},
    path::Path,
};

use hookbox::backend::{BackendError, DeliveryFilter};

use super::open_in;
use crate::contract::bed::{event, tenant};

/// Something is stored, `take` happens to the folder, and from then on nothing more is stored; the reason given.
async fn after(take: impl FnOnce(&Path)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let (_backend, bed) = open_in(dir.path()).await;
    let t = tenant("t");
    let hook = bed.webhook(&t, |_| ()).await;
    for _ in 0..20 {
        bed.send_one(&t, &hook).await;
    }
    bed.ping().await.unwrap();
    take(dir.path());
    let refused = bed.enqueue(vec![event(&t, &[&hook])]).await.unwrap_err();
    let BackendError::Unavailable { reason, .. } = refused else {
        panic!("{refused:?}");
    };
    assert!(bed.ping().await.is_err(), "readiness is asked by this");
    reason
}

fn truncate(file: &Path, part: u64) {
    let file = OpenOptions::new().write(true).open(file).unwrap();
    let size = file.metadata().unwrap().len();
    assert!(size > 0);
    file.set_len(size / 100 * part).unwrap();
}

#[tokio::test]
async fn nothing_is_accepted_once_a_file_is_gone_replaced_or_truncated() {
    for name in [
        "hookbox.db",
        "hookbox.db-wal",
        "hookbox.db-shm",
        "hookbox.lock",
    ] {
        let reason = after(|dir| fs::remove_file(dir.join(name)).unwrap()).await;
        assert!(
            reason.contains(&format!("{name} has been removed")),
            "{reason}"
        );
        assert!(reason.contains("restart hookbox"), "{reason}");
        let reason = after(|dir| {
            let (file, copy) = (dir.join(name), dir.join("copy"));
            fs::copy(&file, &copy).unwrap();
            fs::rename(&copy, &file).unwrap();
        });
        let reason = reason.await;
        assert!(
            reason.contains(&format!("{name} has been replaced")),
            "{reason}"
        );
    }
    for part in [0, 50] {
        let reason = after(|dir| truncate(&dir.join("hookbox.db-wal"), part)).await;
        assert!(
            reason.contains("hookbox.db-wal has been truncated"),
            "{reason}"
        );
    }
}

#[tokio::test]
async fn a_folder_that_is_gone_is_noticed() {
    let reason = after(|dir| fs::rename(dir, dir.with_extension("old")).unwrap()).await;
    assert!(reason.contains("has been removed"), "{reason}");
}

#[tokio::test]
async fn a_database_of_some_size_that_is_truncated_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let t = tenant("t");
    let (backend, bed) = open_in(dir.path()).await;
    let hook = bed.webhook(&t, |_| ()).await;
    bed.send_one(&t, &hook).await;
    backend.close().await;
    for part in [0, 50] {
        let (backend, bed) = open_in(dir.path()).await;
        bed.send_one(&t, &hook).await;
        let file = dir.path().join("hookbox.db");
        let whole = fs::read(&file).unwrap();
        truncate(&file, part);
        let refused = bed.enqueue(vec![event(&t, &[&hook])]).await.unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("hookbox.db has been truncated"),
            "{refused}"
        );
        // Written back into the same file it is what it was.
        fs::write(&file, whole).unwrap();
        bed.send_one(&t, &hook).await;
        backend.close().await;
    }
}

#[tokio::test]
async fn a_file_that_is_put_back_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let t = tenant("t");
    let (_backend, bed) = open_in(dir.path()).await;
    let hook = bed.webhook(&t, |_| ()).await;
    let (file, away) = (dir.path().join("hookbox.db"), dir.path().join("away"));
    fs::rename(&file, &away).unwrap();
    assert!(bed.enqueue(vec![event(&t, &[&hook])]).await.is_err());
    fs::rename(&away, &file).unwrap();
    bed.send_one(&t, &hook).await;
    assert_eq!(bed.list(&t, &DeliveryFilter::default()).await.len(), 1);
}

/// As programs do that make backups while hookbox runs.
#[tokio::test]
async fn a_checkpoint_by_another_program_is_no_reason_to_stop() {
    let dir = tempfile::tempdir().unwrap();
    let t = tenant("t");
    let (_backend, bed) = open_in(dir.path()).await;
    let hook = bed.webhook(&t, |_| ()).await;
    for _ in 0..3 {
        bed.send_one(&t, &hook).await;
        let other = rusqlite::Connection::open(dir.path().join("hookbox.db")).unwrap();
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy: i64 = other.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(busy, 0);
        assert_eq!(
            fs::metadata(dir.path().join("hookbox.db-wal"))
                .unwrap()
                .len(),
            0
        );
    }
    bed.send_one(&t, &hook).await;
    bed.ping().await.unwrap();
}

#[tokio::test]
async fn a_vacuum_from_outside_is_no_reason_to_stop() {
    let (dir, t) = (tempfile::tempdir().unwrap(), tenant("t"));
    let (_backend, bed) = open_in(dir.path()).await;
    let hook = bed.webhook(&t, |_| ()).await;
    let path = dir.path().join("hookbox.db");
    let other = rusqlite::Connection::open(&path).unwrap();
    let run = |sql: &str| other.execute_batch(sql).unwrap();
    // Pages that are free again, and in the file.
    run(
        "CREATE TABLE large (bytes BLOB); INSERT INTO large VALUES (zeroblob(1000000)); DROP TABLE large;",
    );
    let checkpoint = || {
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy: i64 = other.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(busy, 0);
        fs::metadata(&path).unwrap().len()
    };
    let large = checkpoint();
    bed.send_one(&t, &hook).await;
    run("VACUUM");
    assert!(checkpoint() + 900_000 < large);
    bed.send_one(&t, &hook).await;
    bed.ping().await.unwrap();
}
