//! The HTTP clients, one for each way to do TLS, and the CA files that webhooks name.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use super::{Setup, error::SendError};

/// Clients kept at once. Each CA file needs one of its own.
const CLIENTS: usize = 64;

/// Hosts that one client has connections to before it is replaced. Strangers choose the hosts: without
/// a bound, idle connections to ever new ones would use up the process's file descriptors. Requests under
/// way keep the replaced client until they are done.
const HOSTS_PER_CLIENT: usize = 256;

/// Bytes of a CA file. The whole Mozilla list has about 220,000.
const CA_FILE_BYTES: u64 = 1 << 20;

/// Whom a receiver's certificate must come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Trust {
    /// The system's authorities.
    System,
    /// The authorities in this file, as it was then.
    File(CaFile),
    /// Anybody: `ssl_verification` is off.
    Anybody,
}

/// A CA file by what tells one version of it from the next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct CaFile {
    path: PathBuf,
    modified: Option<SystemTime>,
    bytes: u64,
}

/// What clients differ in, since they must not share connections then.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    pub(super) trust: Trust,
    /// For requests with a `Host` of their own, which HTTP/2 has no place for.
    pub(super) http1_only: bool,
}

#[derive(Default)]
pub(super) struct Clients {
    pooled: Mutex<HashMap<Kind, Pooled>>,
    /// Held while a client is made, which reads and parses certificates: once is enough.
    making: Mutex<()>,
}

struct Pooled {
    client: reqwest::Client,
    /// With ports. A host may be a secret: not for logs.
    hosts: HashSet<String>,
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").finish_non_exhaustive()
    }
}

impl Clients {
    /// The client of this kind, made if there is none yet. May read certificates: for blocking threads,
    /// unless [`Clients::ready`] had it.
    pub(super) fn get(
        &self,
        kind: &Kind,
        host: &str,
        setup: &Setup,
    ) -> Result<reqwest::Client, SendError> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = self.ready(kind, host) {
            return Ok(client);
        }
        let client = build(kind, setup)?;
        let mut clients = self.pooled.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= CLIENTS {
            clients.retain(|k, _| matches!(k.trust, Trust::System | Trust::Anybody));
        }
        let hosts = HashSet::from([host.to_owned()]);
        let pooled = Pooled {
            client: client.clone(),
            hosts,
        };
        clients.insert(kind.clone(), pooled);
        Ok(client)
    }

    /// The client of this kind if it is there and may connect to one more host.
    pub(super) fn ready(&self, kind: &Kind, host: &str) -> Option<reqwest::Client> {
        let mut clients = self.pooled.lock().unwrap_or_else(PoisonError::into_inner);
        let pooled = clients.get_mut(kind)?;
        if !pooled.hosts.contains(host) {
            if pooled.hosts.len() >= HOSTS_PER_CLIENT {
                return None;
            }
            pooled.hosts.insert(host.to_owned());
        }
        Some(pooled.client.clone())
    }
}

fn build(kind: &Kind, setup: &Setup) -> Result<reqwest::Client, SendError> {
    // Fails if there is a provider already, which then is the process's choice.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .dns_resolver(Arc::clone(&setup.resolver))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .referer(false)
        // One attempt is one request: what is tried again, and when, is the queue's decision.
        .retry(reqwest::retry::never())
        .connect_timeout(setup.connect_timeout)
        .pool_idle_timeout(setup.idle_timeout)
        .pool_max_idle_per_host(16)
        .tcp_nodelay(true)
        .http1_title_case_headers()
        .http1_max_headers(100)
        .http2_max_header_list_size(64 * 1024)
        .http2_keep_alive_interval(None);
    if kind.http1_only {
        builder = builder.http1_only();
    }
    let unusable = match &kind.trust {
        Trust::System => {
            SendError::Internal("it has no certificates of authorities (package ca-certificates)")
        }
        Trust::Anybody => {
            builder = builder.tls_danger_accept_invalid_certs(true);
            SendError::Internal("its HTTP client does not start")
        }
        Trust::File(file) => {
            let certificates = reqwest::Certificate::from_pem_bundle(&file.read()?);
            let certificates = certificates.map_err(|_| NO_CERTIFICATES)?;
            if certificates.is_empty() {
                return Err(NO_CERTIFICATES);
            }
            builder = builder.tls_certs_only(certificates);
            NO_CERTIFICATES
        }
    };
    builder.build().map_err(|_| unusable)
}

const NO_CERTIFICATES: SendError =
    SendError::CaFile("ca_file_path names a file without valid PEM certificates");

/// One message for all that is wrong with a path, so that nobody learns from it which files exist.
const NO_SUCH_FILE: SendError = SendError::CaFile(
    "ca_file_path must name a readable file of at most 1 MiB in one of the folders that the operator set \
     for it (delivery.ca_directories)",
);

impl CaFile {
    /// Finds the file that a webhook names, if it is in one of the folders after all links are followed.
    /// Blocking.
    pub(super) fn find(path: &str, folders: &[PathBuf]) -> Result<Self, SendError> {
        let path = fs::canonicalize(Path::new(path)).map_err(|_| NO_SUCH_FILE)?;
        let allowed = folders
            .iter()
            .filter_map(|folder| fs::canonicalize(folder).ok())
            .any(|folder| path.starts_with(folder));
        if !allowed {
            return Err(NO_SUCH_FILE);
        }
        let metadata = fs::metadata(&path).map_err(|_| NO_SUCH_FILE)?;
        if !metadata.is_file() || metadata.len() > CA_FILE_BYTES {
            return Err(NO_SUCH_FILE);
        }
        Ok(Self {
            path,
            modified: metadata.modified().ok(),
            bytes: metadata.len(),
        })
    }

    fn read(&self) -> Result<Vec<u8>, SendError> {
        let file = File::open(&self.path).map_err(|_| NO_SUCH_FILE)?;
        let mut bytes = Vec::new();
        let read = file.take(CA_FILE_BYTES + 1).read_to_end(&mut bytes);
        match read {
            Ok(n) if u64::try_from(n).is_ok_and(|n| n <= CA_FILE_BYTES) => Ok(bytes),
            _ => Err(NO_SUCH_FILE),
        }
    }
}
