//! The sections `[sandbox]` and `[plugins]` of the configuration.
//!
//! Each key is documented in `host/config.default.toml`, with its default and the reason for it.

use serde::{Deserialize, Serialize};

/// `[sandbox]`: what one run may use, and what is kept of compiled components.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "each key is documented in config.default.toml, the one place"
)]
pub struct SandboxConfig {
    pub threads: usize,
    pub fuel: u64,
    pub deadline_ms: u64,
    pub memory_bytes: usize,
    pub stack_bytes: usize,
    pub table_elements: usize,
    pub body_bytes: usize,
    pub headers: usize,
    pub header_bytes: usize,
    pub url_bytes: usize,
    pub log_bytes: usize,
    pub compile_seconds: u64,
    pub compile_memory_bytes: u64,
    pub compiled_bytes: u64,
    pub cache_bytes: u64,
}

/// `[plugins]`: what a component may contain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "each key is documented in config.default.toml, the one place"
)]
pub struct PluginConfig {
    pub bytes: u64,
    pub sections: u64,
    pub modules: u64,
    pub components: u64,
    pub component_depth: u64,
    pub instances: u64,
    pub functions: u64,
    pub function_bytes: u64,
    pub locals: u64,
    pub block_depth: u64,
    pub branch_targets: u64,
    pub types: u64,
    pub type_bytes: u64,
    pub items: u64,
    pub segments: u64,
    pub run_bytes: u64,
    pub custom_bytes: u64,
    pub loaded_bytes: u64,
}

#[cfg(test)]
pub(crate) mod tests {
    use figment::{
        Figment,
        providers::{Format, Toml},
    };

    use super::*;

    /// The two sections as `host/config.default.toml` has them.
    #[derive(Deserialize)]
    pub(crate) struct Config {
        pub(crate) sandbox: SandboxConfig,
        pub(crate) plugins: PluginConfig,
    }

    impl Config {
        pub(crate) fn defaults() -> Self {
            let defaults = Toml::string(include_str!("../../config.default.toml"));
            Figment::from(defaults).extract().unwrap()
        }
    }
}
