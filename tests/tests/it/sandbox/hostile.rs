//! Each guest of the corpus ends as its file says, and the next guest feels nothing of it.

use hookbox::sandbox::{Output, RenderError, Sandbox, SandboxError};

use super::guest::{self, Guest, corpus, render, request, sandbox};

#[tokio::test]
async fn each_hostile_guest_ends_as_its_file_says_and_its_neighbour_feels_nothing() {
    let sandbox = sandbox();
    let neighbour = sandbox.load("echo", &guest::echo()).expect("well-behaved");
    let before = render(&sandbox, &neighbour, r#"{"event":"created"}"#).await;

    let mut wrong = Vec::new();
    let corpus = corpus();
    assert!(corpus.len() > 70, "the corpus is there");
    for guest in &corpus {
        let ended = run(&sandbox, guest).await;
        if !matches_expectation(&guest.ends, &ended) {
            wrong.push(format!("{}: {}\n    but: {ended}", guest.name, guest.ends));
        }
        let after = render(&sandbox, &neighbour, r#"{"event":"created"}"#).await;
        assert_eq!(
            request(&after).body(),
            br#"{"event":"created"}"#,
            "after {}",
            guest.name
        );
        assert_eq!(after.cost.fuel, before.cost.fuel, "after {}", guest.name);
        assert_eq!(
            after.cost.peak_memory_bytes, before.cost.peak_memory_bytes,
            "after {}",
            guest.name
        );
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        corpus.len(),
        wrong.join("\n")
    );
}

/// How a guest ends, in one line.
async fn run(sandbox: &Sandbox, guest: &Guest) -> String {
    let transformer = match sandbox.load(&guest.name, &guest.wasm) {
        Ok(transformer) => transformer,
        Err(error) => return format!("is refused: {error}"),
    };
    let rendering = render(sandbox, &transformer, "{}").await;
    assert!(rendering.cost.fuel <= guest::config().fuel);
    assert!(rendering.cost.peak_memory_bytes <= guest::config().memory_bytes as u64);
    match rendering.output {
        Output::Request(_) => "ends in request".to_owned(),
        Output::Skip(_) => "ends in skip".to_owned(),
        Output::Error(RenderError {
            kind,
            field,
            message,
            ..
        }) => {
            assert!(message.len() < 1200, "{}: a short message", guest.name);
            assert!(
                !message.chars().any(char::is_control),
                "{}: a clean message",
                guest.name
            );
            let field = field.map_or_else(String::new, |field| format!(" of {field}"));
            format!("ends in {kind}{field}: {message}")
        }
    }
}

/// `ends in kind[ of field][: words of the message]` or `is refused: words of the message`.
fn matches_expectation(expected: &str, ended: &str) -> bool {
    let (head, words) = expected.split_once(": ").unwrap_or((expected, ""));
    let (ended_head, message) = ended.split_once(": ").unwrap_or((ended, ""));
    // a file may leave the field out
    let head_fits = ended_head == head || ended_head.starts_with(&format!("{head} of "));
    head_fits && message.contains(words)
}

#[tokio::test]
async fn what_is_no_component_is_refused_with_the_way_out() {
    let sandbox = sandbox();
    let precompiled = {
        // the engine's own format begins as an ELF file with its own marks
        let mut elf = b"\x7fELF\x02\x01\x01\xc8\0\0\0\0\0\0\0\0\x03\0".to_vec();
        elf.resize(200, 0);
        elf
    };
    for (bytes, words) in [
        (&b"(component)"[..], "text"),
        (b"  \n(module)", "text"),
        (b"\0asm\x01\0\0\0", "a core module"),
        (b"\0asm\x0e\0\x01\0", "unknown version"),
        (b"\0asm", "something else"),
        (b"", "empty"),
        (b"#!/bin/sh", "something else"),
        (&precompiled, "not a WebAssembly component"),
    ] {
        let error = sandbox.load("x", bytes).expect_err("refused");
        assert!(
            matches!(error, SandboxError::NotAComponent { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains(words), "{error}");
    }
    let huge = vec![0; Sandbox::MAX_COMPONENT_BYTES + 1];
    assert!(matches!(
        sandbox.load("x", &huge),
        Err(SandboxError::TooLarge { .. })
    ));
}

#[test]
fn damaged_components_are_refused_and_never_panic() {
    let sandbox = sandbox();
    let good = guest::echo();
    for cut in (8..good.len()).step_by(37) {
        assert!(
            sandbox.load("cut", &good[..cut]).is_err() || cut == 8,
            "cut at {cut}"
        );
    }
    for flip in (8..good.len()).step_by(23) {
        let mut bad = good.clone();
        bad[flip] ^= 0x55;
        // a flipped bit in a name or a constant may still be a component; it must only not hurt
        drop(sandbox.load("flipped", &bad));
    }
}

#[test]
fn a_refusal_says_nothing_of_this_machine() {
    let sandbox = sandbox();
    for guest in corpus() {
        if let Err(error) = sandbox.load(&guest.name, &guest.wasm) {
            let text = error.to_string();
            assert!(
                !text.contains('/')
                    || text.contains("hookbox:transformer/")
                    || text.contains("wasi:"),
                "{text}"
            );
            assert!(!text.contains("0x7f"), "{text}");
        }
    }
}
