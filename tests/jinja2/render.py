"""Renders templates with Jinja2 as NetBox does: the reference that the guest is compared with.

Reads one request a line from standard input, `{"template": …, "context": {…}}`, and answers each with a line:
`{"text": …}`, or `{"error": "syntax" | "runtime", "class": …, "message": …}`.
"""

import json
import re
import signal
import sys

from jinja2 import TemplateSyntaxError
from jinja2.sandbox import SandboxedEnvironment

# No compiled file beside the sources.
sys.dont_write_bytecode = True
from filters import FILTERS


class TooSlow(Exception):
    pass


def too_slow(*_):
    raise TooSlow("no result within 5 seconds")


def answer(request):
    # `int` and `float` as JSON has them; a number that no float holds is infinite in Python.
    try:
        environment = SandboxedEnvironment()
        environment.filters |= FILTERS
        signal.alarm(5)
        return {"text": environment.from_string(request["template"]).render(**request["context"])}
    except TemplateSyntaxError as error:
        return {"error": "syntax", "class": type(error).__name__, "message": str(error)}
    except Exception as error:
        return {"error": "runtime", "class": type(error).__name__, "message": str(error)[:300]}
    finally:
        signal.alarm(0)


sys.set_int_max_str_digits(0)
signal.signal(signal.SIGALRM, too_slow)
for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
