//! Events as alerts of PagerDuty, by its Events API v2.
//!
//! The rules are those of <https://developer.pagerduty.com/docs/send-alert-event> (fields, actions and lengths)
//! and <https://developer.pagerduty.com/docs/events-api-v2-overview> (512 KB for one event).

mod settings;

use hookbox_guest::{Decision, Event, Failure, Level, Webhook, clip};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use settings::{Action, Settings, Severity};

hookbox_guest::transformer!(transform, check);

/// Characters of `payload.summary`.
const MAX_SUMMARY: usize = 1024;
/// Characters of `dedup_key`.
const MAX_DEDUP_KEY: usize = 255;
/// Bytes of one event, with some to spare for the routing key that stands in for its handle.
const MAX_EVENT: usize = 512_000 - 1000;

/// Sends the event as the action that the settings choose for it; no action, no request.
///
/// # Errors
/// Settings that do not fit, a missing secret, and an object that has no key to acknowledge or resolve it by.
fn transform(event: &Event, webhook: &Webhook) -> Result<Decision, Failure> {
    let settings = Settings::of(webhook)?;
    let action = match settings.action.pick(event) {
        None | Some(Action::Skip) => {
            return Ok(Decision::skip(
                "the setting `action` has no action for this event",
            ));
        }
        Some(action) => action,
    };
    let mut alert = Map::new();
    let routing_key = hookbox_guest::required_secret(&settings.secret)?;
    alert.insert("routing_key".to_owned(), routing_key.into());
    alert.insert("event_action".to_owned(), action.as_str().into());
    match dedup_key(event, settings.dedup_key.as_deref()) {
        Some(key) => drop(alert.insert("dedup_key".to_owned(), key.into())),
        // PagerDuty makes one up for a new alert
        None if action == Action::Trigger => {}
        None => {
            return Err(Failure::plugin_error(format!(
                "the event's object has no `id`, so its alert cannot be found to {} it: set `dedup_key`",
                action.as_str()
            )));
        }
    }
    // the other actions need nothing more
    if action == Action::Trigger {
        describe(event, &settings, &mut alert);
    }
    let mut body = serde_json::to_vec(&alert)?;
    if body.len() > MAX_EVENT {
        hookbox_guest::log(
            Level::Warn,
            "custom_details are left out: the event is over PagerDuty's limit of 512 KB",
        );
        if let Some(Value::Object(payload)) = alert.get_mut("payload") {
            payload.remove("custom_details");
        }
        body = serde_json::to_vec(&alert)?;
    }
    let request = webhook
        .request()
        .header("Content-Type", "application/json")
        .body(body);
    Ok(request.into())
}

/// Says when a webhook is saved what is wrong with its settings.
///
/// # Errors
/// The first thing that is.
fn check(webhook: &Webhook) -> Result<(), Failure> {
    Settings::of(webhook).map(drop)
}

/// What makes events of one object concern one alert; none if the object has no id. A key that is too long is
/// replaced by a digest, since a part of it could be another object's.
fn dedup_key(event: &Event, template: Option<&str>) -> Option<String> {
    let key = match template {
        Some(template) => event.fill(template),
        None => {
            let id = event.fill("{/data/id}");
            if id.is_empty() {
                return None;
            }
            format!("{}:{id}", event.object_type())
        }
    };
    if key.is_empty() {
        return None;
    }
    if key.chars().count() <= MAX_DEDUP_KEY {
        return Some(key);
    }
    let digest = Sha256::digest(key);
    Some(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Everything about a new alert.
fn describe(event: &Event, settings: &Settings, alert: &mut Map<String, Value>) {
    let object = ["/data/display", "/data/name"];
    let object = object.iter().find_map(|pointer| event.str_at(pointer));
    let object_type = Some(event.object_type()).filter(|name| !name.is_empty());
    let summary = match &settings.summary {
        Some(template) => event.fill(template),
        None => [object_type, object, Some(event.event_type())]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" "),
    };
    let source = settings
        .source
        .as_ref()
        .map(|template| event.fill(template));
    let source = source
        .as_deref()
        .filter(|source| !source.is_empty())
        .or(object)
        .or(object_type)
        .unwrap_or("hookbox");
    let severity = settings.severity.pick(event).unwrap_or(Severity::Warning);
    let mut payload = Map::new();
    payload.insert("summary".to_owned(), clip(&summary, MAX_SUMMARY).into());
    payload.insert("source".to_owned(), source.into());
    payload.insert("severity".to_owned(), json!(severity));
    let optional = [
        ("timestamp", event.timestamp().map(str::to_owned)),
        (
            "component",
            settings
                .component
                .as_ref()
                .map(|template| event.fill(template)),
        ),
        (
            "group",
            settings.group.as_ref().map(|template| event.fill(template)),
        ),
        ("class", object_type.map(str::to_owned)),
    ];
    for (name, value) in optional {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            payload.insert(name.to_owned(), value.into());
        }
    }
    payload.insert("custom_details".to_owned(), details(event, settings));
    alert.insert("payload".to_owned(), payload.into());
    alert.insert("client".to_owned(), settings.client.as_str().into());
    if let Some(base) = &settings.base_url {
        alert.insert("client_url".to_owned(), base.as_str().into());
        let path = ["/data/display_url", "/data/url"];
        let path = path.iter().find_map(|pointer| event.str_at(pointer));
        if let Some(path) = path.filter(|path| path.starts_with('/')) {
            let href = format!("{}{path}", base.trim_end_matches('/'));
            let text = object.unwrap_or("the object");
            alert.insert("links".to_owned(), json!([{ "href": href, "text": text }]));
        }
    }
}

