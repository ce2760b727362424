//! A whole hookbox in this process: API, worker and the embedded store. What `serve` runs, and the demo
//! and the benchmark too.

use std::{path::Path, sync::Arc};

use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use super::error::{CliError, CliResult};
use crate::{
    api,
    config::Config,
    engine::{Engine, StartError},
    model::Secret,
    registry::{Backend, sqlite::SqliteBackend},
    worker,
};

/// A running hookbox.
#[derive(Debug)]
pub(super) struct Embedded {
    /// The first admin key, if this start made it.
    pub(super) new_admin_key: Option<Secret>,
    stop: watch::Sender<bool>,
    api: JoinHandle<()>,
    worker: JoinHandle<()>,
}

impl Embedded {
    /// Opens the store in `store`, sets everything up and begins to answer on `listener`. Compiled
    /// transformers are kept in the configured data folder, which may be another one.
    ///
    /// # Errors
    /// One line for the operator.
    pub(super) async fn start(
        config: Config,
        store: &Path,
        listener: TcpListener,
        with_worker: bool,
        admin_key: Option<Secret>,
    ) -> CliResult<Self> {
        let in_store =
            |e: &dyn std::fmt::Display| CliError::failed(format!("{}: {e}", store.display()));
        let backend = SqliteBackend::open(store, config.queue_limits())
            .await
            .map_err(|e| in_store(&e))?;
        let backend: Arc<dyn Backend> = backend;
        let new_admin_key = api::ensure_admin_key(backend.as_ref(), admin_key)
            .await
            .map_err(|e| in_store(&e))?;
        let engine = Engine::open(config, backend).await.map_err(|e| match e {
            StartError::Backend(e) => in_store(&e),
            other => CliError::failed(other),
        })?;

        let (stop, stopped) = watch::channel(false);
        let api = tokio::spawn({
            let (engine, mut stopped) = (Arc::clone(&engine), stopped.clone());
            async move {
                let server = engine.config().server.clone();
                let until = async move {
                    let _ = stopped.wait_for(|stop| *stop).await;
                };
                api::serve(listener, api::router(engine), until, &server).await;
            }
        });
        let worker = tokio::spawn({
            let mut stopped = stopped;
            async move {
                if with_worker {
                    worker::run(engine, stopped).await;
                } else {
                    let _ = stopped.wait_for(|stop| *stop).await;
                }
            }
        });
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
    pub(super) async fn run_until(mut self, stop: impl Future<Output = ()>) -> CliResult {
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
