//! The plan by which hookbox gets NetBox's objects, and its execution.
//!
//! Objects are found by the number they had in NetBox, then by name. An update sends only the fields of
//! NetBox's that differ, so that the policy set here (retries, rate, plugin) stays.

use std::{
    collections::HashMap,
    io::{self, Write},
};

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{
    outcome::{Kind, Left, title},
    translate::{Item, Translated},
};
use crate::cli::{
    apply::text,
    client::{Client, Payload},
    error::{CliError, CliResult},
    terminal::one_line,
};

/// Far more than a tenant may have.
const MAX_STORED: usize = 100_000;

/// The action for one item.
#[derive(Debug)]
enum Action {
    Create,
    /// The stored object's id and the names of the fields that change.
    Update(String, Vec<String>),
    Keep(String),
}

/// The action for each item, webhooks first.
#[derive(Debug)]
pub(super) struct Plan {
    steps: Vec<Step>,
    /// The objects that are not carried over.
    left: Vec<Left>,
    /// Webhooks whose secret is left as it is.
    secrets_kept: usize,
}

#[derive(Debug)]
struct Step {
    item: Item,
    /// The item's number in the translation.
    place: usize,
    action: Action,
}

/// The objects that hookbox has.
pub(super) struct Stored {
    webhooks: Vec<Value>,
    rules: Vec<Value>,
}

impl Stored {
    pub(super) async fn read(client: &Client) -> CliResult<Self> {
        let list = async |kind: Kind| client.list(&[kind.path()], &[], MAX_STORED).await;
        Ok(Self {
            webhooks: list(Kind::Webhook).await?,
            rules: list(Kind::Rule).await?,
        })
    }

    /// The stored object that stands for an item.
    fn find(&self, item: &Item) -> Result<Option<&Value>, String> {
        let list = match item.kind {
            Kind::Webhook => &self.webhooks,
            Kind::Rule => &self.rules,
        };
        let number = |stored: &Value| stored.get("external_id").and_then(Value::as_i64);
        let by_number = item
            .external_id
            .and_then(|id| list.iter().find(|stored| number(stored) == Some(id)));
        let by_name = list.iter().find(|stored| text(stored, "name") == item.name);
        match (by_number, by_name) {
            (Some(one), Some(other)) if one.get("id") != other.get("id") => Err(format!(
                "its id in NetBox is that of {:?} here, and its name that of another one; rename or delete one \
                 of the two here",
                one_line(text(one, "name"))
            )),
            (None, Some(other))
                if number(other).is_some_and(|n| item.external_id.is_some_and(|id| n != id)) =>
            {
                Err(
                    "one of this name is here already that came from elsewhere (its external_id differs); \
                     rename or delete it here"
                        .to_owned(),
                )
            }
            (found, by_name) => Ok(found.or(by_name)),
        }
    }
}

impl Plan {
    /// Compares. `broken` says, by place, which webhooks hookbox would refuse, and why.
    pub(super) fn new(
        all: Translated,
        mut broken: HashMap<usize, String>,
        stored: &Stored,
        set_secrets: bool,
    ) -> Self {
        let mut plan = Self {
            steps: Vec::with_capacity(all.items.len()),
            left: all.left,
            secrets_kept: 0,
        };
        let mut ids: HashMap<usize, String> = HashMap::new();
        for (place, mut item) in all.items.into_iter().enumerate() {
            let missing = item.webhook.filter(|webhook| broken.contains_key(webhook));
            let why = match (broken.get(&place), missing) {
                (Some(why), _) => Some(why.clone()),
                (None, Some(_)) => Some("its webhook is not carried over".to_owned()),
                (None, None) => None,
            };
            let before = match why {
                Some(why) => Err(why),
                None => stored.find(&item),
            };
            let before = match before {
                Ok(before) => before,
                Err(why) => {
                    plan.left.push(Left::fault(item.kind, &item.name, why));
                    broken.entry(place).or_default();
                    continue;
                }
            };
            let action = match before {
                None => Action::Create,
                Some(before) => {
                    let changed = changes(&mut item, before, &ids, set_secrets);
                    plan.secrets_kept += usize::from(
                        item.kind == Kind::Webhook && item.secret.is_some() && {
                            !changed.iter().any(|field| field == "secret")
                        },
                    );
                    let id = text(before, "id").to_owned();
                    ids.insert(place, id.clone());
                    if changed.is_empty() {
                        Action::Keep(id)
                    } else {
                        Action::Update(id, changed)
                    }
                }
            };
            plan.steps.push(Step {
                item,
                place,
                action,
            });
        }
        plan
    }

