//! How the registry's values are written and read.

use std::collections::BTreeMap;

use redis::Value;
use serde::{Deserialize, Serialize};

use super::{
    HOME,
    fault::stored,
    read,
    store::{Store, int, list, text},
    write,
};
use crate::{
    model::{Secret, TenantId, Timestamp},
    registry::{ApiKey, BackendError, KeyScope},
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

fn meta(store: &Store) -> String {
    store.key(HOME, "meta")
}

/// The number of shards that this store was set up with; the first process decides.
///
/// # Errors
/// If it is set up with another number than the configuration wants: tenants cannot move.
pub(super) async fn shards(store: &Store, wanted: usize) -> Result<usize, BackendError> {
    let mut set = redis::pipe();
    set.hset_nx(meta(store), "shards", wanted.max(1)).ignore();
    set.hget(meta(store), "shards");
    let found = store.read(HOME, &set).await?.into_iter().next();
    let found = usize::try_from(int(found.unwrap_or(Value::Nil))?).unwrap_or(0);
    if !(1..=MAX_SHARDS).contains(&found) {
        return Err(stored("the number of shards is not one that hookbox sets"));
    }
    if wanted != 0 && wanted != found {
        return Err(BackendError::Internal(format!(
            "Redis: redis.shards is {wanted}, but what is stored under this prefix has {found} shards, which cannot be changed; set it to {found} or 0, or choose another redis.prefix"
        )));
    }
    Ok(found)
}

/// As many as the configuration allows.
const MAX_SHARDS: usize = 64;

pub(super) async fn instance_key(store: &Store) -> Result<[u8; 32], BackendError> {
    let fresh: [u8; 32] = rand::random();
    let mut set = redis::pipe();
    set.hset_nx(meta(store), "instance_key", hex::encode(fresh))
        .ignore();
    set.hget(meta(store), "instance_key");
    let found = store.read(HOME, &set).await?.into_iter().next();
    let found = hex::decode(text(found.unwrap_or(Value::Nil))?).ok();
    found
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| stored("the instance key is not 32 bytes"))
}
