//! `hookbox demo`: everything once, on this machine, in a few seconds.
//!
//! Nothing is acted: it is the server of `serve` on a free port, the receiver's HTTP, and NetBox's own
//! event. The demo succeeds only if each step really happened.

mod catcher;

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;

use self::catcher::Catcher;
use super::{
    client::{Client, Payload},
    deliveries::{body_text, error_line, text},
    error::{CliError, CliResult},
    instance::{Instance, Plan},
    render::{cost_line, describe_request},
    setup::temporary,
    terminal::{Paint, one_line},
};
use crate::{backend::Status, model::Secret};

const EVENT: &str = include_str!("../../../../examples/netbox/event.json");
const WEBHOOKS: &str = include_str!("../../../../examples/netbox/webhooks.json");

/// A template that would keep a processor busy for ever.
const ENDLESS: &str = "{% for a in range(10000) %}{% for b in range(10000) %}{% for c in range(10000) %}\
    {% set x = a * b * c %}{% endfor %}{% endfor %}{% endfor %}";

/// How long one delivery may take before the demo gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// See hookbox work: a NetBox event delivered, a hostile template stopped
///
/// Starts a server with a temporary store and a receiver on free ports of this machine, delivers the
/// Slack message of NetBox's documentation, and lets a hostile template try its worst. Ends by itself.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  hookbox demo")]
pub(super) struct DemoArgs {}

pub(super) async fn run(_: DemoArgs) -> CliResult {
    let started = Instant::now();
    let stage = Stage::set_up().await?;
    let result = stage.play(started).await;
    stage.hookbox.shut_down().await;
    result
}

/// Server, receiver and client.
struct Stage {
    paint: Paint,
    hookbox: Instance,
    catcher: Catcher,
    client: Client,
    /// Removed when the demo is over.
    _folder: tempfile::TempDir,
}

/// The secret that the receiver knows too.
const SECRET: &str = "demo-secret";

impl Stage {
    async fn set_up() -> CliResult<Self> {
        let folder = tempfile::tempdir()
            .map_err(|e| CliError::failed(format!("cannot make a temporary folder: {e}")))?;
        let config = temporary(folder.path())?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let hookbox = Instance::start(Plan::embedded(
            config,
            &folder.path().join("data"),
            listener,
        ))
        .await?;
        let base = Url::parse(&url).map_err(CliError::failed)?;
        let client = Client::new(base, hookbox.new_admin_key.clone())?;
        let catcher = Catcher::start(Secret::new(SECRET)).await?;
        Ok(Self {
            paint: Paint::for_stdout(),
            hookbox,
            catcher,
            client,
            _folder: folder,
        })
    }

    async fn play(&self, started: Instant) -> CliResult {
        let mut out = io::stdout();
        self.heading("hookbox runs, and a receiver")?;
        writeln!(out, "receiver at http://127.0.0.1:{}", self.catcher.port())?;

        self.heading("1. The Slack message from NetBox's documentation")?;
        let file: Value = serde_json::from_str(WEBHOOKS).map_err(CliError::failed)?;
        let mut webhook = file.pointer("/webhooks/0").cloned().unwrap_or_default();
        webhook["payload_url"] = json!(format!(
            "http://127.0.0.1:{}/services/demo",
            self.catcher.port()
        ));
        webhook["secret"] = json!(SECRET);
        let rule = file.pointer("/event_rules/0").cloned().unwrap_or_default();
        self.client
            .post(&["webhooks"], Payload::Json(&webhook))
            .await?;
        self.client
            .post(&["event-rules"], Payload::Json(&rule))
            .await?;
        writeln!(out, "webhook  {}", one_line(text(&webhook, "name")))?;
        writeln!(
            out,
            "body     {}",
            one_line(text(&webhook, "body_template"))
        )?;
        writeln!(out, "rule     {}", one_line(text(&rule, "name")))?;

        self.heading("2. NetBox reports a new IP address")?;
        let first = self.deliver_one("finished").await?;
        let attempt = last_attempt(&first)?;
        let request = attempt.get("request").cloned().unwrap_or_default();
        writeln!(out, "what hookbox rendered and sent:\n")?;
        out.write_all(&indent(&describe_request(&request, self.paint)?))?;
        let caught = self.catcher.next(PATIENCE).await?;
        writeln!(out, "\nwhat the receiver got:\n")?;
        out.write_all(&indent(caught.text.as_bytes()))?;
        if caught.body != body_text(&request, usize::MAX) {
            return Err(CliError::failed(
                "the receiver got another body than hookbox recorded",
            ));
        }
        if !caught.is_signed {
            return Err(CliError::failed("the receiver found a signature wrong"));
        }
        let cost = attempt.get("render").cloned().unwrap_or_default();
        writeln!(out, "\n{}", cost_line(&cost))?;

        self.heading("3. A stranger adds a template that never ends")?;
        self.add_hostile().await?;
        writeln!(out, "body     {}", one_line(ENDLESS))?;
        let clock = Instant::now();
        let answer = self.post_event().await?;
        let [good, bad] = answer.as_slice() else {
            return Err(CliError::failed(
                "the event should have set off two deliveries",
            ));
        };
        let (good, bad) = (self.ended(good).await?, self.ended(bad).await?);
        let (good, bad) = if text(&good, "status") == "finished" {
            (good, bad)
        } else {
            (bad, good)
        };
        let stopped = last_attempt(&bad)?;
        let error = stopped.get("error").cloned().unwrap_or_default();
        if !matches!(text(&error, "kind"), "out_of_fuel" | "timeout") {
            return Err(CliError::failed(format!(
                "the endless template was not stopped as it should be: {}",
                error_line(&error)
            )));
        }
        writeln!(
            out,
            "{} {}",
            self.paint.green("stopped:"),
            error_line(&error)
        )?;
        writeln!(
            out,
            "{}",
            cost_line(stopped.get("render").unwrap_or(&Value::Null))
        )?;

        self.heading("4. And the good webhook? Delivered, at the same cost as before")?;
        if text(&good, "status") != "finished" {
            return Err(CliError::failed(format!(
                "the good webhook was not delivered: {}",
                one_line(text(&good, "last_result"))
            )));
        }
        let caught = self.catcher.next(PATIENCE).await?;
        let again = last_attempt(&good)?
            .get("render")
            .cloned()
            .unwrap_or_default();
        writeln!(out, "receiver got  {}", one_line(&caught.body))?;
        writeln!(out, "{}", cost_line(&again))?;
        if again.get("fuel") != cost.get("fuel") {
            return Err(CliError::failed(
                "the same render should have cost the same fuel",
            ));
        }
        writeln!(
            out,
            "both events took {} ms; all of the demo {:.1} s",
            clock.elapsed().as_millis(),
            started.elapsed().as_secs_f64()
        )?;
        writeln!(out, "\nNext: `hookbox serve`, then `hookbox help`.")?;
        Ok(())
    }

