from typing import Any

from hookbox import Decision, Event, Failure, Webhook, secret, send, skip


def transform(event: Event, webhook: Webhook) -> Decision:
    """Posts a line about the object to Slack.

    The webhook's `settings` are `{"channel": "#network", "skip": ["deleted"]}`; `skip` names events that are not sent.
    """
    settings = checked(webhook.settings)
    if event["event"] in settings["skip"]:
        return skip(f"{event['event']} events are skipped")
    data = event.get("data") or {}
    name = data.get("name") or data.get("display") or "without a name"
    text = f"{event['object_type']} {name}: {event['event']} by {event.get('username', 'somebody')}"
    # What `secret` gives is a handle: the host puts the secret in its place once this code has ended.
    token = secret("token")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return send(headers=headers, json={"channel": settings["channel"], "text": text})


def check(webhook: Webhook) -> None:
    """Says when a webhook is saved what is wrong with its settings."""
    checked(webhook.settings)


def checked(settings: Any) -> dict[str, Any]:
    settings = {"skip": []} | (settings or {})
    if not settings.get("channel"):
        raise Failure('settings: they lack a channel, such as {"channel": "#network"}', field="settings")
    if not isinstance(settings["skip"], list):
        raise Failure("settings: `skip` must be a list of events", field="settings")
    for key in settings.keys() - {"channel", "skip"}:
        raise Failure(f"settings: unknown key `{key}`, expected channel or skip", field="settings")
    return settings
