//! Finding the node that holds a shard, and connecting to it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rand::seq::SliceRandom;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo,
    RedisError, RedisResult, TlsCertificates, TlsMode, Value,
    aio::MultiplexedConnection,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};

use crate::backend::BackendError;
use crate::config::redis_address::{Address, Credentials, Kind, Node};

/// Commands that may wait in a connection's queue.
const QUEUE: usize = 1024;

/// Where the shards are.
pub(super) struct Nodes {
    address: Address,
    ca: Option<Vec<u8>>,
    timeout: Duration,
    sentinel: Option<tokio::sync::Mutex<SentinelClient>>,
    /// The nodes of a cluster that are known, those of the address first, and which of them has which slots.
    cluster: Mutex<Cluster>,
}

#[derive(Default)]
struct Cluster {
    known: Vec<Node>,
    /// By the shard's prefix.
    found: HashMap<String, Node>,
}

/// A connection, and Redis' clock as it was when it was made.
pub(super) struct Link {
    pub(super) connection: MultiplexedConnection,
    asked: Instant,
    clock: u64,
}

impl Link {
    /// Redis' clock so long from now, in microseconds.
    pub(super) fn clock_in(&self, span: Duration) -> u64 {
        let since = self.asked.elapsed().saturating_add(span).as_micros();
        self.clock
            .saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }
}

impl std::fmt::Debug for Nodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Nodes").field(&self.address).finish()
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

