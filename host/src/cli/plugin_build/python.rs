//! Python: componentize-py, in an environment of the project's own, by pip.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use figment::{
    Figment,
    providers::{Format, Toml},
};
use serde::Deserialize;

use super::{
    BuildError, Compiled, check_transformer, make_folder, output, read, say, version, write,
};

/// The environment and what is made in it; nobody else's, so that it can be made anew at any time.
const FOLDER: &str = ".hookbox";
/// The module that has the class `WitWorld`, and comes before the project's own.
const ENTRY: (&str, &str) = ("hookbox_entry", include_str!("python/entry.py"));
/// The script that lists the modules that the entry imports, and the module that it writes.
const MODULES: (&str, &str) = ("hookbox_modules", include_str!("python/modules.py"));

const HOW: &str =
    "get it from https://www.python.org, or on Debian with `apt install python3-venv`";

/// A pyproject.toml, as far as it matters here (packaging.python.org: project metadata; dependency groups).
#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    project: Project,
    #[serde(default, rename = "dependency-groups")]
    groups: Groups,
}

#[derive(Default, Deserialize)]
struct Project {
    #[serde(default)]
    dependencies: Vec<String>,
}

#[derive(Default, Deserialize)]
struct Groups {
    /// The program that builds it: componentize-py.
    #[serde(default)]
    build: Vec<String>,
}

/// The Python that a project runs with natively: of its own environment if it has packages, which are put there.
pub(in crate::cli) fn interpreter(dir: &Path) -> Result<PathBuf, BuildError> {
    let _version = version("python3", (3, 10), "Python 3.10 or later", HOW)?;
    let manifest = manifest(&dir.join("pyproject.toml"))?;
    if manifest.project.dependencies.is_empty() {
        return Ok("python3".into());
    }
    let venv = dir.join(FOLDER).join("venv");
    prepare(&venv, &requirements(&dir.join("pyproject.toml"))?)?;
    Ok(venv.join("bin/python"))
}

/// Builds the project of this folder.
pub(super) fn build(dir: &Path) -> Result<Compiled, BuildError> {
    let python = version("python3", (3, 10), "Python 3.10 or later", HOW)?;
    let requirements = requirements(&dir.join("pyproject.toml"))?;
    let folder = dir.join(FOLDER);
    let venv = folder.join("venv");
    prepare(&venv, &requirements)?;

    let entry = folder.join("entry");
    write_entry(dir, &venv, &entry)?;
    let tool = venv.join("bin/componentize-py");
    let component = folder.join("plugin.wasm");
    // its modules are found by the environment's variable
    say(Command::new(&tool)
        .args(["-d", "wit", "-w", "checking-transformer", "componentize"])
        .args([ENTRY.0, "-p", ".", "-p"])
        .arg(&entry)
        .arg("-o")
        .arg(&component)
        .env("VIRTUAL_ENV", &venv)
        .env_remove("PYTHONPATH")
        // Of an error in the project's code, Python's own account is enough.
        .env_remove("RUST_BACKTRACE")
        .current_dir(dir))?;
    let component = read(&component)?;
    check_transformer(&component)?;
    let tool = output(Command::new(&tool).arg("--version"))?;
    let tool = String::from_utf8_lossy(&tool);
    Ok(Compiled {
        component,
        compiler: format!("{}, {python}", tool.trim()),
    })
}

/// Writes the folder of what comes before the project's own modules, which knows what these import.
fn write_entry(dir: &Path, venv: &Path, entry: &Path) -> Result<(), BuildError> {
    make_folder(entry)?;
    write(
        &entry.join(ENTRY.0).with_extension("py"),
        ENTRY.1.as_bytes(),
    )?;
    // Run from its text: whatever lies beside a script is found before the standard library.
    let modules = output(
        Command::new(venv.join("bin/python"))
            .args(["-I", "-c", MODULES.1])
            .arg(dir),
    )?;
    write(&entry.join(MODULES.0).with_extension("py"), &modules)
}

/// The packages to be installed, one to a line.
fn requirements(file: &Path) -> Result<String, BuildError> {
    let Manifest { project, groups } = manifest(file)?;
    let all: Vec<String> = [groups.build, project.dependencies].concat();
    if !all.iter().any(|one| one.starts_with("componentize-py")) {
        return Err(BuildError::Manifest {
            file: file.to_owned(),
            why: "it names no componentize-py to build with; add, under [dependency-groups], \
                  build = [\"componentize-py==0.25.1\"]"
                .to_owned(),
        });
    }
    Ok(all.join("\n"))
}

fn manifest(file: &Path) -> Result<Manifest, BuildError> {
    let fault = |why: String| BuildError::Manifest {
        file: file.to_owned(),
        why,
    };
    let text = read(file)?;
    let text = str::from_utf8(&text).map_err(|e| fault(e.to_string()))?;
    Figment::from(Toml::string(text))
        .extract()
        .map_err(|e| fault(e.to_string()))
}

/// Makes the environment, unless one with these requirements is there.
fn prepare(venv: &Path, requirements: &str) -> Result<(), BuildError> {
    let done = venv.join("requirements.txt");
    if fs::read_to_string(&done).is_ok_and(|before| before == requirements) {
        return Ok(());
    }
    if let Some(folder) = venv.parent() {
        make_folder(folder)?;
    }
    say(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(venv))
    .map_err(|error| BuildError::Missing {
        needed: "Python's module venv",
        found: error.to_string(),
        how: "on Debian, `apt install python3-venv`",
    })?;
    let wanted: PathBuf = venv.join("wanted.txt");
    write(&wanted, requirements.as_bytes())?;
    say(Command::new(venv.join("bin/python"))
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
        ])
        .arg(&wanted))?;
    // only now is it complete
    write(&done, requirements.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requirements_are_the_tool_and_the_dependencies() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pyproject.toml");
        let of = |text: &str| {
            fs::write(&file, text).unwrap();
            requirements(&file)
        };
        let text = "[project]\nname = \"a\"\ndependencies = [\"isodate>=0.7\"]\n\
                    [dependency-groups]\nbuild = [\"componentize-py==0.25.1\"]\ntest = [\"x\"]\n";
        assert_eq!(of(text).unwrap(), "componentize-py==0.25.1\nisodate>=0.7");
        for (text, words) in [
            ("[project]\nname = \"a\"\n", "dependency-groups"),
            ("[project\n", "pyproject.toml"),
            ("[project]\ndependencies = 7\n", "dependencies"),
        ] {
            let error = of(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
