//! hookbox tested from outside. One binary; each module says what belongs in it.

mod api;
mod e2e;
mod rules;
mod sandbox;
