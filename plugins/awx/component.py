"""Joins the plugin to the world of wit/transformer.wit. There is nothing to change here."""

import sys

import hookbox
import plugin
import wit_world
from componentize_py_types import Err
from wit_world.imports import host, types


class _Host(hookbox.Host):
    def log(self, level: str, message: str) -> None:
        host.log(host.Level[level.upper()], message)

    def secret(self, name: str) -> str | None:
        return host.secret(name)


class _Log:
    """What is printed goes to the log: there is no other output."""

    def __init__(self, level: str):
        self.level = level
        self.line = ""

    def write(self, text: str) -> int:
        *lines, self.line = (self.line + text).split("\n")
        for line in lines:
            hookbox.log(line, self.level)
        return len(text)

    def flush(self) -> None:
        if self.line:
            hookbox.log(self.line, self.level)
            self.line = ""


class _Run:
    """One call: its host, its outputs, and the failure that it ends with."""

    def __enter__(self):
        hookbox.host = _Host()
        sys.stdout, sys.stderr = _Log("info"), _Log("warn")

    def __exit__(self, _type, error, _trace):
        sys.stdout.flush()
        sys.stderr.flush()
        if isinstance(error, hookbox.Failure):
            kind = types.FailureKind[error.kind.upper().replace("-", "_")]
            raise Err(types.Failure(kind, error.field, error.line, error.message)) from None


class WitWorld(wit_world.WitWorld):
    def transform(self, event: str, webhook: str) -> types.Decision:
        with _Run():
            decision = hookbox.run(plugin.transform, event, webhook)
        if isinstance(decision, hookbox.Skip):
            return types.Decision_Skip(decision.reason)
        headers = [types.Header(name, value) for name, value in decision.headers]
        return types.Decision_Send(types.Request(decision.method, decision.url, headers, decision.body))

    def check(self, webhook: str) -> None:
        with _Run():
            hookbox.run_check(getattr(plugin, "check", None), webhook)
