//! The record is the wire: header names arrive as their author spelled them.

use super::{tls::self_signed, *};

#[tokio::test]
async fn header_names_arrive_as_they_are_spelled_and_recorded() {
    let written = [
        ("SOAPAction", "\"urn:x\""),
        ("X-API-KEY", "k"),
        ("token", "t"),
        ("x-lower-case", "1"),
        ("X-MiXeD", "tw\u{f6}"),
        ("content-type", "text/xml"),
        ("_under_score", ""),
    ];
    for secured in [false, true] {
        let (tls, _) = self_signed(&[]);
        let server = Server::answering_with(secured.then_some(tls), OK.into()).await;
        let url = match secured {
            true => server.url().replace("http:", "https:"),
            false => server.url(),
        };
        let headers = written.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let request = || Rendered::new("POST", url.clone(), headers.to_vec(), "{\"a\": 1}");
        let record = build(request()).record();
        let unverified = SendOptions {
            ssl_verification: false,
            ..options()
        };
        Sender::new()
            .send_with(request(), &unverified)
            .await
            .unwrap();

        let arrived = &server.requests()[0];
        let (head, body) = arrived.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        assert_eq!(lines.next(), Some("POST /hook HTTP/1.1"));
        // Headers that HTTP itself adds stand around those that the record shows.
        assert_eq!(
            lines.next(),
            Some(format!("Host: {}", server.address).as_str())
        );
        assert_eq!(lines.next_back(), Some("Content-Length: 8"));
        let arrived: Vec<_> = lines.map(|line| line.split_once(": ").unwrap()).collect();
        assert_eq!(arrived.len(), record.headers.len());
        for ((name, value), (shown_name, shown_value)) in arrived.iter().zip(&record.headers) {
            assert_eq!(name, shown_name);
            // Latin-1 on the wire, which the test's server reads as UTF-8.
            let value = value.replace('\u{fffd}', "\u{f6}");
            assert!(
                value == *shown_value || shown_value == "[redacted]",
                "{name}: {value}"
            );
        }
        for (name, _) in written {
            assert!(arrived.iter().any(|(n, _)| *n == name), "{name}");
        }
        assert_eq!(body, "{\"a\": 1}");
    }
}
