//! Scripts for CPython with the libraries that NetBox uses.

use std::{
    io::Write,
    process::{Command, Stdio},
    thread,
};

pub(super) use hookbox_tests::python::interpreter;

use serde_json::Value;

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
