//! Deliveries through an operator's proxy: a real one, which resolves and connects by itself.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex},
};

use hookbox_tests::{
    proxy::{Proxy, Setup},
    server::{Server, netbox_event},
    sink::Sink,
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

const USER: &str = "us?er";
const PASSWORD: &str = "p@ss/w0rd";
const LOGIN: &str = "us%3Fer:p%40ss%2Fw0rd";

/// A server with a proxy, and what it leaves behind.
struct Bed {
    dir: tempfile::TempDir,
    server: Server,
}

impl Bed {
    /// Deliveries may go to loopback, where everything in a test is.
    fn start(proxy: &str, environment: &[(&str, &str)]) -> Self {
        Self::start_strict(proxy, &[environment, &[LOOPBACK]].concat())
    }

    fn start_strict(proxy: &str, environment: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let mut environment = environment.to_vec();
        environment.push(("HOOKBOX__DELIVERY__PROXY", proxy));
        // Such variables are for others.
        environment.push(("ALL_PROXY", "http://127.0.0.1:1"));
        environment.push(("NO_PROXY", "*"));
        let data = dir.path().join("data");
        let server = Server::start_logged(&data, &environment, &dir.path().join("log"));
        Self { dir, server }
    }

    async fn deliver(&self, webhook: Value, status: &str) -> Value {
        let mut webhook = webhook;
        webhook["retry"] = json!({"schedule": [1], "jitter": 0});
        self.server.webhook(webhook).await;
        let id = self.server.send(&netbox_event()).await;
        let delivery = self.server.delivery(&id, status).await;
        self.assert_nothing_told(&delivery);
        delivery
    }

    /// Nobody but the proxy has learnt the password, and the tenant not even where the proxy is.
    fn assert_nothing_told(&self, delivery: &Value) {
        let record = delivery.to_string();
        let log = std::fs::read_to_string(self.dir.path().join("log")).expect("the log");
        assert!(
            log.contains("deliveries go through a proxy"),
            "it does log:\n{log}"
        );
        // The last is the two in base64.
        for hidden in [PASSWORD, "p%40ss", "dXM/ZXI6cEBzcy93MHJk"] {
            assert!(!record.contains(hidden), "{record}");
            assert!(!log.contains(hidden), "{hidden:?} is in the log");
        }
        assert!(
            !record.contains("us?er") && !record.contains("us%3Fer"),
            "{record}"
        );
    }
}

const LOOPBACK: (&str, &str) = (
    "HOOKBOX__GUARD__ALLOW_NETWORKS",
    r#"["127.0.0.0/8", "::1/128"]"#,
);
const BY_NAME: (&str, &str) = ("HOOKBOX__DELIVERY__PROXY_RESOLVES", "true");

fn with_login() -> Setup {
    Setup {
        login: Some((USER.to_owned(), PASSWORD.to_owned())),
        ..Setup::default()
    }
}

/// TLS with a self-signed certificate for `localhost`, and the certificate as PEM.
fn tls_for_localhost() -> (TlsAcceptor, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("fits");
    (TlsAcceptor::from(Arc::new(config)), cert.pem())
}

/// TLS in front of a sink. Answers with its port and the names that clients asked for (SNI).
async fn with_tls(sink: &Sink) -> (u16, Arc<Mutex<Vec<String>>>) {
    let (tls, _) = tls_for_localhost();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (names, to) = (Arc::<Mutex<Vec<String>>>::default(), sink.addr);
    let seen = Arc::clone(&names);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(mut client) = tls.accept(tcp).await else {
                continue;
            };
            let name = client.get_ref().1.server_name().unwrap_or_default();
            seen.lock().expect("a lock").push(name.to_owned());
            tokio::spawn(async move {
                let mut receiver = TcpStream::connect(to).await?;
                tokio::io::copy_bidirectional(&mut client, &mut receiver).await
            });
        }
    });
    (port, names)
}

