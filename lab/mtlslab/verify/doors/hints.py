"""What a configuration looks at in a request: every condition names values that may make a difference.

``if``, ``map`` and ``geo`` are read as hints only, never as rules: for each text or expression that a request is
compared with, there is a request that fits. Whether that lets anybody in, the knock shows.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from mtlslab.verify.configuration.model import Configuration, Directive
from mtlslab.verify.configuration.rewrite import VERIFY, variables_in
from mtlslab.verify.doors.model import Door
from mtlslab.verify.doors.samples import matching, names_for

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_NO_ENTRIES = ("hostnames", "volatile", "include", "ranges", "delete", "proxy", "proxy_recursive")
_WORDS = ("1", "yes", "true", "SUCCESS")  # what people take for "let it in"
_PROTOCOLS = {"HTTP/1.0": "1.0", "HTTP/1.1": "1.1", "HTTP/2.0": "2", "h2": "2"}
_SAME = {
    "document_uri": "uri",
    "request_uri": "uri",
    "query_string": "args",
    "realip_remote_addr": "remote_addr",
}
_PROXIES_SAY = ("X-Forwarded-For", "X-Real-IP")
_DEEPEST = 3  # variables made of variables
_METHOD = re.compile(r"[A-Z]{1,20}")
_LOOPBACK = re.compile(r"127\.\d+\.\d+\.\d+")
_VERDICT = "(NONE|SUCCESS|FAILED.*?)?"


def hinted(configuration: Configuration, base: Door) -> Iterator[Door]:
    """The doors that differ from the usual one by what a condition of the configuration looks at."""
    sets = _settings(configuration)
    for template, text in _compared(configuration):
        for full in _expanded(template, sets):
            for values in _split(full, text):
                door = _with_values(base, values)
                if door is not None and door != base:
                    yield door
    for name in _mentioned(configuration):
        for word in _WORDS:
            door = _with_values(base, {name: word})
            if door is not None:
                yield door


def _all(directives: tuple[Directive, ...]) -> Iterator[Directive]:
    for one in directives:
        yield one
        yield from _all(one.block or ())


def _settings(configuration: Configuration) -> dict[str, list[str]]:
    """Variable -> the texts that ``set`` makes it from."""
    found: dict[str, list[str]] = {}
    for one in _all(configuration.main):
        if one.name == "set" and len(one.args) == 2 and variables_in(one.args[1]):
            found.setdefault(one.first.lstrip("$"), []).append(one.args[1])
    return found


def _compared(configuration: Configuration) -> Iterator[tuple[str, str]]:
    """Each text with variables that is looked at, and a text that it is compared with or that fits."""
    for one in _all(configuration.main):
        if one.name == "if" and one.args:
            yield from ((one.first, text) for text in _wanted(one.args))
        elif one.name == "map" and len(one.args) == 2:
            names = any(entry.name == "hostnames" for entry in one.block or ())
            fitting = names_for if names else _fitting
            yield from ((one.first, text) for entry in _entries(one) for text in fitting(entry.name))
        elif one.name == "geo":
            looked_at = one.first if len(one.args) == 2 else "$remote_addr"
            yield from ((looked_at, text) for entry in _entries(one) for text in _address_in(entry.name))
        elif one.name == "valid_referers":
            referers = (name for name in one.args if name not in ("none", "blocked", "server_names"))
            yield from (("$http_referer", f"https://{host}/") for name in referers for host in names_for(name))


def _address_in(network: str) -> tuple[str, ...]:
    """An address of a network (CIDR); none where it is none."""
    try:
        found = ipaddress.ip_network(network, strict=False)
    except ValueError:
        return ()
    # The second: the first is that of the network itself, or the one from which everybody comes.
    return (str(found[min(2, found.num_addresses - 1)]),)


def _entries(table: Directive) -> Iterator[Directive]:
    for entry in table.block or ():
        if entry.name not in _NO_ENTRIES and entry.name != "default":
            yield entry


def _wanted(args: tuple[str, ...]) -> Iterator[str]:
    if len(args) == 1:
        yield from _WORDS[:1]
    elif len(args) >= 3:
        text = " ".join(args[2:])
        yield from matching(text, ignore_case=args[1].endswith("*")) if "~" in args[1] else (text,)
        if args[1].startswith("!"):
            yield "other"


def _fitting(entry: str) -> tuple[str, ...]:
    if entry.startswith("~"):
        return matching(entry.lstrip("~").removeprefix("*"), ignore_case=entry.startswith("~*"))
    return (entry.removeprefix("\\"),)


def _expanded(template: str, sets: dict[str, list[str]], depth: int = 0) -> Iterator[str]:
    """The template, and what becomes of it when a variable that was set is written out."""
    yield template
    for name in variables_in(template):
        for text in sets.get(name, ()) if depth < _DEEPEST else ():
            written_out = template.replace(f"${{{name}}}", text).replace(f"${name}", text)
            yield from _expanded(written_out, sets, depth + 1)


def _split(template: str, text: str) -> Iterator[dict[str, str]]:
    """The values that the variables of a template have where it makes a text."""
    names = variables_in(template)
    if not names:
        return
    parts = [re.escape(part) for part in _VARIABLE.split(template)[::3]]
    values = [_VERDICT if name == VERIFY else "(.*?)" for name in names]
    pattern = "".join(text for pair in zip(parts, values, strict=False) for text in pair) + parts[-1]
    found = re.fullmatch(pattern, text, re.DOTALL)
    if found:
        yield {name: value or "" for name, value in zip(names, found.groups(), strict=True)}
    elif len(names) > 1:  # an expression that looks at a part of it
        yield from ({name: text} for name in names if name != VERIFY)


def _mentioned(configuration: Configuration) -> tuple[str, ...]:
    """Request headers, arguments and cookies that the configuration looks at anywhere but in the log's format."""
    names: dict[str, None] = {}
    for one in _all(configuration.main):
        if one.name not in ("log_format", "access_log", "error_log", "add_header"):
            names |= dict.fromkeys(name for text in (one.name, *one.args) for name in variables_in(text))
    usual = ("http_host", "http_user_agent", "http_cookie")
    return tuple(one for one in names if one.startswith(("http_", "arg_", "cookie_")) and one not in usual)


