//! An authority of the test's own, and a certificate by it for this machine.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};

/// Where the files are.
#[derive(Clone, Debug)]
pub(super) struct Certificates {
    /// The authority's certificate, which clients are to trust.
    pub(super) ca: PathBuf,
    /// The server's certificate, for 127.0.0.1 and localhost.
    pub(super) cert: PathBuf,
    /// Its key.
    pub(super) key: PathBuf,
}

impl Certificates {
    /// Makes them anew in this folder.
    pub(super) fn make(dir: &Path) -> Self {
        let mut authority = CertificateParams::default();
        // Not the certificate's own name, or it would look as if it had signed itself.
        authority
            .distinguished_name
            .push(DnType::CommonName, "the test's authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = KeyPair::generate()
            .and_then(|key| CertifiedIssuer::self_signed(authority, key))
            .expect("an authority");
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let key = KeyPair::generate().expect("a key");
        let cert = CertificateParams::new(names)
            .and_then(|params| params.signed_by(&key, &authority))
            .expect("a certificate");
        let write = |name: &str, text: String| {
            let path = dir.join(name);
            fs::write(&path, text).expect("written");
            path
        };
        Self {
            ca: write("ca.pem", authority.pem()),
            cert: write("cert.pem", cert.pem()),
            key: write("key.pem", key.serialize_pem()),
        }
    }
}
