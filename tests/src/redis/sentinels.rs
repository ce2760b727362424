//! A master with replicas, watched by three sentinels.

use super::{Options, RedisServer, server::Role, until};

/// Sentinels of every set.
const SENTINELS: usize = 3;
/// What the sentinels call the master.
const NAME: &str = "main";

/// A running set.
#[derive(Debug)]
pub struct Sentinels {
    /// The first was the master at the start.
    pub servers: Vec<RedisServer>,
    /// The sentinels.
    pub sentinels: Vec<RedisServer>,
}

impl Sentinels {
    /// Starts a master with so many replicas, all with these options, and three sentinels of which two
    /// must agree. A master that is silent for a second is replaced. Waits until every replica has its
    /// copy and every sentinel knows everybody.
    #[must_use]
    pub fn start(replicas: usize, options: &Options) -> Self {
        let master = RedisServer::start(options.clone());
        let copy = Options {
            replica_of: Some(master.port()),
            ..options.clone()
        };
        let mut servers = vec![master];
        servers.extend((0..replicas).map(|_| RedisServer::start(copy.clone())));
        for replica in servers.iter().skip(1) {
            replica.wait_for_master();
        }
        let watch = Options {
            lines: vec![
                format!("sentinel monitor {NAME} 127.0.0.1 {} 2", servers[0].port()),
                format!("sentinel down-after-milliseconds {NAME} 1000"),
                format!("sentinel failover-timeout {NAME} 5000"),
            ],
            ..Options::default()
        };
        let sentinels = (0..SENTINELS)
            .map(|_| RedisServer::launch(Role::Sentinel, watch.clone()))
            .collect();
        let set = Self { servers, sentinels };
        let known = format!("slaves={replicas},sentinels={SENTINELS}");
        for sentinel in &set.sentinels {
            until("every sentinel knows everybody", || {
                let info = sentinel.ask(&["info", "sentinel"]).unwrap_or_default();
                info.lines()
                    .any(|line| line.contains("status=ok") && line.trim().ends_with(&known))
            });
        }
        set
    }

    /// Its URL for hookbox.
    #[must_use]
    pub fn url(&self) -> String {
        let sentinels: Vec<String> = self
            .sentinels
            .iter()
            .map(|sentinel| format!("127.0.0.1:{}", sentinel.port()))
            .collect();
        format!("redis+sentinel://{}?master={NAME}", sentinels.join(","))
    }

    /// The port of the master, as the first sentinel knows it.
    ///
    /// # Panics
    /// If the sentinel does not answer.
    #[must_use]
    pub fn master_port(&self) -> u16 {
        let address = self.sentinels[0].cli(&["sentinel", "get-master-addr-by-name", NAME]);
        let port = address.lines().nth(1).expect("an address and a port");
        port.parse().expect("a port")
    }

    /// Waits until a server that runs has been made the master in the place of the one on this port, and
    /// knows it.
    pub fn wait_for_other_master_than(&self, port: u16) {
        until("the sentinels choose another master", || {
            let now = self.master_port();
            now != port
                && self
                    .servers
                    .iter()
                    .any(|s| s.port() == now && s.says("replication", "role:master"))
        });
    }
}
