//! From uploaded bytes to a component that can run: what is accepted, and what it must fit.

use std::{fmt, sync::atomic::AtomicBool};

use sha2::{Digest, Sha256};
use wasmtime::{
    Engine,
    component::{Component, Linker},
};

use super::{
    Sandbox, SandboxError,
    bindings::{TransformerPre, types::Failure},
    imports::{self, State},
    run::CHECK,
    wasi,
};

/// A component, compiled and linked, ready for fresh instances.
pub(super) struct Compiled {
    pub(super) digest: [u8; 32],
    pub(super) sha256: String,
    pub(super) pre: TransformerPre<State>,
    /// Whether it exports `check`.
    pub(super) checks: bool,
    /// Bytes of the compiled artifact.
    pub(super) artifact_bytes: usize,
    /// Whether it was put on disk, or comes from there.
    pub(super) kept: AtomicBool,
}

/// A component, or a module that can be made into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Component,
    CoreModule,
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiled")
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}

/// The digest by which a component is known.
#[must_use]
pub fn digest(wasm: &[u8]) -> [u8; 32] {
    Sha256::digest(wasm).into()
}

/// Refuses all that is no component in the binary format, before the compiler sees it.
pub(super) fn check_format(wasm: &[u8]) -> Result<(), SandboxError> {
    match format(wasm)? {
        Format::Component => Ok(()),
        Format::CoreModule => Err(SandboxError::NotAComponent {
            found: "a core module",
            hint: "make a component of it, for one with `wasm-tools component new`",
        }),
    }
}

/// Refuses all that is no WebAssembly in the binary format, and all that is too large.
///
/// Precompiled artifacts matter most: they are native code, and loading one that a stranger made is
/// running it.
pub(super) fn format(wasm: &[u8]) -> Result<Format, SandboxError> {
    if wasm.len() > Sandbox::MAX_COMPONENT_BYTES {
        return Err(SandboxError::TooLarge {
            size: wasm.len(),
            limit: Sandbox::MAX_COMPONENT_BYTES,
        });
    }
    let (found, hint) = if Engine::detect_precompiled(wasm).is_some() {
        (
            "a precompiled artifact",
            "upload the .wasm it was made from; hookbox compiles it itself",
        )
    } else if let Some(header) = wasm.first_chunk::<8>() {
        // Core specification 5.5.16 and component model Binary.md: magic, version, layer.
        match header {
            b"\0asm\x0d\0\x01\0" => return Ok(Format::Component),
            b"\0asm\x01\0\0\0" => return Ok(Format::CoreModule),
            [b'\0', b'a', b's', b'm', ..] => (
                "WebAssembly of an unknown version",
                "build it with current tools",
            ),
            _ => other(wasm),
        }
    } else {
        other(wasm)
    };
    Err(SandboxError::NotAComponent { found, hint })
}

fn other(wasm: &[u8]) -> (&'static str, &'static str) {
    if wasm.trim_ascii_start().starts_with(b"(") {
        (
            "WebAssembly text",
            "turn it into the binary format, for one with `wasm-tools parse`",
        )
    } else if wasm.is_empty() {
        ("empty", "upload the bytes of a .wasm file")
    } else {
        ("something else", "upload the bytes of a .wasm file")
    }
}

/// Links a compiled component and checks that its imports and exports are the world's.
pub(super) fn link(
    linker: &Linker<State>,
    component: &Component,
    digest: [u8; 32],
) -> Result<Compiled, SandboxError> {
    imports::check_imports(component)?;
    if component.resources_required().is_none() {
        return Err(SandboxError::Import {
            name: "a core module".to_owned(),
            hint: "link it into the component",
        });
    }
    let mut linker = linker.clone();
    wasi::add(&mut linker, component).map_err(|error| SandboxError::world(&error))?;
    let pre = linker
        .instantiate_pre(component)
        .map_err(|error| SandboxError::world(&error))?;
    let pre = TransformerPre::new(pre).map_err(|error| SandboxError::world(&error))?;
    let checks = has_check(component)?;
    // now, not in the first render
    component
        .initialize_copy_on_write_image()
        .map_err(|error| SandboxError::refused(&error))?;
    Ok(Compiled {
        digest,
        sha256: hex::encode(digest),
        pre,
        checks,
        artifact_bytes: {
            let image = component.image_range();
            image.end.addr().saturating_sub(image.start.addr())
        },
        kept: AtomicBool::new(false),
    })
}

/// Whether the component has the optional export, which must then be of the world's type.
fn has_check(component: &Component) -> Result<bool, SandboxError> {
    use wasmtime::component::types::ComponentItem;
    let Some((item, _)) = component.get_export(None, CHECK) else {
        return Ok(false);
    };
    let fits = match item {
        ComponentItem::ComponentFunc(func) => func
            .typecheck::<(&str,), (Result<(), Failure>,)>(
                &component.component_type().instance_type(),
            )
            .is_ok(),
        _ => false,
    };
    if fits {
        Ok(true)
    } else {
        Err(SandboxError::World(
            "the export `check` has another type than in hookbox:transformer/checking-transformer"
                .to_owned(),
        ))
    }
}
