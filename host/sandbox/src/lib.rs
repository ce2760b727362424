//! Stage 4: the sandbox. A webhook's logic runs here, and nothing it does is felt outside.
//!
//! Every run has a fresh instance: a new store with new memory, in which fuel, a wall-clock deadline,
//! memory, tables, stack, handles, logs and output are all bounded before the guest's first
//! instruction, and which is gone before the result is seen. Guests import two functions, `log` and
//! `secret`; there is no clock, file, socket, environment or randomness to be had, only a stand-in for what
//! compilers import of WASI without being asked.
//!
//! - [`Sandbox::load`] turns uploaded bytes into a [`Transformer`], or says why they are none;
//!   [`Sandbox::cached`] does so without the bytes, if they were compiled before.
//! - [`Sandbox::admit`] does so for strangers: what a plugin must pass before it may run.
//! - [`Sandbox::render`] runs it for one event. Whatever the guest does, what comes back is a
//!   [`Rendering`].

mod admit;
mod artifact;
mod bindings;
mod builtin;
mod cache;
mod compile;
mod component;
pub mod config;
mod engine;
mod error;
pub mod eviction;
mod fair_queue;
mod fault;
mod imports;
mod limits;
mod log;
mod outside;
mod report;
mod run;
mod text;
mod threads;
mod wasi;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak, atomic::Ordering},
};

use wasmtime::{Engine, component::Linker};

pub use admit::{Admitted, Function, Location, Measure, Refusal, Survey, survey};
pub use builtin::JINJA;
pub use compile::serve_as_compiler;
pub use component::digest;
pub use error::SandboxError;
pub use outside::OutsideAnswer;
pub use report::{Cost, ErrorKind, LogLevel, LogLine, Output, RenderError, Rendered, Rendering};
pub use wasi::has_stand_in;

use self::{
    cache::Cache, compile::Compiler, component::Compiled, imports::State, limits::Limits,
    threads::RenderThreads,
};
use crate::config::SandboxConfig;

/// The engine with its threads and caches. Cheap to clone; the last clone ends them.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    linker: Linker<State>,
    limits: Limits,
    threads: RenderThreads,
    disk: Option<Cache>,
    compiler: Compiler,
    /// The components that are loaded now, by digest: the same component of many tenants is held once.
    loaded: Mutex<HashMap<[u8; 32], Weak<Compiled>>>,
    /// One compilation at a time for each purpose: it is the one thing here whose memory a guest's author can
    /// drive up, and who uploads must not hold up what runs.
    loading: Mutex<()>,
    admitting: Mutex<()>,
}

/// The purpose for which a component is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To run it.
    Load,
    /// To see whether it can be.
    Admit,
}

/// A component that is ready to run. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Transformer {
    name: Arc<str>,
    compiled: Arc<Compiled>,
}

/// The input of a run.
#[derive(Clone, Debug)]
pub struct RenderJob {
    /// The event's context: the text of a JSON object.
    pub event: Arc<str>,
    /// The webhook as the world describes it: the text of a JSON object.
    pub webhook: Arc<str>,
    /// The secrets it may name.
    pub secrets: Arc<dyn SecretSource>,
    /// The owner of the run, such as a tenant's id. Owners with work get equal shares of the render threads' time.
    pub owner: Arc<str>,
}

/// The source from which `host.secret(name)` answers during one render. The secrets themselves never come near a guest.
pub trait SecretSource: fmt::Debug + Send + Sync {
    /// The handle that stands for the secret of this name, if there is one. The same at every call.
    fn handle(&self, name: &str) -> Option<String>;

    /// All handles by name, for what runs where it cannot ask.
    fn all(&self) -> BTreeMap<String, String>;
}

/// Handles by name, all made beforehand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretHandles(pub BTreeMap<String, String>);

impl SecretSource for SecretHandles {
    fn handle(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    fn all(&self) -> BTreeMap<String, String> {
        self.0.clone()
    }
}

impl Sandbox {
    /// The most bytes a component may have.
    pub const MAX_COMPONENT_BYTES: usize = 32 << 20;

    /// Starts the engine and its render threads.
    ///
    /// `cache_dir` is a private folder for compiled artifacts, made if need be; with `None`, or if the
    /// folder cannot be trusted or used (which is logged), every start compiles anew.
    ///
    /// # Errors
    /// [`SandboxError::Engine`] or [`SandboxError::Threads`] if the system lacks what it takes.
    pub fn new(config: &SandboxConfig, cache_dir: Option<&Path>) -> Result<Self, SandboxError> {
        Self::start(config, cache_dir, Compiler::Here)
    }

