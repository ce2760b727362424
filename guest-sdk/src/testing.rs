//! For a transformer's own tests, which run natively: a stand-in for the host, events and webhooks, and samples
//! that are checked. The stand-in belongs to the thread, so tests do not disturb each other.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{Decision, Event, Failure, Level, Request, Webhook};

pub use crate::samples::check_samples;

#[derive(Default)]
struct Host {
    secrets: BTreeMap<String, String>,
    logs: Vec<(Level, String)>,
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::default();
}

/// Lets [`crate::secret`] know a secret, by the handle it shall return.
pub fn set_secret(name: impl Into<String>, handle: impl Into<String>) {
    HOST.with_borrow_mut(|host| host.secrets.insert(name.into(), handle.into()));
}

/// The lines logged on this thread since the last call.
#[must_use]
pub fn take_logs() -> Vec<(Level, String)> {
    HOST.with_borrow_mut(|host| std::mem::take(&mut host.logs))
}

/// What [`render`] saw. One of `request`, `skip` and `failure` is there.
#[derive(Debug, Default)]
pub struct Rendered {
    /// The request that would be sent.
    pub request: Option<Request>,
    /// Why nothing would be.
    pub skip: Option<String>,
    /// Why there is no decision.
    pub failure: Option<Failure>,
    /// What was logged, in order.
    pub logs: Vec<(Level, String)>,
}

/// Runs a plugin as the host would, here. What it panics with, the test panics with.
#[must_use]
pub fn render(
    transform: fn(&Event, &Webhook) -> Result<Decision, Failure>,
    event: &Event,
    webhook: &Webhook,
) -> Rendered {
    drop(take_logs());
    let decision = transform(event, webhook);
    let mut rendered = Rendered {
        logs: take_logs(),
        ..Rendered::default()
    };
    match decision {
        Ok(Decision::Send(request)) => rendered.request = Some(request),
        Ok(Decision::Skip(reason)) => rendered.skip = Some(reason),
        Err(failure) => rendered.failure = Some(failure),
    }
    rendered
}

/// An event as NetBox sends it, of this type (`created`), object type (`dcim.site`) and object.
#[must_use]
#[expect(
    clippy::needless_pass_by_value,
    reason = "tests write `json!` in the place of an argument"
)]
pub fn event(event_type: &str, object_type: &str, data: Value) -> Event {
    Event::from(json!({
        "event": event_type,
        "timestamp": "2026-03-06T15:11:23.503186+00:00",
        "object_type": object_type,
        "username": "alice",
        "request_id": "17af32f0-852a-46ca-a7d4-33ecd0c13de6",
        "data": data,
    }))
}

/// A webhook for `https://example.com/hook` with these settings.
#[must_use]
pub fn webhook(settings: Value) -> Webhook {
    Webhook {
        name: "test".to_owned(),
        payload_url: "https://example.com/hook".to_owned(),
        settings,
        ..Webhook::default()
    }
}

pub(crate) fn secret(name: &str) -> Option<String> {
    HOST.with_borrow(|host| host.secrets.get(name).cloned())
}

pub(crate) fn log(level: Level, message: &str) {
    HOST.with_borrow_mut(|host| host.logs.push((level, message.to_owned())));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_logs_stand_in_for_the_host() {
        assert_eq!(crate::secret("token"), None);
        let failure = crate::required_secret("token").unwrap_err();
        assert!(failure.message.contains("`token`"), "{failure}");
        set_secret("token", "handle_1");
        assert_eq!(crate::secret("token").as_deref(), Some("handle_1"));
        crate::log(Level::Warn, "careful");
        assert_eq!(take_logs(), [(Level::Warn, "careful".to_owned())]);
        assert_eq!(take_logs(), []);
    }

    #[test]
    fn the_event_is_a_whole_one() {
        let event = event("created", "dcim.site", json!({"id": 1}));
        assert_eq!(event.event_type(), "created");
        assert!(event.timestamp().is_some());
        assert_eq!(event.at("/data/id"), Some(&json!(1)));
    }
}
