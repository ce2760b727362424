//! The registry's values as they are stored: revisions, documents, secrets and API keys.

use std::collections::BTreeMap;

use redis::Value;
use serde::{Deserialize, Serialize};

use crate::backend::redis::{
    fault::stored,
    registry::named::{read, write},
    store::{int, list, text},
};
use crate::{
    backend::{ApiKey, BackendError, KeyScope},
    model::{Secret, TenantId, Timestamp},
};

/// A tenant that never changed anything has none.
pub(super) fn revision(value: Option<Value>) -> Result<u64, BackendError> {
    match value {
        None | Some(Value::Nil) => Ok(0),
        Some(value) => Ok(int(value)?.unsigned_abs()),
    }
}

pub(super) fn documents<T: serde::de::DeserializeOwned>(
    value: Value,
) -> Result<Vec<T>, BackendError> {
    let documents = list(value)?.into_iter();
    documents.map(|document| read(&text(document)?)).collect()
}

/// When it was set (ms) and the value.
pub(super) fn secret_document(value: &Secret) -> String {
    format!("{} {}", Timestamp::now().as_millis(), value.expose())
}

pub(super) fn secret(document: &str) -> Result<(Timestamp, Secret), BackendError> {
    let (updated, value) = document
        .split_once(' ')
        .ok_or_else(|| stored("a secret has no time"))?;
    let updated = updated
        .parse()
        .map_err(|_| stored("a secret's time is no number"))?;
    Ok((Timestamp::from_millis(updated), Secret::new(value)))
}

pub(super) fn secrets(value: Value) -> Result<BTreeMap<String, Secret>, BackendError> {
    let pairs: BTreeMap<String, String> =
        redis::from_redis_value(value).map_err(|_| stored("secrets were to be expected"))?;
    let read = |(name, document): (String, String)| Ok((name, secret(&document)?.1));
    pairs.into_iter().map(read).collect()
}

/// An API key as it is written; `hash` is read by the steps too.
#[derive(Serialize, Deserialize)]
struct KeyDocument {
    id: String,
    name: String,
    tenant: TenantId,
    scope: KeyScope,
    created: i64,
    hash: String,
}

pub(super) fn key_document(key: &ApiKey) -> Result<String, BackendError> {
    write(&KeyDocument {
        id: key.id.clone(),
        name: key.name.clone(),
        tenant: key.tenant.clone(),
        scope: key.scope,
        created: key.created.as_millis(),
        hash: key.hash.clone(),
    })
}

pub(super) fn read_key(document: &str) -> Result<ApiKey, BackendError> {
    let key: KeyDocument = read(document)?;
    Ok(ApiKey {
        id: key.id,
        name: key.name,
        tenant: key.tenant,
        scope: key.scope,
        created: Timestamp::from_millis(key.created),
        hash: key.hash,
    })
}
