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
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;

use self::catcher::Catcher;
use super::{
    apply::text,
    client::{Client, Payload},
    describe::{body_text, cost_line, error_line, request_text},
    error::{CliError, CliResult},
    instance::{Instance, Plan},
    setup::temporary,
    terminal::{Paint, one_line},
};
use crate::{
    api::{Accepted, DeliveryDetail},
    backend::Status,
    model::{DeliveryId, Secret},
    record::Attempt,
    sandbox::Cost,
};

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
        self.add(&webhook, &rule).await?;
        writeln!(out, "webhook  {}", one_line(text(&webhook, "name")))?;
        writeln!(
            out,
            "body     {}",
            one_line(text(&webhook, "body_template"))
        )?;
        writeln!(out, "rule     {}", one_line(text(&rule, "name")))?;

        self.heading("2. NetBox reports a new IP address")?;
        let first = self.deliver_one().await?;
        let attempt = last_attempt(&first)?;
        let Some(request) = &attempt.request else {
            return Err(CliError::failed("the attempt has no record of its request"));
        };
        writeln!(out, "what hookbox rendered and sent:\n")?;
        out.write_all(&indent(&request_text(request, self.paint)?))?;
        let caught = self.catcher.next(PATIENCE).await?;
        writeln!(out, "\nwhat the receiver got:\n")?;
        out.write_all(&indent(caught.text.as_bytes()))?;
        if caught.body != body_text(&request.body, usize::MAX) {
            return Err(CliError::failed(
                "the receiver got another body than hookbox recorded",
            ));
        }
        if !caught.is_signed {
            return Err(CliError::failed("the receiver found a signature wrong"));
        }
        let cost = cost_of(attempt);
        writeln!(out, "\nSandbox: {}", cost_line(cost))?;

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
        let (good, bad) = if good.status == Status::Finished {
            (good, bad)
        } else {
            (bad, good)
        };
        let stopped = last_attempt(&bad)?;
        let error = stopped.error.as_ref();
        let line = error.map(error_line).unwrap_or_default();
        if !error.is_some_and(|error| matches!(&*error.kind, "out_of_fuel" | "timeout")) {
            return Err(CliError::failed(format!(
                "the endless template was not stopped as it should be: {line}"
            )));
        }
        writeln!(out, "{} {line}", self.paint.green("stopped:"))?;
        writeln!(out, "Sandbox: {}", cost_line(cost_of(stopped)))?;

        self.heading("4. And the good webhook? Delivered, at the same cost as before")?;
        if good.status != Status::Finished {
            return Err(not_delivered(&good));
        }
        let caught = self.catcher.next(PATIENCE).await?;
        let again = cost_of(last_attempt(&good)?);
        writeln!(out, "receiver got  {}", one_line(&caught.body))?;
        writeln!(out, "Sandbox: {}", cost_line(again))?;
        if again.fuel != cost.fuel {
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
        self.add(&webhook, &rule).await
    }

    async fn add(&self, webhook: &Value, rule: &Value) -> CliResult {
        for (path, object) in [("webhooks", webhook), ("event-rules", rule)] {
            let IgnoredAny = self.client.post(&[path], Payload::Json(object)).await?;
        }
        Ok(())
    }

    /// Posts the event; the deliveries it set off.
    async fn post_event(&self) -> CliResult<Vec<DeliveryId>> {
        let event: Value = serde_json::from_str(EVENT).map_err(CliError::failed)?;
        let payload = Payload::Json(&event);
        let accepted: Accepted = self.client.post(&["events"], payload).await?;
        let events = accepted.events.into_iter();
        Ok(events.flat_map(|event| event.deliveries).collect())
    }

    /// Posts the event and waits until its one delivery has succeeded.
    async fn deliver_one(&self) -> CliResult<DeliveryDetail> {
        let deliveries = self.post_event().await?;
        let [id] = deliveries.as_slice() else {
            return Err(CliError::failed(
                "the event should have set off one delivery",
            ));
        };
        let delivery = self.ended(id).await?;
        match delivery.status {
            Status::Finished => Ok(delivery),
            _ => Err(not_delivered(&delivery)),
        }
    }

    /// The delivery with its attempts, once it has ended.
    async fn ended(&self, id: &DeliveryId) -> CliResult<DeliveryDetail> {
        let clock = Instant::now();
        loop {
            let delivery: DeliveryDetail = self.client.get(&["deliveries", id.as_str()]).await?;
            if delivery.status.is_ended() {
                return Ok(delivery);
            }
            if clock.elapsed() > PATIENCE {
                return Err(CliError::failed("a delivery did not end"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn last_attempt(delivery: &DeliveryDetail) -> CliResult<&Attempt> {
    let last = delivery.attempts.last();
    last.ok_or_else(|| CliError::failed("a delivery ended without an attempt"))
}

fn cost_of(attempt: &Attempt) -> Cost {
    attempt.render.as_ref().map(Cost::from).unwrap_or_default()
}

fn not_delivered(delivery: &DeliveryDetail) -> CliError {
    CliError::failed(format!(
        "the delivery ended as {}: {}",
        delivery.status.as_str(),
        one_line(delivery.last_result.as_deref().unwrap_or_default())
    ))
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
