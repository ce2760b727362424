//! The least program that can be a compiler process: the sandbox's tests start it.

use std::process::ExitCode;

fn main() -> ExitCode {
    hookbox::sandbox::serve_as_compiler().unwrap_or(ExitCode::FAILURE)
}
