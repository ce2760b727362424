//! hookbox tested from outside. One binary; each module says what belongs in it.

#[cfg(test)]
mod contract;
mod e2e;
mod rules;
mod sandbox;
#[cfg(test)]
mod sqlite;
