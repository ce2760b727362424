//! The event: one change, as received, in a form that every later stage can rely on.

use std::sync::Arc;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{
    context::{self, Members},
    object_type::{self, ObjectType, PluginModel},
};
use crate::{
    config::IngestConfig,
    model::{EventId, FieldErrors, Idempotency, TenantId, Timestamp, event_type_slug, json},
};

/// Characters of an event type, as NetBox bounds its slugs.
pub(super) const MAX_EVENT_TYPE: usize = 150;
/// Characters of an object type and of an event's own id.
pub(super) const MAX_NAME: usize = 255;

/// One validated event. Only this module makes one from outside data ([`super::parse_request`]); a
/// backend gives back what it was given, through `from_stored`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    id: EventId,
    tenant: TenantId,
    event_type: String,
    object_type: String,
    received: Timestamp,
    context: Arc<str>,
    /// The plugin's model, if the event names it without its app. While this is set, the app in `object_type` is a
    /// guess, which [`Event::with_app_among`] replaces.
    plugin_model: Option<PluginModel>,
}

impl Event {
    /// An event as a backend stored it. For backends alone: nothing is checked.
    pub(crate) fn from_stored(
        id: EventId,
        tenant: TenantId,
        event_type: String,
        object_type: String,
        received: Timestamp,
        context: Arc<str>,
    ) -> Self {
        Self {
            id,
            tenant,
            event_type,
            object_type,
            received,
            context,
            plugin_model: None,
        }
    }

    /// The event as a tenant's rules see it. If it names a plugin's model without its app, it gets the app that rules
    /// name together with the model; `apps` returns these. To be called before rules are matched.
    #[must_use]
    pub fn with_app_among<'a>(mut self, apps: impl FnOnce(&str) -> &'a [String]) -> Self {
        if let Some(unsure) = self.plugin_model.take()
            && let Some(app) = unsure.app_among(apps(unsure.model()))
        {
            self.object_type = format!("{app}.{}", unsure.model());
        }
        self
    }

    /// The id that hookbox gave it.
    #[must_use]
    pub fn id(&self) -> &EventId {
        &self.id
    }

    /// The tenant that owns it.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The type as a slug, such as `object_created`: what rules match on.
    #[must_use]
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// Such as `dcim.site`; empty if the sender named none.
    #[must_use]
    pub fn object_type(&self) -> &str {
        &self.object_type
    }

    /// When it was accepted.
    #[must_use]
    pub fn received(&self) -> Timestamp {
        self.received
    }

    /// The event as templates see it: the text of one JSON object, with its keys in the sender's order and its numbers
    /// with the sender's digits.
    #[must_use]
    pub fn context(&self) -> &Arc<str> {
        &self.context
    }

    /// The context with a rule's action data under `data`; the event's own keys win, as in NetBox. Without action
    /// data, or with data that is no object, the context as it is.
    #[must_use]
    pub fn context_with(&self, action_data: Option<&Map<String, Value>>) -> Arc<str> {
        action_data
            .and_then(|extra| context::merge(&self.context, extra))
            .map_or_else(|| Arc::clone(&self.context), Into::into)
    }
}

/// An event on its way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// The event.
    pub event: Event,
    /// The key by which the event is recognised when it is sent again, made of its own `id` or of the request's key.
    pub idempotency: Option<Idempotency>,
}

/// One event from the bytes of one JSON object, as [`super::parse_request`] takes it from a request.
///
/// # Errors
/// The errors by field; the field is empty when it is no JSON object at all.
pub fn parse_event(
    tenant: &TenantId,
    text: &[u8],
    limits: &IngestConfig,
) -> Result<Incoming, FieldErrors> {
    if text.len() > limits.max_event_bytes {
        return Err(FieldErrors::one("", over_limit(limits)));
    }
    let text = json::without_bom(text);
    let value = json::parse(text, json::MAX_DEPTH)
        .map_err(|e| FieldErrors::one("", format!("this is not valid JSON: {e}")))?;
    let identified = Identified {
        value,
        texts: context::members(text),
        idempotency: None,
    };
    from_value(tenant, identified, limits)
}

/// Parsed JSON, with its idempotency if the format defines one; otherwise the event's `id` does.
pub(super) struct Identified<'a> {
    pub(super) value: Value,
    /// The members' texts as they came.
    pub(super) texts: Members<'a>,
    pub(super) idempotency: Option<Idempotency>,
}

