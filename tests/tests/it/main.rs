//! hookbox tested from outside. One binary; each module says what belongs in it.

mod cli;
mod e2e;
// `cfg(test)` tells clippy that helpers here are test code too.
#[cfg(test)]
mod rules;
mod sandbox;
