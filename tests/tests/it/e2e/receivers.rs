//! Receivers that flood the process that delivers to them.

use std::time::Duration;

use hookbox_tests::{
    hostile::{ATTACKS, Hostile, deliver_to, pace},
    server::Server,
};
use tokio::time::Instant;

/// What the system takes of the bytes of a connection that nobody reads, and then some. A flood that is read goes
/// beyond it within a second.
const UNREAD: u64 = 16 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_floods_has_little_read_and_the_api_goes_on() {
    const DELIVERIES: usize = 2;
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path());
    pace(&server, 100).await;
    let quiet = pace(&server, 200).await;
    for attack in ATTACKS {
        let hostile = Hostile::start(attack).await;
        let deliveries = deliver_to(&server, &hostile, DELIVERIES).await;
        let busy = pace(&server, 50).await;
        // Generous, as the machine is shared: what was found took a thousand times as long.
        let most = (quiet.p50 * 20).max(Duration::from_millis(50));
        assert!(busy.p50 < most, "{attack:?}: {busy:?}, quiet {quiet:?}");

        for id in deliveries {
            let path = format!("/v1/deliveries/{id}");
            let ended =
                |d: &serde_json::Value| d["status"] == "finished" || d["status"] == "failed";
            let delivery = server.wait_until(&path, ended).await;
            assert_eq!(delivery["total_attempts"], 1, "{attack:?}");
        }
        // Without further ado: neither is read on from a pooled connection.
        let deadline = Instant::now() + Duration::from_secs(20);
        while hostile.open() > 0 {
            assert!(Instant::now() < deadline, "{attack:?} is still connected");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let most = UNREAD * DELIVERIES as u64;
        assert!(
            hostile.written() < most,
            "{attack:?}: {}",
            hostile.written()
        );
    }
}