/// One event from parsed JSON.
///
/// `event` is required, as a slug or in NetBox's short form; `object_type` and `data` may be missing,
/// `timestamp` is set when it is. An object type that is missing follows from `model`, as NetBox before 4.4 sends
/// it ([`object_type`]). The context keeps NetBox's short form under `event`, as its templates
/// expect, and all other keys as they came.
pub(super) fn from_value(
    tenant: &TenantId,
    identified: Identified<'_>,
    limits: &IngestConfig,
) -> Result<Incoming, FieldErrors> {
    let Value::Object(mut context) = identified.value else {
        return Err(FieldErrors::one(
            "",
            "an event must be a JSON object, such as {\"event\": \"created\", …}",
        ));
    };
    let mut errors = FieldErrors::default();
    let event = text(&context, "event", MAX_EVENT_TYPE, &mut errors);
    if event.as_deref().is_none_or(str::is_empty) && errors.0.is_empty() {
        errors.add(
            "event",
            "is required: the event type, such as \"created\" or \"object_created\"",
        );
    }
    let object_type = text(&context, "object_type", MAX_NAME, &mut errors);
    let mut texts = identified.texts;
    let idempotency = identified
        .idempotency
        .or_else(|| own_id(&context, &texts, &mut errors));
    if depth(&context) > limits.max_depth {
        errors.add(
            "",
            format!("must not be nested deeper than {} levels", limits.max_depth),
        );
    }
    errors.into_result(())?;

    let event = event.unwrap_or_default();
    let slug = event_type_slug(&event).to_owned();
    let received = Timestamp::now();
    let (object_type, plugin_model) = match object_type {
        Some(named) if !named.is_empty() => (named, None),
        _ => match object_type::of(&context) {
            Some(ObjectType::Known(object_type)) => (object_type, None),
            Some(ObjectType::OfPlugin(model)) => (model.guess(), Some(model)),
            None => Default::default(),
        },
    };
    context.insert("event".to_owned(), short_form(&event).into());
    texts.swap_remove("event");
    context
        .entry("timestamp")
        .or_insert_with(|| python_isoformat(received).into());
    // NetBox before 4.4 has the model instead, and its default body is sent on as it came.
    if object_type.is_empty() && plugin_model.is_none() {
        context.entry("object_type").or_insert(Value::Null);
    }
    context.entry("data").or_insert(Value::Null);
    let context = context::write(&context, &texts)
        .map_err(|e| FieldErrors::one("", format!("cannot be written as JSON again: {e}")))?;
    if context.len() > limits.max_event_bytes {
        return Err(FieldErrors::one("", over_limit(limits)));
    }
    let event = Event {
        id: EventId::generate(),
        tenant: tenant.clone(),
        event_type: slug,
        object_type,
        received,
        context: context.into(),
        plugin_model,
    };
    Ok(Incoming { event, idempotency })
}

fn over_limit(limits: &IngestConfig) -> String {
    format!("an event may have at most {} bytes", limits.max_event_bytes)
}

/// NetBox's name for a slug in the context and the default body (`extras.webhooks`, 4.6).
fn short_form(event_type: &str) -> &str {
    match event_type {
        "object_created" => "created",
        "object_updated" => "updated",
        "object_deleted" => "deleted",
        "job_completed" | "job_failed" | "job_errored" => "job_ended",
        other => other,
    }
}

/// As Python prints an aware UTC time, to match what NetBox sends.
fn python_isoformat(t: Timestamp) -> String {
    let text = t.to_string();
    match text.strip_suffix('Z') {
        Some(local) => format!("{local}000+00:00"),
        None => text,
    }
}

/// The text under a key, if it is there, is none of the wrong kind, and has at most so many characters.
pub(super) fn text(
    context: &Map<String, Value>,
    key: &str,
    most: usize,
    errors: &mut FieldErrors,
) -> Option<String> {
    match context.get(key) {
        None | Some(Value::Null) => None,
        Some(Value::String(s)) if s.chars().count() <= most && !s.chars().any(char::is_control) => {
            Some(s.clone())
        }
        Some(Value::String(_)) => {
            errors.add(
                key,
                match most {
                    usize::MAX => "must hold no control character".to_owned(),
                    most => format!("must have at most {most} characters and no control character"),
                },
            );
            None
        }
        Some(other) => {
            errors.add(key, format!("must be a string, not {}", kind(other)));
            None
        }
    }
}

