//! See `hookbox_tests::fuzz::outbound`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    hookbox_tests::fuzz::outbound(input);
});
