//! What is kept of components, seen in the file.

use futures_util::future::join_all;
use hookbox::{
    backend::{BackendError, Queue, Registry, sqlite::SqliteBackend},
    model::{Plugin, Webhook},
};
use rusqlite::Connection;

use super::{
    open_in,
    prune::{KEEP, inside, rows},
};
use crate::contract::{
    bed::{LIMITS, tenant, until, webhook},
    components::{bytes, component, digest, interrupt},
    plugins::plugin,
};

/// An hour and a second pass for what was stored.
fn an_hour_passes(conn: &Connection) {
    let sql =
        "UPDATE components SET keep_until = max(keep_until - 3601000, 1) WHERE keep_until > 0";
    conn.execute(sql, []).unwrap();
}

#[tokio::test]
async fn an_interrupted_upload_goes_after_an_hour() {
    let dir = tempfile::tempdir().unwrap();
    let (backend, bed) = open_in(dir.path()).await;
    let t = tenant("t");
    interrupt(&bed, &t, &bytes(20 << 20, 1)).await;
    let conn = inside(dir.path());
    let waits = component(&bed, &t, "waits for its plugin").await;
    backend.prune(KEEP, 100).await.unwrap();
    let pieces = rows(&conn, "component_pieces");
    assert!(pieces > 1, "{pieces}");
    an_hour_passes(&conn);
    let young = component(&bed, &t, "young").await;
    backend.prune(KEEP, 100).await.unwrap();
    assert_eq!(
        (rows(&conn, "components"), rows(&conn, "component_pieces")),
        (1, 1)
    );
    assert_eq!(bed.component(&t, &waits).await.unwrap(), None);
    assert!(bed.component(&t, &young).await.unwrap().is_some());
}

#[tokio::test]
async fn storing_or_deleting_a_plugin_removes_what_is_not_needed() {
    let dir = tempfile::tempdir().unwrap();
    let (_backend, bed) = open_in(dir.path()).await;
    let (t, conn) = (tenant("t"), inside(dir.path()));
    let large = bytes(20 << 20, 1);
    let sha256 = digest(&large);
    bed.put_component(&t, &sha256, &large, None).await.unwrap();
    let small = component(&bed, &t, "small").await;
    let both: Plugin = plugin("it", &[&sha256, &small]);
    bed.put_plugin(&t, &both, None).await.unwrap();
    assert_eq!(rows(&conn, "component_pieces"), 81);
    bed.put_plugin(&t, &plugin("it", &[&small]), None)
        .await
        .unwrap();
    assert_eq!(
        (rows(&conn, "components"), rows(&conn, "component_pieces")),
        (1, 1)
    );
    assert!(bed.delete_plugin(&t, "it").await.unwrap());
    for table in [
        "components",
        "component_pieces",
        "plugin_versions",
        "plugins",
    ] {
        assert_eq!(rows(&conn, table), 0, "{table}");
    }
}

#[tokio::test]
async fn what_a_plugin_needs_is_kept_whenever_it_was_stored() {
    let dir = tempfile::tempdir().unwrap();
    let (backend, bed) = open_in(dir.path()).await;
    let (t, conn) = (tenant("t"), inside(dir.path()));
    let one = component(&bed, &t, "one").await;
    bed.put_plugin(&t, &plugin("it", &[&one]), None)
        .await
        .unwrap();
    component(&bed, &t, "one").await;
    an_hour_passes(&conn);
    backend.prune(KEEP, 100).await.unwrap();
    assert!(bed.component(&t, &one).await.unwrap().is_some());
    // It is looked at no more, and goes with its plugin.
    assert_eq!(rows(&conn, "components WHERE keep_until > 0"), 0);
    assert!(bed.delete_plugin(&t, "it").await.unwrap());
    assert_eq!(rows(&conn, "components"), 0);
}

#[tokio::test]
async fn an_upload_that_takes_over_an_hour_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let (_backend, bed) = open_in(dir.path()).await;
    let (t, conn) = (tenant("t"), inside(dir.path()));
    let large = bytes(20 << 20, 1);
    let sha256 = digest(&large);
    let passing = async {
        until(async || (rows(&conn, "component_pieces") > 0).then_some(())).await;
        an_hour_passes(&conn);
    };
    let (stored, ()) = tokio::join!(bed.put_component(&t, &sha256, &large, None), passing);
    assert!(
        matches!(stored, Err(BackendError::Unavailable { .. })),
        "{stored:?}"
    );
    assert_eq!(bed.component(&t, &sha256).await.unwrap(), None);
    bed.put_component(&t, &sha256, &large, None).await.unwrap();
}

