//! `hookbox deliveries`: look at deliveries, and move them on.

mod show;

use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::Duration,
};

use clap::{Args, Subcommand};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Map, Value};

use super::{
    client::{Client, Payload, Server},
    error::{CliError, CliResult},
    terminal::{Json, Paint, one_line, shortened, write_table},
};
use crate::{
    api::{Cancelled, EventRuleView, Requeued, WebhookView},
    backend::{Delivery, Status},
    model::{DeliveryId, RuleId, Timestamp, WebhookId},
    record::FailureKind,
};

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
const MOVE_STEP: usize = 10_000;

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

async fn deliveries<T: DeserializeOwned>(
    client: &Client,
    fields: &Map<String, Value>,
    limit: usize,
) -> CliResult<Vec<T>> {
    let query: Vec<(&str, &str)> = fields
        .iter()
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
        .collect();
    client.list(&["deliveries"], &query, limit).await
}

async fn list(client: &Client, args: &ListArgs) -> CliResult {
    let names = Names::load(client).await?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let fields = args.filter.fields(&names)?;
    let mut out = io::stdout();
    if args.json {
        let found = Value::Array(deliveries(client, &fields, limit).await?);
        return Ok(writeln!(out, "{}", Json(&found))?);
    }
    let found = deliveries(client, &fields, limit).await?;
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

fn row(delivery: &Delivery, names: &Names) -> Vec<String> {
    vec![
        one_line(delivery.id.as_str()),
        delivery.created.to_string(),
        delivery.status.as_str().to_owned(),
        names.webhook(&delivery.webhook),
        shortened(&delivery.object_type, 40),
        shortened(&delivery.event_type, 40),
        delivery.total_attempts.to_string(),
        shortened(delivery.last_result.as_deref().unwrap_or_default(), 100),
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
            let count = |answer: Requeued| answer.requeued;
            matching(client, &args.filter, "requeue", "requeued", count).await
        }
    }
}

async fn cancel(client: &Client, args: &CancelArgs) -> CliResult {
    match which(&args.ids, &args.filter)? {
        Which::Named => each(client, &args.ids, "cancel", "cancelled").await,
        Which::None => Err(CliError::usage(
            "name the deliveries, or say by --webhook, --error, --since and other filters which ones",
        )),
        Which::Matching => {
            let count = |answer: Cancelled| answer.cancelled;
            matching(client, &args.filter, "cancel", "cancelled", count).await
        }
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

/// Requeues or cancels all deliveries that match, step by step.
async fn matching<T: DeserializeOwned>(
    client: &Client,
    filter: &Filter,
    verb: &str,
    done: &str,
    count: impl Fn(T) -> usize,
) -> CliResult {
    let names = Names::load(client).await?;
    let filter = Value::Object(filter.fields(&names)?);
    let mut total = 0;
    loop {
        let payload = Payload::Json(&filter);
        let moved = count(client.post(&["deliveries", verb], payload).await?);
        total += moved;
        // A step that is not full is the last.
        if moved < MOVE_STEP {
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
            Ok(IgnoredAny) => writeln!(io::stdout(), "{} {done}", one_line(id))?,
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
    let mut seen: Option<BTreeMap<DeliveryId, Timestamp>> = None;
    loop {
        let found: Vec<Delivery> = deliveries(client, &fields, WINDOW).await?;
        let is_fresh = |d: &&Delivery| match &seen {
            Some(seen) => seen.get(&d.id) != Some(&d.updated),
            None => true,
        };
        let mut fresh: Vec<&Delivery> = found.iter().filter(is_fresh).collect();
        if seen.is_none() {
            fresh.truncate(AT_FIRST);
        }
        if fresh.iter().any(|d| !names.knows(&d.webhook)) {
            names = Names::load(client).await?;
        }
        fresh.sort_by_key(|d| d.updated);
        for delivery in fresh {
            let mut line = format!(
                "{} {} {} {} {} {}",
                delivery.updated,
                one_line(delivery.id.as_str()),
                painted(delivery.status, paint),
                names.webhook(&delivery.webhook),
                one_line(&delivery.object_type),
                one_line(&delivery.event_type),
            );
            if let Some(result) = &delivery.last_result {
                line.push_str(": ");
                line.push_str(&shortened(result, 200));
            }
            writeln!(io::stdout(), "{line}")?;
        }
        let now = found.into_iter().map(|d| (d.id, d.updated));
        seen = Some(now.collect());
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(args.interval)) => {}
            () = &mut stopped => return Ok(()),
        }
    }
}

/// A state, in the colour of how it ended.
pub(super) fn painted(status: Status, paint: Paint) -> String {
    match status {
        Status::Finished => paint.green(status.as_str()),
        Status::Failed => paint.red(status.as_str()),
        _ => status.as_str().to_owned(),
    }
}

/// The names of webhooks and event rules: people know those, deliveries hold ids.
#[derive(Debug)]
pub(super) struct Names {
    webhooks: BTreeMap<WebhookId, String>,
    rules: BTreeMap<RuleId, String>,
}

impl Names {
    const MAX: usize = 10_000;

    pub(super) async fn load(client: &Client) -> CliResult<Self> {
        let webhooks: Vec<WebhookView> = client.list(&["webhooks"], &[], Self::MAX).await?;
        let rules: Vec<EventRuleView> = client.list(&["event-rules"], &[], Self::MAX).await?;
        Ok(Self {
            webhooks: webhooks.into_iter().map(|w| (w.id, w.name)).collect(),
            rules: rules.into_iter().map(|r| (r.id, r.name)).collect(),
        })
    }

    /// A webhook's name, clean; its id if it has been removed.
    pub(super) fn webhook(&self, id: &WebhookId) -> String {
        let name = self.webhooks.get(id).map(String::as_str);
        shortened(name.unwrap_or(id.as_str()), 40)
    }

    /// A rule's name, clean; its id if it has been removed.
    pub(super) fn rule(&self, id: &RuleId) -> String {
        let name = self.rules.get(id).map(String::as_str);
        shortened(name.unwrap_or(id.as_str()), 40)
    }

    fn knows(&self, webhook: &WebhookId) -> bool {
        self.webhooks.contains_key(webhook)
    }

    fn webhook_id(&self, name: &str) -> CliResult<String> {
        let names = self.webhooks.iter().map(|(id, name)| (id.as_str(), name));
        id_of(names, name, "webhook", "whk_")
    }

    fn rule_id(&self, name: &str) -> CliResult<String> {
        let names = self.rules.iter().map(|(id, name)| (id.as_str(), name));
        id_of(names, name, "event rule", "rul_")
    }
}

/// The id of the webhook or rule that has this name. An id is taken as it is: one that was deleted may still have
/// deliveries.
fn id_of<'a>(
    mut names: impl Iterator<Item = (&'a str, &'a String)>,
    wanted: &str,
    kind: &str,
    prefix: &str,
) -> CliResult<String> {
    match names.find(|(_, name)| *name == wanted) {
        Some((id, _)) => Ok(id.to_owned()),
        None if wanted.starts_with(prefix) => Ok(wanted.to_owned()),
        None => Err(CliError::failed(format!(
            "there is no {kind} {:?}",
            one_line(wanted)
        ))),
    }
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
