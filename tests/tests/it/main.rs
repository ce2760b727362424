//!

mod api;
mod cli;
mod contract;
mod e2e;
mod rules;
mod sandbox;
mod sqlite;
