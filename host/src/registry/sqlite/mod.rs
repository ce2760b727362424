//! The registry in SQLite.
