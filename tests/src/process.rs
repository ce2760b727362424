//! The real program as a process: run to its end, or kept running and killed when the test is over.

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

/// How long a test waits for a line of output. Far longer than any takes, so that a hang is a failure
/// and a busy machine is not.
const PATIENCE: Duration = Duration::from_secs(60);

/// The built program, in the folder of the test's own executable or the one above.
///
/// # Panics
/// If it has not been built.
#[must_use]
pub fn program() -> PathBuf {
    let own = env::current_exe().expect("the test knows its own path");
    // target/debug/deps/it-… or target/debug/receivers → target/debug/hookbox
    let folders = own.ancestors().skip(1).take(2);
    let built = folders.map(|folder| folder.join("hookbox"));
    let found = built.clone().find(|path| path.is_file());
    let Some(path) = found else {
        let looked: Vec<_> = built.collect();
        panic!("{looked:?} are missing: run `cargo build -p hookbox` first");
    };
    path
}

/// A command that runs the program, without the variables and files that would configure it.
#[must_use]
pub fn hookbox() -> Command {
    let mut command = Command::new(program());
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("HOOKBOX") {
            command.env_remove(name);
        }
    }
    command.current_dir(env::temp_dir()).env("NO_COLOR", "1");
    command
}

/// Runs the program with these arguments to its end.
///
/// # Panics
/// If it cannot be started.
#[must_use]
pub fn run(arguments: &[&str]) -> Output {
    hookbox()
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts")
}

/// What a run printed on stdout.
#[must_use]
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a run printed on stderr.
#[must_use]
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A process that does not outlive the test, however that ends.
#[derive(Debug)]
pub(crate) struct KillOnDrop(pub(crate) Child);

impl KillOnDrop {
    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// SIGKILL: no chance to tidy up.
    pub(crate) fn kill(&mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("gone");
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        signal(self.id(), "TERM");
        self.0.wait().expect("gone")
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends a signal, by its name for kill(1).
pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status()
        .expect("kill runs");
    assert!(status.success(), "kill -{name} {pid}");
}

/// A running program whose stdout is read line by line. Killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: KillOnDrop,
    lines: Receiver<String>,
}

impl Running {
    /// Starts it.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let (send, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            child: KillOnDrop(child),
            lines,
        }
    }

    /// The next line of stdout, or nothing when the program has closed it.
    ///
    /// # Panics
    /// If none comes in time.
    pub fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                panic!("the program printed nothing for {PATIENCE:?}")
            }
        }
    }

    /// The lines up to and including the first that contains `text`.
    ///
    /// # Panics
    /// If none does.
    pub fn lines_until(&self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = self.line() {
            let found = line.contains(text);
            lines.push(line);
            if found {
                return lines;
            }
        }
        panic!("no line contains {text:?}: {lines:#?}");
    }

    /// The port in the first line that names a local URL.
    ///
    /// # Panics
    /// If there is none.
    pub fn port(&self) -> u16 {
        let lines = self.lines_until("http://");
        let line = lines.last().expect("a line was found");
        let (_, after) = line.rsplit_once("http://").expect("a URL");
        let (_, after) = after.split_once(':').expect("a port");
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().expect("a port number")
    }

    /// Sends a signal, by its name for kill(1).
    ///
    /// # Panics
    /// If it cannot be sent.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits for the end; the exit code.
    ///
    /// # Panics
    /// If it cannot be waited for.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.0.wait().expect("the child exists").code()
    }
}

/// Sends raw bytes to a local port, closes the sending side, and reads the answer to its end.
///
/// # Panics
/// If the connection breaks.
#[must_use]
pub fn exchange(port: u16, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream.write_all(request).expect("sent");
    // Errs when the other side has answered and gone already.
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("answered");
    String::from_utf8_lossy(&answer).into_owned()
}
