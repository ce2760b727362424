//! The limits of the configuration, one by one, and the exact edge of the fuel.

use hookbox::{
    config::SandboxConfig,
    sandbox::{ErrorKind, Output, Rendering, Sandbox},
};

use super::guest::{assemble, config, echo, render, request};

fn kind(rendering: &Rendering) -> Option<ErrorKind> {
    match &rendering.output {
        Output::Error(error) => Some(error.kind),
        _ => None,
    }
}

/// Loops a thousand times, some ten units of fuel each.
const THOUSAND: &str = r#"(func (export "transform") (param i32 i32 i32 i32) (result i32)
  (local $i i32)
  (loop $again
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $i) (i32.const 1000))))
  (call $send (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))"#;

#[tokio::test]
async fn exactly_enough_fuel_is_enough_and_a_hundredth_less_is_not() {
    let thousand = assemble("thousand", THOUSAND);
    let sandbox = Sandbox::new(&config(), None).expect("a sandbox");
    let transformer = sandbox.load("thousand", &thousand).expect("fits");
    let needed = render(&sandbox, &transformer, "{}").await.cost.fuel;
    assert!((5_000..50_000).contains(&needed), "{needed}");
    // fuel is looked at where functions and loops begin, so the last few instructions are on credit
    for (fuel, enough) in [(needed, true), (needed - needed / 100, false)] {
        let sandbox = Sandbox::new(&SandboxConfig { fuel, ..config() }, None).expect("a sandbox");
        let transformer = sandbox.load("thousand", &thousand).expect("fits");
        let rendering = render(&sandbox, &transformer, "{}").await;
        let want = (!enough).then_some(ErrorKind::OutOfFuel);
        assert_eq!(kind(&rendering), want, "{fuel} of {needed}");
        assert_eq!(rendering.cost.fuel, fuel, "all of it is spent");
    }
}

#[tokio::test]
async fn the_clock_stops_what_fuel_does_not() {
    let sandbox = Sandbox::new(
        &SandboxConfig {
            fuel: u64::MAX >> 1,
            deadline_ms: 40,
            ..config()
        },
        None,
    )
    .expect("a sandbox");
    let endless = assemble(
        "endless",
        r#"(func (export "transform") (param i32 i32 i32 i32) (result i32)
             (loop $forever (br $forever)) (unreachable))"#,
    );
    let endless = sandbox.load("endless", &endless).expect("fits");
    let rendering = render(&sandbox, &endless, "{}").await;
    assert_eq!(kind(&rendering), Some(ErrorKind::Timeout), "{rendering:?}");
    assert!(
        rendering.cost.elapsed_us >= 40_000,
        "not before its time: {:?}",
        rendering.cost
    );
    // and the next one has all its time
    let echo = sandbox.load("echo", &echo()).expect("fits");
    request(&render(&sandbox, &echo, "{}").await);
}

#[tokio::test]
async fn an_event_larger_than_the_guests_memory_limit_is_out_of_memory() {
    let sandbox = Sandbox::new(
        &SandboxConfig {
            memory_bytes: 1 << 20,
            ..config()
        },
        None,
    )
    .expect("a sandbox");
    let transformer = sandbox.load("echo", &echo()).expect("fits");
    let rendering = render(&sandbox, &transformer, &"x".repeat(2 << 20)).await;
    assert_eq!(
        kind(&rendering),
        Some(ErrorKind::OutOfMemory),
        "{rendering:?}"
    );
}

#[tokio::test]
async fn what_a_failing_guest_says_of_itself_is_bounded_and_passed_on() {
    let sandbox = Sandbox::new(&config(), None).expect("a sandbox");
    let failing = assemble(
        "failing",
        &format!(
            r#";; memory 2
               (data (i32.const 4096) "body_template\1b[1m")
               (data (i32.const 16384) "{}")
               (func (export "transform") (param i32 i32 i32 i32) (result i32)
                 (call $fail (i32.const 1) (i32.const 4096) (i32.const 17) (i32.const 16384) (i32.const 50000)))"#,
            "so much to say ".repeat(3400)
        ),
    );
    let failing = sandbox.load("failing", &failing).expect("fits");
    let rendering = render(&sandbox, &failing, "{}").await;
    let Output::Error(error) = rendering.output else {
        panic!("an error: {rendering:?}");
    };
    assert_eq!(error.kind, ErrorKind::TemplateRuntime);
    assert_eq!(error.field.as_deref(), Some("body_template"));
    assert_eq!(error.line, Some(3));
    assert!(
        error.message.starts_with("so much to say so much"),
        "{}",
        error.message
    );
    assert!(error.message.len() <= 1000);
}

#[tokio::test]
async fn a_component_without_check_has_nothing_against_any_webhook() {
    let sandbox = Sandbox::new(&config(), None).expect("a sandbox");
    let transformer = sandbox.load("echo", &echo()).expect("fits");
    assert_eq!(
        sandbox.check(&transformer, "not even JSON".into()).await,
        Ok(())
    );
}

#[tokio::test]
async fn check_runs_under_the_same_limits_as_a_render() {
    let sandbox = Sandbox::new(&config(), None).expect("a sandbox");
    for (body, want) in [
        (
            "(call $send (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))",
            None,
        ),
        (
            "(loop $forever (br $forever)) (unreachable)",
            Some(ErrorKind::OutOfFuel),
        ),
        ("(unreachable)", Some(ErrorKind::Trap)),
        (
            "(i32.store8 (i32.const 2048) (i32.const 1))
             (i32.store8 (i32.const 2052) (i32.const 0))
             (i32.const 2048)",
            Some(ErrorKind::TemplateSyntax),
        ),
    ] {
        let text = format!(
            r#";; beside (func (export "check") (param "webhook" string) (result (result (error $failure))) (canon lift (core func $main "check") (memory $libc "memory") (realloc (func $libc "realloc"))))
(func (export "check") (param i32 i32) (result i32) {body})
(func (export "transform") (param i32 i32 i32 i32) (result i32) (unreachable))"#
        );
        let checking = sandbox
            .load("checking", &assemble("checking", &text))
            .expect("fits");
        let verdict = sandbox.check(&checking, "{}".into()).await;
        assert_eq!(verdict.err().map(|error| error.kind), want, "{body}");
    }
}

#[test]
fn a_check_of_another_type_is_refused_when_loaded() {
    let sandbox = Sandbox::new(&config(), None).expect("a sandbox");
    let text = r#";; beside (func (export "check") (result u32) (canon lift (core func $main "check")))
(func (export "check") (result i32) (i32.const 0))
(func (export "transform") (param i32 i32 i32 i32) (result i32) (unreachable))"#;
    let error = sandbox
        .load("odd", &assemble("odd", text))
        .expect_err("refused");
    assert!(error.to_string().contains("`check`"), "{error}");
}

#[test]
fn a_transformer_is_known_by_its_name_and_digest() {
    let sandbox = Sandbox::new(&config(), None).expect("a sandbox");
    let transformer = sandbox.load("echo", &echo()).expect("fits");
    assert_eq!(transformer.name(), "echo");
    assert_eq!(transformer.sha256().len(), 64);
    assert_eq!(
        transformer.label(),
        format!("echo@{}", &transformer.sha256()[..12])
    );
}
