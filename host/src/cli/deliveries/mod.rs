//! `hookbox deliveries`: look at deliveries, and move them on.

mod show;

use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::Duration,
};

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

pub(super) use show::{body_text, error_line, explanation_lines, header_pairs, log_lines, strings};

use super::{
    client::{Client, Payload, Server},
    error::{CliError, CliResult},
    terminal::{Json, Paint, one_line, shortened, write_table},
};
use crate::{backend::Status, model::Timestamp, record::FailureKind};

/// Look at deliveries, send them again, call them off
#[derive(Debug, Args)]
pub(super) struct DeliveriesArgs {
    #[command(subcommand)]
    command: DeliveriesCommand,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Subcommand)]
enum DeliveriesCommand {
    /// List deliveries, newest first
    #[command(after_help = "Examples:
  hookbox deliveries list
  hookbox deliveries list --status failed --since 2026-03-06T15:00:00Z
  hookbox deliveries list --error blocked --since 2h
  hookbox deliveries list --webhook slack --json")]
    List(ListArgs),
    /// Tell the whole story of one delivery
    ///
    /// The event, the rule and why it matched, and each attempt with its request, response, timings, fuel
    /// and error.
    #[command(after_help = "Example:
  hookbox deliveries show dlv_0195…")]
    Show(ShowArgs),
    /// Send deliveries again
    ///
    /// They are put back into the queue with the whole retry schedule before them.
    #[command(after_help = "Examples:
  hookbox deliveries requeue dlv_0195…
  hookbox deliveries requeue --webhook slack --since 1d     all that failed
  hookbox deliveries requeue --error blocked --since 2h     all that the guard refused")]
    Requeue(RequeueArgs),
    /// Call off deliveries that wait
    #[command(after_help = "Examples:
  hookbox deliveries cancel dlv_0195…
  hookbox deliveries cancel --webhook slack --error timeout")]
    Cancel(CancelArgs),
    /// Follow deliveries as they happen, until stopped
    #[command(after_help = "Examples:
  hookbox deliveries tail
  hookbox deliveries tail --status failed")]
    Tail(TailArgs),
}

/// Deliveries that the server requeues or calls off in one request.
const MOVE_STEP: u64 = 10_000;

/// Which deliveries are meant. Everything that is given must hold.
#[derive(Debug, Args)]
struct Filter {
    /// Only in this state: queued, started, scheduled, finished, failed, skipped or cancelled
    #[arg(long, value_parser = status)]
    status: Option<Status>,
    /// Only for this webhook, by name or id
    #[arg(long, value_name = "WEBHOOK")]
    webhook: Option<String>,
    /// Only by this event rule, by name or id
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
    /// Only of this event, by id
    #[arg(long, value_name = "ID")]
    event: Option<String>,
    /// Only of this object type, such as dcim.site
    #[arg(long, value_name = "TYPE")]
    object_type: Option<String>,
    /// Only if the last attempt failed with an error of this kind, such as blocked, dns, timeout or status
    #[arg(long, value_name = "KIND", value_parser = FailureKind::parse)]
    error: Option<FailureKind>,
    /// Only accepted at this time or later: RFC 3339, a date, or an age such as 2h or 7d
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Only accepted before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
}

/// RFC 3339, a date (its midnight in UTC), or an age in seconds, minutes, hours, days or weeks.
fn time(text: &str) -> Result<Timestamp, String> {
    const UNITS: [(char, u64); 5] = [
        ('s', 1),
        ('m', 60),
        ('h', 3600),
        ('d', 24 * 3600),
        ('w', 7 * 24 * 3600),
    ];
    let age = UNITS.iter().find_map(|(unit, seconds)| {
        let number: u64 = text.strip_suffix(*unit)?.parse().ok()?;
        i64::try_from(number.checked_mul(*seconds)?.checked_mul(1000)?).ok()
    });
    if let Some(millis) = age {
        let now = Timestamp::now().as_millis();
        return Ok(Timestamp::from_millis(now.saturating_sub(millis)));
    }
    Timestamp::parse(text)
        .or_else(|_| Timestamp::parse(&format!("{text}T00:00:00Z")))
        .map_err(|_| {
            format!(
                "{text:?} is not a time: give one such as 2026-03-06T15:11:23Z, a date such as 2026-03-06, or an age such as \
                 30m, 2h or 7d"
            )
        })
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    filter: Filter,
    /// How many to list at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// The delivery
    id: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct RequeueArgs {
    /// The deliveries; without any, all that match the filters and failed, or are in the state of --status
    ids: Vec<String>,
    /// Requeue all that failed, if no filter is given
    #[arg(long, conflicts_with = "ids")]
    all_matching: bool,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Debug, Args)]
