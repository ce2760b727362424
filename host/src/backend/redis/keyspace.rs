//! The names of a store's keys, and what is decided once for a whole store: naming, number of shards, instance key.

use redis::Value;

use super::{
    HOME,
    fault::{self, stored},
    store::{Store, int, text},
};
use crate::backend::BackendError;

/// How the keys of a store are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// `PREFIX:{SHARD}:…`. All keys begin with the prefix, so that a user can be limited to `~PREFIX:*`.
    Prefixed,
    /// `{PREFIX:SHARD}:…`. Stores that were set up by earlier versions keep this.
    Braced,
}

impl Naming {
    /// The prefix of all keys of a shard. The braces hold the hash tag, by which a cluster keeps them in one slot.
    pub(super) fn shard(self, prefix: &str, number: usize) -> String {
        match self {
            Self::Prefixed => format!("{prefix}:{{{number}}}:"),
            Self::Braced => format!("{{{prefix}:{number}}}:"),
        }
    }
}

/// How the keys are named in the store that is here; [`Naming::Prefixed`] if there is none yet. Nothing is renamed:
/// other processes, of an earlier version too, may be using the store.
///
/// # Errors
/// If the user may not use the keys.
pub(super) async fn naming(prefixed: &Store, braced: &Store) -> Result<Naming, BackendError> {
    let (new, old) = (prefixed.key(HOME, ""), braced.key(HOME, ""));
    let at_new = is_set_up(prefixed).await?;
    if at_new == Some(true) {
        return Ok(Naming::Prefixed);
    }
    match (at_new, is_set_up(braced).await?) {
        (_, Some(true)) => {
            tracing::info!(
                keys = old,
                "the store was set up by an earlier version; its keys keep their names"
            );
            Ok(Naming::Braced)
        }
        (None, _) => Err(BackendError::Internal(format!(
            "Redis: the user may not use the keys that begin with {new}; give it the rights in docs/operations.md"
        ))),
        (Some(_), None) => {
            tracing::warn!(
                keys = old,
                "a new store is set up; whether an earlier version has left one under other names cannot be seen, as \
                 the user may not read those keys"
            );
            Ok(Naming::Prefixed)
        }
        (Some(_), Some(false)) => Ok(Naming::Prefixed),
    }
}

/// Whether a store is set up under these names; nothing if the user may not see that.
async fn is_set_up(store: &Store) -> Result<Option<bool>, BackendError> {
    let mut ask = redis::pipe();
    ask.exists(meta(store));
    // The refusal is an answer here.
    ask.ignore_errors();
    let found = store.read(HOME, &ask).await?.into_iter().next();
    match found.unwrap_or(Value::Nil) {
        value if fault::is_denied(&value) => Ok(None),
        Value::ServerError(error) => Err(fault::unavailable(&error)),
        value => Ok(Some(int(value)? == 1)),
    }
}

/// A store with the old names must not go on beside one that was set up with the new ones, after Redis was emptied.
///
/// # Errors
/// If there is one.
pub(super) async fn keep_alone(prefixed: &Store) -> Result<(), BackendError> {
    match is_set_up(prefixed).await? {
        Some(true) => Err(BackendError::Internal(format!(
            "Redis: the store has been set up anew under {}; restart this process to use it",
            prefixed.key(HOME, "")
        ))),
        _ => Ok(()),
    }
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

/// The most that the configuration allows.
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
