"""Written by `hookbox plugin build`, anew each time: what a component starts with.

A component holds the memory of the interpreter as it was after the imports, and nothing else of this machine. So what
can be needed later is imported now, and what must not be as it was now is put right here.
"""

import importlib
import importlib.abc
import os
import random
import sys

import hookbox_modules

_running = False


class _Random(random.Random):
    """Seeded by the host, the first time that an event asks: all events would see the numbers of the build."""

    _seeded = False

    def _seed(self):
        if _running and not self._seeded:
            self._seeded = True
            self.seed(int.from_bytes(os.urandom(16), "big"))

    def random(self):
        self._seed()
        return super().random()

    def getrandbits(self, k):
        self._seed()
        return super().getrandbits(k)


def _replace_random():
    """In the module that all share, before anybody has taken a function out of it."""
    before, after = random._inst, _Random()
    for name, value in list(vars(random).items()):
        if getattr(value, "__self__", None) is before:
            setattr(random, name, getattr(after, name))
    random._inst = after


class _Missing(importlib.abc.MetaPathFinder):
    """Says why a module is not found: the last to be asked."""

    def find_spec(self, name, path=None, target=None):
        if _running:
            raise ModuleNotFoundError(
                f"No module named {name!r} in the component, which has no files: name it in an `import` statement of "
                "the project, so that the build puts it in",
                name=name,
            )


def _import(names):
    for name in names:
        try:
            importlib.import_module(name)
        except BaseException:
            # It is not there, or not for this machine. Whoever imports it at run time is told so.
            pass


def _log_to_host(hookbox):
    """`logging` goes to the attempt's log, unless the project has set it up otherwise."""
    logging = sys.modules.get("logging")
    if logging is None or logging.root.handlers:
        return
    levels = [(logging.ERROR, "error"), (logging.WARNING, "warn"), (logging.INFO, "info")]

    class Handler(logging.Handler):
        def emit(self, record):
            level = next((name for least, name in levels if record.levelno >= least), "debug")
            text = self.format(record)
            if record.name != "root":
                text = f"{record.name}: {text}"
            for line in text.splitlines() or [""]:
                hookbox.log(line, level)

    logging.root.addHandler(Handler())


_replace_random()
# A codec is a module that is looked for when its name is used the first time.
_import(f"encodings.{name}" for name in hookbox_modules.CODECS)
import component  # noqa: E402  what the project exports

_import(hookbox_modules.NAMES)
_log_to_host(importlib.import_module("hookbox"))


def _start():
    global _running
    if not _running:
        _running = True
        # There are no files to look for modules in.
        sys.path.clear()
        sys.meta_path.append(_Missing())


class WitWorld(component.WitWorld):
    def transform(self, event, webhook):
        _start()
        return super().transform(event, webhook)

    def check(self, webhook):
        _start()
        check = getattr(super(), "check", None)
        # A project need not have a check.
        if check is not None and not getattr(check, "__isabstractmethod__", False):
            check(webhook)
