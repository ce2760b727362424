//! The plans of the queries whose cost must not grow with what is stored.

use rusqlite::{Connection, StatementStatus, params_from_iter, types::Null};

use crate::backend::sqlite::queue::{claim, list, prune, report, scheduler, settle};
use crate::{
    backend::{
        DeliveryFilter, Status,
        sqlite::{
            MIGRATIONS, configure,
            registry::{
                components::{DUE, STORED},
                plugins::IN_USE,
            },
        },
    },
    model::{EventId, RuleId, TenantId, Timestamp, WebhookId},
    record::FailureKind,
};

fn database() -> Connection {
    let conn = Connection::open_in_memory().unwrap();
    configure(&conn).unwrap();
    for sql in MIGRATIONS {
        conn.execute_batch(sql).unwrap();
    }
    conn
}

/// The steps of a query's plan.
fn plan(conn: &Connection, sql: &str) -> Vec<String> {
    let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let parameters = vec![Null; statement.parameter_count()];
    let rows = statement.query_map(params_from_iter(parameters), |row| row.get(3));
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

/// Walking a partial index that holds only what is asked for is no scan: the first row is the answer.
fn is_scan(step: &str, walked: &[&str]) -> bool {
    let sorts = step.starts_with("USE TEMP B-TREE");
    let scans = step.starts_with("SCAN") && !walked.iter().any(|index| step.ends_with(index));
    sorts || scans
}

#[test]
fn the_queue_never_scans_or_sorts() {
    let conn = database();
    for (sql, walked) in [
        (claim::OPEN_DUE, &[][..]),
        (claim::NEXT_OUTLET, &["INDEX turns_open"]),
        (claim::HEAD, &[]),
        (
            claim::NEXT_DUE,
            &[
                "INDEX outlets_open",
                "INDEX outlets_closed",
                "INDEX deliveries_leased",
                "CONSTANT ROW",
            ],
        ),
        (scheduler::REFRESH, &[]),
        (settle::LEASED, &[]),
        (prune::ENDED, &[]),
        (prune::EXPIRED_KEYS, &[]),
        (prune::OLD_USAGE, &[]),
        (report::OLDEST_OF, &[]),
        (DUE, &[]),
        (STORED, &[]),
        (IN_USE, &[]),
        // One look-up for each tenant.
        (report::OLDEST_OF_ALL, &["SCAN turns"]),
    ] {
        let plan = plan(&conn, sql);
        let scans: Vec<_> = plan.iter().filter(|step| is_scan(step, walked)).collect();
        assert!(scans.is_empty(), "{sql}\n{plan:#?}");
    }
}

/// Compiling takes longer than running, and each of these runs for every delivery.
#[test]
fn statements_are_compiled_once_whatever_their_values() {
    let conn = database();
    for sql in [
        claim::OPEN_DUE,
        claim::NEXT_OUTLET,
        claim::HEAD,
        claim::NEXT_DUE,
        scheduler::REFRESH,
        settle::LEASED,
    ] {
        let mut statement = conn.prepare(sql).unwrap();
        for value in 1..20_i64 {
            let parameters = vec![value; statement.parameter_count()];
            let mut rows = statement.query(params_from_iter(parameters)).unwrap();
            while rows.next().unwrap().is_some() {}
        }
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "{sql}");
    }
}

#[test]
fn each_filter_has_an_index_in_the_order_of_the_list() {
    let conn = database();
    let none = DeliveryFilter::default();
    for (filter, index) in [
        (none.clone(), "deliveries_by_time"),
        (
            DeliveryFilter {
                status: Some(Status::Failed),
                ..none.clone()
            },
            "deliveries_by_status",
        ),
        (
            DeliveryFilter {
                webhook: Some(WebhookId::from("w")),
                ..none.clone()
            },
            "deliveries_by_outlet",
        ),
        (
            DeliveryFilter {
                rule: Some(RuleId::from("r")),
                ..none.clone()
            },
            "deliveries_by_rule",
        ),
        (
            DeliveryFilter {
                event: Some(EventId::from("e")),
                ..none.clone()
            },
            "deliveries_by_event",
        ),
        (
            DeliveryFilter {
                object_type: Some("dcim.site".to_owned()),
                ..none.clone()
            },
            "deliveries_by_object_type",
        ),
        (
            DeliveryFilter {
                error: Some(FailureKind::parse("blocked").unwrap()),
                ..none.clone()
            },
            "deliveries_by_error",
        ),
        (
            DeliveryFilter {
                since: Some(Timestamp::from_millis(1)),
                until: Some(Timestamp::from_millis(2)),
                ..none
            },
            "deliveries_by_time",
        ),
    ] {
        let (sql, _) = list::page_query(&TenantId::from("t"), &filter, (i64::MAX, i64::MAX));
        let plan = plan(&conn, &sql);
        assert!(
            plan.iter().any(|step| step.contains(index)),
            "{filter:?}\n{plan:#?}"
        );
        assert!(
            !plan.iter().any(|step| is_scan(step, &[])),
            "{filter:?}\n{plan:#?}"
        );
    }
}
