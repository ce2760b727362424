//! Answers that are malformed in some part. The corpus in `tests/data/answers` has what requests makes of them; here is
//! what is kept and said of them.

use super::*;

async fn answer(answer: impl Into<Vec<u8>>) -> Result<Response, SendError> {
    let answer = answer.into();
    let server = Server::start(move |mut stream| {
        let answer = answer.clone();
        async move {
            read_request(&mut stream).await;
            let _ = stream.write_all(&answer).await;
        }
    })
    .await;
    Sender::new().send(post(&server.url())).await
}

#[tokio::test]
async fn a_line_that_is_no_header_is_left_out_and_noted_without_quoting_it() {
    for (text, kept, noted) in [
        (
            &b"HTTP/1.1 200 OK\r\nX-A: 1\r\nPHP Warning: s3cr3t in x.php on line 3\r\nX-B: 2\r\n\r\n"[..],
            &[("x-a", "1"), ("x-b", "2")][..],
            "line 2: the text before the colon is not a valid header name",
        ),
        (
            b"HTTP/1.1 200 OK\r\n<b>Warning</b> s3cr3t\r\nX-B: 2\r\n\r\n",
            &[("x-b", "2")],
            "line 1: it has no colon",
        ),
        (
            b"HTTP/1.1 200 OK\r\nSet-Cookie: a=s3cr3t\x01\r\nX-B: 2\r\n\r\n",
            &[("x-b", "2")],
            "line 1: it holds a control character",
        ),
        (
            b"HTTP/1.1 200 OK\r\nX-\xe4: s3cr3t\r\nX-B: 2\r\n\r\n",
            &[("x-b", "2")],
            "line 1: the text before the colon is not a valid header name",
        ),
        (
            b"HTTP/1.1 200 OK\r\n: s3cr3t\r\nX-B: 2\r\n\r\n",
            &[("x-b", "2")],
            "line 1: the text before the colon is not a valid header name",
        ),
        (
            b"HTTP/1.1 200 OK\r\n s3cr3t: 1\r\nX-B: 2\r\n\r\n",
            &[("x-b", "2")],
            "line 1: it continues no header",
        ),
        (
            b"HTTP/1.1 200 OK\r\nno\r\nno\r\nno\r\nno\r\nno\r\nno\r\nno\r\nX-B: 2\r\n\r\n",
            &[("x-b", "2")],
            "line 5: it has no colon; and 2 more",
        ),
        (
            b"HTTP/1.1 200 OK\r\nX-B: 2\r\nX-C: s3c",
            &[("x-b", "2"), ("x-c", "s3c")],
            "ended within its headers",
        ),
        (
            b"HTTP/1.1 200 OK\r\nX-B: 2\r\nContent-Length: two\r\n\r\n",
            &[("x-b", "2"), ("content-length", "two")],
            "an invalid Content-Length",
        ),
    ] {
        let response = answer(text).await.unwrap();
        let shown = String::from_utf8_lossy(text);
        assert!(response.is_success(), "{shown}");
        let headers = response.headers.iter();
        let headers: Vec<_> = headers.map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(headers, kept, "{shown}");
        let notes = response.notes.join("\n");
        assert!(notes.contains(noted) && !notes.contains("s3c"), "{notes}");
    }
}

#[tokio::test]
async fn what_is_merely_unusual_is_taken_without_a_word() {
    for (text, header) in [
        (&b"HTTP/1.1 200\r\nX-A: 1\r\n\r\n"[..], ("x-a", "1")),
        (b"HTTP/1.1 200 OK\nX-A: 1\n\n", ("x-a", "1")),
        (b"\r\nHTTP/1.1 200 OK\r\nX-A:1\r\n\r\n", ("x-a", "1")),
        (b"HTTP/1.1 200 OK\r\nX-A : 1\r\n\r\n", ("x-a", "1")),
        (
            b"HTTP/1.1 200 OK\r\nX-A: 1\r\n  and\r\n\tmore\r\n\r\n",
            ("x-a", "1 and more"),
        ),
        (b"HTTP/1.1 200 OK\r\nX-A: \xe4\r\n\r\n", ("x-a", "\u{e4}")),
        (b"HTTP/1.1 200 OK\r\nX-A: a\tb\r\n\r\n", ("x-a", "a\tb")),
    ] {
        let response = answer(text).await.unwrap();
        let shown = String::from_utf8_lossy(text);
        let (name, value) = header;
        let expected = [(name.to_owned(), value.to_owned())];
        assert_eq!(response.headers, expected, "{shown}");
        assert!(response.notes.is_empty(), "{shown}: {:?}", response.notes);
    }
}

#[tokio::test]
async fn a_malformed_line_does_not_hide_the_bodys_length() {
    // The connection stays open, so that only the length tells where the body ends.
    let server = Server::answering(
        "HTTP/1.1 200 OK\r\nPHP Notice: x\r\nContent-Length: 2\r\nRetry-After: 7\r\n\r\nok",
    )
    .await;
    let response = Sender::new().send(post(&server.url())).await.unwrap();
    assert_eq!(response.body, b"ok");
    assert!(!response.truncated);
    assert_eq!(response.retry_after, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn headers_without_number_are_not_kept() {
    let many = "a:\r\n".repeat(5000);
    let told = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{many}\r\nok");
    let response = answer(told).await.unwrap();
    assert!(response.is_success());
    assert_eq!(response.body, b"ok");
    assert!(response.headers.len() <= 1000, "{}", response.headers.len());
    let told = response.notes.concat();
    assert!(told.contains("more headers"), "{told}");
}
