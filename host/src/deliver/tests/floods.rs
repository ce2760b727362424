//! Receivers that send without end. What they can have read is counted at their side.

use super::*;

/// More bytes than the system buffers of a connection that is not read. A flood that is read goes far beyond.
const UNREAD: usize = 16 << 20;

/// Reads the request, writes `first`, then `again` until the connection is closed. Returns what was written.
async fn flood(first: &'static str, again: String) -> (Server, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let (written, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, gone) = (Arc::clone(&written), Arc::clone(&ended));
    let again = Arc::new(again);
    let server = Server::start(move |mut stream| {
        let (counted, gone, again) = (counted.clone(), gone.clone(), again.clone());
        async move {
            read_request(&mut stream).await;
            let mut alive = stream.write_all(first.as_bytes()).await.is_ok();
            while alive {
                alive = stream.write_all(again.as_bytes()).await.is_ok();
                counted.fetch_add(again.len(), Ordering::SeqCst);
            }
            gone.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    (server, written, ended)
}

pub(super) async fn until(what: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !what() {
        assert!(Instant::now() < deadline, "still not so");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn what_has_no_end_is_not_read_on() {
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (first, again, status) in [
        // Each of these is legal as far as it goes.
        ("", "HTTP/1.1 100 Continue\r\n\r\n".repeat(500), None),
        ("", "HTTP/1.1 103 x\r\nLink: y\r\n".repeat(500), None),
        ("", "\r\n".repeat(5000), None),
        ("", "HTTP".repeat(5000), None),
        ("HTTP/1.1 200 OK\r\n", "X-A: b\r\n".repeat(1000), Some(200)),
        ("HTTP/1.1 200 OK\r\nX-A: b", " c".repeat(5000), Some(200)),
        (
            "HTTP/1.1 200 OK\r\nX-A: b\r\n",
            " c\r\n".repeat(3000),
            Some(200),
        ),
        (
            "HTTP/1.1 200 OK\r\n",
            "no header\r\n".repeat(1000),
            Some(200),
        ),
        (CHUNKED, "0".repeat(10_000), Some(200)),
        (CHUNKED, ";".repeat(10_000), Some(200)),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
            "name=value;".repeat(1000),
            Some(200),
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            "X-Trailer: x\r\n".repeat(1000),
            Some(200),
        ),
        (
            CHUNKED,
            "000000000001;ext=ension\r\nx\r\n".repeat(400),
            Some(200),
        ),
        ("HTTP/1.1 200 OK\r\n\r\n", "x".repeat(10_000), Some(200)),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "x".repeat(10_000),
            Some(200),
        ),
    ] {
        let shown = format!("{first:?} {:?}", &again[..20.min(again.len())]);
        let (server, written, ended) = flood(first, again).await;
        let sent = Sender::new().send(post(&server.url())).await;
        match status {
            Some(status) => assert_eq!(sent.unwrap().status, status, "{shown}"),
            None => assert_eq!(sent.unwrap_err().kind(), "protocol", "{shown}"),
        }
        until(|| ended.load(Ordering::SeqCst) == 1).await;
        let written = written.load(Ordering::SeqCst);
        assert!(written < UNREAD, "{shown}: {written} bytes");
    }
}

#[tokio::test]
async fn a_connection_whose_answer_was_cut_off_by_time_is_closed() {
    for first in [
        "",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n",
    ] {
        let server = Server::start(move |mut stream| async move {
            read_request(&mut stream).await;
            let _ = stream.write_all(first.as_bytes()).await;
            while read_request(&mut stream).await.is_some() {}
        })
        .await;
        let sender = Sender::new();
        let impatient = SendOptions {
            timeout: Duration::from_millis(200),
            ..options()
        };
        let _ = sender.send_with(post(&server.url()), &impatient).await;
        until(|| server.closed.load(Ordering::SeqCst) == 1).await;
    }
}
