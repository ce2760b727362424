"""Events as launches of AWX or Ansible Automation Platform job templates.

The endpoint is `POST …/job_templates/ID/launch/` or `…/workflow_job_templates/ID/launch/`: what it takes, and that it
ignores what the template does not prompt for, is at
https://docs.ansible.com/projects/awx/en/latest/rest_api/api_ref.html and in the API's own pages of these addresses.
"""

from typing import Any
from urllib.parse import quote

from hookbox import Decision, Event, Failure, Webhook, secret, send

# Where the API is: AWX and AAP up to 2.4, then AAP from 2.5 on, whose gateway stands before several APIs.
APIS = ("/api/v2", "/api/controller/v2")
KINDS = {"job": "job_templates", "workflow": "workflow_job_templates"}
KEYS = {"template": (int, str), "kind": str, "api": str, "secret": str, "limit": str, "inventory": int, "extra_vars": dict}

# In a pattern of hosts these mean more than a name, and so do these names
# (https://docs.ansible.com/projects/ansible/latest/inventory_guide/intro_patterns.html).
SPECIAL = set(",:&!*?[]~@\\ \t\r\n")
RESERVED = {"all", "ungrouped", "localhost"}


def transform(event: Event, webhook: Webhook) -> Decision:
    """Launches the template that the settings name, with the event as a variable."""
    settings = checked(webhook.settings)
    body: dict[str, Any] = {"extra_vars": extra_vars(event, settings.get("extra_vars"))}
    if "limit" in settings:
        body["limit"] = limit(event, settings["limit"])
    if "inventory" in settings:
        body["inventory"] = settings["inventory"]
    name = settings.get("secret", "awx")
    token = secret(name)
    if not token:
        raise Failure(f"there is no secret `{name}`: store one of this name, or let the webhook's settings name another")
    return send(method="POST", url=url(webhook, settings), headers={"Authorization": f"Bearer {token}"}, json=body)


def check(webhook: Webhook) -> None:
    """Says when a webhook is saved what is wrong with its settings."""
    checked(webhook.settings)


def checked(settings: Any) -> dict[str, Any]:
    """The settings, of which all are of the right type."""
    settings = {} if settings is None else settings
    if not isinstance(settings, dict):
        raise wrong(": must be an object")
    for key, value in settings.items():
        if key not in KEYS:
            raise wrong(f": unknown key `{key}`, expected one of {', '.join(KEYS)}")
        if not isinstance(value, KEYS[key]) or isinstance(value, bool):
            raise wrong(f".{key}: is of the wrong type")
    if settings.get("template", "") == "":
        raise wrong(": `template` is missing: the number of the template, or its named URL such as `Deploy++Default`")
    if settings.get("kind", "job") not in KINDS:
        raise wrong(f".kind: must be one of {', '.join(KINDS)}")
    if settings.get("api", APIS[0]) not in APIS:
        raise wrong(f".api: must be one of {', '.join(APIS)}")
    if any("}" not in part for part in settings.get("limit", "").split("{/")[1:]):
        raise wrong(".limit: a `{/` lacks its `}`")
    for name, pointer in settings.get("extra_vars", {}).items():
        if not isinstance(pointer, str) or not pointer.startswith("/"):
            raise wrong(f".extra_vars.{name}: must be a JSON pointer into the event, such as `/data/name`")
    return settings


def wrong(message: str) -> Failure:
    return Failure(f"settings{message}", field="settings")


def url(webhook: Webhook, settings: dict[str, Any]) -> str:
    base = webhook.payload_url.rstrip("/") + settings.get("api", APIS[0])
    # in a named URL, + is a separator
    template = quote(str(settings["template"]), safe="+")
    return f"{base}/{KINDS[settings.get('kind', 'job')]}/{template}/launch/"


def extra_vars(event: Event, chosen: dict[str, str] | None) -> dict[str, Any]:
    """The chosen values, or the event as a whole under a name of its own, so that none of it replaces a variable."""
    if chosen is None:
        return {"hookbox_event": event}
    values = {name: at(event, pointer) for name, pointer in chosen.items()}
    return {name: value for name, value in values.items() if value is not None}


def limit(event: Event, template: str) -> str:
    """The hosts. What the owner of the webhook writes is a pattern; what the event puts into it must be a name, or
    whoever names objects would choose the hosts.
    """
    before, *parts = template.split("{/")
    for part in parts:
        pointer, _, after = part.partition("}")
        value = at(event, f"/{pointer}")
        name = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
        if not name or name in RESERVED or name.startswith("-") or SPECIAL & set(name):
            raise Failure(f"what stands at /{pointer} of the event cannot be the name of a host, so nothing is launched")
        before += name + after
    return before


def at(event: Any, pointer: str) -> Any:
    """What stands at a JSON pointer (RFC 6901), or None."""
    value = event
    for key in pointer.split("/")[1:]:
        key = key.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.isascii() and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value
