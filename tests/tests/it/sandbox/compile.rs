//! Components compiled in processes of their own: the same result, and an end to what has none.

use std::path::PathBuf;

use hookbox::{
    config::SandboxConfig,
    sandbox::{JINJA, Sandbox, SandboxError},
};

use super::guest::{assemble, config, corpus, echo, render, request, sandbox};

fn apart() -> Sandbox {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_compiler"));
    Sandbox::with_compiler(&config(), None, program).expect("a sandbox")
}

#[tokio::test]
async fn a_component_compiled_apart_runs_as_one_compiled_here() {
    let (apart, here) = (apart(), sandbox());
    for (name, wasm) in [("echo", &echo()[..]), ("jinja", JINJA)] {
        let mut renderings = Vec::new();
        for sandbox in [&apart, &here] {
            let transformer = sandbox.load(name, wasm).expect("fits");
            renderings.push(render(sandbox, &transformer, "{}").await);
        }
        assert_eq!(renderings[0].cost.fuel, renderings[1].cost.fuel, "{name}");
        assert_eq!(
            format!("{:?}", renderings[0].output),
            format!("{:?}", renderings[1].output),
            "{name}"
        );
    }
}

#[test]
fn what_is_refused_here_is_refused_apart_in_the_same_words() {
    let (apart, here) = (apart(), sandbox());
    let mut refused = 0;
    for guest in corpus() {
        let (a, h) = (
            apart.load(&guest.name, &guest.wasm),
            here.load(&guest.name, &guest.wasm),
        );
        let words = |result: Result<_, SandboxError>| result.map(drop).map_err(|e| e.to_string());
        let (a, h) = (words(a), words(h));
        refused += usize::from(h.is_err());
        assert_eq!(a, h, "{}", guest.name);
    }
    assert!(refused > 20, "{refused}");
}

#[tokio::test]
async fn a_component_that_takes_too_much_to_compile_is_refused_and_the_next_one_is_not() {
    let config = SandboxConfig {
        compile_seconds: 1,
        ..config()
    };
    let program = PathBuf::from(env!("CARGO_BIN_EXE_compiler"));
    let sandbox = Sandbox::with_compiler(&config, None, program).expect("a sandbox");
    // a hundred kilobytes in which thousands of loops each carry thousands of variables
    let (locals, loops) = (2000, 2000);
    let body: String = (0..locals)
        .map(|i| {
            format!(
                "(local.set {i} (i64.add (local.get {i}) (local.get {})))\n",
                (i + 1) % locals
            )
        })
        .collect();
    let bomb = assemble(
        "bomb",
        &format!(
            r#"(func (result i64) (local {}) {} {body} {} local.get 0)
               (func (export "transform") (param i32 i32 i32 i32) (result i32) (unreachable))"#,
            "i64 ".repeat(locals),
            "loop ".repeat(loops),
            "local.get 0 i64.eqz br_if 0 end ".repeat(loops),
        ),
    );
    assert!(bomb.len() < 200_000, "{}", bomb.len());
    let error = sandbox.load("bomb", &bomb).expect_err("refused");
    assert!(error.is_refusal(), "{error}");
    assert!(
        error.to_string().contains("sandbox.compile_seconds"),
        "{error}"
    );
    let echo = sandbox.load("echo", &echo()).expect("fits");
    request(&render(&sandbox, &echo, "{}").await);
}

#[test]
fn a_compiler_that_cannot_be_started_is_no_fault_of_the_component() {
    let sandbox = Sandbox::with_compiler(&config(), None, PathBuf::from("/nowhere/hookbox"));
    let error = sandbox
        .expect("a sandbox")
        .load("echo", &echo())
        .expect_err("refused");
    assert!(matches!(error, SandboxError::Compiler(_)), "{error}");
    assert!(!error.is_refusal());
}

#[tokio::test]
async fn a_component_that_compiles_to_too_much_is_refused_and_the_next_one_is_not() {
    let config = SandboxConfig {
        compiled_bytes: 512 << 10,
        ..config()
    };
    let program = PathBuf::from(env!("CARGO_BIN_EXE_compiler"));
    let sandbox = Sandbox::with_compiler(&config, None, program).expect("a sandbox");
    let calls = "(call_indirect $none (type $nothing) (i32.const 0))\n".repeat(1000);
    let functions: String = (0..30).map(|_| format!("(func {calls})\n")).collect();
    let bomb = assemble(
        "bomb",
        &format!(
            r#"(type $nothing (func)) (table $none 1 1 funcref) {functions}
               (func (export "transform") (param i32 i32 i32 i32) (result i32) (unreachable))"#
        ),
    );
    assert!(bomb.len() < 512 << 10, "{}", bomb.len());
    let error = sandbox.load("bomb", &bomb).expect_err("refused");
    assert!(error.is_refusal(), "{error}");
    let words = "more than 524288 bytes for the machine code (sandbox.compiled_bytes)";
    assert!(error.to_string().contains(words), "{error}");
    let echo = sandbox.load("echo", &echo()).expect("fits");
    request(&render(&sandbox, &echo, "{}").await);
}
