//! The command line, as the real program: output, exit codes, errors.

mod demo;
mod plugin;
mod receiver;
mod redis;
mod render;
mod session;
mod usage;
