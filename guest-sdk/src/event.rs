//! The event as a transformer sees it.

use std::cell::OnceCell;

use serde_json::Value;

use crate::Failure;

/// The event's context: a JSON object with `event`, `timestamp`, `object_type`, `data` and whatever else
/// the event carried, in its order. It is parsed when first looked into.
#[derive(Clone, Debug)]
pub struct Event {
    text: String,
    value: OnceCell<Value>,
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

    /// The whole context.
    ///
    /// # Errors
    /// A plugin error if the text is no JSON, which a host never sends.
    pub fn value(&self) -> Result<&Value, Failure> {
        if let Some(value) = self.value.get() {
            return Ok(value);
        }
        let value = serde_json::from_str(&self.text)
            .map_err(|e| Failure::plugin_error(format!("the event is no valid JSON: {e}")))?;
        Ok(self.value.get_or_init(|| value))
    }

    /// What stands at a JSON pointer (RFC 6901) such as `/data/status/value`, if anything.
    ///
    /// # Errors
    /// As [`Self::value`].
    pub fn at(&self, pointer: &str) -> Result<Option<&Value>, Failure> {
        Ok(self.value()?.pointer(pointer))
    }

    /// The text that stands at a JSON pointer; none if there is nothing or it is no text.
    ///
    /// # Errors
    /// As [`Self::value`].
    pub fn str_at(&self, pointer: &str) -> Result<Option<&str>, Failure> {
        Ok(self.at(pointer)?.and_then(Value::as_str))
    }
}

impl From<Value> for Event {
    fn from(value: Value) -> Self {
        Self {
            text: value.to_string(),
            value: OnceCell::from(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_up_by_pointer() {
        let event = Event::from_text(r#"{"data":{"tags":[{"slug":"a"}]}}"#);
        assert_eq!(event.str_at("/data/tags/0/slug").unwrap(), Some("a"));
        assert_eq!(event.str_at("/data/tags").unwrap(), None);
        assert_eq!(event.at("/nothing").unwrap(), None);
    }

    #[test]
    fn broken_json_is_a_plugin_error() {
        let failure = Event::from_text("{").value().unwrap_err();
        assert_eq!(failure.kind, crate::FailureKind::PluginError);
    }
}
