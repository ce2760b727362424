//! Errors of TLS in words for the webhook's owner.
//!
//! Nothing that the receiver sent is quoted, and nothing of the URL: its host may hold a secret.

use rustls::{
    AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible, PeerMisbehaved,
};

/// One sentence, without a full stop.
pub(super) fn describe(error: &Error) -> String {
    let told = match error {
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::NoCertificatesPresented => "the receiver presents no certificate",
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the receiver does not speak TLS on this port"
        }
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => {
            "the receiver sends invalid TLS data"
        }
        Error::InappropriateHandshakeMessage { .. } | Error::PeerMisbehaved(_) => {
            return format!(
                "the receiver violates the TLS protocol{}",
                misbehaviour(error).unwrap_or_default()
            );
        }
        Error::PeerIncompatible(error) => of_incompatible(error),
        Error::AlertReceived(alert) => return of_alert(*alert),
        Error::PeerSentOversizedRecord => "the receiver sends larger TLS records than TLS allows",
        Error::DecryptError => "the data that the receiver sends cannot be decrypted",
        Error::NoApplicationProtocol => "the receiver speaks neither HTTP/1.1 nor HTTP/2",
        Error::UnsupportedNameType => "no certificate can name such a host",
        Error::FailedToGetCurrentTime => "the worker does not know the time",
        _ => "the worker's TLS failed",
    };
    told.to_owned()
}

fn of_certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::UnknownIssuer => {
            "the receiver's certificate is not signed by a trusted authority (self-signed, or an authority \
             that ca_file_path would have to name)"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the receiver's certificate has expired"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the receiver's certificate is not valid yet"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the receiver's certificate is for other names than the URL's host"
        }
        CertificateError::Revoked => "the receiver's certificate has been revoked",
        CertificateError::BadSignature => {
            "the signature on the receiver's certificate, or by its key, is wrong"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the receiver's certificate is not for servers (extended key usage)"
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "the receiver's certificate is signed in a way that is not supported, such as SHA-1"
        }
        CertificateError::UnhandledCriticalExtension => {
            "the receiver's certificate has a critical extension that is not known here"
        }
        CertificateError::UnknownRevocationStatus
        | CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. }
        | CertificateError::InvalidOcspResponse => {
            "it is unknown whether the receiver's certificate has been revoked"
        }
        CertificateError::BadEncoding => {
            "the receiver's certificate is not a valid X.509 certificate"
        }
        CertificateError::Other(other) => match other.0.downcast_ref() {
            Some(webpki::Error::CaUsedAsEndEntity) => {
                "the receiver's certificate is one of an authority (CA:TRUE), as self-signed ones often are; it is \
                 trusted if ca_file_path names a file that holds it"
            }
            Some(webpki::Error::UnsupportedCertVersion) => {
                "the receiver's certificate is not one of X.509 version 3"
            }
            _ => "the receiver's certificate cannot be verified",
        },
        _ => "the receiver's certificate is not accepted",
    }
}

fn misbehaviour(error: &Error) -> Option<&'static str> {
    let Error::PeerMisbehaved(how) = error else {
        return None;
    };
    Some(match how {
        PeerMisbehaved::TooManyEmptyFragments
        | PeerMisbehaved::TooManyKeyUpdateRequests
        | PeerMisbehaved::TooManyRenegotiationRequests
        | PeerMisbehaved::TooManyWarningAlertsReceived => ": it sends messages without end",
        PeerMisbehaved::SelectedUnofferedApplicationProtocol => {
            ": it chose a protocol that it was not offered"
        }
        _ => return None,
    })
}

fn of_incompatible(error: &PeerIncompatible) -> &'static str {
    match error {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => {
            "the receiver speaks neither TLS 1.2 nor TLS 1.3"
        }
        _ => {
            "the receiver has no TLS cipher or key exchange in common with hookbox, which supports TLS 1.3, and TLS 1.2 with forward secrecy"
        }
    }
}

fn of_alert(alert: AlertDescription) -> String {
    let told = match alert {
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            "the receiver found no TLS cipher or key exchange in common with hookbox, which supports TLS 1.3, and TLS 1.2 with forward secrecy"
        }
        AlertDescription::ProtocolVersion => "the receiver speaks neither TLS 1.2 nor TLS 1.3",
        AlertDescription::UnrecognisedName => "the receiver serves no host of this name",
        AlertDescription::CertificateRequired
        | AlertDescription::BadCertificate
        | AlertDescription::NoCertificate => {
            "the receiver wants a client certificate, and hookbox has none"
        }
        AlertDescription::NoApplicationProtocol => {
            "the receiver speaks neither HTTP/1.1 nor HTTP/2"
        }
        AlertDescription::InternalError => "the receiver had an internal error",
        other => {
            return format!(
                "the receiver ended the session (TLS alert {})",
                u8::from(other)
            );
        }
    };
    told.to_owned()
}

#[cfg(test)]
mod tests {
    use rustls::{OtherError, pki_types::ServerName};
    use std::sync::Arc;

    use super::*;

    #[test]
    fn no_debug_form_and_no_name_is_told() {
        let name = ServerName::try_from("s3cr3t.example").unwrap();
        let names = CertificateError::NotValidForNameContext {
            expected: name,
            presented: vec!["s3cr3t.example".to_owned()],
        };
        let other = |e: webpki::Error| CertificateError::Other(OtherError(Arc::new(e)));
        for error in [
            Error::InvalidCertificate(names),
            Error::InvalidCertificate(CertificateError::Expired),
            Error::InvalidCertificate(CertificateError::BadEncoding),
            Error::InvalidCertificate(other(webpki::Error::CaUsedAsEndEntity)),
            Error::InvalidCertificate(other(webpki::Error::UnsupportedCertVersion)),
            Error::InvalidCertificate(other(webpki::Error::PathLenConstraintViolated)),
            Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
            Error::PeerMisbehaved(PeerMisbehaved::TooManyEmptyFragments),
            Error::AlertReceived(AlertDescription::HandshakeFailure),
            Error::AlertReceived(AlertDescription::DecryptError),
            Error::General("s3cr3t".to_owned()),
        ] {
            let told = describe(&error);
            assert!(told.contains(' ') && !told.contains("s3cr3t"), "{told}");
            let debug = told.contains(['{', '[', '"']) || told.contains("Error");
            assert!(!debug, "{told}");
        }
    }
}
