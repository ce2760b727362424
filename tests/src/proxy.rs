//! A forward proxy inside the test: CONNECT and SOCKS5 on one port, with TLS if wanted. It really connects.

use std::{
    collections::HashMap,
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// What a proxy does.
#[derive(Clone, Default)]
pub struct Setup {
    /// The user and the password that it wants.
    pub login: Option<(String, String)>,
    /// Names that it knows, besides those that the system does.
    pub hosts: HashMap<String, SocketAddr>,
    /// The status with which it answers all requests to connect.
    pub refuse: Option<u16>,
    /// How it does TLS with its clients.
    pub tls: Option<TlsAcceptor>,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").finish_non_exhaustive()
    }
}

/// A running proxy; it stops when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub addr: SocketAddr,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    connections: AtomicUsize,
    asked: Mutex<Vec<String>>,
}

impl Proxy {
    /// Starts on a free port.
    ///
    /// # Panics
    /// If there is none.
    pub async fn start(setup: Setup) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let seen = Arc::<Seen>::default();
        let shared = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let setup = Arc::new(setup);
            while let Ok((tcp, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let (setup, seen) = (Arc::clone(&setup), Arc::clone(&shared));
                // A connection that ends badly ends; the test sees it at the other end.
                tokio::spawn(async move {
                    match &setup.tls {
                        None => setup.serve(tcp, &seen).await,
                        Some(tls) => setup.serve(tls.accept(tcp).await?, &seen).await,
                    }
                });
            }
        });
        Self { addr, seen, task }
    }

    /// How many connections it has had.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// What it was asked to connect to, as `HOST:PORT`, and the first lines of whatever else it was asked.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        let asked = self.seen.asked.lock();
        asked.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Seen {
    fn asked(&self, what: &str) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push(what.to_owned());
    }
}

impl Setup {
    async fn serve<S>(&self, mut client: S, seen: &Seen) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let mut receiver = match client.read_u8().await? {
            5 => self.socks(&mut client, seen).await?,
            first => self.connect(&mut client, first, seen).await?,
        };
        copy_bidirectional(&mut client, &mut receiver).await?;
        Ok(())
    }

    async fn reach(&self, target: &str) -> io::Result<TcpStream> {
        let host = target.rsplit_once(':').map_or(target, |(host, _)| host);
        match self.hosts.get(host) {
            Some(address) => TcpStream::connect(address).await,
            None => TcpStream::connect(target).await,
        }
    }

    async fn connect<S>(&self, client: &mut S, first: u8, seen: &Seen) -> io::Result<TcpStream>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut head = vec![first];
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let line = head.lines().next().unwrap_or_default();
        let target = line
            .strip_prefix("CONNECT ")
            .and_then(|l| l.strip_suffix(" HTTP/1.1"));
        seen.asked(target.unwrap_or(line));
        let login = self.login.as_ref().map(|(user, password)| {
            let login = STANDARD.encode(format!("{user}:{password}"));
            format!("Proxy-Authorization: Basic {login}")
        });
        let answer = match (target, &login) {
            (None, _) => 400,
            (Some(_), Some(login)) if !head.lines().any(|line| line == login) => 407,
            (Some(target), _) => match (self.refuse, self.reach(target).await) {
                (Some(status), _) => status,
                (None, Err(_)) => 502,
                (None, Ok(receiver)) => {
                    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                    return Ok(receiver);
                }
            },
        };
        let answer =
            format!("HTTP/1.1 {answer} No\r\nVia: proxy-of-the-test\r\nContent-Length: 0\r\n\r\n");
        client.write_all(answer.as_bytes()).await?;
        Err(io::Error::other("refused"))
    }

    /// RFC 1928 and 1929, from the second byte on.
    async fn socks<S>(&self, client: &mut S, seen: &Seen) -> io::Result<TcpStream>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let refused = || io::Error::other("refused");
        let methods = text(client).await?;
        let wanted = if self.login.is_some() { 2 } else { 0 };
        if !methods.as_bytes().contains(&wanted) {
            client.write_all(&[5, 0xff]).await?;
            return Err(refused());
        }
        client.write_all(&[5, wanted]).await?;
        if let Some((user, password)) = &self.login {
            client.read_u8().await?;
            let right = text(client).await? == *user && text(client).await? == *password;
            client.write_all(&[1, u8::from(!right)]).await?;
            if !right {
                return Err(refused());
            }
        }
        let mut request = [0; 4];
        client.read_exact(&mut request).await?;
        let host = match request[3] {
            1 => std::net::Ipv4Addr::from(client.read_u32().await?).to_string(),
            4 => format!("[{}]", std::net::Ipv6Addr::from(client.read_u128().await?)),
            _ => text(client).await?,
        };
        let target = format!("{host}:{}", client.read_u16().await?);
        seen.asked(&target);
        let receiver = self.reach(&target).await;
        let refused_by_peer = 5;
        let status = if receiver.is_ok() { 0 } else { refused_by_peer };
        client
            .write_all(&[5, status, 0, 1, 0, 0, 0, 0, 0, 0])
            .await?;
        receiver
    }
}

/// A byte for the length, and so many bytes.
async fn text<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<String> {
    let mut bytes = vec![0; usize::from(stream.read_u8().await?)];
    stream.read_exact(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
