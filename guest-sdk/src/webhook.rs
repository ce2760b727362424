//! The webhook as a transformer sees it.

use serde::{Deserialize, Serialize};

use crate::Failure;

/// The webhook's fields that concern a transformer. Unknown keys are ignored, missing ones are empty:
/// the host may be of another minor version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Webhook {
    /// Its name.
    pub name: String,
    /// Template of the URL.
    pub payload_url: String,
    /// GET, POST, PUT, PATCH or DELETE.
    pub http_method: String,
    /// The `Content-Type` header.
    pub http_content_type: String,
    /// Template whose lines `Name: value` become headers.
    pub additional_headers: String,
    /// Template of the body.
    pub body_template: String,
    /// How values are escaped in a JSON body.
    pub body_escape: BodyEscape,
    /// Any JSON value that the owner of the webhook hands to the transformer; null by default.
    pub settings: serde_json::Value,
}

impl Default for Webhook {
    fn default() -> Self {
        Self {
            name: String::new(),
            payload_url: String::new(),
            http_method: "POST".to_owned(),
            http_content_type: "application/json".to_owned(),
            additional_headers: String::new(),
            body_template: String::new(),
            body_escape: BodyEscape::None,
            settings: serde_json::Value::Null,
        }
    }
}

/// How values are escaped in a JSON body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyEscape {
    /// Not at all.
    #[default]
    None,
    /// Inside a JSON string literal as text for it, elsewhere as a JSON value.
    Json,
}

impl Webhook {
    /// Reads the webhook from the JSON object that the host hands over.
    ///
    /// # Errors
    /// A plugin error if the text is no such object.
    pub fn from_text(text: &str) -> Result<Self, Failure> {
        serde_json::from_str(text)
            .map_err(|e| Failure::plugin_error(format!("the webhook cannot be read: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_later_versions_are_ignored_and_missing_ones_have_defaults() {
        let webhook = Webhook::from_text(r#"{"name":"a","later":1,"body_escape":"json"}"#).unwrap();
        assert_eq!(webhook.name, "a");
        assert_eq!(webhook.http_method, "POST");
        assert_eq!(webhook.body_escape, BodyEscape::Json);
        assert!(webhook.settings.is_null());
    }
}
