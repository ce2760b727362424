//! `hookbox plugin check`: what a plugin must pass, on its author's machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use hookbox_tests::{
    guest::assemble,
    process::{hookbox, stderr, stdout},
};
use serde_json::Value;

const JINJA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/dist/jinja.wasm");

fn check(file: impl AsRef<Path>, arguments: &[&str]) -> Output {
    hookbox()
        .args(["plugin", "check"])
        .arg(file.as_ref())
        .args(arguments)
        .output()
        .unwrap()
}

/// A guest of the sandbox's corpus, in a file.
fn guest(folder: &Path, name: &str, main: &str) -> PathBuf {
    let file = folder.join(name);
    fs::write(&file, assemble(name, main)).unwrap();
    file
}

const TRANSFORM: &str = r#"(func (export "transform")
    (param $event i32) (param $event-len i32) (param i32 i32) (result i32)"#;

#[test]
fn what_a_plugin_imports_exports_weighs_and_costs_is_printed() {
    let output = check(JINJA, &[]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    for words in [
        "Imports    hookbox:transformer/host@1.0.0",
        "Exports    check, transform",
        "Smoke test request",
        "Component ",
        "Largest    function ",
        "Compiled  ",
        " fuel, ",
        "Verdict    accepted",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn the_same_is_there_as_json_and_the_trial_is_of_the_event_that_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let echo = guest(
        folder.path(),
        "echo.wasm",
        &format!(
            "{TRANSFORM} (call $log (i32.const 1) (local.get $event) (local.get $event-len)) (call $send (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))"
        ),
    );
    let event = folder.path().join("event.json");
    fs::write(
        &event,
        r#"{"event":"updated","object_type":"a.b","data":{}}"#,
    )
    .unwrap();
    let output = check(&echo, &["--json", "--event", event.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["admitted"], true);
    assert_eq!(report["figures"]["modules"], 2);
    assert_eq!(
        report["component_bytes"],
        fs::metadata(&echo).unwrap().len()
    );
    assert!(report["compiled_bytes"].as_u64().unwrap() > 0);
    let trial = &report["trial"];
    assert_eq!(trial["outcome"], "request");
    assert!(trial["fuel"].as_u64().unwrap() > 0);
    assert_eq!(trial["peak_memory_bytes"], 65536);
    let logged = trial["logs"][0]["message"].as_str().unwrap();
    assert!(logged.contains("updated"), "{logged}");
}

#[test]
fn what_one_command_compiled_the_next_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let main = |n: u32| {
        format!(
            "{TRANSFORM} (drop (i32.const {n})) (call $send (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))"
        )
    };
    let [first, second] = [1, 2].map(|n| guest(folder.path(), &format!("{n}.wasm"), &main(n)));
    let webhook = folder.path().join("webhook.json");
    fs::write(&webhook, r#"{"payload_url": "https://example.com/"}"#).unwrap();
    let event = folder.path().join("event.json");
    fs::write(
        &event,
        r#"{"event":"updated","object_type":"a.b","data":{}}"#,
    )
    .unwrap();
    let cache = folder.path().join("cache");
    let run = |arguments: &[&str], file: &Path| {
        let output = hookbox()
            .args(arguments)
            .arg(file)
            .args(["--json", "--event", event.to_str().unwrap()])
            .env("XDG_CACHE_HOME", &cache)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        report["compiled_before"].clone()
    };
    let check = ["plugin", "check"];
    let render = ["render", "--webhook", webhook.to_str().unwrap(), "--plugin"];
    let artifacts = || {
        let files = fs::read_dir(cache.join("hookbox/cache")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".bin")).count()
    };
    assert_eq!(run(&check, &first), false);
    assert_eq!(artifacts(), 1);
    assert_eq!(run(&check, &first), true);
    let _rendered = run(&render, &first);
    assert_eq!(artifacts(), 1, "the same one");
    let _rendered = run(&render, &second);
    assert_eq!(run(&check, &second), true);
}

#[test]
fn a_plugin_that_fails_the_smoke_test_is_refused_with_its_cost() {
    let folder = tempfile::tempdir().unwrap();
    let spin = guest(
        folder.path(),
        "spin.wasm",
        &format!("{TRANSFORM} (loop $more (br $more)) (unreachable))"),
    );
    let output = check(&spin, &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["admitted"], false);
    let kind = report["trial"]["error"]["kind"].as_str().unwrap();
    assert!(["out_of_fuel", "timeout"].contains(&kind), "{kind}");
    let error = stderr(&output);
    assert!(
        error.contains("spin.wasm: the smoke test failed: ") && error.lines().count() == 1,
        "{error}"
    );
}

#[test]
fn a_plugin_that_is_refused_is_told_why_in_one_line_and_exit_code_1() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let bomb = format!("(component (core module {}))", "(func)".repeat(100_001));
    let wasi = r#"(component (import "wasi:http/types@0.2.0" (instance)))"#;
    for (path, words) in [
        (file("text.wasm", b"(component)"), "WebAssembly text"),
        (
            file("cut.wasm", &fs::read(JINJA).unwrap()[..5000]),
            "is damaged",
        ),
        (
            file("bomb.wasm", &wat::parse_str(bomb).unwrap()),
            "100001 functions, of which there may be 100000 (plugins.functions)",
        ),
        (
            file("wasi.wasm", &wat::parse_str(wasi).unwrap()),
            "imports `wasi:http/types@0.2.0`",
        ),
        (
            file("empty.wasm", &wat::parse_str("(component)").unwrap()),
            "does not fit the world",
        ),
        (folder.path().join("missing.wasm"), "cannot read"),
    ] {
        let output = check(&path, &[]);
        assert_eq!(output.status.code(), Some(1), "{}", path.display());
        let error = stderr(&output);
        assert!(error.contains(words), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn the_limits_are_those_of_the_configuration() {
    let output = hookbox()
        .args(["plugin", "check", JINJA])
        .env("HOOKBOX__PLUGINS__FUNCTIONS", "100")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = stderr(&output);
    assert!(error.contains("(plugins.functions)"), "{error}");
}
