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
    error::{CliError, CliResult},
    progress::Progress,
    terminal::{Json, one_line, read_input, write_table},
};
use crate::{
    api::{PluginView, WebhookView},
    model::{Tallies, short, split_reference},
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
  hookbox plugin upload target/plugin.wasm --name mine --canary 5     a rollout to 5 % of the deliveries
  hookbox plugin upload mine.wasm --hold && hookbox render --delivery dlv_0195… --plugin mine@0123456789ab")]
pub(super) struct UploadArgs {
    /// The component, or a core module with an embedded component type
    file: PathBuf,
    /// The plugin's name; otherwise that of the file, without .wasm
    #[arg(long)]
    name: Option<String>,
    /// Run it as the canary of a rollout, for this share of the deliveries, from 1 to 99. hookbox ends the rollout if
    /// the canary fails more often than the current version
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

/// Show a plugin's versions and its rollout
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

/// Make a version the current one, or start a rollout of it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hookbox plugin promote mine                           the canary becomes the current version
  hookbox plugin promote mine 0123456789ab
  hookbox plugin promote mine 0123456789ab --canary 10")]
pub(super) struct PromoteArgs {
    /// The plugin
    name: String,
    /// The version: 8 or more of the digits that `hookbox plugin show` prints; otherwise the canary
    version: Option<String>,
    /// Start a rollout: this share of the deliveries runs the version, from 1 to 99
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=99))]
    canary: Option<u8>,
    #[command(flatten)]
    server: Server,
}

/// End the rollout, or return to the version before the current one
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
/// The current version stays, the one before it, the canary, and those that webhooks pin. An upload does the
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
    let (status, place, plugin): (_, _, PluginView) = answer?;
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
    if !plugin.pruned.is_empty() {
        writeln!(
            io::stdout(),
            "old versions that nothing needs were removed: {}",
            plugin.pruned.len()
        )?;
    }
    print(&plugin)?;
    // The request was not fulfilled, and a caller that does not look would not know.
    let canary = args.canary.map(|share| format!(" --canary {share}"));
    let missed = status != StatusCode::CREATED
        && match is {
            Standing::Current => false,
            Standing::Canary => canary.is_none() && !args.hold,
            Standing::Held => !args.hold,
        };
    if missed {
        return Err(CliError::failed(format!(
            "{said}: `hookbox plugin promote {} {}{}` runs it",
            one_line(&name),
            one_line(version),
            canary.unwrap_or_default()
        )));
    }
    Ok(())
}

/// The role of a version in its plugin.
#[derive(Clone, Copy)]
enum Standing {
    Current,
    Canary,
    Held,
}

