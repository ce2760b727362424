//! Certificates, CA files and the protocol that TLS negotiates.

use std::{fs, path::Path};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedKey, IsCa, KeyPair, date_time_ymd,
    generate_simple_self_signed,
};
use rustls::pki_types::PrivateKeyDer;

use super::*;

/// A server's TLS with a self-signed certificate for `receiver.example`, and the certificate as PEM.
pub(super) fn self_signed(alpn: &[&str]) -> (TlsAcceptor, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["receiver.example".to_owned()]).unwrap();
    (acceptor(&cert, &signing_key, alpn), cert.pem())
}

fn acceptor(cert: &Certificate, signing_key: &KeyPair, alpn: &[&str]) -> TlsAcceptor {
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

/// A certificate of its own authority, as `openssl req -x509` makes it (CA:TRUE), valid from one year to another.
fn own_authority(name: &str, years: (i32, i32)) -> (TlsAcceptor, String) {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = date_time_ymd(years.0, 1, 1);
    params.not_after = date_time_ymd(years.1, 1, 1);
    let key = KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap();
    (acceptor(&cert, &key, &[]), cert.pem())
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
async fn a_certificate_of_an_authority_is_trusted_if_the_file_has_it_and_its_name_and_time_are_right()
 {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let sender = Sender::with(|c| c.ca_directories = vec![folder.path().to_owned()]);
    let names = "is for other names";
    for (name, years, listed, told) in [
        ("receiver.example", (2020, 2200), true, ""),
        ("other.example", (2020, 2200), true, names),
        ("receiver.example", (2020, 2021), true, "has expired"),
        ("receiver.example", (2199, 2200), true, "is not valid yet"),
        (
            "receiver.example",
            (2020, 2200),
            false,
            "one of an authority (CA:TRUE)",
        ),
    ] {
        let (tls, pem) = own_authority(name, years);
        let (_, other) = own_authority(name, years);
        let server = Server::answering_with(Some(tls), OK.into()).await;
        // Beside others, one of which makes no sense, as bundles are.
        let odd = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let pem = if listed { pem.as_str() } else { "" };
        fs::write(&file, format!("{other}{odd}{pem}")).unwrap();
        let sent = sender
            .send_with(post(&https(server.address)), &with_ca(&file))
            .await;
        match sent {
            Ok(response) => assert!(told.is_empty() && response.is_success(), "{told}"),
            Err(error) => {
                let text = error.to_string();
                assert_eq!(error.kind(), "tls", "{text}");
                assert!(!told.is_empty() && text.contains(told), "{text}");
                assert!(
                    !text.contains("Error") && !text.contains("example"),
                    "{text}"
                );
            }
        }
        // With the system's authorities it is nobody's, and that is said in words.
        let error = sender.send(post(&https(server.address))).await.unwrap_err();
        assert!(!error.to_string().contains("Error"), "{error}");
    }
}

/// A server whose certificate another vouches for, and a file that has the server's own and not the other.
#[tokio::test]
async fn a_certificate_in_the_file_needs_nobody_to_vouch_for_it() {
    let authority = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let name = &mut params.distinguished_name;
    name.push(
        rcgen::DnType::CommonName,
        "an authority that the file does not have",
    );
    let issuer = rcgen::Issuer::new(params, authority);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["receiver.example".to_owned()]).unwrap();
    let cert = params.signed_by(&key, &issuer).unwrap();
    let server = Server::answering_with(Some(acceptor(&cert, &key, &[])), OK.into()).await;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    fs::write(&file, cert.pem()).unwrap();
    let sender = Sender::with(|c| c.ca_directories = vec![folder.path().to_owned()]);
    let url = https(server.address);
    let response = sender.send_with(post(&url), &with_ca(&file)).await.unwrap();
    assert!(response.is_success());
    let impostor = url.replace("receiver", "impostor");
    let error = sender
        .send_with(post(&impostor), &with_ca(&file))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("other names"), "{error}");
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

    let request = Rendered::new(
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
