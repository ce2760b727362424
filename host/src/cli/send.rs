//! `hookbox send`: posts events.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::Value;

use super::{
    client::{Client, Payload, Server},
    deliveries::{Names, text},
    error::{CliError, CliResult},
    terminal::{Json, Paint, one_line, read_input},
};
use crate::queue::Status;

/// Larger files are refused here; the server's own limit is lower and says so itself.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// Post events to a server
///
/// FILE holds one event, an array of events, one event a line (NDJSON), or CloudEvents. NetBox's default
/// webhook body is a valid event.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hookbox send event.json
  hookbox send --wait event.json        exit code 1 unless every delivery succeeds
  generate-events | hookbox send -")]
pub(super) struct SendArgs {
    /// File with the events; - for stdin
    file: PathBuf,
    /// Follow the deliveries until they have ended
    #[arg(long)]
    wait: bool,
    /// Longest time to follow them, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300, requires = "wait")]
    timeout: u64,
    /// Makes sending again harmless: the server takes each key once
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Print the server's answer as JSON
    #[arg(long, conflicts_with = "wait")]
    json: bool,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(args: SendArgs) -> CliResult {
    let client = args.server.client()?;
    let bytes = read_input(&args.file, MAX_FILE)?;
    let content_type = content_type(&bytes);
    let mut headers = Vec::new();
    if let Some(key) = &args.idempotency_key {
        headers.push(("idempotency-key", key.as_str()));
    }
    let answer = client
        .post_with(&["events"], Payload::Bytes(content_type, bytes), &headers)
        .await?;
    let mut out = io::stdout();
    if args.json {
        return Ok(writeln!(out, "{}", Json(&answer))?);
    }
    let mut deliveries = Vec::new();
    for event in answer
        .get("events")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let of_event = ids(event);
        print_event(&client, event, &of_event).await?;
        deliveries.extend(of_event);
    }
    if args.wait {
        follow(&client, deliveries, Duration::from_secs(args.timeout)).await?;
    }
    Ok(())
}

/// What the bytes are. The server decides by the content type, and a file has none.
fn content_type(bytes: &[u8]) -> &'static str {
    let is_cloud_event = |value: &Value| value.get("specversion").is_some();
    match serde_json::from_slice::<Value>(bytes) {
        Ok(Value::Array(events)) if events.first().is_some_and(is_cloud_event) => {
            "application/cloudevents-batch+json"
        }
        Ok(event) if is_cloud_event(&event) => "application/cloudevents+json",
        Ok(_) => "application/json",
        // A second value after a complete first one: more lines follow.
        Err(_) => {
            let first = bytes
                .split(|&b| b == b'\n')
                .find(|line| !line.trim_ascii().is_empty());
            let is_lines = first
                .is_some_and(|line| serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok());
            if is_lines {
                "application/x-ndjson"
            } else {
                "application/json"
            }
        }
    }
}

fn ids(event: &Value) -> Vec<String> {
    event
        .get("deliveries")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

async fn print_event(client: &Client, event: &Value, deliveries: &[String]) -> CliResult {
    let mut out = io::stdout();
    let id = text(event, "id");
    let note = match event.get("duplicate").and_then(Value::as_bool) {
        Some(true) => " (was accepted before)",
        _ => "",
    };
    writeln!(out, "{}{note}", one_line(id))?;
    for delivery in deliveries {
        writeln!(out, "  {}", one_line(delivery))?;
    }
    if deliveries.is_empty() {
        writeln!(out, "  no delivery")?;
        // A key that may only send cannot ask why; then the bare fact has to do.
        if let Some(stored) = client.find(&["events", id]).await? {
            for line in super::deliveries::explanation_lines(&stored) {
                writeln!(out, "    {line}")?;
            }
        }
    }
    Ok(())
}

/// Polls until all have ended. Fails if one did not succeed or time is up.
async fn follow(client: &Client, ids: Vec<String>, at_most: Duration) -> CliResult {
    let paint = Paint::for_stdout();
    let names = Names::load(client).await?;
    let started = Instant::now();
    let mut waiting: BTreeSet<String> = ids.into_iter().collect();
    let total = waiting.len();
    let mut failed = 0_usize;
    let mut pause = Duration::from_millis(50);
    loop {
        let mut ended = Vec::new();
        for id in &waiting {
            let delivery = client.get(&["deliveries", id], &[]).await?;
            let Some(status) = Status::from_name(text(&delivery, "status")) else {
                return Err(CliError::failed(format!(
                    "the server gives no status of {}",
                    one_line(id)
                )));
            };
            if status.is_ended() {
                let good = matches!(status, Status::Finished | Status::Skipped);
                failed += usize::from(!good);
                let shown = if good {
                    paint.green(status.as_str())
                } else {
                    paint.red(status.as_str())
                };
                let webhook = names.webhook(text(&delivery, "webhook"));
                let result = one_line(text(&delivery, "last_result"));
                writeln!(io::stdout(), "{} {shown} {webhook}: {result}", one_line(id))?;
                ended.push(id.clone());
            }
        }
        for id in ended {
            waiting.remove(&id);
        }
        if waiting.is_empty() {
            break;
        }
        if started.elapsed() > at_most {
            return Err(CliError::failed(format!(
                "{} of {total} deliveries had not ended after {} seconds; see `hookbox deliveries show {}`",
                waiting.len(),
                at_most.as_secs(),
                waiting.first().map(|id| one_line(id)).unwrap_or_default()
            )));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
    if failed > 0 {
        return Err(CliError::failed(format!(
            "{failed} of {total} deliveries did not succeed; `hookbox deliveries show ID` tells the whole story"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_follows_from_the_content() {
        for (text, expected) in [
            (r#"{"event": "created"}"#, "application/json"),
            (r#"[{"event": "created"}]"#, "application/json"),
            ("{\n  \"event\": ", "application/json"),
            ("\n{\"a\": 1}\n{\"a\": 2}\n", "application/x-ndjson"),
            (r#"{"specversion": "1.0"}"#, "application/cloudevents+json"),
            (
                r#"[{"specversion": "1.0"}]"#,
                "application/cloudevents-batch+json",
            ),
        ] {
            assert_eq!(content_type(text.as_bytes()), expected, "{text}");
        }
    }
}