#[tokio::test(flavor = "multi_thread")]
async fn http_and_https_go_through_any_kind_of_proxy_by_address() {
    for scheme in ["http", "socks5", "https"] {
        let (sink, (tls, ca)) = (Sink::start().await, tls_for_localhost());
        let proxy = Proxy::start(Setup {
            tls: (scheme == "https").then_some(tls),
            ..with_login()
        })
        .await;
        let ca_dir = tempfile::tempdir().expect("a folder");
        let ca_file = ca_dir.path().join("ca.pem");
        std::fs::write(&ca_file, ca).expect("written");
        let ca_file = ca_file.to_str().expect("UTF-8");
        let url = format!("{scheme}://{LOGIN}@localhost:{}", proxy.addr.port());
        let bed = Bed::start(&url, &[("SSL_CERT_FILE", ca_file)]);

        let plain = json!({"name": "plain", "payload_url": sink.url()});
        let delivery = bed.deliver(plain, "finished").await;
        let response = &delivery["attempts"][0]["response"];
        assert_eq!(
            response["peer"],
            sink.addr.to_string(),
            "{scheme} {response:#}"
        );
        sink.wait_for(1).await;
        assert_eq!(sink.received()[0].header("host"), sink.addr.to_string());
        assert_eq!(sink.received()[0].header("proxy-authorization"), "");
        assert_eq!(proxy.asked(), [sink.addr.to_string()], "{scheme}");

        // The same tunnel serves the next delivery.
        let id = bed.server.send(&netbox_event()).await;
        bed.server.delivery(&id, "finished").await;
        assert_eq!((proxy.connections(), sink.arrived()), (1, 2), "{scheme}");

        let (port, names) = with_tls(&sink).await;
        let secure = json!({
            "name": "secure", "ssl_verification": false,
            "payload_url": format!("https://localhost:{port}/hook"),
        });
        bed.server.webhook(secure).await;
        bed.server.send(&netbox_event()).await;
        sink.wait_for(4).await;
        let hosts: Vec<_> = sink
            .received()
            .iter()
            .map(|r| r.header("host").to_owned())
            .collect();
        assert!(hosts.contains(&format!("localhost:{port}")), "{hosts:?}");
        assert_eq!(*names.lock().expect("a lock"), ["localhost"], "{scheme}");
        let asked = proxy.asked();
        assert!(
            asked.contains(&format!("127.0.0.1:{port}")),
            "{scheme}: {asked:?}"
        );
        assert!(
            !asked.iter().any(|target| target.starts_with("localhost")),
            "{asked:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exceptions_are_delivered_directly() {
    let (proxy, sink) = (Proxy::start(Setup::default()).await, Sink::start().await);
    let url = format!("http://{}", proxy.addr);
    let exceptions = ("HOOKBOX__DELIVERY__NO_PROXY", r#"["127.0.0.0/8", "::1"]"#);
    let bed = Bed::start(&url, &[exceptions]);
    bed.deliver(json!({"payload_url": sink.url()}), "finished")
        .await;
    assert_eq!((proxy.connections(), sink.arrived()), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_says_no_is_told_in_the_attempt_and_tried_again() {
    let sink = Sink::start().await;
    let refusing = Setup {
        refuse: Some(503),
        ..with_login()
    };
    for (setup, scheme, login, told) in [
        (
            with_login(),
            "http",
            "other:p%40ss%2Fw0rd",
            "credentials (407)",
        ),
        (
            with_login(),
            "socks5",
            "other:p%40ss%2Fw0rd",
            "credentials not accepted",
        ),
        (
            refusing,
            "http",
            LOGIN,
            "it answered 503 when it was asked to connect",
        ),
    ] {
        let proxy = Proxy::start(setup).await;
        let bed = Bed::start(&format!("{scheme}://{login}@{}", proxy.addr), &[]);
        let failed = bed
            .deliver(json!({"payload_url": sink.url()}), "failed")
            .await;
        assert_eq!(
            failed["attempts"].as_array().map(Vec::len),
            Some(2),
            "{failed:#}"
        );
        let error = &failed["attempts"][1]["error"];
        assert_eq!(
            (&error["kind"], &error["retryable"]),
            (&json!("proxy"), &json!(true))
        );
        let message = error["message"].as_str().expect("text");
        assert!(
            message.contains("the operator's proxy") && message.contains(told),
            "{message}"
        );
        let address = proxy.addr.to_string();
        assert!(!failed.to_string().contains(&address), "{failed:#}");
        assert_eq!((proxy.connections(), sink.arrived()), (2, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_away_is_told_and_a_receiver_that_is_away_is_told_apart() {
    let (gone, closed) = (
        Proxy::start(Setup::default()).await.addr,
        Sink::start().await.addr,
    );
    let proxy = Proxy::start(Setup::default()).await;
    for (proxy, told) in [
        (gone, "it cannot be reached: the connection was refused"),
        (proxy.addr, "it answered 502"),
    ] {
        let bed = Bed::start(&format!("http://{proxy}"), &[]);
        let webhook = json!({"payload_url": format!("http://{closed}/")});
        let waiting = bed.deliver(webhook, "failed").await;
        let error = &waiting["attempts"][0]["error"];
        assert_eq!(error["kind"], "proxy", "{error}");
        assert!(
            error["message"].as_str().expect("text").contains(told),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_the_guard_forbids_comes_to_the_proxy() {
    let proxy = Proxy::start(Setup::default()).await;
    for by_name in [false, true] {
        let by_name: &[_] = if by_name { &[BY_NAME] } else { &[] };
        let bed = Bed::start_strict(&format!("http://{}", proxy.addr), by_name);
        for (n, url) in [
            "http://10.1.2.3/".to_owned(),
            "http://169.254.169.254/latest/".to_owned(),
            "https://[::ffff:127.0.0.1]/".to_owned(),
            "http://localhost/".to_owned(),
            // The proxy itself.
            format!("http://{}/", proxy.addr),
        ]
        .iter()
        .enumerate()
        {
            let name = format!("w{n}");
            let webhook = bed
                .server
                .post("/v1/webhooks", &json!({"name": name, "payload_url": url}))
                .await;
            let rule = json!({
                "name": name, "object_types": [format!("x.{name}")], "event_types": ["*"],
                "webhooks": [webhook["id"]],
            });
            bed.server.post("/v1/event-rules", &rule).await;
            let event = json!({"event": "created", "object_type": format!("x.{name}")});
            let id = bed.server.send(&event).await;
            let failed = bed.server.delivery(&id, "failed").await;
            assert_eq!(
                failed["attempts"][0]["error"]["kind"], "blocked",
                "{failed:#}"
            );
        }
    }
    assert_eq!(proxy.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_resolves_is_given_the_name() {
    let sink = Sink::start().await;
    for scheme in ["http", "socks5"] {
        let hosts = HashMap::from([("receiver.invalid".to_owned(), sink.addr)]);
        let proxy = Proxy::start(Setup {
            hosts,
            ..with_login()
        })
        .await;
        let url = format!("{scheme}://{LOGIN}@{}", proxy.addr);
        let bed = Bed::start_strict(&url, &[BY_NAME]);
        let webhook = json!({"payload_url": "http://receiver.invalid/hook"});
        let delivery = bed.deliver(webhook, "finished").await;
        assert_eq!(delivery["attempts"][0]["response"]["peer"], Value::Null);
        assert_eq!(proxy.asked(), ["receiver.invalid:80"], "{scheme}");
        assert_eq!(sink.received()[0].header("host"), "receiver.invalid");
    }
}

#[test]
fn a_password_that_was_printed_is_not_taken_for_the_real_one() {
    let config = |url: &str| {
        hookbox_tests::process::hookbox()
            .arg("config")
            .env("HOOKBOX__DELIVERY__PROXY", url)
            .current_dir(Path::new("/"))
            .output()
            .expect("hookbox runs")
    };
    let printed = config(&format!("http://{LOGIN}@p.example:3128"));
    let text = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert!(
        text.contains("http://us%3Fer:[secret]@p.example:3128"),
        "{text}"
    );
    assert!(
        !text.contains("p%40ss") && !text.contains(PASSWORD),
        "{text}"
    );
    let refused = config("http://us%3Fer:[secret]@p.example:3128");
    assert!(!refused.status.success());
}
