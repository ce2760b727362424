//! An event rule from untrusted JSON.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::{
    DESCRIPTION_CHARS, Draft, IGNORED,
    fields::{
        Fields, Read, boolean, choice, kind_of, list, name, object, shortened, small_json, text,
        wrong,
    },
};
use crate::{
    config::{Config, TenantLimits},
    model::{EventRuleSpec, FieldErrors, Webhook, WebhookId, event_type_slug},
    rules::Conditions,
};

/// Former names of a rule's types in NetBox: `content_types` before 4.0, and a field for each event type before 4.1.
pub const OLD_RULE_FIELDS: &[&str] = &[
    "content_types",
    "type_create",
    "type_update",
    "type_delete",
    "type_job_start",
    "type_job_end",
];

/// The event types that the last five of these mean.
const OLD_EVENT_TYPES: [(&str, &str); 5] = [
    ("type_create", "object_created"),
    ("type_update", "object_updated"),
    ("type_delete", "object_deleted"),
    ("type_job_start", "job_started"),
    ("type_job_end", "job_completed"),
];

/// Object types, and event types, of one rule.
const TYPES: usize = 500;
const TYPE_CHARS: usize = 150;

/// Lays `input` over `base` and checks the outcome. `known` are the tenant's webhooks: a rule names them
/// in `webhooks`, by id, by name or by the number they had where they came from, or as NetBox does in
/// `action_object_id` and `action_object`.
///
/// The fields that NetBox had before ([`OLD_RULE_FIELDS`]) are understood where those of today are absent.
///
/// Event types are stored as NetBox's slugs, so `created` becomes `object_created`. Conditions are parsed
/// as [`crate::rules`] will evaluate them.
///
/// # Errors
/// All that is wrong, by field, at most 50.
pub fn event_rule(
    input: &Map<String, Value>,
    base: Draft<EventRuleSpec>,
    known: &[Webhook],
    config: &Config,
) -> Result<Draft<EventRuleSpec>, FieldErrors> {
    let Draft {
        mut external_id,
        mut spec,
    } = base;
    let limits = &config.limits;
    let mut f = Fields::new(input);
    f.set_external_id(&mut external_id);
    f.set(&mut spec.name, "name", name);
    f.set(
        &mut spec.description,
        "description",
        text(DESCRIPTION_CHARS),
    );
    f.set(&mut spec.enabled, "enabled", boolean);
    let object_types = match f.get("object_types") {
        Some(_) => "object_types",
        None => "content_types",
    };
    f.set(&mut spec.object_types, object_types, |v| {
        types(v, str::to_owned)
    });
    if f.get("event_types").is_none() {
        set_old_event_types(&mut f, &mut spec.event_types);
    }
    f.set(&mut spec.event_types, "event_types", |v| {
        types(v, |t| event_type_slug(t).to_owned())
    });
    if let Some(json) = f.get("conditions") {
        // Its errors come with their whole path.
        match Conditions::parse(json, (&config.limits).into()) {
            Ok(parsed) => spec.conditions = parsed.map(|_| json.clone()),
            Err(errors) => f.absorb("", errors),
        }
    }
    f.set_nullable(&mut spec.action_data, "action_data", |v| {
        small_json(limits.conditions_bytes)(v)?;
        object(v).cloned()
    });
    set_webhooks(&mut f, &mut spec.webhooks, known, limits);

    let required = [
        ("name", spec.name.is_empty()),
        ("object_types", spec.object_types.is_empty()),
        ("event_types", spec.event_types.is_empty()),
        ("webhooks", spec.webhooks.is_empty()),
    ];
    for (key, is_missing) in required {
        // An error of the field that stands in its place has been reported already.
        let elsewhere = match key {
            "webhooks" => f.is_wrong("action_"),
            "object_types" => f.is_wrong("content_types"),
            "event_types" => f.is_wrong("type_"),
            _ => false,
        };
        if is_missing && !elsewhere && !f.is_wrong(key) {
            f.error(key, "is required");
        }
    }
    f.finish(
        &[IGNORED, OLD_RULE_FIELDS, &["action_object"]].concat(),
        Draft { external_id, spec },
    )
}

/// A secret's name as templates write it: up to 64 letters, digits, `_`, `-` and `.`.
///
/// # Errors
/// One sentence.
pub fn secret_name(name: &str) -> Result<(), FieldErrors> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if (1..=64).contains(&name.len()) && name.chars().all(is_word) {
        Ok(())
    } else {
        Err(FieldErrors::one(
            "name",
            "must be 1 to 64 letters, digits, _, - and .",
        ))
    }
}

