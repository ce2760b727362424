//! Nothing survives a run, nothing crosses between runs, and the same run costs the same each time.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::join_all;
use hookbox::sandbox::{LogLevel, Output, RenderJob, SecretHandles};

use super::guest::{assemble, echo, job, render, request, sandbox};

#[tokio::test]
async fn a_global_and_a_byte_written_in_one_run_are_not_seen_by_the_next() {
    let sandbox = sandbox();
    let counter = assemble(
        "counter",
        r#"(global $runs (mut i32) (i32.const 48))
           (func (export "transform") (param i32 i32 i32 i32) (result i32)
             (global.set $runs (i32.add (global.get $runs) (i32.const 1)))
             (i32.store8 (i32.const 4096) (global.get $runs))
             (i32.store8 (i32.const 4097) (i32.add (i32.const 48) (i32.load8_u (i32.const 5000))))
             (i32.store8 (i32.const 5000) (i32.const 1))
             (call $skip (i32.const 4096) (i32.const 2)))"#,
    );
    let counter = sandbox.load("counter", &counter).expect("fits");
    for _ in 0..20 {
        let rendering = render(&sandbox, &counter, "{}").await;
        assert!(
            matches!(&rendering.output, Output::Skip(reason) if reason == "10"),
            "{rendering:?}"
        );
    }
}

#[tokio::test]
async fn memory_that_another_tenant_filled_reads_as_zeros() {
    let sandbox = sandbox();
    let writer = assemble(
        "writer",
        r#";; memory 64
           (func (export "transform") (param i32 i32 i32 i32) (result i32)
             (memory.fill (i32.const 65536) (i32.const 0x53) (i32.const 4000000))
             (call $send (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))"#
            .replace("           ", "")
            .as_str(),
    );
    // adds up every byte past the prelude's own data
    let reader = assemble(
        "reader",
        r#";; memory 64
           (func (export "transform") (param i32 i32 i32 i32) (result i32)
             (local $i i32) (local $sum i64)
             (local.set $i (i32.const 65536))
             (loop $next
               (local.set $sum (i64.or (local.get $sum) (i64.load (local.get $i))))
               (local.set $i (i32.add (local.get $i) (i32.const 8)))
               (br_if $next (i32.lt_u (local.get $i) (i32.const 4194304))))
             (if (i64.ne (local.get $sum) (i64.const 0)) (then (unreachable)))
             (call $send (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))"#
            .replace("           ", "")
            .as_str(),
    );
    let writer = sandbox.load("writer", &writer).expect("fits");
    let reader = sandbox.load("reader", &reader).expect("fits");
    for _ in 0..20 {
        let (a, b) = tokio::join!(
            render(&sandbox, &writer, "{}"),
            render(&sandbox, &reader, "{}")
        );
        assert!(a.cost.peak_memory_bytes >= 4 << 20);
        request(&a);
        request(&b);
        request(&render(&sandbox, &reader, "{}").await);
    }
}

#[tokio::test]
async fn two_hundred_renders_at_once_all_finish_with_the_same_result_and_fuel() {
    let sandbox = sandbox();
    let transformer = sandbox.load("echo", &echo()).expect("fits");
    let event = format!(r#"{{"data":"{}"}}"#, "x".repeat(5000));
    let first = render(&sandbox, &transformer, &event).await;
    assert!(first.cost.fuel > 0);
    let renderings = join_all((0..200).map(|_| render(&sandbox, &transformer, &event))).await;
    assert_eq!(renderings.len(), 200);
    for rendering in renderings {
        assert_eq!(request(&rendering), request(&first));
        assert_eq!(rendering.cost.fuel, first.cost.fuel);
        assert_eq!(
            rendering.cost.peak_memory_bytes,
            first.cost.peak_memory_bytes
        );
    }
}

#[tokio::test]
async fn a_secret_is_seen_as_its_handle_and_only_by_its_name() {
    let sandbox = sandbox();
    // asks for the secret named by the event and skips with the handle, or fails if there is none
    let asker = assemble(
        "asker",
        r#"(func (export "transform") (param $event i32) (param $event-len i32) (param i32 i32) (result i32)
             (call $secret (local.get $event) (local.get $event-len) (i32.const 4096))
             (if (result i32) (i32.load8_u (i32.const 4096))
               (then (call $skip (i32.load (i32.const 4100)) (i32.load (i32.const 4104))))
               (else (call $fail (i32.const 5) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))))"#,
    );
    let asker = sandbox.load("asker", &asker).expect("fits");
    let secrets = SecretHandles(BTreeMap::from([(
        "token".to_owned(),
        "hbs_1234".to_owned(),
    )]));
    let ask = |name: &str| RenderJob {
        secrets: Arc::new(secrets.clone()),
        ..job(name)
    };
    let known = sandbox.render(&asker, ask("token")).await;
    assert!(
        matches!(&known.output, Output::Skip(handle) if handle == "hbs_1234"),
        "{known:?}"
    );
    let unknown = sandbox.render(&asker, ask("tokens")).await;
    assert!(matches!(unknown.output, Output::Error(_)), "{unknown:?}");
}

#[tokio::test]
async fn log_lines_are_cleaned_and_keep_their_level() {
    let sandbox = sandbox();
    let logger = assemble(
        "logger",
        r#"(data (i32.const 4096) "\1b[31mfire\1b[0m\0d\0a2026 ERROR forged\00")
           (func (export "transform") (param i32 i32 i32 i32) (result i32)
             (call $log (i32.const 2) (i32.const 4096) (i32.const 34))
             (call $skip (i32.const 0) (i32.const 0)))"#,
    );
    let logger = sandbox.load("logger", &logger).expect("fits");
    let rendering = render(&sandbox, &logger, "{}").await;
    let [line] = rendering.logs.as_slice() else {
        panic!("one line: {rendering:?}");
    };
    assert_eq!(line.level, LogLevel::Warn);
    assert_eq!(line.message, "fire  2026 ERROR forged");
}

#[tokio::test]
async fn a_log_without_end_is_cut_and_says_so_even_when_the_run_fails() {
    let sandbox = sandbox();
    let flood = assemble(
        "flood",
        r#"(func (export "transform") (param i32 i32 i32 i32) (result i32)
             (loop $again (call $log (i32.const 1) (i32.const 1024) (i32.const 4)) (br $again))
             (unreachable))"#,
    );
    let flood = sandbox.load("flood", &flood).expect("fits");
    let rendering = render(&sandbox, &flood, "{}").await;
    assert!(matches!(rendering.output, Output::Error(_)));
    let bytes: usize = rendering.logs.iter().map(|line| line.message.len()).sum();
    assert!(bytes <= 16 * 1024 + 100, "{bytes}");
    let last = rendering.logs.last().expect("lines");
    assert!(last.message.contains("more lines were dropped"), "{last:?}");
}
