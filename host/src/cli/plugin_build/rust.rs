//! Rust: cargo, and the component made from its core module here.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;
use wit_component::ComponentEncoder;

use super::{BuildError, Compiled, check_transformer, output, read};

pub(super) const TARGET: &str = "wasm32-unknown-unknown";

/// The profile is part of what is built, so it comes from here and not from the project.
const PROFILE: [&str; 6] = [
    "profile.release.opt-level=3",
    "profile.release.lto=\"fat\"",
    "profile.release.codegen-units=1",
    "profile.release.panic=\"abort\"",
    "profile.release.strip=\"symbols\"",
    "profile.release.debug=false",
];

/// Compiles the project of this folder.
pub(super) fn build(dir: &Path) -> Result<Compiled, BuildError> {
    let toolchain = Toolchain::find()?;
    let project = Project::read(dir, &toolchain)?;
    let module = project.compile(&toolchain)?;
    Ok(Compiled {
        component: componentize(&read(&module)?)?,
        compiler: toolchain.version()?,
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
            return Err(BuildError::NoWasmTarget);
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
            _ => Err(BuildError::NoWasmTarget),
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
                || name == "CARGO_INCREMENTAL"
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

/// The crate to build.
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
    let component = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(ComponentEncoder::encode)
        .map_err(|e| BuildError::NotATransformer(format!("{e:#}")))?;
    check_transformer(&component)?;
    Ok(component)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_without_the_world_is_refused() {
        let module = wat::parse_str("(module)").unwrap();
        let error = componentize(&module).unwrap_err();
        assert!(matches!(error, BuildError::NotATransformer(_)), "{error}");
    }
}
