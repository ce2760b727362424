//! API keys: who calls, for which tenant, and what the key may do.
//!
//! A key is `hb_` and 256 random bits; the store has only its SHA-256, by which it is looked up. There is
//! nothing to compare in constant time: whoever could time the lookup would learn about hashes, and from
//! a hash nothing about a key.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, header, request::Parts},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::{
    Shared,
    limits::InFlight,
    problem::{Answer, Kind, Problem},
};
use crate::{
    backend::{ApiKey, Backend, BackendError, KeyScope},
    model::{Secret, TenantId, Timestamp},
    tenant::limiter::Caller,
};

/// What every key begins with, so that people and secret scanners know one when they see it.
const PREFIX: &str = "hb_";
/// An operator's own key may be longer than hookbox's, and not shorter than this.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=200;
/// The id under which the operator's key from the environment is stored.
const FROM_ENV: &str = "key_environment";

/// How long a key that was found is taken for good. Deleting a key takes at most this long to reach the
/// other processes on the same store; in this process it counts at once.
const REMEMBERED: Duration = Duration::from_secs(1);
const REMEMBERED_KEYS: usize = 4096;
/// How long it is remembered that there was such a key, so that its look-up goes before those of strangers.
const KNOWN: Duration = Duration::from_secs(600);
/// Look-ups at once of keys that have not been seen for as long.
pub(super) const STRANGERS: usize = 1;

/// Makes a key: 32 bytes from the operating system, as base64url.
///
/// # Errors
/// When the operating system has no randomness to give.
pub(super) fn new_key() -> Result<Secret, BackendError> {
    let bytes: [u8; 32] = random_bytes()?;
    Ok(Secret::new(format!(
        "{PREFIX}{}",
        URL_SAFE_NO_PAD.encode(bytes)
    )))
}

fn random_bytes<const N: usize>() -> Result<[u8; N], BackendError> {
    use rand::TryRng;
    let mut bytes = [0; N];
    rand::rngs::SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|e| BackendError::Internal(format!("no randomness: {e}")))?;
    Ok(bytes)
}

/// The form in which the store knows a key: its SHA-256, hexadecimal.
#[must_use]
pub fn key_hash(key: &str) -> String {
    hex::encode(Sha256::digest(key.as_bytes()))
}

/// A record for a new key.
pub(super) fn record(name: String, tenant: TenantId, scope: KeyScope, key: &Secret) -> ApiKey {
    ApiKey {
        id: format!("key_{}", uuid::Uuid::now_v7().simple()),
        name,
        tenant,
        scope,
        created: Timestamp::now(),
        hash: key_hash(key.expose()),
    }
}

