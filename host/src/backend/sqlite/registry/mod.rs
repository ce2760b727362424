//! The registry in SQLite.

pub(super) mod components;
mod keys;
pub(super) mod plugins;
mod rules;
pub(super) mod trials;
mod webhooks;

use async_trait::async_trait;

use super::{SqliteBackend, writer::Tx};
use crate::{
    backend::{
        ApiKey, BackendError, Cursor, Page, Registry, SecretInfo, TenantConfig, registry::sweeping,
    },
    model::{
        Arm, EventRule, Plugin, RuleId, Secret, Tallies, TenantId, Timestamp, Webhook, WebhookId,
    },
};

#[async_trait]
impl Registry for SqliteBackend {
    async fn revision(&self, tenant: &TenantId) -> Result<u64, BackendError> {
        Ok(self.store.revision(tenant))
    }

    async fn tenant(&self, tenant: &TenantId) -> Result<TenantConfig, BackendError> {
        // Before the rest: a change in between makes it too old, which is safe. Read afterwards it could
        // vouch for a change that the rest does not show.
        let revision = self.store.revision(tenant);
        let tenant = tenant.clone();
        let read = move |conn: &_| {
            Ok(TenantConfig {
                revision,
                webhooks: webhooks::all(conn, &tenant)?,
                rules: rules::all(conn, &tenant)?,
                secrets: keys::all_secrets(conn, &tenant)?,
                plugins: plugins::all(conn, &tenant)?,
            })
        };
        self.store.read(read).await
    }

    async fn webhooks(
        &self,
        tenant: &TenantId,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<Webhook>, BackendError> {
        let (tenant, after) = (tenant.clone(), Cursor::parse_name(cursor)?);
        let read = move |conn: &_| webhooks::page(conn, &tenant, limit, &after);
        self.store.read(read).await
    }

    async fn webhook(
        &self,
        tenant: &TenantId,
        id: &WebhookId,
    ) -> Result<Option<Webhook>, BackendError> {
        let (tenant, id) = (tenant.clone(), id.clone());
        let read = move |conn: &_| webhooks::get(conn, &tenant, &id);
        self.store.read(read).await
    }

    async fn put_webhook(
        &self,
        tenant: &TenantId,
        webhook: &Webhook,
        expected_revision: Option<u64>,
    ) -> Result<(), BackendError> {
        let (tenant, webhook, scheduler) =
            (tenant.clone(), webhook.clone(), self.scheduler.clone());
        let step = move |tx: &Tx<'_>| {
            tx.check_unchanged(&tenant, expected_revision)?;
            let changed = webhooks::put(tx, &tenant, &webhook)?;
            scheduler.configure(tx, &tenant, &webhook, changed)
        };
        self.store.write(step).await
    }

