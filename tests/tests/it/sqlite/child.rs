//! Tests that need a process of their own run this binary again, with one ignored test chosen.

use std::process::Command;

/// Runs the ignored test `name` in this folder. `limits` is shell code that runs before.
pub(super) fn command(name: &str, dir: &std::path::Path, limits: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("{limits} exec \"$0\" \"$@\""))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"])
        .env("HOOKBOX_TEST_DIR", dir);
    command
}

/// The folder, in the child.
pub(super) fn dir() -> std::path::PathBuf {
    std::env::var_os("HOOKBOX_TEST_DIR").unwrap().into()
}