#[tokio::test]
async fn a_component_that_lost_a_piece_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let (_backend, bed) = open_in(dir.path()).await;
    let (t, conn) = (tenant("t"), inside(dir.path()));
    let large = bytes(6 << 20, 1);
    let sha256 = digest(&large);
    bed.put_component(&t, &sha256, &large, None).await.unwrap();
    for lost in ["number > 15", "number = 3", "number >= 0"] {
        let sql = format!("DELETE FROM component_pieces WHERE {lost}");
        assert!(conn.execute(&sql, []).unwrap() > 0);
        let found = bed.component(&t, &sha256).await;
        assert!(matches!(found, Err(BackendError::Corrupt(_))), "{lost}");
    }
}

#[tokio::test]
async fn components_and_plugins_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let t = tenant("t");
    let it = {
        let (backend, bed) = open_in(dir.path()).await;
        let it = plugin("it", &[&component(&bed, &t, "one").await]);
        bed.put_plugin(&t, &it, None).await.unwrap();
        backend.close().await;
        it
    };
    let (_backend, bed) = open_in(dir.path()).await;
    assert_eq!(
        bed.tenant(&t).await.unwrap().plugins,
        std::slice::from_ref(&it)
    );
    let found = bed.component(&t, &it.current).await.unwrap();
    assert_eq!(found.as_deref(), Some(&b"one"[..]));
}

/// A folder of the first version: its webhooks are kept, and what they name is known.
#[tokio::test]
async fn a_database_from_before_plugins_is_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    let conn = inside(dir.path());
    conn.execute_batch(include_str!(
        "../../../../host/src/backend/sqlite/migrations/0001_initial.sql"
    ))
    .unwrap();
    conn.pragma_update(None, "application_id", 0x686b_6278)
        .unwrap();
    conn.pragma_update(None, "user_version", 1).unwrap();
    let hooks = [None, Some("it"), Some("other@0123")].map(|named: Option<&str>| {
        webhook(|spec| {
            spec.plugin = named.map(str::to_owned);
            spec.name = format!("hook of {named:?}");
        })
    });
    let put = |id: &str, name: &str, document: String| {
        let sql = "INSERT INTO webhooks VALUES ('t', ?1, ?2, ?3)";
        conn.execute(sql, [id, name, &document]).unwrap();
    };
    for hook in &hooks {
        let document = serde_json::to_string(hook).unwrap();
        put(hook.id.as_str(), &hook.spec.name, document);
    }
    // Damage is no reason not to start.
    put("damaged", "z", "{\"spec\":".to_owned());
    drop(conn);

    let (backend, bed) = open_in(dir.path()).await;
    let t = tenant("t");
    for hook in &hooks {
        let found: Option<Webhook> = Registry::webhook(&**bed, &t, &hook.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(hook));
    }
    let one = component(&bed, &t, "one").await;
    for name in ["it", "other", "third"] {
        bed.put_plugin(&t, &plugin(name, &[&one]), None)
            .await
            .unwrap();
        let deleted = bed.delete_plugin(&t, name).await;
        assert_eq!(deleted.is_ok(), name == "third", "{deleted:?}");
    }
    backend.close().await;
    SqliteBackend::open(dir.path(), LIMITS).await.unwrap();
}

/// A folder of the version before components had a size: what is stored counts from then on.
#[tokio::test]
async fn components_from_before_they_were_counted_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let conn = inside(dir.path());
    for sql in [
        include_str!("../../../../host/src/backend/sqlite/migrations/0001_initial.sql"),
        include_str!("../../../../host/src/backend/sqlite/migrations/0002_plugins.sql"),
        "INSERT INTO components VALUES (7, 't', 'x', 2, 1, 9000000000000);
         INSERT INTO component_pieces VALUES (7, 0, zeroblob(300)), (7, 1, zeroblob(45))",
    ] {
        conn.execute_batch(sql).unwrap();
    }
    conn.pragma_update(None, "application_id", 0x686b_6278)
        .unwrap();
    conn.pragma_update(None, "user_version", 2).unwrap();
    drop(conn);
    let (_backend, bed) = open_in(dir.path()).await;
    let refused = bed
        .put_component(&tenant("t"), &digest(b"y"), b"y", Some(345))
        .await;
    let too_many = BackendError::TooManyBytes {
        stored: 345,
        limit: 345,
    };
    assert_eq!(refused, Err(too_many));
}

#[tokio::test]
async fn of_uploads_of_the_same_at_once_one_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (backend, bed) = open_in(dir.path()).await;
    let (t, conn) = (tenant("t"), inside(dir.path()));
    let many = bytes(20 << 18, 1);
    let sha256 = digest(&many);
    let all = join_all((0..3).map(|_| bed.put_component(&t, &sha256, &many, None))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(rows(&conn, "component_pieces"), 60);
    backend.prune(KEEP, 100).await.unwrap();
    assert_eq!(
        (rows(&conn, "components"), rows(&conn, "component_pieces")),
        (1, 20)
    );
    assert!(bed.component(&t, &sha256).await.unwrap().unwrap() == many);
}
