//! Compilation in a process of its own.
//!
//! A guest that runs is bounded to the instruction; a compiler that works on a hostile component is not. So the
//! compiler runs in a child process with hard limits: no environment, no descriptors but its pipes, no way to write
//! files, low priority, a minute of CPU, two gigabytes (by default), and a deadline by the clock that the parent
//! enforces. The component goes in on the child's standard input. The artifact, or the reason why there is none, comes
//! back on its standard output.
//!
//! Protected: the compiler's time, memory, stack and crashes stay in the child. The child's answer is used only if it
//! is complete, and only for the component that the child was given: the parent computes the digest under which the
//! artifact is cached and the MAC over it. The child cannot reach the parent's key (it does not know the folder and has
//! no descriptor of it).
//!
//! Not protected: an artifact is machine code, and good machine code cannot be told from bad. A component that exploits
//! the compiler itself (safe Rust, but large) chooses the code that the parent will run. Only a sandbox for the running
//! code would help against that.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, nice, setrlimit};
use wasmtime::{Engine, component::Component};

use super::{Sandbox, SandboxError, admit, artifact::Artifact, engine, text::clean_line};
use crate::config::SandboxConfig;

/// The first argument of a compiler process. Beside the command line, as it is for nobody to type.
const ARGUMENT: &str = "__compile-component";
/// Stack of the thread that compiles: generous, as the compiler recurses on what it is given.
const STACK: usize = 64 << 20;
/// The beginning of the answer.
const DONE: u8 = 0;
const REFUSED: u8 = 1;
/// The exit code of a compiler process that could not limit itself, or not work within its limits.
const NOT_LIMITED: u8 = 3;
/// Seconds by the clock for each second of CPU that the child may use: on a busy machine it comes last.
const CLOCK_PER_CPU: u64 = 10;
/// The child's niceness: deliveries matter more than how soon a plugin is admitted.
const NICENESS: i32 = 5;

/// The task of a compiler process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    /// Component to artifact.
    Compile,
    /// Core module with an embedded component type to component.
    Componentize,
}

impl Task {
    const ALL: [Self; 2] = [Self::Compile, Self::Componentize];

    const fn name(self) -> &'static str {
        match self {
            Self::Compile => "compile",
            Self::Componentize => "componentize",
        }
    }

    /// The most bytes that may come of it.
    const fn most_bytes(self, config: &SandboxConfig) -> u64 {
        match self {
            Self::Compile => config.compiled_bytes,
            Self::Componentize => Sandbox::MAX_COMPONENT_BYTES as u64,
        }
    }
}

/// Where components are compiled.
pub(super) enum Compiler {
    /// In this process: for components that are our own or the operator's.
    Here,
    /// In a process of its own each.
    Process {
        program: PathBuf,
        /// Both sides' engines must agree.
        config: Box<SandboxConfig>,
    },
}

impl Compiler {
    pub(super) fn process(program: PathBuf, config: &SandboxConfig) -> Self {
        Self::Process {
            program,
            config: Box::new(config.clone()),
        }
    }

    /// Compiles a component in the binary format. Blocking, up to a minute or two.
    pub(super) fn compile(&self, engine: &Engine, wasm: &[u8]) -> Result<Component, SandboxError> {
        match self {
            Self::Here => Component::from_binary(engine, wasm),
            Self::Process { program, config } => {
                let artifact = run(program, config, Task::Compile, wasm)?;
                // our own compiler's answer, over a pipe that nobody else holds; the module says what for
                Artifact::of_our_own(&artifact).load(engine)
            }
        }
        .map_err(|error| SandboxError::refused(&error))
    }

    /// Makes a component of a core module that has a component type embedded. Blocking, likewise.
    pub(super) fn component_of(&self, module: &[u8]) -> Result<Vec<u8>, SandboxError> {
        match self {
            Self::Here => admit::component_of(module),
            Self::Process { program, config } => run(program, config, Task::Componentize, module),
        }
    }
}

