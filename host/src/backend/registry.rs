//! The registry's contract: webhooks, event rules, secrets, plugins and API keys, each in its tenant.
//!
//! [`Registry`] is what every backend implements and one test suite checks. Ingest and workers do not read the
//! registry for each event; they use [`crate::tenant::SnapshotCache`], which compiles and caches it.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::{
    backend::Page,
    model::{
        Arm, EventRule, Plugin, RuleId, Secret, Tallies, TenantId, Timestamp, Webhook, WebhookId,
    },
};

use super::BackendError;

/// Everything a tenant has, as the backend stores it.
#[derive(Clone, Debug, Default)]
pub struct TenantConfig {
    /// The revision of this state; see [`Registry::revision`]. A change that was decided on this state
    /// names it as `expected_revision`.
    pub revision: u64,
    /// All webhooks.
    pub webhooks: Vec<Webhook>,
    /// All rules, by name.
    pub rules: Vec<EventRule>,
    /// All secrets, by name.
    pub secrets: BTreeMap<String, Secret>,
    /// All plugins, by name; without their components.
    pub plugins: Vec<Plugin>,
}

/// An API key as the backend keeps it: never the key itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Public id, such as `key_…`.
    pub id: String,
    /// For people.
    pub name: String,
    /// The tenant it acts for.
    pub tenant: TenantId,
    /// What it may do.
    pub scope: KeyScope,
    /// When it was made.
    pub created: Timestamp,
    /// SHA-256 of the key, hexadecimal. Keys are 256 random bits, so a fast hash is enough.
    pub hash: String,
}

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyScope {
    /// Everything, keys and secrets included.
    Admin,
    /// Post events and nothing else; for senders such as NetBox.
    Ingest,
    /// Look, but change nothing.
    Read,
}

/// A secret as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretInfo {
    /// The name by which templates place it.
    pub name: String,
    /// When it was last set.
    pub updated: Timestamp,
}

/// The registry's contract. Every method that changes something is one atomic, durable step.
///
/// Names are unique within a tenant; a clash is [`BackendError::Conflict`]. Lists are ordered by name and
/// paged by an opaque cursor.
///
/// A decision on the tenant as a whole (that there is room for one more, that a number is not
/// taken, that nobody has changed the object meanwhile) is decided before the step that stores it, and any
/// process may change the tenant in between. Such a step names the state it was decided on,
/// [`TenantConfig::revision`], as `expected_revision`: `Some` stores only if the tenant's revision is still this
/// one. That is looked at in the step and before anything else; if it is not, the answer is
/// [`BackendError::RevisionMismatch`] and nothing is stored. `None` stores whatever there is by now. Deletions ask
/// for no such thing: what can be in their way is looked at in their own step.
#[async_trait]
pub trait Registry: Send + Sync + std::fmt::Debug {
    /// Changes with every change that any process makes to this tenant's webhooks, rules, secrets or plugins (and
    /// may change more often), and never back to one that it had while a process lives that may remember
    /// it. Neither other tenants nor API keys change it. Cheap: called for every event and every attempt.
    async fn revision(&self, tenant: &TenantId) -> Result<u64, BackendError>;

    /// All of a tenant at one moment, with the revision of that moment. The revision may be older than the
    /// rest, which costs a caller one more try, but never newer.
    async fn tenant(&self, tenant: &TenantId) -> Result<TenantConfig, BackendError>;

