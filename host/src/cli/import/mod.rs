//! `hookbox import`: takes over what another program has configured.

mod check;
mod http;
mod inspect;
mod netbox;
mod outcome;
mod plan;
mod python;
mod source;
mod translate;

use clap::{Args, Subcommand};

use super::error::CliResult;

/// Take over webhooks and event rules from another program
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    #[command(subcommand)]
    command: ImportCommand,
}

#[derive(Debug, Subcommand)]
enum ImportCommand {
    Netbox(netbox::NetboxArgs),
}

pub(super) async fn run(args: ImportArgs) -> CliResult {
    match args.command {
        ImportCommand::Netbox(args) => netbox::run(args).await,
    }
}
