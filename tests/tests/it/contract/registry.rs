//! What tenants configure.

use std::time::Duration;

use futures_util::future::join_all;
use hookbox::{
    backend::{ApiKey, BackendError, KeyScope, Registry},
    model::{EventRule, EventRuleSpec, RuleId, Secret, TenantId, Timestamp, WebhookId},
};
use serde_json::json;

use super::bed::{Bed, LIMITS, Open, tenant, webhook};

fn rule(name: &str, webhooks: &[&WebhookId]) -> EventRule {
    EventRule {
        id: RuleId::generate(),
        external_id: None,
        spec: EventRuleSpec {
            name: name.to_owned(),
            object_types: vec!["*".to_owned()],
            conditions: Some(json!({"and": [{"attr": "status", "value": 1.5}]})),
            webhooks: webhooks.iter().map(|id| (*id).clone()).collect(),
            ..EventRuleSpec::default()
        },
        created: Timestamp::from_millis(1),
        updated: Timestamp::from_millis(2),
    }
}

fn conflict<T: std::fmt::Debug>(result: Result<T, BackendError>) -> String {
    match result {
        Err(BackendError::Conflict { field, .. }) => field,
        other => panic!("a conflict was to be expected, not {other:?}"),
    }
}

async fn get(bed: &Bed, t: &TenantId, id: &WebhookId) -> Option<hookbox::model::Webhook> {
    Registry::webhook(&***bed, t, id).await.unwrap()
}

pub(crate) async fn a_webhook_comes_back_as_it_was_put(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let mut hook = webhook(|spec| {
        spec.secret = Secret::new("s3cret");
        spec.settings = json!({"z": 1, "a": [null, "é\u{0}"]});
        spec.rate_limit = Some(0.3);
    });
    bed.put_webhook(&t, &hook, None).await.unwrap();
    assert_eq!(get(&bed, &t, &hook.id).await, Some(hook.clone()));
    assert_eq!(get(&bed, &tenant("other"), &hook.id).await, None);
    hook.spec.name = "renamed".to_owned();
    bed.put_webhook(&t, &hook, None).await.unwrap();
    assert_eq!(get(&bed, &t, &hook.id).await, Some(hook.clone()));
    assert!(
        !bed.delete_webhook(&tenant("other"), &hook.id)
            .await
            .unwrap()
    );
    assert!(bed.delete_webhook(&t, &hook.id).await.unwrap());
    assert_eq!(get(&bed, &t, &hook.id).await, None);
}

pub(crate) async fn names_are_unique_within_a_tenant(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let named = || webhook(|spec| spec.name = "slack".to_owned());
    let first = named();
    bed.put_webhook(&t, &first, None).await.unwrap();
    assert_eq!(conflict(bed.put_webhook(&t, &named(), None).await), "name");
    bed.put_webhook(&t, &first, None).await.unwrap();
    bed.put_webhook(&tenant("other"), &named(), None)
        .await
        .unwrap();

    bed.put_rule(&t, &rule("r", &[]), None).await.unwrap();
    assert_eq!(
        conflict(bed.put_rule(&t, &rule("r", &[]), None).await),
        "name"
    );
    bed.put_rule(&tenant("other"), &rule("r", &[]), None)
        .await
        .unwrap();

    bed.put_key(&key("t", "k", "h1"), None).await.unwrap();
    assert_eq!(
        conflict(bed.put_key(&key("t", "k", "h2"), None).await),
        "name"
    );
    bed.put_key(&key("other", "k", "h3"), None).await.unwrap();
}

pub(crate) async fn lists_are_by_name_and_paged(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let names = ["b", "a", "é", "c", "A", "d'", "%"];
    for name in names {
        bed.put_webhook(&t, &webhook(|spec| spec.name = name.to_owned()), None)
            .await
            .unwrap();
        bed.put_rule(&t, &rule(name, &[]), None).await.unwrap();
        bed.put_secret(&t, name, &Secret::new("x"), None)
            .await
            .unwrap();
        bed.put_key(&key("t", name, name), None).await.unwrap();
    }
    let mut sorted = names;
    sorted.sort_unstable();
    for limit in [1, 3, 7, 8] {
        macro_rules! walk {
            ($list:ident, $name:expr) => {{
                let (mut found, mut cursor) = (Vec::new(), None::<String>);
                loop {
                    let page = bed.$list(&t, limit, cursor.as_deref()).await.unwrap();
                    assert!(page.results.len() <= limit);
                    found.extend(page.results.into_iter().map($name));
                    cursor = page.next;
                    if cursor.is_none() {
                        break;
                    }
                }
                assert_eq!(found, sorted, "{} in pages of {limit}", stringify!($list));
            }};
        }
        walk!(webhooks, |w| w.spec.name);
        walk!(rules, |r| r.spec.name);
        walk!(secrets, |s| s.name);
        walk!(keys, |k| k.name);
    }
    assert_eq!(
        bed.webhooks(&t, 1, Some("?")).await.unwrap_err(),
        BackendError::BadCursor
    );
}

