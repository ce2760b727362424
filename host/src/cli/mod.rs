//! The command line.

pub mod plugin_build;
