//! `hookbox serve`: the server, on the embedded store or on Redis.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

use super::{
    error::{CliError, CliResult},
    instance::{self, Plan, Role, Store},
    setup::{ConfigFlags, Overrides, RedisFlag, announce, bind, socket},
};
use crate::{model::Secret, telemetry};

/// Run the server: API, queue and worker in one process
///
/// Everything is kept in the data folder, or in Redis, which any number of servers and workers may share.
/// The first start makes an admin key and prints it once, unless the variable HOOKBOX_ADMIN_KEY gives one, which
/// any start takes, in case the first was lost. On SIGTERM or SIGINT it takes no more work, finishes what is under
/// way, and ends.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hookbox serve
  hookbox serve --listen 0.0.0.0:8844 --data-dir /var/lib/hookbox
  hookbox serve --allow-network 10.0.0.0/8       deliver to receivers in one's own network
  hookbox serve --redis redis://10.0.0.5 --no-worker      with `hookbox worker` elsewhere
  HOOKBOX_ADMIN_KEY=hb_… hookbox serve --config /etc/hookbox.toml")]
pub(super) struct ServeArgs {
    /// Address and port to listen on; port 0 for a free one, which is printed
    #[arg(long, value_name = "ADDR", value_parser = socket)]
    listen: Option<SocketAddr>,
    /// Folder for the database and compiled transformers; with Redis, for the latter only
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    redis: RedisFlag,
    /// Accept events and answer the API, but deliver nothing
    #[arg(long)]
    no_worker: bool,
    #[command(flatten)]
    config: ConfigFlags,
}

pub(super) async fn run(args: ServeArgs) -> CliResult {
    let mut overrides = Overrides::default();
    if let Some(listen) = args.listen {
        overrides.set("server.listen", listen.to_string());
    }
    if let Some(dir) = &args.data_dir {
        let dir = dir
            .to_str()
            .ok_or_else(|| CliError::usage("--data-dir must be UTF-8"))?;
        overrides.set("storage.data_dir", dir);
    }
    args.redis.lay_over(&mut overrides)?;
    let config = args.config.load(&overrides)?;
    telemetry::init(&config.log).map_err(CliError::failed)?;

    let listener = bind(config.server.listen).await?;
    let address = listener.local_addr()?;
    let admin_key = std::env::var("HOOKBOX_ADMIN_KEY").unwrap_or_default();
    let plan = Plan {
        store: match config.redis.url.address() {
            Some(_) => Store::AwaitedRedis,
            None => Store::Embedded(config.storage.data_dir.clone()),
        },
        config,
        role: if args.no_worker {
            Role::Api
        } else {
            Role::Both
        },
        listener: Some(listener),
        admin_key: (!admin_key.is_empty()).then(|| Secret::new(admin_key)),
    };
    instance::run(plan, |hookbox| {
        let mut text = format!("hookbox listens on http://{address}\n");
        if let Some(key) = &hookbox.new_admin_key {
            text.push_str(&format!(
                "Admin key, shown only this once: {}\nSet it as HOOKBOX_KEY for the other commands.\n",
                key.expose()
            ));
        }
        if !announce(&text) && hookbox.new_admin_key.is_some() {
            tracing::warn!(
                "the admin key that was made could not be shown; set one with the variable HOOKBOX_ADMIN_KEY"
            );
        }
    })
    .await
}
