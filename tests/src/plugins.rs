//! Plugins as their authors make them: projects of `hookbox plugin new`, built by the real toolchains of their
//! languages, which come from npm and PyPI.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::process::{hookbox, program, stderr, stdout};

/// What plugins are written in, beside Rust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// By npm.
    JavaScript,
    /// By npm.
    TypeScript,
    /// By pip.
    Python,
}

impl Language {
    /// As `--lang` has it.
    const fn name(self) -> &'static str {
        match self {
            Self::JavaScript => "js",
            Self::TypeScript => "ts",
            Self::Python => "python",
        }
    }

    /// The file that says what is to be fetched.
    const fn manifest(self) -> &'static str {
        match self {
            Self::JavaScript | Self::TypeScript => "package.json",
            Self::Python => "pyproject.toml",
        }
    }
}

/// What was fetched or built: no part of what `plugin new` makes.
const KEPT: [&str; 4] = ["node_modules", "package-lock.json", ".hookbox", "dist"];

/// A project. No other test, in whatever process, has one of the same toolchain meanwhile.
#[derive(Debug)]
pub struct Project {
    folder: PathBuf,
    _lock: File,
}

impl Project {
    /// The project `my-plugin` as `plugin new` makes it now.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new(language: Language) -> Self {
        let fresh = tempfile::tempdir_in(place()).expect("a folder");
        let made = hookbox()
            .args(["plugin", "new", "my-plugin", "--lang", language.name()])
            .current_dir(fresh.path())
            .output()
            .expect("it starts");
        succeeded("plugin new", &made);
        Self::of(language, &fresh.path().join("my-plugin"))
    }

    /// A copy of the project in a folder, with what it shares with its neighbours. What npm and pip fetched for its language stays there from one run of
    /// the tests to the next (in the target folder), as long as the projects ask for the same.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn of(language: Language, source: &Path) -> Self {
        let lock = place().join(language.name()).with_extension("lock");
        let lock = File::create(lock).expect("a lock");
        lock.lock().expect("locked");

        let folder = place().join(language.name()).join("my-plugin");
        let manifest = language.manifest();
        let last = names(&folder).iter().any(|name| name == manifest);
        if last && wants(&folder.join(manifest)) != wants(&source.join(manifest)) {
            fs::remove_dir_all(&folder).expect("removed");
        }
        for name in names(&folder) {
            let path = folder.join(&name);
            if KEPT.contains(&name.as_str()) {
                continue;
            } else if path.is_dir() {
                fs::remove_dir_all(path).expect("removed");
            } else {
                fs::remove_file(path).expect("removed");
            }
        }
        copy(source, &folder);
        copy(
            &source.with_file_name("common"),
            &folder.with_file_name("common"),
        );
        Self {
            folder,
            _lock: lock,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Replaces a file.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.join(name), text).expect("written");
    }

    /// Runs a program in it, which must succeed; what it prints.
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn run(&self, command: &mut Command) -> String {
        let output = command
            .current_dir(&self.folder)
            .output()
            .expect("it starts");
        succeeded(&format!("{command:?}"), &output);
        format!("{}{}", stdout(&output), stderr(&output))
    }

    /// Builds it with `hookbox plugin build`; the component.
    ///
    /// # Panics
    /// If that fails.
    #[must_use]
    pub fn build(&self) -> PathBuf {
        let component = self.folder.join("dist/my-plugin.wasm");
        let _ = fs::remove_file(&component);
        let built = self.run(hookbox().args(["plugin", "build"]));
        assert!(built.contains("dist/my-plugin.wasm"), "{built}");
        component
    }
}

/// The component that comes of a new project in this language: a Slack message, which takes the setting `channel`
/// and may name the secret `token`. Built once, and again when the project or the program has changed.
///
/// # Panics
/// If it cannot be built.
#[must_use]
pub fn component(language: Language) -> PathBuf {
    let project = Project::new(language);
    let kept = project.folder.with_file_name("component.wasm");
    let built = |file: &Path| fs::metadata(file).and_then(|file| file.modified()).ok();
    if built(&kept) < built(&program()) {
        fs::copy(project.build(), &kept).expect("copied");
    }
    kept
}

fn succeeded(what: &str, output: &Output) {
    assert!(
        output.status.success(),
        "{what}: {}\n{}{}",
        output.status,
        stdout(output),
        stderr(output)
    );
}

/// Where the projects are.
fn place() -> PathBuf {
    let place = program().with_file_name("plugin-projects");
    fs::create_dir_all(&place).expect("a folder");
    place
}

/// What a manifest asks for: all but the project's name.
fn wants(manifest: &Path) -> Vec<String> {
    let text = fs::read_to_string(manifest).expect("a manifest");
    let is_name = |line: &&str| {
        !line
            .trim_start()
            .trim_start_matches('"')
            .starts_with("name")
    };
    text.lines().filter(is_name).map(str::to_owned).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for name in names(from) {
        let (from, to) = (from.join(&name), to.join(&name));
        if KEPT.contains(&name.as_str()) {
            continue;
        } else if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(from, to).expect("copied");
        }
    }
}

/// What is in a folder, if there is one.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries
        .map(|entry| entry.expect("an entry").file_name())
        .filter_map(|name| name.into_string().ok())
        .collect()
}