    /// Whether anything is to be done.
    pub(super) fn is_empty(&self) -> bool {
        self.steps
            .iter()
            .all(|step| matches!(step.action, Action::Keep(_)))
    }

    /// How many things that should have been carried over are not.
    pub(super) fn faults(&self) -> usize {
        self.left.iter().filter(|left| left.fault).count()
    }

    /// Prints it.
    pub(super) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        for step in &self.steps {
            let what = match &step.action {
                Action::Create => "create".to_owned(),
                Action::Update(_, changed) => format!("update ({})", changed.join(", ")),
                Action::Keep(_) => "as it is".to_owned(),
            };
            writeln!(out, "{}: {what}", title(step.item.kind, &step.item.name))?;
            for note in &step.item.notes {
                writeln!(out, "    note: {}", one_line(note))?;
            }
        }
        for left in &self.left {
            writeln!(
                out,
                "{}: not carried over: {}",
                left.what,
                one_line(&left.why)
            )?;
        }
        let count = |is: fn(&Action) -> bool| self.steps.iter().filter(|s| is(&s.action)).count();
        writeln!(
            out,
            "\n{} to create, {} to update, {} as they are, {} not carried over",
            count(|a| matches!(a, Action::Create)),
            count(|a| matches!(a, Action::Update(..))),
            count(|a| matches!(a, Action::Keep(_))),
            self.left.len()
        )?;
        if self.secrets_kept > 0 {
            writeln!(
                out,
                "{} webhooks keep the secret they have here, as nobody can see whether it is NetBox's; \
                 --set-secrets sets NetBox's again",
                self.secrets_kept
            )?;
        }
        Ok(())
    }

    /// Does it, going on past what fails.
    ///
    /// # Errors
    /// How many failed; each has been told by then.
    pub(super) async fn apply(self, client: &Client) -> CliResult {
        let mut out = io::stdout();
        let mut ids: HashMap<usize, String> = HashMap::new();
        let mut failed = 0usize;
        for step in self.steps {
            let mut fields = step.item.fields;
            if let Some(webhook) = step.item.webhook {
                let Some(id) = ids.get(&webhook) else {
                    failed += 1;
                    let name = title(step.item.kind, &step.item.name);
                    writeln!(out, "{name}: not done, as its webhook failed")?;
                    continue;
                };
                fields.insert("webhooks".to_owned(), json!([id]));
            }
            if let Some(secret) = &step.item.secret {
                fields.insert("secret".to_owned(), json!(secret.expose()));
            }
            let path = step.item.kind.path();
            let done = match &step.action {
                Action::Keep(id) => {
                    ids.insert(step.place, id.clone());
                    continue;
                }
                Action::Create => {
                    let json = Value::Object(fields);
                    let answer = client.post(&[path], Payload::Json(&json)).await;
                    answer.map(|answer: Value| (text(&answer, "id").to_owned(), "created"))
                }
                Action::Update(id, changed) => {
                    fields.retain(|key, _| changed.contains(key));
                    let json = Value::Object(fields);
                    // A rule may go on even if its webhook keeps its old fields.
                    ids.insert(step.place, id.clone());
                    let payload = Payload::Json(&json);
                    let answer = client.call(Method::PATCH, &[path, id], &[], payload).await;
                    answer.map(|_: Value| (id.clone(), "updated"))
                }
            };
            let name = title(step.item.kind, &step.item.name);
            match done {
                Ok((id, what)) => {
                    ids.insert(step.place, id);
                    writeln!(out, "{name}: {what}")?;
                }
                Err(CliError::Failed(why)) => {
                    failed += 1;
                    writeln!(out, "{name}: failed: {why}")?;
                }
                Err(other) => return Err(other),
            }
        }
        if failed > 0 {
            return Err(CliError::failed(format!(
                "{failed} of the plan's steps failed; mend what they say and run the import again"
            )));
        }
        Ok(())
    }
}

