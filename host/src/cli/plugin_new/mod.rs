//! `hookbox plugin new`: a project that builds, tests and renders at once.
//!
//! A project brings along the parts of hookbox that it uses, as they are in this version: a project can be made and
//! built without asking anybody which version fits.

mod files;

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
#[command(after_help = "Examples:
  hookbox plugin new my-plugin && cd my-plugin && hookbox plugin build
  hookbox plugin new my-plugin --lang python")]
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
    /// JavaScript; needs Node.js 20 or later, and npm
    #[value(alias = "javascript")]
    Js,
    /// TypeScript; needs Node.js 20 or later, and npm
    #[value(alias = "typescript")]
    Ts,
    /// Needs Python 3.10 or later, with venv
    Python,
}

impl Language {
    /// The commands that come next.
    const fn next(self) -> &'static str {
        match self {
            Self::Rust => "cargo test, hookbox plugin build",
            Self::Js | Self::Ts => "npm install, npm test, hookbox plugin build",
            Self::Python => "python3 -m unittest, hookbox plugin build",
        }
    }

    /// The values of words in braces, beside the name.
    const fn words(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Rust => &files::RUST_VERSIONS,
            Self::Js => &[
                ("language", "JavaScript"),
                ("plugin", "plugin.js"),
                ("test", "plugin.test.js"),
            ],
            Self::Ts => &[
                ("language", "TypeScript"),
                ("plugin", "plugin.ts"),
                ("test", "plugin.test.ts"),
            ],
            Self::Python => &[],
        }
    }

    /// Files as they are.
    fn files(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let parts: &[&[files::File]] = match self {
            Self::Rust => &[&files::SAMPLES, &files::RUST_LIBRARY, &files::RUST],
            Self::Js => &[&files::SAMPLES, &[files::WORLD], &files::NODE, &files::JS],
            Self::Ts => &[&files::SAMPLES, &[files::WORLD], &files::NODE, &files::TS],
            Self::Python => &[&files::SAMPLES, &[files::WORLD], &files::PYTHON],
        };
        parts.iter().copied().flatten().copied()
    }

    /// Files in which words in braces stand for what differs.
    const fn templates(self) -> &'static [files::File] {
        match self {
            Self::Rust => &files::RUST_TEMPLATES,
            Self::Js => &files::JS_TEMPLATES,
            Self::Ts => &files::TS_TEMPLATES,
            Self::Python => &files::PYTHON_TEMPLATES,
        }
    }
}

pub(super) fn run(args: &NewArgs) -> CliResult {
    let name = args.dir.file_name().and_then(|name| name.to_str());
    let name = name.filter(|name| is_name(name)).ok_or_else(|| {
        CliError::usage(format!(
            "{} cannot be a transformer's name: use lower-case letters, digits and -, a letter first, at most {MAX_NAME}",
            args.dir.display()
        ))
    })?;
    if args.dir.exists() {
        return Err(CliError::failed(format!(
            "{} exists; choose another name or remove it",
            args.dir.display()
        )));
    }
    for (file, text) in args.lang.files() {
        write(&args.dir.join(file), text)?;
    }
    for (file, text) in args.lang.templates() {
        write(&args.dir.join(file), &filled(text, name, args.lang.words()))?;
    }
    writeln!(
        io::stdout(),
        "made {0}\nnext: cd {0}, {1}; README.md says more",
        args.dir.display(),
        args.lang.next()
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

fn filled(text: &str, name: &str, words: &[(&str, &str)]) -> String {
    let text = text
        .replace("{name}", name)
        .replace("{version}", env!("CARGO_PKG_VERSION"));
    words.iter().fold(text, |text, (word, value)| {
        text.replace(&format!("{{{}}}", word.replace('-', "_")), value)
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
    fn a_name_is_one_that_packages_and_plugins_may_have() {
        for name in ["a", "my-plugin", "x2"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "2x", "-x", "My", "a_b", "a b", "ä", &"a".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn nothing_is_left_to_fill_in() {
        for lang in Language::value_variants() {
            for (file, text) in lang.templates() {
                let text = filled(text, "my-plugin", lang.words());
                for word in ["name", "version", "language", "plugin", "test", "serde"] {
                    assert!(
                        !text.contains(&format!("{{{word}}}")),
                        "{lang:?} {file}: {word}"
                    );
                }
            }
        }
    }
}