fn details(event: &Event, settings: &Settings) -> Value {
    let chosen = settings.details.iter().flatten();
    let mut details: Map<_, _> = chosen
        .filter_map(|(name, pointer)| Some((name.clone(), event.at(pointer)?.clone())))
        .collect();
    if settings.details.is_none() {
        for key in ["event", "object_type", "username", "request_id", "data"] {
            details.extend(
                event
                    .extra(key)
                    .map(|value| (key.to_owned(), value.clone())),
            );
        }
    }
    details.into()
}

#[cfg(test)]
mod tests {
    use hookbox_guest::testing;

    use super::*;

    fn alert(event: &Event, settings: Value) -> Value {
        testing::set_secret("pagerduty", "handle");
        match transform(event, &testing::webhook(settings)) {
            Ok(Decision::Send(request)) => serde_json::from_slice(&request.body).unwrap(),
            other => panic!("not sent: {other:?}"),
        }
    }

    fn device(event: &str) -> Event {
        let data = json!({
            "id": 7, "display": "rack-1", "display_url": "/dcim/devices/7/",
            "status": {"value": "offline", "label": "Offline"},
        });
        testing::event(event, "dcim.device", data)
    }

    #[test]
    fn samples_come_out_as_written() {
        testing::check_samples(env!("CARGO_MANIFEST_DIR"), transform);
    }

    #[test]
    fn all_events_of_an_object_concern_one_alert() {
        let created = alert(&device("created"), json!({}));
        let deleted = alert(&device("deleted"), json!({}));
        assert_eq!(created["event_action"], "trigger");
        assert_eq!(deleted["event_action"], "resolve");
        assert_eq!(created["dedup_key"], "dcim.device:7");
        assert_eq!(created["dedup_key"], deleted["dedup_key"]);
        assert!(deleted.get("payload").is_none());
    }

    #[test]
    fn an_action_can_depend_on_the_object() {
        let settings = json!({"action": {
            "from": "/data/status/value", "map": {"offline": "trigger", "active": "resolve", "staged": "skip"},
        }});
        assert_eq!(
            alert(&device("updated"), settings.clone())["event_action"],
            "trigger"
        );
        for status in ["staged", "unheard"] {
            let event = testing::event(
                "updated",
                "dcim.device",
                json!({"id": 7, "status": {"value": status}}),
            );
            let decision = transform(&event, &testing::webhook(settings.clone())).unwrap();
            assert!(matches!(decision, Decision::Skip(_)), "{status}");
        }
    }

    #[test]
    fn a_severity_is_mapped_and_has_a_default() {
        let settings = json!({"severity": {"from": "/data/status/value", "map": {"offline": "critical"}, "default": "info"}});
        assert_eq!(
            alert(&device("created"), settings.clone())["payload"]["severity"],
            "critical"
        );
        let other = testing::event("created", "dcim.device", json!({"id": 1}));
        assert_eq!(alert(&other, settings)["payload"]["severity"], "info");
        assert_eq!(alert(&other, json!({}))["payload"]["severity"], "warning");
    }

    #[test]
    fn lengths_stay_within_what_pagerduty_takes() {
        let long = "ü".repeat(2000);
        let event = testing::event("created", &long, json!({"id": 1, "name": long}));
        let sent = alert(&event, json!({}));
        assert_eq!(
            sent["payload"]["summary"].as_str().unwrap().chars().count(),
            MAX_SUMMARY
        );
        let key = sent["dedup_key"].as_str().unwrap();
        assert_eq!(key.len(), 64, "{key}");
        let other = testing::event("created", &long, json!({"id": 2}));
        assert_ne!(alert(&other, json!({}))["dedup_key"], *key);
    }

    #[test]
    fn details_that_would_be_too_much_are_left_out() {
        let event = testing::event(
            "created",
            "a.b",
            json!({"id": 1, "text": "x".repeat(MAX_EVENT)}),
        );
        assert!(
            alert(&event, json!({}))["payload"]
                .get("custom_details")
                .is_none()
        );
        assert_eq!(testing::take_logs().len(), 1);
    }

    #[test]
    fn an_object_without_an_id_can_be_triggered_but_not_resolved() {
        let of = |event| testing::event(event, "a.b", json!({"name": "x"}));
        assert!(alert(&of("created"), json!({})).get("dedup_key").is_none());
        let failure = transform(&of("deleted"), &testing::webhook(json!({}))).unwrap_err();
        assert!(failure.message.contains("`dedup_key`"), "{failure}");
        let sent = alert(&of("deleted"), json!({"dedup_key": "site {/data/name}"}));
        assert_eq!(sent["dedup_key"], "site x");
    }

    #[test]
    fn the_routing_key_is_a_secret_that_must_be_there() {
        let settings = json!({"secret": "other"});
        let failure =
            transform(&device("created"), &testing::webhook(settings.clone())).unwrap_err();
        assert!(failure.message.contains("`other`"), "{failure}");
        testing::set_secret("other", "handle_2");
        assert_eq!(
            alert(&device("created"), settings)["routing_key"],
            "handle_2"
        );
    }

    #[test]
    fn settings_that_do_not_fit_are_refused_when_the_webhook_is_saved() {
        for (settings, words) in [
            (
                json!({"severity": {"default": "fatal"}}),
                "settings.severity.default",
            ),
            (
                json!({"action": {"map": {"created": "open"}}}),
                "settings.action.map.created",
            ),
            (
                json!({"severity": {"from": "data"}}),
                "settings.severity.from",
            ),
            (json!({"sumary": ""}), "sumary"),
            (json!({"base_url": "netbox"}), "settings.base_url"),
            (json!({"details": {"a": "b"}}), "settings.details.a"),
        ] {
            let failure = check(&testing::webhook(settings.clone())).unwrap_err();
            assert!(failure.message.contains(words), "{settings}: {failure}");
        }
    }
}
