//! `hookbox serve`: the server with the embedded store.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
};

use clap::Args;
use tokio::net::TcpListener;

use super::{
    embedded::Embedded,
    error::{CliError, CliResult},
    setup::ConfigFlags,
};
use crate::{model::Secret, telemetry};

/// Run the server: API, queue and worker in one process
///
/// Everything is kept in the data folder. The first start makes an admin key and prints it once, unless
/// the variable HOOKBOX_ADMIN_KEY gives one. On SIGTERM or SIGINT it takes no more work, finishes what is
/// under way, and ends.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hookbox serve
  hookbox serve --listen 0.0.0.0:8844 --data-dir /var/lib/hookbox
  hookbox serve --allow-network 10.0.0.0/8       deliver to receivers in one's own network
  HOOKBOX_ADMIN_KEY=hb_… hookbox serve --config /etc/hookbox.toml")]
pub(super) struct ServeArgs {
    /// Address and port to listen on; port 0 for a free one, which is printed
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Folder for the database and compiled transformers
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Accept events and answer the API, but deliver nothing
    #[arg(long)]
    no_worker: bool,
    #[command(flatten)]
    config: ConfigFlags,
}

pub(super) async fn run(args: ServeArgs) -> CliResult {
    let mut overrides: Vec<(&'static str, figment::value::Value)> = Vec::new();
    if let Some(listen) = args.listen {
        overrides.push(("server.listen", listen.to_string().into()));
    }
    if let Some(dir) = &args.data_dir {
        let dir = dir
            .to_str()
            .ok_or_else(|| CliError::usage("--data-dir must be UTF-8"))?;
        overrides.push(("storage.data_dir", dir.into()));
    }
    let config = args.config.load(&overrides)?;
    telemetry::init(&config.log).map_err(CliError::failed)?;

    let store = config.storage.data_dir.clone();
    let stopped = super::stop_signal()?;
    let listener = bind(config.server.listen).await?;
    let address = listener.local_addr()?;
    let admin_key = std::env::var("HOOKBOX_ADMIN_KEY")
        .ok()
        .filter(|key| !key.is_empty());
    let hookbox = Embedded::start(
        config,
        &store,
        listener,
        !args.no_worker,
        admin_key.map(Secret::new),
    )
    .await?;

    let mut out = io::stdout();
    writeln!(out, "hookbox listens on http://{address}")?;
    if let Some(key) = &hookbox.new_admin_key {
        writeln!(
            out,
            "Admin key, shown only this once: {}\nSet it as HOOKBOX_KEY for the other commands.",
            key.expose()
        )?;
    }
    out.flush()?;

    let impatient = super::stop_signal()?;
    tokio::select! {
        result = hookbox.run_until(stopped) => result,
        () = twice(impatient) => {
            Err(CliError::failed("stopped at once; leases of deliveries under way will expire"))
        }
    }
}

/// Ends at a second signal after the first one.
async fn twice(first: impl Future<Output = ()>) {
    first.await;
    if let Ok(second) = super::stop_signal() {
        second.await;
    } else {
        std::future::pending::<()>().await;
    }
}

async fn bind(address: SocketAddr) -> CliResult<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| {
        CliError::failed(match e.kind() {
            io::ErrorKind::AddrInUse => format!(
                "{address} is in use: stop what listens there, or choose another with --listen"
            ),
            _ => format!("cannot listen on {address}: {e}"),
        })
    })
}
