//! Plugins, and what is counted in their trials.

use futures_util::future::join_all;
use hookbox::{
    backend::{BackendError, Registry},
    model::{
        Arm, Canary, Plugin, PluginVersion, RolledBack, Tallies, Tally, TenantId, Timestamp,
        Webhook, WebhookId,
    },
};

use super::{
    bed::{LIMITS, Open, tenant, webhook},
    components::{component, digest, has},
};

/// A plugin with these components as versions, the last of which is current.
pub(crate) fn plugin(name: &str, components: &[&str]) -> Plugin {
    let version = |sha256: &&str| PluginVersion {
        sha256: (*sha256).to_owned(),
        uploaded: Timestamp::from_millis(5),
        component_bytes: 1,
        compiled_bytes: 2,
        imports: vec!["hookbox:transformer/host@1.0.0".to_owned()],
        trial_fuel: u64::MAX,
        trial_peak_memory_bytes: 3,
    };
    Plugin {
        name: name.to_owned(),
        created: Timestamp::from_millis(5),
        updated: Timestamp::from_millis(6),
        versions: components.iter().map(version).collect(),
        current: components.last().unwrap().to_string(),
        previous: None,
        canary: None,
        rolled_back: None,
    }
}

pub(super) fn conflict<T: std::fmt::Debug>(result: Result<T, BackendError>) -> (String, String) {
    match result {
        Err(BackendError::Conflict { field, message }) => (field, message),
        other => panic!("a conflict was to be expected, not {other:?}"),
    }
}

pub(crate) async fn a_plugin_comes_back_as_it_was_put(open: Open) {
    let (bed, t, other) = (open(LIMITS).await, tenant("t"), tenant("other"));
    let (one, two) = (
        component(&bed, &t, "one").await,
        component(&bed, &t, "two").await,
    );
    let mut first = plugin("first", &[&one]);
    bed.put_plugin(&t, &first, None).await.unwrap();
    let second = plugin("a second", &[&one]);
    bed.put_plugin(&t, &second, None).await.unwrap();
    assert_eq!(bed.plugin(&t, "first").await.unwrap(), Some(first.clone()));
    first = plugin("first", &[&one, &two]);
    first.previous = Some(one.clone());
    first.canary = Some(Canary {
        version: two.clone(),
        share: 10,
        started: Timestamp::from_millis(77),
    });
    first.rolled_back = Some(RolledBack {
        version: one,
        at: Timestamp::from_millis(70),
        tallies: Tallies::default(),
    });
    bed.put_plugin(&t, &first, None).await.unwrap();
    assert_eq!(bed.plugin(&t, "first").await.unwrap(), Some(first.clone()));
    let whole = bed.tenant(&t).await.unwrap();
    assert_eq!(whole.plugins, [second, first]);

    assert_eq!(bed.plugin(&other, "first").await.unwrap(), None);
    assert!(bed.tenant(&other).await.unwrap().plugins.is_empty());
    assert!(!bed.delete_plugin(&other, "first").await.unwrap());
    assert!(bed.delete_plugin(&t, "first").await.unwrap());
    assert!(!bed.delete_plugin(&t, "first").await.unwrap());
    assert_eq!(bed.plugin(&t, "first").await.unwrap(), None);
    assert_eq!(bed.tenant(&t).await.unwrap().plugins.len(), 1);
}

