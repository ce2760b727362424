//! `/v1/webhooks`

use axum::{extract::State, http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    List, Paging, Shared,
    auth::{Admin, Reader},
    check_room, created, deleted,
    extract::{Id, Json, JsonObject, Params},
    problem::{Answer, Kind, Problem},
};
use crate::{
    model::{
        BodyEscape, FieldErrors, HttpMethod, Plugin, RetryPolicy, TenantId, Timestamp, Webhook,
        WebhookId, WebhookSpec,
    },
    tenant::{
        limiter::Caller,
        validate::{self, Draft},
    },
    transformers::check_reference,
};

/// A webhook as the API returns it. The secret is never shown.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Webhook)]
pub struct WebhookView {
    /// The id in hookbox.
    pub id: WebhookId,
    /// The object's number where it was imported from (NetBox's `id`).
    pub external_id: Option<i64>,
    /// The name. Unique within the tenant.
    pub name: String,
    /// A description: free text.
    pub description: String,
    /// Whether the webhook is enabled. A disabled one gets no new deliveries; those that are queued wait.
    pub enabled: bool,
    /// Template of the URL.
    pub payload_url: String,
    /// The method.
    pub http_method: HttpMethod,
    /// The `Content-Type` header.
    pub http_content_type: String,
    /// Template whose lines `Name: value` become headers.
    pub additional_headers: String,
    /// Template of the body; when empty the body is the whole context as JSON.
    pub body_template: String,
    /// Whether a signing secret is set.
    pub secret_set: bool,
    /// Whether the receiver's certificate is verified.
    pub ssl_verification: bool,
    /// Path of a file with CA certificates on the worker.
    pub ca_file_path: Option<String>,
    /// Timeout of one attempt, in seconds.
    pub timeout: Option<u32>,
    /// The retry policy.
    pub retry: Option<RetryPolicy>,
    /// Maximum number of requests per second.
    pub rate_limit: Option<f64>,
    /// Maximum number of requests under way at once.
    pub max_in_flight: Option<u32>,
    /// The escaping of values in a JSON body.
    pub body_escape: BodyEscape,
    /// The transformer; the built-in `jinja` otherwise.
    pub plugin: Option<String>,
    /// Settings for the transformer, which gets them unchanged.
    pub settings: Value,
    /// Possible faults that were found when the webhook was last saved, one sentence each.
    pub warnings: Vec<String>,
    /// Time of creation.
    pub created: Timestamp,
    /// Time of the last change.
    pub last_updated: Timestamp,
}

impl From<Webhook> for WebhookView {
    fn from(webhook: Webhook) -> Self {
        // All fields are named, so that a new one is not forgotten here.
        let WebhookSpec {
            name,
            description,
            enabled,
            payload_url,
            http_method,
            http_content_type,
            additional_headers,
            body_template,
            secret,
            ssl_verification,
            ca_file_path,
            timeout,
            retry,
            rate_limit,
            max_in_flight,
            body_escape,
            plugin,
            settings,
        } = webhook.spec;
        Self {
            id: webhook.id,
            external_id: webhook.external_id,
            name,
            description,
            enabled,
            payload_url,
            http_method,
            http_content_type,
            additional_headers,
            body_template,
            secret_set: !secret.is_empty(),
            ssl_verification,
            ca_file_path,
            timeout,
            retry,
            rate_limit,
            max_in_flight,
            body_escape,
            plugin,
            settings,
            warnings: webhook.warnings,
            created: webhook.created,
            last_updated: webhook.updated,
        }
    }
}

