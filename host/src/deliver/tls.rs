//! TLS with receivers and with the operator's proxy: whom to trust, and the handshake.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::CryptoProvider,
    server::ParsedCertificate,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use rustls_platform_verifier::BuilderVerifierExt;

use super::error::SendError;

/// Bytes of a CA file. The whole Mozilla list has about 220,000.
const CA_FILE_BYTES: u64 = 1 << 20;

/// Settings kept at once. Each CA file needs its own.
const CONFIGS: usize = 64;

/// Whom a receiver's certificate must come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Trust {
    /// The system's authorities.
    System,
    /// The authorities in this version of a file.
    File(CaFile),
    /// Any certificate: `ssl_verification` is off.
    Anybody,
}

/// A CA file, with what distinguishes its versions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct CaFile {
    path: PathBuf,
    modified: Option<SystemTime>,
    bytes: u64,
}

impl Trust {
    /// The settings of a client that trusts so and offers these protocols. May read certificates: blocking.
    pub(super) fn config(&self, alpn: &[&str]) -> Result<Arc<ClientConfig>, SendError> {
        // Fails if there is a provider already, which then is the process's choice.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = ClientConfig::builder();
        let builder = match self {
            Self::System => builder
                .with_platform_verifier()
                .map_err(|_| NO_AUTHORITIES)?,
            Self::Anybody => {
                let provider = Arc::clone(builder.crypto_provider());
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(Unverified(provider)))
            }
            Self::File(file) => {
                let provider = Arc::clone(builder.crypto_provider());
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(file.verifier(provider)?))
            }
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }
}

/// Settings that have been made, since that takes reading and parsing certificates.
#[derive(Debug, Default)]
pub(super) struct Configs {
    made: Mutex<HashMap<Kind, Arc<ClientConfig>>>,
    /// Held while one is made: once is enough.
    making: Mutex<()>,
}

/// The settings by which clients differ.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    pub(super) trust: Trust,
    /// Not to offer HTTP/2.
    pub(super) http1_only: bool,
}

impl Configs {
    /// The settings, made if there are none yet. For blocking threads, unless [`Configs::ready`] had them.
    pub(super) fn get(&self, kind: &Kind) -> Result<Arc<ClientConfig>, SendError> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = self.ready(kind) {
            return Ok(config);
        }
        let alpn: &[&str] = if kind.http1_only {
            &["http/1.1"]
        } else {
            &["h2", "http/1.1"]
        };
        let config = kind.trust.config(alpn)?;
        let mut made = self.made();
        if made.len() >= CONFIGS {
            made.retain(|kind, _| !matches!(kind.trust, Trust::File(_)));
        }
        made.insert(kind.clone(), Arc::clone(&config));
        Ok(config)
    }

    /// The settings, if they have been made.
    pub(super) fn ready(&self, kind: &Kind) -> Option<Arc<ClientConfig>> {
        self.made().get(kind).cloned()
    }

    fn made(&self) -> MutexGuard<'_, HashMap<Kind, Arc<ClientConfig>>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name that the certificate of a URL's host must have.
pub(super) fn server_name(host: &str) -> Result<ServerName<'static>, SendError> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned())
        .map_err(|_| SendError::Tls("no certificate can name such a host".to_owned()))
}

const NO_AUTHORITIES: SendError =
    SendError::Internal("it has no CA certificates (package ca-certificates)");

const NO_CERTIFICATES: SendError =
    SendError::CaFile("ca_file_path names a file without valid PEM certificates");

/// One message for all errors of a path, so that it does not reveal which files exist.
const NO_SUCH_FILE: SendError = SendError::CaFile(
    "ca_file_path must name a readable file of at most 1 MiB in one of the folders that the operator set \
     for it (delivery.ca_directories)",
);

impl CaFile {
    /// Finds the file that a webhook names, if it is in one of the folders after all links are followed.
    /// Blocking.
    pub(super) fn find(path: &str, folders: &[PathBuf]) -> Result<Self, SendError> {
        let path = fs::canonicalize(Path::new(path)).map_err(|_| NO_SUCH_FILE)?;
        let allowed = folders
            .iter()
            .filter_map(|folder| fs::canonicalize(folder).ok())
            .any(|folder| path.starts_with(folder));
        if !allowed {
            return Err(NO_SUCH_FILE);
        }
        let metadata = fs::metadata(&path).map_err(|_| NO_SUCH_FILE)?;
        if !metadata.is_file() || metadata.len() > CA_FILE_BYTES {
            return Err(NO_SUCH_FILE);
        }
        Ok(Self {
            path,
            modified: metadata.modified().ok(),
            bytes: metadata.len(),
        })
    }

    /// Certificates that make no sense are passed over, as OpenSSL does, if there are others.
    fn verifier(&self, provider: Arc<CryptoProvider>) -> Result<Listed, SendError> {
        let mut roots = RootCertStore::empty();
        let mut certificates = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(&self.read()?).flatten() {
            if roots.add(certificate.clone()).is_ok() {
                certificates.push(certificate);
            }
        }
        let authorities =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(Listed {
            authorities: authorities.map_err(|_| NO_CERTIFICATES)?,
            certificates,
        })
    }

    fn read(&self) -> Result<Vec<u8>, SendError> {
        let file = File::open(&self.path).map_err(|_| NO_SUCH_FILE)?;
        let mut bytes = Vec::new();
        let read = file.take(CA_FILE_BYTES + 1).read_to_end(&mut bytes);
        match read {
            Ok(n) if u64::try_from(n).is_ok_and(|n| n <= CA_FILE_BYTES) => Ok(bytes),
            _ => Err(NO_SUCH_FILE),
        }
    }
}

/// The verifier for webhooks with a CA file. A certificate in the file is trusted as an authority and also as the
/// server's own certificate. `openssl req -x509` makes self-signed certificates of an authority, which servers present
/// as their own; OpenSSL, and so Python's requests, accepts them if the file has them.
#[derive(Debug)]
struct Listed {
    authorities: Arc<WebPkiServerVerifier>,
    certificates: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Listed {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified =
            (self.authorities).verify_server_cert(end_entity, intermediates, name, ocsp, now);
        match verified {
            // Both come only after the certificate's time has been found right; a test holds that.
            Err(rustls::Error::InvalidCertificate(error))
                if vouched_for_by_nobody(&error) && self.certificates.contains(end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        (self.authorities).verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        (self.authorities).verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

/// Whether all that is wrong with a certificate is that no other vouches for it.
fn vouched_for_by_nobody(error: &CertificateError) -> bool {
    match error {
        CertificateError::UnknownIssuer => true,
        CertificateError::Other(other) => {
            other.0.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity)
        }
        _ => false,
    }
}

/// The verifier for webhooks with `ssl_verification` off. Any certificate is accepted, even one that is not valid
/// X.509, as old devices have. Signatures are not checked either: they prove nothing when the key is not trusted.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.0.signature_verification_algorithms.supported_schemes();
        schemes.extend([
            SignatureScheme::RSA_PKCS1_SHA1,
            SignatureScheme::ECDSA_SHA1_Legacy,
            SignatureScheme::ED448,
        ]);
        schemes
    }
}
