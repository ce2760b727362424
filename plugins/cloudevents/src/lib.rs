//! Events as CloudEvents 1.0.2, in the HTTP binding's structured or binary content mode.
//!
//! Sections named `CE` are those of the CloudEvents specification 1.0.2, `HTTP` those of its HTTP protocol
//! binding and `JSON` those of its JSON event format, all at <https://github.com/cloudevents/spec/tree/v1.0.2>.

mod attributes;
mod settings;

use hookbox_guest::{Decision, Event, Failure, Webhook};
use serde_json::{Map, Value};

use attributes::Attribute;
use settings::{Mode, Settings};

hookbox_guest::transformer!(transform, check);

/// CE 3.1: the media type of data that is JSON.
const JSON: &str = "application/json";
/// HTTP 3.2.1.
const STRUCTURED: &str = "application/cloudevents+json; charset=UTF-8";

/// Makes a CloudEvent of the event and sends it with the webhook's method to its URL.
///
/// # Errors
/// Settings that do not fit, and an event that has no source because neither it nor the settings name one.
fn transform(event: &Event, webhook: &Webhook) -> Result<Decision, Failure> {
    let settings = Settings::of(webhook)?;
    let data = event.at(settings.data(event));
    let mut attributes = attributes::all(event, &settings)?;
    if data.is_some() {
        attributes.push(("datacontenttype".to_owned(), Attribute::text(JSON)));
    }
    let request = webhook.request();
    let request = match settings.mode {
        Mode::Structured => {
            let mut members: Map<_, _> = attributes
                .into_iter()
                .map(|(name, value)| (name, value.to_json()))
                .collect();
            if let Some(data) = data {
                // JSON 3.1.1: JSON data stands there as JSON
                members.insert("data".to_owned(), data.clone());
            }
            request
                .header("Content-Type", STRUCTURED)
                .body(Value::Object(members).to_string())
        }
        Mode::Binary => {
            let request = match data {
                Some(data) => request.json(data)?,
                None => request,
            };
            // HTTP 3.1.1: that attribute is the Content-Type header
            let headers = attributes
                .into_iter()
                .filter(|(name, _)| name != "datacontenttype");
            headers.fold(request, |request, (name, value)| {
                request.header(format!("ce-{name}"), value.to_header())
            })
        }
    };
    Ok(request.into())
}

/// Says when a webhook is saved what is wrong with its settings.
///
/// # Errors
/// The first thing that is.
fn check(webhook: &Webhook) -> Result<(), Failure> {
    Settings::of(webhook).map(drop)
}

#[cfg(test)]
mod tests {
    use hookbox_guest::{Request, testing};
    use serde_json::json;

    use super::*;

    fn sent(event: &Event, settings: Value) -> Request {
        match transform(event, &testing::webhook(settings)) {
            Ok(Decision::Send(request)) => request,
            other => panic!("not sent: {other:?}"),
        }
    }

    fn structured(event: &Event, settings: Value) -> Value {
        serde_json::from_slice(&sent(event, settings).body).unwrap()
    }

    #[test]
    fn samples_come_out_as_written() {
        testing::check_samples(env!("CARGO_MANIFEST_DIR"), transform);
    }

    #[test]
    fn an_event_without_an_id_gets_the_same_one_whenever_it_is_rendered() {
        let id = |data| {
            structured(
                &testing::event("created", "dcim.site", data),
                json!({"source": "/a"}),
            )["id"]
                .clone()
        };
        assert_eq!(id(json!({"id": 1})), id(json!({"id": 1})));
        assert_ne!(id(json!({"id": 1})), id(json!({"id": 2})));
        assert_eq!(id(json!({})).as_str().map(str::len), Some(32));
    }

