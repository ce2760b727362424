//! Admission: the checks that a plugin must pass before it may run.
//!
//! 1. [`survey()`]: one pass over the bytes, which runs nothing and allocates next to nothing, with limits on
//!    everything whose compilation costs more than its bytes. What it refuses never reaches a compiler.
//! 2. A core module with an embedded component type becomes a component, and is surveyed again.
//! 3. The component is compiled, linked and checked against the world, as [`Sandbox::load`] does it. With
//!    [`Sandbox::with_compiler`], both this and the step before run in processes of their own.
//!
//! The caller makes the smoke test that follows, as it takes a webhook and an event.

mod code;
mod encode;
mod limits;
mod refusal;
mod survey;

use std::{borrow::Cow, fmt, time::Instant};

pub use limits::Measure;
pub use refusal::{Location, Refusal};
pub use survey::{Function, Survey, survey};

pub(super) use encode::component_of;

use super::{
    Purpose, Sandbox, SandboxError, Transformer,
    component::{Format, digest, format},
    wasi::is_refused_wasi,
};
use crate::config::PluginConfig;

/// A plugin that may run.
pub struct Admitted {
    /// It, ready to run.
    pub transformer: Transformer,
    /// The component: what was handed in, or what was made of the core module that was.
    pub component: Vec<u8>,
    /// Its measures.
    pub survey: Survey,
    /// Bytes of the machine code and its tables that it compiles to.
    pub compiled_bytes: usize,
    /// Milliseconds from the survey to the linked component; next to none if it was compiled before.
    pub compile_ms: u64,
    /// Whether it was compiled before: what that cost is not known any more.
    pub compiled_before: bool,
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted")
            .field("transformer", &self.transformer)
            .field("survey", &self.survey)
            .field("compiled_bytes", &self.compiled_bytes)
            .field("compile_ms", &self.compile_ms)
            .finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Takes a plugin in: all checks that need no event. Nothing of it runs yet, and what it compiles to is not
    /// kept on disk before it is known to be wanted: see [`Sandbox::keep`].
    ///
    /// Blocking: a second per 30 MB for the survey, and up to ten times `sandbox.compile_seconds` by
    /// the clock to compile. Memory: a few times the size of `wasm` here; the compiler's is bounded in its own process.
    ///
    /// # Errors
    /// Where [`SandboxError::is_refusal`], why the plugin is refused, in words for its author.
    pub fn admit(
        &self,
        name: &str,
        wasm: &[u8],
        limits: &PluginConfig,
    ) -> Result<Admitted, SandboxError> {
        let format = format(wasm)?;
        let mut found = survey(wasm, limits)?;
        let component = match format {
            Format::Component => Cow::Borrowed(wasm),
            Format::CoreModule if !found.component_type => {
                return Err(Refusal::NoComponentType.into());
            }
            Format::CoreModule => {
                let component = self.inner.compiler.component_of(wasm)?;
                // by another program's account a component; whatever it is, it gets no further unseen
                found = survey(&component, limits)?;
                Cow::Owned(component)
            }
        };
        // linking would find it as well, after a compilation that may take seconds
        if let Some(name) = found.imports.iter().find(|name| is_refused_wasi(name)) {
            return Err(SandboxError::import(name));
        }
        let before = self.cached(name, &digest(&component));
        let started = Instant::now();
        let transformer = self.ready(Purpose::Admit, &self.inner.compiler, name, &component)?;
        Ok(Admitted {
            compile_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            compiled_before: before.is_some(),
            compiled_bytes: transformer.compiled.artifact_bytes,
            transformer,
            component: component.into_owned(),
            survey: found,
        })
    }
}
