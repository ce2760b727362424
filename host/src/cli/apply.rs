//! `hookbox apply`: makes webhooks and event rules be as a file says.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::PathBuf,
};

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use super::{
    client::{Client, Payload, Server},
    error::{CliError, CliResult},
    terminal::{one_line, read_json},
};

const MAX_FILE: u64 = 64 * 1024 * 1024;
/// Far more than a tenant may have.
const MAX_ITEMS: usize = 100_000;

/// Create or update webhooks and event rules from a file
///
/// The file is JSON: {"webhooks": […], "event_rules": […]}, as `hookbox export` writes it and with the
/// fields of NetBox's REST API. Things are found by name, so applying a file twice changes nothing, and
/// what the file does not name is left alone. A webhook's stored secret stays if the file has none. What the
/// server refuses is said, and the rest is done. Plugins that webhooks name have to be uploaded before.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hookbox apply -f webhooks.json
  hookbox apply -f webhooks.json --dry-run
  hookbox export | HOOKBOX_URL=https://other.example hookbox apply -f -")]
pub(super) struct ApplyArgs {
    /// The file; - for stdin
    #[arg(short, long)]
    file: PathBuf,
    /// Say what would be created or updated, and change nothing; whether the server would take it is not looked at
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    server: Server,
}

/// The two kinds of things in a file: key, path, word. Webhooks first, as rules name them.
pub(super) const KINDS: [(&str, &str, &str); 2] = [
    ("webhooks", "webhooks", "webhook"),
    ("event_rules", "event-rules", "event rule"),
];

pub(super) async fn run(args: ApplyArgs) -> CliResult {
    let file = read_json(&args.file, MAX_FILE)?;
    let wanted =
        wanted(&file).map_err(|why| CliError::failed(format!("{}: {why}", args.file.display())))?;
    let client = args.server.client()?;
    let (mut out, mut failed) = (io::stdout(), 0_usize);
    for ((_, path, word), items) in KINDS.iter().zip(wanted) {
        if items.is_empty() {
            continue;
        }
        let stored: BTreeMap<String, Value> = client
            .list(&[path], &[], MAX_ITEMS)
            .await?
            .into_iter()
            .map(|item: Value| (text(&item, "name").to_owned(), item))
            .collect();
        for (name, item) in items {
            let before = stored.get(name);
            let done = if args.dry_run {
                Ok((planned(before, item), Vec::new()))
            } else {
                put(&client, path, before, item).await
            };
            let name = one_line(name);
            match done {
                Ok((what, warnings)) => {
                    writeln!(out, "{word} {name}: {what}")?;
                    for warning in warnings {
                        writeln!(
                            io::stderr(),
                            "warning: {word} {name}: {}",
                            one_line(&warning)
                        )?;
                    }
                }
                // Objects that do not depend on it are stored nevertheless.
                Err(CliError::Failed(why)) => {
                    failed += 1;
                    writeln!(out, "{word} {name}: failed: {why}")?;
                }
                Err(other) => return Err(other),
            }
        }
    }
    if failed > 0 {
        return Err(CliError::failed(format!(
            "{failed} of them failed: mend what they say and apply the file again"
        )));
    }
    Ok(())
}

/// The items of each kind with their names; nothing is sent before the whole file is found sound.
fn wanted(file: &Value) -> Result<[Vec<(&str, &Value)>; 2], String> {
    let file = file
        .as_object()
        .ok_or("the file must be an object {\"webhooks\": […], \"event_rules\": […]}")?;
    for key in file.keys() {
        if !KINDS.iter().any(|(known, _, _)| known == key) {
            return Err(format!(
                "unknown key {:?}: only webhooks and event_rules are known",
                one_line(key)
            ));
        }
    }
    let items = |key: &str| -> Result<Vec<(&str, &Value)>, String> {
        let Some(list) = file.get(key) else {
            return Ok(Vec::new());
        };
        let list = list
            .as_array()
            .ok_or_else(|| format!("{key} must be a list"))?;
        let mut items: Vec<(&str, &Value)> = Vec::with_capacity(list.len());
        for (i, item) in list.iter().enumerate() {
            let name = item.get("name").and_then(Value::as_str).unwrap_or_default();
            if name.is_empty() {
                return Err(format!("{key}[{i}] has no name"));
            }
            if items.iter().any(|(other, _)| *other == name) {
                return Err(format!(
                    "{key}[{i}]: the name {:?} is there twice",
                    one_line(name)
                ));
            }
            items.push((name, item));
        }
        Ok(items)
    };
    let [(webhooks, _, _), (rules, _, _)] = KINDS;
    Ok([items(webhooks)?, items(rules)?])
}

async fn put(
    client: &Client,
    path: &str,
    before: Option<&Value>,
    item: &Value,
) -> CliResult<(String, Vec<String>)> {
    let Some(before) = before else {
        let created: Value = client.post(&[path], Payload::Json(item)).await?;
        return Ok(("created".to_owned(), warnings(&created)));
    };
    let id = text(before, "id");
    let after: Value = client
        .call(Method::PUT, &[path, id], &[], Payload::Json(item))
        .await?;
    let mut changed = changes(before, &after);
    // A secret is never answered, so whether this one differs cannot be seen.
    if item
        .get("secret")
        .and_then(Value::as_str)
        .is_some_and(|s| !s.is_empty())
    {
        changed.push("secret set again".to_owned());
    }
    let what = if changed.is_empty() {
        "unchanged".to_owned()
    } else {
        format!("updated ({})", changed.join(", "))
    };
    Ok((what, warnings(&after)))
}

/// A text field of a configuration object, empty if there is none. These objects are read as JSON and not as types of
/// this program: a file may hold fields that only another version knows.
pub(super) fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The server's warnings about a webhook.
fn warnings(answer: &Value) -> Vec<String> {
    let warnings = answer.get("warnings").and_then(Value::as_array);
    let texts = warnings.into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

/// The fields in which two answers of the server differ.
fn changes(before: &Value, after: &Value) -> Vec<String> {
    let fields = after.as_object().into_iter().flatten();
    fields
        .filter(|(key, value)| {
            !["last_updated", "warnings"].contains(&key.as_str())
                && before.get(key.as_str()) != Some(*value)
        })
        .map(|(key, _)| one_line(key))
        .collect()
}

fn planned(before: Option<&Value>, item: &Value) -> String {
    match before {
        None => "would be created".to_owned(),
        Some(_) => format!(
            "would be set to the file's fields ({})",
            item.as_object()
                .into_iter()
                .flatten()
                .map(|(key, _)| one_line(key))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_with_a_fault_is_refused_before_anything_is_sent() {
        for (file, fault) in [
            (json!([]), "must be an object"),
            (json!({"webhook": []}), "unknown key \"webhook\""),
            (json!({"webhooks": {}}), "webhooks must be a list"),
            (json!({"webhooks": [{}]}), "webhooks[0] has no name"),
            (
                json!({"event_rules": [{"name": "a"}, {"name": "a"}]}),
                "event_rules[1]: the name \"a\" is there twice",
            ),
        ] {
            let error = wanted(&file).expect_err("refused");
            assert!(error.contains(fault), "{error}");
        }
        assert!(wanted(&json!({"webhooks": [{"name": "a"}]})).is_ok());
    }
}
