//! When a connection serves another request, and when a request is sent again.

use super::*;

async fn connections_after(answer: &'static str, requests: usize) -> usize {
    let server = Server::answering(answer).await;
    let sender = Sender::new();
    for _ in 0..requests {
        let response = sender.send(post(&server.url())).await.unwrap();
        assert!(response.is_success(), "{answer:?}");
    }
    server.connections()
}

#[tokio::test]
async fn only_a_connection_that_is_surely_between_messages_is_used_again() {
    for (answer, reused) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true),
        ("HTTP/1.1 204 No Content\r\n\r\n", true),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\nX-Trailer: 1\r\n\r\n",
            true,
        ),
        (
            "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok",
            true,
        ),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false),
        (
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nok",
            false,
        ),
        // More than the answer.
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
            false,
        ),
        // Framing that others could understand otherwise.
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nno header\r\n\r\nok",
            false,
        ),
        (
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            false,
        ),
    ] {
        let connections = connections_after(answer, 3).await;
        assert_eq!(connections, if reused { 1 } else { 3 }, "{answer:?}");
    }
}

#[tokio::test]
async fn what_ends_with_the_connection_is_read_to_its_end() {
    for answer in [
        "HTTP/1.1 200 OK\r\n\r\nall of it",
        "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nContent-Length: 10\r\n\r\nall of it",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nall of it",
    ] {
        let server = Server::start(move |mut stream| async move {
            read_request(&mut stream).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        })
        .await;
        let response = Sender::new().send(post(&server.url())).await.unwrap();
        assert_eq!(response.body, b"all of it", "{answer:?}");
        assert!(!response.truncated, "{answer:?}");
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_costs_no_attempt() {
    // Answers one request on each connection, and closes it without having said so.
    let server = Server::start_with(None, |mut stream, requests| async move {
        if let Some(request) = read_request(&mut stream).await {
            requests.lock().unwrap().push(request);
            let _ = stream.write_all(OK.as_bytes()).await;
        }
    })
    .await;
    let sender = Sender::new();
    for n in 1..=5 {
        sender.send(post(&server.url())).await.unwrap();
        while server.closed.load(Ordering::SeqCst) < n {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!((server.connections(), server.requests().len()), (5, 5));
}

#[tokio::test]
async fn a_request_that_may_have_been_processed_is_not_sent_again() {
    // The second request on a connection is read, and never answered.
    let server = Server::start_with(None, |mut stream, requests| async move {
        for answer in [OK, ""] {
            let Some(request) = read_request(&mut stream).await else {
                return;
            };
            requests.lock().unwrap().push(request);
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    let sender = Sender::new();
    sender.send(post(&server.url())).await.unwrap();
    let error = sender.send(post(&server.url())).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retryable()),
        ("protocol", true),
        "{error}"
    );
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn what_comes_unasked_answers_nothing() {
    let server = Server::start_with(None, |mut stream, requests| async move {
        while let Some(request) = read_request(&mut stream).await {
            requests.lock().unwrap().push(request);
            let _ = stream.write_all(OK.as_bytes()).await;
            let _ = stream.flush().await;
            // After the answer has been read, so that it is not seen with it.
            tokio::time::sleep(Duration::from_millis(50)).await;
            let _ = stream
                .write_all(b"HTTP/1.1 500 Unasked\r\nContent-Length: 0\r\n\r\n")
                .await;
        }
    })
    .await;
    let sender = Sender::new();
    for _ in 0..3 {
        let response = sender.send(post(&server.url())).await.unwrap();
        assert_eq!(response.status, 200);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn an_answer_that_comes_before_the_request_has_been_taken_counts() {
    // More than the system's buffers take, and nobody reads it.
    let body = "x".repeat(1 << 20);
    let server = Server::start(|mut stream| async move {
        let mut some = [0; 1000];
        let _ = stream.read_exact(&mut some).await;
        let _ = stream
            .write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
            .await;
        let _ = stream.flush().await;
        // Open until the client has gone.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    })
    .await;
    let request = Rendered::new("POST", server.url(), Vec::new(), body);
    let response = Sender::new().send(request).await.unwrap();
    assert_eq!(
        (response.status, response.body.as_slice()),
        (413, &b"big"[..])
    );
}

#[tokio::test]
async fn a_body_of_the_largest_size_arrives_whole() {
    let server = Server::answering(OK).await;
    let body = "0123456789abcdef".repeat(1 << 16);
    let request = Rendered::new("POST", server.url(), Vec::new(), body.clone());
    Sender::new().send(request).await.unwrap();
    assert!(server.requests()[0].ends_with(&body));
}

#[tokio::test]
async fn another_coding_than_chunked_does_not_make_it_wait_for_the_connections_end() {
    // The server keeps the connection open after its answer.
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok";
    let server = Server::answering(answer).await;
    let response = Sender::new().send(post(&server.url())).await.unwrap();
    assert_eq!(response.body, b"ok");
    assert!(!response.truncated, "{:?}", response.notes);
}

#[tokio::test]
async fn tenants_do_not_share_connections() {
    let server = Server::answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    let sender = Sender::new();
    for (tenant, connections) in [("a", 1), ("b", 2), ("a", 2), ("b", 2)] {
        let guard = sender.guard.owned_by(tenant.into());
        let request = guard.check(build(post(&server.url()))).await.unwrap();
        let response = sender.client.send(request, &options()).await.unwrap();
        assert!(response.is_success());
        assert_eq!(server.connections(), connections, "{tenant}");
    }
}