def _with_values(base: Door, values: dict[str, str]) -> Door | None:
    """The door at which the variables have these values; None where no request can give them."""
    changes: dict[str, Any] = {}
    headers: list[tuple[str, str]] = []
    for name, value in values.items():
        if any(ord(sign) < 32 or ord(sign) > 126 for sign in value):
            return None
        if found := _headers(name, value):
            headers += found
        else:
            changes |= _change(base, name, value)
    if headers:
        changes["headers"] = (*base.headers, *headers)
    return dataclasses.replace(base, **changes) if changes else None


def _headers(name: str, value: str) -> list[tuple[str, str]]:
    """The header fields that give a variable its value; none where it comes from elsewhere."""
    if name.startswith("http_") and name not in ("http_host", "http2"):
        return [("-".join(word.capitalize() for word in name.removeprefix("http_").split("_")), value)]
    if name.startswith("cookie_"):
        return [("Cookie", f"{name.removeprefix('cookie_')}={value}")]
    if _SAME.get(name, name) == "remote_addr" and value and not _LOOPBACK.fullmatch(value):
        # An address from which nobody can come: but for a server that believes what proxies say (ngx_http_realip).
        return [(field, value) for field in _PROXIES_SAY]
    return [("Content-Type", value)] if name == "content_type" else []


def _change(base: Door, name: str, value: str) -> dict[str, Any]:
    """What a variable of the request is, in the words of a door; nothing where no door can have that value."""
    spaced = " " in value
    if name.startswith("arg_"):
        return {"path": f"{base.path}?{name.removeprefix('arg_')}={value}"} if not spaced else {}
    known: dict[str, tuple[str, Any]] = {
        "host": ("host", value),
        "http_host": ("host", value),
        "ssl_server_name": ("sni", value),
        "server_name": ("sni", value),
        "request_method": ("method", value if _METHOD.fullmatch(value) else ""),
        "server_protocol": ("protocol", _PROTOCOLS.get(value)),
        "http2": ("protocol", _PROTOCOLS.get(value)),
        "uri": ("path", value if value.startswith("/") and not spaced else ""),
        "args": ("path", f"{base.path}?{value}" if value and not spaced else ""),
        "ssl_protocol": ("tls_version", value.removeprefix("TLSv") if value in ("TLSv1.2", "TLSv1.3") else ""),
        "remote_addr": ("source", value if _LOOPBACK.fullmatch(value) else ""),
        "server_addr": ("address", value if _LOOPBACK.fullmatch(value) else ""),
    }
    field, wanted = known.get(_SAME.get(name, name), ("", ""))
    return {field: wanted} if wanted else {}
