//! Compiling in a process of its own.
//!
//! What a guest does when it runs is bounded to the instruction; what a compiler does with a hostile
//! component is not. So it does it in a child with hard limits: no environment, few files, no way to
//! write any, a minute of CPU, two gigabytes. The component goes in on its standard input and the
//! artifact, or the reason why there is none, comes back on its standard output.

use std::{
    io::{self, Read, Write},
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    thread,
};

use rustix::process::{Resource, Rlimit, setrlimit};
use wasmtime::{Engine, component::Component};

use super::{Sandbox, SandboxError, artifact::Artifact, engine, text::clean_line};
use crate::config::SandboxConfig;

/// The first argument of a compiler process.
const ARGUMENT: &str = "__compile-component";
/// CPU seconds of one compilation.
const CPU_SECONDS: u64 = 60;
/// Address space of one compilation.
const ADDRESS_SPACE: u64 = 2 << 30;
/// The most bytes of an artifact that are taken back.
const MAX_ARTIFACT: u64 = 1 << 30;
/// Stack of the thread that compiles: generous, as the compiler recurses on what it is given.
const STACK: usize = 64 << 20;
/// What the answer begins with.
const COMPILED: u8 = 0;
const REFUSED: u8 = 1;

/// Where components are compiled.
pub(super) enum Compiler {
    /// In this process: for components that are our own or the operator's.
    Here,
    /// In a process of its own each.
    Process {
        program: PathBuf,
        /// The configuration as JSON: both sides' engines must agree.
        config: String,
    },
}

impl Compiler {
    pub(super) fn process(program: PathBuf, config: &SandboxConfig) -> Result<Self, SandboxError> {
        let config =
            serde_json::to_string(config).map_err(|e| SandboxError::Engine(e.to_string()))?;
        Ok(Self::Process { program, config })
    }

    /// Compiles a component in the binary format. Blocking, up to a minute or two.
    pub(super) fn compile(&self, engine: &Engine, wasm: &[u8]) -> Result<Component, SandboxError> {
        match self {
            Self::Here => Component::from_binary(engine, wasm),
            Self::Process { program, config } => {
                let artifact = run(Command::new(program).args([ARGUMENT, config]), wasm)?;
                // our own compiler's answer, over a pipe that nobody else holds
                Artifact::of_our_own(&artifact).load(engine)
            }
        }
        .map_err(|error| SandboxError::refused(&error))
    }
}

/// Runs a compiler process on a component and takes its answer apart.
fn run(command: &mut Command, wasm: &[u8]) -> Result<Vec<u8>, SandboxError> {
    let mut child = command
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(SandboxError::Compiler)?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let mut answer = Vec::new();
    let read = thread::scope(|scope| {
        // a child that ends early breaks the pipe; its answer, or the lack of it, tells why
        scope.spawn(|| stdin.map(|mut stdin| stdin.write_all(wasm)));
        stdout.map_or(Ok(0), |stdout| {
            stdout.take(MAX_ARTIFACT).read_to_end(&mut answer)
        })
    });
    // whatever it does now is of no use any more; it may have ended already
    let _ = child.kill();
    child.wait().and(read).map_err(SandboxError::Compiler)?;
    match answer.split_first() {
        Some((&COMPILED, _)) => {
            answer.remove(0);
            Ok(answer)
        }
        Some((&REFUSED, reason)) => Err(SandboxError::Refused(clean_line(
            &String::from_utf8_lossy(reason),
            600,
        ))),
        _ => Err(SandboxError::Refused(format!(
            "compiling it takes more than {CPU_SECONDS} seconds or {} MiB of memory; make it smaller, or \
             split its largest functions",
            ADDRESS_SPACE >> 20
        ))),
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
    let config = arguments.next().unwrap_or_default();
    let served = limit_this_process().and_then(|()| {
        thread::Builder::new()
            .stack_size(STACK)
            .spawn(move || serve(&config))?
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the compiler panicked")))
    });
    Some(if served.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Before a byte of the component is read. The limits are hard: they cannot be raised again.
fn limit_this_process() -> io::Result<()> {
    for (resource, most) in [
        (Resource::Cpu, CPU_SECONDS),
        (Resource::As, ADDRESS_SPACE),
        // no file can be written, no core is dumped, and nothing more than a few files opened
        (Resource::Fsize, 0),
        (Resource::Core, 0),
        (Resource::Nofile, 16),
    ] {
        setrlimit(
            resource,
            Rlimit {
                current: Some(most),
                maximum: Some(most),
            },
        )?;
    }
    Ok(())
}

fn serve(config: &str) -> io::Result<()> {
    let config: SandboxConfig = serde_json::from_str(config)?;
    let mut wasm = Vec::new();
    let most = Sandbox::MAX_COMPONENT_BYTES as u64;
    io::stdin().lock().take(most).read_to_end(&mut wasm)?;
    let artifact = engine::compiler(&config)
        .map_err(|error| SandboxError::refused(&error))
        .and_then(|engine| {
            super::component::check_format(&wasm)?;
            engine
                .precompile_component(&wasm)
                .map_err(|error| SandboxError::refused(&error))
        });
    let mut stdout = io::stdout().lock();
    match artifact {
        Ok(artifact) => {
            stdout.write_all(&[COMPILED])?;
            stdout.write_all(&artifact)?;
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
