//! Write a hookbox transformer in Rust.
