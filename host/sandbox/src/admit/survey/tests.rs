//! Tests of the survey.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::{JINJA, config::tests::Config};

fn limits() -> PluginConfig {
    Config::defaults().plugins
}

#[test]
fn the_built_in_transformer_is_counted_right() {
    let found = survey(JINJA, &limits()).expect("accepted");
    assert_eq!(found.figure(Measure::Bytes), JINJA.len() as u64);
    assert_eq!(found.figure(Measure::Memories), 1);
    assert_eq!(found.figure(Measure::ComponentDepth), 0, "it nests none");
    assert!(found.figure(Measure::Functions) > 1000);
    assert!(
        found
            .imports
            .contains(&"hookbox:transformer/host@1.0.0".to_owned())
    );
    assert!(found.exports.contains(&"transform".to_owned()));
    let largest = found.largest_function.expect("functions");
    assert_eq!(largest.bytes, found.figure(Measure::FunctionBytes));
}

#[test]
fn each_limit_is_met_exactly_and_not_passed() {
    let found = survey(JINJA, &limits()).expect("accepted");
    let exact = |change: u64| {
        let mut config = serde_json::to_value(limits()).expect("JSON");
        for (measure, figure) in &found.figures {
            if let Some(key) = measure.key().and_then(|key| key.strip_prefix("plugins.")) {
                config[key] = (figure - change).into();
            }
        }
        serde_json::from_value::<PluginConfig>(config).expect("a configuration")
    };
    assert_eq!(survey(JINJA, &exact(0)), Ok(found.clone()));
    for measure in found.figures.keys() {
        let Some(key) = measure.key().and_then(|key| key.strip_prefix("plugins.")) else {
            continue;
        };
        let mut config = serde_json::to_value(exact(0)).expect("JSON");
        config[key] = (found.figure(*measure) - 1).into();
        let config = serde_json::from_value(config).expect("a configuration");
        match survey(JINJA, &config) {
            Err(Refusal::TooMuch {
                measure: m, limit, ..
            }) => {
                assert_eq!((m, limit), (*measure, found.figure(*measure) - 1));
            }
            other => panic!("{measure:?}: {other:?}"),
        }
    }
}

/// Types that nest for a megabyte would overflow the stack of whoever reads them level by level.
#[test]
fn half_a_million_levels_of_types_are_refused_on_a_small_stack() {
    let levels: usize = 300_000;
    let mut types = vec![0x01];
    for _ in 0..levels {
        types.extend([0x42, 0x01, 0x01]);
    }
    let mut wasm = b"\0asm\x0d\0\x01\0\x07".to_vec();
    let mut length = types.len();
    while length >= 0x80 {
        wasm.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    wasm.push(length as u8);
    wasm.extend(types);
    let refusal = std::thread::Builder::new()
        .stack_size(128 << 10)
        .spawn(move || survey(&wasm, &limits()))
        .expect("a thread")
        .join()
        .expect("no panic")
        .expect_err("refused");
    assert!(
        matches!(
            refusal,
            Refusal::TooMuch {
                measure: Measure::TypeDepth,
                ..
            }
        ),
        "{refusal}"
    );
}

/// The format's smallest parts, as many as fit: what costs most for each byte.
#[test]
fn a_file_full_of_the_smallest_parts_is_refused_at_once() {
    let full = |header: &[u8], part: &[u8]| {
        let mut wasm = header.to_vec();
        wasm.extend(part.repeat(((32 << 20) - header.len()) / part.len()));
        let started = Instant::now();
        let result = survey(&wasm, &limits());
        assert!(started.elapsed() < Duration::from_secs(5), "{part:?}");
        result.expect_err("refused")
    };
    let too_much = |refusal| match refusal {
        Refusal::TooMuch { measure, .. } => measure,
        other => panic!("{other}"),
    };
    let component = b"\0asm\x0d\0\x01\0";
    for section in [b"\x07\x01\x00", b"\x00\x01\x00"] {
        assert_eq!(too_much(full(component, section)), Measure::Sections);
    }
    let module = b"\x01\x08\0asm\x01\0\0\0";
    assert_eq!(too_much(full(component, module)), Measure::Modules);
    // ten million empty bodies: functions are counted where they are declared, and the parser holds
    // the code section to that
    let code = b"\0asm\x01\0\0\0\x0a\xf0\xff\xff\x0f\x80\xad\xe2\x04";
    let refusal = full(code, b"\x02\x00\x0b");
    assert!(matches!(refusal, Refusal::Damaged { .. }), "{refusal}");
}

/// A change to a good file: where, and to what.
fn damage() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), component: bool) {
        let header: &[u8] = if component { b"\0asm\x0d\0\x01\0" } else { b"\0asm\x01\0\0\0" };
        let _ = survey(&[header, &bytes].concat(), &limits());
        let _ = survey(&bytes, &limits());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_damaged_transformer_is_surveyed_or_refused_in_bounded_time(
        changes in damage(), cut in prop::option::of(any::<prop::sample::Index>()), early: bool,
    ) {
        let mut wasm = JINJA.to_vec();
        for (at, byte) in changes {
            // most of what steers the parser is within the first kilobytes
            let most = if early { 8192 } else { wasm.len() };
            wasm[at.index(most)] = byte;
        }
        if let Some(cut) = cut {
            wasm.truncate(cut.index(wasm.len()));
        }
        let started = Instant::now();
        let result = survey(&wasm, &limits());
        prop_assert!(started.elapsed() < Duration::from_secs(10));
        if let Err(refusal) = result {
            let text = refusal.to_string();
            prop_assert!(text.len() < 600 && !text.chars().any(char::is_control), "{}", text);
        }
    }
}
