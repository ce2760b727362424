//! `hookbox send`: posts events.

mod batches;

use std::{
    collections::BTreeSet,
    io::{self, Write},
    ops::Range,
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use reqwest::StatusCode;

use super::{
    client::{Client, Payload, Refusal, Server},
    deliveries::Names,
    describe::verdict_lines,
    error::{CliError, CliResult},
    terminal::{Json, Paint, one_line, read_input},
};
use crate::{
    api::{Accepted, DeliveryDetail, EventView},
    backend::{Enqueued, Status},
    config::Config,
    model::DeliveryId,
};
use batches::{Events, Room};

/// Larger files are refused here; the server's own limit is lower and says so itself.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// Post events to a server
///
/// FILE holds one event, an array of events, one event a line (NDJSON), or CloudEvents. NetBox's default
/// webhook body is a valid event. More events than a server takes at once are sent in several requests, in their order.
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
    /// Makes sending the same file again harmless, as long as event rules and the server's limits stay as they are: the
    /// server takes each key once
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Print the server's answer as JSON
    #[arg(long, conflicts_with = "wait")]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// Events without a delivery that are explained; each explanation is a request.
const EXPLAINED: usize = 20;

pub(super) async fn run(args: SendArgs) -> CliResult {
    let client = args.server.client()?;
    let bytes = read_input(&args.file, MAX_FILE)?;
    let events = Events::of(&bytes);
    let mut sending = Sending::new(&client, &events, args.idempotency_key);
    let mut answers = Vec::new();
    let mut deliveries = Vec::new();
    let mut unmatched = 0;
    let outcome = loop {
        let accepted = match sending.next().await {
            Ok(Some(accepted)) => accepted,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        if args.json {
            answers.extend(accepted);
            continue;
        }
        for event in &accepted {
            unmatched += usize::from(event.deliveries.is_empty());
            print_event(&client, event, unmatched <= EXPLAINED).await?;
            deliveries.extend_from_slice(&event.deliveries);
        }
    };
    if args.json && (outcome.is_ok() || !answers.is_empty()) {
        let all = serde_json::to_value(Accepted { events: answers }).map_err(CliError::failed)?;
        writeln!(io::stdout(), "{}", Json(&all))?;
    }
    outcome?;
    if args.wait {
        follow(&client, deliveries, Duration::from_secs(args.timeout)).await?;
    }
    Ok(())
}

/// Events on their way to a server, in as many requests as it takes.
struct Sending<'a> {
    client: &'a Client,
    events: &'a Events<'a>,
    key: Option<String>,
    room: Room,
    sent: usize,
    requests: usize,
}

impl<'a> Sending<'a> {
    /// With the room that a server gives unless it is configured otherwise.
    fn new(client: &'a Client, events: &'a Events<'a>, key: Option<String>) -> Self {
        let limits = Config::defaults().ingest;
        let room = Room {
            events: limits.max_batch,
            bytes: limits.max_request_bytes,
        };
        let is_one = events.fitting(0, room).end == events.len();
        // A request that is one of many has a key, so that all can be sent again after a failure.
        let made = || format!("send-{}", uuid::Uuid::now_v7().simple());
        Self {
            client,
            events,
            key: key.or_else(|| (!is_one).then(made)),
            room,
            sent: 0,
            requests: 0,
        }
    }

    /// Sends the next request: what became of its events, or nothing at the end. A server that takes less at once
    /// is sent less.
    async fn next(&mut self) -> CliResult<Option<Vec<Enqueued>>> {
        let total = self.events.len();
        if self.sent == total && self.requests > 0 {
            return Ok(None);
        }
        loop {
            let range = self.events.fitting(self.sent, self.room);
            match self.post(range.clone()).await {
                Ok(Ok(accepted)) => {
                    self.sent = range.end;
                    self.requests += 1;
                    return Ok(Some(accepted.events));
                }
                Ok(Err(refusal)) if is_too_much(&refusal) && range.len() > 1 => {
                    self.room.events = range.len() / 2;
                    self.key
                        .get_or_insert_with(|| format!("send-{}", uuid::Uuid::now_v7().simple()));
                }
                Ok(Err(refusal)) => return Err(self.cut_short(refusal.text)),
                Err(CliError::Failed(why)) => return Err(self.cut_short(why)),
                Err(error) => return Err(error),
            }
        }
    }

    async fn post(&self, range: Range<usize>) -> CliResult<Result<Accepted, Refusal>> {
        // A request with all of them has the key as it was given.
        let key = self
            .key
            .as_ref()
            .map(|key| match range.len() == self.events.len() {
                true => key.clone(),
                false => format!("{key} {}-{}", range.start + 1, range.end),
            });
        let headers: Vec<(&str, &str)> = key
            .iter()
            .map(|key| ("idempotency-key", key.as_str()))
            .collect();
        let body = Payload::Bytes(self.events.content_type(), self.events.body(range));
        self.client.try_post(&["events"], body, &headers).await
    }

    /// The failure of one request, with what had been accepted before.
    fn cut_short(&self, why: String) -> CliError {
        match (self.sent, &self.key) {
            (1.., Some(key)) => CliError::Failed(format!(
                "{why}; {} of {} events had been accepted before, the first of the file. Sent again with \
                 --idempotency-key {} they are recognised and not taken twice, as long as event rules and the server's limits \
                 stay as they are",
                self.sent,
                self.events.len(),
                one_line(key)
            )),
            _ => CliError::Failed(why),
        }
    }
}

/// Whether fewer events at once may be taken.
fn is_too_much(refusal: &Refusal) -> bool {
    match refusal.status {
        StatusCode::PAYLOAD_TOO_LARGE => true,
        StatusCode::CONFLICT => refusal.problem.kind == "/problems/limit-reached",
        // The list as a whole, and not one of its events.
        StatusCode::UNPROCESSABLE_ENTITY => {
            matches!(refusal.problem.errors.as_slice(), [error] if error.field == "events")
        }
        _ => false,
    }
}

async fn print_event(client: &Client, event: &Enqueued, explain: bool) -> CliResult {
    let mut out = io::stdout();
    let id = event.id.as_str();
    let note = if event.duplicate {
        " (was accepted before)"
    } else {
        ""
    };
    writeln!(out, "{}{note}", one_line(id))?;
    for delivery in &event.deliveries {
        writeln!(out, "  {}", one_line(delivery.as_str()))?;
    }
    if event.deliveries.is_empty() {
        writeln!(out, "  no delivery")?;
        if explain {
            for line in explanation(client, id).await? {
                writeln!(out, "    {line}")?;
            }
        }
    }
    Ok(())
}

/// Why no rule matched. Nothing if the key may only send events, or the event is not stored.
async fn explanation(client: &Client, event: &str) -> CliResult<Vec<String>> {
    match client.try_get::<EventView>(&["events", event]).await? {
        Ok(event) => Ok(verdict_lines(&event.explanation, None)),
        Err(refusal) => match refusal.status {
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => Ok(Vec::new()),
            _ => Err(refusal.into()),
        },
    }
}

/// Polls until all have ended. Fails if one did not succeed or time is up.
async fn follow(client: &Client, ids: Vec<DeliveryId>, at_most: Duration) -> CliResult {
    let paint = Paint::for_stdout();
    let names = Names::load(client).await?;
    let started = Instant::now();
    let mut waiting: BTreeSet<DeliveryId> = ids.into_iter().collect();
    let total = waiting.len();
    let mut failed = 0_usize;
    let mut pause = Duration::from_millis(50);
    loop {
        let mut ended = Vec::new();
        for id in &waiting {
            let delivery: DeliveryDetail = client.get(&["deliveries", id.as_str()]).await?;
            let status = delivery.status;
            if status.is_ended() {
                let good = matches!(status, Status::Finished | Status::Skipped);
                failed += usize::from(!good);
                let shown = if good {
                    paint.green(status.as_str())
                } else {
                    paint.red(status.as_str())
                };
                let webhook = names.webhook(&delivery.webhook);
                let result = one_line(delivery.last_result.as_deref().unwrap_or_default());
                writeln!(
                    io::stdout(),
                    "{} {shown} {webhook}: {result}",
                    one_line(id.as_str())
                )?;
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
                waiting
                    .first()
                    .map(|id| one_line(id.as_str()))
                    .unwrap_or_default()
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
