//! A hookbox transformer: it decides what is sent for an event, or that nothing is.

use hookbox_guest::{Decision, Event, Failure, Request, Webhook};
use serde_json::json;

hookbox_guest::transformer!(transform);

/// Sends the event's name and the object's name to the webhook's URL. The webhook's `settings` may be
/// `{"skip": ["deleted"]}`: events of these names are not sent.
///
/// # Errors
/// None of its own; what is wrong with an event is the sender's business.
fn transform(event: &Event, webhook: &Webhook) -> Result<Decision, Failure> {
    let name = event.str_at("/event")?.unwrap_or("unknown");
    let skipped = webhook.settings["skip"].as_array();
    if skipped.is_some_and(|names| names.iter().any(|skip| skip == name)) {
        return Ok(Decision::skip(format!("{name} events are skipped")));
    }
    let object = event.at("/data/name")?;
    let mut request = Request::new(&webhook.http_method, &webhook.payload_url)
        .json(&json!({ "event": name, "object": object }));
    // What `secret` gives is a handle: the host puts the secret in its place once this code has ended.
    if let Some(token) = hookbox_guest::secret("token") {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    Ok(request.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook() -> Webhook {
        Webhook::from_text(include_str!("../webhook.json")).unwrap()
    }

    #[test]
    fn the_name_of_the_object_is_sent() {
        hookbox_guest::testing::set_secret("token", "handle");
        let event = Event::from_text(include_str!("../event.json"));
        let Ok(Decision::Send(request)) = transform(&event, &webhook()) else {
            panic!("a request was to be sent");
        };
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body, json!({ "event": "created", "object": "Zürich" }));
        let authorization = request.headers.iter().find(|(name, _)| name == "Authorization");
        assert_eq!(authorization.unwrap().1, "Bearer handle");
    }

    #[test]
    fn what_the_settings_name_is_skipped() {
        let mut webhook = webhook();
        webhook.settings = json!({ "skip": ["deleted"] });
        let event = Event::from_text(r#"{"event": "deleted", "data": {}}"#);
        assert!(matches!(transform(&event, &webhook), Ok(Decision::Skip(_))));
    }
}
