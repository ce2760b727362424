//! Memory returns to where it was, whatever guests do; measured in processes of their own.

use std::process::Command;

use hookbox_tests::loads;

/// Runs `guests` with these arguments; what it printed.
pub(super) fn guests(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_guests"))
        .args(arguments)
        .output()
        .expect("it starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).expect("text")
}

fn figure(printed: &str, name: &str) -> f64 {
    let line = printed.lines().find_map(|line| line.strip_prefix(name));
    line.expect(name).trim().parse().expect("a number")
}

/// Twice as much as the allocator's arenas were seen to move by from run to run, and less than a page for each
/// render: what a guest could leave behind would be its memory, a megabyte or more for each of hundreds.
const SLACK: f64 = 4.0 * 1024.0 * 1024.0;

#[test]
fn rounds_over_the_whole_corpus_leave_no_memory_behind() {
    let printed = guests(&["resident", "10"]);
    println!("{printed}");
    assert!(figure(&printed, "growth") < SLACK, "{printed}");
}

/// The bound is wide, as this may run beside other tests; what is measured is printed, and
/// `cargo run -p hookbox-tests --bin guests -- storm` measures it alone.
#[test]
fn ten_thousand_crashes_leave_a_neighbour_as_fast_as_before_and_no_memory_behind() {
    let printed = guests(&["storm", "10000"]);
    println!("{printed}");
    assert!(figure(&printed, "recovery") > 0.5, "{printed}");
    assert!(figure(&printed, "modest") > 0.5, "{printed}");
    assert!(figure(&printed, "growth") < SLACK, "{printed}");
}

/// What a component's few bytes multiply, and no limiter of the run sees: segments, imports and so on times instances.
#[test]
fn a_run_takes_no_more_of_the_host_than_was_counted_before_it_was_admitted() {
    let cache = tempfile::tempdir().expect("a folder");
    let cache = cache.path().to_str().expect("text");
    for kind in loads::KINDS {
        guests(&["load", kind, cache]);
        let printed = guests(&["load", kind, cache]);
        let [limit, counted, held] =
            ["limit", "counted", "held"].map(|name| figure(&printed, name));
        println!("{kind}: {counted} counted, {held} held");
        assert!(
            counted > limit * 0.9 && counted <= limit,
            "{kind}: {printed}"
        );
        // pages in which there is something else too, and the allocator's own
        assert!(held < counted + 512.0 * 1024.0, "{kind}: {printed}");
        assert!(
            held > counted / 8.0,
            "{kind}: is there an instance? {printed}"
        );
    }
}
