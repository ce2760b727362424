//! The command line. Each command has a file of its own; this one holds the tree and what they share.
//!
//! Exit codes: 0 done, 1 the work failed, 2 wrong usage. Results go to stdout; an error is one line on
//! stderr that says what happened, where, and what to do.

mod apply;
mod bench;
mod client;
mod config;
mod deliveries;
mod demo;
mod describe;
mod diff;
mod error;
mod export;
mod import;
mod instance;
mod local_sandbox;
mod native;
mod openapi;
pub mod plugin_build;
mod plugin_check;
mod plugin_new;
mod plugins;
mod progress;
mod receiver;
mod render;
mod replay;
mod send;
mod serve;
mod setup;
mod terminal;
mod worker;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use error::{CliError, CliResult};

/// A webhook engine in which strangers may write the logic
///
/// Events come in, event rules pick webhooks, each webhook's templates or plugin run in a fresh,
/// fuel-limited WebAssembly sandbox, and the resulting request is delivered with retries, signatures and
/// a full record.
#[derive(Debug, Parser)]
#[command(
    name = "hookbox",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Start with `hookbox demo`. `hookbox help COMMAND` tells all about a command.
Exit codes: 0 done, 1 the work failed, 2 wrong usage."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Serve(serve::ServeArgs),
    Worker(worker::WorkerArgs),
    Receiver(receiver::ReceiverArgs),
    Render(render::RenderArgs),
    Send(send::SendArgs),
    Deliveries(deliveries::DeliveriesArgs),
    Apply(apply::ApplyArgs),
    Export(export::ExportArgs),
    Import(import::ImportArgs),
    Plugin(PluginArgs),
    Bench(bench::BenchArgs),
    #[command(hide = true)]
    BenchReceiver(bench::BenchReceiverArgs),
    Config(config::ConfigArgs),
    Openapi(openapi::OpenapiArgs),
    Completions(CompletionsArgs),
}

/// Work on transformer plugins
#[derive(Debug, clap::Args)]
struct PluginArgs {
    #[command(subcommand)]
    command: PluginCommand,
}

#[derive(Debug, Subcommand)]
enum PluginCommand {
    New(plugin_new::NewArgs),
    /// Build a transformer component from a project in Rust, JavaScript, TypeScript or Python
    #[command(after_help = "Example:
  hookbox plugin build my-plugin --out my-plugin.wasm")]
    Build(plugin_build::BuildArgs),
    Check(plugin_check::CheckArgs),
    Upload(plugins::UploadArgs),
    List(plugins::ListArgs),
    Show(plugins::ShowArgs),
    Promote(plugins::PromoteArgs),
    Rollback(plugins::RollbackArgs),
    Prune(plugins::PruneArgs),
    Delete(plugins::DeleteArgs),
}

async fn plugin(args: PluginArgs) -> CliResult {
    match args.command {
        PluginCommand::New(args) => plugin_new::run(&args),
        PluginCommand::Build(args) => {
            let built = plugin_build::run(&args).map_err(CliError::failed)?;
            Ok(writeln!(io::stdout(), "{built}")?)
        }
        PluginCommand::Check(args) => plugin_check::run(args).await,
        PluginCommand::Upload(args) => plugins::upload(args).await,
        PluginCommand::List(args) => plugins::list(args).await,
        PluginCommand::Show(args) => plugins::show(args).await,
        PluginCommand::Promote(args) => plugins::promote(args).await,
        PluginCommand::Rollback(args) => plugins::rollback(args).await,
        PluginCommand::Prune(args) => plugins::prune(args).await,
        PluginCommand::Delete(args) => plugins::delete(args).await,
    }
}

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  hookbox completions bash > ~/.local/share/bash-completion/completions/hookbox")]
struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Runs the program: parses the command line, does what it says, reports.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; a closed pipe must not make them one.
            let _ = error.print();
            return match error.exit_code() {
                0 => ExitCode::SUCCESS,
                _ => ExitCode::from(2),
            };
        }
    };
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(CliError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            // Parts of it may be a stranger's.
            let told = error.to_string();
            let _ = writeln!(io::stderr(), "hookbox: {}", terminal::Clean(&told));
            match error {
                CliError::Usage(_) => ExitCode::from(2),
                CliError::Failed(_) | CliError::Output(_) => ExitCode::FAILURE,
            }
        }
    }
}

fn run(command: Command) -> CliResult {
    // The TLS library wants its cryptography named once for the whole process; a second call is harmless.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|e| CliError::failed(format!("cannot start the runtime: {e}")))?;
    let result = runtime.block_on(async {
        match command {
            Command::Demo(args) => demo::run(args).await,
            Command::Serve(args) => serve::run(args).await,
            Command::Worker(args) => worker::run(args).await,
            Command::Receiver(args) => receiver::run(args).await,
            Command::Render(args) => render::run(args).await,
            Command::Send(args) => send::run(args).await,
            Command::Deliveries(args) => deliveries::run(args).await,
            Command::Apply(args) => apply::run(args).await,
            Command::Export(args) => export::run(args).await,
            Command::Import(args) => import::run(args).await,
            Command::Plugin(args) => plugin(args).await,
            Command::Bench(args) => bench::run(args).await,
            Command::BenchReceiver(args) => bench::run_receiver(args).await,
            Command::Config(args) => config::run(&args),
            Command::Openapi(args) => openapi::run(&args),
            Command::Completions(args) => completions(&args),
        }
    });
    // A thread that waits for stdin must not keep the process.
    runtime.shutdown_background();
    crate::telemetry::flush();
    result
}

fn completions(args: &CompletionsArgs) -> CliResult {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "hookbox", &mut script);
    Ok(io::stdout().write_all(&script)?)
}

/// Ends when the process is asked to stop (SIGINT, SIGTERM). The handlers are in place when this returns.
fn stop_signal() -> CliResult<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let handler =
        |kind| signal(kind).map_err(|e| CliError::failed(format!("cannot handle signals: {e}")));
    let mut interrupt = handler(SignalKind::interrupt())?;
    let mut terminate = handler(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_of_commands_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_of_every_command_has_an_example() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            if command.get_name() == "help" {
                return;
            }
            if command.has_subcommands() {
                for sub in command.get_subcommands() {
                    check(sub, &path);
                }
                return;
            }
            assert!(command.get_about().is_some(), "{path} says what it does");
            let after = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(after.contains("Example"), "{path} has an example");
            for argument in command.get_arguments() {
                let id = argument.get_id();
                assert!(argument.get_help().is_some(), "{path}: {id} is explained");
            }
        }
        for command in Cli::command().get_subcommands() {
            check(command, "hookbox");
        }
    }
}
