//! Stage 4: the sandbox. A webhook's logic runs here, and nothing it does is felt outside.
// Placeholder until the real stage is merged.
#![expect(
    missing_docs,
    unused_variables,
    clippy::unimplemented,
    clippy::unused_async,
    clippy::needless_pass_by_value,
    reason = "placeholder"
)]
mod report;
pub use report::{Cost, ErrorKind, LogLevel, LogLine, Output, RenderError, Rendered, Rendering};
use std::{collections::BTreeMap, path::Path, sync::Arc};
pub const JINJA: &[u8] = b"";
#[derive(Debug, Clone)]
pub struct Sandbox;
#[derive(Debug, Clone)]
pub struct Transformer;
#[derive(Debug, thiserror::Error)]
#[error("no")]
pub struct SandboxError;
#[derive(Debug, Default)]
pub struct SecretHandles(pub BTreeMap<String, String>);
#[derive(Debug)]
pub struct RenderJob {
    pub event: Arc<str>,
    pub webhook: Arc<str>,
    pub secrets: Arc<SecretHandles>,
}
impl Transformer {
    pub fn label(&self) -> String {
        unimplemented!()
    }
}
impl Sandbox {
    pub fn new(
        config: &crate::config::SandboxConfig,
        cache_dir: Option<&Path>,
    ) -> Result<Self, SandboxError> {
        unimplemented!()
    }
    pub fn load(&self, name: &str, wasm: &[u8]) -> Result<Transformer, SandboxError> {
        unimplemented!()
    }
    pub async fn render(&self, transformer: &Transformer, job: RenderJob) -> Rendering {
        unimplemented!()
    }
    pub async fn check(
        &self,
        transformer: &Transformer,
        webhook: Arc<str>,
    ) -> Result<(), RenderError> {
        unimplemented!()
    }
}
