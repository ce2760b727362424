//! CPython with the libraries that NetBox uses: what is compared with NetBox is compared with these.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::process::program;

/// The interpreter; `tests/python` installs it under the target folder at the first call.
///
/// # Panics
/// If it cannot be had: a comparison that was not made must not pass.
#[must_use]
pub fn interpreter() -> PathBuf {
    // target/debug/hookbox: beside it for all profiles
    let target = program()
        .ancestors()
        .nth(2)
        .expect("a target folder")
        .to_owned();
    let made = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("python"))
        .arg(target.join("python"))
        .output()
        .expect("tests/python runs");
    assert!(
        made.status.success(),
        "the libraries could not be installed: {}",
        String::from_utf8_lossy(&made.stderr)
    );
    String::from_utf8(made.stdout)
        .expect("a path")
        .trim()
        .into()
}
