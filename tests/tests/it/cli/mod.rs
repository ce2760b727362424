//! The command line, as the real program: output, exit codes, errors.

mod receiver;
mod usage;