/// The names of the fields in which the stored object differs.
///
/// `enabled` is NetBox's only for what is new here: in a switch-over the rules are disabled there, and a
/// second import must not bring hookbox to a stop.
fn changes(
    item: &mut Item,
    before: &Value,
    ids: &HashMap<usize, String>,
    set_secrets: bool,
) -> Vec<String> {
    let mut changed: Vec<String> = Vec::new();
    let wanted: &Map<String, Value> = &item.fields;
    for (key, value) in wanted {
        if before.get(key).unwrap_or(&Value::Null) == value {
            continue;
        }
        if key == "enabled" {
            let there = if value == &Value::Bool(true) {
                "enabled"
            } else {
                "disabled"
            };
            let note = format!("it is {there} in NetBox and not here, and stays as it is here");
            item.notes.push(note);
        } else {
            changed.push(key.clone());
        }
    }
    if let Some(webhook) = item.webhook {
        let wanted = ids.get(&webhook).map(|id| json!([id]));
        if wanted.is_none() || before.get("webhooks") != wanted.as_ref() {
            changed.push("webhooks".to_owned());
        }
    }
    let has_secret = before.get("secret_set") == Some(&Value::Bool(true));
    if item.secret.is_some() && (set_secrets || !has_secret) {
        changed.push("secret".to_owned());
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::import::translate::translate, config::Config};

    fn plan(stored: &Stored, set_secrets: bool) -> Plan {
        let webhook =
            json!({"id": 3, "name": "Slack", "payload_url": "https://x.example/", "secret": "s"});
        let rule = json!({"id": 7, "name": "Sites", "object_types": ["dcim.site"], "enabled": false,
            "event_types": ["object_created"], "action_type": "webhook", "action_object_id": 3});
        let all = translate(&[webhook], &[rule], &Config::defaults());
        Plan::new(all, HashMap::new(), stored, set_secrets)
    }

    fn printed(plan: &Plan) -> String {
        let mut out = Vec::new();
        plan.print(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn stored() -> Stored {
        let webhook = json!({"id": "whk_a", "external_id": 3, "name": "Slack", "description": "",
            "payload_url": "https://x.example/", "http_method": "POST", "http_content_type": "application/json",
            "additional_headers": "", "body_template": "", "ssl_verification": true, "ca_file_path": null,
            "secret_set": true, "retry": {"schedule": []}});
        let rule = json!({"id": "rul_a", "external_id": 7, "name": "Sites", "description": "", "enabled": true,
            "object_types": ["dcim.site"], "event_types": ["object_created"], "conditions": null,
            "webhooks": ["whk_a"]});
        Stored {
            webhooks: vec![webhook],
            rules: vec![rule],
        }
    }

    #[test]
    fn what_is_there_already_needs_nothing_even_if_it_was_disabled_in_netbox_meanwhile() {
        let plan = plan(&stored(), false);
        assert!(plan.is_empty(), "{}", printed(&plan));
        let text = printed(&plan);
        assert!(text.contains("stays as it is here"), "{text}");
        assert!(text.contains("1 webhooks keep the secret"), "{text}");
    }

    #[test]
    fn only_what_differs_is_sent() {
        let mut there = stored();
        there.webhooks[0]["http_method"] = json!("PUT");
        there.rules[0]["webhooks"] = json!(["whk_b"]);
        let text = printed(&plan(&there, true));
        assert!(
            text.contains("webhook \"Slack\": update (http_method, secret)"),
            "{text}"
        );
        assert!(
            text.contains("event rule \"Sites\": update (webhooks)"),
            "{text}"
        );
    }

    #[test]
    fn a_name_that_came_from_elsewhere_is_not_taken_over() {
        let mut there = stored();
        there.webhooks[0]["external_id"] = json!(4);
        let plan = plan(&there, false);
        assert_eq!(plan.faults(), 2, "{}", printed(&plan));
        there.webhooks[0]["external_id"] = Value::Null;
        let text = printed(&self::plan(&there, false));
        assert!(text.contains("update (external_id)"), "{text}");
    }

    #[test]
    fn a_rule_goes_with_its_webhook() {
        let all = translate(
            &[json!({"id": 3, "name": "Slack", "payload_url": "https://x.example/", "secret": ""})],
            &[
                json!({"name": "r", "object_types": ["*"], "event_types": ["*"],
                "action_type": "webhook", "action_object_id": 3}),
            ],
            &Config::defaults(),
        );
        let broken = HashMap::from([(0, "body_template (line 2): bad".to_owned())]);
        let none = Stored {
            webhooks: vec![],
            rules: vec![],
        };
        let plan = Plan::new(all, broken, &none, false);
        let text = printed(&plan);
        assert!(plan.is_empty() && plan.faults() == 2, "{text}");
        assert!(text.contains("line 2") && text.contains("its webhook is not carried over"));
    }
}
