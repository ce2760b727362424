//! Receivers that are slow, endless or not HTTP.

use super::*;

const HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

fn patient_for(millis: u64) -> SendOptions<'static> {
    SendOptions {
        timeout: Duration::from_millis(millis),
        ..options()
    }
}

/// Reads the request, writes `first`, then `again` for ever with a pause.
async fn dripping(first: &'static str, again: &'static str, pause: u64) -> Server {
    Server::start(move |mut stream| async move {
        read_request(&mut stream).await;
        let mut alive = stream.write_all(first.as_bytes()).await.is_ok();
        while alive {
            alive =
                stream.write_all(again.as_bytes()).await.is_ok() && stream.flush().await.is_ok();
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_body_that_drips_ends_at_the_deadline_and_the_status_counts() {
    let server = dripping(HEAD, "1\r\nx\r\n", 20).await;
    let started = Instant::now();
    let response = Sender::new()
        .send_with(post(&server.url()), &patient_for(400))
        .await
        .unwrap();
    assert!(response.is_success() && response.truncated);
    assert!(!response.body.is_empty() && response.body.iter().all(|b| *b == b'x'));
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    assert!(response.body_us > 0);
}

#[tokio::test]
async fn headers_that_drip_time_out() {
    let server = dripping("HTTP/1.1 200 OK\r\n", "X-A: b\r\n", 20).await;
    let result = Sender::new()
        .send_with(post(&server.url()), &patient_for(300))
        .await;
    assert_eq!(result.unwrap_err(), SendError::Timeout(Phase::Response));
}

#[tokio::test]
async fn silence_times_out() {
    let server =
        Server::start(
            |mut stream| async move { while read_request(&mut stream).await.is_some() {} },
        )
        .await;
    let result = Sender::new()
        .send_with(post(&server.url()), &patient_for(200))
        .await;
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), ("timeout", true));
}

#[tokio::test]
async fn interim_answers_without_end_are_no_answer() {
    let server = dripping("", "HTTP/1.1 100 Continue\r\n\r\n", 1).await;
    let error = Sender::new().send(post(&server.url())).await.unwrap_err();
    let told = "it sent 1xx answers without end".to_owned();
    assert_eq!(error, SendError::Protocol(told));
}

#[tokio::test]
async fn some_interim_answers_are_passed_over() {
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nno header\r\n\r\n".repeat(20);
    let server = Server::answering(format!("{interim}{OK}")).await;
    let sender = Sender::new();
    for _ in 0..2 {
        let response = sender.send(post(&server.url())).await.unwrap();
        assert_eq!(
            (response.status, response.body.as_slice()),
            (200, &b"ok"[..])
        );
        assert!(response.notes.is_empty());
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn connecting_has_a_limit_of_its_own() {
    // Accepts, and never answers the TLS client's hello.
    let server = Server::start(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let sender = Sender::with(|c| c.connect_timeout_seconds = 1);
    let url = server.url().replace("http:", "https:");
    let unverified = SendOptions {
        ssl_verification: false,
        ..options()
    };
    let error = sender.send_with(post(&url), &unverified).await.unwrap_err();
    assert_eq!(error, SendError::Timeout(Phase::Connect));
}

#[tokio::test]
async fn an_endless_body_is_cut_at_the_limit() {
    let server = dripping(HEAD, "10\r\n0123456789abcdef\r\n", 0).await;
    let sender = Sender::with(|c| c.response_bytes = 1000);
    let response = sender.send(post(&server.url())).await.unwrap();
    assert_eq!(response.body.len(), 1000);
    assert!(response.truncated && response.is_success());
}

#[tokio::test]
async fn a_body_of_just_the_limit_is_whole_and_one_byte_more_is_not() {
    let sender = Sender::with(|c| c.response_bytes = 4);
    for (body, kept, truncated) in [
        ("123", "123", false),
        ("1234", "1234", false),
        ("12345", "1234", true),
    ] {
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        let server = Server::answering(answer).await;
        let response = sender.send(post(&server.url())).await.unwrap();
        assert_eq!(
            (response.body.as_slice(), response.truncated),
            (kept.as_bytes(), truncated)
        );
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_kept_and_the_status_counts() {
    let server = Server::start(|mut stream| async move {
        read_request(&mut stream).await;
        let _ = stream
            .write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\npart")
            .await;
    })
    .await;
    let response = Sender::new().send(post(&server.url())).await.unwrap();
    assert_eq!(
        (response.status, response.body.as_slice()),
        (201, b"part".as_slice())
    );
    assert!(response.truncated);
}

#[tokio::test]
async fn headers_over_the_limit_are_cut_and_the_status_counts() {
    let many = "X-A: v\r\n".repeat(100_000);
    let long = format!("X-Long: {}\r\n", "v".repeat(1 << 20));
    for headers in [many, long] {
        let server = Server::answering(format!(
            "HTTP/1.1 200 OK\r\nX-First: 1\r\n{headers}Content-Length: 0\r\n\r\n"
        ))
        .await;
        let response = Sender::new().send(post(&server.url())).await.unwrap();
        assert!(response.is_success() && response.truncated);
        assert_eq!(response.headers[0].0, "x-first");
        assert!(response.notes[0].contains("more headers"), "{response:?}");
    }
}

#[tokio::test]
async fn two_hundred_headers_are_not_too_many() {
    let many: String = (0..200).map(|n| format!("X-{n}: v\r\n")).collect();
    let answer = format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 0\r\n\r\n");
    let server = Server::answering(answer).await;
    let response = Sender::new().send(post(&server.url())).await.unwrap();
    assert_eq!(response.headers.len(), 201);
    assert!(response.notes.is_empty() && !response.truncated);
}

#[tokio::test]
async fn what_is_not_http_is_no_answer() {
    for garbage in [
        "SSH-2.0-OpenSSH_9.9\r\n",
        "\0\u{1}\u{2}\u{3}",
        "HTTP/1.1 abc\r\n\r\n",
        "HTTP/1.1 99999 x\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "<html>",
    ] {
        let server = Server::start(move |mut stream| async move {
            read_request(&mut stream).await;
            let _ = stream.write_all(garbage.as_bytes()).await;
        })
        .await;
        let error = Sender::new().send(post(&server.url())).await.unwrap_err();
        assert!(
            matches!(error.kind(), "protocol" | "connect"),
            "{garbage:?}: {error:?}"
        );
        assert!(!error.to_string().chars().any(char::is_control));
    }
}

#[tokio::test]
async fn a_connection_that_is_refused_or_closed_may_be_tried_again() {
    let closing = Server::start(|mut stream| async move {
        read_request(&mut stream).await;
    })
    .await;
    let error = Sender::new().send(post(&closing.url())).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retryable()),
        ("protocol", true),
        "{error}"
    );

    // Bound and gone again, so that nobody listens there.
    let gone = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let error = Sender::new()
        .send(post(&format!("http://{gone}/")))
        .await
        .unwrap_err();
    assert_eq!(
        error,
        SendError::Connect("the connection was refused".to_owned())
    );
    assert!(error.retryable() && !error.to_string().contains("127.0.0.1"));
}
