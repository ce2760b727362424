//! A hookbox transformer: it decides what is sent for an event, or that nothing is.

use hookbox_guest::{Decision, Event, Failure, Webhook};
use serde::Deserialize;
use serde_json::json;

hookbox_guest::transformer!(transform, check);

/// The webhook's `settings`, such as `{"channel": "#network", "skip": ["deleted"]}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Where the line is posted.
    channel: String,
    /// Events of these names are not sent.
    #[serde(default)]
    skip: Vec<String>,
}

/// Posts a line about the object to Slack.
///
/// # Errors
/// Settings that do not fit.
fn transform(event: &Event, webhook: &Webhook) -> Result<Decision, Failure> {
    let settings: Settings = webhook.settings()?;
    let what = event.event_type();
    if settings.skip.iter().any(|skip| skip == what) {
        return Ok(Decision::skip(format!("{what} events are skipped")));
    }
    let name = event
        .str_at("/data/name")
        .or_else(|| event.str_at("/data/display"));
    let text = format!(
        "{} {}: {what} by {}",
        event.object_type(),
        name.unwrap_or("without a name"),
        event.username().unwrap_or("somebody"),
    );
    let mut request = webhook
        .request()
        .json(&json!({ "channel": settings.channel, "text": text }))?;
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

    fn sample() -> Webhook {
        testing::webhook(json!({ "channel": "#network", "skip": ["deleted"] }))
    }

    #[test]
    fn a_line_about_the_object_is_sent_to_the_channel() {
        testing::set_secret("token", "handle");
        let event = testing::event("created", "dcim.site", json!({ "name": "Zürich" }));
        let request = testing::render(transform, &event, &sample())
            .request
            .unwrap();
        let body = r##"{"channel":"#network","text":"dcim.site Zürich: created by alice"}"##;
        assert_eq!(request.body, body.as_bytes());
        assert_eq!(request.header_value("authorization"), Some("Bearer handle"));
    }

    #[test]
    fn what_the_settings_name_is_skipped() {
        let event = testing::event("deleted", "dcim.site", json!({}));
        let skip = testing::render(transform, &event, &sample()).skip;
        assert_eq!(skip.as_deref(), Some("deleted events are skipped"));
    }

    #[test]
    fn settings_without_a_channel_or_misspelt_are_a_failure_that_says_so() {
        for (settings, named) in [
            (json!({ "skip": [] }), "`channel`"),
            (json!({ "channel": "ops", "skp": [] }), "`skp`"),
        ] {
            let failure = check(&testing::webhook(settings)).unwrap_err();
            assert!(failure.message.contains(named), "{failure}");
        }
    }
}
