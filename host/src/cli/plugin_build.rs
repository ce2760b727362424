//! `hookbox plugin build`: a Rust project becomes a transformer component, the same bytes on every
//! machine that has the same compiler.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::{env, fs, io};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use wit_component::{ComponentEncoder, DecodedWasm};

const TARGET: &str = "wasm32-unknown-unknown";

/// The profile is part of what is built, so it comes from here and not from the project.
const PROFILE: [&str; 6] = [
    "profile.release.opt-level=3",
    "profile.release.lto=\"fat\"",
    "profile.release.codegen-units=1",
    "profile.release.panic=\"abort\"",
    "profile.release.strip=\"symbols\"",
    "profile.release.debug=false",
];

/// Builds a transformer component from a Rust project.
#[derive(Clone, Debug, clap::Args)]
pub struct BuildArgs {
    /// The project's folder, the one with its Cargo.toml
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
    /// A program of the toolchain could not be started.
    #[error("cannot run `{program}`: {source}; is Rust installed (https://rustup.rs)?")]
    Program {
        /// Which.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A program of the toolchain did not succeed; it has said why on standard error.
    #[error("`{program}` failed ({status})")]
    Failed {
        /// Which.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// What cargo said of the project could not be understood.
    #[error("cargo's description of the project cannot be read: {0}")]
    Metadata(#[from] serde_json::Error),
    /// The folder holds no package with a library.
    #[error(
        "{}: no package with a library here; a transformer is a library with \
         `crate-type = [\"cdylib\"]`", .0.display()
    )]
    NoLibrary(PathBuf),
    /// No compiler here makes WebAssembly.
    #[error(
        "no compiler for {TARGET} found. Either add the target to your toolchain with \
         `rustup target add {TARGET}`, or on Debian install the packages rustc-web, cargo-web and \
         rust-web-src, and a linker: wasm-ld (package lld) or the rust-lld of a rustup toolchain"
    )]
    NoToolchain,
    /// The compiled module is no transformer.
    #[error(
        "the project compiles, but not to a transformer: {0}; export one with \
         `hookbox_guest::transformer!`"
    )]
    NotATransformer(String),
}

/// Compiles the project, makes a component of it, and writes it with its checksum (`SHA256SUMS`) and its
/// compiler (`COMPILER`) beside it.
///
/// # Errors
/// Whatever stops that, in words that say what to do.
pub fn run(args: &BuildArgs) -> Result<Built, BuildError> {
    let dir = fs::canonicalize(&args.dir).map_err(|source| BuildError::File {
        path: args.dir.clone(),
        source,
    })?;
    let toolchain = Toolchain::find()?;
    let project = Project::read(&dir, &toolchain)?;
    let module = project.compile(&toolchain)?;
    let component = componentize(&read(&module)?)?;

    let out = args.out.clone().unwrap_or_else(|| default_out(&dir));
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let folder = match out.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let sha256 = hex::encode(Sha256::digest(&component));
    let compiler = toolchain.version()?;
    fs::create_dir_all(folder).map_err(|source| BuildError::File {
        path: folder.to_owned(),
        source,
    })?;
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

/// A compiler for WebAssembly.
struct Toolchain {
    cargo: PathBuf,
    rustc: PathBuf,
    sysroot: PathBuf,
    /// Set if the standard library has to be built too: the linker to use.
    linker: Option<PathBuf>,
}

impl Toolchain {
    /// The user's own toolchain if it has the target, else Debian's with the standard library's source.
    fn find() -> Result<Self, BuildError> {
        let users = sysroot(Path::new("rustc"));
        if let Ok(sysroot) = &users
            && sysroot
                .join("lib/rustlib")
                .join(TARGET)
                .join("lib")
                .is_dir()
        {
            return Ok(Self {
                cargo: "cargo".into(),
                rustc: "rustc".into(),
                sysroot: sysroot.clone(),
                linker: None,
            });
        }
        let (cargo, rustc) = ("/usr/bin/cargo".into(), PathBuf::from("/usr/bin/rustc"));
        let Ok(sysroot) = sysroot(&rustc) else {
            return Err(BuildError::NoToolchain);
        };
        let sysroots = [Some(sysroot.as_path()), users.as_deref().ok()];
        let linker = sysroots
            .into_iter()
            .flatten()
            .find_map(rust_lld)
            .or_else(wasm_ld);
        match linker {
            Some(linker) if sysroot.join("lib/rustlib/src/rust/library").is_dir() => Ok(Self {
                cargo,
                rustc,
                sysroot,
                linker: Some(linker),
            }),
            _ => Err(BuildError::NoToolchain),
        }
    }

    /// cargo, with nothing of the caller's environment that would change what it builds.
    fn cargo(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        for (key, _) in env::vars_os() {
            let name = key.to_string_lossy();
            let steers = name.starts_with("CARGO_PROFILE_")
                || name.starts_with("CARGO_TARGET_WASM32")
                || (name.starts_with("CARGO_BUILD_") && name != "CARGO_BUILD_JOBS")
                || name.starts_with("CARGO_PKG_")
                || name.starts_with("RUSTC")
                || name.ends_with("RUSTFLAGS");
            if steers {
                command.env_remove(key);
            }
        }
        if let Some(linker) = &self.linker {
            command
                .env("RUSTC", &self.rustc)
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        command
    }

    fn version(&self) -> Result<String, BuildError> {
        let version = output(Command::new(&self.rustc).arg("--version"))?;
        Ok(String::from_utf8_lossy(&version).trim().to_owned())
    }
}

fn sysroot(rustc: &Path) -> Result<PathBuf, BuildError> {
    let path = output(Command::new(rustc).args(["--print", "sysroot"]))?;
    Ok(PathBuf::from(String::from_utf8_lossy(&path).trim()))
}

/// The linker that a rustup toolchain carries.
fn rust_lld(sysroot: &Path) -> Option<PathBuf> {
    let hosts = fs::read_dir(sysroot.join("lib/rustlib")).ok()?;
    hosts
        .filter_map(Result::ok)
        .map(|host| host.path().join("bin/rust-lld"))
        .find(|lld| lld.is_file())
}

fn wasm_ld() -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join("wasm-ld"))
        .find(|lld| lld.is_file())
}

