//! `/v1/secrets`: values that templates can place but nobody can read.

use axum::{extract::State, http::StatusCode, response::Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    List, Paging, Shared,
    auth::{Admin, Reader},
    check_room, deleted,
    extract::{Id, Json, Params},
    problem::Answer,
};
use crate::{
    backend::SecretInfo,
    model::{FieldErrors, Secret},
    tenant::{limiter::Caller, validate::secret_name},
};

/// Maximum size of a secret: that of a header.
const MAX_BYTES: usize = 8192;

/// The value of a secret. It cannot be read back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretBody {
    /// The value: 1 to 8192 bytes.
    #[schema(value_type = String, write_only, min_length = 1, max_length = 8192)]
    value: Secret,
}

/// Lists the names of the tenant's secrets.
#[utoipa::path(get, path = "/v1/secrets", tag = "keys and secrets", params(Paging),
    responses((status = 200, description = "A page of names.", body = List<SecretInfo>)))]
pub(super) async fn list_secrets(
    Reader(key): Reader,
    State(state): State<Shared>,
    Params(paging): Params<Paging>,
) -> Answer<Response> {
    let limit = paging.limit()?;
    let (backend, cursor) = (state.engine.backend(), paging.cursor.as_deref());
    let read = async || {
        let page = backend.secrets(&key.tenant, limit, cursor).await?;
        Ok(List::of(page, |info| info).0)
    };
    state.sending.json(&Caller::from(&key), read).await
}

/// Creates or replaces a secret. Templates place it with `{{ secret('name') }}`.
#[utoipa::path(put, path = "/v1/secrets/{name}", tag = "keys and secrets", request_body = SecretBody,
    params(("name" = String, Path, description = "The name: up to 64 letters, digits, `_`, `-` and `.`.")),
    responses((status = 204, description = "The secret is stored.")))]
pub(super) async fn put_secret(
    Admin(key): Admin,
    State(state): State<Shared>,
    Id(name): Id,
    Json(body): Json<SecretBody>,
) -> Answer<StatusCode> {
    secret_name(&name)?;
    let length = body.value.expose().len();
    if !(1..=MAX_BYTES).contains(&length) {
        return Err(FieldErrors::one(
            "value",
            format!("has {length} bytes; it must have 1 to {MAX_BYTES}"),
        )
        .into());
    }
    let limit = state.engine.config().limits.secrets;
    let changes = state.engine.changes();
    let store = changes.apply(&key.tenant, |existing| -> Answer<_> {
        if !existing.secrets.contains_key(&name) {
            check_room(existing.secrets.len(), limit, "secrets")?;
        }
        Ok((name.as_str(), &body.value))
    });
    store.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a secret. Webhooks that place it fail from then on.
#[utoipa::path(delete, path = "/v1/secrets/{name}", tag = "keys and secrets",
    params(("name" = String, Path, description = "Its name.")),
    responses((status = 204, description = "It is gone.")))]
pub(super) async fn delete_secret(
    Admin(key): Admin,
    State(state): State<Shared>,
    Id(name): Id,
) -> Answer<StatusCode> {
    let backend = state.engine.backend();
    let existed = backend.delete_secret(&key.tenant, &name).await?;
    deleted(existed, "secret", &name)
}
