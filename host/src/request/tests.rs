use proptest::prelude::*;

use super::*;
use crate::{config::Config, model::Secret};

struct Given {
    webhook: WebhookSpec,
    delivery: DeliveryId,
    secrets: SecretValues,
    limits: SandboxConfig,
}

impl Given {
    fn new() -> Self {
        let secret = |handle: &str, name: &str, value: &str| {
            (handle.to_owned(), name.to_owned(), Secret::new(value))
        };
        Self {
            webhook: WebhookSpec::default(),
            delivery: "dlv_1".into(),
            secrets: SecretValues::new([
                secret("hbs_aaaa", "token", "s3cr3t/+ü"),
                secret("hbs_bbbb", "crlf", "x\r\nInjected: yes"),
                secret("hbs_cccc", "url", "https://user:s3cr3t@hooks.example/T0"),
                secret("hbs_dddd", "host", "s3cr3t.example"),
            ]),
            limits: Config::defaults().sandbox,
        }
    }

    fn build(&self, rendered: Rendered) -> Result<OutboundRequest, RenderError> {
        OutboundRequest::build(
            rendered,
            &RequestContext {
                webhook: &self.webhook,
                delivery: &self.delivery,
                now: Timestamp::from_millis(1_614_265_330_999),
                secrets: &self.secrets,
                limits: &self.limits,
                user_agent: "hookbox",
            },
        )
    }
}

fn rendered(url: &str, headers: &[(&str, &str)], body: &str) -> Rendered {
    let headers = headers
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
    Rendered::new("POST", url, headers.collect(), body)
}

fn with_headers(headers: &[(&str, &str)]) -> Result<OutboundRequest, RenderError> {
    Given::new().build(rendered("http://example.com/", headers, "{}"))
}

fn header(request: &OutboundRequest, name: &str) -> Option<Vec<u8>> {
    request.headers().get(name).map(|v| v.as_bytes().to_vec())
}

fn shown_header(request: &OutboundRequest, name: &str) -> Option<String> {
    let headers = request.record().headers;
    headers.into_iter().find(|(n, _)| n == name).map(|(_, v)| v)
}

