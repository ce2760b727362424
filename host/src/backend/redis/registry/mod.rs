//! The registry in Redis.

mod components;
mod documents;
pub(in crate::backend::redis) mod named;
mod plugins;

use std::time::Instant;

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use super::{
    HOME, REVISION_AGE, RedisBackend,
    fault::stored,
    script::TENANT,
    store::{self, Mode},
};
use crate::{
    backend::{
        ApiKey, BackendError, Cursor, Page, Registry, SecretInfo, TenantConfig, page::page as cut,
    },
    model::{
        Arm, EventRule, Plugin, RuleId, Secret, Tallies, TenantId, Timestamp, Webhook, WebhookId,
    },
};
use named::{KEYS, Named, PLUGINS, RULES, SECRETS, WEBHOOKS, page, read, write};

#[async_trait]
impl Registry for RedisBackend {
    async fn revision(&self, tenant: &TenantId) -> Result<u64, BackendError> {
        if let Some((when, Some(revision))) = self.revisions().get(tenant)
            && when.elapsed() < REVISION_AGE
        {
            return Ok(*revision);
        }
        let asked = Instant::now();
        let shard = self.store.shard_of(tenant)?;
        let mut get = redis::pipe();
        get.get(self.store.key(shard, &format!("rev:{tenant}")));
        let found = self.store.read(shard, &get).await?;
        let revision = documents::revision(found.into_iter().next())?;
        self.believe(tenant, asked, revision);
        Ok(revision)
    }

    async fn tenant(&self, tenant: &TenantId) -> Result<TenantConfig, BackendError> {
        let shard = self.store.shard_of(tenant)?;
        let (args, asked) = ([tenant.as_str().as_bytes()], Instant::now());
        let answer = self.store.run(shard, &TENANT, &args, Mode::REPEATABLE);
        let mut answer = answer.await?.ok()?;
        let revision = documents::revision(Some(answer.next()?))?;
        self.believe(tenant, asked, revision);
        let mut webhooks: Vec<Webhook> = documents::documents(answer.next()?)?;
        let mut rules: Vec<EventRule> = documents::documents(answer.next()?)?;
        webhooks.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        rules.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        Ok(TenantConfig {
            revision,
            webhooks,
            rules,
            secrets: documents::secrets(answer.next()?)?,
            plugins: {
                let mut plugins: Vec<Plugin> = documents::documents(answer.next()?)?;
                plugins.sort_by(|a, b| a.name.cmp(&b.name));
                plugins
            },
        })
    }

