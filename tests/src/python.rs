//! CPython with the libraries that NetBox uses: what is compared with NetBox is compared with these.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::Value;

use crate::process::program;

/// A running script that answers each line of JSON with one; it ends when it is dropped.
#[derive(Debug)]
pub struct Script {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Script {
    /// Starts it from its text.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(text: &str) -> Self {
        let mut child = Command::new(interpreter())
            .args(["-I", "-c", text])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let to = child.stdin.take();
        let from = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, to, from }
    }

    /// What it says to this.
    ///
    /// # Panics
    /// If it says nothing, or no JSON: it has failed.
    pub fn ask(&mut self, question: &Value) -> Value {
        let to = self.to.as_mut().expect("open until it is dropped");
        writeln!(to, "{question}").expect("it reads");
        to.flush().expect("it reads");
        let mut line = String::new();
        self.from.read_line(&mut line).expect("it answers");
        serde_json::from_str(&line).expect("JSON")
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.to.take());
        let _ = self.child.wait();
    }
}

/// The interpreter; `tests/python` installs it under the target folder at the first call.
///
/// # Panics
/// If it cannot be had: a comparison that was not made must not pass.
#[must_use]
pub fn interpreter() -> PathBuf {
    // target/debug/hookbox: beside it for all profiles
    let target = program()
        .ancestors()
        .nth(2)
        .expect("a target folder")
        .to_owned();
    let made = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("python"))
        .arg(target.join("python"))
        .output()
        .expect("tests/python runs");
    assert!(
        made.status.success(),
        "the libraries could not be installed: {}",
        String::from_utf8_lossy(&made.stderr)
    );
    String::from_utf8(made.stdout)
        .expect("a path")
        .trim()
        .into()
}
