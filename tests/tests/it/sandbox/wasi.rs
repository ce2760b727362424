//! The stand-in for WASI: what guests see of it. What they cannot do with it is in the corpus (`guests/wasi-*`).

use hookbox::sandbox::{LogLevel, Output, RenderJob, Rendering, Sandbox};

use super::guest::{assemble, config, job, request, sandbox};

const EVENT: &str =
    r#"{"event":"created","timestamp":"2026-03-06T15:11:23.503186+00:00","data":{}}"#;

/// A guest that imports WASI; `body` may use the functions it names.
fn guest(imports: &[(&str, &str)], body: &str) -> Vec<u8> {
    let imports: String = imports
        .iter()
        .map(|(name, ty)| format!("(import \"wasi\" \"{name}\" (func ${name} {ty}))\n"))
        .collect();
    let text = format!(
        ";; wasi\n;; memory 4\n{imports}(func (export \"transform\") (param i32 i32 i32 i32) (result i32)\n{body})"
    );
    assemble("wasi", &text)
}

async fn run(sandbox: &Sandbox, wasm: &[u8], job: RenderJob) -> Rendering {
    let transformer = sandbox.load("wasi", wasm).expect("fits");
    sandbox.render(&transformer, job).await
}

/// The body that a guest sends, as numbers of eight bytes.
async fn numbers(wasm: &[u8], job: RenderJob) -> Vec<u64> {
    let rendering = run(&sandbox(), wasm, job).await;
    let (numbers, rest) = request(&rendering).body().as_chunks::<8>();
    assert!(rest.is_empty());
    numbers
        .iter()
        .map(|bytes| u64::from_le_bytes(*bytes))
        .collect()
}

#[tokio::test]
async fn both_clocks_stand_still_at_the_events_timestamp() {
    let clocks = guest(
        &[
            ("wall-now", "(param i32)"),
            ("monotonic-now", "(result i64)"),
        ],
        r"(call $wall-now (i32.const 4096))
          (i64.store (i32.const 4112) (call $monotonic-now))
          (i64.store (i32.const 4120) (call $monotonic-now))
          (call $send (i32.const 0) (i32.const 0) (i32.const 4096) (i32.const 32))",
    );
    let seconds = 1_772_809_883;
    let nanoseconds = 503_186_000;
    let all = seconds * 1_000_000_000 + nanoseconds;
    assert_eq!(
        numbers(&clocks, job(EVENT)).await,
        [seconds, nanoseconds, all, all]
    );
}

#[tokio::test]
async fn random_numbers_follow_from_the_event_and_the_webhook() {
    let random = guest(
        &[
            ("random-u64", "(result i64)"),
            ("insecure-seed", "(param i32)"),
            ("random-bytes", "(param i64 i32)"),
        ],
        r"(i64.store (i32.const 4096) (call $random-u64))
          (i64.store (i32.const 4104) (call $random-u64))
          (call $insecure-seed (i32.const 4112))
          (call $random-bytes (i64.const 16) (i32.const 6000))
          (i64.store (i32.const 4128) (i64.load (i32.load (i32.const 6000))))
          (i64.store (i32.const 4136) (i64.extend_i32_u (i32.load (i32.const 6004))))
          (call $send (i32.const 0) (i32.const 0) (i32.const 4096) (i32.const 48))",
    );
    let first = numbers(&random, job(EVENT)).await;
    assert_eq!(first.last(), Some(&16));
    let drawn: std::collections::BTreeSet<_> = first.iter().collect();
    assert_eq!(drawn.len(), first.len(), "no two are alike: {first:?}");
    assert_eq!(numbers(&random, job(EVENT)).await, first);
    let other_webhook = RenderJob {
        webhook: r#"{"name":"other"}"#.into(),
        ..job(EVENT)
    };
    for other in [job("{}"), other_webhook] {
        assert_ne!(numbers(&random, other).await[0], first[0]);
    }
}

