//! Why a sandbox cannot start, or a component cannot be loaded.

use super::{admit::Refusal, text::clean_line};

/// Why a sandbox cannot start, or why a component is refused.
///
/// Where [`SandboxError::is_refusal`] holds, the component is at fault, and the message is for its author: it
/// names nothing of this machine. The others are for the operator alone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The engine cannot be set up, for one because there is too little address space.
    #[error(
        "the sandbox cannot start: {0}; lower sandbox.threads, or lift the limit on this process's \
         address space"
    )]
    Engine(String),
    /// The render threads cannot be started.
    #[error("the sandbox cannot start its render threads: {0}; lower sandbox.threads")]
    Threads(std::io::Error),
    /// The compiler process cannot be run. Nobody's component is at fault.
    #[error("the compiler process cannot be run: {0}")]
    Compiler(std::io::Error),
    /// The component is bigger than [`super::Sandbox::MAX_COMPONENT_BYTES`].
    #[error("the component is {size} bytes; at most {limit} are accepted")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The most.
        limit: usize,
    },
    /// These bytes are no WebAssembly component in the binary format.
    #[error("this is not a WebAssembly component but {found}; {hint}")]
    NotAComponent {
        /// The type that it has instead.
        found: &'static str,
        /// The remedy.
        hint: &'static str,
    },
    /// The component does not validate, uses a feature that is off, or needs more than the sandbox has.
    #[error("the component is refused: {0}")]
    Refused(String),
    /// Its compilation was stopped.
    #[error(
        "the component is refused: compiling it takes more than {limit} {unit} ({key}); make it smaller, \
         or split its largest functions"
    )]
    TooExpensive {
        /// The most it may take.
        limit: u64,
        /// Of what.
        unit: &'static str,
        /// The configuration's key.
        key: &'static str,
    },
    /// There is too much of something in the component, or it is damaged.
    #[error("the component is refused: {0}")]
    Structure(#[from] Refusal),
    /// The component imports what a transformer cannot have.
    #[error(
        "the component imports `{name}`, but a transformer can import only hookbox:transformer/host and \
         what of WASI 0.2 has a stand-in: it computes and has no files, network or environment; {hint}"
    )]
    Import {
        /// The import.
        name: String,
        /// The remedy.
        hint: &'static str,
    },
    /// The component does not export what a transformer must, or with another type.
    #[error("the component does not fit the world hookbox:transformer/transformer@1.0.0: {0}")]
    World(String),
}

impl SandboxError {
    /// Whether the component is at fault, not the machine.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        !matches!(self, Self::Engine(_) | Self::Threads(_) | Self::Compiler(_))
    }

    /// The engine's own words for it. They come from what a stranger uploaded, so they are cleaned and cut.
    pub(super) fn refused(error: &wasmtime::Error) -> Self {
        Self::Refused(describe(error))
    }

    /// Of an import that a transformer cannot have, as its author named it.
    pub(super) fn import(name: &str) -> Self {
        Self::Import {
            hint: hint(name),
            name: clean_line(name, 200),
        }
    }

    pub(super) fn world(error: &wasmtime::Error) -> Self {
        Self::World(describe(error))
    }
}

/// The most that is told of the engine's opinion.
const MAX_DESCRIPTION: usize = 600;

fn describe(error: &wasmtime::Error) -> String {
    let mut text = String::new();
    for (i, cause) in error.chain().enumerate().take(8) {
        if i > 0 {
            text.push_str(": ");
        }
        text.push_str(&cause.to_string());
    }
    clean_line(&text, MAX_DESCRIPTION)
}

/// The remedy for an import that is refused.
fn hint(name: &str) -> &'static str {
    if name.starts_with("wasi:http/") {
        "leave out `fetch` and the like; for JavaScript, build with `disableFeatures: ['http', 'fetch-event']`"
    } else if name.starts_with("wasi:") {
        "of WASI there is a part of 0.2: cli, clocks, io, random, filesystem without files, and sockets that end the run"
    } else {
        "leave out what needs it"
    }
}
