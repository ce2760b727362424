//! The setup of commands that run hookbox in this process.

use std::{
    io::{self, Write},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use clap::Args;
use ipnet::IpNet;
use tokio::net::TcpListener;

use super::error::{CliError, CliResult};
use crate::{
    config::{Config, redis_address::Address},
    model::Secret,
};

/// Where the configuration comes from, and what is laid over it.
#[derive(Debug, Args)]
pub(super) struct ConfigFlags {
    /// Configuration file; otherwise hookbox.toml in the working directory, if there is one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Network that deliveries may go to although it is not public, such as 10.0.0.0/8; adds to
    /// guard.allow_networks. May be given several times
    #[arg(long, value_name = "CIDR", value_parser = network)]
    allow_network: Vec<IpNet>,
}

impl ConfigFlags {
    /// The configuration in force, with further values from the command line.
    pub(super) fn load(&self, overrides: &Overrides) -> CliResult<Config> {
        let mut config =
            Config::load(self.config.as_deref(), &overrides.0).map_err(CliError::failed)?;
        config.guard.allow_networks.extend(&self.allow_network);
        Ok(config)
    }
}

/// The keys of the configuration that the command line overrides.
#[derive(Default)]
pub(super) struct Overrides(Vec<(&'static str, figment::value::Value)>);

impl Overrides {
    pub(super) fn set(&mut self, key: &'static str, value: impl Into<figment::value::Value>) {
        self.0.push((key, value.into()));
    }
}

/// Which Redis.
#[derive(Debug, Args)]
pub(super) struct RedisFlag {
    /// Redis (or Valkey) to run on, such as redis://10.0.0.5:6379; takes the place of redis.url, whose comment
    /// tells all its forms. A command line can be seen by others on the machine: give a password in the
    /// variable HOOKBOX__REDIS__URL instead
    #[arg(long, value_name = "URL", value_parser = any_secret)]
    redis: Option<Secret>,
}

impl RedisFlag {
    pub(super) fn lay_over(&self, overrides: &mut Overrides) -> CliResult {
        if let Some(url) = &self.redis {
            address(url)?;
            overrides.set("redis.url", url.expose());
        }
        Ok(())
    }
}

/// The address in `--redis`.
pub(super) fn address(url: &Secret) -> CliResult<Address> {
    let address = url.expose().parse();
    address.map_err(|e| CliError::usage(format!("--redis: {e}")))
}

/// An argument that no error message of the option parser may repeat.
pub(super) fn any_secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

/// A network, or one address as the network of it alone.
fn network(text: &str) -> Result<IpNet, String> {
    let one = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or_else(|_| one()).map_err(|_| {
        "must be a network such as 10.0.0.0/8, or an address such as 10.0.0.5; a receiver's name goes into guard.allow_hosts"
            .to_owned()
    })
}

/// Where to listen.
pub(super) fn socket(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "must be an address and a port, such as 127.0.0.1:8844 for this machine alone or 0.0.0.0:8844 for all".to_owned()
    })
}

/// Says on stdout that a server runs; whether that could be said. It runs all the same.
pub(super) fn announce(text: &str) -> bool {
    let mut out = io::stdout();
    let said = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if let Err(error) = &said {
        tracing::warn!(%error, "this server runs, but that cannot be said on standard output");
    }
    said.is_ok()
}

/// Listens on an address from the command line or the configuration.
///
/// # Errors
/// One line that says what to do.
pub(super) async fn bind(address: SocketAddr) -> CliResult<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| {
        CliError::failed(match e.kind() {
            io::ErrorKind::AddrInUse => format!(
                "{address} is in use: stop what listens there, or choose another with --listen"
            ),
            _ => format!("cannot listen on {address}: {e}"),
        })
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_addresses_are_taken_and_what_is_neither_is_told_what_to_be() {
        let of = |text: &str| network(text).map(|network| network.to_string());
        assert_eq!(of("10.0.0.0/8").as_deref(), Ok("10.0.0.0/8"));
        assert_eq!(of("10.0.0.5").as_deref(), Ok("10.0.0.5/32"));
        assert_eq!(of("::1").as_deref(), Ok("::1/128"));
        for wrong in ["", "localhost", "10.0.0.0/33", "10.0.0"] {
            assert!(of(wrong).unwrap_err().contains("10.0.0.0/8"), "{wrong}");
        }
        assert!(socket("127.0.0.1:0").is_ok() && socket("[::]:80").is_ok());
        for wrong in ["8844", "localhost:8844", ":8844", "127.0.0.1"] {
            assert!(
                socket(wrong).unwrap_err().contains("127.0.0.1:8844"),
                "{wrong}"
            );
        }
    }
}
