//! `hookbox render --delivery`: a recorded attempt rendered again, and what is different.

use std::{
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    client::{Client, Server},
    deliveries::{error_line, text},
    error::{CliError, CliResult},
    render::{admit_plugin, cost_line, describe_request},
    setup::user_cache,
    terminal::{Json, Paint, one_line, read_input},
};
use crate::{
    config::Config,
    engine::ReplayInput,
    model::{DeliveryId, Timestamp, VERSION_DIGITS, WebhookSpec, short, split_reference},
    record::RequestRecord,
    request::{OutboundRequest, RequestContext},
    sandbox::{Output, RenderJob, Sandbox, Transformer},
    tenant::WebhookSecrets,
    transformers::{BUILT_IN, open_sandbox},
};

/// Headers that hookbox itself adds, with keys and times that are not here.
const ADDED: [&str; 4] = [
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "x-hook-signature",
];

/// The attempt to render again.
#[derive(Debug)]
pub(super) struct Replay<'a> {
    pub(super) delivery: &'a str,
    pub(super) attempt: Option<u32>,
    pub(super) plugin: Option<&'a Path>,
    pub(super) json: bool,
}

/// Renders an attempt of the server's again, here, and prints what differs. An error if anything does.
pub(super) async fn run(replay: &Replay<'_>, server: &Server, config: &Config) -> CliResult {
    let client = server.client()?;
    let delivery = client.get(&["deliveries", replay.delivery], &[]).await?;
    let then = attempt(&delivery, replay.attempt)?;
    let number = then.get("number").and_then(Value::as_u64).unwrap_or(0);
    let path = [
        "deliveries",
        replay.delivery,
        "attempts",
        &number.to_string(),
        "input",
    ];
    let input: ReplayInput = serde_json::from_value(client.get(&path, &[]).await?)
        .map_err(|e| CliError::failed(format!("the server's answer cannot be read: {e}")))?;

    let (sandbox, transformer) = transformer(replay.plugin, &input, &client, config).await?;
    let now = render(&sandbox, &transformer, &input, replay.delivery, config).await?;

    let then = json!({
        "transformer": input.transformer,
        "request": then.get("request"),
        "skip_reason": then.get("skip_reason"),
        "error": then.get("error").filter(|_| then.get("request").is_none_or(Value::is_null)),
        "fuel": then.pointer("/render/fuel"),
        "peak_memory_bytes": then.pointer("/render/peak_memory_bytes"),
        "elapsed_us": then.pointer("/render/elapsed_us"),
    });
    let (lines_then, lines_now) = (lines(&then)?, lines(&now)?);
    let is_same = lines_then == lines_now;
    let mut out = io::stdout();
    if replay.json {
        let report = json!({"same": is_same, "then": then, "now": now});
        writeln!(out, "{}", Json(&report))?;
    } else {
        let paint = Paint::for_stdout();
        writeln!(
            out,
            "Then: {}, {}",
            one_line(text(&then, "transformer")),
            cost_line(&then)
        )?;
        writeln!(
            out,
            "Now:  {}, {}\n",
            one_line(text(&now, "transformer")),
            cost_line(&now)
        )?;
        out.write_all(&difference(&lines_then, &lines_now, paint)?)?;
    }
    if then.pointer("/request/truncated").and_then(Value::as_bool) == Some(true) {
        writeln!(
            io::stderr(),
            "Only the first {} bytes of the body were recorded, and only they were compared",
            RequestRecord::MAX_BODY
        )?;
    }
    if is_same {
        Ok(())
    } else {
        Err(CliError::failed("the request is not the same"))
    }
}

/// The attempt that is meant: the one of this number, or the last.
fn attempt(delivery: &Value, number: Option<u32>) -> CliResult<&Value> {
    let attempts = delivery.get("attempts").and_then(Value::as_array);
    let mut attempts = attempts.into_iter().flatten();
    match number {
        None => attempts.next_back(),
        Some(number) => {
            attempts.find(|a| a.get("number").and_then(Value::as_u64) == Some(number.into()))
        }
    }
    .ok_or_else(|| {
        CliError::failed("the delivery has no such attempt; `hookbox deliveries show` lists them")
    })
}

