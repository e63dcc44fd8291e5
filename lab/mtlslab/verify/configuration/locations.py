"""Which location answers a path, and what it answers with (https://nginx.org/en/docs/http/ngx_http_core_module.html#location)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mtlslab.verify.configuration.model import Configuration, Scope

# Directives by which something else than a file answers.
HANDLERS = (
    *("proxy_pass", "fastcgi_pass", "uwsgi_pass", "scgi_pass", "grpc_pass", "memcached_pass", "tunnel_pass"),
    *(
        "stub_status",
        "empty_gif",
        "perl",
        "js_content",
        "content_by_lua",
        "content_by_lua_block",
        "content_by_lua_file",
    ),
    *("echo", "mirror", "random_index", "autoindex", "flv", "mp4", "hls", "api", "status", "sub_filter"),
    *("add_before_body", "add_after_body", "addition_types", "ssi", "xslt_stylesheet", "image_filter", "slice"),
)
_EXACT, _FIRST, _REGEX = "=", "^~", ("~", "~*")
_NEVER_DIRECT = "@"


def is_named(location: Scope) -> bool:
    """Whether only nginx itself can get there (``location @name``)."""
    return any(arg.startswith(_NEVER_DIRECT) for arg in location.directive.args[:1])


def is_internal(location: Scope) -> bool:
    """Whether a client cannot ask for it."""
    return is_named(location) or bool(location.own("internal"))


def named(server: Scope, name: str) -> Scope | None:
    """The location ``@name`` of a server."""
    return next((one for one in server.locations() if one.directive.args[-1:] == (name,)), None)


def choose(block: Scope, path: str) -> Scope:
    """The block that answers a path: the location that nginx chooses, or the block itself where none fits."""
    best: Scope | None = None
    for location in block.blocks("location"):
        modifier, text = modifier_of(location)
        if modifier == _EXACT and path == text:
            return location
        if modifier in ("", _FIRST) and path.startswith(text) and (not best or len(text) > len(modifier_of(best)[1])):
            best = location
    inner = choose(best, path) if best else None
    if best and modifier_of(best)[0] == _FIRST:
        return inner or best
    for location in block.blocks("location"):
        modifier, text = modifier_of(location)
        if modifier in _REGEX and regex_matches(text, path, ignore_case=modifier == "~*"):
            return choose(location, path)
    return inner or block


def modifier_of(location: Scope) -> tuple[str, str]:
    """The modifier of a location (empty for a plain prefix) and the path or expression after it."""
    args = location.directive.args
    if len(args) >= 2:
        return args[0], args[1]
    text = args[0] if args else ""
    for modifier in (_EXACT, _FIRST, "~*", "~"):  # nginx takes them without a space, too
        if text.startswith(modifier):
            return modifier, text[len(modifier) :]
    return ("@", text) if text.startswith(_NEVER_DIRECT) else ("", text)


def regex_matches(pattern: str, text: str, *, ignore_case: bool = False) -> bool | None:
    """Whether an expression of nginx (PCRE) is found in a text; None where Python cannot read it."""
    try:
        return re.search(pattern, text, re.IGNORECASE if ignore_case else 0) is not None
    except re.error:
        return None


def handlers(block: Scope) -> Iterator[str]:
    """What else than a file answers in a block. Most of these are not inherited: those of the block itself count."""
    for one in block.own(*HANDLERS):
        if one.first != "off":
            yield str(one)
    for name in ("autoindex", "ssi", "random_index", "sub_filter"):
        found = block.in_force(name)
        if found and found[-1].first != "off" and found[-1] not in block.own(name):
            yield str(found[-1])


def file_of(configuration: Configuration, block: Scope, path: str) -> str:
    """The file that a block answers a path with, relative to the workspace; variables stay as they are written."""
    alias = block.own("alias")
    if alias:
        modifier, text = modifier_of(block)
        rest = path[len(text) :] if modifier in ("", _EXACT, _FIRST) and path.startswith(text) else ""
        return configuration.below_prefix(alias[-1].first + rest)
    root = block.value("root", "html")
    return configuration.below_prefix(root.rstrip("/") + path)
