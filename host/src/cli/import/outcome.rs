//! The words in which an import tells what it found.

use crate::cli::terminal::shortened;

/// The kind of an imported object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Webhook,
    Rule,
}

impl Kind {
    /// The path of its list in hookbox's API.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Webhook => "webhooks",
            Self::Rule => "event-rules",
        }
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Rule => "event rule",
        }
    }
}

/// Something that is not carried over.
#[derive(Debug)]
pub(super) struct Left {
    /// Such as `event rule "Sites"`.
    pub(super) what: String,
    /// One sentence.
    pub(super) why: String,
    /// Whether it should have been: then the import as a whole has not done its work.
    pub(super) fault: bool,
}

impl Left {
    pub(super) fn fault(kind: Kind, name: &str, why: impl Into<String>) -> Self {
        Self {
            what: title(kind, name),
            why: why.into(),
            fault: true,
        }
    }

    pub(super) fn out_of_scope(kind: Kind, name: &str, why: impl Into<String>) -> Self {
        Self {
            fault: false,
            ..Self::fault(kind, name, why)
        }
    }
}

/// The name of an object in the output.
pub(super) fn title(kind: Kind, name: &str) -> String {
    format!("{} {:?}", kind.word(), shortened(name, 80))
}
