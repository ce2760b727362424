//! Requests to a proxy, and the effects of its answers. The proxy here is a script that says it has
//! connected and is the receiver from then on; the end-to-end tests have one that does connect.

use super::*;
use crate::config::{NoProxy, ProxyUrl};

const CONNECTED: &str = "HTTP/1.1 200 Connection established\r\n\r\n";
/// As old proxies say it, and with a header that means nothing here (RFC 9110 section 9.3.6).
const CONNECTED_TOO: &str = "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n";

/// A server that answers requests to CONNECT with these in turn, the last for ever, and whatever follows a
/// success as a receiver would.
async fn script(answers: &'static [&'static str]) -> Server {
    let asked = Arc::new(AtomicUsize::new(0));
    Server::start_with(None, move |mut stream, requests| {
        let asked = asked.clone();
        async move {
            while let Some(request) = read_request(&mut stream).await {
                let answer = if request.starts_with("CONNECT ") {
                    let turn = asked.fetch_add(1, Ordering::SeqCst);
                    answers.get(turn).or(answers.last()).unwrap()
                } else {
                    OK
                };
                requests.lock().unwrap().push(request);
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    break;
                }
            }
        }
    })
    .await
}

/// The first lines of what a server got.
fn lines(server: &Server) -> Vec<String> {
    let first = |request: &String| request.lines().next().unwrap_or_default().to_owned();
    server.requests().iter().map(first).collect()
}

fn url_of(proxy: &Server) -> ProxyUrl {
    proxy_url(&format!("http://us%3Fer:pass%40word@{}", proxy.address))
}

fn proxy_url(url: &str) -> ProxyUrl {
    serde_json::from_value(url.into()).unwrap()
}

/// A sender by a proxy. Its guard refuses loopback.
fn by_proxy(proxy: ProxyUrl, change: impl FnOnce(&mut DeliveryConfig)) -> Sender {
    let mut config = Config::defaults().delivery;
    config.proxy = proxy;
    change(&mut config);
    let guard = guard_with(&[], &config);
    let client = Client::new(&config, guard.clone()).unwrap();
    Sender { guard, client }
}

#[tokio::test]
async fn a_name_is_resolved_here_and_the_proxy_is_asked_for_a_judged_address() {
    let proxy = script(&[CONNECTED]).await;
    let sender = by_proxy(url_of(&proxy), |_| {});
    for _ in 0..2 {
        let url = "http://public.example/hook?x=1";
        let response = sender.send(post(url)).await.unwrap();
        assert_eq!(response.status, 200);
        // Where the request went, and not where the proxy is.
        assert_eq!(response.peer, Some("93.184.215.14:80".parse().unwrap()));
    }
    assert_eq!(
        lines(&proxy),
        [
            "CONNECT 93.184.215.14:80 HTTP/1.1",
            "POST /hook?x=1 HTTP/1.1",
            "POST /hook?x=1 HTTP/1.1"
        ],
        "one tunnel is used for both"
    );
    let requests = proxy.requests();
    assert!(
        requests[0].contains("\r\nProxy-Authorization: Basic dXM/ZXI6cGFzc0B3b3Jk\r\n"),
        "{requests:?}"
    );
    assert!(
        requests[0].contains("\r\nHost: 93.184.215.14:80\r\n"),
        "{requests:?}"
    );
    for request in &requests[1..] {
        assert!(
            request.contains("\r\nHost: public.example\r\n"),
            "{request}"
        );
        assert!(
            !request.contains("Proxy-"),
            "the receiver must not see it: {request}"
        );
    }
}

#[tokio::test]
async fn what_the_guard_refuses_never_comes_to_the_proxy() {
    let proxy = script(&[CONNECTED]).await;
    for resolves in [false, true] {
        let sender = by_proxy(url_of(&proxy), |c| c.proxy_resolves = resolves);
        let own = format!("http://{}/", proxy.address);
        for url in [
            "http://10.0.0.1/",
            "http://[::1]/",
            "http://inside.example/",
            &own,
        ] {
            let refused = sender.guard.check(build(post(url))).await.unwrap_err();
            assert_eq!(refused.kind(), "blocked", "{url}");
            // And should the first look have been deceived: the second.
            let deceived = guard(&["0.0.0.0/0", "::/0"])
                .check(build(post(url)))
                .await
                .unwrap();
            let refused = sender.client.send(deceived, &options()).await.unwrap_err();
            assert_eq!(refused.kind(), "blocked", "{url}");
        }
    }
    assert_eq!(proxy.connections(), 0);
}

#[tokio::test]
async fn a_proxy_that_resolves_is_given_names_that_are_unknown_or_harmless_here() {
    let proxy = script(&[CONNECTED]).await;
    let sender = by_proxy(url_of(&proxy), |c| c.proxy_resolves = true);
    for url in [
        "http://public.example/",
        "http://unknown.example:8080/",
        "http://93.184.215.14/",
    ] {
        assert_eq!(sender.send(post(url)).await.unwrap().status, 200, "{url}");
    }
    let asked: Vec<_> = lines(&proxy)
        .into_iter()
        .filter(|l| l.starts_with("CONNECT"))
        .collect();
    assert_eq!(
        asked,
        [
            "CONNECT public.example:80 HTTP/1.1",
            "CONNECT unknown.example:8080 HTTP/1.1",
            "CONNECT 93.184.215.14:80 HTTP/1.1",
        ]
    );
    // Without leave to let the proxy resolve, what is unknown here goes nowhere.
    let sender = by_proxy(url_of(&proxy), |_| {});
    let error = sender
        .guard
        .check(build(post("http://unknown.example/")))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), "dns");
}

