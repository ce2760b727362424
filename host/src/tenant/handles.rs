//! A tenant's secrets as one render of one webhook sees them.
//!
//! A guest gets handles, and the host puts the values in their places once the guest has ended. A handle is an
//! HMAC under a key that never leaves the backend, over the tenant, the webhook and the render: one delivery, or
//! a dry run. So the writer of an event cannot know the handles of its deliveries: the event exists before the delivery
//! has its id. A handle that leaks is useless in another webhook and in another delivery. A handle from a dry run is
//! useless in every delivery.
//!
//! All handles have the same length and depend on nothing else, so that the same render costs the same fuel
//! every time.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{
    model::{DeliveryId, Secret, TenantId},
    request::SecretValues,
    sandbox::SecretSource,
};

/// The purpose of a render, which decides where its handles are valid.
#[derive(Clone, Copy, Debug)]
pub enum RenderFor<'a> {
    /// All attempts of this delivery.
    Delivery(&'a DeliveryId),
    /// Nothing that is sent. The values are stand-ins, so that nothing in its report depends on the true ones.
    DryRun,
}

/// A tenant's secrets as one render of one webhook sees them. Handles are made when the guest asks for them, since
/// a tenant may have a thousand secrets and most webhooks place one.
#[derive(Clone, Debug)]
pub struct WebhookSecrets(Arc<Handles>);

struct Handles {
    secrets: Arc<BTreeMap<String, Secret>>,
    /// Keyed, with everything in it but the secret's name; none where there are no secrets.
    mac: Option<Hmac<Sha256>>,
    stand_ins: bool,
    /// By name, those that the guest was given.
    given: Mutex<BTreeMap<String, String>>,
}

impl WebhookSecrets {
    /// For a webhook of this id; one that is not stored has an empty one.
    pub(super) fn new(
        key: &[u8; 32],
        tenant: &TenantId,
        webhook: &str,
        render: RenderFor<'_>,
        secrets: Arc<BTreeMap<String, Secret>>,
    ) -> Self {
        let (purpose, id) = match render {
            RenderFor::Delivery(id) => ("delivery", id.as_str()),
            RenderFor::DryRun => ("dry run", ""),
        };
        let mac =
            (!secrets.is_empty()).then(|| keyed(key, &[purpose, tenant.as_str(), webhook, id]));
        Self(Arc::new(Handles {
            secrets,
            mac,
            stand_ins: matches!(render, RenderFor::DryRun),
            given: Mutex::default(),
        }))
    }

    /// Secrets of these names: to try a webhook where its tenant's are not at hand.
    #[must_use]
    pub fn stand_ins(names: &[String]) -> Self {
        let secrets = names.iter().map(|name| (name.clone(), Secret::default()));
        let (tenant, secrets) = (TenantId::default_tenant(), Arc::new(secrets.collect()));
        Self::new(&[0; 32], &tenant, "", RenderFor::DryRun, secrets)
    }

    /// Secrets of these names with the stand-ins as true values, to compare a request with that of another program
    /// that has the same ones.
    #[must_use]
    pub fn placeholders(names: &[String]) -> Self {
        let secrets = names
            .iter()
            .map(|name| (name.clone(), Secret::new(stand_in(name))));
        let (tenant, secrets) = (TenantId::default_tenant(), Arc::new(secrets.collect()));
        let delivery = DeliveryId::from("dlv_dry_run");
        Self::new(
            &[0; 32],
            &tenant,
            "",
            RenderFor::Delivery(&delivery),
            secrets,
        )
    }

    /// The source from which the sandbox answers.
    #[must_use]
    pub fn source(&self) -> Arc<dyn SecretSource> {
        Arc::clone(&self.0) as Arc<dyn SecretSource>
    }

    /// The names of the secrets that the guest has asked for.
    #[must_use]
    pub fn asked_for(&self) -> Vec<String> {
        self.given().keys().cloned().collect()
    }