fn own_id(
    context: &Map<String, Value>,
    texts: &Members<'_>,
    errors: &mut FieldErrors,
) -> Option<Idempotency> {
    let id = match context.get("id") {
        Some(Value::Number(n)) => n.to_string(),
        _ => text(context, "id", MAX_NAME, errors)?,
    };
    if id.is_empty() {
        return None;
    }
    // Senders that put the id of the object here, and not of the change, would lose every later change. So
    // the same id with other content is another event.
    let content = context::write(context, texts).ok()?;
    let digest = hex::encode(Sha256::digest(content));
    Some(Idempotency {
        key: format!("event:{id}:{digest}"),
        fingerprint: None,
    })
}

/// Levels of nesting. The parser allows 128 at most, so the recursion is bounded.
fn depth(context: &Map<String, Value>) -> usize {
    fn of(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(of).max().unwrap_or(0),
            Value::Object(map) => depth(map),
            _ => 0,
        }
    }
    1 + context.values().map(of).max().unwrap_or(0)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Config;

    fn parse(value: &Value) -> Result<Incoming, FieldErrors> {
        let limits = Config::defaults().ingest;
        parse_event(
            &TenantId::default_tenant(),
            value.to_string().as_bytes(),
            &limits,
        )
    }

    #[test]
    fn netbox_default_body_is_an_event_and_keeps_its_order_and_further_keys() {
        let incoming = parse(&json!({
            "event": "created", "timestamp": "2026-03-06T15:11:23.503186+00:00",
            "object_type": "dcim.site", "username": "jstretch", "request_id": "17af32f0",
            "data": {"id": 19, "name": "Site 1"},
            "snapshots": {"prechange": null, "postchange": {"name": "Site 1"}},
            "context": {"plugin": true},
        }))
        .expect("an event");
        assert_eq!(incoming.event.event_type(), "object_created");
        assert_eq!(incoming.event.object_type(), "dcim.site");
        assert!(
            incoming
                .event
                .context()
                .starts_with(r#"{"event":"created","timestamp":"2026-03"#)
        );
        assert!(
            incoming
                .event
                .context()
                .ends_with(r#""context":{"plugin":true}}"#)
        );
        assert_eq!(incoming.idempotency, None);
    }

    #[test]
    fn slugs_and_short_forms_mean_the_same() {
        for (posted, slug, shown) in [
            ("object_updated", "object_updated", "updated"),
            ("deleted", "object_deleted", "deleted"),
            ("job_failed", "job_failed", "job_ended"),
            ("my_plugin.thing", "my_plugin.thing", "my_plugin.thing"),
        ] {
            let event = parse(&json!({"event": posted})).expect("an event").event;
            assert_eq!(event.event_type(), slug);
            assert!(
                event
                    .context()
                    .starts_with(&format!(r#"{{"event":"{shown}""#))
            );
        }
    }

    #[test]
    fn each_field_of_the_wrong_kind_is_named() {
        let errors = parse(&json!({"event": 1, "object_type": [], "id": {}})).expect_err("refused");
        let fields: Vec<_> = errors.0.iter().map(|e| e.field.as_str()).collect();
        assert_eq!(fields, ["event", "object_type", "id"]);
        assert!(parse(&json!([])).is_err());
        assert!(
            parse(&json!({}))
                .expect_err("no type")
                .to_string()
                .contains("event")
        );
    }

    #[test]
    fn nesting_is_bounded_and_a_bomb_is_an_error() {
        let limits = Config::defaults().ingest;
        let tenant = TenantId::default_tenant();
        for levels in [64, 100, 100_000] {
            let bomb = format!(
                "{{\"event\":\"x\",\"data\":{}{}}}",
                "[".repeat(levels),
                "]".repeat(levels)
            );
            assert!(
                parse_event(&tenant, bomb.as_bytes(), &limits).is_err(),
                "{levels}"
            );
        }
        let fits = format!(
            "{{\"event\":\"x\",\"data\":{}{}}}",
            "[".repeat(63),
            "]".repeat(63)
        );
        assert!(parse_event(&tenant, fits.as_bytes(), &limits).is_ok());
    }

    #[test]
    fn an_own_id_makes_an_event_recognisable_unless_its_content_differs() {
        let key = |v| parse(&v).expect("an event").idempotency.map(|i| i.key);
        let one = key(json!({"event": "x", "id": "a"}));
        assert!(
            one.as_deref()
                .is_some_and(|key| key.starts_with("event:a:"))
        );
        assert_eq!(key(json!({"event": "x", "id": "a"})), one);
        assert_ne!(key(json!({"event": "x", "id": "a", "data": 1})), one);
        assert_ne!(
            key(json!({"event": "x", "id": 7})),
            key(json!({"event": "x", "id": "7"}))
        );
        assert_eq!(key(json!({"event": "x", "id": null})), None);
    }
}
