//! NetBox's objects: from files, or from its REST API by [`super::http`].

use std::path::PathBuf;

use serde_json::Value;

use crate::{
    cli::{
        error::{CliError, CliResult},
        terminal::{one_line, read_input},
    },
    model::json,
};

/// Bytes of one file.
const MAX_FILE: u64 = 64 * 1024 * 1024;
/// Webhooks and rules together. Far more than any NetBox has.
pub(super) const MAX_OBJECTS: usize = 20_000;

/// Webhooks and event rules as NetBox shows them.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pub(super) webhooks: Vec<Value>,
    pub(super) rules: Vec<Value>,
    /// The objects that could not be read, one sentence each.
    pub(super) missing: Vec<String>,
}

impl Objects {
    fn add(&mut self, item: Value) -> Result<(), String> {
        if self.webhooks.len() + self.rules.len() >= MAX_OBJECTS {
            return Err(format!("there are more than {MAX_OBJECTS} objects"));
        }
        let has = |key: &str| item.get(key).is_some();
        if has("payload_url") {
            self.webhooks.push(item);
        } else if has("action_type") || has("event_types") || has("action_object_id") {
            self.rules.push(item);
        } else {
            let name = item.get("name").and_then(Value::as_str).unwrap_or("?");
            return Err(format!(
                "{:?} is neither a webhook (it has no payload_url) nor an event rule (it has no action_type)",
                one_line(name)
            ));
        }
        Ok(())
    }

    /// A list, the API's page of one, or an object of such.
    fn add_all(&mut self, json: Value) -> Result<(), String> {
        match json {
            Value::Array(items) => items.into_iter().try_for_each(|item| self.add(item)),
            Value::Object(mut object) => {
                if let Some(results) = object.remove("results") {
                    if object.get("next").is_some_and(|next| !next.is_null()) {
                        self.missing.push(
                            "a file holds one page of several; export the others too, with ?limit=0 or one by \
                             one"
                                .to_owned(),
                        );
                    }
                    let Value::Array(items) = results else {
                        return Err("results must be a list".to_owned());
                    };
                    return items.into_iter().try_for_each(|item| self.add(item));
                }
                if object.contains_key("payload_url") || object.contains_key("action_type") {
                    return self.add(Value::Object(object));
                }
                for (key, value) in object {
                    if key != "webhooks" && key != "event_rules" {
                        return Err(format!(
                            "unknown key {:?}: a file is a list, a page of NetBox's API, or \
                             {{\"webhooks\": […], \"event_rules\": […]}}",
                            one_line(&key)
                        ));
                    }
                    if !value.is_array() && value.get("results").is_none() {
                        return Err(format!("{key} must be a list or a page of NetBox's API"));
                    }
                    self.add_all(value)?;
                }
                Ok(())
            }
            _ => Err("it must be a list or an object".to_owned()),
        }
    }
}

/// Reads exported files.
///
/// # Errors
/// One line that names the file.
pub(super) fn from_files(files: &[PathBuf]) -> CliResult<Objects> {
    let mut objects = Objects::default();
    for path in files {
        let fail = |why: &str| CliError::failed(format!("{}: {why}", path.display()));
        let bytes = read_input(path, MAX_FILE)?;
        let json = json::parse(&bytes, json::MAX_DEPTH)
            .map_err(|e| fail(&format!("this is not valid JSON: {e}")))?;
        objects.add_all(json).map_err(|why| fail(&why))?;
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(json: Value) -> Result<(usize, usize, usize), String> {
        let mut objects = Objects::default();
        objects.add_all(json)?;
        Ok((
            objects.webhooks.len(),
            objects.rules.len(),
            objects.missing.len(),
        ))
    }

    #[test]
    fn an_export_is_a_list_a_page_or_both_kinds_by_name() {
        let (webhook, rule) = (
            json!({"name": "w", "payload_url": "u"}),
            json!({"name": "r", "action_type": "webhook"}),
        );
        let page = json!({"count": 1, "next": null, "previous": null, "results": [rule]});
        assert_eq!(read(json!([webhook, rule])), Ok((1, 1, 0)));
        assert_eq!(read(page.clone()), Ok((0, 1, 0)));
        assert_eq!(read(webhook.clone()), Ok((1, 0, 0)));
        assert_eq!(
            read(json!({"webhooks": [webhook], "event_rules": page})),
            Ok((1, 1, 0))
        );
        assert_eq!(
            read(json!({"next": "http://x/?offset=1", "results": [webhook]})),
            Ok((1, 0, 1))
        );
    }

    #[test]
    fn what_is_no_export_is_refused_with_the_reason() {
        for (json, why) in [
            (json!("x"), "must be a list"),
            (json!({"webhook": []}), "unknown key \"webhook\""),
            (json!({"webhooks": {}}), "webhooks must be a list"),
            (json!({"results": 1}), "results must be a list"),
            (json!([{"name": "site"}]), "\"site\" is neither"),
            (json!([1]), "neither"),
        ] {
            let error = read(json).expect_err(why);
            assert!(error.contains(why), "{error}");
        }
    }
}
