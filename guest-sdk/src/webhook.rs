//! The webhook as a transformer sees it.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{Failure, Request, path};

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
    pub settings: Value,
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
            settings: Value::Null,
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

    /// The settings, as a type of your own. None at all (null) count as `{}`, so a type whose keys all have
    /// defaults is never refused. With `#[serde(deny_unknown_fields)]` a misspelt key is an error instead of
    /// a setting that does nothing.
    ///
    /// ```
    /// use hookbox_guest::testing;
    /// use serde::Deserialize;
    ///
    /// #[derive(Debug, Deserialize)]
    /// #[serde(deny_unknown_fields)]
    /// struct Settings { channel: String, #[serde(default)] limit: u8 }
    ///
    /// let webhook = testing::webhook(serde_json::json!({"channel": "ops", "limit": 300}));
    /// let failure = webhook.settings::<Settings>().unwrap_err();
    /// assert_eq!(failure.field.as_deref(), Some("settings"));
    /// assert!(failure.message.starts_with("settings.limit: invalid value: integer `300`"));
    /// ```
    ///
    /// # Errors
    /// What is missing, unknown or of the wrong type, by its path, in the field `settings`.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let none = Value::Object(Map::new());
        let settings = if self.settings.is_null() {
            &none
        } else {
            &self.settings
        };
        path::read("settings", settings).map_err(Failure::in_settings)
    }

    /// A request with this webhook's method and URL, both as they are: templates in them are not rendered.
    #[must_use]
    pub fn request(&self) -> Request {
        Request::new(&self.http_method, &self.payload_url)
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

    #[test]
    fn no_settings_are_empty_settings() {
        #[derive(Debug, Deserialize)]
        struct Settings {
            #[serde(default)]
            limit: u8,
            channel: Option<String>,
        }
        let settings: Settings = Webhook::default().settings().unwrap();
        assert_eq!((settings.limit, settings.channel), (0, None));
    }

    #[test]
    fn a_missing_key_is_named() {
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only its shape matters")]
        struct Settings {
            channel: String,
        }
        let failure = Webhook::default().settings::<Settings>().unwrap_err();
        assert_eq!(failure.message, "settings: missing field `channel`");
    }
}
