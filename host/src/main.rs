//! The `hookbox` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    hookbox::cli::main()
}
