//! The same component, event and settings give the same request, fuel and logs: on every run, on every
//! thread, in every process, compiled anew or taken from the cache.

use hookbox::sandbox::{Output, Sandbox};
use hookbox_tests::replay::{cases, loaded};

use super::{
    guest::{config, request},
    memory::guests,
};

#[test]
fn a_thousand_runs_on_several_threads_and_in_several_processes_are_all_the_same() {
    let home = tempfile::tempdir().expect("a folder");
    let cache = home.path().join("cache");
    let cache = cache.to_str().expect("text");
    let on_two_threads = guests(&["replay", "1000", "2"]);
    assert_eq!(on_two_threads.lines().count(), cases().len());
    for line in on_two_threads.lines() {
        assert!(!line.contains(" 0 fuel"), "{line}");
    }
    for other in [
        &["replay", "20", "1"][..],
        &["replay", "20", "5"],
        &["replay", "20", "2", cache],
        // out of the cache that the one before filled
        &["replay", "20", "2", cache],
    ] {
        assert_eq!(guests(other), on_two_threads, "{other:?}");
    }
}

#[tokio::test]
async fn what_is_not_a_number_is_always_the_same_not_a_number() {
    let sandbox = Sandbox::new(&config(), None).expect("a sandbox");
    let cases = loaded(&sandbox);
    let found = cases.iter().find(|(case, _)| case.name == "not a number");
    let (case, transformer) = found.expect("it is there");
    let rendering = sandbox.render(transformer, case.job.clone()).await;
    let body = request(&rendering).body();
    // eight of 32 bits, six of 64, then vectors of which some lanes are numbers
    for (at, bits) in body[..32].chunks(4).enumerate() {
        assert_eq!(bits, 0x7fc0_0000_u32.to_le_bytes(), "f32 {at}");
    }
    for (at, bits) in body[32..80].chunks(8).enumerate() {
        assert_eq!(bits, 0x7ff8_0000_0000_0000_u64.to_le_bytes(), "f64 {at}");
    }
    assert_eq!(body.len(), 112);
    for (at, bits) in body[96..].chunks(8).enumerate() {
        let bits = u64::from_le_bytes(bits.try_into().expect("eight"));
        assert!(
            [0, 0x7ff8_0000_0000_0000].contains(&bits),
            "lane {at}: {bits:x}"
        );
    }
}

#[tokio::test]
async fn templates_have_no_chance_and_no_clock() {
    let sandbox = Sandbox::new(&config(), None).expect("a sandbox");
    for (case, transformer) in loaded(&sandbox) {
        let output = sandbox.render(&transformer, case.job.clone()).await.output;
        match case.name {
            // `random` is there, as templates may name it, but it always takes the same.
            "chance" => {
                let again = sandbox.render(&transformer, case.job.clone()).await;
                let Output::Request(first) = output else {
                    panic!("{output:?}");
                };
                assert_eq!(&first, request(&again));
            }
            "clock" => assert!(matches!(output, Output::Error(_)), "{output:?}"),
            "order of keys" => {
                let Output::Request(request) = output else {
                    panic!("{output:?}");
                };
                let body = String::from_utf8_lossy(request.body()).into_owned();
                assert!(body.starts_with("zeta=1;alpha=two;Mid="), "as sent: {body}");
            }
            _ => {}
        }
    }
}
