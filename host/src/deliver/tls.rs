//! TLS with receivers and with the operator's proxy: whom to trust, and the handshake.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use rustls_platform_verifier::BuilderVerifierExt;

use super::error::SendError;

/// Bytes of a CA file. The whole Mozilla list has about 220,000.
const CA_FILE_BYTES: u64 = 1 << 20;

/// Whom a receiver's certificate must come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Trust {
    /// The system's authorities.
    System,
    /// The authorities in this file, as it was then.
    File(CaFile),
    /// Anybody: `ssl_verification` is off.
    Anybody,
}

/// A CA file by what tells one version of it from the next.
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
            Self::File(file) => builder.with_root_certificates(file.authorities()?),
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }
}

/// The name that the certificate of a URL's host must have.
pub(super) fn server_name(host: &str) -> Result<ServerName<'static>, SendError> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned())
        .map_err(|_| SendError::Tls("no certificate can be for such a host".to_owned()))
}

const NO_AUTHORITIES: SendError =
    SendError::Internal("it has no certificates of authorities (package ca-certificates)");

const NO_CERTIFICATES: SendError =
    SendError::CaFile("ca_file_path names a file without valid PEM certificates");

/// One message for all that is wrong with a path, so that nobody learns from it which files exist.
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

    fn authorities(&self) -> Result<RootCertStore, SendError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&self.read()?) {
            let added = certificate.map(|certificate| roots.add(certificate));
            if !matches!(added, Ok(Ok(()))) {
                return Err(NO_CERTIFICATES);
            }
        }
        if roots.is_empty() {
            return Err(NO_CERTIFICATES);
        }
        Ok(roots)
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

/// For webhooks with `ssl_verification` off: any certificate will do, also one that is no valid X.509, as old
/// devices have. So signatures are not looked at either: by a key that nobody vouches for they prove nothing.
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
