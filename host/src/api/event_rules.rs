//! `/v1/event-rules`

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};
use utoipa::ToSchema;

use super::{
    List, Paging, Shared,
    auth::{Admin, Reader},
    check_room, created, deleted,
    extract::{Id, Json, JsonObject, Params},
    problem::{Answer, Problem},
    render::parse_event,
};
use crate::{
    config::Config,
    model::{EventRule, EventRuleSpec, RuleId, TenantId, Timestamp, WebhookId},
    rules::{Conditions, Evaluation},
    tenant::{
        limiter::Caller,
        validate::{self, Draft},
    },
};

/// An event rule as the API returns it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = EventRule)]
pub struct EventRuleView {
    /// The id in hookbox.
    pub id: RuleId,
    /// The object's number where it was imported from (NetBox's `id`).
    pub external_id: Option<i64>,
    /// The name. Unique within the tenant.
    pub name: String,
    /// A description: free text.
    pub description: String,
    /// Whether the rule is enabled. A disabled one matches nothing.
    pub enabled: bool,
    /// Object types, such as `dcim.site`; `*` stands for all.
    pub object_types: Vec<String>,
    /// Event types as NetBox's slugs, such as `object_created`; `*` stands for all.
    pub event_types: Vec<String>,
    /// Conditions in NetBox's condition language; null for none.
    pub conditions: Option<Value>,
    /// An object that is merged under the event's `data`.
    pub action_data: Option<Map<String, Value>>,
    /// The webhooks that the rule runs.
    pub webhooks: Vec<WebhookId>,
    /// Time of creation.
    pub created: Timestamp,
    /// Time of the last change.
    pub last_updated: Timestamp,
}

impl From<EventRule> for EventRuleView {
    fn from(rule: EventRule) -> Self {
        let spec = rule.spec;
        Self {
            id: rule.id,
            external_id: rule.external_id,
            name: spec.name,
            description: spec.description,
            enabled: spec.enabled,
            object_types: spec.object_types,
            event_types: spec.event_types,
            conditions: spec.conditions,
            action_data: spec.action_data,
            webhooks: spec.webhooks,
            created: rule.created,
            last_updated: rule.updated,
        }
    }
}

/// An event rule as a client writes it. A rule as NetBox or hookbox returns it is accepted too.
// For the description of the API alone: [`validate::event_rule`] reads the fields one by one.
#[derive(Debug, ToSchema)]
#[schema(as = EventRuleInput)]
pub struct EventRuleBody {
    /// The object's number where it was imported from.
    pub external_id: Option<i64>,
    /// The name: up to 150 characters, unique within the tenant. Required.
    #[schema(max_length = 150)]
    pub name: Option<String>,
    /// A description: free text, up to 1000 bytes.
    pub description: Option<String>,
    /// Whether the rule is enabled. Default true.
    pub enabled: Option<bool>,
    /// Object types, such as `dcim.site`; `*` stands for all. Required.
    pub object_types: Option<Vec<String>>,
    /// Event types, such as `object_created` or `created`; `*` stands for all. Required.
    pub event_types: Option<Vec<String>>,
    /// Conditions in NetBox's condition language; null for none.
    pub conditions: Option<Value>,
    /// An object that is merged under the event's `data`.
    pub action_data: Option<Map<String, Value>>,
    /// The webhooks to run, by id or name. Required, unless `action_object_id` is given.
    pub webhooks: Option<Vec<String>>,
    /// The webhook as NetBox names it: by its number there.
    pub action_object_id: Option<i64>,
}

/// Lists the tenant's event rules by name, the order in which they are evaluated.
#[utoipa::path(get, path = "/v1/event-rules", tag = "event rules", params(Paging),
    responses((status = 200, description = "A page of rules.", body = List<EventRuleView>)))]
pub(super) async fn list_rules(
    Reader(key): Reader,
    State(state): State<Shared>,
    Params(paging): Params<Paging>,
) -> Answer<Response> {
    let limit = paging.limit()?;
    let (backend, cursor) = (state.engine.backend(), paging.cursor.as_deref());
    let read = async || {
        let page = backend.rules(&key.tenant, limit, cursor).await?;
        Ok(List::of(page, EventRuleView::from).0)
    };
    state.sending.json(&Caller::from(&key), read).await
}

/// Creates a rule. The webhooks that it names must exist.
#[utoipa::path(post, path = "/v1/event-rules", tag = "event rules", request_body = EventRuleBody,
    responses((status = 201, description = "The rule is stored; Location has its path.", body = EventRuleView)))]
pub(super) async fn create_rule(
    Admin(key): Admin,
    State(state): State<Shared>,
    Json(input): JsonObject,
) -> Answer<Response> {
    let config = state.engine.config();
    let changes = state.engine.changes();
    let rule = changes
        .apply(&key.tenant, |existing| -> Answer<_> {
            let draft = validate::event_rule(&input, Draft::default(), &existing.webhooks, config)?;
            let (count, limit) = (existing.rules.len(), config.limits.event_rules);
            check_room(count, limit, "event rules")?;
            let now = Timestamp::now();
            Ok(EventRule {
                id: RuleId::generate(),
                external_id: draft.external_id,
                spec: draft.spec,
                created: now,
                updated: now,
            })
        })
        .await?;
    let location = format!("/v1/event-rules/{}", rule.id);
    created(&location, EventRuleView::from(rule))
}