/// Sets the event types from a field for each, if there is one.
fn set_old_event_types(f: &mut Fields<'_>, target: &mut Vec<String>) {
    let mut chosen = Vec::new();
    let mut is_given = false;
    for (field, slug) in OLD_EVENT_TYPES {
        let mut is_chosen = false;
        is_given |= f.get(field).is_some();
        f.set(&mut is_chosen, field, boolean);
        if is_chosen {
            chosen.push(slug.to_owned());
        }
    }
    if is_given {
        *target = chosen;
    }
}

fn types(value: &Value, canonical: impl Fn(&str) -> String) -> Read<Vec<String>> {
    let mut seen = HashSet::new();
    let all = list(TYPES, |item| {
        let text = choice(item)?;
        let is_visible = |c: char| !c.is_whitespace() && !c.is_control();
        if text.is_empty() || text.len() > TYPE_CHARS || !text.chars().all(is_visible) {
            return wrong(format!(
                "{:?} is not a type: write up to {TYPE_CHARS} characters without blanks, such as dcim.site or \
                 object_created, or * for all",
                shortened(text)
            ));
        }
        Ok(canonical(text))
    })(value)?;
    if all.is_empty() {
        return wrong("must not be empty; write [\"*\"] for all");
    }
    Ok(all.into_iter().filter(|t| seen.insert(t.clone())).collect())
}

/// Sets the webhooks from `webhooks`, or from NetBox's action fields.
fn set_webhooks(
    f: &mut Fields<'_>,
    target: &mut Vec<WebhookId>,
    known: &[Webhook],
    limits: &TenantLimits,
) {
    if let Some(action) = f.get("action_type") {
        match choice(action) {
            Ok("webhook") => {}
            Ok(other) => f.error(
                "action_type",
                format!(
                    "{:?} cannot be run here: hookbox runs webhooks, not scripts or notifications",
                    shortened(other)
                ),
            ),
            Err(errors) => f.absorb("action_type", errors),
        }
    }
    match f.get("action_object_type") {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) if text == "extras.webhook" => {}
        Some(_) => f.error("action_object_type", "must be \"extras.webhook\""),
    }

    let number = f.get("action_object_id").filter(|v| !v.is_null());
    if f.get("webhooks").is_some() {
        if number.is_some() {
            f.error(
                "action_object_id",
                "must not be given together with webhooks, as both name the webhooks to run",
            );
        }
        let names = Names::of(known);
        f.set(target, "webhooks", |v| {
            let mut seen = HashSet::new();
            let all = list(limits.deliveries_per_event, |item| names.find(item))(v)?;
            if all.is_empty() {
                return wrong("must name at least one webhook");
            }
            Ok(all
                .into_iter()
                .filter(|id| seen.insert(id.clone()))
                .collect())
        });
    } else if let Some(number) = number {
        let names = Names::of(known);
        let by_name = f
            .get("action_object")
            .and_then(|object| object.get("name"))
            .filter(|name| name.is_string());
        match names
            .find(number)
            .or_else(|e| by_name.map_or(Err(e), |name| names.find(name)))
        {
            Ok(id) => *target = vec![id],
            Err(errors) => f.absorb("action_object_id", errors),
        }
    }
}

/// The ways in which a webhook can be named.
struct Names<'a> {
    by_text: HashMap<&'a str, &'a WebhookId>,
    by_number: HashMap<i64, &'a WebhookId>,
}

impl<'a> Names<'a> {
    fn of(known: &'a [Webhook]) -> Self {
        let names = known.iter().map(|w| (w.spec.name.as_str(), &w.id));
        let ids = known.iter().map(|w| (w.id.as_str(), &w.id));
        Self {
            // Ids come last and so win over a webhook that is named like another one's id.
            by_text: names.chain(ids).collect(),
            by_number: known
                .iter()
                .filter_map(|w| Some((w.external_id?, &w.id)))
                .collect(),
        }
    }

    fn find(&self, value: &Value) -> Read<WebhookId> {
        let found = match value {
            Value::String(text) => self.by_text.get(text.as_str()),
            Value::Number(number) => number.as_i64().and_then(|n| self.by_number.get(&n)),
            other => {
                return wrong(format!(
                    "must be a webhook's id or name, not {}",
                    kind_of(other)
                ));
            }
        };
        match found {
            Some(id) => Ok((*id).clone()),
            None => wrong(format!(
                "there is no webhook {}; store the webhook first, then its rules",
                shortened(&value.to_string())
            )),
        }
    }
}
