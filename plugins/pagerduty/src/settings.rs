//! What the owner of a webhook can choose.

use std::collections::BTreeMap;

use hookbox_guest::{Event, Failure, Webhook};
use serde::{Deserialize, Serialize};

/// The webhook's `settings`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Name of the secret that is the integration's routing key.
    pub(crate) secret: String,
    /// What an event does to the alert.
    pub(crate) action: Choice<Action>,
    /// How bad it is; warning unless chosen.
    pub(crate) severity: Choice<Severity>,
    /// Text with `{/pointer}`s; object type, object and event unless chosen.
    pub(crate) summary: Option<String>,
    /// Likewise; the object's display name unless chosen.
    pub(crate) source: Option<String>,
    /// Likewise.
    pub(crate) component: Option<String>,
    /// Likewise.
    pub(crate) group: Option<String>,
    /// Likewise; object type and id unless chosen.
    pub(crate) dedup_key: Option<String>,
    /// Names to JSON pointers; the event's main keys unless chosen.
    pub(crate) details: Option<BTreeMap<String, String>>,
    /// Name of the system that the events come from.
    pub(crate) client: String,
    /// Where it is, for links to its objects.
    pub(crate) base_url: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        let actions = [
            ("created", Action::Trigger),
            ("updated", Action::Trigger),
            ("deleted", Action::Resolve),
        ];
        Self {
            secret: "pagerduty".to_owned(),
            action: Choice {
                map: actions
                    .map(|(event, action)| (event.to_owned(), action))
                    .into(),
                ..Choice::default()
            },
            severity: Choice::default(),
            summary: None,
            source: None,
            component: None,
            group: None,
            dedup_key: None,
            details: None,
            client: "hookbox".to_owned(),
            base_url: None,
        }
    }
}

/// A choice by what stands in the event.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Choice<T> {
    /// JSON pointer to what is looked at.
    #[serde(default = "event_type")]
    from: String,
    /// What each text there comes to.
    #[serde(default = "BTreeMap::new")]
    map: BTreeMap<String, T>,
    /// What everything else comes to.
    #[serde(default = "Option::default")]
    default: Option<T>,
}

fn event_type() -> String {
    "/event".to_owned()
}

impl<T> Default for Choice<T> {
    fn default() -> Self {
        Self {
            from: event_type(),
            map: BTreeMap::new(),
            default: None,
        }
    }
}

impl<T: Copy> Choice<T> {
    /// What this event comes to, if anything.
    pub(crate) fn pick(&self, event: &Event) -> Option<T> {
        let mapped = event.str_at(&self.from).and_then(|key| self.map.get(key));
        mapped.copied().or(self.default)
    }
}

/// What an event does to the alert of its object.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Trigger,
    Acknowledge,
    Resolve,
    /// Nothing is sent.
    Skip,
}

impl Action {
    /// As `event_action` has it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::Acknowledge => "acknowledge",
            Self::Resolve => "resolve",
            Self::Skip => "skip",
        }
    }
}

/// `payload.severity`.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    Critical,
    Error,
    Warning,
    Info,
}

impl Settings {
    /// Reads and checks them.
    pub(crate) fn of(webhook: &Webhook) -> Result<Self, Failure> {
        let settings: Self = webhook.settings()?;
        let pointers = [
            ("action.from", &settings.action.from),
            ("severity.from", &settings.severity.from),
        ];
        let pointers = pointers.map(|(key, pointer)| (key.to_owned(), pointer));
        let details = settings.details.iter().flatten();
        let details = details.map(|(name, pointer)| (format!("details.{name}"), pointer));
        if let Some((key, _)) = pointers
            .into_iter()
            .chain(details)
            .find(|(_, pointer)| !pointer.starts_with('/'))
        {
            return Err(Failure::in_settings(format!(
                "settings.{key}: must be a JSON pointer into the event, such as `/data/status/value`"
            )));
        }
        let web = |url: &String| url.starts_with("https://") || url.starts_with("http://");
        if settings.base_url.as_ref().is_some_and(|url| !web(url)) {
            return Err(Failure::in_settings(
                "settings.base_url: must be a URL such as `https://netbox.example.com`",
            ));
        }
        Ok(settings)
    }
}
