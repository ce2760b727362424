//! Authentication: the API key of a request, its tenant, and what the key may do.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, header, request::Parts},
};

use super::{
    Shared,
    limits::InFlight,
    problem::{Answer, Kind, Problem},
};
use crate::{
    backend::{ApiKey, KeyScope},
    tenant::{keys, limiter::Caller},
};

/// Time for which a key that was found is valid without another look-up. Deleting a key takes at most this long to
/// reach the other processes on the same store; in this process it takes effect at once.
const REMEMBERED: Duration = Duration::from_secs(1);
const REMEMBERED_KEYS: usize = 4096;
/// Time for which it is remembered that a key existed, so that its look-up goes before those of unknown keys.
const KNOWN: Duration = Duration::from_secs(600);
/// Look-ups at once of unknown keys: those that have not been seen for [`KNOWN`].
pub(super) const STRANGERS: usize = 1;

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
    if scheme.starts_with(keys::PREFIX) {
        return Err(format!(
            "the word Bearer is missing before the API key; {NEEDED}"
        ));
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(format!(
            "the Authorization header has another scheme than Bearer; {NEEDED}"
        ));
    }
    let token = token.trim();
    if token.is_empty() {
        return Err(format!("there is no API key after Bearer; {NEEDED}"));
    }
    keys::check_form(token).map(|()| token)
}

/// The message for an unknown key, with the probable cause by its length. Whether the key is a part of a real one
/// cannot be known: only hashes are stored.
fn unknown(key: &str) -> String {
    const MADE: usize = keys::PREFIX.len() + 43;
    let why = match key.len() {
        MADE => "it may have been deleted, or it belongs to another server".to_owned(),
        n if n < MADE => format!(
            "it has {n} characters and keys that hookbox makes have {MADE}, so it may have been cut off when it was copied; or \
             it was deleted, or it belongs to another server"
        ),
        n => format!(
            "it has {n} characters and keys that hookbox makes have {MADE}, so something may have been copied with it; or \
             it was deleted, or it belongs to another server"
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

/// Number of times that the cache has been cleared.
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
    let hash = keys::key_hash(token);
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
        found = keys::restore_env_key(backend, &hash).await?;
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
    use crate::model::{Secret, TenantId};

    #[test]
    fn what_is_wrong_with_a_key_is_said_and_the_key_is_not() {
        let made = keys::new_key().unwrap();
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
            (46, "deleted, or it belongs to another server"),
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
        let key = keys::record(
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
