//! Errors of a request, field by field.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An error of one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// The field, as a path: `retry.schedule[2]`.
    pub field: String,
    /// The line within the field's text, from 1, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub line: Option<u32>,
    /// The error and its remedy, in one sentence.
    pub message: String,
}

impl FieldError {
    /// An error of a field as a whole.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            line: None,
            message: message.into(),
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{} (line {line}): {}", self.field, self.message),
            None => write!(f, "{}: {}", self.field, self.message),
        }
    }
}

/// All that is wrong with a request; never empty when it is an error.
#[derive(Clone, Debug, PartialEq, Eq, Default, thiserror::Error)]
pub struct FieldErrors(pub Vec<FieldError>);

impl FieldErrors {
    /// A list of one.
    pub fn one(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self(vec![FieldError::new(field, message)])
    }

    /// Adds an error of a field as a whole.
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(FieldError::new(field, message));
    }

    /// The same errors, of fields within `parent`: `[2]` becomes `parent[2]`, `name` `parent.name`, and
    /// the empty path `parent`.
    #[must_use]
    pub fn under(mut self, parent: &str) -> Self {
        for error in &mut self.0 {
            let joins = parent.is_empty() || error.field.is_empty();
            let dot = if joins || error.field.starts_with('[') {
                ""
            } else {
                "."
            };
            error.field = format!("{parent}{dot}{}", error.field);
        }
        self
    }

    /// `value` if nothing is wrong, and otherwise what is.
    ///
    /// # Errors
    /// The collected errors, if there are any.
    pub fn into_result<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }
}

impl fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            fmt::Display::fmt(error, f)?;
        }
        Ok(())
    }
}
