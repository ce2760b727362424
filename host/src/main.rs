//! The `hookbox` program.
fn main() {}
