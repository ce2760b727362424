//! Plugins, their components, and what is counted in their trials.

use std::{cell::Cell, future::Future};

use futures_util::future::join_all;
use hookbox::{
    model::{
        Arm, Canary, Plugin, PluginVersion, RolledBack, Tallies, Tally, TenantId, Timestamp,
        Webhook, WebhookId,
    },
    registry::{BackendError, Registry},
};
use sha2::{Digest, Sha256};

use super::bed::{Bed, LIMITS, Open, ids, tenant, webhook};

const PIECE: usize = 256 << 10;

/// So many bytes in which no part is like another, with every value among them.
pub(crate) fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(len).collect()
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

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

/// Stores a small component; its digest.
pub(crate) async fn component(bed: &Bed, t: &TenantId, text: &str) -> String {
    let sha256 = digest(text.as_bytes());
    bed.put_component(t, &sha256, text.as_bytes(), None)
        .await
        .unwrap();
    sha256
}

fn conflict<T: std::fmt::Debug>(result: Result<T, BackendError>) -> (String, String) {
    match result {
        Err(BackendError::Conflict { field, message }) => (field, message),
        other => panic!("a conflict was to be expected, not {other:?}"),
    }
}

async fn has(bed: &Bed, t: &TenantId, sha256: &str) -> bool {
    bed.component(t, sha256).await.unwrap().is_some()
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
    assert_eq!(refused, Err(BackendError::Changed));
    // Before anything else.
    let dangling = plugin("it", &[&digest(b"nothing")]);
    let refused = bed.put_plugin(&t, &dangling, Some(before)).await;
    assert_eq!(refused, Err(BackendError::Changed));
    assert_eq!(bed.plugin(&t, "it").await.unwrap(), Some(it.clone()));

    let before = now().await;
    assert!(bed.delete_plugin(&t, "it").await.unwrap());
    let refused = bed.put_webhook(&t, &webhook(|_| ()), Some(before)).await;
    assert_eq!(refused, Err(BackendError::Changed));
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

pub(crate) async fn a_component_comes_back_byte_for_byte(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    for (seed, len) in [0, 1, 255, PIECE - 1, PIECE, PIECE + 1, 9 * PIECE + 7]
        .into_iter()
        .enumerate()
    {
        let bytes = bytes(len, seed as u64 + 1);
        let sha256 = digest(&bytes);
        assert_eq!(bed.component(&t, &sha256).await.unwrap(), None);
        for _ in 0..2 {
            bed.put_component(&t, &sha256, &bytes, None).await.unwrap();
            let found = bed.component(&t, &sha256).await.unwrap().unwrap();
            assert!(found == bytes, "{len} bytes");
        }
        let mut pieces = Vec::new();
        for number in 0..bytes.len().div_ceil(PIECE) as u32 {
            let piece = bed.component_piece(&t, &sha256, number).await.unwrap();
            pieces.extend(piece.unwrap());
        }
        assert!(pieces == bytes, "{len} bytes in pieces");
        for (t, number) in [(&t, 10), (&t, u32::MAX), (&tenant("other"), 0)] {
            let none = bed.component_piece(t, &sha256, number).await;
            assert_eq!(none, Ok(None));
        }
        assert!(!has(&bed, &tenant("other"), &sha256).await);
    }
}

pub(crate) async fn a_component_that_was_not_what_its_name_says_is_not_handed_out(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let wrong = digest(b"one");
    bed.put_component(&t, &wrong, b"two", None).await.unwrap();
    let found = bed.component(&t, &wrong).await;
    assert!(matches!(found, Err(BackendError::Corrupt(_))), "{found:?}");
    let digest = digest(b"\xff");
    for name in ["", "no digest", &digest[1..], &digest.to_uppercase()] {
        let refused = bed.put_component(&t, name, b"\xff", None).await;
        assert!(matches!(refused, Err(BackendError::Internal(_))), "{name}");
    }
}

pub(crate) async fn the_same_component_can_be_stored_by_many_at_once(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let bytes = bytes(5 * PIECE, 1);
    let sha256 = digest(&bytes);
    let all = join_all((0..5).map(|_| bed.put_component(&t, &sha256, &bytes, None))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert!(bed.component(&t, &sha256).await.unwrap().unwrap() == bytes);
}

/// Does `work` while others go on with steps of other kinds; how many of those were done meanwhile.
async fn beside<T>(bed: &Bed, t: &TenantId, work: impl Future<Output = T>) -> (T, usize) {
    let done = Cell::new(0);
    let others = async {
        let hook = webhook(|_| ());
        loop {
            bed.put_webhook(t, &hook, None).await.unwrap();
            let sent = bed.send_one(t, &hook.id).await;
            // With what was sent, but not claimed, when this was stopped before.
            assert!(ids(&bed.claim_all().await).contains(&sent));
            bed.revision(t).await.unwrap();
            done.set(done.get() + 4);
        }
    };
    tokio::select! {
        result = work => (result, done.get()),
        () = others => panic!("they never end"),
    }
}

pub(crate) async fn a_large_component_holds_nobody_up(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let bytes = bytes(20 << 20, 1);
    let sha256 = digest(&bytes);
    let (stored, steps) = beside(&bed, &t, bed.put_component(&t, &sha256, &bytes, None)).await;
    stored.unwrap();
    assert!(steps >= 20, "{steps} steps while it was stored");
    let reading = async {
        for _ in 0..3 {
            let found = bed.component(&t, &sha256).await.unwrap().unwrap();
            assert!(found == bytes);
        }
    };
    let ((), steps) = beside(&bed, &t, reading).await;
    assert!(steps >= 20, "{steps} steps while it was read");
    bed.put_plugin(&t, &plugin("it", &[&sha256]), None)
        .await
        .unwrap();
    let (deleted, _) = beside(&bed, &t, bed.delete_plugin(&t, "it")).await;
    assert!(deleted.unwrap() && !has(&bed, &t, &sha256).await);
}

/// Begins to store it and gives up before it has ended; its digest.
pub(crate) async fn interrupt(bed: &Bed, t: &TenantId, bytes: &[u8]) -> String {
    let sha256 = digest(bytes);
    let few = async {
        for _ in 0..3 {
            bed.webhook(t, |_| ()).await;
        }
    };
    tokio::select! {
        biased;
        done = bed.put_component(t, &sha256, bytes, None) => panic!("it had ended: {done:?}"),
        () = few => sha256,
    }
}

pub(crate) async fn an_upload_that_was_interrupted_is_not_found(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let bytes = bytes(20 << 20, 1);
    let sha256 = interrupt(&bed, &t, &bytes).await;
    assert!(!has(&bed, &t, &sha256).await);
    let it = plugin("it", &[&sha256]);
    conflict(bed.put_plugin(&t, &it, None).await);
    bed.put_component(&t, &sha256, &bytes, None).await.unwrap();
    assert!(bed.component(&t, &sha256).await.unwrap().unwrap() == bytes);
    bed.put_plugin(&t, &it, None).await.unwrap();
}

pub(crate) async fn a_plugin_needs_its_components(open: Open) {
    let (bed, t, other) = (open(LIMITS).await, tenant("t"), tenant("other"));
    let one = component(&bed, &t, "one").await;
    let foreign = component(&bed, &other, "two").await;
    let good = plugin("it", &[&one]);
    bed.put_plugin(&t, &good, None).await.unwrap();
    let (field, message) = conflict(
        bed.put_plugin(&t, &plugin("it", &[&one, &foreign]), None)
            .await,
    );
    assert_eq!(field, "versions");
    assert!(message.contains(&foreign), "{message}");
    conflict(bed.put_plugin(&t, &plugin("new", &[&foreign]), None).await);
    assert_eq!(bed.plugin(&t, "it").await.unwrap(), Some(good));
    assert_eq!(bed.plugin(&t, "new").await.unwrap(), None);
    assert!(bed.delete_plugin(&t, "it").await.unwrap());
    assert!(has(&bed, &other, &foreign).await);
}

pub(crate) async fn a_component_goes_with_the_last_plugin_that_needs_it(open: Open) {
    let (bed, t, other) = (open(LIMITS).await, tenant("t"), tenant("other"));
    let (one, two) = (
        component(&bed, &t, "one").await,
        component(&bed, &t, "two").await,
    );
    let unnamed = component(&bed, &t, "an upload under way").await;
    component(&bed, &other, "one").await;
    bed.put_plugin(&t, &plugin("a", &[&one, &two]), None)
        .await
        .unwrap();
    bed.put_plugin(&t, &plugin("b", &[&one]), None)
        .await
        .unwrap();
    bed.put_plugin(&t, &plugin("a", &[&one]), None)
        .await
        .unwrap();
    assert!(has(&bed, &t, &one).await && !has(&bed, &t, &two).await);
    assert!(bed.delete_plugin(&t, "b").await.unwrap());
    assert!(has(&bed, &t, &one).await);
    assert!(bed.delete_plugin(&t, "a").await.unwrap());
    assert!(!has(&bed, &t, &one).await);
    assert!(has(&bed, &t, &unnamed).await && has(&bed, &other, &one).await);
    // It can come back.
    component(&bed, &t, "one").await;
    bed.put_plugin(&t, &plugin("a", &[&one]), None)
        .await
        .unwrap();
    assert!(has(&bed, &t, &one).await);
}

pub(crate) async fn a_component_that_was_stored_again_waits_for_its_plugin(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let one = component(&bed, &t, "one").await;
    bed.put_plugin(&t, &plugin("a", &[&one]), None)
        .await
        .unwrap();
    component(&bed, &t, "one").await;
    // What others do with it meanwhile.
    bed.put_plugin(&t, &plugin("a", &[&one]), None)
        .await
        .unwrap();
    assert!(bed.delete_plugin(&t, "a").await.unwrap());
    assert!(has(&bed, &t, &one).await);
    bed.put_plugin(&t, &plugin("b", &[&one]), None)
        .await
        .unwrap();
}

pub(crate) async fn components_that_nobody_names_count_against_what_a_tenant_may_have(open: Open) {
    let (bed, t, other) = (open(LIMITS).await, tenant("t"), tenant("other"));
    let most = 3 * PIECE as u64;
    let put = async |t: &TenantId, len: usize, seed: u64| {
        let bytes = bytes(len, seed);
        let sha256 = digest(&bytes);
        let stored = bed.put_component(t, &sha256, &bytes, Some(most)).await;
        stored.map(|()| sha256)
    };
    let full = |stored: usize| {
        Err(BackendError::TooManyBytes {
            stored: stored as u64,
            limit: most,
        })
    };
    assert_eq!(put(&t, 3 * PIECE + 1, 0).await, full(0));
    let named = put(&t, PIECE, 1).await.unwrap();
    bed.put_plugin(&t, &plugin("it", &[&named]), None)
        .await
        .unwrap();
    let unnamed = put(&t, PIECE + 7, 2).await.unwrap();
    assert_eq!(put(&t, PIECE - 6, 3).await, full(2 * PIECE + 7));
    assert!(!has(&bed, &t, &digest(&bytes(PIECE - 6, 3))).await);
    put(&t, PIECE - 7, 3).await.unwrap();
    assert_eq!(put(&t, 1, 4).await, full(3 * PIECE));
    // What is there is no more, and every tenant has its own.
    assert_eq!(put(&t, PIECE, 1).await, Ok(named));
    put(&other, 3 * PIECE, 5).await.unwrap();
    // There is room again as soon as something has gone.
    bed.release_component(&t, &unnamed).await.unwrap();
    put(&t, PIECE + 7, 6).await.unwrap();
    assert_eq!(put(&t, 1, 7).await, full(3 * PIECE));
    let unbounded = bed.put_component(&t, &digest(b"x"), b"x", None).await;
    unbounded.unwrap();
}

pub(crate) async fn what_was_left_of_an_upload_counts_as_well(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let large = bytes(20 << 20, 1);
    interrupt(&bed, &t, &large).await;
    let most = Some(large.len() as u64);
    let refused = bed.put_component(&t, &digest(b"x"), b"x", most).await;
    assert!(
        matches!(refused, Err(BackendError::TooManyBytes { .. })),
        "{refused:?}"
    );
}

pub(crate) async fn a_released_component_goes_unless_a_plugin_names_it(open: Open) {
    let (bed, t, other) = (open(LIMITS).await, tenant("t"), tenant("other"));
    bed.release_component(&t, &digest(b"none")).await.unwrap();
    let one = component(&bed, &t, "one").await;
    component(&bed, &other, "one").await;
    let before = bed.tenant(&t).await.unwrap().revision;
    bed.release_component(&t, &one).await.unwrap();
    assert!(!has(&bed, &t, &one).await && has(&bed, &other, &one).await);
    assert_eq!(bed.tenant(&t).await.unwrap().revision, before);
    conflict(bed.put_plugin(&t, &plugin("a", &[&one]), None).await);

    component(&bed, &t, "one").await;
    bed.put_plugin(&t, &plugin("a", &[&one]), None)
        .await
        .unwrap();
    // Stored again: without a release it would outlive its plugin.
    component(&bed, &t, "one").await;
    bed.release_component(&t, &one).await.unwrap();
    assert!(has(&bed, &t, &one).await);
    assert!(bed.delete_plugin(&t, "a").await.unwrap());
    assert!(!has(&bed, &t, &one).await);
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
