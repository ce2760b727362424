//! Logs the guard's refusals: once for each webhook, not for each of its deliveries.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    guard::GuardError,
    model::{TenantId, WebhookId},
};

/// Time for which a webhook's refusal is not logged again, unless the configuration changes.
const QUIET: Duration = Duration::from_secs(3600);
/// Webhooks that are remembered; past that, the one that was logged first is forgotten.
const MAX_WEBHOOKS: usize = 1024;

type Logged = HashMap<(TenantId, WebhookId), (Instant, u64)>;

/// The webhooks whose refusals have been logged, with the time and the revision of their tenant's configuration.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    logged: Mutex<Logged>,
}

impl Refusals {
    /// Logs a destination that the guard refused, and how the operator can allow it.
    pub(super) fn log(
        &self,
        tenant: &TenantId,
        webhook: &WebhookId,
        revision: u64,
        error: &GuardError,
    ) {
        let GuardError::Blocked {
            host,
            reason,
            remedy,
        } = error
        else {
            return;
        };
        if self.is_due(tenant, webhook, revision, Instant::now()) {
            tracing::warn!(
                %tenant, %webhook,
                "deliveries to {host} are blocked and fail without another try: {reason}. To allow them, {remedy}; \
                 `hookbox deliveries requeue --error blocked` then sends them again. This is logged once for each webhook"
            );
        }
    }

    fn is_due(&self, tenant: &TenantId, webhook: &WebhookId, revision: u64, now: Instant) -> bool {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant.clone(), webhook.clone());
        let is_quiet = |(since, of): &(Instant, u64)| {
            *of == revision && now.saturating_duration_since(*since) < QUIET
        };
        if logged.get(&key).is_some_and(is_quiet) {
            return false;
        }
        if logged.len() >= MAX_WEBHOOKS && !logged.contains_key(&key) {
            let first = logged.iter().min_by_key(|(_, (since, _))| *since);
            if let Some(first) = first.map(|(key, _)| key.clone()) {
                logged.remove(&first);
            }
        }
        logged.insert(key, (now, revision));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_is_due_once_until_its_configuration_changes_or_an_hour_is_over() {
        let (refusals, t, now) = (
            Refusals::default(),
            TenantId::default_tenant(),
            Instant::now(),
        );
        let (a, b) = (WebhookId::from("whk_a"), WebhookId::from("whk_b"));
        assert!(refusals.is_due(&t, &a, 1, now));
        assert!(!refusals.is_due(&t, &a, 1, now + QUIET / 2));
        assert!(refusals.is_due(&t, &b, 1, now));
        assert!(refusals.is_due(&t, &a, 2, now + QUIET / 2));
        assert!(!refusals.is_due(&t, &a, 2, now + QUIET));
        assert!(refusals.is_due(&t, &a, 2, now + 2 * QUIET));
    }

    #[test]
    fn so_many_webhooks_are_remembered_and_no_more() {
        let (refusals, t, now) = (
            Refusals::default(),
            TenantId::default_tenant(),
            Instant::now(),
        );
        for n in 0..3 * MAX_WEBHOOKS {
            let webhook = WebhookId::from(format!("whk_{n}"));
            let now = now + Duration::from_millis(n as u64);
            assert!(refusals.is_due(&t, &webhook, 1, now));
            assert!(!refusals.is_due(&t, &webhook, 1, now));
        }
        assert_eq!(refusals.logged.lock().unwrap().len(), MAX_WEBHOOKS);
    }
}
