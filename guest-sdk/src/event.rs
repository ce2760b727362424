//! The event as a transformer sees it.

use std::cell::OnceCell;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{Failure, path, time};

/// The event's context: a JSON object with `event`, `timestamp`, `object_type`, `data` and whatever else the
/// event carried, in its order.
///
/// It is parsed when first looked into, so that a transformer that only passes its text on pays nothing. What
/// stands in it was written by strangers: every part may be missing or of another type than expected, and is
/// absent then. (A text that is no JSON at all, which no host sends, is an event in which everything is absent;
/// the host is told of it, whatever the transformer made of that.)
///
/// ```
/// use hookbox_guest::Event;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Site { id: u64, name: String }
///
/// let event = Event::from_text(r#"{
///     "event": "updated", "object_type": "dcim.site", "timestamp": "2026-03-06T15:11:23+00:00",
///     "username": "alice", "data": {"id": 7, "name": "Zürich", "status": {"value": "active"}}
/// }"#);
/// assert_eq!((event.event_type(), event.object_type()), ("updated", "dcim.site"));
/// assert_eq!(event.username(), Some("alice"));
/// assert_eq!(event.str_at("/data/status/value"), Some("active"));
/// let site: Site = event.data()?;
/// assert_eq!((site.id, &*site.name), (7, "Zürich"));
/// # Ok::<(), hookbox_guest::Failure>(())
/// ```
#[derive(Clone, Debug)]
pub struct Event {
    text: String,
    value: OnceCell<Result<Value, Failure>>,
}

impl Event {
    /// An event of this JSON text.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            value: OnceCell::new(),
        }
    }

    /// The JSON text as the host handed it over.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    fn parsed(&self) -> &Result<Value, Failure> {
        self.value.get_or_init(|| {
            serde_json::from_str(&self.text)
                .map_err(|e| Failure::plugin_error(format!("the event is no valid JSON: {e}")))
        })
    }

    /// Whether the event was looked into and could not be read.
    ///
    /// # Errors
    /// Why.
    #[cfg(any(test, target_arch = "wasm32"))]
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.value.get() {
            Some(Err(failure)) => Err(failure.clone()),
            _ => Ok(()),
        }
    }

    /// The whole context.
    #[must_use]
    pub fn value(&self) -> &Value {
        self.parsed().as_ref().unwrap_or(&Value::Null)
    }

    /// What stands at a JSON pointer (RFC 6901) such as `/data/tags/0/slug`, if anything.
    #[must_use]
    pub fn at(&self, pointer: &str) -> Option<&Value> {
        self.value().pointer(pointer)
    }

    /// The text that stands at a JSON pointer; none if there is nothing or it is no text.
    #[must_use]
    pub fn str_at(&self, pointer: &str) -> Option<&str> {
        self.at(pointer)?.as_str()
    }

    /// What happened: `created`, `updated`, `deleted`, `job_started`, `job_ended`, or the sender's own word.
    /// The host lets no event in without one.
    #[must_use]
    pub fn event_type(&self) -> &str {
        self.str_at("/event").unwrap_or_default()
    }

    /// Of what type the object is, such as `dcim.site`; empty if the sender named none.
    #[must_use]
    pub fn object_type(&self) -> &str {
        self.str_at("/object_type").unwrap_or_default()
    }

    /// When it happened, as RFC 3339 has it; none if the sender gave something else.
    #[must_use]
    pub fn timestamp(&self) -> Option<&str> {
        self.str_at("/timestamp")
            .filter(|text| time::is_rfc3339(text))
    }

    /// Who did it: `username`, or `request.user`, where NetBox 4.7 has it.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        self.str_at("/username")
            .or_else(|| self.str_at("/request/user"))
    }

    /// The id of the sender's request that was the cause: `request_id`, or `request.id`, where NetBox 4.7 has
    /// it. Several events may have the same.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.str_at("/request_id")
            .or_else(|| self.str_at("/request/id"))
    }

    /// The object, as a type of your own.
    ///
    /// # Errors
    /// What is missing or of the wrong type, by its path (`data.tags[0].slug: …`).
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let data = self.at("/data").unwrap_or(&Value::Null);
        path::read("data", data).map_err(Failure::plugin_error)
    }

    /// The object as it was before the change, in NetBox's format for snapshots (not that of `data`).
    #[must_use]
    pub fn prechange(&self) -> Option<&Map<String, Value>> {
        self.at("/snapshots/prechange")?.as_object()
    }

    /// The object as it is after the change, in NetBox's format for snapshots (not that of `data`).
    #[must_use]
    pub fn postchange(&self) -> Option<&Map<String, Value>> {
        self.at("/snapshots/postchange")?.as_object()
    }

    /// Any other key that the event carried, such as `request` or `context`.
    #[must_use]
    pub fn extra(&self, key: &str) -> Option<&Value> {
        self.value().get(key)
    }

    /// A text with values of the event in it: `{/pointer}` stands for what is at that JSON pointer, a string as
    /// it is, nothing for null or what is missing, anything else as JSON. There is no more to this language.
    ///
    /// ```
    /// # let event = hookbox_guest::testing::event("created", "dcim.site", serde_json::json!({"id": 7}));
    /// assert_eq!(event.fill("{/object_type} {/data/id}{/data/nothing}!"), "dcim.site 7!");
    /// ```
    #[must_use]
    pub fn fill(&self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{/") {
            filled.push_str(before);
            let Some((pointer, after)) = after.split_once('}') else {
                filled.push_str("{/");
                rest = after;
                continue;
            };
            match self.at(&format!("/{pointer}")) {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) => filled.push_str(text),
                Some(other) => filled.push_str(&other.to_string()),
            }
            rest = after;
        }
        filled.push_str(rest);
        filled
    }
}

