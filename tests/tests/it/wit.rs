//! The transformer world may grow and never change: `wit/VERSIONING.md`.

use std::{fs, path::Path};

/// The lines that are part of the binary interface: all but documentation.
fn interface(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty() && !line.starts_with("package "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn everything_that_was_released_is_still_there() {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let now = interface(&wit.join("transformer.wit"));
    let mut versions = 0;
    for entry in fs::read_dir(wit.join("released")).unwrap() {
        let released = entry.unwrap().path().join("transformer.wit");
        let mut rest = now.iter();
        for line in interface(&released) {
            assert!(
                rest.any(|l| *l == line),
                "{}: `{line}` is gone or was changed",
                released.display()
            );
        }
        versions += 1;
    }
    assert!(versions > 0);
}
