//! `hookbox plugin upload` and what follows: the plugins of a server.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    client::{Payload, Server},
    deliveries::text,
    error::{CliError, CliResult},
    progress::Progress,
    terminal::{Json, one_line, read_input, write_table},
};
use crate::{
    model::{short, split_reference},
    sandbox::Sandbox,
};

/// How long an upload is waited for: compiling a large component takes a minute on a busy machine, and others
/// may be before it.
const PATIENCE: Duration = Duration::from_secs(900);
/// Plugins listed at most.
const MANY: usize = 100_000;

/// Upload a plugin, or a new version of one
///
/// The server checks it as `hookbox plugin check` does. Then all webhooks that follow the plugin run it, unless
/// --canary or --hold is given. The same bytes again change nothing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hookbox plugin upload mine.wasm
  hookbox plugin upload target/plugin.wasm --name mine --canary 5     try it on 5 % of the deliveries
  hookbox plugin upload mine.wasm --hold && hookbox render --delivery dlv_0195… --plugin mine@0123456789ab")]
pub(super) struct UploadArgs {
    /// The component, or a core module with an embedded component type
    file: PathBuf,
    /// The plugin's name; otherwise that of the file, without .wasm
    #[arg(long)]
    name: Option<String>,
    /// Run it on trial for this share of the deliveries, from 1 to 99. hookbox ends the trial if it fails more
    /// often than the current version
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=99))]
    canary: Option<u8>,
    /// Store it, and let nobody run it who does not name it
    #[arg(long, conflicts_with = "canary")]
    hold: bool,
    #[command(flatten)]
    server: Server,
}

/// List the server's plugins
#[derive(Debug, Args)]
#[command(after_help = "Example:
  hookbox plugin list")]
pub(super) struct ListArgs {
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// Show a plugin's versions, and how its trial goes
#[derive(Debug, Args)]
#[command(after_help = "Example:
  hookbox plugin show mine")]
pub(super) struct ShowArgs {
    /// The plugin
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// Let everybody run a version, or put it on trial
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hookbox plugin promote mine                           the version on trial, for everybody
  hookbox plugin promote mine 0123456789ab
  hookbox plugin promote mine 0123456789ab --canary 10")]
pub(super) struct PromoteArgs {
    /// The plugin
    name: String,
    /// The version: 8 or more of the digits that `hookbox plugin show` prints; otherwise the one on trial
    version: Option<String>,
    /// Only on trial, for this share of the deliveries, from 1 to 99
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=99))]
    canary: Option<u8>,
    #[command(flatten)]
    server: Server,
}

/// End the trial, or return to the version before the current one
#[derive(Debug, Args)]
#[command(after_help = "Example:
  hookbox plugin rollback mine")]
pub(super) struct RollbackArgs {
    /// The plugin
    name: String,
    #[command(flatten)]
    server: Server,
}

/// Delete a plugin, or one of its versions
///
/// Refused while a webhook names it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hookbox plugin delete mine
  hookbox plugin delete mine@0123456789ab")]
pub(super) struct DeleteArgs {
    /// The plugin, or NAME@VERSION for one version
    #[arg(value_name = "NAME[@VERSION]")]
    name: String,
    #[command(flatten)]
    server: Server,
}

/// Delete the old versions of a plugin that nothing needs
///
/// The current version stays, the one before it, the one on trial, and those that webhooks pin. An upload does the
/// same, but leaves as many old versions as limits.plugin_versions_kept of the server says.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hookbox plugin prune mine
  hookbox plugin prune mine --keep 3")]
