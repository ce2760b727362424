//! Storage by name: webhooks, rules, secrets, plugins and keys, each kind in the same way.

use std::sync::LazyLock;

use crate::backend::redis::{
    RedisBackend,
    fault::stored,
    script::{DELETE, PAGE, PUT_KEY, PUT_PLUGIN, PUT_RULE, PUT_SECRET, PUT_WEBHOOK, Script},
    store::{self, Mode},
};
use crate::{
    backend::{
        BackendError, Cursor, Page,
        page::{page as cut, rows_for},
        registry::{component_missing, name_taken, plugin_in_use, webhook_in_use},
    },
    model::TenantId,
};

/// A kind of what is kept by name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// The word in its keys, in the plural.
    pub(super) plural: &'static str,
    /// The word for people.
    label: &'static str,
    /// The step that stores one.
    put: &'static LazyLock<Script>,
}

impl Kind {
    const fn new(
        plural: &'static str,
        label: &'static str,
        put: &'static LazyLock<Script>,
    ) -> Self {
        Self { plural, label, put }
    }
}

pub(super) const WEBHOOKS: Kind = Kind::new("webhooks", "webhook", &PUT_WEBHOOK);
pub(super) const RULES: Kind = Kind::new("rules", "event rule", &PUT_RULE);
pub(super) const SECRETS: Kind = Kind::new("secrets", "secret", &PUT_SECRET);
pub(super) const PLUGINS: Kind = Kind::new("plugins", "plugin", &PUT_PLUGIN);
pub(super) const KEYS: Kind = Kind::new("keys", "key", &PUT_KEY);

/// Something to be stored under its name.
#[derive(Debug)]
pub(super) struct Named<'a> {
    pub(super) kind: Kind,
    pub(super) tenant: &'a TenantId,
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    pub(super) document: &'a str,
    pub(super) expected_revision: Option<u64>,
    pub(super) at_most: Option<usize>,
}

pub(super) fn read<T: serde::de::DeserializeOwned>(document: &str) -> Result<T, BackendError> {
    // Only the place: the text could hold a part of a secret.
    serde_json::from_str(document).map_err(|e| {
        stored(&format!(
            "a document is not the JSON it should be (line {}, column {})",
            e.line(),
            e.column()
        ))
    })
}

pub(crate) fn write<T: serde::Serialize>(document: &T) -> Result<String, BackendError> {
    serde_json::to_string(document).map_err(|e| BackendError::Internal(e.to_string()))
}

/// A page of documents, in the order of their names.
pub(super) fn page<T: serde::de::DeserializeOwned>(
    rows: &[(String, String)],
    limit: usize,
    name: impl FnOnce(&T) -> &str,
) -> Result<Page<T>, BackendError> {
    let items = rows
        .iter()
        .map(|(_, document)| read(document))
        .collect::<Result<Vec<T>, _>>()?;
    Ok(cut(items, limit, |last| {
        Cursor::Name(name(last).to_owned())
    }))
}

impl RedisBackend {
    /// Stores something with a name; `more` is what its kind has besides.
    pub(super) async fn put(
        &self,
        shard: usize,
        named: &Named<'_>,
        more: &[&[u8]],
    ) -> Result<(), BackendError> {
        let expected_revision = named
            .expected_revision
            .map(|n| n.to_string())
            .unwrap_or_default();
        let at_most = named.at_most.map(|n| n.to_string()).unwrap_or_default();
        let mut args: Vec<&[u8]> = vec![
            named.tenant.as_str().as_bytes(),
            named.id.as_bytes(),
            named.name.as_bytes(),
            named.document.as_bytes(),
            expected_revision.as_bytes(),
            at_most.as_bytes(),
        ];
        args.extend(more);
        let mut answer = self
            .store
            .run(shard, named.kind.put, &args, Mode::STORE)
            .await?;
        self.forget_revision(named.tenant);
        let conflict = |field: &str, message| {
            Err(BackendError::Conflict {
                field: field.to_owned(),
                message,
            })
        };
        match answer.tag.as_str() {
            "CHANGED" => Err(BackendError::RevisionMismatch),
            "FULL" => Err(BackendError::LimitReached {
                what: named.kind.plural,
                limit: named.at_most.unwrap_or_default(),
            }),
            "NAME" => Err(name_taken(named.kind.label, named.name)),
            "HASH" => conflict("key", "this key is in use already".to_owned()),
            "WEBHOOK" => {
                let webhook = answer.text()?;
                conflict("webhooks", format!("there is no webhook {webhook}"))
            }
            "COMPONENT" => Err(component_missing(&answer.text()?)),
            _ => answer.ok().map(drop),
        }
    }

    pub(super) async fn delete(
        &self,
        shard: usize,
        kind: Kind,
        tenant: &TenantId,
        id: &str,
    ) -> Result<bool, BackendError> {
        let args = [
            kind.plural.as_bytes(),
            tenant.as_str().as_bytes(),
            id.as_bytes(),
        ];
        let mut answer = self.store.run(shard, &DELETE, &args, Mode::STORE).await?;
        self.forget_revision(tenant);
        if answer.tag == "USED" {
            let by = answer.text()?;
            return Err(match kind.plural {
                "plugins" => plugin_in_use(&by),
                _ => webhook_in_use(&by),
            });
        }
        Ok(answer.ok()?.int()? == 1)
    }

    /// Names and documents, one more than fit on the page if there are more.
    pub(super) async fn named_page(
        &self,
        shard: usize,
        kind: Kind,
        tenant: &TenantId,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Vec<(String, String)>, BackendError> {
        let after = Cursor::parse_name(cursor)?;
        let rows = rows_for(limit).to_string();
        let args = [
            kind.plural.as_bytes(),
            tenant.as_str().as_bytes(),
            after.as_bytes(),
            rows.as_bytes(),
        ];
        let answer = self
            .store
            .run(shard, &PAGE, &args, Mode::REPEATABLE)
            .await?;
        let mut found = Vec::new();
        let mut parts = answer.ok()?.list()?.into_iter();
        while let (Some(name), Some(document)) = (parts.next(), parts.next()) {
            found.push((store::text(name)?, store::text(document)?));
        }
        Ok(found)
    }

    pub(super) async fn document(
        &self,
        shard: usize,
        kind: Kind,
        tenant: &TenantId,
        id: &str,
    ) -> Result<Option<String>, BackendError> {
        let mut get = redis::pipe();
        get.hget(
            self.store.key(shard, &format!("{}:{tenant}", kind.plural)),
            id,
        );
        let mut found = self.store.read(shard, &get).await?.into_iter();
        match found.next() {
            None | Some(redis::Value::Nil) => Ok(None),
            Some(value) => store::text(value).map(Some),
        }
    }
}
