//! hookbox tested from outside. One binary; each module says what belongs in it.

mod cli;
mod e2e;
mod rules;
mod sandbox;
