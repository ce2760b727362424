//! `hookbox worker`: a worker on Redis.

use std::net::SocketAddr;

use clap::Args;

use super::{
    error::{CliError, CliResult},
    instance::{self, Plan, Role, Store},
    setup::{ConfigFlags, Overrides, RedisFlag, announce, bind, socket},
};
use crate::telemetry;

/// Run a worker: delivers what servers on the same Redis accept
///
/// Any number of workers may run, on any machine that reaches Redis and the receivers; each needs the same
/// configuration as the servers. Only transformers that it has compiled are kept on disk. While Redis cannot be
/// reached the worker waits. On SIGTERM or SIGINT it takes no more work, finishes what is under way, gives
/// back the rest, and ends.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hookbox worker --redis redis://10.0.0.5
  HOOKBOX__REDIS__URL=rediss://worker:…@10.0.0.5 hookbox worker --config /etc/hookbox.toml
  hookbox worker --redis redis://10.0.0.5 --listen 0.0.0.0:9100    with /healthz, /readyz and /metrics")]
pub(super) struct WorkerArgs {
    #[command(flatten)]
    redis: RedisFlag,
    /// Address and port for monitoring (/healthz, /readyz, /metrics); without it nothing listens
    #[arg(long, value_name = "ADDR", value_parser = socket)]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    config: ConfigFlags,
}

pub(super) async fn run(args: WorkerArgs) -> CliResult {
    let mut overrides = Overrides::default();
    args.redis.lay_over(&mut overrides)?;
    let config = args.config.load(&overrides)?;
    if config.redis.url.address().is_none() {
        return Err(CliError::usage(
            "a worker needs the Redis that the servers use: give --redis URL, or redis.url in the \
             configuration. On the embedded store, `hookbox serve` is the worker too",
        ));
    }
    telemetry::init(&config.log).map_err(CliError::failed)?;

    let listener = match args.listen {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let monitoring = match &listener {
        Some(listener) => format!("; monitoring on http://{}", listener.local_addr()?),
        None => String::new(),
    };
    let plan = Plan {
        config,
        store: Store::AwaitedRedis,
        role: Role::Worker,
        listener,
        admin_key: None,
    };
    let place = plan.place();
    instance::run(plan, |_| {
        announce(&format!("hookbox works on {place}{monitoring}\n"));
    })
    .await
}
