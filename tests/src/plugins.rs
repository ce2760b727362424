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

/// A project of the name `my-plugin`. No other test, in whatever process, has it meanwhile.
#[derive(Debug)]
pub struct Project {
    folder: PathBuf,
    _lock: File,
}

impl Project {
    /// The project as `plugin new` makes it now. What npm and pip fetched for it stays there from one run of
    /// the tests to the next (in the target folder), as long as it asks for the same.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new(language: Language) -> Self {
        let own = program().with_file_name("plugin-projects");
        fs::create_dir_all(&own).expect("a folder");
        let lock = File::create(own.join(format!("{}.lock", language.name()))).expect("a lock");
        lock.lock().expect("locked");

        let fresh = tempfile::tempdir_in(&own).expect("a folder");
        let made = hookbox()
            .args(["plugin", "new", "my-plugin", "--lang", language.name()])
            .current_dir(fresh.path())
            .output()
            .expect("it starts");
        succeeded("plugin new", &made);
        let fresh = fresh.path().join("my-plugin");

        let folder = own.join(language.name()).join("my-plugin");
        let manifest = language.manifest();
        if read(&folder.join(manifest)) != read(&fresh.join(manifest)) {
            let _ = fs::remove_dir_all(&folder);
        }
        fs::create_dir_all(&folder).expect("a folder");
        for name in names(&folder) {
            let path = folder.join(&name);
            if path.is_dir() && !KEPT.contains(&name.as_str()) {
                fs::remove_dir_all(path).expect("removed");
            } else if path.is_file() && !KEPT.contains(&name.as_str()) {
                fs::remove_file(path).expect("removed");
            }
        }
        for name in names(&fresh) {
            fs::rename(fresh.join(&name), folder.join(&name)).expect("moved");
        }
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

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    entries
        .map(|entry| entry.expect("an entry").file_name())
        .filter_map(|name| name.into_string().ok())
        .collect()
}
