//! Receivers that send without end, to whoever delivers to them. The tests hold what they can do; `cargo run -p hookbox-tests
//! --bin receivers` prints how the API fares meanwhile.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rustls::pki_types::PrivateKeyDer;
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use crate::server::Server;

/// A way to send without end.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// What it is called.
    pub name: &'static str,
    http2: bool,
    /// Sent once when a request has come.
    first: &'static [u8],
    /// Sent again and again.
    again: &'static [u8],
}

/// All of them.
pub const ATTACKS: [Attack; 13] = [
    Attack {
        name: "endless chunk size",
        http2: false,
        first: CHUNKED,
        again: b"00000000000000000000000000000000",
    },
    Attack {
        name: "endless chunk extension",
        http2: false,
        first: CHUNKED,
        again: b"1;name=value;name=value;name=value",
    },
    Attack {
        name: "endless trailers",
        http2: false,
        first: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        again: b"X-Trailer: x\r\n",
    },
    Attack {
        name: "endless 1xx",
        http2: false,
        first: b"",
        again: b"HTTP/1.1 100 Continue\r\n\r\n",
    },
    Attack {
        name: "endless headers",
        http2: false,
        first: b"HTTP/1.1 200 OK\r\n",
        again: b"X-Header: x\r\n",
    },
    Attack {
        name: "chunks of one byte",
        http2: false,
        first: CHUNKED,
        again: b"1;extension\r\nx\r\n",
    },
    Attack {
        name: "HTTP/2 PING",
        http2: true,
        first: b"",
        again: &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8],
    },
    Attack {
        name: "HTTP/2 SETTINGS",
        http2: true,
        first: b"",
        again: &SETTINGS,
    },
    Attack {
        name: "HTTP/2 PRIORITY",
        http2: true,
        first: b"",
        again: &[0, 0, 5, 2, 0, 0, 0, 0, 1, 0, 0, 0, 3, 16],
    },
    Attack {
        name: "HTTP/2 WINDOW_UPDATE",
        http2: true,
        first: b"",
        again: &[0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    },
    Attack {
        name: "HTTP/2 1xx",
        http2: true,
        first: b"",
        // `:status 103`
        again: &[0, 0, 5, 1, 4, 0, 0, 0, 1, 0x08, 3, b'1', b'0', b'3'],
    },
    Attack {
        name: "HTTP/2 CONTINUATION",
        http2: true,
        // `:status 200`, and the headers go on
        first: &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x88],
        again: &[0, 0, 1, 9, 0, 0, 0, 0, 1, 0x82],
    },
    Attack {
        name: "HTTP/2 RST_STREAM",
        http2: true,
        first: b"",
        again: &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8],
    },
];

const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// A receiver that makes an attack of every request.
#[derive(Debug)]
pub struct Hostile {
    address: SocketAddr,
    http2: bool,
    written: Arc<AtomicU64>,
    open: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

impl Hostile {
    /// Starts it.
    ///
    /// # Panics
    /// If no port can be had.
    pub async fn start(attack: Attack) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let hostile = Self {
            address: listener.local_addr().expect("an address"),
            http2: attack.http2,
            written: Arc::default(),
            open: Arc::default(),
            requests: Arc::default(),
        };
        let (written, open) = (Arc::clone(&hostile.written), Arc::clone(&hostile.open));
        let requests = Arc::clone(&hostile.requests);
        let tls = attack.http2.then(acceptor);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (written, open, tls) = (written.clone(), open.clone(), tls.clone());
                let requests = requests.clone();
                tokio::spawn(async move {
                    open.fetch_add(1, Ordering::SeqCst);
                    match tls {
                        None => Box::pin(serve(tcp, attack, &written, &requests)).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(tcp).await {
                                Box::pin(serve(stream, attack, &written, &requests)).await;
                            }
                        }
                    }
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        hostile
    }

    /// Where to deliver to, without verification of certificates.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.http2 { "https" } else { "http" };
        format!("{scheme}://{}/", self.address)
    }

    /// Bytes of the flood that were taken from it.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::SeqCst)
    }

    /// Connections that are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Requests that have come.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn serve<S>(mut stream: S, attack: Attack, written: &AtomicU64, requests: &AtomicUsize)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // Of the request only that it has come.
    let mut request = [0; 16 * 1024];
    if stream.read(&mut request).await.unwrap_or(0) == 0 {
        return;
    }
    if attack.http2 {
        let _ = stream.write_all(&SETTINGS).await;
        // The preface comes before the request itself.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    requests.fetch_add(1, Ordering::SeqCst);
    let _ = stream.write_all(attack.first).await;
    let again = attack.again.repeat(32 * 1024 / attack.again.len());
    while stream.write_all(&again).await.is_ok() {
        written.fetch_add(again.len() as u64, Ordering::SeqCst);
    }
}

fn acceptor() -> TlsAcceptor {
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .expect("a certificate and its key");
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// How fast the API answers.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The median.
    pub p50: Duration,
    /// What one of a hundred takes longer than.
    pub p99: Duration,
}

/// Asks so often for the same short list, one request after the other.
pub async fn pace(server: &Server, requests: usize) -> Pace {
    let mut took = Vec::with_capacity(requests);
    for _ in 0..requests {
        let asked = Instant::now();
        server.get("/v1/secrets").await;
        took.push(asked.elapsed());
    }
    took.sort_unstable();
    let at = |share: usize| {
        took.get(requests * share / 100)
            .copied()
            .unwrap_or_default()
    };
    Pace {
        p50: at(50),
        p99: at(99),
    }
}

/// Has so many deliveries made to a receiver, by a webhook and a rule of its own. Their ids.
pub async fn deliver_to(server: &Server, hostile: &Hostile, deliveries: usize) -> Vec<String> {
    let url = hostile.url();
    let object_type = format!("flood.port{}", hostile.address.port());
    let webhook = json!({
        "name": url, "payload_url": url, "ssl_verification": false, "retry": {"schedule": []},
    });
    let webhook = server.post("/v1/webhooks", &webhook).await;
    let rule = json!({
        "name": object_type, "object_types": [object_type], "event_types": ["*"],
        "webhooks": [webhook["id"]],
    });
    server.post("/v1/event-rules", &rule).await;
    let event = json!({"event": "created", "object_type": object_type, "data": {}});
    let mut ids = Vec::new();
    for _ in 0..deliveries {
        ids.push(server.send(&event).await);
    }
    ids
}
