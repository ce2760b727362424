//! What a plugin must pass before it may run.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use hookbox::{
    config::{Config, PluginConfig, SandboxConfig},
    sandbox::{Admitted, JINJA, Measure, Output, Refusal, Sandbox, SandboxError, survey},
};
use proptest::prelude::*;
use wit_component::{DecodedWasm, StringEncoding, embed_component_metadata};

use super::guest::{assemble, config, corpus, echo, folder, render, request};

fn limits() -> PluginConfig {
    Config::defaults().plugins
}

fn compiler() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_compiler"))
}

fn apart(config: &SandboxConfig) -> Sandbox {
    Sandbox::with_compiler(config, None, compiler()).expect("a sandbox")
}

/// A sandbox in which whatever reaches the compiler fails as no plugin's fault.
fn without_compiler() -> Sandbox {
    let nowhere = PathBuf::from("/nowhere/hookbox");
    Sandbox::with_compiler(&config(), None, nowhere).expect("a sandbox")
}

fn admit(sandbox: &Sandbox, wasm: &[u8]) -> Result<Admitted, SandboxError> {
    sandbox.admit("plugin", wasm, &limits())
}

#[tokio::test]
async fn a_transformer_is_admitted_and_runs() {
    let sandbox = apart(&config());
    let admitted = admit(&sandbox, &echo()).expect("admitted");
    assert_eq!(admitted.component, echo());
    assert_eq!(admitted.survey.exports, ["transform"]);
    assert_eq!(admitted.survey.figure(Measure::Modules), 2);
    assert!(admitted.compiled_bytes > 1000, "{admitted:?}");
    let rendering = render(&sandbox, &admitted.transformer, "{}").await;
    assert_eq!(request(&rendering).body(), b"{}");
}