    /// The values of the handles that the guest was given, once it has ended. No other text is a handle.
    #[must_use]
    pub fn values(&self) -> SecretValues {
        let given = self.given();
        let values = given.iter().filter_map(|(name, handle)| {
            let value = match self.0.secrets.get(name)? {
                _ if self.0.stand_ins => Secret::new(stand_in(name)),
                value => value.clone(),
            };
            Some((handle.clone(), name.clone(), value))
        });
        let values = SecretValues::new(values);
        if self.0.stand_ins {
            values.of_stand_ins()
        } else {
            values
        }
    }

    fn given(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The word that stands for the value of a secret in dry runs.
fn stand_in(name: &str) -> String {
    format!("value-of-{name}")
}

impl SecretSource for Handles {
    fn handle(&self, name: &str) -> Option<String> {
        let (name, _) = self.secrets.get_key_value(name)?;
        let mut mac = self.mac.clone()?;
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let handle = given.entry(name.clone()).or_insert_with(|| {
            update(&mut mac, name);
            let mut digits = hex::encode(mac.finalize().into_bytes());
            digits.truncate(32);
            format!("hbs_{digits}")
        });
        Some(handle.clone())
    }

    fn all(&self) -> BTreeMap<String, String> {
        let all = self.secrets.keys();
        all.filter_map(|name| Some((name.clone(), self.handle(name)?)))
            .collect()
    }
}

impl fmt::Debug for Handles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handles({} [secret])", self.secrets.len())
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn keyed(key: &[u8; 32], parts: &[&str]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    for part in parts {
        update(&mut mac, part);
    }
    mac
}

/// With its length before it, so that two lists of parts never look the same.
fn update(mac: &mut Hmac<Sha256>, part: &str) {
    mac.update(&(part.len() as u64).to_be_bytes());
    mac.update(part.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(webhook: &str, render: RenderFor<'_>) -> WebhookSecrets {
        let all = [("token", "t0p-s3cret"), ("other", "0ther-s3cret")];
        let all = all.map(|(name, value)| (name.to_owned(), Secret::new(value)));
        let tenant = TenantId::default_tenant();
        WebhookSecrets::new(&[7; 32], &tenant, webhook, render, Arc::new(all.into()))
    }

    fn handle(secrets: &WebhookSecrets, name: &str) -> String {
        secrets.source().handle(name).unwrap()
    }

    fn sent(secrets: &WebhookSecrets, text: &str) -> Option<String> {
        let (sent, _) = secrets.values().substitute_text(text, 1000).unwrap()?;
        Some(sent)
    }

    #[test]
    fn a_handle_is_good_for_one_delivery_of_one_webhook() {
        let (one, two) = (DeliveryId::from("dlv_1"), DeliveryId::from("dlv_2"));
        let attempt = || secrets("w", RenderFor::Delivery(&one));
        let first = attempt();
        let token = handle(&first, "token");
        assert_eq!(sent(&first, &token).as_deref(), Some("t0p-s3cret"));
        for other in [
            secrets("w", RenderFor::Delivery(&two)),
            secrets("x", RenderFor::Delivery(&one)),
            secrets("w", RenderFor::DryRun),
        ] {
            let own = handle(&other, "token");
            assert_ne!(own, token);
            // Fuel depends on nothing but their length.
            assert_eq!(own.len(), token.len());
            assert_eq!(sent(&other, &token), None);
            assert_eq!(sent(&first, &own), None);
        }
        // A retry renders the same.
        assert_eq!(handle(&attempt(), "token"), token);
    }

    #[test]
    fn only_what_the_guest_asked_for_is_put_in() {
        let delivery = DeliveryId::from("dlv_1");
        let known = handle(&secrets("w", RenderFor::Delivery(&delivery)), "other");
        let render = secrets("w", RenderFor::Delivery(&delivery));
        let token = handle(&render, "token");
        let text = format!("{token} {known}");
        assert_eq!(sent(&render, &text), Some(format!("t0p-s3cret {known}")));
        assert_eq!(render.source().handle("none"), None);
    }

    #[test]
    fn a_dry_run_never_holds_a_value() {
        let dry = secrets("w", RenderFor::DryRun);
        let token = handle(&dry, "token");
        assert_eq!(sent(&dry, &token).as_deref(), Some("value-of-token"));
        let shown = format!("{dry:?} {:?}", dry.values());
        assert!(
            !shown.contains("s3cret") && !shown.contains(&token),
            "{shown}"
        );
    }
}
