//! What a render comes to, as a text that can be compared between runs, threads and processes
//! (`guests replay`).

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::join_all;
use hookbox::sandbox::{JINJA, Output, RenderJob, Rendering, Sandbox, SecretHandles, Transformer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::guest::assemble;

/// Something to render again and again.
#[derive(Debug)]
pub struct Case {
    /// What it is called.
    pub name: &'static str,
    wasm: Vec<u8>,
    /// What it renders.
    pub job: RenderJob,
}

/// Webhooks whose templates, and plugins which, look for anything that could differ between two runs.
///
/// # Panics
/// Never: the texts are WebAssembly.
#[must_use]
pub fn cases() -> Vec<Case> {
    let template = |name, body: &str| Case {
        name,
        wasm: JINJA.to_vec(),
        job: job(body),
    };
    let plugin = |name, text: &str| Case {
        name,
        wasm: assemble(name, text),
        job: job(""),
    };
    vec![
        template(
            "order of keys",
            "{% for k, v in data.items() %}{{ k }}={{ v }};{% endfor %}",
        ),
        template(
            "order as JSON",
            "{{ data | tojson }}{{ {'z': 1, 'a': 2, 'm': {'y': 0, 'b': 1}} }}",
        ),
        template(
            "order of groups",
            "{% for g in data.list | groupby('n') %}{{ g }}{% endfor %}{{ data | dictsort }}",
        ),
        template(
            "order of what is unique",
            "{{ data.list | map(attribute='n') | unique | list }}",
        ),
        template("chance", "{{ [1, 2, 3, 4, 5, 6, 7, 8] | random }}"),
        template(
            "addresses",
            "{{ namespace }}{{ range }}{{ data.items }}{{ secret }}{{ namespace(a=1) }}",
        ),
        template("clock", "{{ now() }}"),
        template(
            "numbers",
            "{{ 1 / 3 }} {{ 0.1 + 0.2 }} {{ 1e308 * 10 }} {{ (1e308 * 10) - (1e308 * 10) }} {{ 2 ** 0.5 }} {{ data.float | round(3) }}",
        ),
        template("a secret's handle", "{{ secret('token') }}"),
        template("an error", "{{ data.items() | nothing }}"),
        template(
            "an endless loop",
            "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        ),
        plugin("not a number", NOT_A_NUMBER),
        plugin("whatever memory holds", MEMORY),
        plugin(
            "a crash",
            r#"(func $deep (param i32) (drop (i32.div_u (i32.const 1) (local.get 0))))
            (func (export "transform") (param i32 i32 i32 i32) (result i32)
              (call $log (i32.const 2) (i32.const 1024) (i32.const 4)) (call $deep (i32.const 0)) (unreachable))"#,
        ),
        plugin(
            "a stack overflow",
            r#"(func $again (param i32) (result i32) (i32.add (local.get 0) (call $again (i32.add (local.get 0) (i32.const 1)))))
            (func (export "transform") (param i32 i32 i32 i32) (result i32) (call $again (i32.const 0)))"#,
        ),
    ]
}

/// Makes a NaN in every way there is, of numbers that the compiler cannot know, and sends their bits.
const NOT_A_NUMBER: &str = r#"
(data (i32.const 4096) "\00\00\80\7f\00\00\80\ff\00\00\00\00\00\00\80\bf\01\00\80\7f\ff\ff\ff\ff")
(data (i32.const 4128) "\00\00\00\00\00\00\f0\7f\00\00\00\00\00\00\f0\ff\00\00\00\00\00\00\00\80\00\00\00\00\00\00\f0\bf\01\00\00\00\00\00\f0\7f")
(func (export "transform") (param i32 i32 i32 i32) (result i32)
  (f32.store (i32.const 4608) (f32.add (f32.load (i32.const 4096)) (f32.load (i32.const 4100))))
  (f32.store (i32.const 4612) (f32.div (f32.load (i32.const 4104)) (f32.load (i32.const 4104))))
  (f32.store (i32.const 4616) (f32.sqrt (f32.load (i32.const 4108))))
  (f32.store (i32.const 4620) (f32.min (f32.load (i32.const 4112)) (f32.load (i32.const 4108))))
  (f32.store (i32.const 4624) (f32.add (f32.load (i32.const 4116)) (f32.load (i32.const 4112))))
  (f32.store (i32.const 4628) (f32.demote_f64 (f64.load (i32.const 4160))))
  (f32.store (i32.const 4632) (f32.nearest (f32.load (i32.const 4116))))
  (f32.store (i32.const 4636) (f32.mul (f32.load (i32.const 4104)) (f32.load (i32.const 4100))))
  (f64.store (i32.const 4640) (f64.add (f64.load (i32.const 4128)) (f64.load (i32.const 4136))))
  (f64.store (i32.const 4648) (f64.div (f64.load (i32.const 4144)) (f64.load (i32.const 4144))))
  (f64.store (i32.const 4656) (f64.sqrt (f64.load (i32.const 4152))))
  (f64.store (i32.const 4664) (f64.max (f64.load (i32.const 4160)) (f64.load (i32.const 4152))))
  (f64.store (i32.const 4672) (f64.promote_f32 (f32.load (i32.const 4116))))
  (f64.store (i32.const 4680) (f64.floor (f64.load (i32.const 4160))))
  (v128.store (i32.const 4688) (f32x4.div (v128.load (i32.const 4096)) (v128.load (i32.const 4096))))
  (v128.store (i32.const 4704) (f64x2.sub (v128.load (i32.const 4128)) (v128.load (i32.const 4128))))
  (call $send (i32.const 0) (i32.const 0) (i32.const 4608) (i32.const 112)))"#;

/// Sums up all that it can see and did not write: memory, also freshly grown, what it was called with, what
/// growing answers, tables, locals, a handle; logs the sum and skips with it.
const MEMORY: &str = r#";; memory 3
(table $t 16 funcref)
(func $hash (param $hash i64) (param $word i64) (result i64)
  (i64.mul (i64.xor (local.get $hash) (local.get $word)) (i64.const 0x100000001b3)))
(func (export "transform") (param $e i32) (param $el i32) (param $w i32) (param $wl i32) (result i32)
  (local $hash i64) (local $at i32) (local $unset i64) (local $unset-f f64) (local $unset-v v128)
  (local.set $hash (i64.const 0x4bf29ce484222325))
  (call $secret (i32.const 1024) (i32.const 4) (i32.const 4096))
  (local.set $hash (call $hash (local.get $hash) (i64.extend_i32_u (memory.grow (i32.const 40)))))
  (local.set $hash (call $hash (local.get $hash) (i64.extend_i32_s (memory.grow (i32.const 60000)))))
  (local.set $hash (call $hash (local.get $hash) (i64.extend_i32_u (table.grow $t (ref.null func) (i32.const 5)))))
  (local.set $hash (call $hash (local.get $hash) (i64.extend_i32_u (i32.xor (local.get $e) (local.get $w)))))
  (local.set $hash (call $hash (local.get $hash) (local.get $unset)))
  (local.set $hash (call $hash (local.get $hash) (i64.reinterpret_f64 (local.get $unset-f))))
  (local.set $hash (call $hash (local.get $hash) (i64x2.extract_lane 1 (local.get $unset-v))))
  (loop $next
    (local.set $hash (call $hash (local.get $hash) (i64.load (local.get $at))))
    (local.set $at (i32.add (local.get $at) (i32.const 24)))
    (br_if $next (i32.lt_u (local.get $at) (i32.const 2800000))))
  ;; as sixteen letters from A
  (local.set $at (i32.const 0))
  (loop $letter
    (i32.store8 offset=4112 (local.get $at)
      (i32.add (i32.const 65) (i32.and (i32.const 15) (i32.wrap_i64 (local.get $hash)))))
    (local.set $hash (i64.shr_u (local.get $hash) (i64.const 4)))
    (local.set $at (i32.add (local.get $at) (i32.const 1)))
    (br_if $letter (i32.lt_u (local.get $at) (i32.const 16))))
  (call $log (i32.const 1) (i32.const 4112) (i32.const 16))
  (call $skip (i32.const 4112) (i32.const 16)))"#;

fn job(body: &str) -> RenderJob {
    let event = json!({
        "event": "created", "timestamp": "2026-01-01T00:00:00+00:00", "username": "admin",
        "data": {
            "zeta": 1, "alpha": "two", "Mid": [3, 4], "nested": {"y": null, "x": true}, "float": 2.7128,
            "list": (0..20).map(|n| json!({"n": n * 7 % 5, "k": format!("key {n}")})).collect::<Value>(),
        },
    });
    let webhook = json!({
        "name": "w", "payload_url": "https://example.com/{{ event }}", "http_method": "POST",
        "http_content_type": "application/json", "additional_headers": "X-A: {{ username }}\nX-B: {{ data.alpha }}",
        "body_template": body, "body_escape": "none", "settings": {"b": 1, "a": 2}
    });
    let handles = BTreeMap::from([
        ("token".to_owned(), "hbs_0123456789".to_owned()),
        ("POST".to_owned(), "hbs_9876543210".to_owned()),
    ]);
    RenderJob {
        event: event.to_string().into(),
        webhook: webhook.to_string().into(),
        secrets: Arc::new(SecretHandles(handles)),
        owner: Arc::default(),
    }
}

/// All cases, ready to run.
///
/// # Panics
/// If one does not load.
#[must_use]
pub fn loaded(sandbox: &Sandbox) -> Vec<(Case, Transformer)> {
    cases()
        .into_iter()
        .map(|case| {
            let transformer = sandbox.load(case.name, &case.wasm).expect("fits");
            (case, transformer)
        })
        .collect()
}

/// Renders each case `runs` times, on all render threads at once, and says in a line for each what came out:
/// name, fuel, memory, and the digest of output and logs.
///
/// # Panics
/// If two runs of a case differ.
pub async fn transcript(sandbox: &Sandbox, runs: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for (case, transformer) in loaded(sandbox) {
        // what ends by fuel takes its time, and is no less the same for being tried less often
        let endless = case.name == "an endless loop";
        let runs = if endless { runs.div_ceil(50) } else { runs };
        let renders = (0..runs).map(|_| sandbox.render(&transformer, case.job.clone()));
        let renderings = join_all(renders).await;
        let mut texts = renderings.iter().map(|r| text(case.name, r));
        let first = texts.next().unwrap_or_default();
        if let Some(other) = texts.find(|text| *text != first) {
            panic!("two runs differ:\n{first}\n{other}");
        }
        lines.push(first);
    }
    lines
}

/// All of a rendering but the time it took.
fn text(name: &str, rendering: &Rendering) -> String {
    let kind = match &rendering.output {
        Output::Request(_) => "request".to_owned(),
        Output::Skip(_) => "skip".to_owned(),
        Output::Error(error) => error.kind.to_string(),
    };
    let all = format!("{:?} {:?}", rendering.output, rendering.logs);
    format!(
        "{name}: {kind}, {} fuel, {} bytes, {}",
        rendering.cost.fuel,
        rendering.cost.peak_memory_bytes,
        hex::encode(Sha256::digest(all))
    )
}
