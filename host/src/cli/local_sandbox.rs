//! Sandboxes of this process, for the commands that render without a server.

use super::{
    error::{CliError, CliResult},
    setup::user_cache,
};
use crate::{
    config::{Config, SandboxConfig},
    sandbox::{Admitted, Sandbox, SandboxError, Transformer},
    transformers::open_sandbox,
};

/// A sandbox with the built-in transformer.
pub(super) async fn built_in(limits: &SandboxConfig) -> CliResult<(Sandbox, Transformer)> {
    let limits = limits.clone();
    let open = move || {
        let cache = user_cache().map(|dir| dir.join("cache"));
        open_sandbox(&limits, cache.as_deref()).map_err(CliError::failed)
    };
    tokio::task::spawn_blocking(open)
        .await
        .map_err(CliError::failed)?
}

/// A sandbox with a plugin. A plugin may come from anybody, so a process of its own compiles it. The machine code is
/// kept for the next command.
///
/// # Errors
/// The outer error is the machine's, the inner one says why the plugin may not run.
pub(super) async fn admit(
    name: &str,
    wasm: Vec<u8>,
    config: &Config,
) -> CliResult<Result<(Sandbox, Admitted), SandboxError>> {
    let (limits, plugins) = (config.sandbox.clone(), config.plugins.clone());
    let name = name.to_owned();
    let admit = move || {
        let cache = user_cache().map(|dir| dir.join("cache"));
        let program = std::env::current_exe()?;
        let sandbox =
            Sandbox::with_compiler(&limits, cache.as_deref(), program).map_err(CliError::failed)?;
        Ok(sandbox.admit(&name, &wasm, &plugins).map(|admitted| {
            sandbox.keep("", &admitted.transformer);
            (sandbox, admitted)
        }))
    };
    tokio::task::spawn_blocking(admit)
        .await
        .map_err(CliError::failed)?
}

/// As [`admit`], for a caller to whom every error is final. `place` says where the plugin comes from.
pub(super) async fn plugin(
    name: &str,
    wasm: Vec<u8>,
    place: &str,
    config: &Config,
) -> CliResult<(Sandbox, Transformer)> {
    let admitted = admit(name, wasm, config).await?;
    let (sandbox, admitted) = admitted.map_err(|e| CliError::failed(format!("{place}: {e}")))?;
    Ok((sandbox, admitted.transformer))
}
