use proptest::prelude::*;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;
use crate::model::DeliveryId;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// The version whose digest is this digit, 64 times.
fn version(digit: char) -> PluginVersion {
    PluginVersion {
        sha256: digit.to_string().repeat(64),
        uploaded: at(0),
        component_bytes: 1,
        compiled_bytes: 1,
        imports: Vec::new(),
        trial_fuel: 1,
        trial_peak_memory_bytes: 1,
    }
}

fn sha(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn plugin(digits: &str) -> Plugin {
    let mut digits = digits.chars();
    let mut plugin = Plugin::new("p".to_owned(), version(digits.next().unwrap()), at(0));
    for (digit, millis) in digits.zip(1..) {
        assert_eq!(
            plugin.add(version(digit), Introduction::Current, at(millis)),
            Ok(true)
        );
    }
    plugin
}

/// Asserts the invariants of every plugin.
fn assert_sound(plugin: &Plugin) {
    let has = |sha: &String| plugin.versions.iter().any(|v| v.sha256 == *sha);
    assert!(has(&plugin.current), "{plugin:?}");
    assert!(plugin.previous.as_ref().is_none_or(has), "{plugin:?}");
    assert_ne!(plugin.previous.as_ref(), Some(&plugin.current));
    if let Some(canary) = &plugin.canary {
        assert!(has(&canary.version), "{plugin:?}");
        assert_ne!(canary.version, plugin.current, "{plugin:?}");
        assert!((1..=99).contains(&canary.share));
    }
}

#[test]
fn an_upload_becomes_current_and_the_one_before_stays_for_a_roll_back() {
    let mut plugin = plugin("ab");
    assert_eq!(
        (&plugin.current, plugin.previous.as_ref()),
        (&sha('b'), Some(&sha('a')))
    );
    assert_eq!(plugin.roll_back(at(9)), Ok(()));
    assert_eq!(
        (&plugin.current, plugin.previous.as_ref()),
        (&sha('a'), None)
    );
    assert!(matches!(
        plugin.roll_back(at(9)),
        Err(VersionError::NothingBefore(_))
    ));
    assert_eq!(plugin.promote("bbbbbbbb", at(10)), Ok(()));
    assert_eq!(plugin.current, sha('b'));
}

#[test]
fn the_same_bytes_again_change_nothing() {
    let mut plugin = plugin("ab");
    let before = plugin.clone();
    for introduction in [
        Introduction::Current,
        Introduction::Canary(5),
        Introduction::Hold,
    ] {
        assert_eq!(plugin.add(version('a'), introduction, at(50)), Ok(false));
        assert_eq!(plugin, before);
    }
}

#[test]
fn a_refused_share_leaves_the_plugin_as_it_was() {
    let mut plugin = plugin("a");
    let before = plugin.clone();
    for share in [0, 100, 255] {
        let added = plugin.add(version('b'), Introduction::Canary(share), at(5));
        assert_eq!(added, Err(VersionError::Share(share)));
        assert_eq!(plugin, before);
    }
    assert!(matches!(
        plugin.start_rollout("aaaaaaaa", 5, at(5)),
        Err(VersionError::IsCurrent(_))
    ));
}

#[test]
fn a_roll_back_during_a_rollout_ends_the_rollout_and_no_more() {
    let mut plugin = plugin("ab");
    plugin
        .add(version('c'), Introduction::Canary(10), at(5))
        .unwrap();
    assert_eq!(plugin.current, sha('b'));
    plugin.roll_back(at(6)).unwrap();
    assert_eq!((plugin.canary.as_ref(), &plugin.current), (None, &sha('b')));
    assert_eq!(plugin.previous, Some(sha('a')));
}

#[test]
fn only_the_rollout_that_was_judged_is_ended() {
    let mut plugin = plugin("ab");
    plugin.start_rollout("aaaaaaaa", 10, at(5)).unwrap();
    plugin.start_rollout("aaaaaaaa", 20, at(5)).unwrap();
    let started = plugin.canary.as_ref().unwrap().started;
    assert_ne!(started, at(5), "the start identifies a rollout");
    assert!(!plugin.end_rollout(at(5), Tallies::default(), at(7)));
    assert!(plugin.end_rollout(started, Tallies::default(), at(7)));
    assert!(plugin.canary.is_none());
    assert_eq!(plugin.rolled_back.as_ref().unwrap().version, sha('a'));
}

#[test]
fn a_version_that_is_needed_stays_and_says_what_needs_it() {
    let mut plugin = plugin("abc");
    plugin.add(version('d'), Introduction::Hold, at(5)).unwrap();
    plugin
        .add(version('e'), Introduction::Canary(5), at(6))
        .unwrap();
    let pins = [("hook", "ddddddddd")];
    for (digit, why) in [
        ('c', "current"),
        ('b', "rollback"),
        ('e', "rolled out"),
        ('d', "\"hook\""),
    ] {
        let error = plugin
            .remove(&sha(digit), pins, at(7))
            .unwrap_err()
            .to_string();
        assert!(error.contains(why), "{error}");
    }
    assert_eq!(plugin.remove("aaaaaaaa", pins, at(7)), Ok(()));
    assert_eq!(plugin.remove("dddddddd", [], at(7)), Ok(()));
    assert_eq!(plugin.versions.len(), 3);
}

#[test]
fn old_versions_go_but_what_is_needed_and_the_newest_stay() {
    let left = |plugin: &Plugin| -> String {
        let digits = plugin.versions.iter();
        digits.filter_map(|v| v.sha256.chars().next()).collect()
    };
    let mut plugin = plugin("0123456789");
    assert_eq!(
        plugin.add(version('a'), Introduction::Canary(5), at(20)),
        Ok(true)
    );
    assert_eq!(
        plugin.add(version('b'), Introduction::Hold, at(21)),
        Ok(true)
    );
    let pins = [("pins", "22222222"), ("pins others", "ffffffff")];
    let gone = plugin.prune(3, &pins, at(30));
    assert_eq!(
        gone,
        ["0", "1", "3", "4", "5"].map(|digit| digit.repeat(64))
    );
    // pinned; the newest three that nothing needs; before the current one, current, canary
    assert_eq!(left(&plugin), "26789ab");
    assert_sound(&plugin);
    assert_eq!(plugin.updated, at(30));
    assert_eq!(plugin.prune(3, &pins, at(40)), [""; 0], "there is no more");
    assert_eq!(plugin.updated, at(30));
    plugin.prune(0, &[], at(50));
    assert_eq!(left(&plugin), "89a");
    assert_sound(&plugin);
}

#[test]
fn versions_are_named_by_the_beginning_of_their_digest() {
    let mut plugin = plugin("ab");
    let mut twin = version('a');
    twin.sha256.replace_range(20.., &"b".repeat(44));
    plugin.add(twin, Introduction::Hold, at(3)).unwrap();
    assert_eq!(plugin.version("BBBBBBBB").unwrap().sha256, sha('b'));
    assert!(matches!(
        plugin.version("aaaaaaaa"),
        Err(VersionError::Ambiguous { .. })
    ));
    assert_eq!(plugin.version(&"a".repeat(21)).unwrap().sha256, sha('a'));
    assert!(matches!(
        plugin.version("cccccccc"),
        Err(VersionError::Unknown { .. })
    ));
    for wrong in [
        "",
        "bbbbbbb",
        "1.2.0",
        "bbbbbbbg",
        &"b".repeat(65),
        "é12345678",
    ] {
        assert!(
            matches!(plugin.version(wrong), Err(VersionError::NotAVersion(_))),
            "{wrong}"
        );
    }
}

#[test]
fn a_pin_is_heeded_and_a_rollout_takes_its_share_of_the_rest() {
    let mut plugin = plugin("ab");
    plugin.start_rollout("aaaaaaaa", 20, at(5)).unwrap();
    let ids: Vec<DeliveryId> = (0..20_000).map(|n| format!("dlv_{n}").into()).collect();
    let mut canaries = 0;
    for id in &ids {
        let choice = plugin.choose(None, Some(id)).unwrap();
        assert_eq!(
            choice,
            plugin.choose(None, Some(id)).unwrap(),
            "the same each time"
        );
        let (started, arm) = choice.rollout.unwrap();
        assert_eq!(started, at(5));
        match arm {
            Arm::Canary => assert_eq!(choice.sha256, sha('a')),
            Arm::Current => assert_eq!(choice.sha256, sha('b')),
        }
        canaries += usize::from(arm == Arm::Canary);
        let pinned = plugin.choose(Some("bbbbbbbb"), Some(id)).unwrap();
        assert_eq!((pinned.sha256, pinned.rollout), (sha('b').as_str(), None));
    }
    // Five standard deviations around 4000.
    assert!((3717..4283).contains(&canaries), "{canaries}");
    let dry = plugin.choose(None, None).unwrap();
    assert_eq!((dry.sha256, dry.rollout), (sha('b').as_str(), None));
}

proptest! {
    #[test]
    fn whatever_is_done_the_plugin_stays_sound(
        steps in proptest::collection::vec((0_u8..6, 0_u8..6, any::<u8>()), 0..40)
    ) {
        let mut plugin = plugin("0");
        for (n, (step, which, share)) in steps.into_iter().enumerate() {
            let (digit, now) = (char::from(b'0' + which), at(n as i64));
            let before = plugin.clone();
            let named = sha(digit);
            let done = match step {
                0 => plugin.add(version(digit), Introduction::Current, now).map(|_| ()),
                1 => plugin.add(version(digit), Introduction::Canary(share), now).map(|_| ()),
                2 => plugin.add(version(digit), Introduction::Hold, now).map(|_| ()),
                3 => plugin.promote(&named, now),
                4 => plugin.start_rollout(&named, share, now),
                _ => if share < 128 { plugin.roll_back(now) } else { plugin.remove(&named, [], now) },
            };
            if done.is_err() {
                prop_assert_eq!(&plugin, &before, "a refusal changes nothing");
            }
            assert_sound(&plugin);
        }
    }

    #[test]
    fn no_numbers_are_too_odd_to_judge(
        numbers in any::<[u64; 4]>(), share in any::<u8>(),
    ) {
        let [a, b, c, d] = numbers;
        let tallies = Tallies {
            canary: Tally { attempts: a, failures: b },
            current: Tally { attempts: c, failures: d },
        };
        let _ = is_worse(&tallies, share);
    }

    #[test]
    fn who_fails_no_more_often_is_never_worse(
        attempts in 1_u64..100_000, failures in 0_u64..1000, share in 1_u8..100,
    ) {
        let tally = Tally { attempts, failures: failures.min(attempts) };
        let better = Tally { attempts, failures: tally.failures / 2 };
        for canary in [tally, better] {
            let seen = Tallies { canary, current: tally };
            prop_assert!(!is_worse(&seen, share));
        }
    }
}

/// Simulates a rollout and returns the number of deliveries after which it is ended, if it is.
fn rollout(seed: u64, share: u8, rates: (f64, f64), deliveries: u64) -> Option<u64> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut seen = Tallies::default();
    for n in 1..=deliveries {
        let runs_canary = random.random_bool(f64::from(share) / 100.0);
        let (tally, rate) = if runs_canary {
            (&mut seen.canary, rates.0)
        } else {
            (&mut seen.current, rates.1)
        };
        tally.attempts += 1;
        tally.failures += u64::from(random.random_bool(rate));
        if is_worse(&seen, share) {
            return Some(n);
        }
    }
    None
}