    async fn delete_webhook(
        &self,
        tenant: &TenantId,
        id: &WebhookId,
    ) -> Result<bool, BackendError> {
        let (tenant, id, scheduler) = (tenant.clone(), id.clone(), self.scheduler.clone());
        let step = move |tx: &Tx<'_>| {
            let was_there = webhooks::delete(tx, &tenant, &id)?;
            if was_there {
                scheduler.forget(tx, &tenant, &id)?;
            }
            Ok(was_there)
        };
        let was_there = self.store.write(step).await?;
        if was_there {
            self.drain().await?;
        }
        Ok(was_there)
    }

    async fn rules(
        &self,
        tenant: &TenantId,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<EventRule>, BackendError> {
        let (tenant, after) = (tenant.clone(), Cursor::parse_name(cursor)?);
        let read = move |conn: &_| rules::page(conn, &tenant, limit, &after);
        self.store.read(read).await
    }

    async fn rule(
        &self,
        tenant: &TenantId,
        id: &RuleId,
    ) -> Result<Option<EventRule>, BackendError> {
        let (tenant, id) = (tenant.clone(), id.clone());
        let read = move |conn: &_| rules::get(conn, &tenant, &id);
        self.store.read(read).await
    }

    async fn put_rule(
        &self,
        tenant: &TenantId,
        rule: &EventRule,
        expected_revision: Option<u64>,
    ) -> Result<(), BackendError> {
        let (tenant, rule) = (tenant.clone(), rule.clone());
        let step = move |tx: &Tx<'_>| {
            tx.check_unchanged(&tenant, expected_revision)?;
            rules::put(tx, &tenant, &rule)
        };
        self.store.write(step).await
    }

    async fn delete_rule(&self, tenant: &TenantId, id: &RuleId) -> Result<bool, BackendError> {
        let (tenant, id) = (tenant.clone(), id.clone());
        let step = move |tx: &Tx<'_>| rules::delete(tx, &tenant, &id);
        self.store.write(step).await
    }

    async fn secrets(
        &self,
        tenant: &TenantId,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<SecretInfo>, BackendError> {
        let (tenant, after) = (tenant.clone(), Cursor::parse_name(cursor)?);
        let read = move |conn: &_| keys::secrets_page(conn, &tenant, limit, &after);
        self.store.read(read).await
    }

    async fn put_secret(
        &self,
        tenant: &TenantId,
        name: &str,
        value: &Secret,
        expected_revision: Option<u64>,
    ) -> Result<(), BackendError> {
        let (tenant, name, value) = (tenant.clone(), name.to_owned(), value.clone());
        let step = move |tx: &Tx<'_>| {
            tx.check_unchanged(&tenant, expected_revision)?;
            keys::put_secret(tx, &tenant, &name, &value)
        };
        self.store.write(step).await
    }

    async fn delete_secret(&self, tenant: &TenantId, name: &str) -> Result<bool, BackendError> {
        let (tenant, name) = (tenant.clone(), name.to_owned());
        let step = move |tx: &Tx<'_>| keys::delete_secret(tx, &tenant, &name);
        self.store.write(step).await
    }

    async fn plugins(
        &self,
        tenant: &TenantId,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<Plugin>, BackendError> {
        let (tenant, after) = (tenant.clone(), Cursor::parse_name(cursor)?);
        let read = move |conn: &_| plugins::page(conn, &tenant, limit, &after);
        self.store.read(read).await
    }

    async fn plugin(&self, tenant: &TenantId, name: &str) -> Result<Option<Plugin>, BackendError> {
        let (tenant, name) = (tenant.clone(), name.to_owned());
        let read = move |conn: &_| plugins::get(conn, &tenant, &name);
        self.store.read(read).await
    }

    async fn put_plugin(
        &self,
        tenant: &TenantId,
        plugin: &Plugin,
        expected_revision: Option<u64>,
    ) -> Result<(), BackendError> {
        let (owner, stored) = (tenant.clone(), plugin.clone());
        let step = move |tx: &Tx<'_>| {
            tx.check_unchanged(&owner, expected_revision)?;
            plugins::put(tx, &owner, &stored)
        };
        self.store.write(step).await?;
        self.trials.set(tenant, plugin);
        sweeping(self.sweep().await);
        Ok(())
    }

    async fn delete_plugin(&self, tenant: &TenantId, name: &str) -> Result<bool, BackendError> {
        let (owner, plugin) = (tenant.clone(), name.to_owned());
        let step = move |tx: &Tx<'_>| plugins::delete(tx, &owner, &plugin);
        let was_there = self.store.write(step).await?;
        if was_there {
            self.trials.forget(tenant, name);
            sweeping(self.sweep().await);
        }
        Ok(was_there)
    }

    async fn put_component(
        &self,
        tenant: &TenantId,
        sha256: &str,
        bytes: &[u8],
        at_most: Option<u64>,
    ) -> Result<(), BackendError> {
        self.store_component(tenant, sha256, bytes, at_most).await
    }

    async fn release_component(&self, tenant: &TenantId, sha256: &str) -> Result<(), BackendError> {
        self.give_up_component(tenant, sha256).await
    }

    async fn component(
        &self,
        tenant: &TenantId,
        sha256: &str,
    ) -> Result<Option<Vec<u8>>, BackendError> {
        self.read_component(tenant, sha256).await
    }

    async fn component_piece(
        &self,
        tenant: &TenantId,
        sha256: &str,
        number: u32,
    ) -> Result<Option<Vec<u8>>, BackendError> {
        self.read_piece(tenant, sha256, number).await
    }

    /// Counts are in memory: no other process counts.
    async fn tally(
        &self,
        tenant: &TenantId,
        plugin: &str,
        started: Timestamp,
        arm: Arm,
        failed: bool,
    ) -> Result<Tallies, BackendError> {
        Ok(self.trials.count(tenant, plugin, started, arm, failed))
    }

    async fn tallies(
        &self,
        tenant: &TenantId,
        plugin: &str,
        started: Timestamp,
    ) -> Result<Tallies, BackendError> {
        Ok(self.trials.tallies(tenant, plugin, started))
    }

    async fn key_by_hash(&self, hash: &str) -> Result<Option<ApiKey>, BackendError> {
        let hash = hash.to_owned();
        let read = move |conn: &_| keys::by_hash(conn, &hash);
        self.store.look_up(read).await
    }

    async fn keys(
        &self,
        tenant: &TenantId,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<ApiKey>, BackendError> {
        let (tenant, after) = (tenant.clone(), Cursor::parse_name(cursor)?);
        let read = move |conn: &_| keys::page(conn, &tenant, limit, &after);
        self.store.read(read).await
    }

    async fn put_key(&self, key: &ApiKey, at_most: Option<usize>) -> Result<(), BackendError> {
        let key = key.clone();
        let step = move |tx: &Tx<'_>| keys::put(tx, &key, at_most);
        self.store.write(step).await
    }

    async fn delete_key(&self, tenant: &TenantId, id: &str) -> Result<bool, BackendError> {
        let (tenant, id) = (tenant.clone(), id.to_owned());
        let step = move |tx: &Tx<'_>| keys::delete(tx, &tenant, &id);
        self.store.write(step).await
    }

    async fn instance_key(&self) -> Result<[u8; 32], BackendError> {
        self.store.write(keys::instance_key).await
    }
}
