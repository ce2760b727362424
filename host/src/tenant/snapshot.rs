//! Cached, compiled snapshots of tenants' configurations.
//!
//! Ingest needs a tenant's rules for every event and workers need its webhooks for every attempt, so
//! neither asks the backend: a snapshot is taken once and kept until the registry's revision says that
//! something has changed. Reading one is a lock held for a look-up.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    sync::Arc,
};

use quick_cache::sync::Cache;
use serde_json::{Map, Value, json};

use crate::{
    backend::{Backend, BackendError, TenantConfig},
    tenant::{RenderFor, WebhookSecrets},
};
use crate::{
    model::{Plugin, RuleId, Secret, TenantId, Webhook, WebhookId, WebhookSpec},
    rules::{ConditionLimits, RuleSet},
};

/// Tenants whose snapshots are kept. Past that, those that are used least are dropped and taken again when needed.
const MAX_SNAPSHOTS: usize = 10_000;

/// A tenant's snapshot. The lock is held while it is compiled.
type Slot = Arc<tokio::sync::Mutex<Option<Arc<Snapshot>>>>;

/// Snapshots by tenant.
#[derive(Debug)]
pub struct SnapshotCache {
    backend: Arc<dyn Backend>,
    limits: ConditionLimits,
    handle_key: [u8; 32],
    slots: Cache<TenantId, Slot>,
}

impl SnapshotCache {
    /// An empty cache over this backend.
    ///
    /// # Errors
    /// When the backend cannot give its instance key.
    pub async fn open(
        backend: Arc<dyn Backend>,
        limits: ConditionLimits,
    ) -> Result<Self, BackendError> {
        let handle_key = backend.instance_key().await?;
        Ok(Self {
            backend,
            limits,
            handle_key,
            slots: Cache::new(MAX_SNAPSHOTS),
        })
    }

    /// The tenant as it is now: changes made before this call are in it. After a change one caller compiles
    /// (away from the runtime's threads, as that may take a while) and the others wait for it.
    ///
    /// # Errors
    /// When the backend fails.
    pub async fn snapshot(&self, tenant: &TenantId) -> Result<Arc<Snapshot>, BackendError> {
        let slot = self.slot(tenant);
        let mut slot = slot.lock().await;
        let revision = self.backend.revision(tenant).await?;
        if let Some(found) = slot.as_ref()
            && found.revision == revision
        {
            return Ok(Arc::clone(found));
        }
        let config = self.backend.tenant(tenant).await?;
        self.take(&mut slot, tenant, config).await
    }

    /// The same for a caller that needs this webhook: if it is missing, the backend is asked once more. The cache
    /// trusts a revision for a moment, and a webhook that has a delivery can be newer.
    ///
    /// # Errors
    /// When the backend fails.
    pub async fn snapshot_for(
        &self,
        tenant: &TenantId,
        webhook: &WebhookId,
    ) -> Result<Arc<Snapshot>, BackendError> {
        let snapshot = self.snapshot(tenant).await?;
        if snapshot.webhook(webhook).is_some() {
            return Ok(snapshot);
        }
        let slot = self.slot(tenant);
        let mut slot = slot.lock().await;
        // The caller that held the lock before may have found it.
        if let Some(found) = slot.as_ref()
            && found.webhook(webhook).is_some()
        {
            return Ok(Arc::clone(found));
        }
        let config = self.backend.tenant(tenant).await?;
        if config.revision == snapshot.revision {
            return Ok(snapshot);
        }
        self.take(&mut slot, tenant, config).await
    }

    /// Compiles what a tenant has, and keeps it.
    async fn take(
        &self,
        slot: &mut Option<Arc<Snapshot>>,
        tenant: &TenantId,
        config: TenantConfig,
    ) -> Result<Arc<Snapshot>, BackendError> {
        let (owned, limits, key) = (tenant.clone(), self.limits, self.handle_key);
        let compile = move || Snapshot::compile(&owned, config, limits, key);
        let snapshot = tokio::task::spawn_blocking(compile)
            .await
            .map_err(|e| BackendError::Internal(format!("compiling rules ended early: {e}")))?;
        Ok(Arc::clone(slot.insert(Arc::new(snapshot))))
    }

    fn slot(&self, tenant: &TenantId) -> Slot {
        let Ok(slot) = self
            .slots
            .get_or_insert_with(tenant, || Ok::<_, Infallible>(Slot::default()));
        slot
    }
}

