"""Run by `hookbox render --native`: runs the project's component.py here, with a host that this file is, and writes down
what it answers. What comes from standard input is the event, the webhook and the secrets' handles.
"""

import base64
import enum
import json
import sys
import types
from dataclasses import dataclass
from typing import Any

project, answer = sys.argv[1:]
given = json.load(sys.stdin)
logs: list[dict[str, str]] = []


class Level(enum.Enum):
    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


class FailureKind(enum.Enum):
    TEMPLATE_SYNTAX = "template-syntax"
    TEMPLATE_RUNTIME = "template-runtime"
    OUT_OF_FUEL = "out-of-fuel"
    OUT_OF_MEMORY = "out-of-memory"
    OUTPUT_TOO_LARGE = "output-too-large"
    PLUGIN_ERROR = "plugin-error"


@dataclass
class Header:
    name: str
    value: str


@dataclass
class Request:
    method: str
    url: str
    headers: list[Header]
    body: bytes


@dataclass
class Failure:
    kind: FailureKind
    field: str | None
    line: int | None
    message: str


@dataclass
class Decision_Send:
    value: Request


@dataclass
class Decision_Skip:
    value: str


class Err(Exception):
    def __init__(self, value: Any):
        super().__init__(value)
        self.value = value


class WitWorld:
    pass


def log(level: Level, message: str) -> None:
    logs.append({"level": level.value, "message": message})


def module(name: str, **contents: Any) -> types.ModuleType:
    made = types.ModuleType(name)
    vars(made).update(contents)
    sys.modules[name] = made
    return made


# The modules that componentize-py makes of the world.
world = module(
    "wit_world.imports.types",
    Decision=Decision_Send | Decision_Skip,
    Decision_Send=Decision_Send,
    Decision_Skip=Decision_Skip,
    Failure=Failure,
    FailureKind=FailureKind,
    Header=Header,
    Request=Request,
)
host = module("wit_world.imports.host", Level=Level, log=log, secret=given["secrets"].get)
module("wit_world", WitWorld=WitWorld, imports=module("wit_world.imports", host=host, types=world))
module("componentize_py_types", Err=Err)
sys.path.insert(0, project)
out, err = sys.stdout, sys.stderr
import component  # noqa: E402

decided: dict[str, Any] = {}
try:
    decision = component.WitWorld().transform(given["event"], given["webhook"])
    if isinstance(decision, Decision_Skip):
        decided["skip"] = decision.value
    else:
        request = decision.value
        decided["send"] = {
            "method": request.method,
            "url": request.url,
            "headers": [[header.name, header.value] for header in request.headers],
            "body": base64.b64encode(request.body).decode(),
        }
except Err as failed:
    failure = failed.value
    decided["failure"] = {
        "kind": failure.kind.value,
        "field": failure.field,
        "line": failure.line,
        "message": failure.message,
    }
finally:
    sys.stdout, sys.stderr = out, err
with open(answer, "w", encoding="utf-8") as file:
    json.dump({**decided, "logs": logs}, file)
