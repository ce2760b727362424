//! What the owner of a webhook can choose.

use std::collections::BTreeMap;

use hookbox_guest::{Event, Failure, Webhook};
use serde::Deserialize;

/// Attributes that CE 3.1 defines, and the member names of the JSON format, which no extension may have.
const DEFINED: [&str; 9] = [
    "data",
    "datacontenttype",
    "dataschema",
    "id",
    "source",
    "specversion",
    "subject",
    "time",
    "type",
];
/// CE 3.1, naming conventions: names should not be longer.
const MAX_NAME: usize = 20;

/// The webhook's `settings`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The content mode.
    #[serde(default)]
    pub(crate) mode: Mode,
    /// `source` of events that are no CloudEvents themselves.
    pub(crate) source: Option<String>,
    /// Put before object type and event type, which make `type` together.
    #[serde(default)]
    pub(crate) type_prefix: String,
    /// Text with `{/pointer}`s.
    #[serde(default = "subject")]
    pub(crate) subject: String,
    /// Absolute URI of the schema of the data.
    pub(crate) dataschema: Option<String>,
    /// JSON pointer to the data within the event; the whole event if empty.
    data: Option<String>,
    /// Names to JSON pointers.
    #[serde(default)]
    pub(crate) extensions: BTreeMap<String, String>,
}

/// How the event is put into the request.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// HTTP 3.2: all of it is the body.
    #[default]
    Structured,
    /// HTTP 3.1: attributes are headers, the data is the body.
    Binary,
}

fn subject() -> String {
    "{/data/url}".to_owned()
}

impl Settings {
    /// Reads and checks them.
    pub(crate) fn of(webhook: &Webhook) -> Result<Self, Failure> {
        let settings: Self = webhook.settings()?;
        if settings
            .source
            .as_deref()
            .is_some_and(|uri| !is_uri_reference(uri))
        {
            return Err(Failure::in_settings(
                "settings.source: must be a URI reference such as `/netbox` or `https://netbox.example.com` (CloudEvents, 3.1.1)",
            ));
        }
        if settings
            .dataschema
            .as_deref()
            .is_some_and(|uri| !is_uri(uri))
        {
            return Err(Failure::in_settings(
                "settings.dataschema: must be an absolute URI (CloudEvents, 3.1.2)",
            ));
        }
        if settings
            .data
            .as_deref()
            .is_some_and(|pointer| !is_pointer(pointer))
        {
            return Err(Failure::in_settings(
                "settings.data: must be a JSON pointer such as `/data`, or empty for the whole event",
            ));
        }
        for (name, pointer) in &settings.extensions {
            let letters = name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            if !letters || name.is_empty() || name.len() > MAX_NAME || DEFINED.contains(&&**name) {
                return Err(Failure::in_settings(format!(
                    "settings.extensions: `{name}` cannot be an extension's name: 1 to {MAX_NAME} lower-case letters \
                     and digits, and no attribute's that is defined already (CloudEvents, 3.1)"
                )));
            }
            if !is_pointer(pointer) {
                return Err(Failure::in_settings(format!(
                    "settings.extensions.{name}: must be a JSON pointer into the event, such as `/data/id`"
                )));
            }
        }
        Ok(settings)
    }

    /// Where the data stands: a CloudEvent's own data, any other event as a whole, unless chosen otherwise.
    pub(crate) fn data(&self, event: &Event) -> &str {
        let usual = if is_cloudevent(event) { "/data" } else { "" };
        self.data.as_deref().unwrap_or(usual)
    }
}

/// Whether the event came as a CloudEvent, whose attributes the host keeps.
pub(crate) fn is_cloudevent(event: &Event) -> bool {
    event.str_at("/specversion") == Some("1.0")
}

fn is_pointer(text: &str) -> bool {
    text.is_empty() || text.starts_with('/')
}

/// The characters of RFC 3986, section 2. What they mean together is the receiver's business.
pub(crate) fn is_uri_reference(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&b))
}

fn is_uri(text: &str) -> bool {
    is_uri_reference(text)
        && text.split_once(':').is_some_and(|(scheme, _)| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        })
}