/// The transformer to run: a file, a version of the server's, or the one that ran then.
async fn transformer(
    plugin: Option<&Path>,
    input: &ReplayInput,
    client: &Client,
    config: &Config,
) -> CliResult<(Sandbox, Transformer)> {
    let named = match plugin {
        None => input.transformer.clone(),
        Some(path) => match path.to_str() {
            // As a shell would: what has a folder or an ending in it is a file.
            Some(name) if !name.contains('/') && !name.ends_with(".wasm") && !path.is_file() => {
                name.to_owned()
            }
            _ => {
                let wasm = read_input(path, Sandbox::MAX_COMPONENT_BYTES as u64)?;
                return admit_plugin("plugin", wasm, &path.display().to_string(), config).await;
            }
        },
    };
    let (name, version) = split_reference(&named);
    if name == BUILT_IN {
        let limits = config.sandbox.clone();
        let cache = user_cache().map(|dir| dir.join("cache"));
        let (sandbox, jinja) =
            tokio::task::spawn_blocking(move || open_sandbox(&limits, cache.as_deref()))
                .await
                .map_err(CliError::failed)?
                .map_err(CliError::failed)?;
        if version.is_some_and(|version| !jinja.sha256().starts_with(version)) {
            writeln!(
                io::stderr(),
                "This hookbox has another {BUILT_IN}, {}, and runs that",
                jinja.label()
            )?;
        }
        return Ok((sandbox, jinja));
    }
    let version = match version {
        Some(version) => version.to_owned(),
        None => {
            let plugin = client.get(&["plugins", name], &[]).await?;
            text(&plugin, "version").to_owned()
        }
    };
    let path = ["plugins", name, "versions", &version];
    let wasm = client
        .get_bytes(&path, Sandbox::MAX_COMPONENT_BYTES)
        .await?;
    let place = format!("{}@{}", one_line(name), one_line(short(&version)));
    require_version(&wasm, &version).map_err(|why| CliError::failed(format!("{place}: {why}")))?;
    admit_plugin(name, wasm, &place, config).await
}

/// Whether these bytes are the version that was asked for, which names them by how their SHA-256 begins.
fn require_version(wasm: &[u8], version: &str) -> Result<(), String> {
    let sha256 = hex::encode(Sha256::digest(wasm));
    if version.len() >= VERSION_DIGITS && sha256.starts_with(&version.to_ascii_lowercase()) {
        return Ok(());
    }
    Err(format!(
        "the server answered with another component ({}), so it is not run; tell its operator",
        short(&sha256)
    ))
}

/// The same render, with stand-ins for secrets: their handles have the same form.
async fn render(
    sandbox: &Sandbox,
    transformer: &Transformer,
    input: &ReplayInput,
    delivery: &str,
    config: &Config,
) -> CliResult<Value> {
    let webhook: WebhookSpec = serde_json::from_str(&input.webhook)
        .map_err(|e| CliError::failed(format!("the recorded webhook cannot be read: {e}")))?;
    let secrets = WebhookSecrets::stand_ins(&input.secrets);
    let job = RenderJob {
        event: input.event.as_str().into(),
        webhook: input.webhook.as_str().into(),
        secrets: secrets.source(),
        owner: Arc::default(),
    };
    let rendering = sandbox.render(transformer, job).await;
    let (mut request, mut skip_reason, mut error) = (None, None, None);
    match rendering.output {
        Output::Skip(reason) => skip_reason = Some(reason),
        Output::Error(e) => error = Some(e),
        Output::Request(rendered) => {
            let context = RequestContext {
                webhook: &webhook,
                delivery: &DeliveryId::from(delivery),
                now: Timestamp::now(),
                secrets: &secrets.values(),
                limits: &config.sandbox,
                user_agent: &config.delivery.user_agent,
            };
            match OutboundRequest::build(rendered, &context) {
                Ok(outbound) => request = Some(outbound.record_up_to(RequestRecord::MAX_BODY)),
                Err(e) => error = Some(e),
            }
        }
    }
    Ok(json!({
        "transformer": transformer.label(),
        "request": request,
        "skip_reason": skip_reason,
        "error": error,
        "fuel": rendering.cost.fuel,
        "peak_memory_bytes": rendering.cost.peak_memory_bytes,
        "elapsed_us": rendering.cost.elapsed_us,
    }))
}

