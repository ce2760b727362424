//! Compiled code as bytes, and the one place where it becomes code again.

use wasmtime::{Engine, component::Component};

/// The bytes of `Component::serialize` or `Engine::precompile_component`, as this program made them.
///
/// Loading these bytes is running them, sooner or later. So they come from nowhere but the cache, which
/// has checked a MAC over all of them, and a compiler process of ours, over its pipe.
pub(super) struct Artifact<'a>(&'a [u8]);

impl<'a> Artifact<'a> {
    /// A promise of the caller: these are, unaltered, the bytes that this program's own compiler made.
    pub(super) const fn of_our_own(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The component. The engine refuses what was compiled for another version or configuration.
    #[expect(unsafe_code, reason = "turning bytes into code has no safe form")]
    pub(super) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: an `Artifact` is made only of bytes that `Component::serialize` or
        // `Engine::precompile_component` of this program returned, unaltered: that is the contract of
        // `of_our_own`, whose two callers say how they keep it. The bytes are borrowed in our own memory,
        // and copied before they are used, so nobody else can change them under the engine.
        unsafe { Component::deserialize(engine, self.0) }
    }
}
