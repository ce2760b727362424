//! What goes over the wire: NetBox's own libraries (CPython's `requests`, Jinja2, `json`) compute the answers
//! for a corpus of webhooks, here and now, and hookbox gives its own.

use std::{path::Path, sync::Arc};

use hookbox::{
    config::Config,
    ingest,
    model::{DeliveryId, TenantId, Timestamp, WebhookSpec},
    request::{OutboundRequest, RequestContext, SecretValues},
    sandbox::{JINJA, Output, RenderJob, Sandbox, SecretHandles, Transformer},
    tenant::snapshot::guest_view,
};
use serde_json::{Value, json};

use super::python;

const WIRE: &str = include_str!("../../../data/netbox/wire.py");
const CORPUS: &str = include_str!("../../../data/netbox/wire.json");

/// Each client's own, or hookbox's.
const NOT_COMPARED: [&str; 8] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "host",
    "user-agent",
    "webhook-id",
    "webhook-timestamp",
];

/// Method, URL, headers with names in lower case, body.
pub(super) type Sent = (String, url::Url, Vec<(String, String)>, Vec<u8>);

pub(super) struct Renderer {
    config: Config,
    sandbox: Sandbox,
    jinja: Transformer,
}

impl Renderer {
    pub(super) fn new() -> Self {
        let config = Config::defaults();
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
        let sandbox = Sandbox::new(&config.sandbox, Some(&cache)).unwrap();
        let jinja = sandbox.load("jinja", JINJA).unwrap();
        Self {
            config,
            sandbox,
            jinja,
        }
    }

    /// What hookbox would send for an event: method, URL, headers with names in lower case, body.
    pub(super) async fn send(&self, spec: &WebhookSpec, event: &str) -> Result<Sent, String> {
        let tenant = TenantId::default_tenant();
        let event = ingest::parse_event(&tenant, event.as_bytes(), &self.config.ingest)
            .map_err(|e| e.to_string())?
            .event;
        let job = RenderJob {
            event: Arc::clone(event.context()),
            webhook: guest_view(spec),
            secrets: Arc::<SecretHandles>::default(),
            owner: Arc::default(),
        };
        let rendered = match self.sandbox.render(&self.jinja, job).await.output {
            Output::Request(rendered) => rendered,
            Output::Skip(reason) => return Err(reason),
            Output::Error(error) => return Err(error.message),
        };
        let context = RequestContext {
            webhook: spec,
            delivery: &DeliveryId::from("dlv_test"),
            now: Timestamp::now(),
            secrets: &SecretValues::default(),
            limits: &self.config.sandbox,
            user_agent: "hookbox",
        };
        let request = OutboundRequest::build(rendered, &context).map_err(|e| e.message)?;
        let headers = request.headers();
        let headers = headers.iter().map(|(name, value)| {
            let value = value.as_bytes().iter().map(|&b| char::from(b)).collect();
            (name.as_str().to_owned(), value)
        });
        Ok((
            request.method().as_str().to_owned(),
            request.url().clone(),
            headers.collect(),
            request.body().to_vec(),
        ))
    }
}

fn compared(headers: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    let mut headers: Vec<_> = headers
        .filter(|(name, _)| !NOT_COMPARED.contains(&name.as_str()))
        .collect();
    headers.sort();
    headers
}

/// What a case has in common with all others.
fn spec(case: &Value) -> WebhookSpec {
    let mut webhook =
        json!({"name": "w", "payload_url": "http://example.com/hook", "body_template": "b"});
    for (key, value) in case["webhook"].as_object().unwrap() {
        webhook[key] = value.clone();
    }
    serde_json::from_value(webhook).unwrap()
}

/// Our side in the words of the wire.
fn ours(sent: Result<Sent, String>) -> Value {
    let (method, url, headers, body) = match sent {
        Ok(sent) => sent,
        Err(error) => return json!({ "error": error }),
    };
    let host = headers
        .iter()
        .find(|(name, _)| name == "host")
        .map_or_else(|| url.authority().to_owned(), |(_, value)| value.clone());
    json!({
        "method": method,
        "target": &url[url::Position::BeforePath..],
        "connect": [url.host_str().unwrap().trim_matches(['[', ']']), url.port_or_known_default()],
        "host": host,
        "headers": compared(headers.into_iter()),
        "body": body,
    })
}

/// NetBox's side in the same words.
fn theirs(answer: &Value) -> Value {
    if answer.get("error").is_some() {
        return answer.clone();
    }
    let headers = answer["headers"].as_array().unwrap().iter().map(|pair| {
        let text = |i: usize| pair[i].as_str().unwrap().to_owned();
        (text(0).to_ascii_lowercase(), text(1))
    });
    let headers: Vec<_> = headers.collect();
    let host = headers
        .iter()
        .find(|(name, _)| name == "host")
        .unwrap()
        .1
        .clone();
    use base64::Engine;
    let body = base64::engine::general_purpose::STANDARD
        .decode(answer["body"].as_str().unwrap())
        .unwrap();
    json!({
        "method": answer["method"],
        "target": answer["target"],
        "connect": answer["connect"],
        "host": host,
        "headers": compared(headers.into_iter()),
        "body": body,
    })
}

/// Cases with `differs` are meant to differ, for the reason that stands there; if one no longer does, the
/// corpus is wrong.
#[tokio::test]
async fn each_request_of_the_corpus_is_netboxs_own_or_differs_for_a_reason() {
    let corpus: Value = serde_json::from_str(CORPUS).unwrap();
    let cases = corpus["cases"].as_array().unwrap();
    let event = corpus["event"].to_string();
    let jobs: Vec<Value> = cases
        .iter()
        .map(|case| {
            let spec = spec(case);
            json!({"context": corpus["event"], "webhook": {
                "http_method": spec.http_method, "http_content_type": spec.http_content_type,
                "additional_headers": spec.additional_headers, "body_template": spec.body_template,
                "payload_url": spec.payload_url,
            }})
        })
        .collect();
    let answers = python::run(WIRE, &Value::Array(jobs));
    let renderer = Renderer::new();
    let (mut same, mut meant, mut wrong) = (0, 0, Vec::new());
    for (case, answer) in cases.iter().zip(answers.as_array().unwrap()) {
        let ours = ours(renderer.send(&spec(case), &event).await);
        let theirs = theirs(answer);
        let agree = match (ours.get("error"), theirs.get("error")) {
            (None, None) => ours == theirs,
            (ours, theirs) => ours.is_some() && theirs.is_some(),
        };
        let is_meant = case.get("differs").is_some();
        match (agree, is_meant) {
            (true, false) => same += 1,
            (false, true) => meant += 1,
            _ => wrong.push(format!("{case}\n  NetBox: {theirs}\n  ours:   {ours}")),
        }
    }
    println!("{same} the same, {meant} differ for a reason");
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(cases.len(), answers.as_array().unwrap().len());
}
