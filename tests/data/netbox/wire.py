"""Renders and sends webhooks as NetBox does, and writes down what arrives on the wire.

Reads [{"webhook": {...}, "context": {...}}, ...] from stdin and writes one result for each: {"error": ...},
or the request: {"method", "target", "connect": [host, port], "headers": [[name, value], ...], "body" (base64)}.
The libraries are the real ones; only the socket is not: it leads into this process.
"""
import base64
import json
import re
import socket
import sys
import threading
from collections import namedtuple

import requests
import urllib3.connection
import urllib3.util.connection
from jinja2 import BaseLoader
from jinja2.sandbox import SandboxedEnvironment

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Wire:
    """Takes the place of the network for one request."""

    def __init__(self):
        self.connect, self.bytes = None, b""

    def create_connection(self, address, *_args, **_kwargs):
        self.connect = list(address)
        ours, theirs = socket.socketpair()
        ours.settimeout(10)
        threading.Thread(target=self.read, args=(theirs,), daemon=True).start()
        return ours

    def read(self, stream):
        with stream:
            while b"\r\n\r\n" not in self.bytes:
                more = stream.recv(65536)
                if not more:
                    return
                self.bytes += more
            head, _, body = self.bytes.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
            while length and len(body) < int(length[1]):
                more = stream.recv(65536)
                if not more:
                    return
                self.bytes += more
                body += more
            stream.sendall(ANSWER)


def plain(sock, **_kwargs):
    """In the place of the TLS handshake: what goes through it is what counts here."""
    return namedtuple("Wrapped", "socket is_verified")(sock, True)


urllib3.connection._ssl_wrap_socket_and_match_hostname = plain


def render(template, context, **filters):
    environment = SandboxedEnvironment(loader=BaseLoader())
    environment.filters.update(filters)
    return environment.from_string(source=template).render(**context)


def send(webhook, context):
    headers = {"Content-Type": webhook["http_content_type"]}
    if webhook["additional_headers"]:
        safe = lambda value: re.sub(r"[\x00-\x1f\x7f]", "", str(value))
        text = render(webhook["additional_headers"], context, header_safe=safe)
        for line in text.splitlines():
            if ":" in line:
                name, value = line.split(":", 1)
                headers[name.strip()] = value.strip()
    if webhook["body_template"]:
        body = render(webhook["body_template"], context)
    else:
        body = json.dumps(context)
    prepared = requests.Request(
        method=webhook["http_method"],
        url=render(webhook["payload_url"], context),
        headers=headers,
        data=body.encode("utf8"),
    ).prepare()
    wire = Wire()
    urllib3.util.connection.create_connection = wire.create_connection
    with requests.Session() as session:
        session.trust_env = False
        session.send(prepared, proxies={}, verify=False)
    head, _, body = wire.bytes.partition(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    method, target, _version = line.split(" ")
    return {
        "method": method,
        "target": target,
        "connect": wire.connect,
        "headers": [[p.strip() for p in header.split(":", 1)] for header in lines],
        "body": base64.b64encode(body).decode(),
    }


def result(case):
    try:
        return send(case["webhook"], case["context"])
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


json.dump([result(case) for case in json.load(sys.stdin)], sys.stdout)