#[tokio::test]
async fn addresses_are_tried_in_turn_ipv4_first_until_the_proxy_reaches_one() {
    const UNREACHED: &str = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";
    let proxy = script(&[UNREACHED, UNREACHED, CONNECTED_TOO]).await;
    let sender = by_proxy(url_of(&proxy), |_| {});
    let response = sender.send(post("http://many.example/")).await.unwrap();
    assert_eq!(response.peer, Some("[2606:4700::1]:80".parse().unwrap()));
    assert_eq!(
        lines(&proxy)[..3],
        [
            "CONNECT 93.184.215.14:80 HTTP/1.1",
            "CONNECT 93.184.215.15:80 HTTP/1.1",
            "CONNECT [2606:4700::1]:80 HTTP/1.1",
        ]
    );
}

#[tokio::test]
async fn answers_of_the_proxy_are_told_as_its_own_and_may_be_tried_again() {
    for (answer, told) in [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
            "it refused the operator's credentials (407)",
        ),
        (
            "HTTP/1.1 403 Forbidden\r\nX-Squid: 10.9.8.7\r\nContent-Length: 8\r\n\r\n10.9.8.7",
            "it answered 403 when it was asked to connect",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://10.9.8.7/\r\n\r\n",
            "it answered 302",
        ),
        (
            "SSH-2.0-OpenSSH_9.9\r\n",
            "its answer is not a valid answer of a proxy",
        ),
        ("", "its answer is not a valid answer of a proxy"),
    ] {
        let proxy = Server::start(move |mut stream| async move {
            read_request(&mut stream).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        })
        .await;
        let sender = by_proxy(url_of(&proxy), |_| {});
        let error = sender
            .send(post("https://public.example/"))
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.retryable()),
            ("proxy", true),
            "{error}"
        );
        let text = error.to_string();
        assert!(
            text.contains("the operator's proxy") && text.contains(told),
            "{text}"
        );
        for hidden in ["pass", "us?er", "127.0.0.1", "10.9.8.7", "93.184"] {
            assert!(
                !format!("{error:?} {text}").contains(hidden),
                "{error:?} {text}"
            );
        }
    }
}

#[tokio::test]
async fn a_proxy_that_is_away_or_says_nothing_is_told_as_such() {
    let gone = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    for scheme in ["http", "https", "socks5"] {
        let sender = by_proxy(proxy_url(&format!("{scheme}://{gone}")), |_| {});
        let error = sender
            .send(post("http://public.example/"))
            .await
            .unwrap_err();
        let refused = ProxyError::Unreachable("the connection was refused".to_owned());
        assert_eq!(error, SendError::Proxy(refused));
    }
    let silent = Server::start(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    for scheme in ["http", "https", "socks5"] {
        let url = proxy_url(&format!("{scheme}://{}", silent.address));
        let sender = by_proxy(url, |c| c.connect_timeout_seconds = 1);
        let error = sender
            .send(post("http://public.example/"))
            .await
            .unwrap_err();
        assert_eq!(error, SendError::Timeout(Phase::Proxy), "{scheme}");
    }
}

#[tokio::test]
async fn exceptions_are_reached_directly_by_name_and_by_network() {
    let receiver = Server::answering(OK).await;
    let port = receiver.address.port();
    let exceptions = |texts: &[&str]| -> Vec<NoProxy> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    };
    for (exception, url, direct) in [
        ("example", "http://a.example", true),
        ("a.example", "http://a.example", true),
        ("a.example", "http://b.a.example.", true),
        ("a.example", "http://ba.example", false),
        ("127.0.0.0/8", "http://127.0.0.1", true),
        ("127.0.0.0/8", "http://a.example", true),
        ("10.0.0.0/8", "http://a.example", false),
    ] {
        for resolves in [false, true] {
            let proxy = script(&[CONNECTED]).await;
            let mut config = Config::defaults().delivery;
            config.proxy = url_of(&proxy);
            config.no_proxy = exceptions(&[exception]);
            config.proxy_resolves = resolves;
            let guard = guard_with(&["127.0.0.0/8"], &config);
            let client = Client::new(&config, guard.clone()).unwrap();
            let sender = Sender { guard, client };
            sender.send(post(&format!("{url}:{port}/"))).await.unwrap();
            assert_eq!(
                proxy.connections(),
                usize::from(!direct),
                "{exception} {url}"
            );
        }
    }
}

#[tokio::test]
async fn the_proxys_password_is_in_no_debug_output() {
    let proxy = script(&[CONNECTED]).await;
    let sender = by_proxy(url_of(&proxy), |_| {});
    let shown = format!("{:?}", sender.client);
    assert!(!shown.contains("pass") && !shown.contains("dXM"), "{shown}");
}
