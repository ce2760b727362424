//! Requests and their records, with a receiver that behaves.

use super::*;

#[tokio::test]
async fn a_request_arrives_as_it_was_built() {
    let server = Server::answering(OK).await;
    let response = Sender::new().send(post(&server.url())).await.unwrap();
    assert_eq!(
        server.requests(),
        [format!(
            "POST /hook HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nUser-Agent: hookbox\r\n\
             Accept: */*\r\nAccept-Encoding: identity\r\nwebhook-id: dlv_1\r\nwebhook-timestamp: 1\r\n\
             Content-Length: 8\r\n\r\n{{\"a\": 1}}",
            server.address
        )]
    );
    assert!(response.is_success() && !response.truncated);
    assert_eq!((response.status, response.version), (200, "HTTP/1.1"));
    assert_eq!(response.peer, Some(server.address));
    assert_eq!(response.body, b"ok");
    assert!(
        response
            .headers
            .contains(&("x-answer".to_owned(), "yes".to_owned()))
    );
    assert!(response.response_us > 0);
}

#[tokio::test]
async fn every_method_sends_its_body() {
    let server = Server::answering(OK).await;
    let sender = Sender::new();
    for method in HttpMethod::ALL {
        let request = Rendered::new(method.as_str(), server.url(), Vec::new(), "{\"a\": 1}");
        sender.send(request).await.unwrap();
    }
    for (method, request) in HttpMethod::ALL.iter().zip(server.requests()) {
        assert!(
            request.starts_with(&format!("{method} /hook HTTP/1.1\r\n")),
            "{request}"
        );
        assert!(request.contains("Content-Length: 8\r\n"), "{request}");
        assert!(request.ends_with("{\"a\": 1}"), "{request}");
    }
}

#[tokio::test]
async fn an_empty_body_of_a_post_has_a_length() {
    let server = Server::answering(OK).await;
    let request = Rendered::new("POST", server.url(), Vec::new(), "");
    Sender::new().send(request).await.unwrap();
    assert!(
        server.requests()[0].contains("Content-Length: 0\r\n"),
        "{}",
        server.requests()[0]
    );
}

#[tokio::test]
async fn the_host_header_can_be_set_and_is_otherwise_the_urls() {
    let server = Server::answering(OK).await;
    let sender = Sender::new();
    let by_name = format!("http://receiver.example:{}/", server.address.port());
    sender.send(post(&by_name)).await.unwrap();
    let host = vec![("Host".to_owned(), "other.example".to_owned())];
    let request = Rendered::new("POST", by_name, host, "");
    sender.send(request).await.unwrap();
    let hosts: Vec<String> = server
        .requests()
        .iter()
        .flat_map(|r| {
            r.lines()
                .filter(|l| l.starts_with("Host: "))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    let expected = format!("Host: receiver.example:{}", server.address.port());
    assert_eq!(hosts, [expected, "Host: other.example".to_owned()]);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let elsewhere = Server::answering(OK).await;
    for status in [301, 302, 303, 307, 308] {
        let server = Server::answering(format!(
            "HTTP/1.1 {status} Moved\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n",
            elsewhere.url()
        ))
        .await;
        let response = Sender::new().send(post(&server.url())).await.unwrap();
        assert_eq!(response.status, status);
        assert!(!response.is_success());
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn a_compressed_body_is_kept_as_it_came() {
    let bomb = b"\x1f\x8b\x08\0\0\0\0\0\0\x03bomb".to_vec();
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        bomb.len()
    )
    .into_bytes();
    answer.extend_from_slice(&bomb);
    let server = Server::answering(answer).await;
    let response = Sender::new().send(post(&server.url())).await.unwrap();
    assert_eq!(response.body, bomb);
    assert!(
        response
            .headers
            .contains(&("content-encoding".to_owned(), "gzip".to_owned()))
    );
}

#[tokio::test]
async fn retry_after_is_handed_on() {
    let server =
        Server::answering("HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n").await;
    let response = Sender::new().send(post(&server.url())).await.unwrap();
    assert_eq!(response.retry_after, Some(Duration::from_secs(7)));
}
