//! Reading what Redis answered. Nothing of it is trusted to be as hookbox left it.

use redis::Value;

use crate::backend::BackendError;
use crate::backend::redis::fault;

/// The answer of a script.
#[derive(Debug)]
pub(crate) struct Answer {
    /// `OK`, or what kept it.
    pub(crate) tag: String,
    parts: std::vec::IntoIter<Value>,
}

impl Answer {
    /// Every script answers with a list that begins with a word.
    pub(super) fn read(script: &str, reply: Value) -> Result<Self, BackendError> {
        let Value::Array(parts) = reply else {
            return Err(fault::stored(&format!("{script} answered oddly")));
        };
        let mut parts = parts.into_iter();
        let tag = parts.next().map(text).transpose()?.unwrap_or_default();
        Ok(Self { tag, parts })
    }

    /// The next part.
    pub(crate) fn next(&mut self) -> Result<Value, BackendError> {
        self.parts
            .next()
            .ok_or_else(|| fault::stored("an answer is too short"))
    }

    pub(crate) fn int(&mut self) -> Result<i64, BackendError> {
        int(self.next()?)
    }

    pub(crate) fn text(&mut self) -> Result<String, BackendError> {
        text(self.next()?)
    }

    pub(crate) fn list(&mut self) -> Result<Vec<Value>, BackendError> {
        list(self.next()?)
    }

    /// Fails unless it is `OK`.
    pub(crate) fn ok(self) -> Result<Self, BackendError> {
        if self.tag == "OK" {
            Ok(self)
        } else {
            Err(BackendError::Internal(format!(
                "a step said {:?}",
                self.tag
            )))
        }
    }
}

pub(crate) fn text(value: Value) -> Result<String, BackendError> {
    redis::from_redis_value(value).map_err(|_| fault::stored("text was to be expected"))
}

pub(crate) fn int(value: Value) -> Result<i64, BackendError> {
    redis::from_redis_value(value).map_err(|_| fault::stored("a number was to be expected"))
}

pub(crate) fn list(value: Value) -> Result<Vec<Value>, BackendError> {
    match value {
        Value::Array(list) => Ok(list),
        Value::Nil => Ok(Vec::new()),
        _ => Err(fault::stored("a list was to be expected")),
    }
}
