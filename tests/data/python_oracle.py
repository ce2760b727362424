"""Records what CPython answers, for tests/tests/it/rules/python.rs.

Run `python3 tests/data/python_oracle.py` (3.11 or later) from the repository's root to write
tests/data/python-patterns.json and tests/data/python-comparisons.json anew.
"""

import json
import operator
import random
import re
import warnings

warnings.simplefilter("ignore")
random.seed(20)
HERE = "tests/data/"

TEXTS = [
    "", "a", "A", "aa", "aaa", "ab", "abc", "ABC", "b", "ba", "\n", "a\n", "a\nb", "a\n\n", "\na", "a b", "a#b",
    "dmi01-akron-rtr01", "DMI01", "10.0.0.1/24", "2001:db8::1", "foo.bar", "fooxbar", "x{2}", "{", "}", "{1,", "a{}",
    "[", "]", "[a]", "-", "^", "$", "\\", "(", ")", "|", "a|b", "&&", "~~", "a]", "[:alpha:]", "l]", ":", "<a>", "_",
    "_x", "é", "É", "Zürich ☃", "zÜRICH", "ß", "\u0660\u0661", "x²", "½", "\u2167", "日本語", "\x1c", "\x85", "\u00a0",
    "\u2028", "\x00", "\x08", "\t", "\r\n", "a\r\n", "\x0b", "word word", "word-word", " word", "1", "12", "123", "S",
    "AA", "\u017f", "K", "\u212a", "a.b", "a+b", "a*", "?", "aXb", "a\tb", "ab\ncd", "cd", "\U0001f600", "A1", "(?i)", "--",
]

PATTERNS = r"""
a
^a
a$
^a$
a\Z
\Aa
^$
$
|
a|b
a|b$
(a|b)$
(?:ab|a)$
(a$|b)
a\n$
.
.*
.*b
a.b
(?s)a.b
(?s:a.)b
(?s:.)b
a.*b$
(?m)^a$
(?m)a$
(?m).*\n^b
(?m:a$)
(?i)dmi
(?i)dmi\d+$
(?i:d)mi
(?i-m:D)MI
(?-i:a)
(?i)zürich
(?i)é
(?i)s
(?i)k
(?i)[a-z]+$
(?i)[^a]
(?im)^B
(?i)(?m)a$
(?x) a  b # a comment ) with |
(?x) a [ ] b
(?x) a \  b
(?x)a\#b
(?x: a # c
 b)
(?u)\w+$
(?ix) D m i
[abc]
[^abc]
[a-c]+$
[a-]
[-a]
[]]
[]a]+
[^]]
[^]a]
[\]]
[[]
[[:alpha:]]
[a&&b]
[&]
[&&~~]+
[a||b]
[a\-z]
[\w]
[\W]
[^\w]
[^\W]
[\w-]+$
[\d.]+
[\d-]
[\s]
[^\s]
[\S]
[\D]
[^\D]
[\b]
[\n]
[\x41-\x43]
[\101]
[\1]
[\0]
[!-/]
[ -~]+$
[^\x00-\x7f]
[\u00e9]
[é-ü]
[.]
[$]
[\^]
[a^]
[{}]
[()]
[A-z]
\d
\d+$
\D
\w
\w+$
\W
\s
\S
\s+
\bword\b
word\b
\b
\B
\Ba
a\b
a\B
\.
foo\.bar
\$
\^
\\
\[
\]
\{
\}
\(
\)
\|
\*
\+
\?
\/
\-
\_
\#
\&
\<
\>
\<a\>
\"
\'
\,
\ 
\é
\t
\n
\r
\v
\f
\a
\0
\00
\08
\101
\x41
\x4A
\u00e9
\U0001F600
\u2603
a*
a+
a?
a*?
a+?$
a??b
a{2}
a{2}$
a{2,}
a{,2}$
a{1,2}$
a{1,2}?$
a{,}
a{}
a{
a{1
a{1,
a{a}
a{1,b}
{
{}
}
x{2}
x\{2\}
{1,
(a)
(a)(b)
(?P<x>a)
(?P<x>a)(?P<y>b)
(?P<_x1>a)
(?:a)
(?:a)*b
(a|)b
()a
(?:)
(?:)*a
()*a
(?#a comment)a
a(?#c)*
(a*)*$
(a+)+$
(?:a|b)+$
(a|ab)(c|bcd)$
((((a))))
\w+-\w+-\w+
\w+\d{2}-[a-z]+
dmi\d{2}-(akron|nyc)-rtr\d+$
(?i)(dmi|nyc)[0-9]{1,3}
(\d{1,3}\.){3}\d{1,3}/\d+$
([0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}$
\s*\S+\s*$
.+\S$
^\s*$
[^\n]*$
a$|b
^a|^b
(^a|b)
(?:^)a
(?:\b)*a
(?:a?){3}$
a#b
&&
--
~~
日本
[日-語]+$
(?i)ß
(?i)\w+
(?i)[\w]+$
(?i)[^\W\d]+$
[^\W\d_]+$
[^\S\n]
a|b|
|a
(|a)b
x*
\Z
a?\Z
(?:a|\Z)
""".strip("\n").split("\n")
PATTERNS = [p for p in PATTERNS if p not in ("(?x: a # c", " b)")]
PATTERNS += ["", "(?x: a # c\n b)", "\n", "a\n", "(?x)\n a\n b", "\t", "\x0b", "(?x)a\x0bb", "(?x)a\x1cb", "\\\n", "[\n]", "a\\\tb"]

