//! Certificates, CA files and the protocol that TLS negotiates.

use std::{fs, path::Path};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;

use super::*;

/// A server's TLS with a self-signed certificate for `receiver.example`, and the certificate as PEM.
fn self_signed(alpn: &[&str]) -> (TlsAcceptor, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["receiver.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
    (TlsAcceptor::from(Arc::new(config)), cert.pem())
}

fn https(address: SocketAddr) -> String {
    format!("https://receiver.example:{}/hook", address.port())
}

fn with_ca(path: &Path) -> SendOptions<'_> {
    SendOptions {
        ca_file_path: path.to_str(),
        // Without effect beside a CA file, as in NetBox.
        ssl_verification: false,
        ..options()
    }
}

const UNVERIFIED: fn() -> SendOptions<'static> = || SendOptions {
    ssl_verification: false,
    ..options()
};

#[tokio::test]
async fn a_self_signed_certificate_is_refused_unless_verification_is_off() {
    let (tls, _) = self_signed(&[]);
    let server = Server::answering_with(Some(tls), OK.into()).await;
    let sender = Sender::new();
    let url = https(server.address);
    let error = sender.send(post(&url)).await.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), ("tls", true), "{error}");
    assert!(
        error
            .to_string()
            .contains("not signed by a trusted authority"),
        "{error}"
    );
    assert_eq!(server.requests().len(), 0);

    let response = sender.send_with(post(&url), &UNVERIFIED()).await.unwrap();
    assert_eq!(response.status, 200);
    // The connection that was made without verification must not serve a request that wants it.
    assert_eq!(sender.send(post(&url)).await.unwrap_err().kind(), "tls");
}

#[tokio::test]
async fn a_ca_file_is_trusted_for_the_name_in_the_certificate_and_read_again_when_it_changes() {
    let (tls, pem) = self_signed(&[]);
    let (_, other_pem) = self_signed(&[]);
    let server = Server::answering_with(Some(tls), OK.into()).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    fs::write(&file, other_pem.repeat(2)).unwrap();
    let sender = Sender::with(|c| c.ca_directories = vec![folder.path().to_owned()]);

    let wrong = sender
        .send_with(post(&https(server.address)), &with_ca(&file))
        .await;
    assert_eq!(wrong.unwrap_err().kind(), "tls");
    fs::write(&file, pem).unwrap();
    let right = sender
        .send_with(post(&https(server.address)), &with_ca(&file))
        .await;
    assert_eq!(right.unwrap().status, 200);

    let other_name = https(server.address).replace("receiver", "impostor");
    let error = sender
        .send_with(post(&other_name), &with_ca(&file))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), "tls", "{error}");
}

#[tokio::test]
async fn ca_files_elsewhere_are_refused_without_telling_whether_they_exist() {
    let (_, pem) = self_signed(&[]);
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let existing = outside.path().join("real.pem");
    fs::write(&existing, &pem).unwrap();
    let link = folder.path().join("link.pem");
    std::os::unix::fs::symlink(&existing, &link).unwrap();
    let large = folder.path().join("large.pem");
    fs::write(&large, pem.repeat(3000)).unwrap();
    let up = folder
        .path()
        .join("..")
        .join(outside.path().file_name().unwrap())
        .join("real.pem");

    let sender = Sender::with(|c| c.ca_directories = vec![folder.path().to_owned()]);
    let mut errors = Vec::new();
    for path in [
        &existing,
        &outside.path().join("none.pem"),
        &link,
        &large,
        &up,
        &folder.path().to_owned(),
    ] {
        let error = sender
            .send_with(post("https://receiver.example:1/"), &with_ca(path))
            .await;
        errors.push(error.unwrap_err());
    }
    assert!(matches!(errors[0], SendError::CaFile(_)));
    assert!(!errors[0].retryable());
    assert!(errors.iter().all(|e| *e == errors[0]), "{errors:?}");
}

#[tokio::test]
async fn a_file_without_certificates_is_said_to_be_one() {
    let folder = tempfile::tempdir().unwrap();
    let sender = Sender::with(|c| c.ca_directories = vec![folder.path().to_owned()]);
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (name, text) in [("empty", ""), ("text", "hello"), ("broken", broken)] {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        let result = sender
            .send_with(post("https://receiver.example:1/"), &with_ca(&file))
            .await;
        let error = result.unwrap_err().to_string();
        assert!(
            error.contains("without valid PEM certificates"),
            "{name}: {error}"
        );
    }
}

#[tokio::test]
async fn https_to_a_port_without_tls_says_so() {
    let server = Server::start(|mut stream| async move {
        let mut hello = [0; 5];
        let _ = stream.read_exact(&mut hello).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        while read_request(&mut stream).await.is_some() {}
    })
    .await;
    let error = Sender::new()
        .send_with(post(&https(server.address)), &UNVERIFIED())
        .await;
    let error = error.unwrap_err();
    assert_eq!(
        error,
        SendError::Tls("the receiver does not speak TLS on this port".to_owned())
    );
}

/// A real HTTP/2 server over TLS.
struct TlsListener(TcpListener, TlsAcceptor);

impl axum::serve::Listener for TlsListener {
    type Io = tokio_rustls::server::TlsStream<tokio::net::TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (tcp, address) = self.0.accept().await.unwrap();
            if let Ok(stream) = self.1.accept(tcp).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

#[tokio::test]
async fn http_2_is_spoken_where_it_is_offered_unless_the_host_is_set() {
    let (tls, _) = self_signed(&["h2", "http/1.1"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let echo = |headers: http::HeaderMap, uri: http::Uri, body: String| async move {
        let host = headers.get("host").map(|h| h.to_str().unwrap().to_owned());
        format!("{:?} {host:?} {body}", uri.host())
    };
    let router = axum::Router::new().route("/hook", axum::routing::post(echo));
    tokio::spawn(async move { axum::serve(TlsListener(listener, tls), router).await });

    let sender = Sender::new();
    let response = sender
        .send_with(post(&https(address)), &UNVERIFIED())
        .await
        .unwrap();
    assert_eq!(response.version, "HTTP/2.0");
    assert_eq!(
        String::from_utf8(response.body).unwrap(),
        "Some(\"receiver.example\") None {\"a\": 1}"
    );

    let request = Rendered::for_tests(
        "POST",
        https(address),
        vec![("Host".to_owned(), "other.example".to_owned())],
        "{\"a\": 1}",
    );
    let response = sender.send_with(request, &UNVERIFIED()).await.unwrap();
    assert_eq!(response.version, "HTTP/1.1");
    assert_eq!(
        String::from_utf8(response.body).unwrap(),
        "None Some(\"other.example\") {\"a\": 1}"
    );
}
