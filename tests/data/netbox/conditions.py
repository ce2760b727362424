"""Says of an event rule's conditions what NetBox 4.6 and 4.7 say, with Python's own operators and `re`.

Reads a case a line from standard input, {"conditions": ..., "data": ..., "snapshots": ...} (without the last for
an event that has none), and answers each with a line, {"4.6": ..., "4.7": ...}: none (there are no conditions),
true, false, invalid (NetBox logs an error, and the rule does not fire), refused (a validation error when the rule
is saved), crash-on-save and crash (any other exception, HTTP 500).

That these are NetBox's answers is not taken on trust: the tests hold it against the recorded ones.
"""
import json
import operator
import re
import sys
import warnings

NOTHING = object()
COMPARISONS = {
    "eq": operator.eq,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "in": lambda found, value: found in value,
    "contains": lambda found, value: value in found,
    "regex": lambda found, value: re.match(value, found) is not None,
}
CHANGES = ("changed", "unchanged")
# By the exact type of `value`: bool is no int here.
NUMERIC = ("eq", "gt", "gte", "lt", "lte", "contains")
TAKES = {
    str: ("eq", "contains", "regex"),
    bool: ("eq", "contains"),
    int: NUMERIC,
    float: NUMERIC,
    list: ("eq", "in", "contains"),
    type(None): ("eq",),
}
OPPOSITE = {"prechange": "postchange", "postchange": "prechange"}


class Refused(Exception):
    """A validation error."""


class Invalid(Exception):
    """Evaluation fails, and NetBox expects that it can."""


def check(version, conditions):
    """What happens when the rule is saved. Any exception but Refused is a crash."""
    if type(conditions) is not dict:
        raise Refused
    if len(conditions) != 1:
        try:
            return check_leaf(version, conditions)
        except TypeError:
            raise Refused
    key = next(iter(conditions)).lower()
    if key not in ("and", "or"):
        raise Refused
    for member in conditions[key]:
        if is_group(member):
            check(version, member)
        else:
            check_leaf(version, member)


def is_group(member):
    return type(member) is dict and len(member) == 1 and next(iter(member)) in ("and", "or")


def check_leaf(version, leaf):
    required = {"attr", "value"} if version == "4.6" else {"attr"}
    if type(leaf) is not dict or not required <= set(leaf) <= {"attr", "value", "op", "negate"}:
        raise TypeError
    op, value = leaf.get("op", "eq"), leaf.get("value", NOTHING)
    if op in CHANGES and version != "4.6":
        if value is not NOTHING or leaf["attr"].startswith("snapshots."):
            raise Refused
    elif op not in list(COMPARISONS) or type(value) not in TAKES or op not in TAKES[type(value)]:
        raise Refused


def holds(conditions, event):
    if len(conditions) != 1:
        return event.leaf(**conditions)
    key = next(iter(conditions)).lower()
    each = (holds(m, event) if is_group(m) else event.leaf(**m) for m in conditions[key])
    return any(each) if key == "or" else all(each)


class Event46:
    """Conditions see the event's data alone."""

    def __init__(self, data, _snapshots):
        self.data = data

    def find(self, attr):
        at = self.data
        try:
            for key in attr.split("."):
                at = [(item or {})[key] for item in at] if isinstance(at, list) else (at or {})[key]
        except KeyError:
            raise Invalid
        return at

    def leaf(self, attr, value, op="eq", negate=False):
        found = self.find(attr)
        try:
            result = COMPARISONS[op](found, value)
        except TypeError:
            raise Invalid
        return not result if negate else result


def step(item, key):
    if item is None:
        return NOTHING
    if not isinstance(item, dict):
        raise TypeError
    return item.get(key, NOTHING)


def walk(at, keys, empty_list_is_nothing=False):
    for key in keys:
        if not isinstance(at, list):
            at = step(at, key)
            if at is NOTHING:
                return NOTHING
            continue
        if not at and empty_list_is_nothing:
            return NOTHING
        found = []
        for item in at:
            found.append(step(item, key))
            if found[-1] is NOTHING:
                return NOTHING
        at = found
    return at


class Event47:
    """Conditions see the snapshots too; what is no object counts as no data."""

    def __init__(self, data, snapshots):
        self.has_data = isinstance(data, dict)
        self.snapshots = snapshots
        self.seen = {**(data if self.has_data else {}), "snapshots": snapshots}

    def is_in_null_snapshot(self, attr):
        if not attr.startswith("snapshots.") or type(self.snapshots) is not dict:
            return False
        which, _, path = attr.removeprefix("snapshots.").partition(".")
        if which not in OPPOSITE or self.snapshots.get(which, NOTHING) is not None:
            return False
        other = self.snapshots.get(OPPOSITE[which])
        if path == "" or other is None:
            return True
        try:
            return walk(other, path.split("."), True) is not NOTHING
        except TypeError:
            return False

    def sides(self, attr):
        if type(self.snapshots) is not dict:
            raise Invalid
        found = []
        for which in OPPOSITE:
            try:
                found.append(walk(self.snapshots.get(which), attr.split("."), True))
            except TypeError:
                found.append(NOTHING)
        if found == [NOTHING, NOTHING]:
            raise Invalid
        return found

    def leaf(self, attr, value=NOTHING, op="eq", negate=False):
        if op in CHANGES:
            before, after = self.sides(attr)
            result = before == after if op == "unchanged" else before != after
            return not result if negate else result
        if not self.has_data and attr.split(".")[0] not in self.seen:
            return False
        is_null = self.is_in_null_snapshot(attr)
        try:
            found = None if is_null else walk(self.seen, attr.split("."))
            if found is NOTHING:
                raise Invalid
            result = COMPARISONS[op](found, value)
        except TypeError:
            if not is_null:
                raise Invalid
            result = False
        return not result if negate else result


def answer(version, kind, case):
    conditions = case["conditions"]
    if not conditions:
        return "none"
    try:
        check(version, conditions)
    except Refused:
        return "refused"
    except Exception:
        return "crash-on-save"
    try:
        return "true" if holds(conditions, kind(case["data"], case.get("snapshots"))) else "false"
    except Invalid:
        return "invalid"
    except Exception:
        return "crash"


warnings.simplefilter("ignore")
for line in sys.stdin:
    case = json.loads(line)
    answers = {"4.6": answer("4.6", Event46, case), "4.7": answer("4.7", Event47, case)}
    print(json.dumps(answers), flush=True)
