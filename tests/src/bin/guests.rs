//! What is measured of guests in a process of its own. `cargo run -p hookbox-tests --bin guests -- storm`
//! prints what ten thousand crashes do to a neighbour; the tests use the rest as well.
#![expect(clippy::expect_used, reason = "a program for tests")]

use std::{env, fs, path::Path, process::ExitCode};

use hookbox::{config::SandboxConfig, sandbox::Sandbox};
use hookbox_tests::{guest, loads, replay, resident, storm};

const USAGE: &str = "guests storm [CRASHES] | resident [ROUNDS] | load KIND CACHE | replay RUNS THREADS [CACHE] | seeds FOLDER";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse().expect("a number");
    match arguments.as_slice() {
        ["storm"] => measure_storm(10_000),
        ["storm", crashes] => measure_storm(number(crashes) as u64),
        ["resident"] => measure_resident(10),
        ["resident", rounds] => measure_resident(number(rounds)),
        ["load", kind, cache] => measure_load(kind, Path::new(cache)),
        ["replay", runs, threads] => print_replay(number(runs), number(threads), None),
        ["replay", runs, threads, cache] => {
            print_replay(number(runs), number(threads), Some(Path::new(cache)));
        }
        ["seeds", folder] => write_seeds(Path::new(folder)),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .expect("a runtime")
        .block_on(work)
}

fn measure_storm(crashes: u64) {
    let storm = block_on(storm::run(crashes));
    print!("{storm}");
    println!("recovery {}", storm.recovery);
    println!("modest {}", storm.modest);
    println!("growth {}", storm.growth());
}

fn measure_resident(rounds: usize) {
    let resident = block_on(resident::rounds(rounds));
    println!("{resident:?}");
    println!("growth {}", resident.growth());
}

fn measure_load(kind: &str, cache: &Path) {
    let load = loads::measure(kind, cache);
    println!(
        "limit {}\ncounted {}\nheld {}",
        load.limit, load.counted, load.held
    );
}

fn print_replay(runs: usize, threads: usize, cache: Option<&Path>) {
    let config = SandboxConfig {
        threads,
        ..guest::config()
    };
    let sandbox = Sandbox::new(&config, cache).expect("a sandbox");
    for line in block_on(replay::transcript(&sandbox, runs)) {
        println!("{line}");
    }
}

/// The corpus as binaries, for a fuzzer to begin with.
fn write_seeds(folder: &Path) {
    fs::create_dir_all(folder).expect("a folder");
    for guest in guest::corpus() {
        fs::write(folder.join(guest.name).with_extension("wasm"), guest.wasm).expect("written");
    }
}
