from hookbox import Decision, Event, Failure, Webhook, secret, send, skip


def transform(event: Event, webhook: Webhook) -> Decision:
    """Posts a line about the object to Slack.

    The webhook's `settings` are `{"channel": "#network", "skip": ["deleted"]}`; `skip` names events that are not sent.
    """
    settings = webhook.settings or {}
    if not settings.get("channel"):
        raise Failure('the settings lack a channel, such as {"channel": "#network"}', field="settings")
    if event["event"] in settings.get("skip", []):
        return skip(f"{event['event']} events are skipped")
    data = event.get("data") or {}
    name = data.get("name") or data.get("display") or "without a name"
    text = f"{event['object_type']} {name}: {event['event']} by {event.get('username', 'somebody')}"
    # What `secret` gives is a handle: the host puts the secret in its place once this code has ended.
    token = secret("token")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return send(headers=headers, json={"channel": settings["channel"], "text": text})
