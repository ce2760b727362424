"""What a transformer needs of hookbox, as it came with the hookbox that made this project.

Plugin tests run on this file alone, without WebAssembly.
"""

import dataclasses
import json as _json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

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
Check = Callable[[Webhook], None]
"""What a plugin may define as `check`: called when a webhook is saved. What it raises refuses the webhook, so it looks
only for what is wrong whatever the event, such as settings that do not fit."""


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

    def decide() -> Decision:
        parsed = _parsed(webhook)
        decision = transform(_json.loads(event), parsed)
        if isinstance(decision, Send):
            return _complete(decision, parsed)
        if isinstance(decision, Skip):
            return decision
        raise Failure("the plugin returned neither send(...) nor skip(...)")

    return _attempt(decide)


def run_check(check: Check | None, webhook: str) -> None:
    """Calls a plugin's check, if it has one, likewise."""
    if check is not None:
        _attempt(lambda: check(_parsed(webhook)))


def _attempt(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Failure:
        raise
    except BaseException as error:
        # also what is no Exception, such as SystemExit: nothing else is there to catch it
        for line in _traceback(error):
            log(line, "error")
        raise Failure(f"{type(error).__name__}: {error}{_place(error)}") from error


def _parsed(webhook: str) -> Webhook:
    known = {f.name for f in dataclasses.fields(Webhook)}
    return Webhook(**{key: value for key, value in _json.loads(webhook).items() if key in known})


def _complete(request: Send, webhook: Webhook) -> Send:
    headers = list(request.headers)
    if request.body and all(name.lower() != "content-type" for name, _ in headers):
        headers.append(("Content-Type", webhook.http_content_type or "application/json"))
    return Send(request.method or webhook.http_method, request.url or webhook.payload_url, headers, request.body)


# Where the standard library is. Some of its modules are part of the interpreter and lie nowhere; this one does.
_LIBRARY = os.path.dirname(os.path.dirname(_json.__file__)) + "/"
_FRAMES = 20


def _frames(error: BaseException) -> list[tuple[str, int, str]]:
    """File, line and function of the last calls, the last one last, without those of hookbox and the interpreter."""
    traces, trace = [], error.__traceback__
    # There may be a thousand, and little fuel left: no more is done with each than must be.
    while trace is not None:
        traces.append(trace)
        trace = trace.tb_next
    frames = []
    for trace in traces[-_FRAMES:]:
        code = trace.tb_frame.f_code
        name = _short(code.co_filename)
        if name not in ("hookbox.py", "hookbox_entry.py") and not name.startswith("<frozen"):
            frames.append((code.co_filename, trace.tb_lineno, code.co_name))
    return frames


def _traceback(error: BaseException) -> list[str]:
    """What Python writes of an error, without the lines' text: a component has no files to read it from."""
    lines, chain = [], [error]
    while len(chain) < 5 and (before := chain[-1].__cause__ or chain[-1].__context__):
        chain.append(before)
    for cause in reversed(chain):
        lines.append("Traceback (most recent call last):")
        for file, number, function in _frames(cause):
            lines.append(f"  {_short(file)}, line {number}, in {function}")
        lines.append(f"{type(cause).__name__}: {cause}")
    return lines


def _place(error: BaseException) -> str:
    """Where the plugin was, whatever it had called of the standard library."""
    frames = _frames(error)
    own = [frame for frame in frames if not frame[0].startswith(_LIBRARY)] or frames
    return f" ({_short(own[-1][0])}, line {own[-1][1]})" if own else ""


def _short(file: str) -> str:
    return file.rsplit("/", 1)[-1]


class LogLine(NamedTuple):
    """What was logged, and how loud."""

    level: str
    message: str


@dataclass
class Rendered:
    """What `render` saw. One of `request`, `skip` and `failure` is there."""

    request: Send | None = None
    skip: str | None = None
    failure: Failure | None = None
    logs: list[LogLine] = field(default_factory=list)


def render(transform: Transform, event: Any, webhook: Any, *, secrets: Mapping[str, str] | None = None) -> Rendered:
    """For tests: runs a plugin as the host would, here. `secrets` are the handles that `secret` gives."""
    global host
    rendered = Rendered()

    class Recorder(Host):
        def log(self, level: str, message: str) -> None:
            rendered.logs.append(LogLine(level, message))

        def secret(self, name: str) -> str | None:
            return (secrets or {}).get(name)

    before, host = host, Recorder()
    try:
        decision = run(transform, _json.dumps(event), _json.dumps(webhook))
        if isinstance(decision, Skip):
            rendered.skip = decision.reason
        else:
            rendered.request = decision
    except Failure as failure:
        rendered.failure = failure
    finally:
        host = before
    return rendered
