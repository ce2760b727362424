//! Real Redis servers for tests: alone, with replicas under sentinels, or as a cluster. Each has a free
//! port and a folder of its own, and none outlives its test.
//!
//! Whatever is started here is waited for by asking it, and is asked through `redis-cli`.

mod certificates;
mod cluster;
mod monitor;
mod sentinels;
mod server;

use std::{
    hash::{BuildHasher, RandomState},
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

pub use cluster::Cluster;
pub use sentinels::Sentinels;
pub use server::{Fsync, Options, RedisServer, User};

/// How long anything here may take to get ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is added to a cluster node's port for its bus.
const BUS: u16 = 10_000;

/// A port that is free now, with the bus port that would go with it.
///
/// Below the ports that systems give to connections: a port that is free while its server is down must
/// still be free when that starts again, and who knocks in between must not be connected to itself.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_port() -> u16 {
    const FIRST: u16 = 11_000;
    const COUNT: u64 = 10_000;
    let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    for _ in 0..1000 {
        let random = RandomState::new().hash_one(()) % COUNT;
        let port = FIRST + u16::try_from(random).expect("less than COUNT");
        if free(port) && free(port + BUS) {
            return port;
        }
    }
    panic!("no free port from {FIRST} on");
}

/// Asks until the answer is yes; `what` is for who reads the failure.
fn until(what: &str, mut ask: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !ask() {
        assert!(Instant::now() < deadline, "{PATIENCE:?} are over: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
