//! From what a guest returned to what is sent and what is shown of it.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use hookbox::{
    deliver::Response,
    guard::Resolve,
    model::{Secret, Timestamp, WebhookSpec},
    record::ResponseRecord,
    request::{OutboundRequest, RequestContext, SecretValues},
    sandbox::{ErrorKind, Output, RenderError, Rendered},
};
use sha2::{Sha256, Sha512};
use url::{Host, form_urlencoded};

use super::{Ended, World, fit_to_be_shown, run_twice, world};
use crate::guest::{returned, strings};

/// What a guest returned, on its way to be sent: a real guest returns it, it is validated, filled with secrets,
/// signed, guarded and recorded.
///
/// `input` is written as a request is: method, URL and `Name: value` headers in lines of their own, an empty
/// line, the body. `\n`, `\r`, `\0`, `\\` and `\xHH` stand for bytes in the lines. If it begins with a zero
/// byte, the rest is the guest's result as it lies in its memory.
///
/// # Panics
/// If anything does not hold.
pub fn outbound(input: &[u8]) -> Ended {
    let World { puppet, .. } = world();
    if input.len() > MAX_MESSAGE {
        return Ended::NotTried;
    }
    let result = match input.split_first() {
        Some((0, raw)) => raw.to_vec(),
        _ => message(input),
    };
    let rendering = run_twice(puppet, &strings(&result));
    let Output::Request(rendered) = rendering.output else {
        return Ended::Refused;
    };
    // Who knows a value can see it hidden, and learns nothing.
    if guesses_a_secret(&rendered) {
        return Ended::NotTried;
    }
    let spec = |secret: &str| WebhookSpec {
        secret: Secret::new(secret),
        ..WebhookSpec::default()
    };
    let built = build(&rendered, &spec(SIGNING), &SECRETS);
    // The same with other secrets, and unsigned, as a signature shows what it is over.
    let (one, other) = (
        build(&rendered, &spec(""), &SECRETS),
        build(&rendered, &spec(""), &OTHER_SECRETS),
    );
    match (built, one, other) {
        (Ok(signed), Ok(one), Ok(other)) => {
            check_request(&signed);
            check_signatures(&signed);
            check_that_nothing_shows(&one, &other);
            check_that_errors_tell_nothing(one, other);
            check_guard(signed)
        }
        (Err(error), Err(_), other) => {
            fit_to_be_shown(&error.message);
            assert!(!error.message.contains("Injected"), "{}", error.message);
            // one of the two may just fit, and so get to another error
            if let Err(other) = other
                && (error.kind == ErrorKind::OutputTooLarge)
                    == (other.kind == ErrorKind::OutputTooLarge)
            {
                assert_eq!(error, other);
            }
            Ended::Failed
        }
        // a value can make a host valid that another one does not, as after `xn--`
        (Ok(_), Ok(_), Err(error)) => {
            fit_to_be_shown(&error.message);
            assert!(!error.message.contains("Injected"), "{}", error.message);
            Ended::Failed
        }
        (signed, unsigned, _) => panic!("a signature decides: {signed:?} {unsigned:?}"),
    }
}

/// Whether a part of a secret, in whatever spelling, is in what the guest wrote itself: a fuzzer learns them.
fn guesses_a_secret(rendered: &Rendered) -> bool {
    let written = format!("{} {:?} ", rendered.url(), rendered.headers());
    let written = written + &String::from_utf8_lossy(rendered.body());
    let written = written.to_lowercase();
    // Escapes are undone before a value is looked for, so what stands between its letters may come to nothing.
    let pairs = form_urlencoded::parse(written.as_bytes());
    let decoded: String = pairs
        .map(|(name, value)| format!("{name}{value}"))
        .collect();
    let letters = |text: &str| {
        text.chars()
            .filter(|c| c.is_alphanumeric())
            .collect::<String>()
    };
    let spelt = [letters(&written), letters(&decoded)];
    ["s3cr3t", "q4ds4u", "injected"]
        .iter()
        .any(|part| spelt.iter().any(|text| text.contains(part)))
}

const MAX_MESSAGE: usize = 32 << 10;
const SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

type Secrets = [(&'static str, &'static str); 9];