struct CancelArgs {
    /// The deliveries; without any, all that match the filters and wait
    ids: Vec<String>,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Debug, Args)]
struct TailArgs {
    #[command(flatten)]
    filter: Filter,
    /// Seconds between two looks
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
}

fn status(text: &str) -> Result<Status, String> {
    Status::from_name(text).ok_or_else(|| {
        let all: Vec<&str> = Status::ALL.iter().map(|s| s.as_str()).collect();
        format!("must be one of {}", all.join(", "))
    })
}

pub(super) async fn run(args: DeliveriesArgs) -> CliResult {
    let client = args.server.client()?;
    match args.command {
        DeliveriesCommand::List(args) => list(&client, &args).await,
        DeliveriesCommand::Show(args) => show::run(&client, &args.id, args.json).await,
        DeliveriesCommand::Requeue(args) => requeue(&client, &args).await,
        DeliveriesCommand::Cancel(args) => cancel(&client, &args).await,
        DeliveriesCommand::Tail(args) => tail(&client, &args).await,
    }
}

impl Filter {
    fn is_empty(&self) -> bool {
        let Self {
            status,
            webhook,
            rule,
            event,
            object_type,
            error,
            since,
            until,
        } = self;
        status.is_none()
            && [webhook, rule, event, object_type]
                .iter()
                .all(|f| f.is_none())
            && error.is_none()
            && since.is_none()
            && until.is_none()
    }

    /// The filter as the API takes it. Names of webhooks and rules are looked up only if there are any.
    fn fields(&self, names: &Names) -> CliResult<Map<String, Value>> {
        let mut fields = Map::new();
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                fields.insert(key.to_owned(), value);
            }
        };
        let webhook = self
            .webhook
            .as_deref()
            .map(|n| names.webhook_id(n))
            .transpose()?;
        let rule = self.rule.as_deref().map(|n| names.rule_id(n)).transpose()?;
        set("status", self.status.map(|s| s.as_str().into()));
        set("webhook", webhook.map(Value::from));
        set("rule", rule.map(Value::from));
        set("event", self.event.clone().map(Value::from));
        set("object_type", self.object_type.clone().map(Value::from));
        set("error", self.error.map(|kind| kind.as_str().into()));
        set("since", self.since.map(|t| t.to_string().into()));
        set("until", self.until.map(|t| t.to_string().into()));
        Ok(fields)
    }
}

async fn deliveries(
    client: &Client,
    fields: &Map<String, Value>,
    limit: usize,
) -> CliResult<Vec<Value>> {
    let query: Vec<(&str, &str)> = fields
        .iter()
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
        .collect();
    client.list(&["deliveries"], &query, limit).await
}

async fn list(client: &Client, args: &ListArgs) -> CliResult {
    let names = Names::load(client).await?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let found = deliveries(client, &args.filter.fields(&names)?, limit).await?;
    let mut out = io::stdout().lock();
    if args.json {
        return Ok(writeln!(out, "{}", Json(&Value::Array(found)))?);
    }
    if found.is_empty() {
        return Ok(writeln!(out, "no deliveries")?);
    }
    let rows: Vec<Vec<String>> = found.iter().map(|d| row(d, &names)).collect();
    Ok(write_table(&mut out, &HEADER, &rows)?)
}

const HEADER: [&str; 8] = [
    "ID",
    "ACCEPTED",
    "STATUS",
    "WEBHOOK",
    "OBJECT TYPE",
    "EVENT",
    "TRIES",
    "LAST RESULT",
];

