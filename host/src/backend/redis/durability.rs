//! Checks of the server that an operator has to know about: its version, and which of its data it can lose.

use std::collections::HashMap;

use redis::Value;

use crate::backend::redis::{
    HOME,
    fault::{self, stored},
    store::{Store, text},
};
use crate::{backend::BackendError, config::RedisConfig};

/// The oldest version whose scripts have flags (`#!lua flags=…`).
const OLDEST: u32 = 7;

/// Checks the server, says how durable what it acknowledges is, and with `redis.strict` refuses one that
/// would lose what it acknowledged.
///
/// # Errors
/// [`BackendError::Unavailable`] if it cannot be asked; otherwise what has to be changed.
pub(super) async fn check(store: &Store, config: &RedisConfig) -> Result<(), BackendError> {
    let mut ask = redis::pipe();
    for section in ["server", "persistence", "memory", "replication"] {
        ask.cmd("INFO").arg(section);
    }
    // The refusal is an answer here.
    ask.ignore_errors();
    let mut facts = HashMap::new();
    for section in store.read(HOME, &ask).await? {
        if fault::is_denied(&section) {
            return unseen(config);
        }
        if let Value::ServerError(error) = &section {
            return Err(fault::unavailable(error));
        }
        for line in info(section)?.lines() {
            if let Some((name, value)) = line.split_once(':') {
                facts.insert(name.to_owned(), value.trim().to_owned());
            }
        }
    }
    let fact = |name: &str| facts.get(name).map_or("", String::as_str);

    let version = match fact("valkey_version") {
        "" => fact("redis_version"),
        valkey => valkey,
    };
    let major = version
        .split('.')
        .next()
        .and_then(|n| n.parse::<u32>().ok());
    if major.is_some_and(|major| major < OLDEST) {
        return Err(unfit(&format!(
            "the server is version {version}; hookbox needs {OLDEST} or newer"
        )));
    }
    if fact("redis_mode") == "cluster" && !store.nodes().is_cluster() {
        return Err(unfit(
            "the server is a node of a cluster; write the address as redis+cluster://…",
        ));
    }

    let mut faults = Vec::new();
    if fact("aof_enabled") != "1" {
        faults.push("it keeps no append-only file, so what was accepted since its last snapshot is lost when it stops: set `appendonly yes`");
    }
    let policy = fact("maxmemory_policy");
    if !policy.is_empty() && policy != "noeviction" {
        faults.push("it throws keys away when memory is short: set `maxmemory-policy noeviction`");
    }
    if config.strict && !faults.is_empty() {
        return Err(unfit(&format!(
            "redis.strict is set, and {}",
            faults.join("; and ")
        )));
    }
    for fault in &faults {
        tracing::warn!("Redis is not fit to keep what hookbox accepts: {fault}");
    }
    if faults.is_empty() {
        let loss = match appendfsync(store).await.as_deref() {
            Some("always") => "survives a crash of the machine",
            Some("everysec") => {
                "survives a crash of Redis (if the disk keeps up) and, but for about the last second, of the machine"
            }
            Some("no") => {
                "survives a crash of Redis and, but for about the last half minute, of the machine"
            }
            _ => "survives as its `appendfsync` says, which this user may not see",
        };
        tracing::info!(
            version,
            replicas = config.replicas,
            "what Redis acknowledges {loss}"
        );
    }
    Ok(())
}

/// The server does not show this user what it is.
fn unseen(config: &RedisConfig) -> Result<(), BackendError> {
    const WHAT: &str =
        "its version and what it may lose cannot be checked, as the user may not use INFO";
    if config.strict {
        return Err(unfit(&format!(
            "redis.strict is set, and {WHAT}: give the user `+info`"
        )));
    }
    tracing::warn!("Redis: {WHAT}; `+info` in the user's rights allows it");
    Ok(())
}

/// Many managed servers do not say.
async fn appendfsync(store: &Store) -> Option<String> {
    let mut ask = redis::pipe();
    ask.cmd("CONFIG").arg("GET").arg("appendfsync");
    let answer = store.read(HOME, &ask).await.ok()?.into_iter().next()?;
    let answer: HashMap<String, String> = redis::from_redis_value(answer).ok()?;
    answer.into_values().next()
}

fn info(value: Value) -> Result<String, BackendError> {
    text(value).map_err(|_| stored("INFO was not answered with text"))
}

fn unfit(what: &str) -> BackendError {
    BackendError::Internal(format!("Redis: {what}"))
}