#[test]
fn a_plain_request_gets_the_standard_headers_in_order() {
    let request = with_headers(&[("X-Event", "created")]).unwrap();
    let headers = request.record().headers;
    let expected = [
        ("Content-Type", "application/json"),
        ("X-Event", "created"),
        ("User-Agent", "hookbox"),
        ("Accept", "*/*"),
        ("Accept-Encoding", "identity"),
        ("webhook-id", "dlv_1"),
        ("webhook-timestamp", "1614265330"),
    ];
    assert_eq!(headers, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
    assert_eq!(request.warnings(), [""; 0]);
}

#[test]
fn signatures_are_made_over_what_is_sent_and_cannot_be_set() {
    let mut given = Given::new();
    given.webhook.secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    given.delivery = "msg_p5jXN8AQM9LWM0D4loKWxJek".into();
    given.secrets = SecretValues::new([(
        "hbs_1".to_owned(),
        "n".to_owned(),
        Secret::new("2432232314"),
    )]);
    let mine = [
        ("webhook-signature", "v1,x"),
        ("x-hook-signature", "x"),
        ("Webhook-Id", "x"),
    ];
    let request = given
        .build(rendered("http://example.com/", &mine, r#"{"test": hbs_1}"#))
        .unwrap();
    assert_eq!(
        shown_header(&request, "webhook-signature").as_deref(),
        Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
    );
    assert_eq!(
        header(&request, "webhook-id").unwrap(),
        b"msg_p5jXN8AQM9LWM0D4loKWxJek"
    );
    assert_eq!(header(&request, "x-hook-signature").unwrap().len(), 128);
    assert_eq!(request.body(), br#"{"test": 2432232314}"#);
    assert_eq!(
        request.record().body,
        Body::Text(r#"{"test": [secret:n]}"#.to_owned())
    );
}

#[test]
fn secrets_are_sent_and_never_shown() {
    let headers = [
        ("X-Custom", "a hbs_aaaa b"),
        ("Authorization", "Token hbs_aaaa"),
    ];
    let request = Given::new()
        .build(rendered(
            "https://example.com/hbs_aaaa?t=hbs_aaaa",
            &headers,
            "\"hbs_aaaa\"",
        ))
        .unwrap();
    assert_eq!(
        request.url().as_str(),
        "https://example.com/s3cr3t/+%C3%BC?t=s3cr3t/+%C3%BC"
    );
    assert_eq!(header(&request, "x-custom").unwrap(), b"a s3cr3t/+\xfc b");
    assert_eq!(request.body(), "\"s3cr3t/+ü\"".as_bytes());
    let record = request.record();
    assert_eq!(
        record.url,
        "https://example.com/[secret:token]?t=[secret:token]"
    );
    assert_eq!(
        shown_header(&request, "X-Custom").unwrap(),
        "a [secret:token] b"
    );
    assert_eq!(
        shown_header(&request, "Authorization").unwrap(),
        "[redacted]"
    );
    for text in [
        format!("{record:?}"),
        format!("{request:?}"),
        format!("{:?}", request.headers()),
    ] {
        assert!(!text.contains("s3cr3t"), "{text}");
    }
}

#[test]
fn a_secret_that_is_the_url_or_the_host_is_not_shown_either() {
    let given = Given::new();
    let whole = given.build(rendered("hbs_cccc", &[], "")).unwrap();
    assert_eq!(whole.url().as_str(), "https://hooks.example/T0");
    assert_eq!(whole.record().url, "[secret:url]");
    assert_eq!(whole.shown_host(), "[redacted]");
    assert_eq!(
        header(&whole, "authorization").unwrap(),
        b"Basic dXNlcjpzM2NyM3Q="
    );
    let host = given
        .build(rendered("http://a.hbs_dddd/", &[], ""))
        .unwrap();
    assert_eq!(host.url().host_str(), Some("a.s3cr3t.example"));
    assert_eq!(host.shown_host(), "a.[secret:host]");
    assert_eq!(host.record().url, "http://a.[secret:host]/");
}

#[test]
fn errors_do_not_quote_secrets() {
    let given = Given::new();
    for bad in [
        rendered("ftp://hbs_dddd/", &[], ""),
        rendered("hbs_aaaa", &[], ""),
        rendered("http://[hbs_dddd/", &[], ""),
        rendered("http://example.com/", &[("X", "hbs_bbbb")], ""),
        rendered("http://example.com/", &[("Host", "hbs_aaaa@")], ""),
    ] {
        let error = given.build(bad.clone()).map(|r| r.record()).unwrap_err();
        assert!(
            !format!("{error:?}").contains("s3cr3t"),
            "{bad:?}: {error:?}"
        );
        assert!(
            !format!("{error:?}").contains("Injected"),
            "{bad:?}: {error:?}"
        );
    }
}

#[test]
fn sizes_warnings_and_errors_are_the_same_whatever_a_secret_is() {
    let values = [
        "80",
        "a\"b",
        "x\r\ny",
        "東京",
        "a/b@c",
        "a much longer value, of many words",
    ];
    let seen = |given: Rendered| {
        let mut all = values.map(|value| {
            let mut with = Given::new();
            let secret = ("hbs_ssss".to_owned(), "s".to_owned(), Secret::new(value));
            with.secrets = SecretValues::new([secret]);
            match with.build(given.clone()) {
                Ok(request) => (
                    Ok(()),
                    format!(
                        "{:?} {:?} {request:?}",
                        request.record(),
                        request.warnings()
                    ),
                ),
                Err(error) => (Err(()), format!("{error:?}")),
            }
        });
        all.sort();
        let mut texts = all.to_vec();
        texts.dedup();
        texts
    };
    let url = "http://example.com/";
    // One record, and one error where some values cannot be sent.
    for (given, most) in [
        (rendered(url, &[], r#"{"a": "hbs_ssss"}"#), 1),
        (rendered(url, &[], r#"{"a": hbs_ssss}"#), 1),
        (rendered("http://example.com/hbs_ssss?hbs_ssss", &[], ""), 1),
        (rendered(url, &[("X-S", "hbs_ssss")], ""), 2),
        (rendered(url, &[("Host", "hbs_ssss")], ""), 2),
        (rendered("http://hbs_ssss/", &[], ""), 2),
        (rendered("http://example.com:hbs_ssss/", &[], ""), 2),
        (rendered("hbs_ssss", &[], ""), 2),
        (rendered("http://u:hbs_ssss@example.com/", &[], ""), 3),
    ] {
        let texts = seen(given.clone());
        assert!(texts.len() <= most, "{given:?}: {texts:#?}");
    }
}

#[test]
fn a_secret_among_credentials_does_not_choose_the_host() {
    let mut given = Given::new();
    let secret = (
        "hbs_ssss".to_owned(),
        "s".to_owned(),
        Secret::new("x@other.example/"),
    );
    given.secrets = SecretValues::new([secret]);
    let error = given.build(rendered("http://u:hbs_ssss@example.com/", &[], ""));
    let error = error.map(|r| r.record()).unwrap_err();
    assert!(error.message.contains("percent-encoded"), "{error}");
    let open = Given::new().build(rendered("http://u:hbs_dddd@example.com/", &[], ""));
    assert!(!open.unwrap().destination_is_secret());
}

#[test]
fn a_request_places_so_much_of_secrets_and_no_more() {
    let mut given = Given::new();
    let value = |n: u8| Secret::new("x".repeat(8191) + &char::from(b'a' + n).to_string());
    given.secrets =
        SecretValues::new((0..9).map(|n| (format!("hbs_{n}"), format!("s{n}"), value(n))));
    let placing = |count: u8| {
        let handles: String = (0..count).map(|n| format!("hbs_{n}")).collect();
        given.build(rendered("http://example.com/", &[], &handles))
    };
    assert!(placing(8).is_ok());
    let refused = placing(9).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::InvalidRequest);
    assert!(refused.message.contains("65536 bytes"), "{refused}");
}

#[test]
fn header_injection_is_refused() {
    for value in ["a\r\nX-Evil: 1", "a\nb", "a\0b", "a\u{7f}b", "a\u{1b}b"] {
        let error = with_headers(&[("X-A", value)]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidRequest, "{value:?}");
        assert_eq!(error.field.as_deref(), Some("additional_headers"));
    }
    for name in ["", "X A", "X-A\r\nY", "X:A", "Ü", "(x)", ":authority"] {
        assert!(with_headers(&[(name, "v")]).is_err(), "{name:?}");
    }
}

#[test]
fn headers_that_frame_the_message_are_refused() {
    for name in [
        "Transfer-Encoding",
        "connection",
        "Upgrade",
        "TE",
        "Trailer",
        "Keep-Alive",
        "Expect",
        "Proxy-Authorization",
        "Proxy-Connection",
        "HTTP2-Settings",
    ] {
        let error = with_headers(&[(name, "x")]).unwrap_err();
        assert!(error.message.contains(name), "{error}");
    }
    let request = with_headers(&[("Content-Length", "999")]).unwrap();
    assert_eq!(header(&request, "content-length"), None);
    assert!(
        request
            .warnings()
            .iter()
            .any(|w| w.contains("Content-Length"))
    );
}

#[test]
fn later_headers_win_whatever_their_case() {
    let request = with_headers(&[
        ("X-A", "1"),
        ("content-type", "text/plain"),
        ("x-a", "2"),
        ("USER-AGENT", "mine"),
        ("accept", "text/html"),
    ])
    .unwrap();
    assert_eq!(header(&request, "x-a").unwrap(), b"2");
    assert_eq!(header(&request, "content-type").unwrap(), b"text/plain");
    assert_eq!(header(&request, "user-agent").unwrap(), b"mine");
    assert_eq!(header(&request, "accept").unwrap(), b"text/html");
    assert_eq!(request.headers().len(), request.headers().keys_len());
}

#[test]
fn values_are_latin_1_as_in_netbox() {
    assert_eq!(
        header(&with_headers(&[("X", "Zürich\tÿ")]).unwrap(), "x").unwrap(),
        b"Z\xfcrich\t\xff"
    );
    assert!(
        with_headers(&[("X", "東京")])
            .unwrap_err()
            .message
            .contains("Latin-1")
    );
}

#[test]
fn only_a_real_host_may_be_set() {
    for host in ["example.com", "example.com:8080", "[::1]:80"] {
        assert!(with_headers(&[("Host", host)]).is_ok(), "{host}");
    }
    for host in [
        "",
        "a b",
        "user@example.com",
        "example.com/path",
        "exa\tmple.com",
        ":80",
    ] {
        assert!(with_headers(&[("Host", host)]).is_err(), "{host:?}");
    }
}

#[test]
fn credentials_in_the_url_override_the_header() {
    let request = Given::new()
        .build(rendered(
            "http://u:p@example.com/",
            &[("authorization", "Token x")],
            "",
        ))
        .unwrap();
    assert_eq!(header(&request, "authorization").unwrap(), b"Basic dTpw");
    assert_eq!(request.record().url, "http://example.com/");
    assert_eq!(
        shown_header(&request, "Authorization").unwrap(),
        "[redacted]"
    );
}

#[test]
fn every_limit_is_met_exactly() {
    let mut given = Given::new();
    (given.limits.url_bytes, given.limits.headers) = (30, 2);
    (given.limits.header_bytes, given.limits.body_bytes) = (20, 10);
    given.webhook.http_content_type = "a/b".to_owned();
    let kind = |r: Rendered| given.build(r).map_err(|e| (e.kind, e.field)).map(|_| ());
    let over = |field: &str| Err((ErrorKind::OutputTooLarge, Some(field.to_owned())));
    let url = "http://example.com/";
    assert_eq!(
        kind(rendered(&format!("{url}{}", "a".repeat(11)), &[], "")),
        Ok(())
    );
    assert_eq!(
        kind(rendered(&format!("{url}{}", "a".repeat(12)), &[], "")),
        over("payload_url")
    );
    assert_eq!(
        kind(rendered(&format!("{url}{}", "ü".repeat(4)), &[], "")),
        over("payload_url")
    );
    assert_eq!(
        kind(rendered(&format!("{url}hbs_aaaa"), &[], "")),
        over("payload_url")
    );
    assert_eq!(kind(rendered(url, &[("A", "1"), ("B", "2")], "")), Ok(()));
    assert_eq!(
        kind(rendered(url, &[("A", "1"), ("A", "2"), ("B", "2")], "")),
        over("additional_headers")
    );
    assert_eq!(kind(rendered(url, &[("A", &"v".repeat(19))], "")), Ok(()));
    assert_eq!(
        kind(rendered(url, &[("A", &"v".repeat(20))], "")),
        over("additional_headers")
    );
    assert_eq!(
        kind(rendered(url, &[("AAAAAAAAAAA", "hbs_aaaa")], "")),
        over("additional_headers")
    );
    assert_eq!(kind(rendered(url, &[], &"b".repeat(10))), Ok(()));
    assert_eq!(
        kind(rendered(url, &[], &"b".repeat(11))),
        over("body_template")
    );
    assert_eq!(kind(rendered(url, &[], "bhbs_aaaa")), over("body_template"));
}

#[test]
fn methods_are_the_five_in_upper_case() {
    for method in [
        "post", "HEAD", "OPTIONS", "CONNECT", "TRACE", "", "GET ", "GET\r\n",
    ] {
        let request = Rendered::new(method, "http://example.com/", Vec::new(), "");
        let error = Given::new().build(request).map(|_| ()).unwrap_err();
        assert_eq!(error.field.as_deref(), Some("http_method"), "{method:?}");
    }
}

#[test]
fn json_that_does_not_parse_is_sent_with_a_warning_that_says_where() {
    let broken = Given::new().build(rendered(
        "http://example.com/",
        &[],
        "{\"a\": 1,\n \"b\": }",
    ));
    let warnings = broken.unwrap().warnings().join(" ");
    assert!(warnings.contains("line 2 column 7"), "{warnings}");
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for (content_type, body) in [
        ("text/plain", "{"),
        ("application/json", "{}"),
        ("application/json", ""),
        ("application/json", deep.as_str()),
    ] {
        let request = Given::new().build(rendered(
            "http://example.com/",
            &[("Content-Type", content_type)],
            body,
        ));
        assert_eq!(
            request.unwrap().warnings(),
            [""; 0],
            "{content_type} {body}"
        );
    }
    let cloud = with_headers(&[(
        "Content-Type",
        "application/CloudEvents+JSON; charset=utf-8",
    )]);
    assert!(cloud.unwrap().warnings().is_empty());
}

proptest! {
    #[test]
    fn whatever_a_guest_returns_the_wire_stays_clean(
        method in "GET|POST|\\PC{0,5}",
        url in "http://e\\.x/\\PC{0,20}|\\PC{0,20}|hbs_[a-d]{4}[\\x00-\\x20]{0,3}",
        headers in proptest::collection::vec(
            ("[A-Za-z-]{1,8}|Host|TE|Content-Length|\\PC{0,8}", "[\\x00-\\x7f]{0,12}|\\PC{0,12}|hbs_[a-d]{4}"), 0..6),
        body in proptest::collection::vec(any::<u8>(), 0..50),
    ) {
        let built = Given::new().build(Rendered::new(method, url, headers, body));
        if let Ok(request) = built {
            prop_assert!(request.url().as_str().bytes().all(|b| b.is_ascii_graphic()));
            let headers = request.headers();
            prop_assert_eq!(headers.len(), headers.keys_len());
            for (name, value) in &headers {
                prop_assert!(!["transfer-encoding", "te", "content-length"].contains(&name.as_str()));
                prop_assert!(value.as_bytes().iter().all(|b| *b == b'\t' || (*b >= 0x20 && *b != 0x7f)));
            }
            let shown = format!("{:?}{request:?}", request.record());
            prop_assert!(!shown.contains("s3cr3t"), "{}", shown);
        }
    }
}

#[test]
fn what_an_attempt_records_of_headers_is_bounded_in_total() {
    let long = "x".repeat(8000);
    let names: Vec<_> = (0..90).map(|n| format!("X-{n}")).collect();
    let many: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), long.as_str()))
        .collect();
    let request = with_headers(&many).unwrap();
    let whole = request.record();
    assert_eq!(whole.headers_left_out, 0);
    let kept = request.record_up_to(RequestRecord::MAX_BODY);
    let bytes: usize = kept.headers.iter().map(|(n, v)| n.len() + v.len()).sum();
    let most = RequestRecord::MAX_HEADERS;
    assert!((most - 8100..=most).contains(&bytes), "{bytes}");
    assert_eq!(
        kept.headers.len() + kept.headers_left_out,
        whole.headers.len()
    );
    // In their order, and what hookbox has set is there.
    let mut rest = whole.headers.iter();
    assert!(kept.headers.iter().all(|header| rest.any(|h| h == header)));
    assert!(kept.headers.iter().any(|(name, _)| name == "webhook-id"));
    let json = serde_json::to_value(&kept).unwrap();
    assert_eq!(json["headers_left_out"], kept.headers_left_out);
    let few = with_headers(&[("X-A", "1")]).unwrap();
    let few = serde_json::to_value(few.record_up_to(10)).unwrap();
    assert_eq!(few["headers_left_out"], serde_json::Value::Null);
}
