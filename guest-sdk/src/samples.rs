//! Samples: folders with an event, a webhook, and the request that must come of them.

use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::{Value, json};

use crate::testing::set_secret;
use crate::{Decision, Event, Failure, Webhook};

/// Runs a transformer on each sample of a project and compares what it decides.
///
/// A sample is a folder with three JSON files: `event.json`, `webhook.json` (as for `hookbox render`) and
/// `request.json`, what must come of them: `{"method", "url", "headers": [[name, value]…], "body"}` with a JSON
/// body as JSON and any other as text, `{"skip": reason}`, or `{"failure": {"kind", "field", "message"}}`. The
/// project's folder itself is one, and each folder in its `samples`. The project's `secrets.json`, a list of
/// names, says which secrets there are; the handle of `token` is `handle_of_token`.
///
/// With the environment variable `WRITE_SAMPLES` set, `request.json` is written instead: look at the difference
/// before you commit it.
///
/// ```no_run
/// # use hookbox_guest::{Decision, Event, Failure, Webhook};
/// # fn transform(_: &Event, _: &Webhook) -> Result<Decision, Failure> { Ok(Decision::skip("")) }
/// #[test]
/// fn samples_come_out_as_written() {
///     hookbox_guest::testing::check_samples(env!("CARGO_MANIFEST_DIR"), transform);
/// }
/// ```
///
/// # Panics
/// If a sample comes out otherwise, or cannot be read.
pub fn check_samples(
    project: impl AsRef<Path>,
    transform: fn(&Event, &Webhook) -> Result<Decision, Failure>,
) {
    check_or_write(
        project.as_ref(),
        transform,
        env::var_os("WRITE_SAMPLES").is_some(),
    );
}

fn check_or_write(
    project: &Path,
    transform: fn(&Event, &Webhook) -> Result<Decision, Failure>,
    write: bool,
) {
    if let Ok(names) = fs::read(project.join("secrets.json")) {
        let names: Vec<String> = parse(&project.join("secrets.json"), &names);
        for name in names {
            let handle = format!("handle_of_{name}");
            set_secret(name, handle);
        }
    }
    for sample in samples(project) {
        let event = Event::from(parse::<Value>(
            &sample.join("event.json"),
            &read(&sample.join("event.json")),
        ));
        let webhook = read(&sample.join("webhook.json"));
        let webhook: Webhook = parse(&sample.join("webhook.json"), &webhook);
        let got = describe(transform(&event, &webhook));
        let expected = sample.join("request.json");
        if write {
            let written = fs::write(&expected, format!("{got:#}\n"));
            written.unwrap_or_else(|e| fail(&format!("{}: {e}", expected.display())));
        } else if parse::<Value>(&expected, &read(&expected)) != got {
            fail(&format!(
                "{} is not what comes out:\n{got:#}",
                expected.display()
            ));
        }
    }
}

fn samples(project: &Path) -> Vec<PathBuf> {
    let mut samples = vec![project.to_owned()];
    if let Ok(folder) = fs::read_dir(project.join("samples")) {
        samples.extend(folder.filter_map(Result::ok).map(|entry| entry.path()));
    }
    samples.sort();
    samples
}

fn describe(decision: Result<Decision, Failure>) -> Value {
    match decision {
        Ok(Decision::Send(request)) => {
            let text = String::from_utf8_lossy(&request.body);
            let body = serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text));
            json!({"method": request.method, "url": request.url, "headers": request.headers, "body": body})
        }
        Ok(Decision::Skip(reason)) => json!({ "skip": reason }),
        Err(failure) => json!({"failure": {
            "kind": failure.kind, "field": failure.field, "message": failure.message,
        }}),
    }
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|e| fail(&format!("{}: {e}", path.display())))
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, text: &[u8]) -> T {
    serde_json::from_slice(text).unwrap_or_else(|e| fail(&format!("{}: {e}", path.display())))
}

#[expect(clippy::panic, reason = "a helper of tests: this is how a test fails")]
fn fail(why: &str) -> ! {
    panic!("{why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(event: &Value, request: &Value) -> PathBuf {
        let folder = env::temp_dir().join(format!("samples-{}-{event}", std::process::id()));
        let sample = folder.join("samples/other");
        fs::create_dir_all(&sample).unwrap();
        let webhook = json!({"payload_url": "https://example.com"});
        for folder in [&folder, &sample] {
            for (file, value) in [
                ("event.json", &json!({ "event": event })),
                ("webhook.json", &webhook),
                ("request.json", request),
                ("secrets.json", &json!(["token"])),
            ] {
                fs::write(folder.join(file), value.to_string()).unwrap();
            }
        }
        folder
    }

    fn transform(event: &Event, webhook: &Webhook) -> Result<Decision, Failure> {
        let token = crate::required_secret("token")?;
        Ok(webhook
            .request()
            .bearer(&token)
            .json(event.event_type())?
            .into())
    }

    fn expected(body: &str) -> Value {
        json!({
            "method": "POST", "url": "https://example.com", "body": body,
            "headers": [
                ["Authorization", "Bearer handle_of_token"], ["Content-Type", "application/json"],
            ],
        })
    }

    #[test]
    fn samples_that_come_out_as_written_pass() {
        let folder = project(&json!("created"), &expected("created"));
        check_or_write(&folder, transform, false);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_sample_that_comes_out_otherwise_fails() {
        let folder = project(&json!("updated"), &expected("created"));
        let outcome = std::panic::catch_unwind(|| check_or_write(&folder, transform, false));
        fs::remove_dir_all(folder).unwrap();
        let why = outcome.unwrap_err();
        let why = why.downcast_ref::<String>().unwrap();
        assert!(why.contains("request.json is not what comes out"), "{why}");
    }
}