# Refused by Python itself.
INVALID = [
    "[", "(", ")", "a)", "(a", "[a", "[]", "[^]", "*", "+", "?", "{5}", "a**", "a*+*", "a{2}{3}", "^*", "$*", r"\b+",
    r"\A?", "(*)", "(|*)", "a{2,1}", "(?P<1a>x)", "(?P<>x)", "(?P<a>x)(?P<a>y)", "(?P<a", "(?P>a)", "(?<a>x)", "(?",
    "(?a", "(?#", "(?z)", "(?i", "a(?i)", "(?:(?i)a)", "|(?i)a", "(?i-", "\\", r"\c", r"\e", r"\p{L}", r"\z", r"\G",
    r"\K", r"\Q", r"\x", r"\x4", r"\xg0", r"\u12", r"\U0000000", r"\U00110000", r"\400", r"[\8]", r"[\A]", r"[\B]", r"[\Z]",
    r"[z-a]", r"[a-\d]", r"[\d-a]", r"[a--]", r"[\c]", r"[\p]", r"\N", r"\N{nothing}", "a{99999999999}", "(?:a)(b", "[[:a",
]

# Valid in Python, but in need of backtracking, or not worth their weight; here they are refused.
UNSUPPORTED = [
    "a(?=b)", "a(?!b)", "(?<=a)b", "(?<!a)b", r"(a)\1", "(?P<x>a)(?P=x)", "(?>a)", "a*+", "a++", "a?+", "a{1,2}+",
    "(a)?(?(1)b|c)", r"(?a)\w", r"(?a:\w)", r"\N{BULLET}", r"\ud800", "a$\n", "$a", "(a$)b", "(a$)*", "(a$|b)c",
]


def match(pattern, text):
    return re.match(pattern, text) is not None


def patterns():
    for pattern in INVALID:
        try:
            re.compile(pattern)
        except (re.error, OverflowError):
            continue
        raise SystemExit(f"Python takes {pattern!r}")
    for pattern in UNSUPPORTED:
        re.compile(pattern)
    return {
        "about": "What re.match of CPython says. matches: for each pattern, the numbers of the texts it matches.",
        "texts": TEXTS,
        "matches": [[p, [i for i, t in enumerate(TEXTS) if match(p, t)]] for p in dict.fromkeys(PATTERNS)],
        "invalid": INVALID,
        "unsupported": UNSUPPORTED,
    }


ATOMS = [
    None, True, False, 0, 1, -1, 2, 255, 0.0, -0.0, 1.0, 1.5, -1.5, 2.0, 0.1, 1e300, -1e300, 5e-324, "", "a", "b", "ab",
    "1", "true", "null", "é", "e\u0301", 2**53, 2**53 + 1, float(2**53), float(2**53 + 2), 2**63 - 1, 2**63, 2**64 - 1,
    -(2**63), float(2**63), float(2**64), 12345678901234567890, 12345678901234567168.0, 18446744073709551615,
]


def value(depth):
    roll = random.random()
    if depth == 0 or roll < 0.6:
        return random.choice(ATOMS)
    if roll < 0.85:
        return [value(depth - 1) for _ in range(random.randrange(4))]
    return {random.choice(["a", "b", "ab", "1", "", "é"]): value(depth - 1) for _ in range(random.randrange(3))}


def variant(v):
    """The same value in other types, or nearly."""
    if isinstance(v, list):
        return [variant(x) for x in v]
    if isinstance(v, dict):
        return {k: variant(x) for k, x in reversed(v.items())}
    if isinstance(v, (bool, int)) and abs(v) < 2**62 and random.random() < 0.5:
        return random.choice([float(v), int(v)])
    return v


def applies(op, reference):
    """Which values each operator takes is NetBox's table."""
    if op in ("gt", "gte", "lt", "lte"):
        return type(reference) in (int, float)
    if op == "in":
        return isinstance(reference, list)
    if op == "contains":
        return reference is not None and not isinstance(reference, dict)
    return not isinstance(reference, dict)


OPERATORS = {
    "eq": operator.eq, "gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le,
    "in": lambda v, r: v in r, "contains": lambda v, r: r in v,
}


def comparisons():
    cases = []
    while len(cases) < 3000:
        v = value(3)
        r = random.choice([lambda: value(2), lambda: variant(v), lambda: [variant(v), value(1)]])()
        if random.random() < 0.2 and isinstance(v, list) and v:
            r = variant(random.choice(v))
        op = random.choice(list(OPERATORS))
        if not applies(op, r):
            continue
        try:
            answer = bool(OPERATORS[op](v, r))
        except TypeError:
            answer = None
        cases.append([v, op, r, answer])
    return {
        "about": "What CPython says to `value operator reference`; null where it raises TypeError.",
        "cases": cases,
    }


def write(name, content):
    lines = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
    lines = lines.replace('],["', '],\n["').replace("],[[", "],\n[[")
    with open(HERE + name, "w", encoding="ascii") as file:
        file.write(lines + "\n")


write("python-patterns.json", patterns())
write("python-comparisons.json", comparisons())
