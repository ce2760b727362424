//! `hookbox config`: the configuration in force.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::Args;
use serde_json::Value;

use super::error::{CliError, CliResult};
use crate::config::{Config, DEFAULTS};

/// Print the configuration in force
///
/// That is the defaults, overlaid by the file (hookbox.toml in the working directory, if there is one and
/// no other is named) and the environment.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hookbox config                           what `serve` would use
  hookbox config --default > hookbox.toml  every key with its default and the reason, to start from
  HOOKBOX__WORKER__CONCURRENCY=64 hookbox config --json")]
pub(super) struct ConfigArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the documented defaults instead
    #[arg(long, conflicts_with_all = ["config", "json"])]
    default: bool,
    /// Print JSON instead of TOML
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ConfigArgs) -> CliResult {
    let mut out = io::stdout().lock();
    if args.default {
        return Ok(out.write_all(DEFAULTS.as_bytes())?);
    }
    let config = Config::load(args.config.as_deref(), &[]).map_err(CliError::failed)?;
    let value = serde_json::to_value(&config).map_err(CliError::failed)?;
    if args.json {
        writeln!(out, "{value:#}")?;
    } else {
        out.write_all(toml(&value).as_bytes())?;
    }
    Ok(())
}

/// The configuration as TOML. It has sections of plain values and lists, and those look the same in JSON.
fn toml(config: &Value) -> String {
    let mut text = String::new();
    for (name, section) in config.as_object().into_iter().flatten() {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("[{name}]\n"));
        for (key, value) in section.as_object().into_iter().flatten() {
            text.push_str(&format!("{key} = {value}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_read_again() {
        let mut config = Config::defaults();
        config.guard.allow_hosts = vec!["a\"b\\c\u{1}".to_owned()];
        config.guard.allow_networks = vec!["10.0.0.0/8".parse().unwrap()];
        config.retry.jitter = 0.25;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), toml(&serde_json::to_value(&config).unwrap())).unwrap();
        assert_eq!(Config::load(Some(file.path()), &[]).unwrap(), config);
    }
}