/// Handle and value. Of characters that are written in other ways in URLs, JSON and headers, and long enough
/// that a redactor looks for them.
const SECRETS: Secrets = [
    ("hbs_aaaa", "s3cr3t/+ü"),
    ("hbs_bbbb", "s3cr3t\r\nInjected: yes"),
    ("hbs_cccc", "https://user:s3cr3t@hooks.example/T0/one"),
    ("hbs_dddd", "s3cr3t.example"),
    ("hbs_eeee", "hbs_aaaa-s3cr3t"),
    ("hbs_ffff", "s3cr3t|\\^\"<{'`%zz~-"),
    ("hbs_gggg", "S3CR3T-Ünïcode"),
    ("hbs_hhhh", "s3cr3t東京"),
    ("hbs_iiii", " s3cr3t-of-a-file\n"),
];

/// Others of the same shape and other lengths: all that can be seen of a request must be the same.
const OTHER_SECRETS: Secrets = [
    ("hbs_aaaa", "q4ds4u-but-longer/+ü"),
    ("hbs_bbbb", "q4ds4u\r\nInjected: yes, and more"),
    (
        "hbs_cccc",
        "https://user:q4ds4u-q4ds4u@hooks.example/T0/another",
    ),
    ("hbs_dddd", "q4ds4u.q4ds4u.example"),
    ("hbs_eeee", "hbs_aaaa-q4ds4u-q4ds4u"),
    ("hbs_ffff", "q4ds4u|\\^\"<{'`%zz~-q4ds4u"),
    ("hbs_gggg", "Q4DS4U-Ünïcode-Q4DS4U"),
    ("hbs_hhhh", "q4ds4u東京東"),
    ("hbs_iiii", " q4ds4u-of-a-file-of-q4ds4u\n"),
];

fn build(
    rendered: &Rendered,
    webhook: &WebhookSpec,
    secrets: &Secrets,
) -> Result<OutboundRequest, RenderError> {
    let secrets = secrets
        .iter()
        .enumerate()
        .map(|(n, (handle, value))| ((*handle).to_owned(), format!("n{n}"), Secret::new(*value)));
    OutboundRequest::build(
        rendered.clone(),
        &RequestContext {
            webhook,
            delivery: &DELIVERY.into(),
            now: Timestamp::from_millis(NOW_SECONDS * 1000),
            secrets: &SecretValues::new(secrets),
            limits: &world().limits,
            user_agent: "hookbox",
        },
    )
}

const DELIVERY: &str = "dlv_1";
const NOW_SECONDS: i64 = 1_614_265_330;

/// What is sent is well-formed HTTP to an http or https URL, within the limits.
fn check_request(request: &OutboundRequest) {
    let limits = &world().limits;
    let url = request.url();
    assert!(matches!(url.scheme(), "http" | "https"), "{url}");
    assert!(url.as_str().bytes().all(|b| b.is_ascii_graphic()), "{url}");
    assert!(url.as_str().len() <= limits.url_bytes);
    assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
    assert!(url.host_str().is_some_and(|host| !host.is_empty()), "{url}");

    let headers = request.headers();
    assert_eq!(headers.len(), headers.keys_len(), "each name once");
    // those of the guest, and those that hookbox adds
    assert!(headers.len() <= limits.headers + 9);
    for (name, value) in &headers {
        let value = value.as_bytes();
        assert!(
            value
                .iter()
                .all(|b| *b == b'\t' || (*b >= b' ' && *b != 0x7f)),
            "{name}"
        );
        assert!(name.as_str().len() + value.len() <= limits.header_bytes);
        let framing = [
            "transfer-encoding",
            "content-length",
            "connection",
            "upgrade",
            "te",
            "trailer",
            "expect",
        ];
        assert!(!framing.contains(&name.as_str()), "{name}");
        assert!(!name.as_str().starts_with("proxy-"), "{name}");
    }
    assert!(request.body().len() <= limits.body_bytes);
}