/// Runs a compiler process on a component or module and takes its answer apart.
fn run(
    program: &Path,
    config: &SandboxConfig,
    task: Task,
    wasm: &[u8],
) -> Result<Vec<u8>, SandboxError> {
    let settings =
        serde_json::to_string(config).map_err(|error| SandboxError::Compiler(error.into()))?;
    let mut child = Command::new(program)
        .args([ARGUMENT, task.name(), &settings])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(SandboxError::Compiler)?;
    let clock = config.compile_seconds.saturating_mul(CLOCK_PER_CPU);
    let most = task.most_bytes(config);
    // what is one too many is read as well, to tell
    let read = most.saturating_add(2);
    let exchanged = exchange(&mut child, wasm, read, Duration::from_secs(clock));
    let status = child.wait().map_err(SandboxError::Compiler)?;
    let (mut answer, in_time) = exchanged.map_err(SandboxError::Compiler)?;
    match answer.first() {
        Some(&DONE) if answer.len() as u64 == read => Err(match task {
            Task::Compile => SandboxError::TooExpensive {
                limit: most,
                unit: "bytes for the machine code",
                key: "sandbox.compiled_bytes",
            },
            Task::Componentize => SandboxError::TooLarge {
                size: answer.len().saturating_sub(1),
                limit: Sandbox::MAX_COMPONENT_BYTES,
            },
        }),
        Some(&DONE) if in_time => {
            answer.remove(0);
            Ok(answer)
        }
        Some(&REFUSED) if in_time => {
            let reason = answer.get(1..).unwrap_or_default();
            let reason = clean_line(&String::from_utf8_lossy(reason), 600);
            Err(SandboxError::Refused(reason))
        }
        _ => Err(why_unanswered(status, in_time, config)),
    }
}

/// Hands the component over and takes the answer, up to so many bytes of it, and says whether the child was done in
/// time. It has ended, or is about to, when this returns.
fn exchange(
    child: &mut Child,
    wasm: &[u8],
    most: u64,
    patience: Duration,
) -> io::Result<(Vec<u8>, bool)> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let pid = Pid::from_child(child);
    let (answered, patient) = mpsc::channel::<()>();
    let mut answer = Vec::new();
    thread::scope(|scope| {
        // a child that ends early breaks the pipe; its answer, or the lack of it, tells why
        scope.spawn(|| stdin.map(|mut stdin| stdin.write_all(wasm)));
        let clock = scope.spawn(move || {
            let late = patient.recv_timeout(patience) == Err(RecvTimeoutError::Timeout);
            // It is waited for only after this, so its number cannot be another process's yet. It may have
            // ended already, which is as well.
            let _ = kill_process(pid, Signal::KILL);
            !late
        });
        let read = stdout.map_or(Ok(0), |stdout| stdout.take(most).read_to_end(&mut answer));
        drop(answered);
        let in_time = clock.join().unwrap_or(false);
        read.map(|_| in_time)
    })
    .map(|in_time| (answer, in_time))
}

/// The error for a child that gave no answer, by the way it ended.
fn why_unanswered(status: ExitStatus, in_time: bool, config: &SandboxConfig) -> SandboxError {
    const SEGV: i32 = Signal::SEGV.as_raw();
    const ABORT: i32 = Signal::ABORT.as_raw();
    const XCPU: i32 = Signal::XCPU.as_raw();
    if !in_time {
        // The component is not at fault: the child has not used up its CPU.
        let clock = config.compile_seconds.saturating_mul(CLOCK_PER_CPU);
        return SandboxError::Compiler(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("it did not end in {clock} seconds; the machine may be too busy"),
        ));
    }
    match (status.signal(), status.code()) {
        (Some(XCPU), _) => SandboxError::TooExpensive {
            limit: config.compile_seconds,
            unit: "seconds of CPU",
            key: "sandbox.compile_seconds",
        },
        // an allocation that fails aborts, and so does a stack that is used up
        (Some(ABORT | SEGV), _) => SandboxError::TooExpensive {
            limit: config.compile_memory_bytes,
            unit: "bytes of memory, or more than the compiler's stack",
            key: "sandbox.compile_memory_bytes",
        },
        (_, code) if code == Some(i32::from(NOT_LIMITED)) => SandboxError::Compiler(
            io::Error::other("it could not set its limits, or has too little memory to begin with"),
        ),
        (None, Some(_)) => SandboxError::Refused(
            "the compiler failed on it, which is a fault of the compiler's; please report it"
                .to_owned(),
        ),
        _ => SandboxError::Compiler(io::Error::other(format!("it ended with {status}"))),
    }
}

