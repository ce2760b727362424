//! `hookbox openapi`: the API's description.

use std::io::{self, Write};

use clap::Args;

use super::error::{CliError, CliResult};

/// Print the OpenAPI description of the HTTP API
#[derive(Debug, Args)]
#[command(after_help = "Example:
  hookbox openapi > openapi.json")]
pub(super) struct OpenapiArgs {}

pub(super) fn run(_: &OpenapiArgs) -> CliResult {
    let text = serde_json::to_string_pretty(&crate::api::document()).map_err(CliError::failed)?;
    Ok(writeln!(io::stdout(), "{text}")?)
}
