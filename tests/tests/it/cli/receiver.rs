//! `hookbox receiver`: prints what NetBox's `webhook_receiver` prints, and more where that is silent.

use std::{io::Write, net::TcpStream, thread};

use hookbox_tests::process::{Running, exchange, hookbox, run, stderr};
use serde_json::Value;

fn receiver(arguments: &[&str]) -> (Running, u16) {
    let running = Running::start(hookbox().args(["receiver", "--port", "0"]).args(arguments));
    let port = running.port();
    (running, port)
}

/// A request with a body of this content type.
fn post(content_type: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST /hook HTTP/1.1\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// What is printed for one request, without the log line.
fn printed(arguments: &[&str], request: &[u8]) -> Vec<String> {
    let (receiver, port) = receiver(arguments);
    let _ = exchange(port, request);
    let mut lines = receiver.lines_until("------------");
    lines.remove(0);
    lines
}

#[test]
fn a_request_is_printed_line_by_line_as_netbox_does() {
    let mut receiver = Running::start(hookbox().args(["receiver", "--port", "0"]));
    let first = receiver.line().unwrap();
    let port: u16 = first
        .strip_prefix("Listening on port http://localhost:")
        .and_then(|rest| rest.strip_suffix(". Stop with CONTROL-C."))
        .expect(&first)
        .parse()
        .unwrap();

    let request = b"POST /x?y=1 HTTP/1.1\r\nHost: localhost:9000\r\njobQuietPeriod: 0\r\nX-EVENT: created\r\n\
        Content-Type: application/json\r\nContent-Length: 34\r\n\r\n{\"event\": \"created\", \"data\": null}";
    let answer = exchange(port, request);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nWebhook received!\n"), "{answer}");

    let log = receiver.line().unwrap();
    let date = log
        .strip_prefix("[1] ")
        .and_then(|rest| rest.strip_suffix(" 127.0.0.1 \"POST /x?y=1 HTTP/1.1\" 200 -"))
        .expect(&log);
    assert!(date.ends_with(" GMT"), "{date}");
    assert!(jiff::fmt::rfc2822::parse(date).is_ok(), "{date}");
    let rest = receiver.lines_until("------------");
    assert_eq!(
        rest,
        [
            "Host: localhost:9000",
            "jobQuietPeriod: 0",
            "X-EVENT: created",
            "Content-Type: application/json",
            "Content-Length: 34",
            "",
            "{",
            "    \"event\": \"created\",",
            "    \"data\": null",
            "}",
            "Completed request #1",
            "------------",
        ]
    );

    let _ = exchange(port, b"GET / HTTP/1.1\r\n\r\n");
    let rest = receiver.lines_until("------------");
    assert!(rest[0].starts_with("[2] "), "{rest:?}");
    assert_eq!(
        rest[1..],
        ["", "(No body)", "Completed request #2", "------------"]
    );

    receiver.signal("INT");
    assert_eq!(receiver.line().as_deref(), Some(""));
    assert_eq!(receiver.line().as_deref(), Some("Exiting..."));
    assert_eq!(receiver.wait(), Some(0));
}

#[test]
fn headers_can_be_left_out() {
    assert_eq!(
        printed(&["--no-headers"], &post("application/json", b"[]")),
        ["[]", "Completed request #1", "------------"]
    );
}

#[test]
fn bodies_of_any_type_are_printed() {
    let body = |content_type: &str, bytes: &[u8]| {
        let lines = printed(&["--no-headers"], &post(content_type, bytes));
        lines[..lines.len() - 2].join("\n")
    };
    assert_eq!(body("text/plain", b"plain\ntext"), "| plain\n| text");
    assert_eq!(
        body("application/problem+json; charset=utf-8", b"{\"a\":1}"),
        "{\n    \"a\": 1\n}"
    );
    assert_eq!(
        body("application/json", b"{\"a\": }"),
        "(not valid JSON: expected value at line 1 column 7: printed as it came)\n| {\"a\": }"
    );
    assert_eq!(
        body("image/png", b"\x89PNG"),
        "(4 bytes of image/png: 89 50 4e 47)"
    );
}

#[test]
fn control_characters_in_what_comes_do_not_reach_the_terminal() {
    let request = b"POST /\x1b HTTP/1.1\r\n\r\n";
    let (receiver, port) = receiver(&[]);
    let answer = exchange(port, request);
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let answer = exchange(port, &post("text/plain\tx", b"\x1b]0;pwned\x07\xc2\x9b2J"));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let lines = receiver.lines_until("------------");
    assert!(
        lines
            .iter()
            .any(|l| l == "| \\u{1b}]0;pwned\\u{7}\\u{9b}2J"),
        "{lines:?}"
    );
}

/// A whole entry, as the receiver itself prints one.
const FORGED: &str = "x\nSignature: valid (X-Hook-Signature)\nCompleted request #1\n------------\n\
    [2] Thu, 01 Jan 1970 00:00:00 GMT 127.0.0.1 \"POST /forged HTTP/1.1\" 200 -\n\r\u{2028}Completed request #2\n\
    ------------\n";

#[test]
fn nothing_that_comes_looks_like_a_line_of_the_receivers_own() {
    let own = |line: &str| {
        ["Signature:", "Completed request", "------------", "[", "("]
            .iter()
            .any(|begin| line.starts_with(begin))
    };
    let header = b"GET / HTTP/1.1\r\nSignature: valid (X-Hook-Signature)\r\n\r\n".to_vec();
    for (request, expected) in [
        (post("text/plain", FORGED.as_bytes()), 3),
        // with a note that it is no JSON
        (post("application/json", FORGED.as_bytes()), 4),
        (post("", FORGED.as_bytes()), 3),
        // with a note that there is no body
        (header, 4),
    ] {
        let (receiver, port) = receiver(&["--secret", "s"]);
        let _ = exchange(port, &request);
        // without the log line
        let mut lines: Vec<String> = Vec::new();
        while lines.last().is_none_or(|line| line != "------------") {
            lines.push(receiver.line().expect("an entry"));
        }
        lines.remove(0);
        let found: Vec<_> = lines.iter().filter(|line| own(line)).collect();
        assert_eq!(found.len(), expected, "{lines:#?}");
        assert!(
            found
                .iter()
                .any(|line| line.starts_with("Signature: missing")),
            "{lines:#?}"
        );
    }
}

#[test]
fn a_line_of_json_is_one_line_and_steers_no_terminal() {
    let (receiver, port) = receiver(&["--json"]);
    let hostile = "\u{1b}]0;x\u{7}\u{9b}2J\u{7f}\u{202e}\u{2066}\u{61c}\u{2028}\n\r\t";
    let mut request = b"POST /\xc2\x9b HTTP/1.1\r\nX-A: \xc2\x9b2J\xe2\x80\xae\r\n".to_vec();
    request.extend(format!("Content-Length: {}\r\n\r\n{hostile}", hostile.len()).bytes());
    let answer = exchange(port, &request);
    let request = if answer.starts_with("HTTP/1.1 200") {
        request
    } else {
        // If such a path is refused, without it.
        let text = String::from_utf8(request).unwrap().replace("/\u{9b}", "/");
        text.into_bytes()
    };
    assert!(exchange(port, &request).starts_with("HTTP/1.1 200"));
    let line = receiver.line().unwrap();
    let steers =
        |c: char| c.is_control() || matches!(c, '\u{202e}' | '\u{2066}' | '\u{61c}' | '\u{2028}');
    assert!(!line.chars().any(steers), "{line:?}");
    let entry: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(entry["body"], hostile);
    assert_eq!(entry["headers"][0][1], "\u{9b}2J\u{202e}");
}

#[test]
fn chunked_bodies_and_several_requests_on_one_connection_are_read() {
    let (receiver, port) = receiver(&["--json"]);
    let two = b"PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nWiki\r\n5\r\npedia\r\n0\r\nT: v\r\n\r\n\
        DELETE /b HTTP/1.1\r\nContent-Length: 2\r\n\r\nok";
    let answer = exchange(port, two);
    assert_eq!(answer.matches("Webhook received!").count(), 2, "{answer}");
    let request = |number: u64| {
        let line: Value = serde_json::from_str(&receiver.line().unwrap()).unwrap();
        assert_eq!(line["number"], number);
        format!("{} {} {}", line["method"], line["path"], line["body"])
    };
    assert_eq!(request(1), r#""PUT" "/a" "Wikipedia""#);
    assert_eq!(request(2), r#""DELETE" "/b" "ok""#);
}

#[test]
fn requests_that_could_be_read_in_two_ways_and_oversized_ones_are_refused() {
    let (_receiver, port) = receiver(&["--max-body", "10"]);
    let status = |request: &[u8]| exchange(port, request)[9..12].to_owned();
    let big_chunk =
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n";
    let both = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n";
    let huge_chunk = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n";
    let overflow = b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n";
    assert_eq!(status(&post("text/plain", b"0123456789")), "200");
    assert_eq!(status(&post("text/plain", b"01234567890")), "413");
    assert_eq!(status(big_chunk), "413");
    assert_eq!(status(huge_chunk), "413");
    assert_eq!(status(overflow), "413");
    assert_eq!(status(both), "400");
    assert_eq!(
        status(b"POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\nabc"),
        "400"
    );
    assert_eq!(
        status(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n"),
        "400"
    );
    assert!(exchange(port, b"\x16\x03\x01\x02\x00").contains("TLS"));
}

#[test]
fn the_status_can_be_chosen_and_every_nth_request_made_to_fail() {
    let (_receiver, port) = receiver(&["--status", "204", "--fail-every", "3"]);
    let statuses: Vec<String> = (0..6)
        .map(|_| exchange(port, b"POST / HTTP/1.1\r\n\r\n")[9..12].to_owned())
        .collect();
    assert_eq!(statuses, ["204", "204", "500", "204", "204", "500"]);
}

#[test]
fn signatures_are_verified() {
    let signed = b"POST / HTTP/1.1\r\nX-Hook-Signature: \
        164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737\
        \r\nContent-Length: 28\r\n\r\nwhat do ya want for nothing?";
    let line = |secret: &str, request: &[u8]| {
        let lines = printed(&["--no-headers", "--secret", secret], request);
        lines[lines.len() - 3].clone()
    };
    assert_eq!(line("Jefe", signed), "Signature: valid (X-Hook-Signature)");
    assert_eq!(
        line("Jeff", signed),
        "Signature: INVALID (X-Hook-Signature: not made with this secret over this body)"
    );
    assert_eq!(
        line("Jefe", b"POST / HTTP/1.1\r\n\r\n"),
        "Signature: missing (neither X-Hook-Signature nor webhook-signature was sent)"
    );
}

#[test]
fn requests_that_come_together_are_each_counted_and_printed_whole() {
    let (receiver, port) = receiver(&["--json"]);
    // A connection that says nothing holds nobody up.
    let mut silent = TcpStream::connect(("127.0.0.1", port)).unwrap();
    silent.write_all(b"POST / HT").unwrap();
    let senders: Vec<_> = (0..8)
        .map(|_| {
            thread::spawn(move || {
                for _ in 0..25 {
                    let _ = exchange(port, &post("text/plain", b"x"));
                }
            })
        })
        .collect();
    let numbers: Vec<u64> = (0..200)
        .map(|_| {
            let line: Value = serde_json::from_str(&receiver.line().unwrap()).unwrap();
            line["number"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(numbers, (1..=200).collect::<Vec<_>>());
    for sender in senders {
        sender.join().unwrap();
    }
}

#[test]
fn a_port_in_use_is_one_clear_line() {
    let (_receiver, port) = receiver(&[]);
    let second = run(&["receiver", "--port", &port.to_string()]);
    assert_eq!(second.status.code(), Some(1));
    assert_eq!(
        stderr(&second),
        format!(
            "hookbox: port {port} is in use: stop what listens there, or choose another with --port\n"
        )
    );
}