impl Nodes {
    pub(super) fn new(
        address: Address,
        ca: Option<Vec<u8>>,
        timeout: Duration,
    ) -> Result<Self, BackendError> {
        let mut nodes = Self {
            cluster: Mutex::new(Cluster {
                known: address.nodes.clone(),
                found: HashMap::new(),
            }),
            address,
            ca,
            timeout,
            sentinel: None,
        };
        nodes.sentinel = nodes
            .sentinel_client()
            .map_err(|e| crate::backend::redis::fault::backend_error(&e))?
            .map(tokio::sync::Mutex::new);
        Ok(nodes)
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.address.kind, Kind::Cluster)
    }

    /// Connects to the node that holds the keys that begin with `prefix`. `patience` is how long one command
    /// may take.
    pub(super) async fn connect(&self, prefix: &str, patience: Duration) -> RedisResult<Link> {
        let connecting = async {
            let client = match &self.sentinel {
                Some(sentinel) => sentinel.lock().await.async_get_client().await?,
                None => {
                    let node = match self.address.kind {
                        Kind::Cluster => Some(self.node_of(prefix).await?),
                        _ => self.address.nodes.first().cloned(),
                    };
                    self.client(&node.ok_or_else(|| timed_out("the address has no host"))?)?
                }
            };
            self.open(&client, patience).await
        };
        // Shorter than a step may take, so that its callers hear that this failed.
        let result = match tokio::time::timeout(self.timeout * 2 / 3, connecting).await {
            Ok(result) => result,
            Err(_) => Err(timed_out("connecting took too long")),
        };
        if result.is_err() {
            self.forget(prefix);
        }
        result
    }

    async fn open(&self, client: &Client, patience: Duration) -> RedisResult<Link> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(patience))
            .set_pipeline_buffer_size(QUEUE);
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(&mut connection).await?;
        // The clock was read earlier than this, so it is taken to run late, and deadlines with it.
        let asked = Instant::now();
        Ok(Link {
            connection,
            asked,
            clock: seconds.saturating_mul(1_000_000).saturating_add(micros),
        })
    }

    /// The next connection for these keys looks for their node anew.
    pub(super) fn forget(&self, prefix: &str) {
        self.cluster().found.remove(prefix);
    }

    fn cluster(&self) -> std::sync::MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn node_of(&self, prefix: &str) -> RedisResult<Node> {
        if let Some(node) = self.cluster().found.get(prefix) {
            return Ok(node.clone());
        }
        let mut known = self.cluster().known.clone();
        // Not in the same order each time: those at the front may be the ones that are gone.
        known.shuffle(&mut rand::rng());
        let mut last = timed_out("no node of the cluster is known");
        for node in known {
            // One that hangs must not use up the time for the others.
            let asking = tokio::time::timeout(self.timeout / 4, self.ask(&node, prefix));
            match asking
                .await
                .unwrap_or_else(|_| Err(timed_out("a node of the cluster does not answer")))
            {
                Ok(found) => {
                    self.cluster()
                        .found
                        .insert(prefix.to_owned(), found.clone());
                    return Ok(found);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Asks one node of a cluster which node holds these keys, and learns of the others.
    async fn ask(&self, node: &Node, prefix: &str) -> RedisResult<Node> {
        let client = self.client(node)?;
        let mut connection = self.open(&client, self.timeout).await?.connection;
        let (slot, slots): (i64, Vec<Value>) = redis::pipe()
            .cmd("CLUSTER")
            .arg("KEYSLOT")
            .arg(prefix)
            .cmd("CLUSTER")
            .arg("SLOTS")
            .query_async(&mut connection)
            .await?;
        let mut holder = None;
        let mut all = Vec::new();
        for range in &slots {
            let Value::Array(range) = range else { continue };
            let mut nodes = range
                .iter()
                .skip(2)
                .filter_map(|entry| read_node(entry, node));
            let master = nodes.next();
            if let [Value::Int(first), Value::Int(last), ..] = range.as_slice()
                && (*first..=*last).contains(&slot)
            {
                holder.clone_from(&master);
            }
            all.extend(master);
            all.extend(nodes);
        }
        let mut cluster = self.cluster();
        let mut known = self.address.nodes.clone();
        for node in all {
            if !known.contains(&node) {
                known.push(node);
            }
        }
        cluster.known = known;
        holder.ok_or_else(|| timed_out("no node of the cluster serves this shard's slot"))
    }

    fn client(&self, node: &Node) -> RedisResult<Client> {
        let settings = settings(self.address.credentials.as_ref(), self.address.db);
        let info = self
            .connection_addr(node)
            .into_connection_info()?
            .set_redis_settings(settings)
            .set_tcp_settings(tcp());
        match self.certificates() {
            Some(certificates) if self.address.tls => Client::build_with_tls(info, certificates),
            _ => Client::open(info),
        }
    }

    fn certificates(&self) -> Option<TlsCertificates> {
        self.ca.clone().map(|ca| TlsCertificates {
            client_tls: None,
            root_cert: Some(ca),
        })
    }

    fn connection_addr(&self, node: &Node) -> ConnectionAddr {
        let (host, port) = (node.host.clone(), node.port);
        if self.address.tls {
            ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            }
        } else {
            ConnectionAddr::Tcp(host, port)
        }
    }

    fn sentinel_client(&self) -> RedisResult<Option<SentinelClient>> {
        let Kind::Sentinel {
            master,
            credentials,
        } = &self.address.kind
        else {
            return Ok(None);
        };
        let addresses = self.address.nodes.iter();
        let addresses = addresses.map(|node| self.connection_addr(node));
        let mut builder =
            SentinelClientBuilder::new(addresses, master.as_str(), SentinelServerType::Master)?
                .set_client_to_redis_db(self.address.db.into())
                .set_client_to_redis_tcp_settings(tcp())
                .set_client_to_sentinel_tcp_settings(tcp());
        if self.address.tls {
            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
        }
        if let Some(certificates) = self.certificates() {
            builder = builder
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates);
        }
        if let Some(Credentials { user, password }) = &self.address.credentials {
            builder = builder.set_client_to_redis_password(password.expose());
            if let Some(user) = user {
                builder = builder.set_client_to_redis_username(user.as_str());
            }
        }
        if let Some(Credentials { user, password }) = credentials {
            builder = builder.set_client_to_sentinel_password(password.expose());
            if let Some(user) = user {
                builder = builder.set_client_to_sentinel_username(user.as_str());
            }
        }
        builder.build().map(Some)
    }
}

fn settings(credentials: Option<&Credentials>, db: u32) -> RedisConnectionInfo {
    let mut settings = RedisConnectionInfo::default().set_db(db.into());
    if let Some(Credentials { user, password }) = credentials {
        settings = settings.set_password(password.expose());
        if let Some(user) = user {
            settings = settings.set_username(user.as_str());
        }
    }
    settings
}

/// A connection on which nothing comes back is noticed, though nothing is sent.
fn tcp() -> TcpSettings {
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(20))
        .with_interval(Duration::from_secs(5))
        .with_retries(3);
    TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(keepalive)
}

/// A node as `CLUSTER SLOTS` names it; one that does not know its own address means the one that was asked.
fn read_node(entry: &Value, asked: &Node) -> Option<Node> {
    let Value::Array(entry) = entry else {
        return None;
    };
    let host: Option<String> = redis::from_redis_value_ref(entry.first()?).ok()?;
    let port: u16 = redis::from_redis_value_ref(entry.get(1)?).ok()?;
    let host = host.filter(|host| !host.is_empty() && host != "?");
    let host = host.unwrap_or_else(|| asked.host.clone());
    Some(Node { host, port })
}

pub(super) fn timed_out(message: &'static str) -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, message).into()
}
