//! A core module with an embedded component type becomes a component.

use wit_component::ComponentEncoder;

use crate::{SandboxError, text::clean_line};

/// Makes the component, which is what `wasm-tools component new` would make of it.
///
/// The encoder was not written for hostile modules: run it where it may take long, or panic.
///
/// # Errors
/// The reason why no component can be made of the module, such as that no component type is embedded in it.
pub(crate) fn component_of(module: &[u8]) -> Result<Vec<u8>, SandboxError> {
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(ComponentEncoder::encode)
        .map_err(|error| {
            SandboxError::Refused(format!(
                "no component can be made of this core module: {}; build it with the bindings of \
                 hookbox:transformer, which embed the component type, or upload a component",
                clean_line(&format!("{error:#}"), 400)
            ))
        })
}
