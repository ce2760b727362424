//! Plugins in JavaScript, TypeScript and Python, from `plugin new` on, with the real toolchains.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

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
fn is_accepted(project: &Project, component: &Path, cache: &Path) {
    let mut check = hookbox();
    check.args(["plugin", "check", "--json"]).arg(component);
    let checked = project.run(check.env("XDG_CACHE_HOME", cache));
    let checked: Value = serde_json::from_str(&checked).unwrap();
    assert_eq!(checked["admitted"], true, "{checked:#}");
    // the trial's webhook has no settings
    assert_eq!(checked["trial"]["error"]["kind"], "plugin_error");
    assert_eq!(checked["trial"]["error"]["field"], "settings");
}

/// What the source answers outside of the sandbox is what the component does.
fn runs_natively(project: &Project) {
    let output = hookbox()
        .args([
            "render",
            "--native",
            "--webhook",
            "webhook.json",
            "--event",
            "event.json",
        ])
        .args(["--secret", "token", "--json"])
        .current_dir(project.folder())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["outcome"], "request", "{report:#}");
    let body: Value = serde_json::from_str(report["request"]["body"].as_str().unwrap()).unwrap();
    assert_eq!(
        body,
        json!({"channel": "#network", "text": "dcim.site Zürich: created by jstretch"})
    );
    assert!(
        report["request"]["headers"]
            .to_string()
            .contains(r#"["Authorization","[redacted]"]"#),
        "{report:#}"
    );
    assert!(
        report["warnings"].to_string().contains("no sandbox"),
        "{report:#}"
    );
}

/// What the component sends and does not send.
fn renders(project: &Project, component: &Path, cache: &Path) {
    let sent = render(project, component, &event(project, "created"), cache);
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
    let skipped = render(project, component, &event(project, "deleted"), cache);
    assert_eq!(skipped["outcome"], "skip");
    assert_eq!(skipped["skip_reason"], "deleted events are skipped");
    println!("fuel {}, peak {}", sent["fuel"], sent["peak_memory_bytes"]);
}

#[test]
fn a_new_javascript_project_builds_tests_and_renders_at_once() {
    let project = Project::new(Language::JavaScript);
    let component = project.build();
    let cache = tempfile::tempdir().unwrap();
    is_accepted(&project, &component, cache.path());
    renders(&project, &component, cache.path());
    runs_natively(&project);
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
    let cache = tempfile::tempdir().unwrap();
    renders(&project, &component, cache.path());
    runs_natively(&project);
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
    runs_natively(&project);
    let component = project.build();
    let cache = tempfile::tempdir().unwrap();
    is_accepted(&project, &component, cache.path());
    renders(&project, &component, cache.path());
}

