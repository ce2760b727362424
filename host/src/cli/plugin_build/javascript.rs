//! JavaScript and TypeScript: esbuild bundles, componentize-js makes the component. Both are the project's own, by
//! npm.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde::Deserialize;

use super::{
    BuildError, Compiled, check_transformer, make_folder, output, read, say, version, write,
};

/// The script that drives the two: run by node within the project, so that it finds the project's modules.
const SCRIPT: &str = include_str!("javascript/build.mjs");
/// The code before the project's own modules in the component.
const RUNTIME: &str = include_str!("javascript/runtime.js");
/// The packages that it uses.
const TOOLS: [&str; 2] = ["@bytecodealliance/componentize-js", "esbuild"];
/// Where it leaves what it makes: of no interest to anybody once the component is there.
const FOLDER: &str = ".hookbox";

const HOW: &str =
    "get it from https://nodejs.org, or on Debian 13 and later with `apt install nodejs npm`";

/// A package.json, as far as it matters here.
#[derive(Deserialize)]
struct Package {
    /// The module that exports `transform`.
    #[serde(default = "entry")]
    main: String,
}

fn entry() -> String {
    "component.js".to_owned()
}

#[derive(Deserialize)]
struct Tool {
    version: String,
}

/// The tools that run and bundle a project, if all of them are there.
pub(in crate::cli) struct Tools {
    /// The version of node.
    node: String,
    /// The module that exports `transform`.
    pub(in crate::cli) main: String,
    /// Where scripts and what they make may lie: within the project, so that they find its packages.
    pub(in crate::cli) folder: PathBuf,
}

/// Makes sure that a project's tools are there.
pub(in crate::cli) fn tools(dir: &Path) -> Result<Tools, BuildError> {
    let node = version("node", (20, 0), "Node.js 20 or later", HOW)?;
    let manifest = dir.join("package.json");
    let package: Package =
        serde_json::from_slice(&read(&manifest)?).map_err(|e| fault(&manifest, &e))?;
    if TOOLS.iter().any(|tool| installed(dir, tool).is_none()) {
        install(dir)?;
    }
    let folder = dir.join(FOLDER);
    make_folder(&folder)?;
    Ok(Tools {
        node,
        main: package.main,
        folder,
    })
}

/// Builds the project of this folder.
pub(super) fn build(dir: &Path) -> Result<Compiled, BuildError> {
    let Tools { node, main, folder } = tools(dir)?;
    let manifest = dir.join("package.json");
    let mut versions = TOOLS.into_iter().map(|tool| {
        let file = installed(dir, tool).ok_or_else(|| BuildError::Manifest {
            file: manifest.clone(),
            why: format!("it does not install {tool}; add it with `npm install --save-dev {tool}`"),
        })?;
        let Tool { version } =
            serde_json::from_slice(&read(&file)?).map_err(|e| fault(&file, &e))?;
        Ok(format!(
            "{} {version}",
            tool.rsplit('/').next().unwrap_or(tool)
        ))
    });
    let compiler = versions
        .by_ref()
        .collect::<Result<Vec<_>, BuildError>>()?
        .join(", ");

    let [script, runtime, component] =
        ["build.mjs", "runtime.js", "plugin.wasm"].map(|name| folder.join(name));
    write(&script, SCRIPT.as_bytes())?;
    write(&runtime, RUNTIME.as_bytes())?;
    say(Command::new("node")
        .arg(&script)
        .arg(&main)
        .args([&folder, &component])
        .current_dir(dir))?;
    let component = read(&component)?;
    check_transformer(&component)?;
    Ok(Compiled {
        component,
        compiler: format!("{compiler}, node {node}"),
    })
}

/// Where a package's description is, by the way that node looks for packages.
fn installed(dir: &Path, package: &str) -> Option<PathBuf> {
    dir.ancestors()
        .map(|folder| {
            folder
                .join("node_modules")
                .join(package)
                .join("package.json")
        })
        .find(|file| file.is_file())
}

fn install(dir: &Path) -> Result<(), BuildError> {
    output(Command::new("npm").arg("--version")).map_err(|error| BuildError::Missing {
        needed: "npm",
        found: error.to_string(),
        how: HOW,
    })?;
    let locked = dir.join("package-lock.json").is_file();
    say(Command::new("npm")
        .arg(if locked { "ci" } else { "install" })
        .args(["--no-audit", "--no-fund"])
        .current_dir(dir))
}

fn fault(file: &Path, error: &serde_json::Error) -> BuildError {
    BuildError::Manifest {
        file: file.to_owned(),
        why: error.to_string(),
    }
}