/// A webhook as a client writes it. A webhook as NetBox or hookbox returns it is accepted too.
// For the description of the API alone: [`validate::webhook`] reads the fields one by one.
#[derive(Debug, ToSchema)]
#[schema(as = WebhookInput)]
pub struct WebhookBody {
    /// The object's number where it was imported from.
    pub external_id: Option<i64>,
    /// The name: up to 150 characters, unique within the tenant. Required.
    #[schema(max_length = 150)]
    pub name: Option<String>,
    /// A description: free text, up to 1000 bytes.
    pub description: Option<String>,
    /// Whether the webhook is enabled. A disabled one gets no new deliveries. Default true.
    pub enabled: Option<bool>,
    /// Template of the URL, up to 8192 bytes. Required.
    #[schema(example = "https://example.com/hook/{{ event }}")]
    pub payload_url: Option<String>,
    /// The HTTP method. Default POST.
    pub http_method: Option<HttpMethod>,
    /// The `Content-Type` header. Default `application/json`.
    pub http_content_type: Option<String>,
    /// Template whose lines `Name: value` become headers.
    pub additional_headers: Option<String>,
    /// Template of the body; when empty the body is the whole context as JSON.
    pub body_template: Option<String>,
    /// The signing secret. Never shown again. If absent, it is kept; if empty, it is removed.
    #[schema(write_only)]
    pub secret: Option<String>,
    /// Whether the receiver's certificate is verified. Default true.
    pub ssl_verification: Option<bool>,
    /// Path of a file with CA certificates on the worker, in a folder that its operator allows.
    pub ca_file_path: Option<String>,
    /// Timeout of one attempt, in seconds.
    #[schema(minimum = 1)]
    pub timeout: Option<u32>,
    /// The retry schedule: up to 50 waits of up to 30 days each.
    pub retry: Option<RetryPolicy>,
    /// Maximum number of requests per second.
    #[schema(minimum = 0.001, maximum = 10000)]
    pub rate_limit: Option<f64>,
    /// Maximum number of requests under way at once.
    #[schema(minimum = 1)]
    pub max_in_flight: Option<u32>,
    /// The escaping of values in a JSON body. Default `none`.
    pub body_escape: Option<BodyEscape>,
    /// The transformer, by name and perhaps `@version`. Default: the built-in `jinja`.
    pub plugin: Option<String>,
    /// Settings for the transformer, which gets them unchanged.
    pub settings: Option<Value>,
}

/// Lists the tenant's webhooks by name.
#[utoipa::path(get, path = "/v1/webhooks", tag = "webhooks", params(Paging),
    responses((status = 200, description = "A page of webhooks.", body = List<WebhookView>)))]
pub(super) async fn list_webhooks(
    Reader(key): Reader,
    State(state): State<Shared>,
    Params(paging): Params<Paging>,
) -> Answer<Response> {
    let limit = paging.limit()?;
    let (backend, cursor) = (state.engine.backend(), paging.cursor.as_deref());
    let read = async || {
        let page = backend.webhooks(&key.tenant, limit, cursor).await?;
        Ok(List::of(page, WebhookView::from).0)
    };
    state.sending.json(&Caller::from(&key), read).await
}

/// Creates a webhook. Its templates are checked in the sandbox first.
#[utoipa::path(post, path = "/v1/webhooks", tag = "webhooks", request_body = WebhookBody,
    responses((status = 201, description = "The webhook is stored; Location has its path.", body = WebhookView)))]
pub(super) async fn create_webhook(
    Admin(key): Admin,
    State(state): State<Shared>,
    Json(input): JsonObject,
) -> Answer<Response> {
    let draft = validate::webhook(&input, Draft::default(), state.engine.config())?;
    // Dropped here: parsed JSON takes many times the memory of its text, and the next step waits.
    drop(input);
    let warnings = state.engine.check_webhook(&key.tenant, &draft.spec).await?;
    let now = Timestamp::now();
    let webhook = Webhook {
        id: WebhookId::generate(),
        external_id: draft.external_id,
        spec: draft.spec,
        warnings,
        created: now,
        updated: now,
    };
    let limit = state.engine.config().limits.webhooks;
    let changes = state.engine.changes();
    let store = changes.apply(&key.tenant, |existing| -> Answer<_> {
        check_room(existing.webhooks.len(), limit, "webhooks")?;
        check_external_id(&webhook, &existing.webhooks)?;
        check_plugin(&webhook, &existing.plugins)?;
        Ok(&webhook)
    });
    store.await?;
    let location = format!("/v1/webhooks/{}", webhook.id);
    created(&location, WebhookView::from(webhook))
}

/// Reads one webhook.
#[utoipa::path(get, path = "/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "Its id.")),
    responses((status = 200, description = "The webhook.", body = WebhookView)))]
pub(super) async fn get_webhook(
    Reader(key): Reader,
    State(state): State<Shared>,
    Id(id): Id,
) -> Answer<Response> {
    let read = async || Ok(WebhookView::from(find(&state, &key.tenant, &id).await?));
    state.sending.json(&Caller::from(&key), read).await
}