/// Whatever the code does for an event of this name: the kind of error, and words of its message or, where there
/// is no error, of the log.
type Ends = (&'static str, Option<&'static str>, &'static str);

fn each_ends_as_it_should(project: &Project, component: &Path, cache: &Path, cases: &[Ends]) {
    for (name, kind, words) in cases {
        let report = case(project, component, cache, name);
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
const TRAP: Option<&str> = Some("trap");

/// What came of an event of this name.
fn case(project: &Project, component: &Path, cache: &Path, name: &str) -> Value {
    render(project, component, &event(project, name), cache)
}

/// The JSON that an event of this name sends.
fn sends(project: &Project, component: &Path, cache: &Path, name: &str) -> Value {
    let report = case(project, component, cache, name);
    let body = report["request"]["body"].as_str();
    serde_json::from_str(body.unwrap_or_else(|| panic!("{name}: {report:#}"))).unwrap()
}

/// Levels and texts of the log.
fn lines<'a>(report: &'a Value) -> Vec<(&'a str, &'a str)> {
    let lines = report["logs"].as_array().unwrap();
    let text = |line: &'a Value, key| line[key].as_str().unwrap();
    lines
        .iter()
        .map(|line| (text(line, "level"), text(line, "message")))
        .collect()
}

/// The clock shows the event's timestamp, and random numbers follow from event and webhook: the case `random` sends
/// many, of which no two are alike, and which are the same for the same event and others for another.
fn sees_the_stand_in(project: &Project, component: &Path, cache: &Path) {
    let now = sends(project, component, cache, "now").to_string();
    for time in now.trim_matches(['[', ']']).split(',') {
        assert!(time.contains("2026-03-06T15:11:23.503"), "{now}");
    }
    let all = sends(project, component, cache, "random");
    assert_eq!(sends(project, component, cache, "random"), all);
    let mut other = event(project, "random");
    other["data"]["id"] = 2.into();
    let other = render(project, component, &other, cache);
    let other: Value = serde_json::from_str(other["request"]["body"].as_str().unwrap()).unwrap();
    let both = [
        all.as_array().unwrap().clone(),
        other.as_array().unwrap().clone(),
    ]
    .concat();
    let texts: BTreeSet<String> = both.iter().map(Value::to_string).collect();
    assert_eq!(texts.len(), both.len(), "{both:?}");
}

#[test]
fn javascript_sees_the_stand_in_of_the_machine_and_its_failures_name_their_place() {
    let project = Project::new(Language::JavaScript);
    project.write(
        "plugin.js",
        r#"import { Failure, log, send } from './hookbox.js';
import { far } from './lib/far.js';

const random = Math.random;
const deep = () => deep() + 1;
export default function plugin(event) {
  switch (event.event) {
    case 'now': return send({ json: [new Date().toISOString(), new Date(Date.now()).toISOString()] });
    case 'random': return send({ json: [crypto.randomUUID(), crypto.randomUUID(), Math.random(), random(), ...crypto.getRandomValues(new Uint32Array(2))] });
    case 'error': return far(
      event.data);
    case 'failure': throw new Failure('not for me', { kind: 'template-runtime', field: 'body_template', line: 3 });
    case 'text': throw 'just text';
    case 'nothing': return;
    case 'promise': return Promise.resolve(send());
    case 'deep': return deep();
    case 'json': return send({ json: 1n });
    case 'prints': console.log('one', { two: 2 }); log('three', 'debug'); return send({ body: 'x' });
    case 'fetch': return fetch('https://example.com/');
    case 'headers': return send({ headers: new Headers({ a: 'b' }) });
    case 'timer': setTimeout(() => log('later'), 1); return send();
  }
}
"#,
    );
    fs::create_dir_all(project.folder().join("lib")).unwrap();
    project.write(
        "lib/far.js",
        "// one\n// two\nexport const far = (data) =>\n  data.no\n    .such.thing;\n",
    );
    let component = project.build();
    let cache = tempfile::tempdir().unwrap();
    sees_the_stand_in(&project, &component, cache.path());
    each_ends_as_it_should(
        &project,
        &component,
        cache.path(),
        &[
            ("error", FAILURE, "(far.js, line 4)"),
            ("failure", Some("template_runtime"), "not for me"),
            ("text", FAILURE, "just text"),
            ("nothing", FAILURE, "neither send(...) nor skip(...)"),
            ("promise", FAILURE, "asynchronous"),
            ("deep", Some("out_of_fuel"), "loops without end"),
            ("json", FAILURE, "BigInt"),
            ("prints", None, r#"one {\"two\":2}"#),
            (
                "fetch",
                FAILURE,
                "fetch: it needs wasi:http, which is not to be had",
            ),
            ("fetch", FAILURE, "(plugin.js, line 19)"),
            ("headers", FAILURE, "Headers: it needs wasi:http"),
            (
                "timer",
                FAILURE,
                "setTimeout: a transformer answers at once",
            ),
        ],
    );
    let error = case(&project, &component, cache.path(), "error");
    let logged = lines(&error);
    assert_eq!(
        (logged[1], logged[2]),
        (
            ("error", "far@lib/far.js:4"),
            ("error", "plugin@plugin.js:10")
        ),
        "{logged:?}"
    );
}

#[test]
fn python_sees_the_stand_in_of_the_machine_and_its_failures_name_their_place() {
    let project = Project::new(Language::Python);
    project.write(
        "plugin.py",
        r#"import datetime
import os
import random
import sys
import time
import uuid

from hookbox import Failure, log, send


def deep():
    return deep() + 1


def transform(event, webhook):
    match event["event"]:
        case "now":
            return send(json=[f"{datetime.datetime.now()}".replace(" ", "T"), datetime.datetime.fromtimestamp(time.time()).isoformat()])
        case "random":
            import secrets
            return send(json=[str(uuid.uuid4()), str(uuid.uuid4()), random.random(), random.randint(1, 10**9), secrets.token_hex(8)])
        case "error":
            return far(event["data"])
        case "failure":
            raise Failure("not for me", kind="template-runtime", field="body_template", line=3)
        case "exit":
            sys.exit("enough")
        case "nothing":
            return None
        case "deep":
            return deep()
        case "prints":
            print("one", {"two": 2})
            print("three", end="", file=sys.stderr)
            log("four", "debug")
            return send(body=b"x")
        case "logging":
            import logging
            logging.warning("careful %s", 1)
            logging.getLogger("far").error("no\nmore")
            return send(body=b"x")
        case "codec":
            return send(body="€".encode("cp1252").hex())
        case "lazy":
            from html import escape
            import later
            return send(body=escape(later.NAME) + str(datetime.datetime.strptime("2026-01-02", "%Y-%m-%d").year))
        case "module":
            return __import__("nowhere")
        case "file":
            return open("/etc/hostname").read()
        case "socket":
            import socket
            return socket.create_connection(("192.0.2.1", 80))
        case "sleep":
            return time.sleep(1)
        case "quit":
            os._exit(3)


def far(data):
    return data["no"]
"#,
    );
    project.write("later.py", "NAME = '<later>'\n");
    let component = project.build();
    let cache = tempfile::tempdir().unwrap();
    sees_the_stand_in(&project, &component, cache.path());
    each_ends_as_it_should(
        &project,
        &component,
        cache.path(),
        &[
            ("error", FAILURE, "KeyError: 'no' (plugin.py, line 62)"),
            ("failure", Some("template_runtime"), "not for me"),
            ("exit", FAILURE, "SystemExit: enough"),
            ("nothing", FAILURE, "neither send(...) nor skip(...)"),
            ("deep", FAILURE, "RecursionError"),
            ("prints", None, "one {'two': 2}"),
            ("prints", None, "three"),
            (
                "module",
                FAILURE,
                "No module named 'nowhere' in the component, which has no files",
            ),
            ("module", FAILURE, "(plugin.py, line 49)"),
            ("file", FAILURE, "FileNotFoundError"),
            ("socket", TRAP, "it called `wasi:sockets/"),
            (
                "sleep",
                TRAP,
                "it called `wasi:clocks/monotonic-clock#subscribe-",
            ),
            ("quit", TRAP, "it ended itself with `wasi:cli/exit`"),
        ],
    );
    let body = |name| {
        let report = case(&project, &component, cache.path(), name);
        let body = report["request"]["body"].as_str().map(str::to_owned);
        body.unwrap_or_else(|| panic!("{name}: {report:#}"))
    };
    assert_eq!(body("codec"), "80");
    assert_eq!(body("lazy"), "&lt;later&gt;2026");
    let logged = case(&project, &component, cache.path(), "logging");
    let log = [
        ("warn", "careful 1"),
        ("error", "far: no"),
        ("error", "more"),
    ];
    assert_eq!(lines(&logged), log);
    let error = case(&project, &component, cache.path(), "error");
    assert_eq!(
        lines(&error),
        [
            ("error", "Traceback (most recent call last):"),
            ("error", "  plugin.py, line 23, in transform"),
            ("error", "  plugin.py, line 62, in far"),
            ("error", "KeyError: 'no'"),
        ]
    );
}

/// As componentize-js builds it of itself: with HTTP, which is refused.
#[test]
fn a_javascript_component_with_http_is_refused_and_told_how_to_leave_it_out() {
    let project = Project::new(Language::JavaScript);
    let _installed = project.build();
    project.write(
        "http.mjs",
        r"import { componentize } from '@bytecodealliance/componentize-js';
import { writeFileSync } from 'node:fs';
const source = `export const transform = () => ({ tag: 'skip', val: '' });`;
const { component } = await componentize(source, { witPath: 'wit', worldName: 'transformer' });
writeFileSync('dist/http.wasm', component);
",
    );
    let _said = project.run(Command::new("node").arg("http.mjs"));
    let refused = hookbox()
        .args(["plugin", "check", "dist/http.wasm"])
        .current_dir(project.folder())
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let why = stderr(&refused);
    assert!(
        why.contains("wasi:http/") && why.contains("disableFeatures"),
        "{why}"
    );
}
