"""What a transformer needs of hookbox, as it came with the hookbox that made this project.

Plugin tests run on this file alone, without WebAssembly.
"""

import dataclasses
import json as _json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]
"""The event's context, parsed: `event`, `timestamp`, `object_type`, `data` and whatever else it carries."""


@dataclass
class Webhook:
    """The webhook, parsed."""

    name: str = ""
    payload_url: str = ""
    http_method: str = "POST"
    http_content_type: str = "application/json"
    additional_headers: str = ""
    body_template: str = ""
    body_escape: str = "none"
    settings: Any = None
    """Any JSON value that the owner of the webhook hands to the plugin; None by default."""


@dataclass
class Send:
    """A request; see `send`."""

    method: str | None
    url: str | None
    headers: list[tuple[str, str]]
    body: bytes


@dataclass
class Skip:
    """Nothing is sent; see `skip`."""

    reason: str


Decision = Send | Skip
Transform = Callable[[Event, Webhook], Decision]


class Failure(Exception):
    """Raise this where there is no decision, with one sentence for the owner of the webhook: what went wrong and
    what to do. `field` is the webhook's field at fault, `line` the line in it, from 1; `kind` is `plugin-error`,
    `template-syntax`, `template-runtime`, `out-of-fuel`, `out-of-memory` or `output-too-large`. Any other exception
    is a failure of kind `plugin-error` too.
    """

    def __init__(self, message: str, *, kind: str = "plugin-error", field: str | None = None, line: int | None = None):
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.field = field
        self.line = line


_UNSET = object()


def send(
    *,
    method: str | None = None,
    url: str | None = None,
    headers: Mapping[str, str] | list[tuple[str, str]] = (),
    json: Any = _UNSET,
    body: str | bytes = b"",
) -> Send:
    """Sends this request. The method and the URL are the webhook's unless given; with a body, the content type is
    too. `json` is any value that becomes JSON; `body` is sent as it is.
    """
    if json is not _UNSET:
        body = _json.dumps(json, ensure_ascii=False, separators=(",", ":"))
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return Send(
        method,
        url,
        [(str(name), str(value)) for name, value in pairs],
        body.encode() if isinstance(body, str) else bytes(body),
    )


def skip(reason: str) -> Skip:
    """Sends nothing, for this reason; the delivery ends as `skipped`."""
    return Skip(str(reason))


class Host:
    """What there is of the host. The component and `render` each set one."""

    def log(self, level: str, message: str) -> None:
        pass

    def secret(self, name: str) -> str | None:
        return None


host = Host()


def log(message: object, level: str = "info") -> None:
    """Adds a line to the attempt's log, which the owner of the webhook reads: 16 KiB in all. `level` is `debug`,
    `info`, `warn` or `error`. `print` does too.
    """
    host.log(level, str(message))


def secret(name: str) -> str | None:
    """A handle for the tenant's secret of this name, if there is one. The handle is text without meaning; wherever
    it stands in the request, the host puts the secret's value, after the plugin has ended.
    """
    return host.secret(name)


def run(transform: Transform, event: str, webhook: str) -> Decision:
    """Calls a plugin with the JSON texts that the host hands over; raises nothing but `Failure`."""
    try:
        known = {f.name for f in dataclasses.fields(Webhook)}
        given = {key: value for key, value in _json.loads(webhook).items() if key in known}
        parsed = Webhook(**given)
        decision = transform(_json.loads(event), parsed)
        if isinstance(decision, Send):
            return _complete(decision, parsed)
        if isinstance(decision, Skip):
            return decision
        raise Failure("the plugin returned neither send(...) nor skip(...)")
    except Failure:
        raise
    except BaseException as error:
        # also what is no Exception, such as SystemExit: nothing else is there to catch it
        raise Failure(f"{type(error).__name__}: {error} ({_place(error)})") from error


def _complete(request: Send, webhook: Webhook) -> Send:
    headers = list(request.headers)
    if request.body and all(name.lower() != "content-type" for name, _ in headers):
        headers.append(("Content-Type", webhook.http_content_type or "application/json"))
    return Send(request.method or webhook.http_method, request.url or webhook.payload_url, headers, request.body)


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "nowhere"
    file = trace.tb_frame.f_code.co_filename.rsplit("/", 1)[-1]
    return f"{file}, line {trace.tb_lineno}"


@dataclass
class Rendered:
    """What `render` saw."""

    decision: Decision | None = None
    failure: Failure | None = None
    logs: list[tuple[str, str]] = field(default_factory=list)


def render(transform: Transform, event: Any, webhook: Any, *, secrets: Mapping[str, str] | None = None) -> Rendered:
    """For tests: runs a plugin as the host would, here. `secrets` are the handles that `secret` gives."""
    global host
    rendered = Rendered()

    class Recorder(Host):
        def log(self, level: str, message: str) -> None:
            rendered.logs.append((level, message))

        def secret(self, name: str) -> str | None:
            return (secrets or {}).get(name)

    before, host = host, Recorder()
    try:
        rendered.decision = run(transform, _json.dumps(event), _json.dumps(webhook))
    except Failure as failure:
        rendered.failure = failure
    finally:
        host = before
    return rendered
