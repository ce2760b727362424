//! One Redis server.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::{certificates::Certificates, free_port, until};
use crate::process::{KillOnDrop, signal};

/// How a server is set up. The default keeps nothing on disk and lets everybody in.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Writes an append-only file, and when it is flushed to disk.
    pub aof: Option<Fsync>,
    /// `maxmemory` in bytes; nothing is ever evicted. Without it there is no limit.
    pub maxmemory: Option<u64>,
    /// The password of the user `default`, who may do everything.
    pub password: Option<String>,
    /// Further users.
    pub users: Vec<User>,
    /// Speaks TLS only, with a certificate by an authority of its own.
    pub tls: bool,
    /// Copies the server on this local port.
    pub replica_of: Option<u16>,
    /// Further lines of the configuration file.
    pub lines: Vec<String>,
}

/// `appendfsync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Before each answer.
    Always,
    /// Every second. A killed *process* can lose answered writes too: while a flush is under way Redis
    /// holds back what it would write for up to two seconds.
    EverySecond,
}

/// An ACL user.
#[derive(Clone, Debug)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
    /// Rules, such as `~hookbox:* +@all`.
    pub rules: String,
}

/// What a process of Redis is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Server,
    Sentinel,
}

/// A Redis server; killed when it is dropped.
#[derive(Debug)]
pub struct RedisServer {
    process: Option<KillOnDrop>,
    port: u16,
    role: Role,
    options: Options,
    certificates: Option<Certificates>,
    dir: TempDir,
}

impl RedisServer {
    /// Starts one on a free port and waits until it answers.
    #[must_use]
    pub fn start(options: Options) -> Self {
        Self::launch(Role::Server, options)
    }