/// Replaces a webhook. Absent fields get their defaults, except the secret, which is kept.
#[utoipa::path(put, path = "/v1/webhooks/{id}", tag = "webhooks", request_body = WebhookBody,
    params(("id" = String, Path, description = "Its id.")),
    responses((status = 200, description = "The webhook as it is now.", body = WebhookView)))]
pub(super) async fn replace_webhook(
    Admin(key): Admin,
    State(state): State<Shared>,
    Id(id): Id,
    Json(input): JsonObject,
) -> Answer<axum::Json<WebhookView>> {
    rewrite(&state, &key.tenant, &id, &input, |stored| WebhookSpec {
        secret: stored.secret,
        ..WebhookSpec::default()
    })
    .await
}

/// Changes the fields that are given.
#[utoipa::path(patch, path = "/v1/webhooks/{id}", tag = "webhooks", request_body = WebhookBody,
    params(("id" = String, Path, description = "Its id.")),
    responses((status = 200, description = "The webhook as it is now.", body = WebhookView)))]
pub(super) async fn change_webhook(
    Admin(key): Admin,
    State(state): State<Shared>,
    Id(id): Id,
    Json(input): JsonObject,
) -> Answer<axum::Json<WebhookView>> {
    rewrite(&state, &key.tenant, &id, &input, |stored| stored).await
}

/// Deletes a webhook and cancels its waiting deliveries. 409 while a rule names it.
#[utoipa::path(delete, path = "/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "Its id.")),
    responses((status = 204, description = "It is gone.")))]
pub(super) async fn delete_webhook(
    Admin(key): Admin,
    State(state): State<Shared>,
    Id(id): Id,
) -> Answer<StatusCode> {
    let backend = state.engine.backend();
    let existed = backend
        .delete_webhook(&key.tenant, &id.as_str().into())
        .await?;
    deleted(existed, "webhook", &id)
}

/// The webhook of this id, or 404.
pub(super) async fn find(state: &Shared, tenant: &TenantId, id: &str) -> Answer<Webhook> {
    let backend = state.engine.backend();
    backend
        .webhook(tenant, &id.into())
        .await?
        .ok_or_else(|| Problem::no_such("webhook", id))
}

/// Applies `input` to the result of `base` for the stored spec, then checks and stores that. The check of the templates
/// does not hold up others; if the webhook was changed meanwhile, nothing is stored.
async fn rewrite(
    state: &Shared,
    tenant: &TenantId,
    id: &str,
    input: &Map<String, Value>,
    base: impl FnOnce(WebhookSpec) -> WebhookSpec,
) -> Answer<axum::Json<WebhookView>> {
    let stored = find(state, tenant, id).await?;
    let draft = Draft {
        external_id: stored.external_id,
        spec: base(stored.spec.clone()),
    };
    let draft = validate::webhook(input, draft, state.engine.config())?;
    let warnings = state.engine.check_webhook(tenant, &draft.spec).await?;
    let webhook = Webhook {
        id: stored.id.clone(),
        external_id: draft.external_id,
        spec: draft.spec,
        warnings,
        created: stored.created,
        updated: Timestamp::now(),
    };
    let changes = state.engine.changes();
    let store = changes.apply(tenant, |existing| -> Answer<_> {
        check_external_id(&webhook, &existing.webhooks)?;
        check_plugin(&webhook, &existing.plugins)?;
        if !existing.webhooks.contains(&stored) {
            return Err(Problem::new(
                Kind::Conflict,
                "another request changed the webhook meanwhile; read it again and repeat the change",
            ));
        }
        Ok(&webhook)
    });
    store.await?;
    Ok(axum::Json(webhook.into()))
}

/// It was there when the webhook was checked, and may have been deleted since.
fn check_plugin(webhook: &Webhook, plugins: &[Plugin]) -> Result<(), FieldErrors> {
    check_reference(webhook.spec.plugin.as_deref(), plugins)
        .map_err(|error| FieldErrors::one("plugin", error.message))
}

/// A rule may name a webhook by this number, so only one may have it.
fn check_external_id(webhook: &Webhook, existing: &[Webhook]) -> Result<(), FieldErrors> {
    let Some(number) = webhook.external_id else {
        return Ok(());
    };
    match existing
        .iter()
        .find(|other| other.external_id == Some(number) && other.id != webhook.id)
    {
        Some(other) => Err(FieldErrors::one(
            "id",
            format!(
                "the webhook {:?} already has the external id {number}",
                other.spec.name
            ),
        )),
        None => Ok(()),
    }
}
