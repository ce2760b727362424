//! `hookbox export`: webhooks and event rules as a file that `hookbox apply` takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
};

use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    apply::{KINDS, text},
    client::Server,
    error::CliResult,
    terminal::{Json, one_line},
};
use crate::{model::split_reference, transformers::BUILT_IN};

const MAX_ITEMS: usize = 100_000;

/// Fields that the server adds.
const SERVERS_OWN: [&str; 5] = ["id", "created", "last_updated", "secret_set", "warnings"];

/// Print all webhooks and event rules as a file for `hookbox apply`
///
/// Secrets are not included, as the server never shows them: applying the file to a server that has the
/// webhooks keeps theirs, and on another one they have to be set again. Plugins are not included either: keep
/// their components, and upload them before the file is applied.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  hookbox export > webhooks.json")]
pub(super) struct ExportArgs {
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(args: ExportArgs) -> CliResult {
    let client = args.server.client()?;
    let mut file = Map::new();
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut with_secret = Vec::new();
    let mut plugins = BTreeSet::new();
    for (key, path, _) in KINDS {
        let items: Vec<Value> = client.list(&[path], &[], MAX_ITEMS).await?;
        for item in &items {
            names.insert(text(item, "id").to_owned(), text(item, "name").to_owned());
            if item.get("secret_set") == Some(&Value::Bool(true)) {
                with_secret.push(one_line(text(item, "name")));
            }
            let (plugin, _) = split_reference(text(item, "plugin"));
            if !plugin.is_empty() && plugin != BUILT_IN {
                plugins.insert(one_line(plugin));
            }
        }
        let items = items.iter().map(|item| portable(item, &names)).collect();
        file.insert(key.to_owned(), Value::Array(items));
    }
    writeln!(io::stdout(), "{}", Json(&Value::Object(file)))?;
    let plugins: Vec<String> = plugins.into_iter().collect();
    for (what, names) in [("secrets of", with_secret), ("components of", plugins)] {
        if !names.is_empty() {
            let _ = writeln!(
                io::stderr(),
                "not included: the {what} {}",
                names.join(", ")
            );
        }
    }
    Ok(())
}

/// An item without what belongs to its server; webhooks are named, not numbered.
fn portable(item: &Value, names: &BTreeMap<String, String>) -> Value {
    let mut fields = Map::new();
    for (key, value) in item.as_object().into_iter().flatten() {
        if SERVERS_OWN.contains(&key.as_str()) {
            continue;
        }
        let value = match (key.as_str(), value) {
            ("webhooks", Value::Array(ids)) => ids
                .iter()
                .map(|id| {
                    id.as_str()
                        .and_then(|id| names.get(id))
                        .map_or(id.clone(), |name| json!(name))
                })
                .collect(),
            _ => value.clone(),
        };
        fields.insert(key.clone(), value);
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exported_rule_names_its_webhooks_and_has_no_ids() {
        let rule = json!({"id": "rul_1", "external_id": 7, "name": "r", "webhooks": ["whk_1", "whk_2"], "last_updated": "x"});
        let names = BTreeMap::from([("whk_1".to_owned(), "slack".to_owned())]);
        assert_eq!(
            portable(&rule, &names),
            json!({"external_id": 7, "name": "r", "webhooks": ["slack", "whk_2"]})
        );
    }
}