/// All of one tenant at one moment, compiled.
#[derive(Debug)]
pub struct Snapshot {
    revision: u64,
    tenant: TenantId,
    handle_key: [u8; 32],
    rules: RuleSet,
    action_data: HashMap<RuleId, Map<String, Value>>,
    webhooks: HashMap<WebhookId, Arc<CompiledWebhook>>,
    secrets: Arc<BTreeMap<String, Secret>>,
    plugins: HashMap<String, Plugin>,
}

/// A webhook, with what every render of it needs.
#[derive(Debug)]
pub struct CompiledWebhook {
    /// The webhook.
    pub webhook: Webhook,
    /// The JSON object that its transformer gets.
    pub guest_view: Arc<str>,
}

impl Snapshot {
    /// Which state of the tenant's configuration this is.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    fn compile(
        tenant: &TenantId,
        config: TenantConfig,
        limits: ConditionLimits,
        handle_key: [u8; 32],
    ) -> Self {
        let rules = RuleSet::compile(&config.rules, &config.webhooks, limits);
        let action_data = config
            .rules
            .into_iter()
            .filter_map(|rule| Some((rule.id, rule.spec.action_data?)))
            .filter(|(_, data)| !data.is_empty())
            .collect();
        let webhooks = config
            .webhooks
            .into_iter()
            .map(|webhook| {
                let prepared = CompiledWebhook {
                    guest_view: guest_view(&webhook.spec),
                    webhook,
                };
                (prepared.webhook.id.clone(), Arc::new(prepared))
            })
            .collect();
        let plugins = config.plugins.into_iter();
        let plugins = plugins.map(|plugin| (plugin.name.clone(), plugin));
        let tenant = tenant.clone();
        Self {
            revision: config.revision,
            tenant,
            handle_key,
            rules,
            action_data,
            webhooks,
            secrets: Arc::new(config.secrets),
            plugins: plugins.collect(),
        }
    }

    /// The tenant that it belongs to.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// One plugin.
    #[must_use]
    pub fn plugin(&self, name: &str) -> Option<&Plugin> {
        self.plugins.get(name)
    }

    /// The compiled rules.
    #[must_use]
    pub fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// The object that this rule merges under an event's `data`, if any.
    #[must_use]
    pub fn action_data(&self, rule: &RuleId) -> Option<&Map<String, Value>> {
        self.action_data.get(rule)
    }

    /// One webhook.
    #[must_use]
    pub fn webhook(&self, id: &WebhookId) -> Option<&Arc<CompiledWebhook>> {
        self.webhooks.get(id)
    }

    /// The secrets as a render of the webhook of this id sees them. A webhook that is not stored has none.
    #[must_use]
    pub fn secrets(&self, webhook: Option<&WebhookId>, render: RenderFor<'_>) -> WebhookSecrets {
        let secrets = Arc::clone(&self.secrets);
        let webhook = webhook.map_or("", WebhookId::as_str);
        WebhookSecrets::new(&self.handle_key, &self.tenant, webhook, render, secrets)
    }
}

/// The JSON object that a webhook's transformer gets, as `wit/transformer.wit` documents it. The webhook's secret, its
/// TLS settings and its policy are not in it.
#[must_use]
pub fn guest_view(spec: &WebhookSpec) -> Arc<str> {
    json!({
        "name": spec.name,
        "payload_url": spec.payload_url,
        "http_method": spec.http_method,
        "http_content_type": spec.http_content_type,
        "additional_headers": spec.additional_headers,
        "body_template": spec.body_template,
        "body_escape": spec.body_escape,
        "settings": spec.settings,
    })
    .to_string()
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{backend::sqlite::SqliteBackend, config::Config};

    #[tokio::test]
    async fn a_tenant_that_is_in_use_keeps_its_snapshot_however_many_others_there_are() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::defaults();
        let backend = SqliteBackend::open(dir.path(), config.queue_limits()).await;
        let cache = SnapshotCache::open(backend.unwrap(), (&config.limits).into());
        let cache = cache.await.unwrap();

        let in_use = TenantId::from("in-use");
        let slot = cache.slot(&in_use);
        for n in 0..3 * MAX_SNAPSHOTS {
            cache.slot(&TenantId::from(format!("other-{n}").as_str()));
            if n % 100 == 0 {
                assert!(Arc::ptr_eq(&slot, &cache.slot(&in_use)), "after {n} others");
            }
        }
        assert!(cache.slots.len() <= MAX_SNAPSHOTS, "{}", cache.slots.len());
    }
}
