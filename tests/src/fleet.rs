//! The program as those run it who outgrew one machine: processes that only answer the API and processes
//! that only deliver, any number of each, over one Redis.

use std::{
    fmt::Display,
    path::Path,
    process::{Command, ExitStatus, Stdio},
};

use crate::{
    process::{KillOnDrop, hookbox},
    server::{Server, Starting, cache_dir},
};

/// What the processes over one Redis have in common.
#[derive(Clone, Debug)]
pub struct Fleet {
    url: String,
    environment: Vec<(String, String)>,
}

impl Fleet {
    /// Processes over the Redis at this URL, which may deliver to this machine.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            environment: Vec::new(),
        }
        .with("guard.allow_networks", r#"["127.0.0.0/8"]"#)
    }

    /// Sets one key of the configuration, such as `redis.timeout_ms`, for all that start from now on.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Display) -> Self {
        let name = key.to_uppercase().replace('.', "__");
        self.environment
            .push((format!("HOOKBOX__{name}"), value.to_string()));
        self
    }

    /// Starts an API process that delivers nothing, and waits until it has its store.
    pub async fn api(&self) -> Server {
        let server = self.api_starting().ready();
        server.wait_ready().await;
        server
    }

    /// Starts an API process without waiting for anything.
    #[must_use]
    pub fn api_starting(&self) -> Starting {
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0", "--no-worker"]);
        Starting::new(&mut command)
    }

    /// Starts a worker without waiting for anything.
    ///
    /// # Panics
    /// If the program cannot be started.
    #[must_use]
    pub fn worker(&self) -> Worker {
        self.worker_with_cache(&cache_dir())
    }

    /// Starts a worker that has compiled only what is in this folder.
    ///
    /// # Panics
    /// If the program cannot be started.
    #[must_use]
    pub fn worker_with_cache(&self, cache: &Path) -> Worker {
        let child = self
            .command(&["worker"])
            .env("HOOKBOX__STORAGE__CACHE_DIR", cache)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("hookbox starts");
        Worker(KillOnDrop(child))
    }

    /// Starts a worker that offers what monitoring asks for at this port of this machine, without waiting for anything.
    ///
    /// # Panics
    /// If the program cannot be started.
    #[must_use]
    pub fn monitored_worker(&self, port: u16) -> Worker {
        let listen = format!("127.0.0.1:{port}");
        let child = self
            .command(&["worker", "--listen", &listen])
            .env("HOOKBOX__STORAGE__CACHE_DIR", cache_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("hookbox starts");
        Worker(KillOnDrop(child))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = hookbox();
        command.args(args).args(["--redis", &self.url]);
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        command
    }
}

/// A `hookbox worker`; killed when it is dropped.
#[derive(Debug)]
pub struct Worker(KillOnDrop);

impl Worker {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Whether the process runs.
    pub fn is_alive(&mut self) -> bool {
        self.0.is_alive()
    }

    /// SIGKILL: no chance to tidy up.
    pub fn kill(&mut self) {
        self.0.kill();
    }

    /// SIGTERM, and how it ended.
    pub fn terminate(&mut self) -> ExitStatus {
        self.0.terminate()
    }
}
