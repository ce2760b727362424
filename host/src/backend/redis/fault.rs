//! How Redis' failures become [`BackendError`]s.

use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerErrorKind, Value};

use crate::backend::BackendError;

/// When a sender shall try again.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The meaning of a failure for the step that met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// The node does not hold this shard any more: look for it anew. Nothing was done.
    Elsewhere,
    /// The node cannot do it just now, perhaps never again as it is another's replica. Nothing was done.
    Reconnect,
    /// It passes by itself. Nothing was done.
    Wait,
    /// The connection broke: nobody knows whether it was done.
    Unknown,
    /// Trying again at once is of no use.
    None,
}

pub(super) fn remedy(error: &RedisError) -> Remedy {
    match error.kind() {
        ErrorKind::Server(kind) => match kind {
            ServerErrorKind::Moved => Remedy::Elsewhere,
            ServerErrorKind::ReadOnly
            | ServerErrorKind::BusyLoading
            | ServerErrorKind::MasterDown
            // The reads of one pipeline were refused as a whole, for one of these reasons.
            | ServerErrorKind::ExecAbort => Remedy::Reconnect,
            ServerErrorKind::Ask
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::NotBusy => Remedy::Wait,
            _ => Remedy::None,
        },
        ErrorKind::Io | ErrorKind::Parse | ErrorKind::Client => Remedy::Unknown,
        ErrorKind::MasterNameNotFoundBySentinel | ErrorKind::ClusterConnectionNotFound => {
            Remedy::Reconnect
        }
        _ => match code(error).as_deref() {
            Some("BUSY" | "UNBLOCKED") => Remedy::Wait,
            _ => Remedy::None,
        },
    }
}

/// The word that a server's error begins with, also of a command that was sent with others.
fn code(error: &RedisError) -> Option<String> {
    let of_one = error.code().map(str::to_owned);
    of_one.or_else(|| {
        let all = error.clone().into_server_errors()?;
        all.first().map(|(_, error)| error.code().to_owned())
    })
}

/// For operators. Redis' texts hold no password, and no data but key names.
pub(super) fn backend_error(error: &RedisError) -> BackendError {
    match (error.kind(), code(error).as_deref()) {
        (_, Some("OOM")) => BackendError::Full(
            "Redis has reached its maxmemory; raise it, or shorten the retention".to_owned(),
        ),
        // An error within a script: the keys are not as hookbox left them.
        (ErrorKind::UnexpectedReturnType, _) | (_, Some("WRONGTYPE")) => {
            BackendError::Corrupt(error.to_string())
        }
        (ErrorKind::InvalidClientConfig, _) => BackendError::Internal(error.to_string()),
        (ErrorKind::Server(ServerErrorKind::ResponseError), _) => {
            BackendError::Internal(error.to_string())
        }
        _ => unavailable(&error),
    }
}

/// Whether this answer says that the user lacks the right to what was asked.
pub(super) fn is_denied(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoPerm))
}

pub(super) fn unavailable(reason: &dyn std::fmt::Display) -> BackendError {
    BackendError::Unavailable {
        reason: format!("Redis: {reason}"),
        retry_after: RETRY_AFTER,
    }
}

/// Redis holds what hookbox never wrote.
pub(crate) fn stored(what: &str) -> BackendError {
    BackendError::Corrupt(format!("in Redis, {what}"))
}