impl From<Value> for Event {
    fn from(value: Value) -> Self {
        Self {
            text: value.to_string(),
            value: OnceCell::from(Ok(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[test]
    fn looks_up_by_pointer() {
        let event = Event::from_text(r#"{"data":{"tags":[{"slug":"a"}]}}"#);
        assert_eq!(event.str_at("/data/tags/0/slug"), Some("a"));
        assert_eq!(event.str_at("/data/tags"), None);
        assert_eq!(event.at("/nothing"), None);
    }

    #[test]
    fn what_is_missing_or_of_another_type_is_absent() {
        for event in [
            json!({}),
            json!([1]),
            json!({"event": 1, "timestamp": "today", "snapshots": []}),
        ] {
            let event = Event::from(event);
            assert_eq!((event.event_type(), event.object_type()), ("", ""));
            assert_eq!(event.timestamp(), None);
            assert_eq!(event.username(), None);
            assert_eq!(event.prechange(), None);
            assert_eq!(event.check(), Ok(()));
        }
    }

    #[test]
    fn a_text_is_filled_with_what_is_there() {
        let event = Event::from(json!({"a": {"b": "x{/a}"}, "n": [1], "z": null}));
        for (text, filled) in [
            ("{/a/b}-{/n/0}-{/n}", "x{/a}-1-[1]"),
            ("<{/z}{/missing}>", "<>"),
            ("{}{a}{ /a}", "{}{a}{ /a}"),
            ("open {/a", "open {/a"),
            ("", ""),
        ] {
            assert_eq!(event.fill(text), filled);
        }
    }

    #[test]
    fn user_and_request_are_found_where_netbox_4_7_has_them() {
        let event = Event::from(json!({"request": {"id": "r", "user": "alice"}}));
        assert_eq!(
            (event.username(), event.request_id()),
            (Some("alice"), Some("r"))
        );
        assert_eq!(
            event.extra("request"),
            Some(&json!({"id": "r", "user": "alice"}))
        );
    }

    #[test]
    fn data_that_does_not_fit_is_named_by_its_path() {
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only its shape matters")]
        struct Data {
            tags: Vec<Tag>,
        }
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only its shape matters")]
        struct Tag {
            slug: String,
        }
        let event = Event::from(json!({"data": {"tags": [{"slug": "a"}, {"slug": 1}]}}));
        let message = event.data::<Data>().unwrap_err().message;
        assert!(message.starts_with("data.tags[1].slug: "), "{message}");
        let message = Event::from(json!({})).data::<Data>().unwrap_err().message;
        assert!(message.starts_with("data: "), "{message}");
    }

    #[test]
    fn broken_json_is_noticed_once_it_was_looked_into() {
        let event = Event::from_text("{");
        assert_eq!(event.check(), Ok(()));
        assert_eq!(event.event_type(), "");
        let failure = event.check().unwrap_err();
        assert_eq!(failure.kind, crate::FailureKind::PluginError);
        assert!(failure.message.contains("no valid JSON"), "{failure}");
    }
}