/// Both signatures are over the bytes that are sent, and no guest can set them.
fn check_signatures(request: &OutboundRequest) {
    let headers = request.headers();
    let header = |name: &str| headers.get(name).expect("is set").as_bytes();
    let mut hook = <Hmac<Sha512> as KeyInit>::new_from_slice(SIGNING.as_bytes()).expect("any key");
    hook.update(request.body());
    let hook = hex::encode(hook.finalize().into_bytes());
    assert_eq!(header("x-hook-signature"), hook.as_bytes());

    let key = STANDARD
        .decode(SIGNING.trim_start_matches("whsec_"))
        .expect("base64");
    let mut standard = <Hmac<Sha256> as KeyInit>::new_from_slice(&key).expect("any key");
    standard.update(format!("{DELIVERY}.{NOW_SECONDS}.").as_bytes());
    standard.update(request.body());
    let standard = format!("v1,{}", STANDARD.encode(standard.finalize().into_bytes()));
    assert_eq!(header("webhook-signature"), standard.as_bytes());
    assert_eq!(header("webhook-id"), DELIVERY.as_bytes());
}

/// Two requests that differ in the values of secrets alone look the same in every form that is stored or
/// shown, also when their receivers echo all of them.
fn check_that_nothing_shows(one: &OutboundRequest, other: &OutboundRequest) {
    let shown = |r: &OutboundRequest| {
        let record = r.record();
        format!(
            "{record:?} {r:?} {:?} {} {:?}",
            r.warnings(),
            r.shown_host(),
            r.redactor()
        )
    };
    assert_eq!(shown(one), shown(other));
    assert_eq!(one.record_up_to(10).body, other.record_up_to(10).body);
    assert_eq!(response(one), response(other), "what a receiver echoes");
}

/// What is recorded of an answer that holds all of a request, in several spellings.
fn response(request: &OutboundRequest) -> ResponseRecord {
    // not the host, which the standard writes in ways of its own
    let url = request.url();
    let query = url.query().unwrap_or_default();
    let mut echo = format!("{} {query} ", url.path()).into_bytes();
    let mut headers = Vec::new();
    for (name, value) in &request.headers() {
        echo.extend_from_slice(value.as_bytes());
        echo.push(b' ');
        // read as the client reads them
        let value: String = match std::str::from_utf8(value.as_bytes()) {
            Ok(value) => value.to_owned(),
            Err(_) => value.as_bytes().iter().copied().map(char::from).collect(),
        };
        headers.push((
            format!("x-{}", value.to_ascii_lowercase()),
            format!("{name}: {value}"),
        ));
    }
    let body = String::from_utf8_lossy(request.body());
    let json = serde_json::Value::from(&*body).to_string();
    echo.extend_from_slice(json.replace('/', "\\/").as_bytes());
    echo.push(b' ');
    echo.extend(
        request
            .body()
            .iter()
            .flat_map(|byte| format!("%{byte:02x}").into_bytes()),
    );
    echo.push(b' ');
    echo.extend_from_slice(request.body());
    // another place has another address
    let last = url.as_str().len() % 200;
    let peer = match request.destination_is_secret() {
        true => format!("192.0.2.{last}:80"),
        false => "192.0.2.1:80".to_owned(),
    };
    let answer = Response {
        status: 200,
        version: "HTTP/1.1",
        peer: Some(peer.parse().expect("an address")),
        headers,
        body: echo,
        truncated: false,
        retry_after: None,
        response_us: 0,
        body_us: 0,
        notes: Vec::new(),
    };
    answer.record(&request.redactor())
}

/// What is told of two requests that the guard refuses, or that cannot be sent, is the same.
fn check_that_errors_tell_nothing(one: OutboundRequest, other: OutboundRequest) {
    let World { runtime, guard, .. } = world();
    let told = |request: OutboundRequest| {
        let (redactor, url) = (request.redactor(), request.url().to_string());
        let hidden = redactor.hides_destination();
        let tls = redactor.error("tls", &format!("certificate not valid for {url}"));
        let refused = runtime.block_on(guard.check(request)).err();
        let refused = refused.map(|e| (e.kind(), redactor.error(e.kind(), &e.to_string())));
        (hidden, tls, refused)
    };
    let (one, other) = (told(one), told(other));
    assert_eq!((one.0, &one.1), (other.0, &other.1));
    // Where a secret host leads is seen by whether it is refused, and as what, and by no more.
    match (one.2, other.2) {
        (Some(one), Some(other)) if one.0 == other.0 => assert_eq!(one.1, other.1),
        (refused, of_other) => assert!(one.0 || refused == of_other, "{refused:?} {of_other:?}"),
    }
}