/// The result of a render, in lines that can be compared: without what hookbox itself adds to a request.
fn lines(render: &Value) -> CliResult<Vec<String>> {
    let of = |key: &str| render.get(key).filter(|v| !v.is_null());
    let mut out = Vec::new();
    if let Some(request) = of("request") {
        let mut request = request.clone();
        if let Some(headers) = request.get_mut("headers").and_then(Value::as_array_mut) {
            headers.retain(|header| {
                let name = header.get(0).and_then(Value::as_str).unwrap_or_default();
                !ADDED.iter().any(|added| name.eq_ignore_ascii_case(added))
            });
        }
        out = describe_request(&request, Paint::off())?;
    }
    if let Some(reason) = of("skip_reason").and_then(Value::as_str) {
        writeln!(out, "Skipped: {}", one_line(reason))?;
    }
    if let Some(error) = of("error") {
        writeln!(out, "Error: {}", error_line(error))?;
    }
    let text = String::from_utf8_lossy(&out);
    Ok(text.lines().map(str::to_owned).collect())
}

/// What they have in common at both ends, once, and what is between, of each. Good enough for two requests of
/// a webhook, and linear.
fn difference(then: &[String], now: &[String], paint: Paint) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let same = |(a, b): &(&String, &String)| a == b;
    let before = then.iter().zip(now).take_while(same).count();
    let (then_rest, now_rest) = (
        then.get(before..).unwrap_or_default(),
        now.get(before..).unwrap_or_default(),
    );
    let after = then_rest
        .iter()
        .rev()
        .zip(now_rest.iter().rev())
        .take_while(same)
        .count();
    for line in then.iter().take(before) {
        writeln!(out, "  {line}")?;
    }
    for line in then_rest.iter().take(then_rest.len().saturating_sub(after)) {
        writeln!(out, "{}", paint.red(&format!("- {line}")))?;
    }
    for line in now_rest.iter().take(now_rest.len().saturating_sub(after)) {
        writeln!(out, "{}", paint.green(&format!("+ {line}")))?;
    }
    for line in then_rest.iter().skip(then_rest.len().saturating_sub(after)) {
        writeln!(out, "  {line}")?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(then: &[&str], now: &[&str]) -> String {
        let own = |lines: &[&str]| lines.iter().map(|&l| l.to_owned()).collect::<Vec<_>>();
        let out = difference(&own(then), &own(now), Paint::off()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_differs_is_marked_and_the_rest_is_shown_once() {
        assert_eq!(
            diff(&["a", "b", "c"], &["a", "x", "y", "c"]),
            "  a\n- b\n+ x\n+ y\n  c\n"
        );
        assert_eq!(diff(&["a", "a"], &["a"]), "  a\n- a\n");
        assert_eq!(diff(&["a"], &["a"]), "  a\n");
        assert_eq!(diff(&[], &["a"]), "+ a\n");
    }

    #[test]
    fn what_hookbox_adds_to_a_request_is_not_compared() {
        let render = |signature: &str| {
            json!({"request": {"method": "POST", "url": "https://x.example/", "body": "b",
                "headers": [["A", "b"], ["webhook-signature", signature], ["Webhook-Id", signature]]}})
        };
        assert_eq!(lines(&render("1")).unwrap(), lines(&render("2")).unwrap());
    }

    #[test]
    fn only_the_component_that_was_asked_for_is_run() {
        // FIPS 180-4's example
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for version in [digest, &digest[..12], "BA7816BF"] {
            assert_eq!(require_version(b"abc", version), Ok(()));
        }
        for version in ["", "b", "ba7816be", &digest[1..], &format!("{digest}0")] {
            assert!(require_version(b"abc", version).is_err(), "{version}");
        }
        assert!(
            require_version(b"abd", digest)
                .unwrap_err()
                .contains("another component")
        );
    }
}
