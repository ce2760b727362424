//! `hookbox plugin build`: a project becomes a transformer component, by the usual toolchain of its language.
//!
//! A Rust project becomes the same bytes on every machine that has the same compiler.

mod javascript;
mod python;
mod rust;

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt, fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use sha2::{Digest, Sha256};
use wit_component::DecodedWasm;

pub(super) use javascript::tools as javascript_tools;
pub(super) use python::interpreter as python_interpreter;

/// Builds a transformer component from a project in Rust, JavaScript, TypeScript or Python.
#[derive(Clone, Debug, clap::Args)]
pub struct BuildArgs {
    /// The project's folder, the one with its Cargo.toml, package.json or pyproject.toml
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// Where to write the component [default: dist/NAME.wasm beside the project if there is such a
    /// folder, otherwise within it; NAME is the project's folder]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// A component that was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// The file.
    pub component: PathBuf,
    /// Its size.
    pub bytes: usize,
    /// SHA-256 of it, in hexadecimal.
    pub sha256: String,
    /// The compiler's version, as it names itself.
    pub compiler: String,
}

impl fmt::Display for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({} bytes)", self.component.display(), self.bytes)?;
        writeln!(f, "sha256 {}", self.sha256)?;
        write!(f, "{}", self.compiler)
    }
}

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder is no project of a language that is known here.
    #[error(
        "{}: no Cargo.toml, package.json or pyproject.toml here; make a project with `hookbox plugin \
         new`, or build the component with the tools of your language and try `hookbox plugin check`", .0.display()
    )]
    NoProject(PathBuf),
    /// A program of the toolchain is not there, or too old.
    #[error("{needed} is needed, but {found}; {how}")]
    Missing {
        /// What it takes.
        needed: &'static str,
        /// What there is.
        found: String,
        /// How to get it.
        how: &'static str,
    },
    /// A program of the toolchain could not be started.
    #[error("cannot run `{program}`: {source}")]
    Program {
        /// Which.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A program of the toolchain did not succeed; it has said why on standard error.
    #[error("`{program}` failed ({status}); see above")]
    Failed {
        /// Which.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// The output of cargo could not be understood.
    #[error("cargo's description of the project cannot be read: {0}")]
    Metadata(#[from] serde_json::Error),
    /// The project's own description could not be understood.
    #[error("{}: {why}", file.display())]
    Manifest {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// The folder holds no package with a library.
    #[error(
        "{}: no package with a library here; a transformer is a library with \
         `crate-type = [\"cdylib\"]`", .0.display()
    )]
    NoLibrary(PathBuf),
    /// No Rust compiler here makes WebAssembly.
    #[error(
        "no compiler for {target} found. Either add the target to your toolchain with \
         `rustup target add {target}`, or on Debian install the packages rustc-web, cargo-web and \
         rust-web-src, and a linker: wasm-ld (package lld) or the rust-lld of a rustup toolchain",
        target = rust::TARGET
    )]
    NoWasmTarget,
    /// The compiled module is no transformer.
    #[error(
        "the project compiles, but not to a transformer: {0}; a project of `hookbox plugin new` shows how to \
         export one"
    )]
    NotATransformer(String),
}

/// The output of a toolchain.
struct Compiled {
    component: Vec<u8>,
    /// Which one, with its version.
    compiler: String,
}

/// Compiles the project, makes a component of it, and writes it with its checksum (`SHA256SUMS`) and its
/// compiler (`COMPILER`) beside it. The folder's own description says which language it is in.
///
/// JavaScript and Python fetch their toolchains, at the versions that the project names, from npm and PyPI
/// into the project, if they are not there.
///
/// # Errors
/// Whatever stops that, in words that say what to do.
pub fn run(args: &BuildArgs) -> Result<Built, BuildError> {
    let dir = fs::canonicalize(&args.dir).map_err(|source| BuildError::File {
        path: args.dir.clone(),
        source,
    })?;
    let compiled = if dir.join("Cargo.toml").is_file() {
        rust::build(&dir)?
    } else if dir.join("package.json").is_file() {
        javascript::build(&dir)?
    } else if dir.join("pyproject.toml").is_file() {
        python::build(&dir)?
    } else {
        return Err(BuildError::NoProject(dir));
    };
    let Compiled {
        component,
        compiler,
    } = compiled;

    let out = args.out.clone().unwrap_or_else(|| default_out(&dir));
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let folder = match out.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let sha256 = hex::encode(Sha256::digest(&component));
    make_folder(folder)?;
    write(&out, &component)?;
    note(&folder.join("SHA256SUMS"), &name, &sha256)?;
    note(&folder.join("COMPILER"), &name, &compiler)?;
    Ok(Built {
        bytes: component.len(),
        component: out,
        sha256,
        compiler,
    })
}

/// Makes sure that this is a component with the export that makes it a transformer.
fn check_transformer(component: &[u8]) -> Result<(), BuildError> {
    let refuse = |why: String| BuildError::NotATransformer(why);
    let decoded = wit_component::decode(component).map_err(|e| refuse(format!("{e:#}")))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err(refuse("it is no component".to_owned()));
    };
    let exports = resolve.worlds.get(world).map(|world| &world.exports);
    let transforms = exports.is_some_and(|exports| {
        exports
            .keys()
            .any(|key| resolve.name_world_key(key) == "transform")
    });
    if transforms {
        Ok(())
    } else {
        Err(refuse("it does not export `transform`".to_owned()))
    }
}

