//! `/v1/keys`

use axum::{extract::State, http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    List, Paging, Shared,
    auth::Admin,
    created, deleted,
    extract::{Id, Json, Params},
    limits::run_to_completion,
    problem::{Answer, Kind, Problem},
};
use crate::{
    backend::{ApiKey, KeyScope},
    model::{FieldErrors, TenantId, Timestamp},
    tenant::{keys, limiter::Caller},
};

/// Keys of one tenant.
const MAX_KEYS: usize = 1000;

/// An API key without its value.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub(super) struct KeyView {
    /// Its public id.
    id: String,
    /// A name for people.
    name: String,
    /// The tenant that the key acts for.
    tenant: TenantId,
    /// The requests that the key may make.
    scope: KeyScope,
    /// Time of creation.
    created: Timestamp,
}

impl From<ApiKey> for KeyView {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id,
            name: key.name,
            tenant: key.tenant,
            scope: key.scope,
            created: key.created,
        }
    }
}

/// A key to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    /// A name for people: 1 to 150 characters.
    #[schema(min_length = 1, max_length = 150)]
    name: String,
    /// `ingest` sends events, `read` only reads, `admin` may do everything.
    scope: KeyScope,
}

/// A new key. Its value is shown only in this answer.
#[derive(Serialize, ToSchema)]
pub(super) struct MadeKey {
    #[serde(flatten)]
    info: KeyView,
    /// The value of the key. hookbox stores only its hash.
    key: String,
}

/// Lists the tenant's keys, without their values.
#[utoipa::path(get, path = "/v1/keys", tag = "keys and secrets", params(Paging),
    responses((status = 200, description = "A page of keys.", body = List<KeyView>)))]
pub(super) async fn list_keys(
    Admin(caller): Admin,
    State(state): State<Shared>,
    Params(paging): Params<Paging>,
) -> Answer<Response> {
    let limit = paging.limit()?;
    let (backend, cursor) = (state.engine.backend(), paging.cursor.as_deref());
    let read = async || {
        let page = backend.keys(&caller.tenant, limit, cursor).await?;
        Ok(List::of(page, KeyView::from).0)
    };
    state.sending.json(&Caller::from(&caller), read).await
}

/// Creates a key for the caller's tenant.
#[utoipa::path(post, path = "/v1/keys", tag = "keys and secrets", request_body = NewKey,
    responses((status = 201, description = "The key, shown this once.", body = MadeKey)))]
pub(super) async fn create_key(
    Admin(caller): Admin,
    State(state): State<Shared>,
    Json(input): Json<NewKey>,
) -> Answer<Response> {
    let name = input.name.trim();
    if name.is_empty() || name.chars().count() > 150 || name.contains(char::is_control) {
        return Err(FieldErrors::one("name", "must be 1 to 150 characters on one line").into());
    }
    let key = keys::new_key()?;
    let record = keys::record(name.to_owned(), caller.tenant, input.scope, &key);
    let backend = state.engine.backend();
    backend.put_key(&record, Some(MAX_KEYS)).await?;
    let location = format!("/v1/keys/{}", record.id);
    let made = MadeKey {
        info: record.into(),
        key: key.expose().to_owned(),
    };
    created(&location, made)
}

/// Removes a key: it is refused at once by this process, and within a second by others on the same
/// store. A key cannot remove itself, so that a tenant cannot lock itself out.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "keys and secrets",
    params(("id" = String, Path, description = "Its public id.")),
    responses((status = 204, description = "It is gone.")))]
pub(super) async fn delete_key(
    Admin(caller): Admin,
    State(state): State<Shared>,
    Id(id): Id,
) -> Answer<StatusCode> {
    if id == caller.id {
        return Err(Problem::new(
            Kind::Conflict,
            "this is the key of this request; delete it with another admin key",
        ));
    }
    let key = id.clone();
    let existed = run_to_completion(async move {
        let backend = state.engine.backend();
        let existed = backend.delete_key(&caller.tenant, &key).await?;
        state.keys.clear();
        Ok(existed)
    })
    .await?;
    deleted(existed, "key", &id)
}