    /// The same, but components are compiled in processes of their own, with limits on time and memory:
    /// the way to take components from strangers, as a compiler can be made to work very long on very
    /// little.
    ///
    /// `program` is run for it, as this very program; its `main` must begin with [`serve_as_compiler`].
    ///
    /// # Errors
    /// As [`Sandbox::new`].
    pub fn with_compiler(
        config: &SandboxConfig,
        cache_dir: Option<&Path>,
        program: PathBuf,
    ) -> Result<Self, SandboxError> {
        Self::start(config, cache_dir, Compiler::process(program, config))
    }

    fn start(
        config: &SandboxConfig,
        cache_dir: Option<&Path>,
        compiler: Compiler,
    ) -> Result<Self, SandboxError> {
        let (engine, threads) = engine::build(config)?;
        let linker =
            imports::linker(&engine).map_err(|e| SandboxError::Engine(format!("{e:#}")))?;
        let threads =
            RenderThreads::start(threads, config.stack_bytes).map_err(SandboxError::Threads)?;
        let disk = cache_dir.and_then(|dir| match Cache::open(dir, &engine, config.cache_bytes) {
            Ok(cache) => Some(cache),
            Err(error) => {
                tracing::warn!(%error, "compiled transformers are not cached");
                None
            }
        });
        Ok(Self {
            inner: Arc::new(Inner {
                engine,
                linker,
                limits: Limits::new(config),
                threads,
                disk,
                compiler,
                loaded: Mutex::default(),
                loading: Mutex::default(),
                admitting: Mutex::default(),
            }),
        })
    }

    /// Compiles a component, or takes it from a cache, and checks that it fits the world.
    ///
    /// Blocking, from some milliseconds (cached) to many seconds: call it in `spawn_blocking`. Nothing of
    /// the component runs yet.
    ///
    /// # Errors
    /// Why the component is refused, in words for its author.
    pub fn load(&self, name: &str, wasm: &[u8]) -> Result<Transformer, SandboxError> {
        let transformer = self.ready(Purpose::Load, &self.inner.compiler, name, wasm)?;
        self.keep("", &transformer);
        Ok(transformer)
    }

    /// [`Sandbox::load`] for somebody, such as a tenant, in whose share of the cache on disk it is kept.
    ///
    /// # Errors
    /// As [`Sandbox::load`].
    pub fn load_for(&self, owner: &str, wasm: &[u8]) -> Result<Transformer, SandboxError> {
        let transformer = self.ready(Purpose::Load, &self.inner.compiler, "", wasm)?;
        self.keep(owner, &transformer);
        Ok(transformer)
    }

    /// [`Sandbox::load`] for a component that is our own, as the built-in one: it is compiled in this
    /// process.
    ///
    /// # Errors
    /// As [`Sandbox::load`].
    pub fn load_own(&self, name: &str, wasm: &[u8]) -> Result<Transformer, SandboxError> {
        let transformer = self.ready(Purpose::Load, &Compiler::Here, name, wasm)?;
        self.keep("", &transformer);
        Ok(transformer)
    }

    /// Keeps what a component was compiled to in the cache on disk, in the share of an owner; does nothing if there is
    /// no cache, or it was kept before, for whomever. Blocking, up to a second. Failing to is logged and no error: it
    /// costs a compilation at the next start.
    pub fn keep(&self, owner: &str, transformer: &Transformer) {
        let compiled = &transformer.compiled;
        if let Some(disk) = &self.inner.disk
            && !compiled.kept.swap(true, Ordering::Relaxed)
        {
            disk.store(
                owner,
                &compiled.digest,
                compiled.pre.instance_pre().component(),
            );
        }
    }

    /// The component of this SHA-256, if it is in use now or in the cache on disk. Nothing is compiled, and
    /// nobody who compiles is waited for. Blocking, up to some tens of milliseconds.
    #[must_use]
    pub fn cached(&self, name: &str, digest: &[u8; 32]) -> Option<Transformer> {
        let compiled = match self.inner.find(digest) {
            Some(compiled) => compiled,
            None => self.inner.on_disk(digest)?,
        };
        Some(Transformer {
            name: name.into(),
            compiled,
        })
    }

    /// The component, compiled if need be. What was compiled is not kept on disk.
    fn ready(
        &self,
        purpose: Purpose,
        compiler: &Compiler,
        name: &str,
        wasm: &[u8],
    ) -> Result<Transformer, SandboxError> {
        component::check_format(wasm)?;
        let digest = digest(wasm);
        let cached = self.cached(name, &digest);
        if let Some(transformer) = cached {
            return Ok(transformer);
        }
        let turn = match purpose {
            Purpose::Load => &self.inner.loading,
            Purpose::Admit => &self.inner.admitting,
        };
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        // somebody else may have just done it
        if let Some(transformer) = self.cached(name, &digest) {
            return Ok(transformer);
        }
        Ok(Transformer {
            name: name.into(),
            compiled: self.inner.compile(compiler, digest, wasm)?,
        })
    }

