//! Whether a webhook's body stays JSON whatever the event says.
//!
//! A template that writes JSON around values, such as `{"text": "{{ data.name }}"}`, works until a name holds a
//! quote. Nothing in a template says whether it is safe: filters may escape, or nearly. So it is rendered twice, with
//! harmless values and with hostile ones in the same places, and what comes out is compared.

mod sample;
pub(crate) mod tags;

use std::{collections::BTreeSet, sync::Arc};

use serde_json::Value;

use self::sample::{Filling, Sample};
use crate::{
    model::{BodyEscape, WebhookSpec, json},
    sandbox::{ErrorKind, Output, RenderJob, Sandbox, SecretHandles, Transformer},
    tenant::snapshot::guest_view,
};

/// Values that a warning names.
const NAMED: usize = 3;

/// A warning if the body is JSON with harmless values and is none any more once they hold a quote, a backslash or a
/// line break. It takes at most twelve renders, each within the limits of any render, and stops at the first that
/// meets one.
pub(crate) async fn warning(
    sandbox: &Sandbox,
    jinja: &Transformer,
    spec: &WebhookSpec,
    owner: Arc<str>,
) -> Option<String> {
    if spec.body_escape != BodyEscape::None || !spec.body_template.contains("{{") {
        return None;
    }
    let sample = Sample::of(&spec.body_template);
    // Headers and URL have nothing to do with it, and may name secrets.
    let spec = WebhookSpec {
        payload_url: "https://example.com/".to_owned(),
        additional_headers: String::new(),
        ..spec.clone()
    };
    let view = guest_view(&spec);
    let run = |event: Value| RenderJob {
        event: event.to_string().into(),
        webhook: Arc::clone(&view),
        secrets: Arc::<SecretHandles>::default(),
        owner: Arc::clone(&owner),
    };
    for event in ["created", "updated", "deleted"] {
        for filling in Filling::ALL {
            let job = run(sample.event(event, filling, &|_| false));
            let harmless = body_of(sandbox, jinja, job).await.ok()?;
            let Some(body) = harmless.as_deref().and_then(object_or_list) else {
                continue;
            };
            let mut numbers = BTreeSet::new();
            find_numbers(&body, &mut numbers);
            // A value that stands as a number is one in every event that the template is for.
            let is_hostile = |leaf: usize| !numbers.contains(&sample::token(leaf));
            let job = run(sample.event(event, filling, &is_hostile));
            let hostile = body_of(sandbox, jinja, job).await.ok()?;
            if let Some(body) = hostile
                && json::check(&body, json::MAX_DEPTH).is_err()
            {
                return Some(told(&sample.paths_raw_in(&String::from_utf8_lossy(&body))));
            }
        }
    }
    None
}

/// The template met a limit; it would do so again.
struct TooMuch;

/// The body, if this event leads to one.
async fn body_of(
    sandbox: &Sandbox,
    jinja: &Transformer,
    job: RenderJob,
) -> Result<Option<Vec<u8>>, TooMuch> {
    match sandbox.render(jinja, job).await.output {
        Output::Request(request) => Ok(Some(request.into_body())),
        Output::Error(error) if error.kind != ErrorKind::TemplateRuntime => Err(TooMuch),
        Output::Error(_) | Output::Skip(_) => Ok(None),
    }
}

fn told(paths: &[String]) -> String {
    let places = match paths {
        [] => "a value".to_owned(),
        paths if paths.len() <= NAMED => paths.join(" or "),
        paths => format!(
            "{} or others",
            paths.get(..NAMED).unwrap_or_default().join(", ")
        ),
    };
    format!(
        "with a quote, a backslash or a line break in {places}, the body is no longer JSON: set body_escape to \"json\""
    )
}

/// The JSON that a receiver expects. A lone number or text is JSON by chance.
fn object_or_list(body: &[u8]) -> Option<Value> {
    let body = json::parse(body, json::MAX_DEPTH).ok()?;
    (body.is_object() || body.is_array()).then_some(body)
}

/// All integers in a value, with a stack of its own.
fn find_numbers(body: &Value, numbers: &mut BTreeSet<u64>) {
    let mut pending = vec![body];
    while let Some(value) = pending.pop() {
        match value {
            Value::Number(number) => numbers.extend(number.as_u64()),
            Value::Array(items) => pending.extend(items),
            Value::Object(members) => pending.extend(members.values()),
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }
}