    fn heading(&self, title: &str) -> io::Result<()> {
        writeln!(io::stdout(), "\n{}", self.paint.bold(title))
    }

    async fn add_hostile(&self) -> CliResult {
        let webhook = json!({
            "name": "Hostile",
            "payload_url": format!("http://127.0.0.1:{}/never", self.catcher.port()),
            "body_template": ENDLESS,
            "retry": {"schedule": []},
        });
        let rule = json!({
            "name": "Everything to the hostile one",
            "object_types": ["*"],
            "event_types": ["*"],
            "webhooks": ["Hostile"],
        });
        self.client
            .post(&["webhooks"], Payload::Json(&webhook))
            .await?;
        self.client
            .post(&["event-rules"], Payload::Json(&rule))
            .await?;
        Ok(())
    }

    /// Posts the event; the deliveries it set off.
    async fn post_event(&self) -> CliResult<Vec<String>> {
        let event: Value = serde_json::from_str(EVENT).map_err(CliError::failed)?;
        let answer = self.client.post(&["events"], Payload::Json(&event)).await?;
        let deliveries = answer
            .pointer("/events/0/deliveries")
            .and_then(Value::as_array);
        Ok(deliveries
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect())
    }

    /// Posts the event and waits for its one delivery to end in this state.
    async fn deliver_one(&self, status: &str) -> CliResult<Value> {
        let deliveries = self.post_event().await?;
        let [id] = deliveries.as_slice() else {
            return Err(CliError::failed(
                "the event should have set off one delivery",
            ));
        };
        let delivery = self.ended(id).await?;
        if text(&delivery, "status") == status {
            return Ok(delivery);
        }
        Err(CliError::failed(format!(
            "the delivery ended as {}: {}",
            one_line(text(&delivery, "status")),
            one_line(text(&delivery, "last_result"))
        )))
    }

    /// The delivery with its attempts, once it has ended.
    async fn ended(&self, id: &str) -> CliResult<Value> {
        let clock = Instant::now();
        loop {
            let delivery = self.client.get(&["deliveries", id], &[]).await?;
            let status = Status::from_name(text(&delivery, "status"));
            if status.is_some_and(Status::is_ended) {
                return Ok(delivery);
            }
            if clock.elapsed() > PATIENCE {
                return Err(CliError::failed("a delivery did not end"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn last_attempt(delivery: &Value) -> CliResult<&Value> {
    delivery
        .get("attempts")
        .and_then(Value::as_array)
        .and_then(|attempts| attempts.last())
        .ok_or_else(|| CliError::failed("a delivery ended without an attempt"))
}

fn indent(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in String::from_utf8_lossy(text).lines() {
        out.extend_from_slice(if line.is_empty() { b"" } else { b"    " });
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    out
}
