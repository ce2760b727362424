//! The built-in transformer beside CPython's Jinja2: the same templates and contexts, rendered by both, the
//! one in its sandbox.
//!
//! `tests/jinja2/cases` is the corpus. No result in it is written by hand: Jinja2 says each time what is
//! right. `differences.json` names what is known to differ and why; COMPATIBILITY.md is made from it.

mod cases;
mod random;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
};

use hookbox::{
    config::{Config, SandboxConfig},
    sandbox::{ErrorKind, JINJA, Output, RenderJob, Sandbox, SecretHandles, Transformer},
};
use hookbox_tests::python;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("jinja2")
}

/// What became of a template.
#[derive(Clone, Debug)]
enum Answer {
    Text(String),
    /// `syntax` or `runtime`, for hookbox also `limit`, `sandbox` or `skip`, and what was said.
    Error(String, String),
}

impl Answer {
    /// Whether both are the same text, or errors of the same sort.
    fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) | (Self::Error(a, _), Self::Error(b, _)) => a == b,
            _ => false,
        }
    }
}

/// A process with Jinja2 in it.
struct Reference {
    child: Child,
    to: Mutex<Option<ChildStdin>>,
    from: Mutex<Box<dyn BufRead + Send>>,
}

impl Reference {
    fn start() -> Self {
        let mut child = Command::new(python::interpreter())
            .arg(folder().join("render.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let to = child.stdin.take();
        let from = BufReader::new(child.stdout.take().expect("its output"));
        Self {
            child,
            to: Mutex::new(to),
            from: Mutex::new(Box::new(from)),
        }
    }

    /// Renders with a context, given as the text of a JSON object: numbers are to arrive as they are.
    fn render(&self, template: &str, context: &str) -> Answer {
        let (template, context) = (json!(template), context.replace('\n', " "));
        let request = format!(r#"{{"template": {template}, "context": {context}}}"#);
        let mut to = self.to.lock().expect("unpoisoned");
        let to = to.as_mut().expect("an input");
        writeln!(to, "{request}").expect("Python reads");
        to.flush().expect("Python reads");
        let mut line = String::new();
        let mut from = self.from.lock().expect("unpoisoned");
        from.read_line(&mut line).expect("Python answers");
        let answer: Value = serde_json::from_str(&line).expect("JSON");
        match (&answer["text"], &answer["error"]) {
            (Value::String(text), _) => Answer::Text(text.clone()),
            (_, Value::String(sort)) => Answer::Error(
                sort.clone(),
                format!("{}: {}", answer["class"], answer["message"]),
            ),
            _ => panic!("an odd answer: {line}"),
        }
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        drop(self.to.lock().expect("unpoisoned").take());
        let _ = self.child.wait();
    }
}

/// The transformer in its sandbox.
struct Guest {
    sandbox: Sandbox,
    jinja: Transformer,
    runtime: Runtime,
}

impl Guest {
    fn start() -> Self {
        let config = SandboxConfig {
            threads: 2,
            deadline_ms: 5000,
            ..Config::defaults().sandbox
        };
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
        let sandbox = Sandbox::new(&config, Some(&cache)).expect("a sandbox");
        let jinja = sandbox.load("jinja", JINJA).expect("fits");
        let runtime = Runtime::new().expect("a runtime");
        Self {
            sandbox,
            jinja,
            runtime,
        }
    }

    fn render(&self, template: &str, context: &str) -> Answer {
        let webhook = json!({
            "name": "w",
            "payload_url": "https://example.com/",
            "http_method": "POST",
            "http_content_type": "text/plain",
            "additional_headers": "",
            "body_template": template,
            "body_escape": "none",
            "settings": null
        });
        let job = RenderJob {
            event: context.into(),
            webhook: webhook.to_string().into(),
            secrets: Arc::new(SecretHandles(BTreeMap::new())),
            owner: Arc::default(),
        };
        let rendering = self.runtime.block_on(self.sandbox.render(&self.jinja, job));
        match rendering.output {
            Output::Request(request) => {
                Answer::Text(String::from_utf8_lossy(request.body()).into_owned())
            }
            Output::Skip(reason) => Answer::Error("skip".to_owned(), reason),
            Output::Error(error) => {
                let sort = match error.kind {
                    ErrorKind::TemplateSyntax => "syntax",
                    ErrorKind::TemplateRuntime => "runtime",
                    // Without a field it is not the template that ended, but the sandbox.
                    _ if error.field.is_some() => "limit",
                    _ => "sandbox",
                };
                Answer::Error(sort.to_owned(), error.message)
            }
        }
    }
}

/// The transformer's own cases, rendered natively by its own tests, are of whole webhooks.
#[test]
fn cases_of_whole_webhooks_are_what_jinja2_makes() {
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/jinja/tests/jinja2_check.py");
    let output = Command::new(python::interpreter())
        .arg(script)
        .output()
        .expect("Python starts");
    let told = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&told)
    );
    let told = String::from_utf8_lossy(&told);
    assert!(told.trim_end().ends_with("as in Jinja2"), "{told}");
}