pub(crate) async fn a_webhook_that_a_rule_names_cannot_be_deleted(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    let mut rule = rule("r", &[&hook, &hook]);
    bed.put_rule(&t, &rule, None).await.unwrap();
    conflict(bed.delete_webhook(&t, &hook).await);
    assert!(get(&bed, &t, &hook).await.is_some());
    rule.spec.webhooks.clear();
    bed.put_rule(&t, &rule, None).await.unwrap();
    assert!(bed.delete_webhook(&t, &hook).await.unwrap());
}

pub(crate) async fn a_rule_cannot_name_a_webhook_that_does_not_exist(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    let foreign = bed.webhook(&tenant("other"), |_| ()).await;
    let good = rule("r", &[&hook]);
    bed.put_rule(&t, &good, None).await.unwrap();
    let mut bad = good.clone();
    bad.spec.webhooks.push(foreign);
    assert_eq!(conflict(bed.put_rule(&t, &bad, None).await), "webhooks");
    assert_eq!(bed.rule(&t, &good.id).await.unwrap(), Some(good.clone()));
    // The refusal has undone all of its step.
    conflict(bed.delete_webhook(&t, &hook).await);
    assert!(bed.delete_rule(&t, &good.id).await.unwrap());
    assert!(!bed.delete_rule(&t, &good.id).await.unwrap());
    assert!(bed.delete_webhook(&t, &hook).await.unwrap());
}

pub(crate) async fn a_tenant_is_read_as_a_whole(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    let rules = [rule("b", &[&hook]), rule("a", &[])];
    for rule in &rules {
        bed.put_rule(&t, rule, None).await.unwrap();
    }
    bed.put_secret(&t, "token", &Secret::new("s3cret"), None)
        .await
        .unwrap();
    let config = bed.tenant(&t).await.unwrap();
    assert_eq!(config.webhooks, [get(&bed, &t, &hook).await.unwrap()]);
    assert_eq!(config.rules, [rules[1].clone(), rules[0].clone()]);
    assert_eq!(config.secrets["token"].expose(), "s3cret");
    let nothing = bed.tenant(&tenant("other")).await.unwrap();
    assert!(nothing.webhooks.is_empty() && nothing.rules.is_empty() && nothing.secrets.is_empty());
}

pub(crate) async fn secrets_are_listed_without_values(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    for value in ["one", "two"] {
        bed.put_secret(&t, "token", &Secret::new(value), None)
            .await
            .unwrap();
        assert_eq!(
            bed.tenant(&t).await.unwrap().secrets["token"].expose(),
            value
        );
    }
    let page = bed.secrets(&t, 10, None).await.unwrap();
    assert_eq!(page.results.len(), 1);
    assert_eq!(page.results[0].name, "token");
    assert!(page.results[0].updated > Timestamp::from_millis(0));
    assert!(!bed.delete_secret(&tenant("other"), "token").await.unwrap());
    assert!(bed.delete_secret(&t, "token").await.unwrap());
    assert!(!bed.delete_secret(&t, "token").await.unwrap());
}

fn key(tenant: &str, name: &str, hash: &str) -> ApiKey {
    ApiKey {
        id: format!("key_{hash}"),
        name: name.to_owned(),
        tenant: TenantId::from(tenant),
        scope: KeyScope::Ingest,
        created: Timestamp::from_millis(5),
        hash: hash.to_owned(),
    }
}

pub(crate) async fn keys_are_found_by_hash(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let key = key("t", "netbox", "abc");
    bed.put_key(&key, None).await.unwrap();
    assert_eq!(bed.key_by_hash("abc").await.unwrap(), Some(key.clone()));
    assert_eq!(bed.key_by_hash("abd").await.unwrap(), None);
    assert!(!bed.delete_key(&tenant("other"), &key.id).await.unwrap());
    assert!(bed.delete_key(&t, &key.id).await.unwrap());
    assert_eq!(bed.key_by_hash("abc").await.unwrap(), None);
}