#[tokio::test]
async fn what_is_written_is_logged_line_by_line() {
    let out = ("get-stdout", "(result i32)");
    let err = ("get-stderr", "(result i32)");
    let write = ("write", "(param i32 i32 i32 i32)");
    let check = ("check-write", "(param i32 i32)");
    // the method and the URL lie at 1024 and 1040; the first write ends in the middle of a line
    let body = r#"(local $out i32)
          (local.set $out (call $get-stdout))
          (call $check-write (local.get $out) (i32.const 5000))
          (if (i64.eqz (i64.load (i32.const 5008))) (then (unreachable)))
          (call $write (local.get $out) (i32.const 1024) (i32.const 4) (i32.const 4096))
          (if (i32.load8_u (i32.const 4096)) (then (unreachable)))
          (call $write (call $get-stderr) (i32.const 1040) (i32.const 5) (i32.const 4096))
          (i32.store (i32.const 5000) (i32.const 0x0a320a31))
          (call $write (local.get $out) (i32.const 5000) (i32.const 4) (i32.const 4096))
          (call $send (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))"#;
    let rendering = run(
        &sandbox(),
        &guest(&[out, err, write, check], body),
        job(EVENT),
    )
    .await;
    request(&rendering);
    let lines: Vec<_> = rendering
        .logs
        .iter()
        .map(|line| (line.level, line.message.as_str()))
        .collect();
    assert_eq!(
        lines,
        [
            (LogLevel::Info, "POST1"),
            (LogLevel::Info, "2"),
            (LogLevel::Warn, "https")
        ]
    );
}

#[tokio::test]
async fn a_line_without_end_is_cut_where_the_log_is_full() {
    let body = r"(local $out i32) (local $i i32)
          (local.set $out (call $get-stdout))
          (memory.fill (i32.const 65536) (i32.const 120) (i32.const 100000))
          (loop $again
            (call $write (local.get $out) (i32.const 65536) (i32.const 100000) (i32.const 4096))
            (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 20))))
          (call $send (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))";
    let wasm = guest(
        &[
            ("get-stdout", "(result i32)"),
            ("write", "(param i32 i32 i32 i32)"),
        ],
        body,
    );
    let rendering = run(&sandbox(), &wasm, job(EVENT)).await;
    assert!(
        matches!(rendering.output, Output::Request(_)),
        "{rendering:?}"
    );
    let logged: usize = rendering.logs.iter().map(|line| line.message.len()).sum();
    assert!(logged <= config().log_bytes, "{logged}");
    assert!(rendering.logs[0].message.ends_with('…'));
}

#[tokio::test]
async fn there_is_no_environment_no_input_and_no_file() {
    let wasm = guest(
        &[
            ("get-environment", "(param i32)"),
            ("get-arguments", "(param i32)"),
            ("initial-cwd", "(param i32)"),
            ("get-directories", "(param i32)"),
            ("get-stdin", "(result i32)"),
            ("read", "(param i32 i64 i32)"),
        ],
        r"(memory.fill (i32.const 4096) (i32.const 255) (i32.const 64))
          (call $get-environment (i32.const 4096))
          (call $get-arguments (i32.const 4104))
          (call $get-directories (i32.const 4112))
          (call $initial-cwd (i32.const 4120))
          (call $read (call $get-stdin) (i64.const 100) (i32.const 4128))
          (i32.store (i32.const 4144) (i32.load (i32.const 4100)))
          (i32.store (i32.const 4148) (i32.load (i32.const 4108)))
          (i32.store (i32.const 4152) (i32.load (i32.const 4116)))
          (i32.store8 (i32.const 4156) (i32.load8_u (i32.const 4120)))
          (i32.store8 (i32.const 4157) (i32.load8_u (i32.const 4128)))
          (i32.store8 (i32.const 4158) (i32.load8_u (i32.const 4132)))
          (i32.store8 (i32.const 4159) (i32.const 0))
          (call $send (i32.const 0) (i32.const 0) (i32.const 4144) (i32.const 16))",
    );
    let rendering = run(&sandbox(), &wasm, job(EVENT)).await;
    // three empty lists, no directory, and from the input an error, which is `closed`
    assert_eq!(
        request(&rendering).body(),
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0]
    );
}

/// The same fuel on every run is what a bill is made of.
#[tokio::test]
async fn its_calls_cost_the_same_fuel_each_time() {
    let wasm = guest(
        &[
            ("random-u64", "(result i64)"),
            ("monotonic-now", "(result i64)"),
        ],
        r"(drop (call $random-u64)) (drop (call $monotonic-now))
          (call $send (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))",
    );
    let sandbox = sandbox();
    let first = run(&sandbox, &wasm, job(EVENT)).await.cost.fuel;
    assert!(first > 1000, "calls are paid: {first}");
    assert_eq!(run(&sandbox, &wasm, job(EVENT)).await.cost.fuel, first);
    let longer = format!("{EVENT}{}", " ".repeat(10_000));
    let read = run(&sandbox, &wasm, job(&longer)).await.cost.fuel;
    assert!(read > first + 10_000, "so is reading the event: {read}");
}