/// Sees to it that tenant `default` has an admin key. Call once at start.
///
/// With `from_env` (`HOOKBOX_ADMIN_KEY`), that key is stored and takes the place of the one that an
/// earlier start stored in this way. Without it, a key is made if there is no admin key yet, and returned:
/// print it once, it is not to be had again. Of several processes that start at once, one makes it.
///
/// # Errors
/// [`BackendError::Conflict`] if the given key is not `hb_` and 21 to 197 further characters; otherwise
/// what the store says.
pub async fn ensure_admin_key(
    backend: &dyn Backend,
    from_env: Option<Secret>,
) -> Result<Option<Secret>, BackendError> {
    if let Some(key) = from_env {
        if !is_well_formed(key.expose()) {
            return Err(BackendError::Conflict {
                field: "HOOKBOX_ADMIN_KEY".to_owned(),
                message: format!(
                    "HOOKBOX_ADMIN_KEY must begin with {PREFIX} and have {} to {} letters, digits, - and _ in \
                     all; leave it unset to have one made",
                    LENGTHS.start(),
                    LENGTHS.end()
                ),
            });
        }
        store_env_key(backend, key_hash(key.expose())).await?;
        return Ok(None);
    }
    if has_admin_key(backend).await? {
        return Ok(None);
    }
    let key = new_key()?;
    let (name, tenant) = ("first admin key".to_owned(), TenantId::default_tenant());
    let record = record(name, tenant, KeyScope::Admin, &key);
    match backend.put_key(&record, None).await {
        Ok(()) => Ok(Some(key)),
        // Of this name: another process was faster.
        Err(BackendError::Conflict { .. }) if has_admin_key(backend).await? => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the operator's tenant has any admin key. The API lets nobody delete the last one.
async fn has_admin_key(backend: &dyn Backend) -> Result<bool, BackendError> {
    let tenant = TenantId::default_tenant();
    let mut cursor: Option<String> = None;
    loop {
        let page = backend.keys(&tenant, 100, cursor.as_deref()).await?;
        if page.results.iter().any(|k| k.scope == KeyScope::Admin) {
            return Ok(true);
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(false),
        }
    }
}

/// Stores the operator's key from the environment, in place of the one stored so before.
async fn store_env_key(backend: &dyn Backend, hash: String) -> Result<ApiKey, BackendError> {
    let record = ApiKey {
        id: FROM_ENV.to_owned(),
        name: "HOOKBOX_ADMIN_KEY".to_owned(),
        tenant: TenantId::default_tenant(),
        scope: KeyScope::Admin,
        created: Timestamp::now(),
        hash,
    };
    let mut tries = 0;
    loop {
        if let Some(found) = backend.key_by_hash(&record.hash).await? {
            return Ok(found);
        }
        backend.delete_key(&record.tenant, FROM_ENV).await?;
        match backend.put_key(&record, None).await {
            Ok(()) => return Ok(record),
            // Another process is doing the same.
            Err(BackendError::Conflict { .. }) if tries < 3 => tries += 1,
            Err(error) => return Err(error),
        }
    }
}

/// The operator's key from the environment, of a store that has been emptied while this process ran: it is
/// stored again. That a store has been emptied shows in that it has no admin key at all; a key that was
/// deleted, or replaced by another process's, stays so.
async fn restore_env_key(
    backend: &dyn Backend,
    hash: &str,
) -> Result<Option<ApiKey>, BackendError> {
    if has_admin_key(backend).await? {
        return Ok(None);
    }
    tracing::warn!("the store has no admin key any more; HOOKBOX_ADMIN_KEY is stored again");
    store_env_key(backend, hash.to_owned()).await.map(Some)
}

fn is_well_formed(key: &str) -> bool {
    shape(key).is_ok()
}

/// Whether this has the shape of a key. Only what can be seen in it is told, and nothing of it is repeated.
///
/// # Errors
/// One sentence on what is wrong with it.
fn shape(key: &str) -> Result<(), String> {
    if !key.starts_with(PREFIX) {
        return Err(format!(
            "an API key begins with {PREFIX}, and this does not"
        ));
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if !key.bytes().all(allowed) {
        return Err(
            "an API key consists of letters, digits, - and _, and this has other characters: quotes, dots or a second word \
             may have been copied with it"
                .to_owned(),
        );
    }
    let (shortest, longest) = LENGTHS.into_inner();
    match key.len() {
        n if n < shortest => Err(format!(
            "this API key has {n} characters, and none has fewer than {shortest}: it was probably cut off when it was copied"
        )),
        n if n > longest => Err(format!(
            "this API key has {n} characters, and none has more than {longest}: something was probably copied with it"
        )),
        _ => Ok(()),
    }
}

/// The key in an `Authorization` header, if it has the shape of one.
///
/// # Errors
/// One sentence on what is wrong.
fn token_of(value: &HeaderValue) -> Result<&str, String> {
    const NEEDED: &str = "send it as `Authorization: Bearer hb_…`";
    let text = value.to_str().map_err(|_| {
        format!("the Authorization header has characters that no API key has, such as … or a line break; {NEEDED}")
    })?;
    let (scheme, token) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    if scheme.starts_with(PREFIX) {
        return Err(format!(
            "the word Bearer is missing before the API key; {NEEDED}"
        ));
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(format!(
            "the Authorization header must begin with the word Bearer, and this has another scheme; {NEEDED}"
        ));
    }
    let token = token.trim();
    if token.is_empty() {
        return Err(format!("there is no API key after Bearer; {NEEDED}"));
    }
    shape(token).map(|()| token)
}

/// Says that there is no such key, and of its length what that may mean. Whether there was one of which this is a part
/// is not known here either: only hashes are stored.
fn unknown(key: &str) -> String {
    const MADE: usize = PREFIX.len() + 43;
    let why = match key.len() {
        MADE => "it may have been deleted, or be of another server".to_owned(),
        n if n < MADE => format!(
            "keys that hookbox makes have {MADE} characters and this has {n}, so it may have been cut off when it was copied; or \
             it was deleted, or is of another server"
        ),
        n => format!(
            "keys that hookbox makes have {MADE} characters and this has {n}, so something may have been copied with it; or \
             it was deleted, or is of another server"
        ),
    };
    format!("this API key is not known here: {why}")
}

/// Keys that were found lately, so that not every event asks the store. Only keys that exist are kept:
/// what strangers make up must not push them out.
#[derive(Debug, Default)]
pub(super) struct KeyCache {
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    by_hash: HashMap<String, (ApiKey, Instant)>,
    generation: Generation,
}

/// How often the cache has been cleared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Generation(u64);

impl KeyCache {
    fn lock(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key, or what a key that is then found in the store is put with, and whether there was such a key lately.
    fn get(&self, hash: &str) -> Result<ApiKey, (Generation, bool)> {
        let found = self.lock();
        match found.by_hash.get(hash) {
            Some((key, since)) if since.elapsed() < REMEMBERED => Ok(key.clone()),
            known => Err((found.generation, known.is_some())),
        }
    }

    /// Remembers a key that was looked up after `generation` was had. If the cache has been cleared since,
    /// the key may be the one that has been deleted, and is not kept.
    fn put(&self, key: &ApiKey, generation: Generation) {
        let mut found = self.lock();
        if found.generation != generation {
            return;
        }
        let keys = &mut found.by_hash;
        for age in [KNOWN, REMEMBERED] {
            if keys.len() >= REMEMBERED_KEYS {
                keys.retain(|_, (_, since)| since.elapsed() < age);
            }
        }
        if keys.len() < REMEMBERED_KEYS {
            keys.insert(key.hash.clone(), (key.clone(), Instant::now()));
        }
    }

    /// Forgets all keys: one has been deleted.
    pub(super) fn clear(&self) {
        let mut found = self.lock();
        found.generation.0 = found.generation.0.wrapping_add(1);
        found.by_hash.clear();
    }
}

/// Finds the key that a request carries.
async fn authenticate(parts: &Parts, state: &Shared) -> Answer<ApiKey> {
    let refused = |detail: &str| Problem::new(Kind::Unauthenticated, detail);
    let Some(value) = parts.headers.get(header::AUTHORIZATION) else {
        return Err(refused("send an API key as `Authorization: Bearer hb_…`"));
    };
    let token = token_of(value).map_err(|what| refused(&what))?;
    let hash = key_hash(token);
    let (generation, is_known) = match state.keys.get(&hash) {
        Ok(key) => return Ok(key),
        Err(unknown) => unknown,
    };
    // `None` only if the semaphore were closed, which it is not.
    let _permit = match is_known {
        true => None,
        false => state.strangers.acquire().await.ok(),
    };
    let backend = state.engine.backend().as_ref();
    let mut found = backend.key_by_hash(&hash).await?;
    if found.is_none() && state.env_key_hash.as_ref() == Some(&hash) {
        found = restore_env_key(backend, &hash).await?;
    }
    match found {
        Some(key) => {
            state.keys.put(&key, generation);
            Ok(key)
        }
        None => Err(refused(&unknown(token))),
    }
}

impl From<&ApiKey> for Caller {
    fn from(key: &ApiKey) -> Self {
        Self::new(key.tenant.clone(), &key.id)
    }
}

/// Gives the request a place in its key's share of those under way, and says whose it is to what comes after.
fn admit(parts: &mut Parts, state: &Shared, key: &ApiKey) -> Answer<()> {
    let caller = Caller::from(key);
    if let Some(under_way) = parts.extensions.get::<InFlight>() {
        let place = state.places.try_acquire(&caller).ok_or_else(|| {
            let why = "too many requests of this key, or of its tenant, are under way; try again";
            Problem::new(Kind::Overloaded, why).after(Duration::from_secs(1))
        })?;
        under_way.hold(place);
    }
    parts.extensions.insert(caller);
    Ok(())
}

macro_rules! caller {
    ($(#[$doc:meta])* $name:ident, $($scope:ident)|+, $needed:literal) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) struct $name(pub(super) ApiKey);

        impl FromRequestParts<Shared> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Answer<Self> {
                let key = authenticate(parts, state).await?;
                admit(parts, state, &key)?;
                match key.scope {
                    $(KeyScope::$scope)|+ => Ok(Self(key)),
                    _ => Err(Problem::new(Kind::Forbidden, $needed)),
                }
            }
        }
    };
}

caller!(
    /// A caller that may change everything in its tenant.
    Admin, Admin, "this needs a key of scope admin"
);
caller!(
    /// A caller that may look.
    Reader, Admin | Read, "this needs a key of scope read or admin"
);
caller!(
    /// A caller that may post events.
    Sender, Admin | Ingest, "this needs a key of scope ingest or admin"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_long_random_and_well_formed() {
        let (a, b) = (new_key().unwrap(), new_key().unwrap());
        assert_ne!(a, b);
        assert!(is_well_formed(a.expose()));
        assert_eq!(a.expose().len(), 3 + 43);
        assert!(!is_well_formed("hb_short"));
        assert!(!is_well_formed("sk_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
    }

    #[test]
    fn what_is_wrong_with_a_key_is_said_and_the_key_is_not() {
        let made = new_key().unwrap();
        let key = made.expose();
        let told = |text: &str| {
            let value = HeaderValue::from_bytes(text.as_bytes()).unwrap();
            token_of(&value).map(str::to_owned)
        };
        assert_eq!(told(&format!("Bearer {key}")).as_deref(), Ok(key));
        assert_eq!(told(&format!("bearer  {key} ")).as_deref(), Ok(key));
        for (text, says) in [
            (key.to_owned(), "Bearer is missing"),
            (format!("Token {key}"), "another scheme"),
            (format!("Basic {key}"), "another scheme"),
            ("Bearer".to_owned(), "no API key after Bearer"),
            ("Bearer  ".to_owned(), "no API key after Bearer"),
            (format!("Bearer {}", &key[3..]), "begins with hb_"),
            (format!("Bearer \"{key}\""), "begins with hb_"),
            (format!("Bearer {key}\""), "other characters"),
            (format!("Bearer {key} {key}"), "other characters"),
            ("Bearer hb_…".to_owned(), "characters that no API key has"),
            ("Bearer hb_".to_owned(), "3 characters"),
            (
                format!("Bearer {}", &key[..20]),
                "20 characters, and none has fewer than 24",
            ),
            (
                format!("Bearer {key}{}", "x".repeat(155)),
                "201 characters, and none has more than 200",
            ),
        ] {
            let error = told(&text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
            assert!(!error.contains(&key[3..12]), "{error}");
        }
        for (length, says) in [
            (46, "deleted, or be of another server"),
            (45, "cut off"),
            (47, "copied with it"),
        ] {
            let error = unknown(&"x".repeat(length));
            assert!(
                error.contains("is not known here") && error.contains(says),
                "{error}"
            );
        }
    }

    #[test]
    fn a_key_is_remembered_until_the_cache_is_cleared() {
        let cache = KeyCache::default();
        let key = record(
            "a".to_owned(),
            TenantId::default_tenant(),
            KeyScope::Read,
            &Secret::new("hb_x"),
        );
        let (generation, is_known) = cache.get(&key.hash).unwrap_err();
        assert!(!is_known);
        cache.put(&key, generation);
        assert_eq!(cache.get(&key.hash).as_ref(), Ok(&key));
        cache.clear();
        assert!(cache.get(&key.hash).is_err());
        // A request found the key in the store, then it was deleted, and now the request goes on.
        cache.put(&key, generation);
        assert!(cache.get(&key.hash).is_err());
    }
}