    #[test]
    fn an_event_that_came_as_a_cloudevent_keeps_what_names_it() {
        let event = Event::from(json!({
            "event": "com.example.done", "object_type": "/shop", "timestamp": "2026-03-06T15:11:23Z",
            "data": {"n": 1}, "specversion": "1.0", "id": "A-1", "source": "/shop", "type": "com.example.done",
            "subject": "order/7",
        }));
        let relayed = structured(&event, json!({"source": "/ignored", "type_prefix": "x."}));
        assert_eq!(
            relayed,
            json!({
                "specversion": "1.0", "id": "A-1", "source": "/shop", "type": "com.example.done",
                "subject": "order/7", "time": "2026-03-06T15:11:23Z", "datacontenttype": "application/json",
                "data": {"n": 1},
            })
        );
    }

    #[test]
    fn a_time_that_is_none_and_data_that_is_not_there_are_left_out() {
        let event = Event::from(json!({"event": "x", "timestamp": "yesterday"}));
        let settings = json!({"source": "/a", "data": "/data"});
        assert_eq!(
            structured(&event, settings.clone()),
            json!({"specversion": "1.0", "id": structured(&event, settings)["id"], "source": "/a", "type": "x"})
        );
        let binary = sent(
            &event,
            json!({"source": "/a", "data": "/data", "mode": "binary"}),
        );
        assert_eq!(
            (binary.header_value("content-type"), &*binary.body),
            (None, &b""[..])
        );
    }

    #[test]
    fn binary_headers_are_percent_encoded_and_hold_nothing_but_printable_ascii() {
        let event = testing::event(
            "created",
            "dcim.site",
            json!({"name": "Zürich \"1\" 50%\n😀"}),
        );
        let request = sent(
            &event,
            json!({"source": "/a", "mode": "binary", "subject": "{/data/name}"}),
        );
        // the line end is no character that an attribute may have
        assert_eq!(
            request.header_value("ce-subject"),
            Some("Z%C3%BCrich%20%221%22%2050%25%F0%9F%98%80")
        );
    }

    #[test]
    fn extensions_have_the_types_that_attributes_may_have() {
        let event = testing::event(
            "created",
            "dcim.site",
            json!({"a": true, "b": 7, "c": 3_000_000_000_u64, "d": 1.5, "e": null, "f": [1], "g": "x"}),
        );
        let extensions: Map<_, _> = "abcdefg"
            .chars()
            .map(|c| (format!("ext{c}"), json!(format!("/data/{c}"))))
            .collect();
        let made = structured(&event, json!({"source": "/a", "extensions": extensions}));
        assert_eq!(made["exta"], json!(true));
        assert_eq!(made["extb"], json!(7));
        assert_eq!(made["extc"], json!("3000000000"));
        assert_eq!(made["extd"], json!("1.5"));
        assert_eq!(made["extg"], json!("x"));
        assert!(made.get("exte").is_none() && made.get("extf").is_none());
        assert_eq!(testing::take_logs().len(), 1, "the list is reported");
    }

    #[test]
    fn settings_that_would_make_no_cloudevent_are_refused_when_the_webhook_is_saved() {
        for (settings, words) in [
            (json!({"source": ""}), "settings.source"),
            (json!({"source": "a b"}), "settings.source"),
            (json!({"source": "/a", "sorce": 1}), "sorce"),
            (json!({"source": "/a", "mode": "batch"}), "settings.mode"),
            (
                json!({"source": "/a", "dataschema": "schema"}),
                "settings.dataschema",
            ),
            (json!({"source": "/a", "data": "data"}), "settings.data"),
            (
                json!({"source": "/a", "extensions": {"Tenant": "/x"}}),
                "settings.extensions",
            ),
            (
                json!({"source": "/a", "extensions": {"data": "/x"}}),
                "settings.extensions",
            ),
            (
                json!({"source": "/a", "extensions": {"tenant": "x"}}),
                "settings.extensions.tenant",
            ),
        ] {
            let failure = check(&testing::webhook(settings.clone())).unwrap_err();
            assert!(failure.message.contains(words), "{settings}: {failure}");
            assert_eq!(failure.field.as_deref(), Some("settings"));
        }
    }

    #[test]
    fn without_any_source_nothing_is_sent() {
        let event = testing::event("created", "dcim.site", json!({}));
        let failure = transform(&event, &testing::webhook(json!({}))).unwrap_err();
        assert!(failure.message.contains("`source`"), "{failure}");
    }
}