pub(crate) async fn plugins_are_listed_by_name_and_paged(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let one = component(&bed, &t, "one").await;
    let names = ["b", "a", "c-1", "c", "d_2"];
    for name in names {
        bed.put_plugin(&t, &plugin(name, &[&one]), None)
            .await
            .unwrap();
    }
    let mut sorted = names;
    sorted.sort_unstable();
    for limit in [1, 2, 5, 6] {
        let (mut found, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let page = bed.plugins(&t, limit, cursor.as_deref()).await.unwrap();
            assert!(page.results.len() <= limit);
            found.extend(page.results.into_iter().map(|plugin| plugin.name));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(found, sorted, "in pages of {limit}");
    }
    let other = bed.plugins(&tenant("other"), 10, None).await.unwrap();
    assert!(other.results.is_empty());
    let bad = bed.plugins(&t, 1, Some("?")).await;
    assert_eq!(bad.unwrap_err(), BackendError::BadCursor);
}

pub(crate) async fn changes_of_plugins_make_decisions_stale(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let one = component(&bed, &t, "one").await;
    let it = plugin("it", &[&one]);
    let now = async || bed.tenant(&t).await.unwrap().revision;
    let before = now().await;
    component(&bed, &t, "another").await;
    let trial = Timestamp::from_millis(1);
    bed.tally(&t, "it", trial, Arm::Canary, true).await.unwrap();
    assert_eq!(now().await, before, "nothing was configured");

    bed.put_plugin(&t, &it, Some(before)).await.unwrap();
    assert_ne!(bed.revision(&t).await.unwrap(), before);
    let stale = plugin("it", &[&one, &one]);
    let refused = bed.put_plugin(&t, &stale, Some(before)).await;
    assert_eq!(refused, Err(BackendError::RevisionMismatch));
    // Before anything else.
    let dangling = plugin("it", &[&digest(b"nothing")]);
    let refused = bed.put_plugin(&t, &dangling, Some(before)).await;
    assert_eq!(refused, Err(BackendError::RevisionMismatch));
    assert_eq!(bed.plugin(&t, "it").await.unwrap(), Some(it.clone()));

    let before = now().await;
    assert!(bed.delete_plugin(&t, "it").await.unwrap());
    let refused = bed.put_webhook(&t, &webhook(|_| ()), Some(before)).await;
    assert_eq!(refused, Err(BackendError::RevisionMismatch));
}

pub(crate) async fn of_many_changes_of_a_plugin_on_one_state_one_is_stored(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let one = component(&bed, &t, "one").await;
    let revision = Some(bed.tenant(&t).await.unwrap().revision);
    let plugins: Vec<_> = (0..20).map(|i| plugin(&format!("p{i}"), &[&one])).collect();
    let stored = join_all(plugins.iter().map(|p| bed.put_plugin(&t, p, revision))).await;
    assert_eq!(stored.iter().filter(|done| done.is_ok()).count(), 1);
    assert_eq!(bed.tenant(&t).await.unwrap().plugins.len(), 1);
}

pub(crate) async fn a_plugin_that_a_webhook_names_cannot_be_deleted(open: Open) {
    let (bed, t, other) = (open(LIMITS).await, tenant("t"), tenant("other"));
    let one = component(&bed, &t, "one").await;
    bed.put_plugin(&t, &plugin("it", &[&one]), None)
        .await
        .unwrap();
    let named = async |t: &TenantId, hook: &WebhookId, plugin: Option<&str>, name: &str| {
        let spec = webhook(|spec| {
            spec.plugin = plugin.map(str::to_owned);
            spec.name = name.to_owned();
        });
        let hook = Webhook {
            id: hook.clone(),
            ..spec
        };
        bed.put_webhook(t, &hook, None).await.unwrap();
    };
    let (a, b) = (WebhookId::generate(), WebhookId::generate());
    // None of these is the plugin.
    named(&t, &WebhookId::generate(), None, "none").await;
    named(&t, &WebhookId::generate(), Some("it2"), "longer").await;
    named(&t, &WebhookId::generate(), Some("i"), "shorter").await;
    named(&t, &WebhookId::generate(), Some("jinja@it"), "other").await;
    named(&other, &WebhookId::generate(), Some("it"), "foreign").await;

    let in_use = async || conflict(bed.delete_plugin(&t, "it").await).1;
    named(&t, &a, Some("it"), "hook a").await;
    named(&t, &b, Some(&format!("it@{}", &one[..12])), "hook b").await;
    assert!(in_use().await.contains("hook a"));
    named(&t, &a, Some("it"), "hook c").await;
    assert!(in_use().await.contains("hook b"));
    named(&t, &b, Some("it2@00000000"), "hook b").await;
    assert!(in_use().await.contains("hook c"));
    assert!(bed.plugin(&t, "it").await.unwrap().is_some());
    assert!(has(&bed, &t, &one).await);
    assert!(Registry::delete_webhook(&**bed, &t, &a).await.unwrap());
    assert!(bed.delete_plugin(&t, "it").await.unwrap());
}

fn tally(attempts: u64, failures: u64) -> Tally {
    Tally { attempts, failures }
}

pub(crate) async fn attempts_of_a_trial_are_counted(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let trial = Timestamp::from_millis(1_000);
    assert_eq!(
        bed.tallies(&t, "it", trial).await.unwrap(),
        Tallies::default()
    );
    let arms = (0..30).map(|i| {
        (
            if i % 3 == 0 {
                Arm::Canary
            } else {
                Arm::Current
            },
            i % 2 == 0,
        )
    });
    let all = arms.map(|(arm, failed)| bed.tally(&t, "it", trial, arm, failed));
    for answer in join_all(all).await {
        answer.unwrap();
    }
    let counted = Tallies {
        canary: tally(10, 5),
        current: tally(20, 10),
    };
    assert_eq!(bed.tallies(&t, "it", trial).await.unwrap(), counted);
    let next = bed
        .tally(&t, "it", trial, Arm::Canary, false)
        .await
        .unwrap();
    assert_eq!((next.canary, next.current), (tally(11, 5), tally(20, 10)));
    for (tenant, plugin) in [(&t, "other"), (&tenant("other"), "it")] {
        let nothing = bed.tallies(tenant, plugin, trial).await.unwrap();
        assert_eq!(nothing, Tallies::default());
    }
}

pub(crate) async fn a_late_call_of_an_older_trial_changes_nothing(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let (older, newer) = (Timestamp::from_millis(1_000), Timestamp::from_millis(1_001));
    let count = async |trial| bed.tally(&t, "it", trial, Arm::Canary, true).await.unwrap();
    assert_eq!(count(older).await.canary, tally(1, 1));
    assert_eq!(count(newer).await.canary, tally(1, 1));
    assert_eq!(count(older).await, Tallies::default());
    assert_eq!(count(newer).await.canary, tally(2, 2));
    let nothing = bed.tallies(&t, "it", older).await.unwrap();
    assert_eq!(nothing, Tallies::default());
}

pub(crate) async fn storing_a_plugin_begins_and_ends_its_trial(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let (one, two) = (
        component(&bed, &t, "one").await,
        component(&bed, &t, "two").await,
    );
    let (first, second) = (Timestamp::from_millis(2_000), Timestamp::from_millis(1_000));
    let put = async |started: Option<Timestamp>| {
        let mut it = plugin("it", &[&two, &one]);
        it.canary = started.map(|started| Canary {
            version: two.clone(),
            share: 50,
            started,
        });
        bed.put_plugin(&t, &it, None).await.unwrap();
    };
    let count = async |trial| {
        bed.tally(&t, "it", trial, Arm::Current, false)
            .await
            .unwrap()
    };
    put(Some(first)).await;
    assert_eq!(count(first).await.current, tally(1, 0));
    // Another share, or another version beside it, is the same trial.
    put(Some(first)).await;
    assert_eq!(count(first).await.current, tally(2, 0));
    // Also when the clock was set back in between.
    put(Some(second)).await;
    let nothing = Tallies::default();
    assert_eq!(bed.tallies(&t, "it", first).await.unwrap(), nothing);
    assert_eq!(count(second).await.current, tally(1, 0));
    put(None).await;
    assert_eq!(bed.tallies(&t, "it", second).await.unwrap(), nothing);
    count(second).await;
    assert!(bed.delete_plugin(&t, "it").await.unwrap());
    assert_eq!(bed.tallies(&t, "it", second).await.unwrap(), nothing);
}