pub(super) struct PruneArgs {
    /// The plugin
    name: String,
    /// Leave so many of them, the newest ones
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep: usize,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn upload(args: UploadArgs) -> CliResult {
    let name = match &args.name {
        Some(name) => name.clone(),
        None => name_of(&args.file)?,
    };
    let wasm = read_input(&args.file, Sandbox::MAX_COMPONENT_BYTES as u64)?;
    let share = args.canary.map(|share| share.to_string());
    let mut query = vec![("name", name.as_str())];
    query.extend(share.as_deref().map(|share| ("canary", share)));
    query.extend(args.hold.then_some(("hold", "true")));
    let client = args.server.client()?.patient(PATIENCE);
    let progress = Progress::of(wasm.len());
    let payload = Payload::Stream("application/wasm", wasm.len(), progress.body(wasm));
    let answer = client.call_for_place(Method::POST, &["plugins"], &query, payload);
    let answer = answer.await;
    progress.end();
    let (status, place, plugin) = answer?;
    let version = short(place.rsplit('/').next().unwrap_or_default());
    let is = Standing::of(version, &plugin);
    let said = if status == StatusCode::CREATED {
        format!("uploaded {}: {}", one_line(version), is.words())
    } else {
        format!(
            "{} is here already, {}; nothing has changed",
            one_line(version),
            is.words()
        )
    };
    writeln!(io::stdout(), "{said}")?;
    let pruned = plugin.get("pruned").and_then(Value::as_array);
    if let Some(pruned) = pruned.map(Vec::len).filter(|pruned| *pruned > 0) {
        writeln!(
            io::stdout(),
            "old versions that nothing needs were removed: {pruned}"
        )?;
    }
    print(&plugin)?;
    // The request was not fulfilled, and a caller that does not look would not know.
    let trial = args.canary.map(|share| format!(" --canary {share}"));
    let missed = status != StatusCode::CREATED
        && match is {
            Standing::Current => false,
            Standing::OnTrial => trial.is_none() && !args.hold,
            Standing::Held => !args.hold,
        };
    if missed {
        return Err(CliError::failed(format!(
            "{said}: `hookbox plugin promote {} {}{}` runs it",
            one_line(&name),
            one_line(version),
            trial.unwrap_or_default()
        )));
    }
    Ok(())
}

/// The role of a version in its plugin.
#[derive(Clone, Copy)]
enum Standing {
    Current,
    OnTrial,
    Held,
}

impl Standing {
    /// By the first digits of the version's digest.
    fn of(version: &str, plugin: &Value) -> Self {
        let canary = plugin.pointer("/canary/version").and_then(Value::as_str);
        if short(text(plugin, "version")) == version {
            Self::Current
        } else if canary.is_some_and(|canary| short(canary) == version) {
            Self::OnTrial
        } else {
            Self::Held
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Current => "the current version",
            Self::OnTrial => "on trial",
            Self::Held => "not the current version",
        }
    }
}

/// A plugin's name from its file's.
fn name_of(file: &Path) -> CliResult<String> {
    let stem = file.file_stem().and_then(|stem| stem.to_str());
    stem.filter(|stem| *stem != "-")
        .map(str::to_owned)
        .ok_or_else(|| CliError::usage("give the plugin a name: --name NAME"))
}

pub(super) async fn list(args: ListArgs) -> CliResult {
    let plugins = args.server.client()?.list(&["plugins"], &[], MANY).await?;
    let mut out = io::stdout();
    if args.json {
        return Ok(writeln!(out, "{}", Json(&Value::Array(plugins)))?);
    }
    let rows: Vec<Vec<String>> = plugins
        .iter()
        .map(|plugin| {
            let versions = plugin.get("versions").and_then(Value::as_array);
            vec![
                one_line(text(plugin, "name")),
                one_line(short(text(plugin, "version"))),
                versions.map_or(0, Vec::len).to_string(),
                trial_of(plugin).unwrap_or_default(),
            ]
        })
        .collect();
    Ok(write_table(
        &mut out,
        &["NAME", "CURRENT", "VERSIONS", "TRIAL"],
        &rows,
    )?)
}

pub(super) async fn show(args: ShowArgs) -> CliResult {
    let plugin = args
        .server
        .client()?
        .get(&["plugins", &args.name], &[])
        .await?;
    if args.json {
        return Ok(writeln!(io::stdout(), "{}", Json(&plugin))?);
    }
    print(&plugin)
}

pub(super) async fn promote(args: PromoteArgs) -> CliResult {
    let client = args.server.client()?;
    let version = match args.version {
        Some(version) => version,
        None => {
            let plugin = client.get(&["plugins", &args.name], &[]).await?;
            let canary = plugin.pointer("/canary/version").and_then(Value::as_str);
            let canary = canary.map(str::to_owned);
            canary.ok_or_else(|| {
                CliError::usage(format!(
                    "{} has no version on trial: give the version, which `hookbox plugin show {0}` prints",
                    one_line(&args.name)
                ))
            })?
        }
    };
    let mut body = json!({"version": version});
    if let (Some(share), Some(body)) = (args.canary, body.as_object_mut()) {
        body.insert("canary".to_owned(), share.into());
    }
    let path = ["plugins", &args.name, "promote"];
    let plugin = client.post(&path, Payload::Json(&body)).await?;
    print(&plugin)
}

pub(super) async fn rollback(args: RollbackArgs) -> CliResult {
    let path = ["plugins", &args.name, "rollback"];
    let plugin = args.server.client()?.post(&path, Payload::Nothing).await?;
    print(&plugin)
}

pub(super) async fn delete(args: DeleteArgs) -> CliResult {
    let client = args.server.client()?;
    let (name, version) = split_reference(&args.name);
    let mut path = vec!["plugins", name];
    path.extend(
        version
            .into_iter()
            .flat_map(|version| ["versions", version]),
    );
    client
        .call(Method::DELETE, &path, &[], Payload::Nothing)
        .await?;
    Ok(writeln!(io::stdout(), "deleted {}", one_line(&args.name))?)
}

pub(super) async fn prune(args: PruneArgs) -> CliResult {
    let client = args.server.client()?;
    let plugin = client.get(&["plugins", &args.name], &[]).await?;
    let webhooks = client.list(&["webhooks"], &[], MANY).await?;
    let pins: Vec<String> = webhooks
        .iter()
        .map(|webhook| split_reference(text(webhook, "plugin")))
        .filter(|(name, _)| *name == args.name)
        .filter_map(|(_, pin)| pin)
        .map(str::to_ascii_lowercase)
        .collect();
    let canary = plugin.pointer("/canary/version").and_then(Value::as_str);
    let needed = |sha256: &str| {
        sha256 == text(&plugin, "version")
            || sha256 == text(&plugin, "previous")
            || Some(sha256) == canary
            || pins.iter().any(|pin| sha256.starts_with(pin))
    };
    let versions = plugin.get("versions").and_then(Value::as_array);
    let mut old: Vec<&str> = versions
        .into_iter()
        .flatten()
        .map(|version| text(version, "sha256"))
        .filter(|sha256| !needed(sha256))
        .collect();
    old.truncate(old.len().saturating_sub(args.keep));
    // One by one: the server looks once more at each whether nothing needs it.
    for sha256 in &old {
        let path = ["plugins", &args.name, "versions", sha256];
        client
            .call(Method::DELETE, &path, &[], Payload::Nothing)
            .await?;
    }
    Ok(writeln!(
        io::stdout(),
        "deleted {} old versions of {}",
        old.len(),
        one_line(&args.name)
    )?)
}

/// The trial that runs, in a few words.
fn trial_of(plugin: &Value) -> Option<String> {
    let canary = plugin.get("canary").filter(|c| !c.is_null())?;
    let share = canary.get("share").and_then(Value::as_u64)?;
    let version = one_line(short(text(canary, "version")));
    Some(format!("{version} {share} %"))
}

/// A plugin for people: its versions, newest last, and what each is.
fn print(plugin: &Value) -> CliResult {
    let mut out = io::stdout();
    let name = one_line(text(plugin, "name"));
    let current = text(plugin, "version");
    writeln!(out, "{name}@{}", one_line(short(current)))?;
    let canary = plugin.pointer("/canary/version").and_then(Value::as_str);
    let versions = plugin.get("versions").and_then(Value::as_array);
    let rows: Vec<Vec<String>> = versions
        .into_iter()
        .flatten()
        .map(|version| {
            let sha256 = text(version, "sha256");
            let n = |key| {
                version
                    .get(key)
                    .and_then(Value::as_u64)
                    .unwrap_or(0)
                    .to_string()
            };
            let is = match sha256 {
                sha256 if sha256 == current => "current",
                sha256 if Some(sha256) == canary => "on trial",
                sha256 if sha256 == text(plugin, "previous") => "previous",
                _ => "",
            };
            vec![
                one_line(short(sha256)),
                is.to_owned(),
                one_line(text(version, "uploaded")),
                n("component_bytes"),
                n("trial_fuel"),
            ]
        })
        .collect();
    if !rows.is_empty() {
        write_table(
            &mut out,
            &["VERSION", "IS", "UPLOADED", "BYTES", "FUEL"],
            &rows,
        )?;
    }
    if let Some(trial) = trial_of(plugin) {
        writeln!(
            out,
            "Rollout: {trial} of the deliveries{}",
            seen(plugin.get("tallies"))
        )?;
    }
    if let Some(ended) = plugin.get("rolled_back").filter(|r| !r.is_null()) {
        writeln!(
            out,
            "The trial of {} was ended at {}, as it failed more often{}",
            one_line(short(text(ended, "version"))),
            one_line(text(ended, "at")),
            seen(ended.get("tallies")),
        )?;
    }
    Ok(())
}

fn seen(tallies: Option<&Value>) -> String {
    let Some(tallies) = tallies.filter(|t| !t.is_null()) else {
        return String::new();
    };
    let n = |pointer| {
        tallies
            .pointer(pointer)
            .and_then(Value::as_u64)
            .unwrap_or(0)
    };
    format!(
        ": {} of {} failed, and {} of {} of the current version",
        n("/canary/failures"),
        n("/canary/attempts"),
        n("/current/failures"),
        n("/current/attempts")
    )
}
