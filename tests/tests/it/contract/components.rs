//! Components: the bytes of plugins.

use std::{cell::Cell, future::Future};

use futures_util::future::join_all;
use hookbox::{backend::BackendError, model::TenantId};
use sha2::{Digest, Sha256};

use super::{
    bed::{Bed, LIMITS, Open, ids, tenant, webhook},
    plugins::{conflict, plugin},
};

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

/// Stores a small component; its digest.
pub(crate) async fn component(bed: &Bed, t: &TenantId, text: &str) -> String {
    let sha256 = digest(text.as_bytes());
    bed.put_component(t, &sha256, text.as_bytes(), None)
        .await
        .unwrap();
    sha256
}

pub(super) async fn has(bed: &Bed, t: &TenantId, sha256: &str) -> bool {
    bed.component(t, sha256).await.unwrap().is_some()
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
