"""Holds the cases marked `"jinja2": true` against Jinja2 itself, rendered as NetBox does.

    python3 plugins/jinja/tests/jinja2_check.py          compare
    python3 plugins/jinja/tests/jinja2_check.py --write  fill in what Jinja2 makes
"""

import json
import pathlib
import re
import sys

from jinja2.sandbox import SandboxedEnvironment

CASES = pathlib.Path(__file__).parent / "cases"
EVENT = json.loads((CASES.parent / "event.json").read_text())


def render(text, context):
    environment = SandboxedEnvironment()
    environment.filters["header_safe"] = lambda v: re.sub(r"[\x00-\x1f\x7f]", "", str(v))
    return environment.from_string(text).render(**context)


def netbox(webhook, context):
    headers = {"Content-Type": webhook.get("http_content_type", "application/json")}
    for line in render(webhook.get("additional_headers", ""), context).splitlines():
        if ":" in line:
            name, value = line.split(":", 1)
            headers[name.strip()] = value.strip()
    template = webhook.get("body_template")
    body = render(template, context) if template else json.dumps(context)
    url = render(webhook.get("payload_url", "https://example.com/"), context)
    return {"url": url, "headers": [list(h) for h in headers.items()], "body": body}


compared = different = 0
for path in sorted(CASES.glob("*.json")):
    case = json.loads(path.read_text())
    if not case.get("jinja2"):
        continue
    compared += 1
    made = netbox(case["webhook"], case.get("event", EVENT))
    if "--write" in sys.argv:
        case["expect"] = made
        path.write_text(json.dumps(case, indent=2, ensure_ascii=False) + "\n")
    elif made != case["expect"]:
        different += 1
        print(f"{path.name}\n  Jinja2 {made}\n  case   {case['expect']}")
if compared < 30:
    sys.exit(f"only {compared} cases")
print(f"{compared - different} of {compared} as in Jinja2")
sys.exit(different > 0)