/// Reads one rule.
#[utoipa::path(get, path = "/v1/event-rules/{id}", tag = "event rules",
    params(("id" = String, Path, description = "Its id.")),
    responses((status = 200, description = "The rule.", body = EventRuleView)))]
pub(super) async fn get_rule(
    Reader(key): Reader,
    State(state): State<Shared>,
    Id(id): Id,
) -> Answer<Response> {
    let backend = state.engine.backend();
    let read = async || {
        let rule = backend.rule(&key.tenant, &id.as_str().into()).await?;
        let rule = rule.ok_or_else(|| Problem::no_such("event rule", &id))?;
        Ok(EventRuleView::from(rule))
    };
    state.sending.json(&Caller::from(&key), read).await
}

/// Replaces a rule. Absent fields get their defaults.
#[utoipa::path(put, path = "/v1/event-rules/{id}", tag = "event rules", request_body = EventRuleBody,
    params(("id" = String, Path, description = "Its id.")),
    responses((status = 200, description = "The rule as it is now.", body = EventRuleView)))]
pub(super) async fn replace_rule(
    Admin(key): Admin,
    State(state): State<Shared>,
    Id(id): Id,
    Json(input): JsonObject,
) -> Answer<axum::Json<EventRuleView>> {
    rewrite(&state, &key.tenant, &id, &input, |_| {
        EventRuleSpec::default()
    })
    .await
}

/// Changes the fields that are given.
#[utoipa::path(patch, path = "/v1/event-rules/{id}", tag = "event rules", request_body = EventRuleBody,
    params(("id" = String, Path, description = "Its id.")),
    responses((status = 200, description = "The rule as it is now.", body = EventRuleView)))]
pub(super) async fn change_rule(
    Admin(key): Admin,
    State(state): State<Shared>,
    Id(id): Id,
    Json(input): JsonObject,
) -> Answer<axum::Json<EventRuleView>> {
    rewrite(&state, &key.tenant, &id, &input, Clone::clone).await
}

/// Deletes a rule. Deliveries that it created continue.
#[utoipa::path(delete, path = "/v1/event-rules/{id}", tag = "event rules",
    params(("id" = String, Path, description = "Its id.")),
    responses((status = 204, description = "It is gone.")))]
pub(super) async fn delete_rule(
    Admin(key): Admin,
    State(state): State<Shared>,
    Id(id): Id,
) -> Answer<StatusCode> {
    let backend = state.engine.backend();
    let existed = backend
        .delete_rule(&key.tenant, &id.as_str().into())
        .await?;
    deleted(existed, "event rule", &id)
}

/// Applies `input` to the result of `base` for the stored spec, then checks and stores that. If another change comes in
/// between, all of it is repeated on the changed spec.
async fn rewrite(
    state: &Shared,
    tenant: &TenantId,
    id: &str,
    input: &Map<String, Value>,
    base: impl Fn(&EventRuleSpec) -> EventRuleSpec,
) -> Answer<axum::Json<EventRuleView>> {
    let config = state.engine.config();
    let changes = state.engine.changes();
    let rule = changes
        .apply(tenant, |existing| -> Answer<_> {
            let stored = existing
                .rules
                .iter()
                .find(|rule| rule.id.as_str() == id)
                .ok_or_else(|| Problem::no_such("event rule", id))?;
            let draft = Draft {
                external_id: stored.external_id,
                spec: base(&stored.spec),
            };
            let draft = validate::event_rule(input, draft, &existing.webhooks, config)?;
            Ok(EventRule {
                id: stored.id.clone(),
                external_id: draft.external_id,
                spec: draft.spec,
                created: stored.created,
                updated: Timestamp::now(),
            })
        })
        .await?;
    Ok(axum::Json(rule.into()))
}

/// Conditions, and an event on which to evaluate them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EvaluateBody {
    /// The conditions, as in a rule.
    #[serde(default)]
    conditions: Value,
    /// The event, as it would be posted to `/v1/events`.
    #[schema(value_type = Object)]
    event: Box<RawValue>,
}

/// Evaluates conditions on an event and reports each step. Nothing is stored.
#[utoipa::path(post, path = "/v1/event-rules/evaluate", tag = "event rules", request_body = EvaluateBody,
    responses((status = 200, description = "Whether the event matches, and why.", body = Evaluation)))]
pub(super) async fn evaluate(
    Reader(key): Reader,
    State(state): State<Shared>,
    Json(body): Json<EvaluateBody>,
) -> Answer<axum::Json<Evaluation>> {
    let caller = Caller::from(&key);
    // Compiling patterns, and matching them against long texts, takes long for a thread of the runtime.
    let evaluation = {
        let engine = Arc::clone(&state.engine);
        let work = move || evaluate_now(&key.tenant, &body, engine.config());
        state.engine.compute(&caller, work).await??
    };
    Ok(axum::Json(evaluation))
}

fn evaluate_now(tenant: &TenantId, body: &EvaluateBody, config: &Config) -> Answer<Evaluation> {
    let event = parse_event(tenant, &body.event, config)?;
    let conditions = match &body.conditions {
        Value::Null => None,
        json => Conditions::parse(json, (&config.limits).into())?,
    };
    let Some(conditions) = conditions else {
        return Ok(Evaluation {
            matched: true,
            error: None,
            trace: Vec::new(),
        });
    };
    let context: Value =
        serde_json::from_str(event.context()).map_err(|e| Problem::internal(&e))?;
    Ok(conditions.evaluate(&context))
}