    pub(super) fn launch(role: Role, options: Options) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let certificates = options.tls.then(|| Certificates::make(dir.path()));
        let mut server = Self {
            process: None,
            port: 0,
            role,
            options,
            certificates,
            dir,
        };
        // Another test may take the port in the moment before the server has it.
        for _ in 0..10 {
            server.port = free_port();
            fs::write(server.file("redis.conf"), server.configuration()).expect("written");
            server.restart();
            if server.process.is_some() {
                return server;
            }
        }
        panic!("the server does not start:\n{}", server.log());
    }

    fn configuration(&self) -> String {
        let (options, port) = (&self.options, self.port);
        let dir = self.dir.path().display();
        let mut text = format!(
            "bind 127.0.0.1\nprotected-mode no\ndaemonize no\ndir {dir}\nlogfile redis.log\n"
        );
        let mut line = |args: std::fmt::Arguments<'_>| {
            let _ = writeln!(text, "{args}");
        };
        match &self.certificates {
            None => line(format_args!("port {port}")),
            Some(files) => {
                line(format_args!("port 0\ntls-port {port}\ntls-auth-clients no"));
                line(format_args!("tls-ca-cert-file {}", files.ca.display()));
                line(format_args!("tls-cert-file {}", files.cert.display()));
                line(format_args!("tls-key-file {}", files.key.display()));
            }
        }
        if self.role == Role::Server {
            // A replica need not wait for others that might want to copy at the same time.
            line(format_args!("save \"\"\nrepl-diskless-sync-delay 0"));
            line(format_args!("maxmemory-policy noeviction"));
            match options.aof {
                None => line(format_args!("appendonly no")),
                Some(fsync) => {
                    let fsync = match fsync {
                        Fsync::Always => "always",
                        Fsync::EverySecond => "everysec",
                    };
                    line(format_args!("appendonly yes\nappendfsync {fsync}"));
                }
            }
        }
        if let Some(bytes) = options.maxmemory {
            line(format_args!("maxmemory {bytes}"));
        }
        if let Some(password) = &options.password {
            line(format_args!(
                "requirepass {password}\nmasterauth {password}"
            ));
        }
        for user in &options.users {
            let User {
                name,
                password,
                rules,
            } = user;
            line(format_args!("user {name} on >{password} {rules}"));
        }
        if let Some(master) = options.replica_of {
            line(format_args!("replicaof 127.0.0.1 {master}"));
        }
        for further in &options.lines {
            line(format_args!("{further}"));
        }
        text
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL for hookbox, as the user `default`.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.options.password {
            None => self.url_with(""),
            Some(password) => self.url_as("default", password),
        }
    }

    /// Its URL for hookbox, as this user. Neither text is escaped.
    #[must_use]
    pub fn url_as(&self, user: &str, password: &str) -> String {
        self.url_with(&format!("{user}:{password}@"))
    }

    fn url_with(&self, userinfo: &str) -> String {
        let scheme = if self.options.tls { "rediss" } else { "redis" };
        format!("{scheme}://{userinfo}127.0.0.1:{}", self.port)
    }

    /// The certificate of the authority that a client must trust.
    ///
    /// # Panics
    /// If the server does not speak TLS.
    #[must_use]
    pub fn ca_file(&self) -> &Path {
        &self.certificates.as_ref().expect("TLS is on").ca
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again on the same port with what is in its folder, and waits until it answers.
    ///
    /// # Panics
    /// If it runs.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs");
        self.restart();
        assert!(self.process.is_some(), "it ended:\n{}", self.log());
    }

    /// Starts the process. It has gone again if the port was taken.
    fn restart(&mut self) {
        let mut command = Command::new("redis-server");
        command.arg(self.file("redis.conf")).stdin(Stdio::null());
        if self.role == Role::Sentinel {
            command.arg("--sentinel");
        }
        let child = command
            .spawn()
            .expect("redis-server is installed (Debian's package redis-server)");
        let process = self.process.insert(KillOnDrop(child));
        let pid = process.id();
        let mut ended = false;
        // Whoever else got the port may answer too, so it must be this very process.
        let who = format!("process_id:{pid}");
        until("a Redis server answers", || {
            let exited = self.process.as_mut().is_none_or(|p| !p.is_alive());
            if exited {
                ended = true;
                return true;
            }
            self.ask(&["ping"]).is_ok_and(|answer| answer == "PONG")
                && self
                    .ask(&["info", "server"])
                    .is_ok_and(|info| info.contains(&who))
        });
        if ended {
            let log = self.log();
            assert!(log.contains("Address already in use"), "it ended:\n{log}");
            self.process = None;
        }
    }

    /// Stops it as if its machine were stuck: connections stay open and nobody answers.
    pub fn pause(&self) {
        signal(self.pid(), "STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        signal(self.pid(), "CONT");
    }

    fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    /// One command as the user `default`; the answer as `redis-cli` prints it, or Redis' error.
    ///
    /// # Errors
    /// What Redis or `redis-cli` said.
    pub fn ask(&self, command: &[&str]) -> Result<String, String> {
        let output = self
            .redis_cli()
            .arg("-e")
            .args(command)
            .output()
            .expect("redis-cli runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stdout) + &text(&output.stderr))
        }
    }

    /// One command, which must succeed.
    ///
    /// # Panics
    /// With what Redis said.
    pub fn cli(&self, command: &[&str]) -> String {
        self.ask(command)
            .unwrap_or_else(|e| panic!("{command:?}: {e}"))
    }

    /// `redis-cli` for this server, without a command yet.
    #[must_use]
    pub fn redis_cli(&self) -> Command {
        let mut command = Command::new("redis-cli");
        command
            .args(["-p", &self.port.to_string()])
            .stdin(Stdio::null())
            .env_remove("REDISCLI_AUTH");
        if let Some(password) = &self.options.password {
            command.env("REDISCLI_AUTH", password);
        }
        if let Some(files) = &self.certificates {
            command.arg("--tls").arg("--cacert").arg(&files.ca);
        }
        command
    }

    /// The fields of a section of `INFO`.
    #[must_use]
    pub fn info(&self, section: &str) -> BTreeMap<String, String> {
        let text = self.cli(&["info", section]);
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        fields
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect()
    }

    /// Whether a field of `INFO` is this just now; no if there is no answer.
    pub(super) fn says(&self, section: &str, field: &str) -> bool {
        self.ask(&["info", section])
            .is_ok_and(|text| text.lines().any(|line| line.trim() == field))
    }

    /// Waits until it has copied all of its master and follows it.
    pub fn wait_for_master(&self) {
        until("a replica follows its master", || {
            self.says("replication", "master_link_status:up")
        });
    }

    /// Waits until it is a master.
    pub fn wait_until_master(&self) {
        until("a replica is made the master", || {
            self.says("replication", "role:master")
        });
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(self.file("redis.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
