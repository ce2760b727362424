//! A hookbox in this process, on either store, with the API, a worker, or both: what `serve` and `worker` run,
//! and the demo and the benchmark too.

use std::{
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use super::error::{CliError, CliResult};
use crate::{
    api,
    backend::{Backend, BackendError, redis::RedisBackend, sqlite::SqliteBackend},
    config::Config,
    engine::{Engine, StartError},
    model::Secret,
    tenant::keys::ensure_admin_key,
    worker,
};

/// The pauses between tries to reach Redis at start: doubling from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Where everything is kept.
#[derive(Clone, Debug)]
pub(super) enum Store {
    /// In this folder.
    Embedded(PathBuf),
    /// In the Redis that the configuration names. If it cannot be reached, the start fails.
    Redis,
    /// The same, and it is waited for.
    AwaitedRedis,
}

/// Which parts run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The API and a worker.
    Both,
    /// The API.
    Api,
    /// A worker. It listens for monitoring only.
    Worker,
}

/// The parts that are to run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) config: Config,
    pub(super) store: Store,
    pub(super) role: Role,
    /// Where to answer; a worker may go without.
    pub(super) listener: Option<TcpListener>,
    /// The operator's own admin key, if there is one.
    pub(super) admin_key: Option<Secret>,
}

impl Plan {
    /// API and worker, on an embedded store in `store`. Compiled transformers are kept in the configured data
    /// folder, which may be another one.
    pub(super) fn embedded(config: Config, store: &Path, listener: TcpListener) -> Self {
        Self {
            config,
            store: Store::Embedded(store.to_owned()),
            role: Role::Both,
            listener: Some(listener),
            admin_key: None,
        }
    }

    /// Sets everything up, and again while a store that is waited for is away.
    async fn set_up(&self) -> CliResult<(Arc<Engine>, Option<Secret>)> {
        let mut pause = PAUSES.0;
        loop {
            let error = match self.try_set_up().await {
                Ok(set_up) => return Ok(set_up),
                Err(StartError::Backend(error)) => error,
                Err(other) => return Err(CliError::failed(other)),
            };
            let passing = matches!(
                error,
                BackendError::Unavailable { .. } | BackendError::Full(_)
            );
            if !passing || !matches!(self.store, Store::AwaitedRedis) {
                return Err(CliError::failed(format!("{}: {error}", self.place())));
            }
            tracing::warn!(%error, ?pause, "cannot start on {}; trying again", self.place());
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn try_set_up(&self) -> Result<(Arc<Engine>, Option<Secret>), StartError> {
        let limits = self.config.queue_limits();
        let backend: Arc<dyn Backend> = match &self.store {
            Store::Embedded(folder) => SqliteBackend::open(folder, limits).await?,
            Store::Redis | Store::AwaitedRedis => {
                RedisBackend::open(&self.config.redis, limits).await?
            }
        };
        let engine = Engine::open(self.config.clone(), backend).await?;
        // Last, so that a key that was made is sure to be shown.
        let new_admin_key = match self.role {
            Role::Worker => None,
            Role::Both | Role::Api => {
                ensure_admin_key(engine.backend().as_ref(), self.admin_key.clone()).await?
            }
        };
        Ok((engine, new_admin_key))
    }

    /// The store, for people.
    pub(super) fn place(&self) -> String {
        match (&self.store, self.config.redis.url.address()) {
            (Store::Embedded(folder), _) => folder.display().to_string(),
            (_, Some(address)) => address.to_string(),
            (_, None) => "redis.url".to_owned(),
        }
    }
}

/// A running hookbox.
#[derive(Debug)]
pub(super) struct Instance {
    /// The first admin key, if this start made it.
    pub(super) new_admin_key: Option<Secret>,
    stop: watch::Sender<bool>,
    api: JoinHandle<()>,
    worker: JoinHandle<()>,
}

impl Instance {
    /// Sets everything up. Requests that come meanwhile are told to come back.
    ///
    /// # Errors
    /// One line for the operator.
    pub(super) async fn start(mut plan: Plan) -> CliResult<Self> {
        let (stop, stopped) = watch::channel(false);
        let front = api::StartupGate::default();
        let api = match plan.listener.take() {
            Some(listener) => {
                let (router, server) = (front.router(), plan.config.server.clone());
                let until = until(stopped.clone());
                tokio::spawn(async move { api::serve(listener, router, until, &server).await })
            }
            None => tokio::spawn(until(stopped.clone())),
        };
        let (engine, new_admin_key) = plan.set_up().await?;
        front.open(match plan.role {
            Role::Worker => api::monitoring(Arc::clone(&engine)),
            Role::Both | Role::Api => {
                api::router_with_admin_key(Arc::clone(&engine), plan.admin_key.as_ref())
            }
        });
        let worker = match plan.role {
            Role::Both | Role::Worker => tokio::spawn(worker::run(engine, stopped)),
            Role::Api => tokio::spawn(until(stopped)),
        };
        Ok(Self {
            new_admin_key,
            stop,
            api,
            worker,
        })
    }

    /// Runs until `stop` completes, then shuts down: no more connections, no more claims, what is under
    /// way ends or is given back.
    ///
    /// # Errors
    /// When a part ended by itself, which is a defect.
    async fn run_until(mut self, stop: impl Future<Output = ()>) -> CliResult {
        let ended = tokio::select! {
            () = stop => None,
            _ = &mut self.api => Some("the API"),
            _ = &mut self.worker => Some("the worker"),
        };
        if let Some(part) = ended {
            self.stop.send_replace(true);
            return Err(CliError::failed(format!(
                "{part} ended unexpectedly; see the log"
            )));
        }
        self.shut_down().await;
        Ok(())
    }

    /// Shuts down in an orderly way.
    pub(super) async fn shut_down(self) {
        self.stop.send_replace(true);
        let _ = tokio::join!(self.api, self.worker);
    }
}

/// Runs what is planned until the process is told to stop, which at start it does at once, and later in an
/// orderly way unless it is told so twice. `announce` is called when everything runs.
///
/// # Errors
/// One line for the operator.
pub(super) async fn run(plan: Plan, announce: impl FnOnce(&Instance)) -> CliResult {
    let mut stopped = pin!(super::stop_signal()?);
    let instance = tokio::select! {
        started = Instance::start(plan) => started?,
        () = &mut stopped => return Ok(()),
    };
    announce(&instance);
    let impatient = super::stop_signal()?;
    tokio::select! {
        result = instance.run_until(stopped) => result,
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

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that whoever could say stop is gone.
    let _ = stopped.wait_for(|stop| *stop).await;
}
