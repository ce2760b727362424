//! `hookbox plugin new`: a project that builds, tests and renders at once.
//!
//! The library that a Rust transformer uses comes with it, as it is in this hookbox: a project can be made and
//! built without asking anybody which version fits.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};

use super::error::{CliError, CliResult};

/// Longest name of a project.
const MAX_NAME: usize = 64;

/// Make a project for a new transformer
#[derive(Debug, Args)]
#[command(after_help = "Example:
  hookbox plugin new my-plugin && cd my-plugin && hookbox plugin build")]
pub(super) struct NewArgs {
    /// The project's folder, which must not exist; its last part is the transformer's name
    dir: PathBuf,
    /// What it is written in
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    lang: Language,
}

/// What a transformer is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Language {
    /// Needs cargo, and a compiler for WebAssembly
    Rust,
}

/// Versions that the made project asks for: those of this workspace, as a test makes sure.
const VERSIONS: [(&str, &str); 4] = [
    ("serde", "1"),
    ("serde_json", "1"),
    ("serde_path_to_error", "0.1"),
    ("wit-bindgen", "0.61"),
];

macro_rules! guest {
    ($($file:literal),+ $(,)?) => {
        [$((concat!("hookbox-guest/", $file), include_str!(concat!("../../../../guest-sdk/", $file)))),+]
    };
}

/// The library's source.
const GUEST: [(&str, &str); 13] = guest![
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

/// The project's own files; in the first three, words in braces stand for what differs.
const PROJECT: [(&str, &str); 7] = [
    ("Cargo.toml", include_str!("rust/Cargo.toml.in")),
    (
        "hookbox-guest/Cargo.toml",
        include_str!("rust/guest.toml.in"),
    ),
    ("README.md", include_str!("rust/README.md")),
    ("src/lib.rs", include_str!("rust/lib.rs")),
    ("event.json", include_str!("rust/event.json")),
    ("webhook.json", include_str!("rust/webhook.json")),
    (".gitignore", "/target\n/dist\n"),
];

pub(super) fn run(args: &NewArgs) -> CliResult {
    let name = args.dir.file_name().and_then(|name| name.to_str());
    let name = name.filter(|name| is_name(name)).ok_or_else(|| {
        CliError::usage(format!(
            "{} cannot be a transformer's name: use lower-case letters, digits and -, a letter first, at most {MAX_NAME}",
            args.dir.display()
        ))
    })?;
    let Language::Rust = args.lang;
    if args.dir.exists() {
        return Err(CliError::failed(format!(
            "{} exists; choose another name or remove it",
            args.dir.display()
        )));
    }
    for (file, text) in GUEST {
        write(&args.dir.join(file), text)?;
    }
    for (n, (file, text)) in PROJECT.into_iter().enumerate() {
        let text = if n < 3 {
            filled(text, name)
        } else {
            text.to_owned()
        };
        write(&args.dir.join(file), &text)?;
    }
    writeln!(
        io::stdout(),
        "made {0}\nnext: cd {0}, cargo test, hookbox plugin build; README.md says more",
        args.dir.display()
    )?;
    Ok(())
}

/// A name that is both a package's and a plugin's.
fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn filled(text: &str, name: &str) -> String {
    let text = text
        .replace("{name}", name)
        .replace("{version}", env!("CARGO_PKG_VERSION"));
    VERSIONS.into_iter().fold(text, |text, (of, version)| {
        text.replace(&format!("{{{}}}", of.replace('-', "_")), version)
    })
}

fn write(path: &Path, text: &str) -> CliResult {
    let written = match path.parent() {
        Some(folder) => fs::create_dir_all(folder).and_then(|()| fs::write(path, text)),
        None => fs::write(path, text),
    };
    written.map_err(|e| CliError::failed(format!("cannot write {}: {e}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_are_those_of_the_workspace() {
        let workspace = include_str!("../../../../Cargo.toml");
        for (name, version) in VERSIONS {
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
                assert!(GUEST.iter().any(|(known, _)| *known == file), "{file}");
            }
        }
    }

    #[test]
    fn a_name_is_one_that_packages_and_plugins_may_have() {
        for name in ["a", "my-plugin", "x2"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "2x", "-x", "My", "a_b", "a b", "ä", &"a".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
