//! API keys: their form, and how they are made and stored.
//!
//! A key is `hb_` and 256 random bits. The store has only its SHA-256, by which it is looked up. There is nothing to
//! compare in constant time: the timing of a look-up could tell of hashes, and a hash tells nothing of its key.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::{TryRng, rngs::SysRng};
use sha2::{Digest, Sha256};

use crate::{
    backend::{ApiKey, Backend, BackendError, KeyScope},
    model::{Secret, TenantId, Timestamp},
};

/// The start of every key, by which people and secret scanners recognise one.
pub(crate) const PREFIX: &str = "hb_";
/// An operator's own key may be longer than hookbox's, and not shorter than this.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=200;
/// The id under which the operator's key from the environment is stored.
const FROM_ENV: &str = "key_environment";

/// Makes a key: 32 bytes from the operating system, as base64url.
///
/// # Errors
/// When the operating system has no randomness to give.
pub(crate) fn new_key() -> Result<Secret, BackendError> {
    let mut bytes = [0; 32];
    SysRng.try_fill_bytes(&mut bytes).map_err(|e| {
        BackendError::Internal(format!("the system's random generator failed: {e}"))
    })?;
    let digits = URL_SAFE_NO_PAD.encode(bytes);
    Ok(Secret::new(format!("{PREFIX}{digits}")))
}

/// The form in which the store knows a key: its SHA-256, hexadecimal.
#[must_use]
pub fn key_hash(key: &str) -> String {
    hex::encode(Sha256::digest(key.as_bytes()))
}

/// A record for a new key.
pub(crate) fn record(name: String, tenant: TenantId, scope: KeyScope, key: &Secret) -> ApiKey {
    ApiKey {
        id: format!("key_{}", uuid::Uuid::now_v7().simple()),
        name,
        tenant,
        scope,
        created: Timestamp::now(),
        hash: key_hash(key.expose()),
    }
}

/// Makes sure that tenant `default` has an admin key. Call once at start.
///
/// With `from_env` (`HOOKBOX_ADMIN_KEY`), that key is stored and takes the place of the one that an
/// earlier start stored in this way. Without it, a key is made if there is no admin key yet, and returned:
/// print it once, as it cannot be read again. Of several processes that start at once, one makes it.
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

/// Whether the operator's tenant has any admin key. The API does not delete the last one.
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
pub(crate) async fn restore_env_key(
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
    check_form(key).is_ok()
}

/// Whether this has the form of a key. The error repeats nothing of the key.
///
/// # Errors
/// One sentence on what is wrong with it.
pub(crate) fn check_form(key: &str) -> Result<(), String> {
    if !key.starts_with(PREFIX) {
        return Err(format!(
            "an API key begins with {PREFIX}; this one does not"
        ));
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if !key.bytes().all(allowed) {
        return Err(
            "an API key has only letters, digits, - and _; this one has other characters, such as quotes, dots or a second word that were copied with it"
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
}
