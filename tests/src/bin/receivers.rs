//! Prints how fast the API answers while hostile receivers flood the process that delivers to them:
//! `cargo run --release -p hookbox-tests --bin receivers -- [SECONDS [DELIVERIES]]`.
#![expect(clippy::expect_used, reason = "a program for tests")]

use std::{
    env,
    time::{Duration, Instant},
};

use hookbox_tests::{
    hostile::{ATTACKS, Hostile, deliver_to, pace},
    server::Server,
};

#[tokio::main]
async fn main() {
    let mut arguments = env::args().skip(1).map(|a| a.parse().expect("a number"));
    let seconds = Duration::from_secs(arguments.next().unwrap_or(5));
    let deliveries = usize::try_from(arguments.next().unwrap_or(2)).expect("a number");
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path());
    pace(&server, 200).await;
    let quiet = pace(&server, 1000).await;
    println!(
        "{:28} p50 {:>9.2?}  p99 {:>9.2?}",
        "quiet", quiet.p50, quiet.p99
    );
    for attack in ATTACKS {
        let hostile = Hostile::start(attack).await;
        let before = cpu(&server);
        let begun = Instant::now();
        deliver_to(&server, &hostile, deliveries).await;
        while hostile.requests() < deliveries.min(1) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut paces = Vec::new();
        while begun.elapsed() < seconds {
            paces.push(pace(&server, 50).await);
        }
        paces.sort_unstable_by_key(|pace| pace.p50);
        let p50 = paces.get(paces.len() / 2).map_or(quiet.p50, |p| p.p50);
        let p99 = paces.iter().map(|p| p.p99).max().unwrap_or(quiet.p99);
        println!(
            "{:28} p50 {p50:>9.2?}  p99 {p99:>9.2?}  flood {:>9.1} MB  CPU {:>6.2} s  open {}",
            attack.name,
            hostile.written() as f64 / 1e6,
            cpu(&server) - before,
            hostile.open(),
        );
    }
}

/// Seconds of CPU that the server has used: fields 14 and 15 of its stat, in hundredths.
fn cpu(server: &Server) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).expect("it runs");
    let (_, after) = stat.rsplit_once(')').expect("a name");
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok());
    (ticks(11).unwrap_or_default() + ticks(12).unwrap_or_default()) / 100.0
}