    /// Runs `transform` in a fresh instance on a render thread.
    ///
    /// Waits for its turn when all threads are busy; the wait is not part of the cost. Never fails: all
    /// that can go wrong is an [`Output::Error`].
    pub async fn render(&self, transformer: &Transformer, job: RenderJob) -> Rendering {
        let compiled = Arc::clone(&transformer.compiled);
        let limits = self.inner.limits;
        let owner = Arc::clone(&job.owner);
        let work = move || run::transform(&compiled.pre, &limits, job);
        match self.inner.threads.run(&owner, work).await {
            Ok(rendering) => rendering,
            Err(threads::Died) => Rendering {
                output: Output::Error(fault::internal()),
                cost: Cost::default(),
                logs: Vec::new(),
            },
        }
    }

    /// Makes a fresh instance and drops it, on the calling thread: for measuring what that alone costs.
    ///
    /// # Errors
    /// As a render's, if the guest's start code fails.
    pub fn instantiate(&self, transformer: &Transformer) -> Result<Cost, RenderError> {
        run::instantiate(&transformer.compiled.pre, &self.inner.limits)
    }

    /// Runs the optional `check` export on a webhook (a JSON object), with the limits of a render and
    /// without secrets.
    ///
    /// # Errors
    /// The transformer's objection to the webhook, or the failure of `check` itself. A component without
    /// the export has nothing against any webhook.
    pub async fn check(
        &self,
        transformer: &Transformer,
        webhook: Arc<str>,
    ) -> Result<(), RenderError> {
        if !transformer.compiled.checks {
            return Ok(());
        }
        let compiled = Arc::clone(&transformer.compiled);
        let limits = self.inner.limits;
        let work = move || run::check(compiled.pre.instance_pre(), &limits, &webhook);
        // Callers let one in at a time.
        let owner = Arc::default();
        match self.inner.threads.run(&owner, work).await {
            Ok(verdict) => verdict,
            Err(threads::Died) => Err(fault::internal()),
        }
    }
}

impl Inner {
    fn find(&self, digest: &[u8; 32]) -> Option<Arc<Compiled>> {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.get(digest)?.upgrade()
    }

    /// A transformer that was compiled by an earlier process, or this one, and has been dropped since.
    fn on_disk(&self, digest: &[u8; 32]) -> Option<Arc<Compiled>> {
        let component = self.disk.as_ref()?.load(&self.engine, digest)?;
        // A component that was compiled under another world is compiled, and refused, anew.
        let compiled = component::link(&self.linker, &component, *digest).ok()?;
        compiled.kept.store(true, Ordering::Relaxed);
        Some(self.share(*digest, compiled))
    }

    fn compile(
        &self,
        compiler: &Compiler,
        digest: [u8; 32],
        wasm: &[u8],
    ) -> Result<Arc<Compiled>, SandboxError> {
        let component = compiler.compile(&self.engine, wasm)?;
        let compiled = component::link(&self.linker, &component, digest)?;
        Ok(self.share(digest, compiled))
    }

    fn share(&self, digest: [u8; 32], compiled: Compiled) -> Arc<Compiled> {
        let compiled = Arc::new(compiled);
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|_, compiled| compiled.strong_count() > 0);
        // If another thread was faster, its copy is the one to share.
        match loaded.get(&digest).and_then(Weak::upgrade) {
            Some(first) => first,
            None => {
                loaded.insert(digest, Arc::downgrade(&compiled));
                compiled
            }
        }
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox")
            .field("limits", &self.inner.limits)
            .finish_non_exhaustive()
    }
}

impl Transformer {
    /// The name it was loaded under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same component under another name.
    #[must_use]
    pub fn named(&self, name: &str) -> Self {
        Self {
            name: name.into(),
            compiled: Arc::clone(&self.compiled),
        }
    }

    /// Bytes of its machine code and tables, which it holds as long as it or a clone of it is there.
    #[must_use]
    pub fn compiled_bytes(&self) -> usize {
        self.compiled.artifact_bytes
    }

    /// The SHA-256 of the component's bytes, in hex.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.compiled.sha256
    }

    /// `name@` and the first 12 hex digits of the digest: enough to tell versions apart in records.
    #[must_use]
    pub fn label(&self) -> String {
        let digest = self.sha256();
        format!("{}@{}", self.name, digest.get(..12).unwrap_or(digest))
    }
}
