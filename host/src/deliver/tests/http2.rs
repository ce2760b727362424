//! HTTP/2: what a receiver says of requests that it has not processed, floods, and answers that are malformed. The
//! receivers here write frames of their own, as no library would.

use super::{floods::until, tls::self_signed, *};

const PREFACE: usize = 24;
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Frames (RFC 9113 section 6).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

fn reset(stream: u32, reason: u32) -> Vec<u8> {
    frame(3, 0, stream, &reason.to_be_bytes())
}

fn go_away(last: u32, reason: u32) -> Vec<u8> {
    frame(
        7,
        0,
        0,
        &[last.to_be_bytes(), reason.to_be_bytes()].concat(),
    )
}

/// `:status 200` (RFC 7541 appendix A), and the end of headers and stream.
fn ok(stream: u32) -> Vec<u8> {
    frame(1, 5, stream, &[0x88])
}

const REFUSED_STREAM: u32 = 7;
const HTTP_1_1_REQUIRED: u32 = 13;

/// The receiver's side of a connection.
struct Connection {
    stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>,
    begun: bool,
}

impl Connection {
    /// The stream of the next request, when all of that has come.
    async fn request(&mut self) -> Option<u32> {
        if !std::mem::replace(&mut self.begun, true) {
            let mut preface = [0; PREFACE];
            self.stream.read_exact(&mut preface).await.ok()?;
            self.stream.write_all(&SETTINGS).await.ok()?;
        }
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let length = usize::from(head[1]) << 8 | usize::from(head[2]);
            let mut payload = vec![0; length];
            self.stream.read_exact(&mut payload).await.ok()?;
            let end_of_stream = matches!(head[3], 0 | 1) && head[4] & 1 == 1;
            if end_of_stream {
                return Some(u32::from_be_bytes([head[5], head[6], head[7], head[8]]));
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok() && self.stream.flush().await.is_ok()
    }
}

/// A receiver that speaks HTTP/2 as `serve` does, with the number of the connection, and HTTP/1.1 well.
struct Receiver {
    address: SocketAddr,
    /// `h1` or `h2`, for each connection.
    connections: Arc<Mutex<Vec<&'static str>>>,
    closed: Arc<AtomicUsize>,
}

impl Receiver {
    async fn start<F, Fut>(serve: F) -> Self
    where
        F: Fn(Connection, usize) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let (tls, _) = self_signed(&["h2", "http/1.1"]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            closed: Arc::default(),
        };
        let (connections, closed) = (receiver.connections.clone(), receiver.closed.clone());
        tokio::spawn(async move {
            let mut number = 0;
            while let Ok((tcp, _)) = listener.accept().await {
                let Ok(stream) = tls.accept(tcp).await else {
                    continue;
                };
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let name = if http2 { "h2" } else { "h1" };
                connections.lock().unwrap().push(name);
                let closed = closed.clone();
                let served = http2.then(|| {
                    number += 1;
                    let begun = false;
                    Box::pin(serve(Connection { stream, begun }, number))
                });
                tokio::spawn(async move {
                    if let Some(served) = served {
                        served.await;
                    }
                    closed.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        receiver
    }

    fn url(&self) -> String {
        format!("https://receiver.example:{}/hook", self.address.port())
    }

    fn connections(&self) -> Vec<&'static str> {
        self.connections.lock().unwrap().clone()
    }

    async fn sent_by(&self, sender: &Sender) -> Result<Response, SendError> {
        let unverified = SendOptions {
            ssl_verification: false,
            ..options()
        };
        sender.send_with(post(&self.url()), &unverified).await
    }
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_in_the_same_attempt() {
    let receiver = Receiver::start(|mut connection, _| async move {
        let mut requests = 0;
        while let Some(stream) = connection.request().await {
            requests += 1;
            let answer = if requests % 2 == 1 {
                reset(stream, REFUSED_STREAM)
            } else {
                ok(stream)
            };
            connection.write(&answer).await;
        }
    })
    .await;
    let sender = Sender::new();
    for _ in 0..3 {
        let response = receiver.sent_by(&sender).await.unwrap();
        assert_eq!((response.status, response.version), (200, "HTTP/2.0"));
    }
    assert_eq!(receiver.connections(), ["h2"], "one connection for all");
}

#[tokio::test]
async fn a_stream_that_is_refused_for_ever_is_a_failure_of_the_attempt() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = seen.clone();
    let receiver = Receiver::start(move |mut connection, _| {
        let counted = counted.clone();
        async move {
            while let Some(stream) = connection.request().await {
                counted.fetch_add(1, Ordering::SeqCst);
                connection.write(&reset(stream, REFUSED_STREAM)).await;
            }
        }
    })
    .await;
    let error = receiver.sent_by(&Sender::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), ("protocol", true));
    assert_eq!(seen.load(Ordering::SeqCst), TRIES);
}

#[tokio::test]
async fn a_farewell_before_the_request_was_processed_uses_up_no_attempt() {
    let receiver = Receiver::start(|mut connection, number| async move {
        while let Some(stream) = connection.request().await {
            let answer = if number == 1 {
                go_away(0, 0)
            } else {
                ok(stream)
            };
            connection.write(&answer).await;
        }
    })
    .await;
    let response = receiver.sent_by(&Sender::new()).await.unwrap();
    assert_eq!(response.status, 200);
    assert_eq!(receiver.connections(), ["h2", "h2"]);
}

#[tokio::test]
async fn a_request_that_a_farewell_does_not_except_is_not_sent_again() {
    let receiver = Receiver::start(|mut connection, _| async move {
        if let Some(stream) = connection.request().await {
            connection.write(&go_away(stream, 0)).await;
        }
    })
    .await;
    let error = receiver.sent_by(&Sender::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), ("protocol", true));
    assert_eq!(receiver.connections(), ["h2"]);
}

#[tokio::test]
async fn other_resets_are_failures_at_once() {
    let receiver = Receiver::start(|mut connection, _| async move {
        while let Some(stream) = connection.request().await {
            // INTERNAL_ERROR
            connection.write(&reset(stream, 2)).await;
        }
    })
    .await;
    let error = receiver.sent_by(&Sender::new()).await.unwrap_err();
    assert!(
        error.to_string().contains("reset the HTTP/2 stream"),
        "{error}"
    );
    assert_eq!(receiver.connections(), ["h2"]);
}

/// Serves HTTP/1.1 with [`OK`] on the second kind of connections.
async fn over_http1(answer: impl Fn(u32) -> Vec<u8> + Clone + Send + 'static) -> Receiver {
    let (tls, _) = self_signed(&["h2", "http/1.1"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let receiver = Receiver {
        address: listener.local_addr().unwrap(),
        connections: Arc::default(),
        closed: Arc::default(),
    };
    let connections = receiver.connections.clone();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (tls, connections, answer) = (tls.clone(), connections.clone(), answer.clone());
            tokio::spawn(async move {
                let Ok(stream) = tls.accept(tcp).await else {
                    return;
                };
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                connections
                    .lock()
                    .unwrap()
                    .push(if http2 { "h2" } else { "h1" });
                if http2 {
                    let begun = false;
                    let mut connection = Connection { stream, begun };
                    while let Some(stream) = connection.request().await {
                        connection.write(&answer(stream)).await;
                    }
                } else {
                    let mut stream: Stream = Box::new(stream);
                    while read_request(&mut stream).await.is_some() {
                        let _ = stream.write_all(OK.as_bytes()).await;
                        let _ = stream.flush().await;
                    }
                }
            });
        }
    });
    receiver
}

#[tokio::test]
async fn http_1_1_is_spoken_in_the_same_attempt_where_it_is_required_and_from_then_on() {
    let receiver = over_http1(|stream| reset(stream, HTTP_1_1_REQUIRED)).await;
    let sender = Sender::new();
    for _ in 0..3 {
        let response = receiver.sent_by(&sender).await.unwrap();
        assert_eq!((response.status, response.version), (200, "HTTP/1.1"));
    }
    assert_eq!(receiver.connections(), ["h2", "h1"]);
}

#[tokio::test]
async fn after_an_answer_that_is_no_valid_http_2_the_next_attempt_is_over_http_1_1() {
    // `:status 200`, then `set-cookie` with a control character: a literal without indexing, by its name.
    let malformed = |stream| {
        let mut headers = vec![0x88, 0x00, 10];
        headers.extend_from_slice(b"set-cookie");
        headers.extend_from_slice(&[3, b'a', 1, b'b']);
        frame(1, 5, stream, &headers)
    };
    let receiver = over_http1(malformed).await;
    let sender = Sender::new();
    let error = receiver.sent_by(&sender).await.unwrap_err();
    assert!(error.to_string().contains("invalid HTTP/2"), "{error}");
    let response = receiver.sent_by(&sender).await.unwrap();
    assert_eq!((response.status, response.version), (200, "HTTP/1.1"));
    assert_eq!(receiver.connections(), ["h2", "h1"]);
}

/// Bytes of a flood that may have gone out when the connection is closed: what is read, and what the system takes.
const UNREAD: usize = 16 << 20;

#[tokio::test]
async fn floods_end_with_the_share_of_an_answer() {
    let ping = frame(6, 0, 0, &[0; 8]);
    let settings = SETTINGS.to_vec();
    let priority = frame(2, 0, 1, &[0, 0, 0, 3, 16]);
    let window = frame(8, 0, 0, &[0, 0, 0, 1]);
    let interim = frame(1, 4, 1, &[0x08, 3, b'1', b'0', b'3']);
    let empty_data = frame(0, 0, 1, &[]);
    let unknown = frame(0xfe, 0, 1, &[0; 8]);
    let continuation = frame(9, 0, 1, &[0x82]);
    let headers_without_end = frame(1, 0, 1, &[0x88]);
    let other_resets = reset(1, 8);
    for (first, again) in [
        (vec![], ping),
        (vec![], settings),
        (vec![], priority),
        (vec![], window),
        (vec![], interim),
        (frame(1, 4, 1, &[0x88]), empty_data),
        (vec![], unknown),
        (headers_without_end, continuation),
        (vec![], other_resets),
    ] {
        let written = Arc::new(AtomicUsize::new(0));
        let counted = written.clone();
        let shown = format!("{first:?} {again:?}");
        let again = again.repeat(500);
        let receiver = Receiver::start(move |mut connection, _| {
            let (first, again, counted) = (first.clone(), again.clone(), counted.clone());
            async move {
                connection.request().await;
                connection.write(&first).await;
                while connection.write(&again).await {
                    counted.fetch_add(again.len(), Ordering::SeqCst);
                }
            }
        })
        .await;
        let sent = receiver.sent_by(&Sender::new()).await;
        if let Ok(response) = sent {
            assert!(response.truncated, "{shown}");
        }
        until(|| receiver.closed.load(Ordering::SeqCst) == 1).await;
        let written = written.load(Ordering::SeqCst);
        assert!(written < UNREAD, "{shown}: {written} bytes");
    }
}

#[tokio::test]
async fn an_idle_connection_is_not_read_on() {
    let written = Arc::new(AtomicUsize::new(0));
    let counted = written.clone();
    let ping = frame(6, 0, 0, &[0; 8]).repeat(100);
    let receiver = Receiver::start(move |mut connection, _| {
        let (ping, counted) = (ping.clone(), counted.clone());
        async move {
            if let Some(stream) = connection.request().await {
                connection.write(&ok(stream)).await;
            }
            while connection.write(&ping).await {
                counted.fetch_add(ping.len(), Ordering::SeqCst);
            }
        }
    })
    .await;
    let sender = Sender::new();
    assert_eq!(receiver.sent_by(&sender).await.unwrap().status, 200);
    until(|| receiver.closed.load(Ordering::SeqCst) == 1).await;
    let written = written.load(Ordering::SeqCst);
    assert!(written < UNREAD, "{written} bytes");
}

#[tokio::test]
async fn a_connection_on_which_an_answer_was_cut_off_is_closed() {
    let receiver = Receiver::start(|mut connection, _| async move {
        // Neither answers the request nor closes.
        while connection.request().await.is_some() {}
    })
    .await;
    let impatient = SendOptions {
        ssl_verification: false,
        timeout: Duration::from_millis(300),
        ..options()
    };
    let sender = Sender::new();
    let sent = sender.send_with(post(&receiver.url()), &impatient).await;
    assert_eq!(sent.unwrap_err(), SendError::Timeout(Phase::Response));
    until(|| receiver.closed.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn many_requests_share_a_connection_and_each_has_its_share_of_what_is_read() {
    // 40 KiB in one answer: together far more than one share.
    let receiver = Receiver::start(|mut connection, _| async move {
        while let Some(stream) = connection.request().await {
            connection.write(&frame(1, 4, stream, &[0x88])).await;
            for n in 0..3 {
                let last = u8::from(n == 2);
                let data = frame(0, last, stream, &[b'x'; 13_000]);
                connection.write(&data).await;
            }
        }
    })
    .await;
    let sender = Sender::new();
    for _ in 0..40 {
        let response = receiver.sent_by(&sender).await.unwrap();
        assert_eq!(response.body.len(), 39_000);
        assert!(!response.truncated);
    }
    assert_eq!(receiver.connections(), ["h2"]);
}

#[tokio::test]
async fn large_bodies_go_out_under_flow_control() {
    let receiver = Receiver::start(|mut connection, _| async move {
        // Lets the request go on: 4 MiB for each stream and for all.
        let streams = frame(4, 0, 0, &[0, 4, 0, 64, 0, 0]);
        let all = frame(8, 0, 0, &[0, 64, 0, 0]);
        connection.write(&[streams, all].concat()).await;
        while let Some(stream) = connection.request().await {
            connection.write(&ok(stream)).await;
        }
    })
    .await;
    let unverified = SendOptions {
        ssl_verification: false,
        ..options()
    };
    let body = "x".repeat(1 << 20);
    let request = Rendered::new("POST", receiver.url(), Vec::new(), body);
    let response = Sender::new().send_with(request, &unverified).await.unwrap();
    assert_eq!((response.status, response.version), (200, "HTTP/2.0"));
}
