//! The files of new projects: the files beside this one, and the library and the world of this hookbox.

/// A file's place in the project, and its text.
pub(super) type File = (&'static str, &'static str);

/// Versions that a Rust project asks for: those of this workspace, as a test makes sure.
pub(super) const RUST_VERSIONS: [(&str, &str); 4] = [
    ("serde", "1"),
    ("serde_json", "1"),
    ("serde_path_to_error", "0.1"),
    ("wit-bindgen", "0.61"),
];

macro_rules! library {
    ($($file:literal),+ $(,)?) => {
        [$((concat!("hookbox-guest/", $file), include_str!(concat!("../../../../guest-sdk/", $file)))),+]
    };
}

/// The Rust library's source.
pub(super) const RUST_LIBRARY: [File; 13] = library![
    "src/bindings.rs",
    "src/decision.rs",
    "src/event.rs",
    "src/host.rs",
    "src/lib.rs",
    "src/path.rs",
    "src/request.rs",
    "src/samples.rs",
    "src/testing.rs",
    "src/text.rs",
    "src/time.rs",
    "src/webhook.rs",
    "wit/transformer.wit",
];

/// The event that every project is tried with.
pub(super) const SAMPLES: [File; 2] = [
    ("event.json", include_str!("samples/event.json")),
    ("webhook.json", include_str!("samples/webhook.json")),
];

pub(super) const RUST: [File; 2] = [
    ("src/lib.rs", include_str!("rust/lib.rs")),
    (".gitignore", "/target\n/dist\n"),
];

pub(super) const RUST_TEMPLATES: [File; 3] = [
    ("Cargo.toml", include_str!("rust/Cargo.toml.in")),
    (
        "hookbox-guest/Cargo.toml",
        include_str!("rust/guest.toml.in"),
    ),
    ("README.md", include_str!("rust/README.md")),
];

/// The world, for projects that are not in Rust: that one's library has it.
pub(super) const WORLD: File = (
    "wit/transformer.wit",
    include_str!("../../../../wit/transformer.wit"),
);

/// The files that JavaScript and TypeScript share.
pub(super) const NODE: [File; 4] = [
    ("hookbox.js", include_str!("javascript/hookbox.js")),
    ("hookbox.d.ts", include_str!("javascript/hookbox.d.ts")),
    ("component.js", include_str!("javascript/component.js")),
    (".gitignore", "/node_modules\n/.hookbox\n/dist\n"),
];

pub(super) const JS: [File; 2] = [
    ("plugin.js", include_str!("javascript/plugin.js")),
    ("plugin.test.js", include_str!("javascript/plugin.test.js")),
];

pub(super) const JS_TEMPLATES: [File; 2] = [
    ("package.json", include_str!("javascript/package.json.in")),
    ("README.md", include_str!("javascript/README.md")),
];

pub(super) const TS: [File; 3] = [
    ("plugin.ts", include_str!("typescript/plugin.ts")),
    ("plugin.test.ts", include_str!("typescript/plugin.test.ts")),
    ("tsconfig.json", include_str!("typescript/tsconfig.json")),
];

pub(super) const TS_TEMPLATES: [File; 2] = [
    ("package.json", include_str!("typescript/package.json.in")),
    ("README.md", include_str!("javascript/README.md")),
];

pub(super) const PYTHON: [File; 5] = [
    ("plugin.py", include_str!("python/plugin.py")),
    ("test_plugin.py", include_str!("python/test_plugin.py")),
    ("hookbox.py", include_str!("python/hookbox.py")),
    ("component.py", include_str!("python/component.py")),
    (".gitignore", "/.hookbox\n/dist\n__pycache__/\n"),
];

pub(super) const PYTHON_TEMPLATES: [File; 2] = [
    ("pyproject.toml", include_str!("python/pyproject.toml.in")),
    ("README.md", include_str!("python/README.md")),
];

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_versions_are_those_of_the_workspace() {
        let workspace = include_str!("../../../../Cargo.toml");
        for (name, version) in RUST_VERSIONS {
            let lines = [
                format!("\n{name} = {{ version = \"{version}\""),
                format!("\n{name} = \"{version}\""),
            ];
            assert!(lines.iter().any(|line| workspace.contains(line)), "{name}");
        }
        assert!(workspace.contains(r#"wit-bindgen = { version = "0.61", default-features = false, features = ["macros", "realloc"] }"#));
    }

    #[test]
    fn all_of_the_librarys_source_is_there() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../guest-sdk");
        for part in ["src", "wit"] {
            for entry in fs::read_dir(format!("{folder}/{part}")).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                let file = format!("hookbox-guest/{part}/{name}");
                assert!(
                    RUST_LIBRARY.iter().any(|(known, _)| *known == file),
                    "{file}"
                );
            }
        }
    }
}