pub(crate) async fn a_key_that_is_stored_again_has_only_its_new_hash(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let mut key = key("t", "netbox", "old");
    bed.put_key(&key, None).await.unwrap();
    (key.hash, key.name) = ("new".to_owned(), "renamed".to_owned());
    bed.put_key(&key, None).await.unwrap();
    assert_eq!(bed.key_by_hash("old").await.unwrap(), None);
    assert_eq!(bed.key_by_hash("new").await.unwrap(), Some(key.clone()));
    assert_eq!(bed.keys(&t, 10, None).await.unwrap().results, [key]);
}

pub(crate) async fn a_tenant_has_no_more_keys_than_it_may(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let too_many = Err(BackendError::LimitReached {
        what: "keys",
        limit: 2,
    });
    bed.put_key(&key("other", "a", "o"), None).await.unwrap();
    for name in ["a", "b"] {
        bed.put_key(&key("t", name, name), Some(2)).await.unwrap();
    }
    assert_eq!(bed.put_key(&key("t", "c", "c"), Some(2)).await, too_many);
    assert_eq!(bed.key_by_hash("c").await.unwrap(), None);
    // A known one needs no room, and some callers ask for none.
    let mut renamed = key("t", "a", "a");
    renamed.name = "z".to_owned();
    bed.put_key(&renamed, Some(2)).await.unwrap();
    bed.put_key(&key("t", "c", "c"), None).await.unwrap();
    bed.put_key(&renamed, Some(2)).await.unwrap();
    // A name that is taken is said first: that is true whatever the limit.
    assert_eq!(
        conflict(bed.put_key(&key("t", "b", "d"), Some(2)).await),
        "name"
    );
    for hash in ["b", "c"] {
        let id = key("t", hash, hash).id;
        assert!(bed.delete_key(&t, &id).await.unwrap());
    }
    bed.put_key(&key("t", "b", "d"), Some(2)).await.unwrap();
}

pub(crate) async fn of_many_keys_at_once_no_more_are_stored_than_there_may_be(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let keys: Vec<_> = (0..20)
        .map(|i| key("t", &format!("k{i}"), &format!("h{i}")))
        .collect();
    let stored = join_all(keys.iter().map(|key| bed.put_key(key, Some(7)))).await;
    assert_eq!(stored.iter().filter(|done| done.is_ok()).count(), 7);
    assert_eq!(bed.keys(&t, 100, None).await.unwrap().results.len(), 7);
}

pub(crate) async fn the_revision_changes_with_each_change_of_the_tenant(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let mut seen = vec![bed.revision(&t).await.unwrap()];
    macro_rules! changes {
        ($step:expr) => {
            $step.await.unwrap();
            let revision = bed.revision(&t).await.unwrap();
            assert_eq!(bed.tenant(&t).await.unwrap().revision, revision);
            assert!(!seen.contains(&revision), stringify!($step));
            seen.push(revision);
        };
    }
    let hook = webhook(|_| ());
    let rule = rule("r", &[&hook.id]);
    changes!(bed.put_webhook(&t, &hook, None));
    changes!(bed.put_webhook(&t, &hook, None));
    changes!(bed.put_rule(&t, &rule, None));
    changes!(bed.put_secret(&t, "s", &Secret::new("x"), None));
    changes!(bed.delete_secret(&t, "s"));
    changes!(bed.delete_rule(&t, &rule.id));
    changes!(bed.delete_webhook(&t, &hook.id));
    // A step that failed may have changed it or not; the next change has a new one all the same.
    conflict(bed.put_rule(&t, &rule, None).await);
    seen.push(bed.revision(&t).await.unwrap());
    changes!(bed.put_secret(&t, "s", &Secret::new("x"), None));
}

