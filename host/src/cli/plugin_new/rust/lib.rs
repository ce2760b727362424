//! A hookbox transformer: it decides what is sent for an event, or that nothing is.

use hookbox_guest::{Decision, Event, Failure, Webhook};
use serde::Deserialize;
use serde_json::json;

hookbox_guest::transformer!(transform, check);

/// The webhook's `settings`, such as `{"skip": ["deleted"]}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Events of these names are not sent.
    #[serde(default)]
    skip: Vec<String>,
}

/// Sends the event's name and the object's name to the webhook's URL.
///
/// # Errors
/// Settings that do not fit.
fn transform(event: &Event, webhook: &Webhook) -> Result<Decision, Failure> {
    let settings: Settings = webhook.settings()?;
    let name = event.event_type();
    if settings.skip.iter().any(|skip| skip == name) {
        return Ok(Decision::skip(format!("{name} events are skipped")));
    }
    let mut request = webhook
        .request()
        .json(&json!({ "event": name, "object": event.at("/data/name") }))?;
    // What `secret` gives is a handle: the host puts the secret in its place once this code has ended.
    if let Some(token) = hookbox_guest::secret("token") {
        request = request.bearer(&token);
    }
    Ok(request.into())
}

/// Says when a webhook is saved what is wrong with its settings.
///
/// # Errors
/// The first thing that is.
fn check(webhook: &Webhook) -> Result<(), Failure> {
    webhook.settings::<Settings>().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookbox_guest::testing;

    #[test]
    fn the_name_of_the_object_is_sent() {
        testing::set_secret("token", "handle");
        let event = testing::event("created", "dcim.site", json!({ "name": "Zürich" }));
        let Ok(Decision::Send(request)) = transform(&event, &testing::webhook(json!({}))) else {
            panic!("a request was to be sent");
        };
        assert_eq!(request.body, r#"{"event":"created","object":"Zürich"}"#.as_bytes());
        assert_eq!(request.header_value("authorization"), Some("Bearer handle"));
    }

    #[test]
    fn what_the_settings_name_is_skipped() {
        let event = testing::event("deleted", "dcim.site", json!({}));
        let webhook = testing::webhook(json!({ "skip": ["deleted"] }));
        assert!(matches!(transform(&event, &webhook), Ok(Decision::Skip(_))));
    }

    #[test]
    fn a_misspelt_setting_is_named() {
        let failure = check(&testing::webhook(json!({ "skp": [] }))).unwrap_err();
        assert!(failure.message.contains("`skp`"), "{failure}");
    }
}
