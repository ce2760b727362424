//! CPython with the libraries that NetBox uses, in the folder where `tests/run` puts it.

use std::{
    env,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
};

use serde_json::Value;

/// The interpreter.
///
/// # Panics
/// If it is not there: a comparison that was not made must not pass.
pub(super) fn interpreter() -> PathBuf {
    let own = env::current_exe().unwrap();
    // target/debug/deps/it-… → target/python-venv
    let target = own.ancestors().nth(3).unwrap();
    let python = target.join("python-venv/bin/python");
    assert!(
        python.exists(),
        "{} is missing: run `tests/run` once, or `python3 -m venv {venv} && {venv}/bin/pip install jinja2==3.1.6 \
         requests==2.34.2`",
        python.display(),
        venv = target.join("python-venv").display()
    );
    python
}

/// Runs a script on this input; its JSON answer.
pub(super) fn run(script: &str, input: &Value) -> Value {
    let mut child = Command::new(interpreter())
        .args(["-I", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_string();
    let writer = thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "the script failed");
    serde_json::from_slice(&output.stdout).unwrap()
}