/// Each file's first line says what the refusal must say, and none of them reaches a compiler.
#[test]
fn each_bomb_is_refused_as_its_file_says_before_anything_is_compiled() {
    let sandbox = without_compiler();
    let bombs = folder("refused");
    assert!(bombs.len() > 20, "the corpus is there");
    let mut wrong = Vec::new();
    for bomb in &bombs {
        let words = bomb.ends.strip_prefix("is refused: ").expect("a refusal");
        let started = Instant::now();
        let refused = match admit(&sandbox, &bomb.wasm) {
            Err(error @ SandboxError::Structure(_)) => error.to_string(),
            other => format!("not refused: {other:?}"),
        };
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "{}: {:?}",
            bomb.name,
            started.elapsed()
        );
        if !refused.contains(words) {
            wrong.push(format!("{}: {words}\n    but: {refused}", bomb.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_hostile_guests_are_made_of_passes_the_survey() {
    // they are for the sandbox to stop, which is tested with them: the survey must not hide that
    for guest in corpus() {
        if let Err(refusal) = survey(&guest.wasm, &limits()) {
            panic!("{}: {refusal}", guest.name);
        }
    }
}

#[test]
fn what_is_no_wasm_binary_is_refused_by_name() {
    let sandbox = without_compiler();
    let mut precompiled = b"\x7fELF\x02\x01\x01\xc8\0\0\0\0\0\0\0\0\x03\0".to_vec();
    precompiled.resize(200, 0);
    for (bytes, words) in [
        (&b"(component)"[..], "WebAssembly text"),
        (b"\n(module)", "WebAssembly text"),
        (b"\0asm\x0e\0\x01\0", "unknown version"),
        (b"\0asN\x0d\0\x01\0", "something else"),
        (b"", "empty"),
        (&precompiled, "not a WebAssembly component"),
        (b"\0asm\x01\0\0\0", "core module without a component type"),
        (
            b"\0asm\x0d\0\x01\0\x63\x01\0",
            "of a kind that is not known (section 99)",
        ),
    ] {
        let error = admit(&sandbox, bytes).expect_err("refused");
        assert!(
            error.is_refusal() && error.to_string().contains(words),
            "{error}"
        );
    }
    let small = PluginConfig {
        bytes: 100,
        ..limits()
    };
    let error = sandbox.admit("x", &echo(), &small).expect_err("refused");
    assert!(error.to_string().contains("plugins.bytes"), "{error}");
}

#[test]
fn a_file_that_is_cut_off_is_refused_wherever_it_is_cut() {
    let good = echo();
    let mut damaged = 0;
    for cut in 9..good.len() {
        match survey(&good[..cut], &limits()) {
            Err(Refusal::Damaged { place, .. }) => {
                assert!(place.offset <= cut as u64);
                damaged += 1;
            }
            // between two sections the rest may be missing unseen; the compiler sees it
            Ok(_) => {}
            Err(other) => panic!("{cut}: {other}"),
        }
    }
    assert!(damaged > good.len() - 100, "{damaged} of {}", good.len());
}

/// A core module such as compilers make, with the component type of the world's.
fn core_module() -> Vec<u8> {
    let mut module = wat::parse_str(
        r#"(module
             (import "hookbox:transformer/host@1.0.0" "secret" (func $secret (param i32 i32 i32)))
             (memory (export "memory") 1)
             (data (i32.const 8) "\00\00\00\00\01\00\00\00\40\00\00\00\04\00\00\00")
             (data (i32.const 64) "core")
             (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
             (func (export "check") (param i32 i32) (result i32) (i32.const 128))
             (func (export "transform") (param i32 i32 i32 i32) (result i32)
               (call $secret (i32.const 64) (i32.const 4) (i32.const 512))
               (i32.const 8)))"#,
    )
    .expect("a module");
    let DecodedWasm::Component(resolve, world) = wit_component::decode(JINJA).expect("decoded")
    else {
        panic!("jinja is a component");
    };
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)
        .expect("embedded");
    module
}

#[tokio::test]
async fn a_core_module_with_a_component_type_becomes_a_component() {
    let here = Sandbox::new(&config(), None).expect("a sandbox");
    for sandbox in [here, apart(&config())] {
        let admitted = admit(&sandbox, &core_module()).expect("admitted");
        assert!(admitted.component.starts_with(b"\0asm\x0d\0\x01\0"));
        let rendering = render(&sandbox, &admitted.transformer, "{}").await;
        assert!(
            matches!(&rendering.output, Output::Skip(reason) if reason == "core"),
            "{rendering:?}"
        );
    }
}

#[test]
fn a_core_module_that_cannot_become_a_component_is_refused_in_words() {
    let mut module = core_module();
    let name = module
        .windows(9)
        .position(|bytes| bytes == b"transform")
        .expect("an export");
    module[name] = b'T';
    let error = admit(&apart(&config()), &module).expect_err("refused");
    assert!(error.is_refusal(), "{error}");
    assert!(
        error
            .to_string()
            .contains("no component can be made of this core module"),
        "{error}"
    );
}

/// Functions just within the limits, which take a while and hundreds of megabytes to compile.
fn large() -> Vec<u8> {
    let step = "(i64.store (local.get 0) (i64.mul (i64.load (local.get 0)) (i64.const 3)))\n";
    let function = format!("(func (param i32) {})\n", step.repeat(70_000));
    assemble(
        "large",
        &format!(
            r#"{} (func (export "transform") (param i32 i32 i32 i32) (result i32) (unreachable))"#,
            function.repeat(3)
        ),
    )
}

fn too_expensive(config: &SandboxConfig, wasm: &[u8]) -> (u64, &'static str) {
    match admit(&apart(config), wasm) {
        Err(SandboxError::TooExpensive { limit, key, .. }) => (limit, key),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_compiler_that_uses_up_its_cpu_or_memory_is_stopped_and_the_refusal_says_how_much() {
    let large = large();
    let slow = SandboxConfig {
        compile_seconds: 1,
        ..config()
    };
    assert_eq!(too_expensive(&slow, &large), (1, "sandbox.compile_seconds"));
    // a part of it is the program itself
    let little = 400 << 20;
    let small = SandboxConfig {
        compile_memory_bytes: little,
        ..config()
    };
    assert_eq!(
        too_expensive(&small, &large),
        (little, "sandbox.compile_memory_bytes")
    );
}

fn script(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("compiler");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("executable");
    path
}

#[test]
fn a_compiler_that_does_nothing_is_stopped_by_the_clock() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = script(folder.path(), "exec sleep 600");
    let config = SandboxConfig {
        compile_seconds: 1,
        ..config()
    };
    let sandbox = Sandbox::with_compiler(&config, None, program).expect("a sandbox");
    let started = Instant::now();
    let error = admit(&sandbox, &echo()).expect_err("stopped");
    assert!(error.to_string().contains("in 10 seconds"), "{error}");
    assert!(!error.is_refusal(), "no plugin's fault");
    assert!(started.elapsed() >= Duration::from_secs(10));
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_compiler_that_answers_nonsense_loads_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    for (answer, refused) in [
        (r"printf '\0not an artifact'", true),
        (r"printf '\0'", true),
        (r"printf '\1too bad'", true),
        ("exit 3", false),
        ("exit 1", true),
        ("kill -KILL $$", false),
    ] {
        let program = script(folder.path(), &format!("cat >/dev/null\n{answer}"));
        let sandbox = Sandbox::with_compiler(&config(), None, program).expect("a sandbox");
        let error = admit(&sandbox, &echo()).expect_err(answer);
        assert_eq!(error.is_refusal(), refused, "{answer}: {error}");
    }
}

#[test]
fn a_compiler_process_keeps_its_pipes_alone_and_is_limited_before_it_reads() {
    let settings = serde_json::to_string(&config()).expect("JSON");
    let mut child = Command::new("sh")
        .args([
            "-c",
            r#"exec 7</dev/null 9</dev/zero; exec "$0" __compile-component compile "$1""#,
        ])
        .arg(compiler())
        .arg(settings)
        .env("SECRET", "hush")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("a process");
    let proc = PathBuf::from(format!("/proc/{}", child.id()));
    let descriptors = || {
        let entries = fs::read_dir(proc.join("fd")).expect("its descriptors");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        names
            .map(|name| name.to_string_lossy().into_owned())
            .collect::<BTreeSet<_>>()
    };
    let limits = || fs::read_to_string(proc.join("limits")).expect("its limits");
    let limited = |name: &str, soft: &str| {
        limits().lines().any(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.split_whitespace().next() == Some(soft))
        })
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while !limited("Max open files", "16") && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(descriptors(), ["0", "1", "2"].map(str::to_owned).into());
    assert!(limited("Max cpu time", "60"), "{}", limits());
    assert!(limited("Max address space", "2147483648"), "{}", limits());
    assert!(limited("Max core file size", "0"), "{}", limits());
    assert!(limited("Max file size", "0"), "{}", limits());
    let mut stdin = child.stdin.take().expect("its input");
    stdin.write_all(b"nothing").expect("it still reads");
    drop(stdin);
    assert!(child.wait().expect("ended").success());
}

/// What is changed in a good file: where, and to what.
fn damage() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)
}

fn damaged(wasm: &[u8], changes: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    let mut wasm = wasm.to_vec();
    for (at, byte) in changes {
        let at = at.index(wasm.len());
        wasm[at] = *byte;
    }
    wasm
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn damaged_guests_are_surveyed_or_refused_and_never_panic(changes in damage()) {
        for guest in corpus() {
            let _ = survey(&damaged(&guest.wasm, &changes), &limits());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]
    #[test]
    fn whatever_becomes_of_damaged_plugins_is_their_own_fault(changes in damage(), core: bool) {
        let sandbox = apart(&config());
        let good = if core { core_module() } else { echo() };
        // not the first eight bytes: those are tested above
        let mut wasm = damaged(&good, &changes);
        wasm[..8].copy_from_slice(&good[..8]);
        if let Err(error) = admit(&sandbox, &wasm) {
            let text = error.to_string();
            prop_assert!(error.is_refusal(), "{}", text);
            prop_assert!(text.len() < 1500 && !text.chars().any(char::is_control), "{}", text);
        }
    }
}
