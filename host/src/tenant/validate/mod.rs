//! Validation: untrusted JSON becomes a webhook or a rule, or a list of all its errors.
//!
//! Objects that NetBox's REST API returns for webhooks and event rules are accepted as they are: the keys without a
//! meaning here are left out, its integer `id` becomes the external id, and choices may be written as
//! `{"value": …, "label": …}`. Keys that neither NetBox nor hookbox knows are errors, so that a typing
//! mistake cannot disable something unnoticed. Objects as hookbox returns them are accepted too.
//!
//! A draft is laid over a base: the defaults for a new object or one that is replaced, the stored object
//! for a change of single fields. Everything here is pure; templates are checked in the sandbox, by the
//! engine, once a draft has passed.

mod fields;
mod rule;
mod webhook;

pub(crate) use fields::did_you_mean;
pub use rule::{OLD_RULE_FIELDS, event_rule, secret_name};
pub use webhook::webhook;

/// An object as its owner wrote it, and the number it had where it came from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft<T> {
    /// NetBox's `id`.
    pub external_id: Option<i64>,
    /// The rest.
    pub spec: T,
}

/// Keys of NetBox's REST API that have no effect on webhooks and rules, and those that hookbox adds to its answers:
/// accepted and left out.
const IGNORED: &[&str] = &[
    "comments",
    "created",
    "custom_fields",
    "display",
    "display_url",
    "last_updated",
    "owner",
    "secret_set",
    "tags",
    "url",
    "warnings",
];

/// The longest name, in characters, as in NetBox.
const NAME_CHARS: usize = 150;
/// The longest description, in characters; NetBox's is 200.
const DESCRIPTION_CHARS: usize = 1000;

#[cfg(test)]
mod tests;
