//! The command line, as the real program: output, exit codes, errors.

mod demo;
mod plugin_check;
mod plugin_lang;
mod plugin_new;
mod receiver;
mod redis;
mod render;
mod session;
mod usage;
