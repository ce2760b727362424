//! The Redis backend: registry and queue in one Redis that many processes share.

pub mod address;
