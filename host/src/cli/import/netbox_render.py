"""Renders one webhook for one event as NetBox 4.6 does, with the same libraries. Sends nothing.

Reads {"webhook": {...}, "context": {...}} from stdin and writes one JSON object to stdout: the request as it
would go over the wire, or {"error": {"field", "message"}}. Exit code 3: a library is missing.
"""
import base64
import json
import re
import sys

try:
    import encodings.idna
    import encodings.latin_1

    import idna
    import requests
    from jinja2 import BaseLoader
    from jinja2.sandbox import SandboxedEnvironment
    from urllib3.util.url import parse_url
except ImportError as error:
    sys.stderr.write(f"{error.name or error}\n")
    sys.exit(3)


def limit_resources():
    """The templates are anybody's, and Jinja2 bounds neither time nor memory."""
    import resource

    for what, most in (
        (resource.RLIMIT_CPU, 20),
        (resource.RLIMIT_AS, 1 << 30),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def render(template, context, **filters):
    environment = SandboxedEnvironment(loader=BaseLoader())
    # What the variables hold on the workers' machine is not known here.
    environment.filters["env"] = lambda name: f"value-of-{name}"
    environment.filters.update(filters)
    return environment.from_string(source=template).render(**context)


def header_safe(value):
    return re.sub(r"[\x00-\x1f\x7f]", "", str(value))


def rendered_headers(webhook, context):
    headers = {"Content-Type": webhook["http_content_type"]}
    template = webhook["additional_headers"]
    text = render(template, context, header_safe=header_safe) if template else ""
    for line in text.splitlines():
        if ":" in line:
            name, value = line.split(":", 1)
            headers[name.strip()] = value.strip()
    return headers


def on_the_wire(prepared):
    """What the HTTP library makes of the prepared request: where it goes, and its headers as text."""
    if not prepared.url.lower().startswith(("http://", "https://")):
        raise requests.exceptions.InvalidSchema(f"No connection adapters were found for {prepared.url!r}")
    url = parse_url(prepared.url)
    default = {"http": 80, "https": 443}[url.scheme]
    port = "" if url.port in (None, default) else f":{url.port}"
    headers = []
    for name, value in prepared.headers.items():
        name = name.decode("ascii") if isinstance(name, bytes) else name
        value = value.decode("latin-1") if isinstance(value, bytes) else value
        name.encode("ascii")
        value.encode("latin-1")
        headers.append([name, value])
    return f"{url.scheme}://{url.host}{port}{prepared.path_url}", headers


def request_for(webhook, context):
    field = "additional_headers"
    try:
        headers = rendered_headers(webhook, context)
        field = "body_template"
        if webhook["body_template"]:
            body = render(webhook["body_template"], context)
        else:
            body = json.dumps(context)
        body = body.encode("utf8")
        field = "payload_url"
        url = render(webhook["payload_url"], context)
        field = ""
        prepared = requests.Request(
            method=webhook["http_method"], url=url, headers=headers, data=body
        ).prepare()
        url, headers = on_the_wire(prepared)
    except Exception as error:  # whatever it is, NetBox's job fails with it
        line = getattr(error, "lineno", None)
        message = f"{type(error).__name__}: {error}"[:1000]
        return {"error": {"field": field, "line": line, "message": message}}
    sent = prepared.body or b""
    return {
        "method": prepared.method,
        "url": url,
        "headers": headers,
        "body_base64": base64.b64encode(sent).decode(),
    }


def main():
    job = json.load(sys.stdin)
    limit_resources()
    json.dump(request_for(job["webhook"], job["context"]), sys.stdout)


main()