/// Nothing passes that leads to an address that is not public.
fn check_guard(request: OutboundRequest) -> Ended {
    let World { runtime, guard, .. } = world();
    let host = request.url().host().map(|host| host.to_owned());
    match runtime.block_on(guard.check(request)) {
        Err(error) => {
            fit_to_be_shown(&error.to_string());
            Ended::Failed
        }
        Ok(_) => {
            let addresses = match host.expect("checked") {
                Host::Domain(name) => answer(&name),
                Host::Ipv4(ip) => vec![ip.into()],
                Host::Ipv6(ip) => vec![ip.into()],
            };
            assert!(!addresses.iter().any(is_somebodys_own), "{addresses:?}");
            Ended::Passed
        }
    }
}

/// A resolver whose answers are made of the name: of one address or two, of all sorts.
pub(super) struct Pretend;

#[async_trait]
impl Resolve for Pretend {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(answer(host))
    }
}

fn answer(host: &str) -> Vec<IpAddr> {
    const ADDRESSES: [&str; 8] = [
        "8.8.8.8",
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "2606:4700::1111",
        "::1",
        "::ffff:192.168.0.1",
        "fe80::1",
    ];
    let sum: usize = host.bytes().map(usize::from).sum();
    // most names are somebody's receiver
    let chosen = match sum % 5 {
        0 => vec![ADDRESSES[sum % ADDRESSES.len()], ADDRESSES[0]],
        _ => vec![ADDRESSES[0], ADDRESSES[4]],
    };
    chosen
        .into_iter()
        .map(|address| address.parse().expect("an address"))
        .collect()
}

/// By the standard library's account, which is not the one that the guard uses.
fn is_somebodys_own(ip: &IpAddr) -> bool {
    let v4 = |ip: Ipv4Addr| {
        ip.is_private()
            || ip.is_loopback()
            || ip.is_link_local()
            || ip.is_unspecified()
            || ip.is_broadcast()
            || ip.is_documentation()
            || ip.is_multicast()
    };
    let v6 = |ip: Ipv6Addr| {
        ip.is_loopback()
            || ip.is_unspecified()
            || ip.is_multicast()
            || ip.is_unique_local()
            || ip.is_unicast_link_local()
            || ip.to_ipv4_mapped().is_some_and(v4)
    };
    match ip {
        IpAddr::V4(ip) => v4(*ip),
        IpAddr::V6(ip) => v6(*ip),
    }
}

/// A guest's result as the text of a request; see [`outbound`].
fn message(text: &[u8]) -> Vec<u8> {
    let end = text.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = match end {
        Some(end) => (&text[..end], &text[end + 2..]),
        None => (text, &[][..]),
    };
    let mut lines = head.split(|b| *b == b'\n').map(unescape);
    let method = lines.next().unwrap_or_default();
    let url = lines.next().unwrap_or_default();
    let headers: Vec<_> = lines
        .map(
            |line| match line.windows(2).position(|pair| pair == b": ") {
                Some(at) => (line[..at].to_vec(), line[at + 2..].to_vec()),
                None => (line, Vec::new()),
            },
        )
        .collect();
    returned(&method, &url, &headers, body)
}

/// Replaces `\n`, `\r`, `\0`, `\\` and `\xHH`; any other backslash stays.
#[must_use]
pub fn unescape(line: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some((first, after)) = rest.split_first() {
        let (byte, left) = match rest {
            [b'\\', b'n', left @ ..] => (b'\n', left),
            [b'\\', b'r', left @ ..] => (b'\r', left),
            [b'\\', b'0', left @ ..] => (0, left),
            [b'\\', b'\\', left @ ..] => (b'\\', left),
            [b'\\', b'x', high, low, left @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                let digit = |d: u8| {
                    char::from(d)
                        .to_digit(16)
                        .and_then(|d| u8::try_from(d).ok())
                };
                let byte = digit(*high).unwrap_or(0) << 4 | digit(*low).unwrap_or(0);
                (byte, left)
            }
            _ => (*first, after),
        };
        bytes.push(byte);
        rest = left;
    }
    bytes
}
