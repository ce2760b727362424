//! How long saves, events and deliveries of one key take while a crowd of loops with another key of the tenant makes
//! requests of each kind: `crowd [LOOPS] [ROUNDS] [DELIVERIES] [PROGRAM]`. With a program, another build of hookbox.
#![expect(clippy::expect_used, reason = "a program for tests")]

use std::{env, path::PathBuf};

use hookbox_tests::crowd::{HEAD, Kind, Stage};

#[tokio::main]
async fn main() {
    let mut arguments = env::args().skip(1);
    let mut number = |usual: usize| {
        arguments
            .next()
            .map_or(usual, |text| text.parse().expect("a number"))
    };
    let (loops, rounds, deliveries) = (number(64), number(100), number(200_000));
    let program = arguments.next().map(PathBuf::from);
    let dir = tempfile::tempdir().expect("a folder");
    let stage = Stage::set_up(dir.path(), deliveries, program.as_deref()).await;
    println!("{:12} {HEAD}", "");
    // Once more at the end, as the machine may have changed.
    for kind in Kind::ALL.into_iter().chain([Kind::Quiet]) {
        let measured = stage.measure(kind, loops, rounds).await;
        println!("{:24} {measured}", format!("{kind:?}"));
    }
}
