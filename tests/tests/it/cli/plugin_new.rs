//! `hookbox plugin new`: from nothing to a component that is admitted and renders.

use std::process::Command;

use hookbox_tests::process::{hookbox, stderr, stdout};
use serde_json::{Value, json};

#[test]
fn a_new_project_builds_tests_and_renders_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], within: &str| {
        let output = hookbox()
            .args(arguments)
            .current_dir(folder.path().join(within))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            stderr(&output)
        );
        stdout(&output)
    };
    run(&["plugin", "new", "my-plugin"], "");
    let project = folder.path().join("my-plugin");
    let tested = Command::new("cargo")
        .args(["test", "--quiet"])
        .current_dir(&project)
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .unwrap();
    assert!(
        tested.status.success(),
        "{}{}",
        stdout(&tested),
        stderr(&tested)
    );
    assert!(stdout(&tested).contains("3 passed"), "{}", stdout(&tested));

    let built = run(&["plugin", "build"], "my-plugin");
    assert!(built.contains("dist/my-plugin.wasm"), "{built}");
    let checked = run(&["plugin", "check", "dist/my-plugin.wasm"], "my-plugin");
    assert!(checked.contains("accepted"), "{checked}");
    let rendered = run(
        &[
            "render",
            "--plugin",
            "dist/my-plugin.wasm",
            "--webhook",
            "webhook.json",
            "--event",
            "event.json",
            "--json",
        ],
        "my-plugin",
    );
    let rendered: Value = serde_json::from_str(&rendered).unwrap();
    assert_eq!(rendered["outcome"], "request", "{rendered:#}");
    let body: Value = serde_json::from_str(rendered["request"]["body"].as_str().unwrap()).unwrap();
    assert_eq!(
        body,
        json!({"channel": "#network", "text": "dcim.site Zürich: created by jstretch"})
    );
    println!(
        "fuel {}, peak {}",
        rendered["fuel"], rendered["peak_memory_bytes"]
    );

    // a panic keeps its message and its place
    let source = project.join("src/lib.rs");
    let before = std::fs::read_to_string(&source).unwrap();
    let line = "    let what = event.event_type();\n";
    let panics = format!("{line}    assert_ne!(what, \"created\", \"not for me\");\n");
    std::fs::write(&source, before.replace(line, &panics)).unwrap();
    let at = before.lines().position(|l| l == line.trim_end()).unwrap() + 2;
    run(&["plugin", "build"], "my-plugin");
    let output = hookbox()
        .args([
            "render",
            "--plugin",
            "dist/my-plugin.wasm",
            "--webhook",
            "webhook.json",
        ])
        .args(["--event", "event.json", "--json"])
        .current_dir(&project)
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["error"]["kind"], "trap", "{report:#}");
    let message = report["error"]["message"].as_str().unwrap();
    let place = format!("it stopped itself after it logged: panicked at src/lib.rs:{at}:5: ");
    assert!(
        message.contains(&place) && message.contains("not for me"),
        "{message}"
    );
    assert_eq!(report["logs"][0]["level"], "error", "{report:#}");
}

#[test]
fn a_folder_that_exists_or_cannot_be_a_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, code| {
        let mut command = hookbox();
        command
            .args(["plugin", "new", name])
            .current_dir(folder.path());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{name}");
        stderr(&output)
    };
    std::fs::create_dir(folder.path().join("taken")).unwrap();
    assert!(refused("taken", 1).contains("exists"));
    for name in ["My", "a b", "..", "/"] {
        assert!(refused(name, 2).contains("name"), "{name}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
