"""The filters that hookbox adds to Jinja2's, of Python's standard library: by the names and the
documentation of Ansible's filters, so that Python says what is right. The clock is left out: there is none.
"""

import base64
import hashlib
import hmac
import ipaddress
import re
import time
from datetime import datetime


def flags(ignorecase, multiline):
    return (re.I if ignorecase else 0) | (re.M if multiline else 0)


def regex_replace(value, pattern, replacement, ignorecase=False, multiline=False, count=0):
    return re.sub(str(pattern), str(replacement), str(value), count=count, flags=flags(ignorecase, multiline))


def regex_search(value, regex, *groups, ignorecase=False, multiline=False):
    wanted = []
    for group in groups:
        found = re.fullmatch(r"\\g<(\S+)>|\\(\d+)", str(group))
        if not found:
            raise ValueError("Unknown argument")
        name = found[1] or found[2]
        wanted.append(int(name) if name.isdigit() else name)
    found = re.search(str(regex), str(value), flags(ignorecase, multiline))
    if not found:
        return None
    return [found.group(group) for group in wanted] if wanted else found.group()


def regex_findall(value, regex, multiline=False, ignorecase=False):
    return re.findall(str(regex), str(value), flags(ignorecase, multiline))


def b64encode(value, encoding="utf-8"):
    return base64.b64encode(str(value).encode(encoding)).decode()


def b64decode(value, encoding="utf-8"):
    return base64.b64decode(str(value)).decode(encoding)


def hash_(value, hashtype="sha1"):
    return hashlib.new(hashtype, str(value).encode()).hexdigest()


def hmac_(value, key, hashtype="sha256"):
    return hmac.new(str(key).encode(), str(value).encode(), hashtype).hexdigest()


def to_datetime(value, format=None):
    """Without a format, ISO 8601 as well: NetBox's times are."""
    if format is not None:
        return datetime.strptime(str(value), str(format))
    try:
        return datetime.strptime(str(value), "%Y-%m-%d %H:%M:%S")
    except ValueError:
        return datetime.fromisoformat(str(value))


def strftime(value, second=None, utc=True):
    """`format | strftime(seconds)`, or `time | strftime(format)`."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S" if second is None else str(second))
    return time.strftime(str(value), time.gmtime(float(second)))


PRIVATE = [
    ipaddress.ip_network(network)
    for network in (
        "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 127.0.0.0/8 169.254.0.0/16 fc00::/7 ::1/128 fe80::/10"
    ).split()
]


def ask(text, query):
    """The answer, or `None`: addresses in Ansible's sense have no network, but a prefix of all bits."""
    try:
        this = ipaddress.ip_interface(text)
    except ValueError:
        return None
    ip, network, written = this.ip, this.network, "/" in text
    shown = str(this) if written else str(ip)
    four = ip.version == 4
    low, high = int(network.network_address), int(network.broadcast_address)
    if network.num_addresses > 2:
        low, high = low + 1, high - four
    address = type(ip)

    def neighbour(number):
        return str(address(number)) if low <= number <= high else None

    private = any(ip in network for network in PRIVATE if network.version == ip.version)
    unicast = not (ip.is_multicast or ip.is_unspecified or str(ip) == "255.255.255.255")
    one = network.num_addresses == 1
    answers = {
        "": lambda: shown,
        "address": lambda: str(ip),
        "network": lambda: str(network.network_address),
        "prefix": lambda: network.prefixlen,
        "netmask": lambda: str(network.netmask),
        "hostmask": lambda: str(network.hostmask),
        "broadcast": lambda: str(network.broadcast_address) if network.num_addresses > 2 else None,
        "subnet": lambda: str(network),
        "net": lambda: str(network) if ip == network.network_address else None,
        "host": lambda: str(this) if one or ip != network.network_address else None,
        "gateway": lambda: str(this) if not one and ip != network.network_address else None,
        "first_usable": lambda: str(address(low)),
        "last_usable": lambda: str(address(high)),
        "next_usable": lambda: neighbour(int(ip) + 1),
        "previous_usable": lambda: neighbour(int(ip) - 1),
        "size": lambda: network.num_addresses,
        "version": lambda: ip.version,
        "type": lambda: "network" if written and not one and ip == network.network_address else "address",
        "int": lambda: int(ip),
        "ipv4": lambda: shown if four else None,
        "ipv6": lambda: None if four else shown,
        "private": lambda: shown if private else None,
        "public": lambda: shown if unicast and not private else None,
    }
    same = {"ip": "address", "wildcard": "hostmask", "gw": "gateway", "router": "gateway", "v4": "ipv4", "v6": "ipv6"}
    query = same.get(query, query)
    if query in answers:
        return answers[query]()
    if re.fullmatch("[+-]?[0-9]+", query):
        try:
            return f"{network[int(query)]}/{network.prefixlen}"
        except IndexError:
            return None
    other = ipaddress.ip_interface(query).network
    return shown if other.version == ip.version and network.subnet_of(other) else None


def ipaddr(value, query=""):
    if isinstance(value, (list, tuple)):
        return [answer for item in value if (answer := ask(str(item), str(query))) is not None]
    answer = ask(str(value), str(query))
    return False if answer is None else answer


def header_safe(value):
    """NetBox's: of line ends, all that `str.splitlines` knows."""
    return re.sub("[\x00-\x1f\x7f-\x9f\u2028\u2029]", "", str(value))


FILTERS = {
    "regex_replace": regex_replace,
    "regex_search": regex_search,
    "regex_findall": regex_findall,
    "b64encode": b64encode,
    "b64decode": b64decode,
    "hash": hash_,
    "hmac": hmac_,
    "to_datetime": to_datetime,
    "strftime": strftime,
    "ipaddr": ipaddr,
    "header_safe": header_safe,
}
