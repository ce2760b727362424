//! The `hookbox` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    hookbox::sandbox::serve_as_compiler().unwrap_or_else(hookbox::cli::main)
}