    /// A page of webhooks.
    async fn webhooks(
        &self,
        tenant: &TenantId,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<Webhook>, BackendError>;
    /// One webhook.
    async fn webhook(
        &self,
        tenant: &TenantId,
        id: &WebhookId,
    ) -> Result<Option<Webhook>, BackendError>;
    /// Stores a webhook, new or changed, by its id. The queue heeds its `enabled`, `max_in_flight` and
    /// `rate_limit` from then on. A changed spec ends a pause that its receiver asked for
    /// ([`crate::backend::Settlement::pause`]): the request may now go elsewhere or be another, and storing
    /// a change is how people say so. The same spec again changes nothing.
    ///
    /// # Errors
    /// [`BackendError::RevisionMismatch`] if the tenant is no longer as it was `expected_revision`.
    async fn put_webhook(
        &self,
        tenant: &TenantId,
        webhook: &Webhook,
        expected_revision: Option<u64>,
    ) -> Result<(), BackendError>;
    /// Removes a webhook; false if there was none. Its waiting deliveries become `cancelled`.
    ///
    /// # Errors
    /// [`BackendError::Conflict`] while a rule names it.
    async fn delete_webhook(&self, tenant: &TenantId, id: &WebhookId)
    -> Result<bool, BackendError>;

    /// A page of rules.
    async fn rules(
        &self,
        tenant: &TenantId,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<EventRule>, BackendError>;
    /// One rule.
    async fn rule(&self, tenant: &TenantId, id: &RuleId)
    -> Result<Option<EventRule>, BackendError>;
    /// Stores a rule, new or changed, by its id.
    ///
    /// # Errors
    /// [`BackendError::RevisionMismatch`] if the tenant is no longer as it was `expected_revision`;
    /// [`BackendError::Conflict`] if the rule names a webhook that does not exist.
    async fn put_rule(
        &self,
        tenant: &TenantId,
        rule: &EventRule,
        expected_revision: Option<u64>,
    ) -> Result<(), BackendError>;
    /// Removes a rule; false if there was none.
    async fn delete_rule(&self, tenant: &TenantId, id: &RuleId) -> Result<bool, BackendError>;

    /// The names of a tenant's secrets.
    async fn secrets(
        &self,
        tenant: &TenantId,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<SecretInfo>, BackendError>;
    /// Sets a secret.
    ///
    /// # Errors
    /// [`BackendError::RevisionMismatch`] if the tenant is no longer as it was `expected_revision`.
    async fn put_secret(
        &self,
        tenant: &TenantId,
        name: &str,
        value: &Secret,
        expected_revision: Option<u64>,
    ) -> Result<(), BackendError>;
    /// Removes a secret; false if there was none.
    async fn delete_secret(&self, tenant: &TenantId, name: &str) -> Result<bool, BackendError>;

    /// A page of plugins.
    async fn plugins(
        &self,
        tenant: &TenantId,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<Plugin>, BackendError>;
    /// One plugin.
    async fn plugin(&self, tenant: &TenantId, name: &str) -> Result<Option<Plugin>, BackendError>;
    /// Stores a plugin, new or changed, by its name. The components of all its versions have been stored
    /// before; those that no version of any of the tenant's plugins names any more go in this step or soon
    /// after, and so do those that were stored over an hour ago and that none ever named. (What is younger may
    /// be an upload under way.)
    ///
    /// # Errors
    /// [`BackendError::RevisionMismatch`] if the tenant is no longer as it was `expected_revision`;
    /// [`BackendError::Conflict`] if a version's component is not there (any more).
    async fn put_plugin(
        &self,
        tenant: &TenantId,
        plugin: &Plugin,
        expected_revision: Option<u64>,
    ) -> Result<(), BackendError>;
    /// Removes a plugin, all its versions, and those of their components that no other plugin of the tenant
    /// names and nobody has stored again since; false if there was none.
    ///
    /// # Errors
    /// [`BackendError::Conflict`] while a webhook names it, with or without `@version`.
    async fn delete_plugin(&self, tenant: &TenantId, name: &str) -> Result<bool, BackendError>;
    /// Stores the bytes of a component under their SHA-256 (64 hexadecimal digits, computed by the caller),
    /// durably, in pieces small enough that nobody waits for them; the same bytes again are no error, and
    /// make it as young as new. It is found only when it is whole. Does not change the revision. A call
    /// that was interrupted may leave pieces, which nobody finds and which go after an hour.
    ///
    /// `at_most` is how many bytes all components of the tenant may have with it: those that plugins name, those
    /// that none does and that are kept all the same, and those that are being stored, looked at in the step
    /// that begins. A component that is there may be stored again however many they are. `None` for any number.
    ///
    /// # Errors
    /// [`BackendError::TooManyBytes`].
    async fn put_component(
        &self,
        tenant: &TenantId,
        sha256: &str,
        bytes: &[u8],
        at_most: Option<u64>,
    ) -> Result<(), BackendError>;
    /// Ends what [`Registry::put_component`] begins, the time in which a component is kept for the plugin that shall
    /// name it: one that no plugin of the tenant names is removed now or soon after, and one that is named goes
    /// with the last that names it. Somebody else who has stored the same one, and has not named it yet, has to
    /// store it again. No error if there is none. Does not change the revision.
    async fn release_component(&self, tenant: &TenantId, sha256: &str) -> Result<(), BackendError>;
    /// The bytes of a component, if all of them are there. Read in pieces, too.
    ///
    /// # Errors
    /// [`BackendError::Corrupt`] if they are not those that the digest is of.
    async fn component(
        &self,
        tenant: &TenantId,
        sha256: &str,
    ) -> Result<Option<Vec<u8>>, BackendError>;
    /// A piece of a component, from 0: what is read bit by bit by those who do not want it as a whole. Each but
    /// the last has the same size. `None` if there is no such component or piece. Nothing is checked.
    async fn component_piece(
        &self,
        tenant: &TenantId,
        sha256: &str,
        number: u32,
    ) -> Result<Option<Vec<u8>>, BackendError>;
    /// Counts an attempt of a plugin's trial, which `started` identifies, and answers with all counted so
    /// far. Counts of a trial before it are dropped; of one that is not the latest (any more) nothing is
    /// counted, and the answer is zeros. Does not change the revision, and need not survive a
    /// crash; cheap: called for every attempt while a trial runs.
    async fn tally(
        &self,
        tenant: &TenantId,
        plugin: &str,
        started: Timestamp,
        arm: Arm,
        failed: bool,
    ) -> Result<Tallies, BackendError>;
    /// What was counted in this trial so far; zeros if it is not the latest.
    async fn tallies(
        &self,
        tenant: &TenantId,
        plugin: &str,
        started: Timestamp,
    ) -> Result<Tallies, BackendError>;

    /// The key with this hash.
    async fn key_by_hash(&self, hash: &str) -> Result<Option<ApiKey>, BackendError>;
    /// A page of a tenant's keys.
    async fn keys(
        &self,
        tenant: &TenantId,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<ApiKey>, BackendError>;
    /// Stores a key, new or changed, by its id. `at_most` is how many keys its tenant may have with it,
    /// looked at in the step; a known key may be stored again whatever their number. `None` for any number.
    ///
    /// # Errors
    /// [`BackendError::Conflict`] if its name or its hash is another key's; else
    /// [`BackendError::LimitReached`] if it would be one too many.
    async fn put_key(&self, key: &ApiKey, at_most: Option<usize>) -> Result<(), BackendError>;
    /// Removes a key; false if there was none.
    async fn delete_key(&self, tenant: &TenantId, id: &str) -> Result<bool, BackendError>;

    /// A random value that all processes on this backend share and that outlives them, made at the first
    /// call: 32 bytes, for deriving handles and the like.
    async fn instance_key(&self) -> Result<[u8; 32], BackendError>;
}

/// The answer to a name that is not unique.
pub(super) fn name_taken(kind: &str, name: &str) -> BackendError {
    BackendError::Conflict {
        field: "name".to_owned(),
        message: format!("another {kind} has the name {name:?}; choose another name"),
    }
}

/// The answer to deleting a webhook that a rule names.
pub(super) fn webhook_in_use(rule: &str) -> BackendError {
    BackendError::Conflict {
        field: "id".to_owned(),
        message: format!(
            "the event rule {rule:?} runs this webhook; change or delete the rule first"
        ),
    }
}

/// Bytes of a piece in which a component is stored.
pub(super) const COMPONENT_PIECE: usize = 256 << 10;

/// How long a component is kept for the plugin that shall name it.
pub(super) const UPLOAD_TIME: Duration = Duration::from_secs(3600);

/// Whether this can be a component's name: it becomes a part of keys.
pub(super) fn check_component_id(sha256: &str) -> Result<(), BackendError> {
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if sha256.len() == 64 && sha256.bytes().all(is_digit) {
        return Ok(());
    }
    Err(BackendError::Internal(
        "a component's name is not a SHA-256 in hexadecimal".to_owned(),
    ))
}

/// Whether these are the bytes that were stored under this name. Takes tens of milliseconds for the largest.
pub(super) fn is_component(sha256: &str, bytes: &[u8]) -> bool {
    hex::encode(Sha256::digest(bytes)) == sha256
}

/// Logs a clean-up that failed after a change that was made. Pruning does it again.
pub(super) fn sweeping(result: Result<(), BackendError>) {
    if let Err(error) = result {
        tracing::warn!(%error, "components that nobody needs are not removed yet");
    }
}

/// The answer to storing a plugin whose component is not there.
pub(super) fn component_missing(sha256: &str) -> BackendError {
    BackendError::Conflict {
        field: "versions".to_owned(),
        message: format!("the component {sha256} is not stored any more; upload it again"),
    }
}

/// The answer to deleting a plugin that a webhook names.
pub(super) fn plugin_in_use(webhook: &str) -> BackendError {
    BackendError::Conflict {
        field: "name".to_owned(),
        message: format!(
            "the webhook {webhook:?} runs this plugin; change or delete the webhook first"
        ),
    }
}
