//! What tenants configure.

use hookbox::{
    model::{EventRule, EventRuleSpec, RuleId, Secret, TenantId, Timestamp, WebhookId},
    registry::{ApiKey, BackendError, KeyScope, Registry},
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

pub(crate) async fn the_revision_changes_with_each_change_of_the_tenant(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let mut seen = vec![bed.revision(&t).await.unwrap()];
    macro_rules! changes {
        ($step:expr) => {
            $step.await.unwrap();
            let revision = bed.revision(&t).await.unwrap();
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

pub(crate) async fn the_instance_key_stays(open: Open) {
    let (bed, other) = (open(LIMITS).await, open(LIMITS).await);
    let key = bed.instance_key().await.unwrap();
    assert_eq!(bed.instance_key().await.unwrap(), key);
    assert_ne!(other.instance_key().await.unwrap(), key);
}
