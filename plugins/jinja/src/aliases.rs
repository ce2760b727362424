//! Names that NetBox gave the parts of an event in one version or another.
//!
//! By default templates see the names that the event came with, as in the NetBox that sent it. Templates outlive
//! that version, so a webhook may ask for the names of all of them (`"settings": {"netbox_names": "all"}`): `model`
//! (until 4.4), `username` and `request_id` (until 4.6), `request` (since 4.6). What an event holds itself always
//! wins, and the default body is the event as it came.

use std::collections::BTreeMap;
use std::sync::Arc;

use hookbox_guest::{Failure, Webhook};
use minijinja::Value;
use minijinja::value::{Enumerator, Object};

/// An event's context, with the names it lacks.
#[derive(Debug)]
struct Aliased(Value);

/// The setting's key.
const SETTING: &str = "netbox_names";

/// Whether a webhook asks for the names of all versions.
///
/// # Errors
/// If the setting has a value that means nothing.
pub(crate) fn asked_for(webhook: &Webhook) -> Result<bool, Failure> {
    match webhook.settings.get(SETTING) {
        None | Some(serde_json::Value::Null) => Ok(false),
        Some(value) => match value.as_str() {
            Some("event") => Ok(false),
            Some("all") => Ok(true),
            _ => Err(Failure::in_settings(format!(
                "{SETTING} must be \"event\", the names that an event has, or \"all\", those of every version of NetBox"
            ))),
        },
    }
}

/// What templates see of this context when all names are asked for.
pub(crate) fn with_aliases(context: Value) -> Value {
    Value::from_object(Aliased(context))
}

impl Aliased {
    /// A member of the event, or of a part of it.
    fn own(&self, names: &[&str]) -> Option<Value> {
        let mut value = self.0.clone();
        for name in names {
            value = value.get_attr(name).ok()?;
        }
        (!value.is_undefined()).then_some(value)
    }

    fn find(&self, name: &str) -> Option<Value> {
        if let Some(own) = self.own(&[name]) {
            return Some(own);
        }
        match name {
            "model" => {
                let object_type = self.own(&["object_type"])?;
                let (_, model) = object_type.as_str()?.rsplit_once('.')?;
                Some(model.into())
            }
            "username" => self.own(&["request", "user"]),
            "request_id" => self.own(&["request", "id"]),
            "request" => {
                let parts = [("id", "request_id"), ("user", "username")];
                let members = parts.map(|(name, old)| Some((name, self.own(&[old])?)));
                let members: BTreeMap<_, _> = members.into_iter().flatten().collect();
                (!members.is_empty()).then(|| members.into())
            }
            _ => None,
        }
    }
}

impl Object for Aliased {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.find(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.find(key)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match self.0.as_object() {
            Some(object) => object.enumerate(),
            None => Enumerator::Empty,
        }
    }
}
