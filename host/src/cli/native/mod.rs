//! `hookbox render --native`: a plugin's source runs here, in its language's own interpreter, in less than a second.
//!
//! It is the author's own code on the author's own machine, and the sandbox has no part in it. What it answers goes
//! the way that a component's answer goes.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use serde_json::json;

use super::{
    error::{CliError, CliResult},
    plugin_build,
    terminal::read_input,
};
use crate::{
    config::SandboxConfig,
    sandbox::{OutsideAnswer, RenderJob, Rendering},
};

/// The script that runs a project in JavaScript or TypeScript, in node.
const NODE: &str = include_str!("run.mjs");
/// The script that runs a project in Python.
const PYTHON: &str = include_str!("run.py");
/// The most that is read of an answer: far above what the limits on output let through.
const MAX_ANSWER: u64 = 256 << 20;

/// The warning in the report of such a run.
pub(super) const WARNING: &str = "this was no sandbox: the source ran natively, without limits on fuel, time and memory, \
     and with the clock and the random numbers of this machine; build the component to see what a server does";

/// Runs the project in a folder once. Blocking.
pub(super) fn run(project: &Path, job: &RenderJob, config: &SandboxConfig) -> CliResult<Rendering> {
    let place = tempfile::tempdir().map_err(CliError::failed)?;
    let answer = place.path().join("answer.json");
    let mut command = command(project, &answer)?;
    let input = json!({
        "event": &*job.event,
        "webhook": &*job.webhook,
        "secrets": job.secrets.all(),
    });
    let started = Instant::now();
    ask(&mut command, input.to_string().as_bytes())?;
    let elapsed = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    let answer = read_input(&answer, MAX_ANSWER)?;
    let answer: OutsideAnswer = serde_json::from_slice(&answer).map_err(|e| {
        CliError::failed(format!(
            "what the plugin answered is no answer of a transformer: {e}"
        ))
    })?;
    let mut rendering = answer.rendering(config);
    rendering.cost.elapsed_us = elapsed;
    Ok(rendering)
}

/// What runs the project, and writes its answer to this file.
fn command(project: &Path, answer: &Path) -> CliResult<Command> {
    let project = fs::canonicalize(project)
        .map_err(|e| CliError::failed(format!("{}: {e}", project.display())))?;
    let mut command = if project.join("package.json").is_file() {
        let tools = plugin_build::javascript_tools(&project).map_err(CliError::failed)?;
        let script = tools.folder.join("native-run.mjs");
        fs::write(&script, NODE)
            .map_err(|e| CliError::failed(format!("cannot write {}: {e}", script.display())))?;
        let mut command = Command::new("node");
        command.arg(&script).arg(&tools.main).arg(&tools.folder);
        command
    } else if project.join("pyproject.toml").is_file() {
        let python = plugin_build::python_interpreter(&project).map_err(CliError::failed)?;
        let mut command = Command::new(python);
        command.args(["-c", PYTHON]).arg(&project);
        command
    } else {
        return Err(CliError::usage(format!(
            "{}: --native takes the folder of a project in JavaScript, TypeScript or Python; one in Rust is tried with \
             `cargo test`, and its component, which takes seconds to build, with --plugin",
            project.display()
        )));
    };
    command.arg(answer).current_dir(&project);
    Ok(command)
}

/// Runs it with this input. What it prints goes to standard error: standard output is for the report.
fn ask(command: &mut Command, input: &[u8]) -> CliResult {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |e: io::Error| CliError::failed(format!("cannot run `{program}`: {e}"));
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(io::stderr())
        .spawn()
        .map_err(failed)?;
    // A program that does not read its input is judged by its exit status.
    let written = child.stdin.take().map(|mut stdin| stdin.write_all(input));
    let status = child.wait().map_err(failed)?;
    if !status.success() {
        return Err(CliError::failed(format!(
            "the plugin could not be run natively ({status}); see above"
        )));
    }
    written.transpose().map(|_| ()).map_err(failed)
}