fn row(delivery: &Value, names: &Names) -> Vec<String> {
    let tries = delivery.get("total_attempts").and_then(Value::as_u64);
    vec![
        one_line(text(delivery, "id")),
        one_line(text(delivery, "created")),
        one_line(text(delivery, "status")),
        names.webhook(text(delivery, "webhook")),
        shortened(text(delivery, "object_type"), 40),
        shortened(text(delivery, "event_type"), 40),
        tries.unwrap_or_default().to_string(),
        shortened(text(delivery, "last_result"), 100),
    ]
}

async fn requeue(client: &Client, args: &RequeueArgs) -> CliResult {
    match which(&args.ids, &args.filter)? {
        Which::Named => each(client, &args.ids, "requeue", "queued").await,
        Which::None if !args.all_matching => Err(CliError::usage(
            "name the deliveries, or say by --webhook, --error, --since and other filters which ones; --all-matching \
             alone means all that failed",
        )),
        Which::None | Which::Matching => {
            matching(client, &args.filter, "requeue", "requeued").await
        }
    }
}

async fn cancel(client: &Client, args: &CancelArgs) -> CliResult {
    match which(&args.ids, &args.filter)? {
        Which::Named => each(client, &args.ids, "cancel", "cancelled").await,
        Which::None => Err(CliError::usage(
            "name the deliveries, or say by --webhook, --error, --since and other filters which ones",
        )),
        Which::Matching => matching(client, &args.filter, "cancel", "cancelled").await,
    }
}

/// Which deliveries a command is about.
enum Which {
    Named,
    Matching,
    None,
}

fn which(ids: &[String], filter: &Filter) -> CliResult<Which> {
    match (ids.is_empty(), filter.is_empty()) {
        (true, true) => Ok(Which::None),
        (true, false) => Ok(Which::Matching),
        (false, true) => Ok(Which::Named),
        (false, false) => Err(CliError::usage(
            "give either the deliveries or filters, not both",
        )),
    }
}

/// Moves all deliveries that match, step by step.
async fn matching(client: &Client, filter: &Filter, verb: &str, done: &str) -> CliResult {
    let names = Names::load(client).await?;
    let filter = Value::Object(filter.fields(&names)?);
    let mut total = 0_u64;
    loop {
        let answer = client
            .post(&["deliveries", verb], Payload::Json(&filter))
            .await?;
        let count = answer.get(done).and_then(Value::as_u64).unwrap_or_default();
        total += count;
        // The server does so many in one step; fewer means that there are no more.
        if count < MOVE_STEP {
            break;
        }
    }
    Ok(writeln!(io::stdout(), "{done} {total} deliveries")?)
}

/// Does one thing to each delivery, and goes on after a refusal.
async fn each(client: &Client, ids: &[String], verb: &str, done: &str) -> CliResult {
    let mut refused = 0_usize;
    for id in ids {
        match client
            .post(&["deliveries", id, verb], Payload::Nothing)
            .await
        {
            Ok(_) => writeln!(io::stdout(), "{} {done}", one_line(id))?,
            Err(CliError::Failed(why)) if ids.len() > 1 => {
                refused += 1;
                let _ = writeln!(io::stderr(), "{}: {why}", one_line(id));
            }
            Err(error) => return Err(error),
        }
    }
    if refused > 0 {
        return Err(CliError::failed(format!(
            "{refused} of {} deliveries could not be {done}",
            ids.len()
        )));
    }
    Ok(())
}

