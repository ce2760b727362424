//! Configuration: one typed struct, one documented file of defaults, checked as a whole at start.
//!
//! Every key is in `host/config.default.toml`, with its reason. See [`Config::load`] for the order in
//! which sources are laid over each other.

mod load;
mod proxy;
mod queue;
pub mod redis_address;
mod redis_url;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use crate::sandbox::config::{PluginConfig, SandboxConfig};
pub use load::{ConfigError, DEFAULTS};
pub use proxy::{
    NoProxy, NoProxyError, ProxyAddress, ProxyCredentials, ProxyScheme, ProxyUrl, ProxyUrlError,
};
pub use redis_url::RedisUrl;

pub use queue::{QueueLimits, Retention};

use crate::model::{RetryPolicy, WebhookSpec};

/// All of it. The sections' fields are described in `config.default.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "each key is documented in config.default.toml, the one place"
)]
pub struct Config {
    pub server: ServerConfig,
    pub storage: StorageConfig,
    pub redis: RedisConfig,
    pub ingest: IngestConfig,
    pub limits: TenantLimits,
    pub worker: WorkerConfig,
    pub sandbox: SandboxConfig,
    pub plugins: PluginConfig,
    pub guard: GuardConfig,
    pub delivery: DeliveryConfig,
    pub retry: RetryConfig,
    pub retention: RetentionConfig,
    pub log: LogConfig,
}

macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(missing_docs, reason = "each key is documented in config.default.toml, the one place")]
        pub struct $name { $(pub $field: $type,)+ }
    };
}

section!(
    /// `[server]`
    ServerConfig {
        listen: SocketAddr,
        shutdown_seconds: u64,
        max_connections: usize,
        max_connections_per_address: usize,
        request_timeout_seconds: u64,
    }
);
impl ServerConfig {
    /// Connections that one address may have: what is configured, or three quarters of the requests that may be under
    /// way, so that no address can take all of them.
    #[must_use]
    pub fn connections_per_address(&self) -> usize {
        match self.max_connections_per_address {
            0 => self
                .max_connections
                .saturating_sub(self.max_connections / 4)
                .max(1),
            most => most,
        }
    }
}

section!(
    /// `[storage]`
    StorageConfig {
        data_dir: PathBuf,
        cache_dir: PathBuf,
    }
);
section!(
    /// `[redis]`
    RedisConfig {
        url: RedisUrl,
        ca_file: PathBuf,
        prefix: String,
        shards: u16,
        replicas: u32,
        timeout_ms: u64,
        strict: bool,
    }
);
section!(
    /// `[ingest]`
    IngestConfig {
        max_event_bytes: usize,
        max_request_bytes: usize,
        max_batch: usize,
        max_depth: usize,
        idempotency_hours: u64,
    }
);
section!(
    /// `[limits]`
    TenantLimits {
        webhooks: usize,
        event_rules: usize,
        secrets: usize,
        plugins: usize,
        plugin_versions: usize,
        plugin_versions_kept: usize,
        plugin_bytes: u64,
        template_bytes: usize,
        conditions_bytes: usize,
        conditions_depth: usize,
        conditions_count: usize,
        deliveries_per_event: usize,
        deliveries_per_request: usize,
    }
);
section!(
    /// `[worker]`
    WorkerConfig {
        concurrency: usize,
        lease_seconds: u64,
        max_receives: u32,
        max_in_flight: u32,
    }
);
section!(
    /// `[guard]`
    GuardConfig {
        allow_networks: Vec<IpNet>,
        allow_hosts: Vec<String>,
        allow_ports: Vec<u16>,
    }
);
section!(
    /// `[delivery]`
    DeliveryConfig {
        connect_timeout_seconds: u64,
        timeout_seconds: u32,
        max_timeout_seconds: u32,
        response_bytes: usize,
        user_agent: String,
        ca_directories: Vec<PathBuf>,
        idle_seconds: u64,
        proxy: ProxyUrl,
        no_proxy: Vec<NoProxy>,
        proxy_resolves: bool,
    }
);
section!(
    /// `[retry]`
    RetryConfig {
        schedule: Vec<u32>,
        jitter: f64,
        statuses: Vec<u16>,
        max_retry_after_seconds: u64,
    }
);
section!(
    /// `[retention]`
    RetentionConfig {
        finished_hours: u64,
        failed_hours: u64,
    }
);
section!(
    /// `[log]`
    LogConfig {
        format: LogFormat,
        filter: String,
    }
);

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

impl Config {
    /// The limits that the queue enforces.
    #[must_use]
    pub fn queue_limits(&self) -> QueueLimits {
        QueueLimits {
            max_receives: self.worker.max_receives,
            max_in_flight: self.worker.max_in_flight,
            idempotency_window: hours(self.ingest.idempotency_hours),
        }
    }

    /// The retention of ended deliveries.
    #[must_use]
    pub fn retention(&self) -> Retention {
        Retention {
            finished: hours(self.retention.finished_hours),
            failed: hours(self.retention.failed_hours),
        }
    }

    /// Where compiled transformers are cached.
    #[must_use]
    pub fn cache_dir(&self) -> PathBuf {
        let dir = &self.storage.cache_dir;
        if dir.as_os_str().is_empty() {
            self.storage.data_dir.join("cache")
        } else {
            dir.clone()
        }
    }

    /// The most deliveries that one webhook may have under way: a quarter of a worker's, so that one hanging
    /// receiver leaves room for others whatever its webhook says.
    #[must_use]
    pub fn most_in_flight(&self) -> u32 {
        u32::try_from(self.worker.concurrency / 4)
            .unwrap_or(u32::MAX)
            .max(1)
    }

    /// The retry policy of webhooks that have none.
    #[must_use]
    pub fn default_retry(&self) -> RetryPolicy {
        RetryPolicy {
            schedule: self.retry.schedule.clone(),
            jitter: self.retry.jitter,
            statuses: self.retry.statuses.clone(),
        }
    }

    /// The retry policy of this webhook.
    #[must_use]
    pub fn retry_of(&self, spec: &WebhookSpec) -> RetryPolicy {
        let own = spec.retry.clone();
        own.unwrap_or_else(|| self.default_retry())
    }

    /// Maximum duration of one attempt of this webhook.
    #[must_use]
    pub fn timeout_of(&self, spec: &WebhookSpec) -> Duration {
        let seconds = spec.timeout.unwrap_or(self.delivery.timeout_seconds);
        Duration::from_secs(seconds.min(self.delivery.max_timeout_seconds).into())
    }
}

const fn hours(n: u64) -> Duration {
    Duration::from_secs(n.saturating_mul(3600))
}
