//! Cached, compiled snapshots of what tenants configured.

/// Snapshots by tenant.
#[derive(Debug)]
pub struct Directory;

/// All of one tenant, compiled.
#[derive(Debug)]
pub struct Snapshot;