impl Standing {
    /// By the first digits of the version's digest.
    fn of(version: &str, plugin: &PluginView) -> Self {
        if short(&plugin.version) == version {
            Self::Current
        } else if canary_of(plugin).is_some_and(|canary| short(canary) == version) {
            Self::Canary
        } else {
            Self::Held
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Current => "the current version",
            Self::Canary => "the canary of a rollout",
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
    let client = args.server.client()?;
    let mut out = io::stdout();
    if args.json {
        let plugins = Value::Array(client.list(&["plugins"], &[], MANY).await?);
        return Ok(writeln!(out, "{}", Json(&plugins))?);
    }
    let plugins: Vec<PluginView> = client.list(&["plugins"], &[], MANY).await?;
    let rows: Vec<Vec<String>> = plugins
        .iter()
        .map(|plugin| {
            vec![
                one_line(&plugin.name),
                one_line(short(&plugin.version)),
                plugin.versions.len().to_string(),
                rollout_of(plugin).unwrap_or_default(),
            ]
        })
        .collect();
    let header = ["NAME", "CURRENT", "VERSIONS", "ROLLOUT"];
    Ok(write_table(&mut out, &header, &rows)?)
}

pub(super) async fn show(args: ShowArgs) -> CliResult {
    let client = args.server.client()?;
    let path = ["plugins", args.name.as_str()];
    if args.json {
        let plugin: Value = client.get(&path).await?;
        return Ok(writeln!(io::stdout(), "{}", Json(&plugin))?);
    }
    print(&client.get(&path).await?)
}

pub(super) async fn promote(args: PromoteArgs) -> CliResult {
    let client = args.server.client()?;
    let version = match args.version {
        Some(version) => version,
        None => {
            let plugin: PluginView = client.get(&["plugins", &args.name]).await?;
            let canary = plugin.canary.map(|canary| canary.version);
            canary.ok_or_else(|| {
                CliError::usage(format!(
                    "{} has no rollout: give the version, which `hookbox plugin show {0}` prints",
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
    print(&client.post(&path, Payload::Json(&body)).await?)
}

pub(super) async fn rollback(args: RollbackArgs) -> CliResult {
    let path = ["plugins", &args.name, "rollback"];
    let client = args.server.client()?;
    print(&client.post(&path, Payload::Nothing).await?)
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
    client.delete(&path).await?;
    Ok(writeln!(io::stdout(), "deleted {}", one_line(&args.name))?)
}

pub(super) async fn prune(args: PruneArgs) -> CliResult {
    let client = args.server.client()?;
    let plugin: PluginView = client.get(&["plugins", &args.name]).await?;
    let webhooks: Vec<WebhookView> = client.list(&["webhooks"], &[], MANY).await?;
    let pins: Vec<String> = webhooks
        .iter()
        .filter_map(|webhook| webhook.plugin.as_deref())
        .map(split_reference)
        .filter(|(name, _)| *name == args.name)
        .filter_map(|(_, pin)| pin)
        .map(str::to_ascii_lowercase)
        .collect();
    let needed = |sha256: &str| {
        sha256 == plugin.version
            || Some(sha256) == plugin.previous.as_deref()
            || Some(sha256) == canary_of(&plugin)
            || pins.iter().any(|pin| sha256.starts_with(pin))
    };
    let mut old: Vec<&str> = plugin
        .versions
        .iter()
        .map(|version| version.sha256.as_str())
        .filter(|sha256| !needed(sha256))
        .collect();
    old.truncate(old.len().saturating_sub(args.keep));
    // One by one: the server looks once more at each whether nothing needs it.
    for sha256 in &old {
        client
            .delete(&["plugins", &args.name, "versions", sha256])
            .await?;
    }
    Ok(writeln!(
        io::stdout(),
        "deleted {} old versions of {}",
        old.len(),
        one_line(&args.name)
    )?)
}

/// The version that a rollout tries.
fn canary_of(plugin: &PluginView) -> Option<&str> {
    plugin.canary.as_ref().map(|canary| canary.version.as_str())
}

/// The rollout that runs, in a few words.
fn rollout_of(plugin: &PluginView) -> Option<String> {
    let canary = plugin.canary.as_ref()?;
    let version = one_line(short(&canary.version));
    Some(format!("{version} {} %", canary.share))
}

/// A plugin for people: its versions, newest last, and what each is.
fn print(plugin: &PluginView) -> CliResult {
    let mut out = io::stdout();
    let name = one_line(&plugin.name);
    writeln!(out, "{name}@{}", one_line(short(&plugin.version)))?;
    let rows: Vec<Vec<String>> = plugin
        .versions
        .iter()
        .map(|version| {
            let is = match version.sha256.as_str() {
                sha256 if sha256 == plugin.version => "current",
                sha256 if Some(sha256) == canary_of(plugin) => "canary",
                sha256 if Some(sha256) == plugin.previous.as_deref() => "previous",
                _ => "",
            };
            vec![
                one_line(short(&version.sha256)),
                is.to_owned(),
                version.uploaded.to_string(),
                version.component_bytes.to_string(),
                version.trial_fuel.to_string(),
            ]
        })
        .collect();
    if !rows.is_empty() {
        let header = ["VERSION", "IS", "UPLOADED", "BYTES", "FUEL"];
        write_table(&mut out, &header, &rows)?;
    }
    if let Some(rollout) = rollout_of(plugin) {
        let seen = plugin.tallies.map(seen).unwrap_or_default();
        writeln!(out, "Rollout: {rollout} of the deliveries{seen}")?;
    }
    if let Some(ended) = &plugin.rolled_back {
        writeln!(
            out,
            "The rollout of {} was ended at {}, as it failed more often{}",
            one_line(short(&ended.version)),
            ended.at,
            seen(ended.tallies),
        )?;
    }
    Ok(())
}

fn seen(Tallies { canary, current }: Tallies) -> String {
    format!(
        ": {} of {} failed, and {} of {} of the current version",
        canary.failures, canary.attempts, current.failures, current.attempts
    )
}