pub(crate) async fn what_was_decided_on_an_older_state_is_not_stored(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let stale = Some(bed.tenant(&t).await.unwrap().revision);
    let mut hook = webhook(|_| ());
    bed.put_webhook(&t, &hook, stale).await.unwrap();

    let before = hook.clone();
    hook.spec.enabled = false;
    let changed = Err(BackendError::RevisionMismatch);
    assert_eq!(bed.put_webhook(&t, &hook, stale).await, changed);
    assert_eq!(bed.put_webhook(&t, &webhook(|_| ()), stale).await, changed);
    assert_eq!(bed.put_rule(&t, &rule("r", &[]), stale).await, changed);
    let secret = bed.put_secret(&t, "s", &Secret::new("x"), stale).await;
    assert_eq!(secret, changed);
    // Before anything else: what else is wrong may be so only in the state that is gone.
    let taken = webhook(|spec| spec.name.clone_from(&before.spec.name));
    assert_eq!(bed.put_webhook(&t, &taken, stale).await, changed);
    let dangling = rule("r", &[&WebhookId::generate()]);
    assert_eq!(bed.put_rule(&t, &dangling, stale).await, changed);

    let now = bed.tenant(&t).await.unwrap();
    assert_eq!(now.webhooks, [before]);
    assert!(now.rules.is_empty() && now.secrets.is_empty());
    bed.put_webhook(&t, &hook, Some(now.revision))
        .await
        .unwrap();
    bed.put_webhook(&t, &hook, None).await.unwrap();
}

pub(crate) async fn every_change_makes_decisions_stale_and_no_other_tenant_does(open: Open) {
    let (bed, t, other) = (open(LIMITS).await, tenant("t"), tenant("other"));
    let hook = webhook(|_| ());
    let rule = rule("r", &[&hook.id]);
    let value = Secret::new("x");
    let now = async || Some(bed.tenant(&t).await.unwrap().revision);
    macro_rules! makes_stale {
        ($($step:expr),+ $(,)?) => {$(
            let before = now().await;
            $step.await.unwrap();
            let late = bed.put_secret(&t, "late", &value, before).await;
            assert_eq!(late, Err(BackendError::RevisionMismatch), stringify!($step));
        )+};
    }
    makes_stale!(
        bed.put_webhook(&t, &hook, None),
        bed.put_rule(&t, &rule, None),
        bed.put_secret(&t, "s", &value, None),
        bed.put_secret(&t, "s", &value, now().await),
        bed.put_rule(&t, &rule, now().await),
        bed.put_webhook(&t, &hook, now().await),
        bed.delete_secret(&t, "s"),
        bed.delete_rule(&t, &rule.id),
        bed.delete_webhook(&t, &hook.id),
    );

    let before = now().await;
    bed.put_webhook(&other, &hook, None).await.unwrap();
    bed.put_key(&key("t", "k", "h"), None).await.unwrap();
    assert!(!bed.delete_secret(&t, "nothing").await.unwrap());
    bed.send(&other, &[&hook.id]).await;
    bed.put_secret(&t, "late", &value, before).await.unwrap();
}

pub(crate) async fn of_many_decisions_on_one_state_one_is_stored(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    for round in 1..=5 {
        let revision = Some(bed.tenant(&t).await.unwrap().revision);
        let hooks: Vec<_> = (0..20).map(|_| webhook(|_| ())).collect();
        let stored = join_all(hooks.iter().map(|hook| bed.put_webhook(&t, hook, revision))).await;
        let refused = stored
            .iter()
            .filter(|done| **done == Err(BackendError::RevisionMismatch));
        assert_eq!(refused.count(), 19, "{stored:?}");
        let found = bed.tenant(&t).await.unwrap().webhooks.len();
        assert_eq!(found, round);
    }
}

pub(crate) async fn reading_and_deciding_again_comes_to_an_end(open: Open) {
    const MOST: usize = 5;
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let one_more = async || {
        loop {
            let now = bed.tenant(&t).await.unwrap();
            if now.webhooks.len() >= MOST {
                return false;
            }
            let hook = webhook(|_| ());
            match bed.put_webhook(&t, &hook, Some(now.revision)).await {
                Ok(()) => return true,
                Err(BackendError::RevisionMismatch) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    let all = join_all((0..4 * MOST).map(|_| one_more()));
    let stored = tokio::time::timeout(Duration::from_secs(30), all).await;
    assert_eq!(
        stored.unwrap().into_iter().filter(|done| *done).count(),
        MOST
    );
    assert_eq!(bed.tenant(&t).await.unwrap().webhooks.len(), MOST);
}

pub(crate) async fn the_instance_key_stays(open: Open) {
    let (bed, other) = (open(LIMITS).await, open(LIMITS).await);
    let key = bed.instance_key().await.unwrap();
    assert_eq!(bed.instance_key().await.unwrap(), key);
    assert_ne!(other.instance_key().await.unwrap(), key);
}