/// What there is to build.
struct Project {
    package: String,
    library: String,
    workspace: PathBuf,
    target_dir: PathBuf,
    manifest: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Project {
    fn read(dir: &Path, toolchain: &Toolchain) -> Result<Self, BuildError> {
        let manifest = dir.join("Cargo.toml");
        let metadata: Metadata = serde_json::from_slice(&output(
            toolchain
                .cargo()
                .args([
                    "metadata",
                    "--no-deps",
                    "--format-version=1",
                    "--manifest-path",
                ])
                .arg(&manifest),
        )?)?;
        let package = metadata
            .packages
            .into_iter()
            .find(|package| package.manifest_path == manifest);
        let (package, library) = package
            .and_then(|package| {
                let library = package.targets.into_iter().find(|target| {
                    target
                        .kind
                        .iter()
                        .any(|k| matches!(k.as_str(), "lib" | "cdylib" | "rlib"))
                })?;
                Some((package.name, library.name))
            })
            .ok_or_else(|| BuildError::NoLibrary(dir.to_owned()))?;
        Ok(Self {
            package,
            library: library.replace('-', "_"),
            workspace: metadata.workspace_root,
            // Its own folder: another cargo's files would only be in the way.
            target_dir: metadata.target_directory.join("plugins"),
            manifest,
        })
    }

    /// Runs the compiler; returns the core module's path.
    fn compile(&self, toolchain: &Toolchain) -> Result<PathBuf, BuildError> {
        let mut command = toolchain.cargo();
        command
            .args(["rustc", "--lib", "--release", "--crate-type=cdylib"])
            .args(["--target", TARGET, "--package", &self.package])
            .arg("--manifest-path")
            .arg(&self.manifest)
            .arg("--target-dir")
            .arg(&self.target_dir)
            .env("CARGO_ENCODED_RUSTFLAGS", self.rustflags(toolchain))
            .stdout(Stdio::inherit());
        for setting in PROFILE {
            command.args(["--config", setting]);
        }
        if self.workspace.join("Cargo.lock").is_file() {
            command.arg("--locked");
        }
        if toolchain.linker.is_some() {
            command.arg("-Zbuild-std=std,panic_abort");
        }
        output(&mut command)?;
        Ok(self
            .target_dir
            .join(TARGET)
            .join("release")
            .join(&self.library)
            .with_extension("wasm"))
    }

    /// Vector instructions are on in every sandbox, and searching bytes is most of what templates do.
    ///
    /// Panic messages name source files: where those lie on this machine is nobody's business, and would
    /// make each machine's component a different one.
    fn rustflags(&self, toolchain: &Toolchain) -> OsString {
        let cargo_home = env::var_os("CARGO_HOME").map_or_else(
            || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cargo"),
            PathBuf::from,
        );
        // Where one prefix holds another, the later one wins.
        let prefixes = [
            (self.workspace.as_path(), "/src"),
            (self.target_dir.as_path(), "/target"),
            (cargo_home.as_path(), "/cargo"),
            (&toolchain.sysroot.join("lib/rustlib/src/rust"), "/rust"),
        ];
        let mut flags = OsString::from("-Ctarget-feature=+simd128");
        for (from, to) in prefixes {
            flags.push("\u{1f}--remap-path-prefix=");
            flags.push(from);
            flags.push("=");
            flags.push(to);
        }
        flags
    }
}

/// Makes a component of a core module, and makes sure that it is a transformer.
fn componentize(module: &[u8]) -> Result<Vec<u8>, BuildError> {
    let refuse = |why: String| BuildError::NotATransformer(why);
    let component = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(ComponentEncoder::encode)
        .map_err(|e| refuse(format!("{e:#}")))?;
    let decoded = wit_component::decode(&component).map_err(|e| refuse(format!("{e:#}")))?;
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
        Ok(component)
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

/// Runs a program to its end; what it says on standard error goes to the user.
fn output(command: &mut Command) -> Result<Vec<u8>, BuildError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
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
    fn a_module_without_the_world_is_refused() {
        let module = wat::parse_str("(module)").unwrap();
        let error = componentize(&module).unwrap_err();
        assert!(matches!(error, BuildError::NotATransformer(_)), "{error}");
    }
}
