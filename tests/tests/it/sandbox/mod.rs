//! The sandbox against guests that mean harm. `guests/` is the corpus: one file for each thing a guest
//! can try, with what it must come to in its first line.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, which may stop as tests do"
)]

mod cache;
mod compile;
mod guest;
mod hostile;
mod isolation;
mod jinja;
mod limits;
