//! The fuzz targets, for some seconds: `fuzz/` runs the same functions for as long as one likes.

use std::{collections::BTreeMap, fs, path::Path};

use hookbox_tests::fuzz::{Ended, admission, module, outbound, unescape};
use proptest::{
    prelude::*,
    sample::Index,
    test_runner::{Config, TestRunner},
};

use super::guest::{corpus, echo, puppet};

/// A change to an input.
#[derive(Clone, Debug)]
enum Edit {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Delete(Index, usize),
    /// Some of it once more, in another place.
    Copy(Index, usize, Index),
    /// A word that means something.
    Word(Index, Index),
    /// From here on, what another seed has from there on.
    Splice(Index, Index, Index),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let edit = prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (any::<Index>(), 0..8u8).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        (any::<Index>(), prop::collection::vec(any::<u8>(), 1..9))
            .prop_map(|(at, b)| Edit::Insert(at, b)),
        (any::<Index>(), 1..40usize).prop_map(|(at, count)| Edit::Delete(at, count)),
        (any::<Index>(), 1..60usize, any::<Index>())
            .prop_map(|(from, n, to)| Edit::Copy(from, n, to)),
        (any::<Index>(), any::<Index>()).prop_map(|(at, word)| Edit::Word(at, word)),
        (any::<Index>(), any::<Index>(), any::<Index>())
            .prop_map(|(a, s, b)| Edit::Splice(a, s, b)),
    ];
    prop::collection::vec(edit, 0..6)
}

fn edited(seeds: &[Vec<u8>], words: &[Vec<u8>], seed: &Index, edits: &[Edit]) -> Vec<u8> {
    let mut bytes = seed.get(seeds).clone();
    for edit in edits {
        let at = |index: &Index| index.index(bytes.len() + 1);
        let end = |from: usize, count: usize| (from + count).min(bytes.len());
        match edit {
            Edit::Set(i, byte) => {
                let at = at(i);
                bytes.get_mut(at).into_iter().for_each(|b| *b = *byte);
            }
            Edit::Flip(i, bit) => {
                let at = at(i);
                bytes.get_mut(at).into_iter().for_each(|b| *b ^= 1 << bit);
            }
            Edit::Insert(i, new) => drop(bytes.splice(at(i)..at(i), new.iter().copied())),
            Edit::Delete(i, count) => drop(bytes.drain(at(i)..end(at(i), *count))),
            Edit::Copy(i, count, to) => {
                let copy = bytes[at(i)..end(at(i), *count)].to_vec();
                drop(bytes.splice(at(to)..at(to), copy));
            }
            Edit::Word(i, word) if !words.is_empty() => {
                drop(bytes.splice(at(i)..at(i), word.get(words).iter().copied()));
            }
            Edit::Word(..) => {}
            Edit::Splice(i, other, from) => {
                let other = other.get(seeds);
                let rest = &other[from.index(other.len() + 1)..];
                bytes.truncate(at(i));
                bytes.extend_from_slice(rest);
            }
        }
    }
    bytes
}

/// Feeds so many edited seeds, and says how many ended in which way.
fn feed(
    cases: u32,
    seeds: &[Vec<u8>],
    words: &[Vec<u8>],
    target: fn(&[u8]) -> Ended,
) -> BTreeMap<Ended, u32> {
    let mut ends = BTreeMap::new();
    for seed in seeds {
        *ends.entry(target(seed)).or_default() += 1;
    }
    let counted = std::cell::RefCell::new(&mut ends);
    // what fails belongs into the seeds, not into a file that only this runner reads
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(cases)
    };
    TestRunner::new(config)
        .run(&(any::<Index>(), edits()), |(seed, edits)| {
            let ended = target(&edited(seeds, words, &seed, &edits));
            *counted.borrow_mut().entry(ended).or_default() += 1;
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    ends
}

fn folder(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz")
        .join(name)
}

#[test]
fn whatever_is_uploaded_is_refused_in_words_or_runs_within_its_limits() {
    let mut seeds: Vec<_> = corpus().into_iter().map(|guest| guest.wasm).collect();
    seeds.retain(|wasm| wasm.len() < 8 << 10);
    seeds.extend([echo(), puppet()]);
    let ends = feed(3000, &seeds, &[], admission);
    println!("{ends:?}");
    for end in [Ended::Refused, Ended::Failed, Ended::Passed] {
        assert!(ends.get(&end).copied() > Some(100), "{ends:?}");
    }
}

#[test]
fn whatever_a_guest_returns_is_refused_in_words_or_sent_as_clean_http_without_showing_a_secret() {
    let mut seeds: Vec<_> = fs::read_dir(folder("seeds/outbound"))
        .expect("the seeds")
        .map(|entry| fs::read(entry.expect("an entry").path()).expect("readable"))
        .collect();
    seeds.sort();
    let words = fs::read_to_string(folder("outbound.dict")).expect("the dictionary");
    let words: Vec<_> = words
        .lines()
        .filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'))
        .map(|word| unescape(word.as_bytes()))
        .collect();
    assert!(seeds.len() > 5 && words.len() > 20);
    let ends = feed(20_000, &seeds, &words, outbound);
    println!("{ends:?}");
    for end in [Ended::Refused, Ended::Failed, Ended::Passed] {
        assert!(ends.get(&end).copied() > Some(1000), "{ends:?}");
    }
}

#[test]
fn modules_that_run_before_a_guest_are_bounded_and_do_the_same_each_time() {
    for text in [
        "(module)",
        "(module (memory 10) (func (loop $forever (br $forever))) (start 0))",
        "(module (func unreachable) (start 0))",
        "(module (memory 1) (data (i32.const 65535) \"ab\"))",
        "(module (memory 1) (func (loop (drop (memory.grow (i32.const 1))) (br 0))) (start 0))",
        "(module (table 100 funcref) (func (call_indirect (i32.const 7))) (start 0))",
    ] {
        let wasm = wat::parse_str(text).expect("a module");
        assert_eq!(module(&wasm), Ended::Passed, "{text}");
    }
    let needs_more = wat::parse_str("(module (import \"a\" \"b\" (func)))").expect("a module");
    assert_eq!(module(&needs_more), Ended::Failed);
}
