//! What the commands that run hookbox in this process set up from.

use std::path::{Path, PathBuf};

use clap::Args;
use ipnet::IpNet;

use super::error::{CliError, CliResult};
use crate::config::Config;

/// Where the configuration comes from, and what is laid over it.
#[derive(Debug, Args)]
pub(super) struct ConfigFlags {
    /// Configuration file; otherwise hookbox.toml in the working directory, if there is one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Network that deliveries may go to although it is not public, such as 10.0.0.0/8; adds to
    /// guard.allow_networks. May be given several times
    #[arg(long, value_name = "CIDR")]
    allow_network: Vec<IpNet>,
}

impl ConfigFlags {
    /// The configuration in force, with further values from the command line.
    pub(super) fn load(
        &self,
        overrides: &[(&'static str, figment::value::Value)],
    ) -> CliResult<Config> {
        let mut config =
            Config::load(self.config.as_deref(), overrides).map_err(CliError::failed)?;
        config.guard.allow_networks.extend(&self.allow_network);
        Ok(config)
    }
}

/// The folder of this user for compiled transformers, shared by the commands that have no data folder.
/// Without a home there is none, and everything is compiled anew.
pub(super) fn user_cache() -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_CACHE_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".cache")))
        .map(|path| path.join("hookbox"))
}

/// The defaults, for a run with a temporary store in `folder` that delivers on this machine only.
pub(super) fn temporary(folder: &Path) -> CliResult<Config> {
    let mut config = Config::defaults();
    config.storage.data_dir = user_cache().unwrap_or_else(|| folder.to_owned());
    config.guard.allow_networks = vec!["127.0.0.0/8".parse().map_err(CliError::failed)?];
    Ok(config)
}
