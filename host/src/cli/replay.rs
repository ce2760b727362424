//! `hookbox render --delivery`: a recorded attempt rendered again, and what is different.

use std::{
    io::{self, Write},
    path::Path,
};

use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    client::{Client, Server},
    describe::{cost_line, error_line, request_text},
    diff::write_diff,
    error::{CliError, CliResult},
    local_sandbox,
    terminal::{Json, Paint, one_line, read_input},
};
use crate::{
    api::{DeliveryDetail, PluginView},
    config::Config,
    engine::ReplayInput,
    model::{DeliveryId, VERSION_DIGITS, WebhookSpec, short, split_reference},
    pipeline::{Render, RenderOutcome},
    record::{Attempt, AttemptError, RequestRecord},
    sandbox::{Cost, Sandbox, Transformer},
    tenant::WebhookSecrets,
    transformers::BUILT_IN,
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

/// One side of the comparison.
#[derive(Debug, Serialize)]
struct Side {
    transformer: String,
    request: Option<RequestRecord>,
    skip_reason: Option<String>,
    error: Option<AttemptError>,
    #[serde(flatten)]
    cost: Cost,
}

/// Renders an attempt of the server's again, here, and prints what differs. An error if anything does.
pub(super) async fn run(replay: &Replay<'_>, server: &Server, config: &Config) -> CliResult {
    let client = server.client()?;
    let delivery: DeliveryDetail = client.get(&["deliveries", replay.delivery]).await?;
    let attempt = attempt(delivery.attempts, replay.attempt)?;
    let number = attempt.number.to_string();
    let path = ["deliveries", replay.delivery, "attempts", &number, "input"];
    let input: ReplayInput = client.get(&path).await?;

    let (sandbox, transformer) = transformer(replay.plugin, &input, &client, config).await?;
    let now = render(&sandbox, &transformer, &input, &delivery.id, config).await?;
    let then = Side {
        transformer: input.transformer,
        // A request that could not be sent has an error, too.
        error: attempt.error.filter(|_| attempt.request.is_none()),
        request: attempt.request,
        skip_reason: attempt.skip_reason,
        cost: attempt.render.as_ref().map(Cost::from).unwrap_or_default(),
    };

    let (lines_then, lines_now) = (lines(&then)?, lines(&now)?);
    let is_same = lines_then == lines_now;
    let mut out = io::stdout();
    if replay.json {
        let report = json!({"same": is_same, "then": then, "now": now});
        writeln!(out, "{}", Json(&report))?;
    } else {
        let label = |side: &Side| {
            let transformer = one_line(&side.transformer);
            format!("{transformer}, Sandbox: {}", cost_line(side.cost))
        };
        writeln!(out, "Then: {}", label(&then))?;
        writeln!(out, "Now:  {}\n", label(&now))?;
        let sides = (&*lines_then, &*lines_now);
        write_diff(&mut out, sides, String::as_str, Paint::for_stdout())?;
    }
    if then.request.is_some_and(|request| request.truncated) {
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
fn attempt(mut attempts: Vec<Attempt>, number: Option<u32>) -> CliResult<Attempt> {
    let attempt = match number {
        None => attempts.pop(),
        Some(number) => attempts.into_iter().find(|a| a.number == number),
    };
    attempt.ok_or_else(|| {
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
                let place = path.display().to_string();
                return local_sandbox::plugin("plugin", wasm, &place, config).await;
            }
        },
    };
    let (name, version) = split_reference(&named);
    if name == BUILT_IN {
        let (sandbox, jinja) = local_sandbox::built_in(&config.sandbox).await?;
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
            let plugin: PluginView = client.get(&["plugins", name]).await?;
            plugin.version
        }
    };
    let path = ["plugins", name, "versions", &version];
    let wasm = client
        .get_bytes(&path, Sandbox::MAX_COMPONENT_BYTES)
        .await?;
    let place = format!("{}@{}", one_line(name), one_line(short(&version)));
    require_version(&wasm, &version).map_err(|why| CliError::failed(format!("{place}: {why}")))?;
    local_sandbox::plugin(name, wasm, &place, config).await
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
    delivery: &DeliveryId,
    config: &Config,
) -> CliResult<Side> {
    let webhook: WebhookSpec = serde_json::from_str(&input.webhook)
        .map_err(|e| CliError::failed(format!("the recorded webhook cannot be read: {e}")))?;
    let render = Render {
        config,
        webhook: &webhook,
        delivery,
        secrets: &WebhookSecrets::stand_ins(&input.secrets),
    };
    let job = render.job(
        input.event.as_str().into(),
        input.webhook.as_str().into(),
        "",
    );
    let rendered = render.build(sandbox.render(transformer, job).await);
    let mut side = Side {
        transformer: transformer.label(),
        request: None,
        skip_reason: None,
        error: None,
        cost: rendered.cost,
    };
    match rendered.outcome {
        RenderOutcome::Request(request) => {
            side.request = Some(request.record_up_to(RequestRecord::MAX_BODY));
        }
        RenderOutcome::Skip(reason) => side.skip_reason = Some(reason),
        RenderOutcome::Error(error) => side.error = Some(error.into()),
    }
    Ok(side)
}

/// One side in lines that can be compared: without what hookbox itself adds to a request.
fn lines(side: &Side) -> CliResult<Vec<String>> {
    let mut out = Vec::new();
    if let Some(request) = &side.request {
        let mut request = request.clone();
        let is_added = |name: &str| ADDED.iter().any(|added| name.eq_ignore_ascii_case(added));
        request.headers.retain(|(name, _)| !is_added(name));
        out = request_text(&request, Paint::off())?;
    }
    if let Some(reason) = &side.skip_reason {
        writeln!(out, "Skipped: {}", one_line(reason))?;
    }
    if let Some(error) = &side.error {
        writeln!(out, "Error: {}", error_line(error))?;
    }
    let text = String::from_utf8_lossy(&out);
    Ok(text.lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_hookbox_adds_are_not_compared() {
        let side = |signature: &str| {
            let headers = [
                ("A", "b"),
                ("webhook-signature", signature),
                ("Webhook-Id", signature),
            ];
            let request = json!({"method": "POST", "url": "https://x.example/", "body": "b", "headers": headers});
            Side {
                transformer: String::new(),
                request: serde_json::from_value(request).unwrap(),
                skip_reason: None,
                error: None,
                cost: Cost::default(),
            }
        };
        assert_eq!(lines(&side("1")).unwrap(), lines(&side("2")).unwrap());
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