#[test]
fn a_version_as_good_as_the_current_one_is_not_ended_by_chance() {
    for share in [1, 5, 20, 50, 90] {
        for rate in [0.0, 0.01, 0.1, 0.5, 0.9] {
            let ended = (0..200)
                .filter(|seed| rollout(*seed, share, (rate, rate), 2000).is_some())
                .count();
            // At most 0.2 are to be expected; three would be a chance of one in a thousand.
            assert!(
                ended < 3,
                "{ended} of 200 at {share} % and a rate of {rate}"
            );
        }
    }
}

#[test]
fn a_version_that_is_clearly_worse_is_ended_soon() {
    for (share, rates, within) in [
        (1, (1.0, 0.0), 2500),
        (5, (1.0, 0.0), 500),
        (50, (1.0, 0.0), 40),
        (95, (1.0, 0.0), 400),
        (20, (0.5, 0.01), 500),
        (20, (0.9, 0.3), 500),
        (10, (0.1, 0.01), 2500),
    ] {
        for seed in 0..50 {
            let ended = rollout(seed, share, rates, within);
            assert!(ended.is_some(), "{share} %, {rates:?}, seed {seed}");
        }
    }
}

#[test]
fn a_difference_that_hardly_matters_ends_nothing_however_sure_it_is() {
    let tally = |failures| Tally {
        attempts: 10_000_000,
        failures,
    };
    let seen = Tallies {
        canary: tally(60_000),
        current: tally(10_000),
    };
    assert!(!is_worse(&seen, 50));
    let seen = Tallies {
        canary: tally(150_000),
        current: tally(10_000),
    };
    assert!(is_worse(&seen, 50));
}