/// Prints a line whenever a delivery is new or has changed.
async fn tail(client: &Client, args: &TailArgs) -> CliResult {
    const WINDOW: usize = 1000;
    const AT_FIRST: usize = 10;
    let paint = Paint::for_stdout();
    let mut stopped = Box::pin(super::stop_signal()?);
    let mut names = Names::load(client).await?;
    let fields = args.filter.fields(&names)?;
    // Only what is in the window is remembered, so that memory stays bounded.
    let mut seen: Option<BTreeMap<String, String>> = None;
    loop {
        let found = deliveries(client, &fields, WINDOW).await?;
        let mut now = BTreeMap::new();
        let mut fresh: Vec<&Value> = Vec::new();
        for delivery in &found {
            let id = text(delivery, "id").to_owned();
            let updated = text(delivery, "updated").to_owned();
            let known = seen.as_ref().and_then(|s| s.get(&id));
            if known != Some(&updated) {
                fresh.push(delivery);
            }
            now.insert(id, updated);
        }
        if seen.is_none() {
            fresh.truncate(AT_FIRST);
        }
        if fresh.iter().any(|d| !names.knows(text(d, "webhook"))) {
            names = Names::load(client).await?;
        }
        fresh.sort_by_key(|d| text(d, "updated"));
        for delivery in fresh {
            let status = text(delivery, "status");
            let shown = match Status::from_name(status) {
                Some(Status::Finished) => paint.green(status),
                Some(Status::Failed) => paint.red(status),
                _ => one_line(status),
            };
            let mut line = format!(
                "{} {} {shown} {} {} {}",
                one_line(text(delivery, "updated")),
                one_line(text(delivery, "id")),
                names.webhook(text(delivery, "webhook")),
                one_line(text(delivery, "object_type")),
                one_line(text(delivery, "event_type")),
            );
            let result = text(delivery, "last_result");
            if !result.is_empty() {
                line.push_str(": ");
                line.push_str(&shortened(result, 200));
            }
            writeln!(io::stdout(), "{line}")?;
        }
        seen = Some(now);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(args.interval)) => {}
            () = &mut stopped => return Ok(()),
        }
    }
}

/// The names of webhooks and event rules: people know those, deliveries hold ids.
#[derive(Debug)]
pub(super) struct Names {
    webhooks: BTreeMap<String, String>,
    rules: BTreeMap<String, String>,
}

impl Names {
    const MAX: usize = 10_000;

    pub(super) async fn load(client: &Client) -> CliResult<Self> {
        let names = |items: Vec<Value>| {
            items
                .iter()
                .map(|item| (text(item, "id").to_owned(), text(item, "name").to_owned()))
                .collect()
        };
        Ok(Self {
            webhooks: names(client.list(&["webhooks"], &[], Self::MAX).await?),
            rules: names(client.list(&["event-rules"], &[], Self::MAX).await?),
        })
    }

    /// A webhook's name, clean; its id if it has been removed.
    pub(super) fn webhook(&self, id: &str) -> String {
        shortened(self.webhooks.get(id).map_or(id, String::as_str), 40)
    }

    /// A rule's name, clean; its id if it has been removed.
    pub(super) fn rule(&self, id: &str) -> String {
        shortened(self.rules.get(id).map_or(id, String::as_str), 40)
    }

    fn knows(&self, webhook: &str) -> bool {
        self.webhooks.contains_key(webhook)
    }

    fn webhook_id(&self, name: &str) -> CliResult<String> {
        id_of(&self.webhooks, name, "webhook")
    }

    fn rule_id(&self, name: &str) -> CliResult<String> {
        id_of(&self.rules, name, "event rule")
    }
}

/// The id of what has this name or id. One that is gone may still have deliveries, so an id is taken as
/// it is.
fn id_of(names: &BTreeMap<String, String>, wanted: &str, kind: &str) -> CliResult<String> {
    let by_name = names.iter().find(|(_, name)| *name == wanted);
    match by_name {
        Some((id, _)) => Ok(id.clone()),
        None if names.contains_key(wanted)
            || wanted.starts_with("whk_")
            || wanted.starts_with("rul_") =>
        {
            Ok(wanted.to_owned())
        }
        None => Err(CliError::failed(format!(
            "there is no {kind} {:?}",
            one_line(wanted)
        ))),
    }
}

/// A text field, empty if there is none.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_moments_dates_and_ages() {
        let given = Timestamp::parse("2026-03-06T15:11:23Z").unwrap();
        assert_eq!(time("2026-03-06T15:11:23Z"), Ok(given));
        assert_eq!(time("2026-03-06"), Timestamp::parse("2026-03-06T00:00:00Z"));
        for (age, seconds) in [
            ("90s", 90),
            ("5m", 300),
            ("2h", 7200),
            ("7d", 604_800),
            ("1w", 604_800),
        ] {
            let since = Timestamp::now().since(time(age).unwrap()).as_secs();
            assert!((seconds..seconds + 60).contains(&since), "{age}: {since}");
        }
        for wrong in [
            "",
            "h",
            "2x",
            "-1h",
            "1.5h",
            "yesterday",
            "99999999999999999999d",
            "18446744073709551615w",
        ] {
            assert!(time(wrong).unwrap_err().contains("2h or 7d"), "{wrong}");
        }
    }
}