    async fn webhooks(
        &self,
        tenant: &TenantId,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<Webhook>, BackendError> {
        let shard = self.store.shard_of(tenant)?;
        let rows = self
            .named_page(shard, WEBHOOKS, tenant, limit, cursor)
            .await?;
        page(&rows, limit, |last: &Webhook| &last.spec.name)
    }

    async fn webhook(
        &self,
        tenant: &TenantId,
        id: &WebhookId,
    ) -> Result<Option<Webhook>, BackendError> {
        let shard = self.store.shard_of(tenant)?;
        let found = self.document(shard, WEBHOOKS, tenant, id.as_str()).await?;
        found.as_deref().map(read).transpose()
    }

    async fn put_webhook(
        &self,
        tenant: &TenantId,
        webhook: &Webhook,
        expected_revision: Option<u64>,
    ) -> Result<(), BackendError> {
        let shard = self.store.shard_of(tenant)?;
        let spec = &webhook.spec;
        let digest = hex::encode(Sha256::digest(write(spec)?));
        let (interval, burst) = crate::backend::schedule::rate(spec.rate_limit);
        let most = spec
            .max_in_flight
            .map(|n| n.to_string())
            .unwrap_or_default();
        let named = Named {
            kind: WEBHOOKS,
            tenant,
            id: webhook.id.as_str(),
            name: &spec.name,
            document: &write(webhook)?,
            expected_revision,
            at_most: None,
        };
        // The version does not matter to whoever asks which webhooks run a plugin.
        let plugin = spec.plugin.as_deref().unwrap_or_default();
        let plugin = plugin.split('@').next().unwrap_or_default();
        let more: [&[u8]; 6] = [
            if spec.enabled { b"1" } else { b"0" },
            most.as_bytes(),
            &interval.to_string().into_bytes(),
            &burst.to_string().into_bytes(),
            digest.as_bytes(),
            plugin.as_bytes(),
        ];
        self.put(shard, &named, &more).await
    }

    async fn delete_webhook(
        &self,
        tenant: &TenantId,
        id: &WebhookId,
    ) -> Result<bool, BackendError> {
        let shard = self.store.shard_of(tenant)?;
        let was_there = self.delete(shard, WEBHOOKS, tenant, id.as_str()).await?;
        if was_there {
            self.drain(shard).await?;
        }
        Ok(was_there)
    }

    async fn rules(
        &self,
        tenant: &TenantId,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<EventRule>, BackendError> {
        let shard = self.store.shard_of(tenant)?;
        let rows = self.named_page(shard, RULES, tenant, limit, cursor).await?;
        page(&rows, limit, |last: &EventRule| &last.spec.name)
    }

    async fn rule(
        &self,
        tenant: &TenantId,
        id: &RuleId,
    ) -> Result<Option<EventRule>, BackendError> {
        let shard = self.store.shard_of(tenant)?;
        let found = self.document(shard, RULES, tenant, id.as_str()).await?;
        found.as_deref().map(read).transpose()
    }

    async fn put_rule(
        &self,
        tenant: &TenantId,
        rule: &EventRule,
        expected_revision: Option<u64>,
    ) -> Result<(), BackendError> {
        let shard = self.store.shard_of(tenant)?;
        let named = Named {
            kind: RULES,
            tenant,
            id: rule.id.as_str(),
            name: &rule.spec.name,
            document: &write(rule)?,
            expected_revision,
            at_most: None,
        };
        let webhooks = rule.spec.webhooks.iter();
        let webhooks: Vec<&[u8]> = webhooks.map(|id| id.as_str().as_bytes()).collect();
        self.put(shard, &named, &webhooks).await
    }

    async fn delete_rule(&self, tenant: &TenantId, id: &RuleId) -> Result<bool, BackendError> {
        let shard = self.store.shard_of(tenant)?;
        self.delete(shard, RULES, tenant, id.as_str()).await
    }

    async fn secrets(
        &self,
        tenant: &TenantId,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<SecretInfo>, BackendError> {
        let shard = self.store.shard_of(tenant)?;
        let rows = self
            .named_page(shard, SECRETS, tenant, limit, cursor)
            .await?;
        let infos = rows.into_iter().map(|(name, document)| {
            let (updated, _) = documents::secret(&document)?;
            Ok(SecretInfo { name, updated })
        });
        let infos = infos.collect::<Result<Vec<_>, BackendError>>()?;
        Ok(cut(infos, limit, |last| Cursor::Name(last.name.clone())))
    }

    async fn put_secret(
        &self,
        tenant: &TenantId,
        name: &str,
        value: &Secret,
        expected_revision: Option<u64>,
    ) -> Result<(), BackendError> {
        let shard = self.store.shard_of(tenant)?;
        let named = Named {
            kind: SECRETS,
            tenant,
            id: name,
            name,
            document: &documents::secret_document(value),
            expected_revision,
            at_most: None,
        };
        self.put(shard, &named, &[]).await
    }

    async fn delete_secret(&self, tenant: &TenantId, name: &str) -> Result<bool, BackendError> {
        let shard = self.store.shard_of(tenant)?;
        self.delete(shard, SECRETS, tenant, name).await
    }

    async fn plugins(
        &self,
        tenant: &TenantId,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<Plugin>, BackendError> {
        let shard = self.store.shard_of(tenant)?;
        let rows = self
            .named_page(shard, PLUGINS, tenant, limit, cursor)
            .await?;
        page(&rows, limit, |last: &Plugin| &last.name)
    }

    async fn plugin(&self, tenant: &TenantId, name: &str) -> Result<Option<Plugin>, BackendError> {
        let shard = self.store.shard_of(tenant)?;
        let found = self.document(shard, PLUGINS, tenant, name).await?;
        found.as_deref().map(read).transpose()
    }

    async fn put_plugin(
        &self,
        tenant: &TenantId,
        plugin: &Plugin,
        expected_revision: Option<u64>,
    ) -> Result<(), BackendError> {
        self.store_plugin(tenant, plugin, expected_revision).await
    }

    async fn delete_plugin(&self, tenant: &TenantId, name: &str) -> Result<bool, BackendError> {
        self.remove_plugin(tenant, name).await
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

    async fn tally(
        &self,
        tenant: &TenantId,
        plugin: &str,
        started: Timestamp,
        arm: Arm,
        failed: bool,
    ) -> Result<Tallies, BackendError> {
        self.count(tenant, plugin, started, arm, failed).await
    }

    async fn tallies(
        &self,
        tenant: &TenantId,
        plugin: &str,
        started: Timestamp,
    ) -> Result<Tallies, BackendError> {
        self.counted(tenant, plugin, started).await
    }

    async fn key_by_hash(&self, hash: &str) -> Result<Option<ApiKey>, BackendError> {
        let mut get = redis::pipe();
        get.hget(self.store.key(HOME, "hashes"), hash);
        let found = self.store.read(HOME, &get).await?.into_iter().next();
        let owner = match found {
            None | Some(redis::Value::Nil) => return Ok(None),
            Some(value) => store::text(value)?,
        };
        let (tenant, id) = owner
            .split_once('|')
            .ok_or_else(|| stored("an API key has no owner"))?;
        let found = self
            .document(HOME, KEYS, &TenantId::from(tenant), id)
            .await?;
        // It may have been changed between the two looks.
        let key = found.as_deref().map(documents::read_key).transpose()?;
        Ok(key.filter(|key| key.hash == hash))
    }

    async fn keys(
        &self,
        tenant: &TenantId,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<ApiKey>, BackendError> {
        let rows = self.named_page(HOME, KEYS, tenant, limit, cursor).await?;
        let found = rows
            .iter()
            .map(|(_, document)| documents::read_key(document));
        let found = found.collect::<Result<Vec<_>, _>>()?;
        Ok(cut(found, limit, |last| Cursor::Name(last.name.clone())))
    }

    async fn put_key(&self, key: &ApiKey, at_most: Option<usize>) -> Result<(), BackendError> {
        self.store.shard_of(&key.tenant)?;
        let named = Named {
            kind: KEYS,
            tenant: &key.tenant,
            id: &key.id,
            name: &key.name,
            document: &documents::key_document(key)?,
            expected_revision: None,
            at_most,
        };
        self.put(HOME, &named, &[key.hash.as_bytes()]).await
    }

    async fn delete_key(&self, tenant: &TenantId, id: &str) -> Result<bool, BackendError> {
        self.delete(HOME, KEYS, tenant, id).await
    }

    async fn instance_key(&self) -> Result<[u8; 32], BackendError> {
        super::keyspace::instance_key(&self.store).await
    }
}
