//! Plugins in JavaScript, TypeScript and Python, from `plugin new` on, with the real toolchains.

use std::{fs, path::Path, process::Command};

use hookbox_tests::{
    plugins::{Language, Project},
    process::{hookbox, stderr},
};
use serde_json::{Value, json};

/// Renders an event with a component; compiled ones are kept in `cache`.
fn render(project: &Project, component: &Path, event: &Value, cache: &Path) -> Value {
    let file = cache.join("event.json");
    fs::write(&file, event.to_string()).unwrap();
    let output = hookbox()
        .args(["render", "--json", "--webhook", "webhook.json", "--plugin"])
        .arg(component)
        .arg("--event")
        .arg(&file)
        .current_dir(project.folder())
        .env("XDG_CACHE_HOME", cache)
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout);
    report.unwrap_or_else(|_| panic!("no report: {}", stderr(&output)))
}

/// The event that comes with a project, or one of another name.
fn event(project: &Project, name: &str) -> Value {
    let text = fs::read(project.folder().join("event.json")).unwrap();
    let mut event: Value = serde_json::from_slice(&text).unwrap();
    event["event"] = name.into();
    event
}

/// What `plugin check` says of a component.
fn is_accepted(project: &Project, component: &Path) {
    let checked = project.run(hookbox().args(["plugin", "check", "--json"]).arg(component));
    let checked: Value = serde_json::from_str(&checked).unwrap();
    assert_eq!(checked["admitted"], true, "{checked:#}");
    assert_eq!(checked["wasi"], json!([]), "it imports none");
    // the trial's webhook has no settings
    assert_eq!(checked["trial"]["error"]["kind"], "plugin_error");
    assert_eq!(checked["trial"]["error"]["field"], "settings");
}