fn default_out(dir: &Path) -> PathBuf {
    let beside = dir.parent().map(|parent| parent.join("dist"));
    let folder = beside
        .filter(|folder| folder.is_dir())
        .unwrap_or_else(|| dir.join("dist"));
    let mut name = dir.file_name().unwrap_or(OsStr::new("plugin")).to_owned();
    name.push(".wasm");
    folder.join(name)
}

/// Sets a file's line in a list such as `sha256sum` writes and checks, sorted by file name.
fn note(list: &Path, name: &str, value: &str) -> Result<(), BuildError> {
    let text = match fs::read_to_string(list) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
        read => read.map_err(|source| BuildError::File {
            path: list.to_owned(),
            source,
        })?,
    };
    let mut lines: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.rsplit_once("  "))
        .map(|(value, name)| (name, value))
        .collect();
    lines.insert(name, value);
    let lines: String = lines
        .iter()
        .map(|(name, value)| format!("{value}  {name}\n"))
        .collect();
    write(list, lines.as_bytes())
}

fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    fs::read(path).map_err(|source| BuildError::File {
        path: path.to_owned(),
        source,
    })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    fs::write(path, bytes).map_err(|source| BuildError::File {
        path: path.to_owned(),
        source,
    })
}

fn make_folder(path: &Path) -> Result<(), BuildError> {
    fs::create_dir_all(path).map_err(|source| BuildError::File {
        path: path.to_owned(),
        source,
    })
}

/// Runs a program to its end; what it says on standard error goes to the user.
fn output(command: &mut Command) -> Result<Vec<u8>, BuildError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| BuildError::Program {
            program: program.clone(),
            source,
        })?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(BuildError::Failed {
            program,
            status: output.status,
        })
    }
}

/// The same, with all that it says on our standard error: our standard output is for the result.
fn say(command: &mut Command) -> Result<(), BuildError> {
    output(command.stdout(Stdio::from(io::stderr()))).map(drop)
}

/// The version that a program of the toolchain gives, such as `v20.19.1` or `Python 3.11.2`.
///
/// # Errors
/// [`BuildError::Missing`] if it is not there, or older than `least` (major, minor).
fn version(
    program: &str,
    least: (u32, u32),
    needed: &'static str,
    how: &'static str,
) -> Result<String, BuildError> {
    let missing = |found: String| BuildError::Missing { needed, found, how };
    let text = output(Command::new(program).arg("--version"))
        .map_err(|error| missing(error.to_string()))?;
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    match numbers(&text) {
        Some(found) if found >= least => Ok(text),
        _ => Err(missing(format!("`{program}` is {text}"))),
    }
}

/// The first two numbers of a version.
fn numbers(text: &str) -> Option<(u32, u32)> {
    let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    let mut parts = digits.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_the_lines_of_other_files() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("SHA256SUMS");
        note(&list, "b.wasm", "22").unwrap();
        note(&list, "a.wasm", "11").unwrap();
        note(&list, "b.wasm", "33").unwrap();
        assert_eq!(
            fs::read_to_string(&list).unwrap(),
            "11  a.wasm\n33  b.wasm\n"
        );
    }

    #[test]
    fn the_component_goes_beside_the_project_where_plugins_are_collected() {
        let dir = tempfile::tempdir().unwrap();
        let project = dir.path().join("slack");
        assert_eq!(default_out(&project), project.join("dist/slack.wasm"));
        fs::create_dir(dir.path().join("dist")).unwrap();
        assert_eq!(default_out(&project), dir.path().join("dist/slack.wasm"));
    }

    #[test]
    fn versions_are_read_as_programs_write_them() {
        for (text, want) in [
            ("v20.19.1", Some((20, 19))),
            ("Python 3.11.2", Some((3, 11))),
            ("Python 3.14.0rc1", Some((3, 14))),
            ("11.3.0", Some((11, 3))),
            ("nonsense", None),
            ("", None),
        ] {
            assert_eq!(numbers(text), want, "{text}");
        }
    }

    #[test]
    fn what_is_missing_or_too_old_is_named_with_the_way_to_get_it() {
        let error = |program: &str| {
            version(program, (1000, 0), "sh 1000", "get it there")
                .unwrap_err()
                .to_string()
        };
        let gone = error("no-such-program-here");
        assert!(gone.starts_with("sh 1000 is needed, but cannot run `no-such-program-here`"));
        assert!(gone.ends_with("get it there"), "{gone}");
        let old = error("cargo");
        assert!(
            old.starts_with("sh 1000 is needed, but `cargo` is cargo 1."),
            "{old}"
        );
    }

    #[test]
    fn a_folder_without_a_project_is_told_so() {
        let dir = tempfile::tempdir().unwrap();
        let args = BuildArgs {
            dir: dir.path().to_owned(),
            out: None,
        };
        let error = run(&args).unwrap_err();
        assert!(matches!(error, BuildError::NoProject(_)), "{error}");
    }
}
