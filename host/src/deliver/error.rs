//! Why there is no response.

use std::{error::Error, fmt, io};

use super::tls_words;
use crate::{guard::GuardError, record::FailureKind};

/// The phase of an attempt when its time was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Connecting, TLS included.
    Connect,
    /// Having the operator's proxy connect.
    Proxy,
    /// Sending the request and waiting for the response's headers.
    Response,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting took too long",
            Self::Proxy => "connecting through the operator's proxy took too long",
            Self::Response => "no response came in time",
        })
    }
}

/// The reason why the operator's proxy did not connect to a receiver. The texts are for the webhook's owner: they show
/// neither the proxy's address nor the credentials for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// No connection to the proxy.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// The credentials were refused: status 407, or its counterpart in SOCKS.
    #[error("it refused the operator's credentials (407)")]
    Unauthorized,
    /// The proxy answered with this status instead of 2xx.
    #[error("it answered {0} when it was asked to connect")]
    Refused(u16),
    /// A SOCKS error, or a refusal by the proxy.
    #[error("{0}")]
    Socks(String),
    /// An invalid answer, or none.
    #[error("its answer is not a valid answer of a proxy: {0}")]
    Protocol(String),
}

/// The reason why there is no response. The text is one sentence for the webhook's owner, without paths and addresses
/// of the machine and without parts of the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The guard's second look, at the addresses that would have been dialled.
    #[error(transparent)]
    Guard(GuardError),
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// No connection, as the operator's proxy did not make one.
    #[error("the operator's proxy did not connect to the receiver: {0}")]
    Proxy(ProxyError),
    /// No TLS session: mostly a certificate that is not trusted.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// Too slow.
    #[error("timed out: {0}")]
    Timeout(Phase),
    /// A connection that broke, or a response that is not HTTP or is over its limits.
    #[error("the receiver did not answer with valid HTTP: {0}")]
    Protocol(String),
    /// The webhook's CA file cannot be used. Tells nothing of files outside the folders for it.
    #[error("the CA file cannot be used: {0}")]
    CaFile(&'static str),
    /// A fault of this worker.
    #[error("the worker could not send: {0}")]
    Internal(&'static str),
}

impl SendError {
    /// The kind in [`crate::record::AttemptError`].
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Guard(error) => error.kind(),
            Self::Connect(_) => FailureKind::CONNECT.as_str(),
            Self::Proxy(_) => FailureKind::PROXY.as_str(),
            Self::Tls(_) | Self::CaFile(_) => FailureKind::TLS.as_str(),
            Self::Timeout(_) => FailureKind::TIMEOUT.as_str(),
            Self::Protocol(_) => FailureKind::PROTOCOL.as_str(),
            Self::Internal(_) => FailureKind::INTERNAL.as_str(),
        }
    }

    /// Whether trying again can help. A certificate may be renewed and a receiver mended; a blocked
    /// destination or a wrong `ca_file_path` needs a change of the webhook.
    #[must_use]
    pub const fn retryable(&self) -> bool {
        match self {
            Self::Guard(error) => error.retryable(),
            Self::CaFile(_) => false,
            _ => true,
        }
    }
}

/// Classifies the error of a connection on which an answer was awaited.
pub(super) fn of_answer(error: &io::Error) -> SendError {
    match telling(error) {
        Telling::Tls(reason) => SendError::Tls(reason),
        Telling::Other(reason) => SendError::Protocol(reason),
    }
}

/// Classifies the error of a TLS handshake with a receiver.
pub(super) fn of_handshake(error: &io::Error) -> SendError {
    match telling(error) {
        Telling::Tls(reason) => SendError::Tls(reason),
        Telling::Other(reason) => SendError::Connect(reason),
    }
}

/// The text of an error, without addresses.
pub(super) fn reason(error: &(dyn Error + 'static)) -> String {
    match telling(error) {
        Telling::Tls(reason) | Telling::Other(reason) => reason,
    }
}

/// The most telling cause of an error.
enum Telling {
    Tls(String),
    Other(String),
}

fn telling(error: &(dyn Error + 'static)) -> Telling {
    let mut root = error;
    let mut broken = None;
    let mut next = Some(root);
    // The chain is the client's own and short; the bound only makes that certain.
    for _ in 0..32 {
        let Some(cause) = next else { break };
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return Telling::Tls(tls_words::describe(tls));
        }
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            match innermost(io) {
                Innermost::Tls(tls) => return Telling::Tls(tls_words::describe(tls)),
                Innermost::Io(kind) => broken = Some(kind),
            }
        }
        root = cause;
        next = cause.source();
    }
    let described = broken.and_then(describe).map(str::to_owned);
    Telling::Other(described.unwrap_or_else(|| clean(&root.to_string())))
}

enum Innermost<'e> {
    Tls(&'e rustls::Error),
    Io(io::ErrorKind),
}

/// The cause within an I/O error: it hides that from `source`, and connectors wrap more than once.
fn innermost(mut error: &io::Error) -> Innermost<'_> {
    for _ in 0..8 {
        let Some(inner) = error.get_ref() else { break };
        if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
            return Innermost::Tls(tls);
        }
        let Some(io) = inner.downcast_ref::<io::Error>() else {
            break;
        };
        error = io;
    }
    Innermost::Io(error.kind())
}

const fn describe(kind: io::ErrorKind) -> Option<&'static str> {
    Some(match kind {
        io::ErrorKind::ConnectionRefused => "the connection was refused",
        io::ErrorKind::ConnectionReset => "the connection was reset",
        io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => "the connection was closed",
        io::ErrorKind::UnexpectedEof => "the connection was closed too early",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "the host cannot be reached"
        }
        io::ErrorKind::TimedOut => "the connection timed out",
        io::ErrorKind::QuotaExceeded => "it sent more than is read of one answer",
        _ => return None,
    })
}

/// A cause's text: parts of it may come from the receiver.
fn clean(text: &str) -> String {
    let kept = text.chars().filter(|c| !c.is_control());
    kept.take(300).collect()
}
