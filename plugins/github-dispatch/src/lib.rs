//! Events as `repository_dispatch` events of GitHub, which start workflows.
//!
//! The rules are those of
//! <https://docs.github.com/en/rest/repos/repos#create-a-repository-dispatch-event>: an event type of at most 100
//! characters, and a payload of at most 10 top-level properties and less than 64 KB.

mod payload;

use std::collections::BTreeMap;

use hookbox_guest::{Decision, Event, Failure, Level, Request, Webhook, clip};
use serde::Deserialize;
use serde_json::{Map, json};

hookbox_guest::transformer!(transform, check);

/// Characters of `event_type`.
const MAX_EVENT_TYPE: usize = 100;

/// The webhook's `settings`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `owner/name`.
    repository: String,
    /// Name of the secret that is the token.
    #[serde(default = "secret")]
    secret: String,
    /// Text with `{/pointer}`s.
    #[serde(default = "event_type")]
    event_type: String,
    /// Names to JSON pointers; the event's own keys unless chosen.
    payload: Option<BTreeMap<String, String>>,
    /// Which version of the API is asked for.
    #[serde(default = "api_version")]
    api_version: String,
}

fn secret() -> String {
    "github".to_owned()
}

fn event_type() -> String {
    "{/object_type}.{/event}".to_owned()
}

fn api_version() -> String {
    "2022-11-28".to_owned()
}

/// Sends the event to the repository that the settings name, at the API whose root is the webhook's URL.
///
/// # Errors
/// Settings that do not fit, a missing secret, and an event that has no type after the settings.
fn transform(event: &Event, webhook: &Webhook) -> Result<Decision, Failure> {
    let settings = settings(webhook)?;
    let event_type = event.fill(&settings.event_type);
    if event_type.is_empty() {
        return Err(Failure::in_settings(
            "settings.event_type: comes to nothing for this event",
        ));
    }
    let properties: Map<_, _> = match &settings.payload {
        Some(chosen) => chosen
            .iter()
            .filter_map(|(name, pointer)| Some((name.clone(), event.at(pointer)?.clone())))
            .collect(),
        None => event.value().as_object().cloned().unwrap_or_default(),
    };
    let (properties, cut) = payload::within_limits(properties);
    if !cut.is_empty() {
        let cut = cut.join(", ");
        hookbox_guest::log(
            Level::Warn,
            &format!("left out, as the payload would be over GitHub's limit of 64 KB: {cut}"),
        );
    }
    let url = format!(
        "{}/repos/{}/dispatches",
        webhook.payload_url.trim_end_matches('/'),
        settings.repository
    );
    let request = Request::post(url)
        .header("Accept", "application/vnd.github+json")
        .header("X-GitHub-Api-Version", settings.api_version)
        .bearer(&hookbox_guest::required_secret(&settings.secret)?)
        .json(&json!({
            "event_type": clip(&event_type, MAX_EVENT_TYPE),
            "client_payload": properties,
        }))?;
    Ok(request.into())
}

/// Says when a webhook is saved what is wrong with its settings or its URL.
///
/// # Errors
/// The first thing that is.
fn check(webhook: &Webhook) -> Result<(), Failure> {
    settings(webhook)?;
    if webhook.payload_url.contains("/repos/") {
        return Err(Failure::plugin_error(
            "payload_url: must be the root of the API, `https://api.github.com` or \
             `https://HOST/api/v3` of an Enterprise Server; the repository is a setting",
        )
        .in_field("payload_url"));
    }
    Ok(())
}

fn settings(webhook: &Webhook) -> Result<Settings, Failure> {
    let settings: Settings = webhook.settings()?;
    let is_name = |name: &str| {
        let known = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        !name.is_empty() && name.bytes().all(known) && !matches!(name, "." | "..")
    };
    let repository = settings.repository.split_once('/');
    if !repository.is_some_and(|(owner, name)| is_name(owner) && is_name(name)) {
        return Err(Failure::in_settings(
            "settings.repository: must be `owner/name`, of letters, digits, `-`, `_` and `.`",
        ));
    }
    if let Some(chosen) = &settings.payload {
        if chosen.len() > payload::MAX_PROPERTIES {
            return Err(Failure::in_settings(format!(
                "settings.payload: GitHub takes {} properties at most",
                payload::MAX_PROPERTIES
            )));
        }
        if let Some((name, _)) = chosen.iter().find(|(_, pointer)| !pointer.starts_with('/')) {
            return Err(Failure::in_settings(format!(
                "settings.payload.{name}: must be a JSON pointer into the event, such as `/data/name`"
            )));
        }
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use hookbox_guest::testing;
    use serde_json::Value;

    use super::*;

    fn sent(event: &Event, mut settings: Value) -> Value {
        testing::set_secret("github", "handle");
        settings["repository"] = "octo-org/app".into();
        match transform(event, &testing::webhook(settings)) {
            Ok(Decision::Send(request)) => serde_json::from_slice(&request.body).unwrap(),
            other => panic!("not sent: {other:?}"),
        }
    }

    #[test]
    fn samples_come_out_as_written() {
        testing::check_samples(env!("CARGO_MANIFEST_DIR"), transform);
    }

    #[test]
    fn an_event_type_keeps_to_100_characters() {
        let event = testing::event("created", &"ä".repeat(255), json!({}));
        let event_type = sent(&event, json!({}))["event_type"].clone();
        assert_eq!(event_type.as_str().unwrap().chars().count(), MAX_EVENT_TYPE);
    }

    #[test]
    fn the_payload_can_be_chosen_and_what_is_missing_is_left_out() {
        let event = testing::event("created", "dcim.site", json!({"name": "x"}));
        let chosen = json!({"payload": {"site": "/data/name", "tenant": "/data/tenant/slug"}});
        assert_eq!(sent(&event, chosen)["client_payload"], json!({"site": "x"}));
    }

    #[test]
    fn what_the_settings_make_nothing_of_is_not_sent() {
        testing::set_secret("github", "handle");
        let settings = json!({"repository": "a/b", "event_type": "{/data/missing}"});
        let event = testing::event("created", "dcim.site", json!({}));
        let failure = transform(&event, &testing::webhook(settings)).unwrap_err();
        assert!(failure.message.contains("settings.event_type"), "{failure}");
    }

    #[test]
    fn settings_and_urls_that_do_not_fit_are_refused_when_the_webhook_is_saved() {
        for (settings, words) in [
            (json!({}), "`repository`"),
            (json!({"repository": "app"}), "settings.repository"),
            (json!({"repository": "a/b/c"}), "settings.repository"),
            (json!({"repository": "../.."}), "settings.repository"),
            (json!({"repository": "a/b?x"}), "settings.repository"),
            (
                json!({"repository": "a/b", "payload": {"a": "b"}}),
                "settings.payload.a",
            ),
        ] {
            let failure = check(&testing::webhook(settings.clone())).unwrap_err();
            assert!(failure.message.contains(words), "{settings}: {failure}");
        }
        let mut webhook = testing::webhook(json!({"repository": "a/b"}));
        assert_eq!(check(&webhook), Ok(()));
        webhook.payload_url = "https://api.github.com/repos/a/b/dispatches".to_owned();
        assert_eq!(
            check(&webhook).unwrap_err().field.as_deref(),
            Some("payload_url")
        );
    }
}