/// Does the work of a compiler process if this process was started as one ([`Sandbox::with_compiler`]),
/// and says with what code to exit; otherwise does nothing. For the first line of `main`.
#[must_use]
pub fn serve_as_compiler() -> Option<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(ARGUMENT) {
        return None;
    }
    let task = arguments.next().unwrap_or_default();
    let task = Task::ALL.into_iter().find(|known| known.name() == task);
    let settings = arguments.next().unwrap_or_default();
    let config = serde_json::from_str::<SandboxConfig>(&settings).ok();
    let (Some(task), Some(config)) = (task, config) else {
        return Some(ExitCode::from(2));
    };
    if close_inherited()
        .and_then(|()| limit_this_process(&config))
        .is_err()
    {
        return Some(ExitCode::from(NOT_LIMITED));
    }
    let worker = thread::Builder::new()
        .stack_size(STACK)
        .spawn(move || answer(task, &config));
    Some(match worker.map(thread::JoinHandle::join) {
        Ok(Ok(Ok(()))) => ExitCode::SUCCESS,
        // it panicked, or nobody reads any more: the other side sees that there is no answer, and says so
        Ok(_) => ExitCode::FAILURE,
        Err(_) => ExitCode::from(NOT_LIMITED),
    })
}

/// Closes what the parent's parents left open. What this program itself opens is closed on the way here.
#[expect(unsafe_code, reason = "closing by number has no safe form")]
fn close_inherited() -> io::Result<()> {
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for fd in open.into_iter().filter(|fd| *fd > 2) {
        // the one with which the list was read is closed by now
        if fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_err() {
            continue;
        }
        // SAFETY: a descriptor must not be closed under somebody who holds it. This is the first thing that
        // a compiler process does, with one thread, so nothing in it holds one above standard error, and
        // nothing else can have closed this one since it was seen to be open.
        unsafe { rustix::io::close(fd) };
    }
    Ok(())
}

/// Before a byte of the component is read. The limits are hard: they cannot be raised again.
fn limit_this_process(config: &SandboxConfig) -> io::Result<()> {
    // a kernel that will not have it does no harm
    let _ = nice(NICENESS);
    let seconds = config.compile_seconds;
    // at the first of the two the signal says why; the second cannot be caught
    limit(Resource::Cpu, seconds, seconds.saturating_add(1))?;
    for (resource, most) in [
        (Resource::As, config.compile_memory_bytes),
        // no file can be written, no core is dumped, and nothing more than a few files opened
        (Resource::Fsize, 0),
        (Resource::Core, 0),
        (Resource::Nofile, 16),
    ] {
        limit(resource, most, most)?;
    }
    Ok(())
}

fn limit(resource: Resource, current: u64, maximum: u64) -> io::Result<()> {
    let limit = Rlimit {
        current: Some(current),
        maximum: Some(maximum),
    };
    Ok(setrlimit(resource, limit)?)
}

/// Reads a component or module and writes what became of it, or why nothing did.
fn answer(task: Task, config: &SandboxConfig) -> io::Result<()> {
    // this thread was the last; root is not bound by it, so it is one wall more and no promise
    limit(Resource::Nproc, 0, 0)?;
    let mut wasm = Vec::new();
    let most = Sandbox::MAX_COMPONENT_BYTES as u64;
    io::stdin().lock().take(most).read_to_end(&mut wasm)?;
    let made = match task {
        Task::Compile => compile(config, &wasm),
        Task::Componentize => admit::component_of(&wasm),
    };
    let mut stdout = io::stdout().lock();
    match made {
        Ok(made) => {
            stdout.write_all(&[DONE])?;
            stdout.write_all(&made)?;
        }
        Err(error) => {
            let reason = match error {
                // the other side says the words before it
                SandboxError::Refused(reason) => reason,
                other => other.to_string(),
            };
            stdout.write_all(&[REFUSED])?;
            stdout.write_all(reason.as_bytes())?;
        }
    }
    stdout.flush()
}

fn compile(config: &SandboxConfig, wasm: &[u8]) -> Result<Vec<u8>, SandboxError> {
    super::component::check_format(wasm)?;
    engine::compiler(config)
        .and_then(|engine| engine.precompile_component(wasm))
        .map_err(|error| SandboxError::refused(&error))
}
