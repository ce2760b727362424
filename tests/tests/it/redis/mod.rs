//! The Redis backend on real servers that the tests start: the contract, and what is its own.

mod harness;