/// What the component sends and does not send.
fn renders(project: &Project, component: &Path) {
    let cache = tempfile::tempdir().unwrap();
    let sent = render(project, component, &event(project, "created"), cache.path());
    assert_eq!(sent["outcome"], "request", "{sent:#}");
    let request = &sent["request"];
    assert_eq!(request["method"], "POST");
    assert_eq!(request["url"], "https://example.com/hook");
    let body: Value = serde_json::from_str(request["body"].as_str().unwrap()).unwrap();
    assert_eq!(
        body,
        json!({"channel": "#network", "text": "dcim.site Zürich: created by jstretch"})
    );
    let headers = request["headers"].to_string().to_lowercase();
    assert!(
        headers.contains(r#"["content-type","application/json"]"#),
        "{headers}"
    );
    let skipped = render(project, component, &event(project, "deleted"), cache.path());
    assert_eq!(skipped["outcome"], "skip");
    assert_eq!(skipped["skip_reason"], "deleted events are skipped");
    println!("fuel {}, peak {}", sent["fuel"], sent["peak_memory_bytes"]);
}

#[test]
fn a_new_javascript_project_builds_tests_and_renders_at_once() {
    let project = Project::new(Language::JavaScript);
    let component = project.build();
    is_accepted(&project, &component);
    renders(&project, &component);
    let tested = project.run(Command::new("npm").arg("test"));
    assert!(
        tested.contains("# pass 3") && tested.contains("# fail 0"),
        "{tested}"
    );
}

#[test]
fn a_new_typescript_project_builds_tests_and_renders_at_once() {
    let project = Project::new(Language::TypeScript);
    let component = project.build();
    renders(&project, &component);
    let tested = project.run(Command::new("npm").arg("test"));
    assert!(
        tested.contains("# pass 3") && tested.contains("# fail 0"),
        "{tested}"
    );
    project.write("plugin.ts", "export default (): string => 7;\n");
    let types = Command::new("npm")
        .arg("test")
        .current_dir(project.folder())
        .output()
        .unwrap();
    assert!(!types.status.success(), "types are checked");
}

#[test]
fn a_new_python_project_builds_tests_and_renders_at_once() {
    let project = Project::new(Language::Python);
    let tested = project.run(Command::new("python3").args(["-m", "unittest"]));
    assert!(
        tested.contains("Ran 3 tests") && tested.contains("OK"),
        "{tested}"
    );
    let component = project.build();
    is_accepted(&project, &component);
    renders(&project, &component);
}

/// Whatever the code does for an event of this name: the kind of error, and words of its message or, where there
/// is no error, of the log.
type Ends = (&'static str, Option<&'static str>, &'static str);

fn each_ends_as_it_should(project: &Project, component: &Path, cases: &[Ends]) {
    let cache = tempfile::tempdir().unwrap();
    for (name, kind, words) in cases {
        let report = render(project, component, &event(project, name), cache.path());
        let error = &report["error"];
        assert_eq!(error["kind"].as_str(), *kind, "{name}: {report:#}");
        let said = match kind {
            Some(_) => error["message"].to_string(),
            None => report["logs"].to_string(),
        };
        assert!(said.contains(words), "{name}: {report:#}");
    }
}

const FAILURE: Option<&str> = Some("plugin_error");

#[test]
fn whatever_javascript_throws_is_a_failure_that_says_so() {
    let project = Project::new(Language::JavaScript);
    project.write(
        "plugin.js",
        r#"import { Failure, log, send } from './hookbox.js';
const deep = () => deep() + 1;
export default function plugin(event) {
  switch (event.event) {
    case 'error': return event.data.no.such.thing;
    case 'failure': throw new Failure('not for me', { kind: 'template-runtime', field: 'body_template', line: 3 });
    case 'text': throw 'just text';
    case 'nothing': return;
    case 'promise': return Promise.resolve(send());
    case 'deep': return deep();
    case 'json': return send({ json: 1n });
    case 'prints': console.log('one', { two: 2 }); log('three', 'debug'); return send({ body: 'x' });
  }
}
"#,
    );
    let component = project.build();
    each_ends_as_it_should(
        &project,
        &component,
        &[
            ("error", FAILURE, "TypeError: "),
            ("failure", Some("template_runtime"), "not for me"),
            ("text", FAILURE, "just text"),
            ("nothing", FAILURE, "neither send(...) nor skip(...)"),
            ("promise", FAILURE, "asynchronous"),
            ("deep", Some("out_of_fuel"), "loops without end"),
            ("json", FAILURE, "BigInt"),
            ("prints", None, r#"one {\"two\":2}"#),
        ],
    );
}

#[test]
fn whatever_python_raises_is_a_failure_that_says_so() {
    let project = Project::new(Language::Python);
    project.write(
        "plugin.py",
        r#"import random
import sys

from hookbox import Failure, log, send


def deep():
    return deep() + 1


def transform(event, webhook):
    match event["event"]:
        case "error":
            return event["data"]["no"]
        case "failure":
            raise Failure("not for me", kind="template-runtime", field="body_template", line=3)
        case "exit":
            sys.exit("enough")
        case "nothing":
            return None
        case "deep":
            return deep()
        case "prints":
            print("one", {"two": 2}, random.random() < 1)
            print("three", end="", file=sys.stderr)
            log("four", "debug")
            return send(body=b"x")
"#,
    );
    let component = project.build();
    each_ends_as_it_should(
        &project,
        &component,
        &[
            ("error", FAILURE, "KeyError: 'no' (plugin.py, line 14)"),
            ("failure", Some("template_runtime"), "not for me"),
            ("exit", FAILURE, "SystemExit: enough"),
            ("nothing", FAILURE, "neither send(...) nor skip(...)"),
            ("deep", FAILURE, "RecursionError"),
            ("prints", None, "one {'two': 2} True"),
            ("prints", None, "three"),
        ],
    );
}

/// As componentize-js builds it of itself, but for HTTP: clocks, random numbers and output are WASI's.
#[test]
fn a_javascript_component_that_imports_wasi_gets_the_stand_in() {
    let project = Project::new(Language::JavaScript);
    let _installed = project.build();
    project.write(
        "wasi.mjs",
        r"import { componentize } from '@bytecodealliance/componentize-js';
import { writeFileSync } from 'node:fs';
const source = `
export function transform(event, webhook) {
  console.log('now', new Date().toISOString());
  console.error('oops');
  const body = new TextEncoder().encode(JSON.stringify([Math.random(), [...crypto.getRandomValues(new Uint8Array(4))]]));
  return { tag: 'send', val: { method: 'POST', url: 'https://example.com/', headers: [], body } };
}`;
const options = { witPath: 'wit', worldName: 'transformer', disableFeatures: process.argv.slice(3) };
const { component } = await componentize(source, options);
writeFileSync(process.argv[2], component);
",
    );
    let make = |file: &str, without: &[&str]| {
        let _said = project.run(Command::new("node").args(["wasi.mjs", file]).args(without));
        project.folder().join(file)
    };
    let all = make("dist/all.wasm", &[]);
    let refused = hookbox()
        .args(["plugin", "check"])
        .arg(&all)
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let why = stderr(&refused);
    assert!(
        why.contains("wasi:http/") && why.contains("disableFeatures"),
        "{why}"
    );

    let component = make("dist/wasi.wasm", &["http", "fetch-event"]);
    let cache = tempfile::tempdir().unwrap();
    let event = event(&project, "created");
    let first = render(&project, &component, &event, cache.path());
    let again = render(&project, &component, &event, cache.path());
    assert_eq!(first["outcome"], "request", "{first:#}");
    assert_eq!(
        first["logs"],
        json!([
            {"level": "info", "message": "now 2026-03-06T15:11:23.503Z"},
            {"level": "warn", "message": "oops"},
        ])
    );
    for pointer in ["/request/body", "/fuel", "/logs"] {
        assert_eq!(first.pointer(pointer), again.pointer(pointer), "{pointer}");
    }
    let mut other = event;
    other["data"]["id"] = 2.into();
    let other = render(&project, &component, &other, cache.path());
    assert_ne!(first["request"]["body"], other["request"]["body"]);
}
