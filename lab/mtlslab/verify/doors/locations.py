"""Paths to ask for: every spelling of the page, and what each location of a configuration could give."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from mtlslab.plan.paths import CLIENT_CA, CLIENT_KEY, HELLO, SERVER_KEY
from mtlslab.plan.services import MTLS_SERVICE, TLS_SERVICE
from mtlslab.verify.configuration.locations import is_internal, modifier_of, regex_matches
from mtlslab.verify.configuration.model import Configuration, Scope
from mtlslab.verify.doors.samples import matching

PAGE = f"/{HELLO}"
_MOST = 3  # samples of one expression
# One page, as a server may come to read it: encoded, doubled, climbing, with a query, in another case, as a directory.
SPELLINGS = (
    "/",
    f"/%{ord(HELLO[0]):02x}{HELLO[1:]}",
    f"//{HELLO}",
    f"/./{HELLO}",
    f"/x/../{HELLO}",
    f"/x/%2e%2e/{HELLO}",
    f"{PAGE}?x=1",
    f"{PAGE}/",
    f"/{HELLO.upper()}",
    f"{PAGE}%20",
    f"{PAGE};x",
)
# Ways out of a directory that is served: encoded, and by an alias without a slash at its end.
CLIMBS = tuple(
    f"{way}{file}"
    for way in ("/../", "/%2e%2e/", "/..%2f", "/static../")
    for file in (f"{MTLS_SERVICE}/{HELLO}", SERVER_KEY)
)
# What nobody must be given, in any room of the workspace.
_FILES = (
    f"{MTLS_SERVICE}/{HELLO}",
    f"{MTLS_SERVICE}/nginx.conf",
    f"{TLS_SERVICE}/nginx.conf",
    SERVER_KEY,
    CLIENT_KEY,
    CLIENT_CA,
    "lab.json",
)


def paths_of(configuration: Configuration, server: Scope) -> Iterator[str]:
    """The paths to ask a server for, because of its locations, rewrites and roots; the usual page first."""
    for location in server.locations():
        if not is_internal(location):
            yield from _of_location(location)
            yield from _files_in(configuration, location)
    yield from _files_in(configuration, server)
    for block in server.all_blocks():
        for rewrite in block.own("rewrite"):
            yield from (path for path in matching(rewrite.first) if path.startswith("/"))


def _of_location(location: Scope) -> Iterator[str]:
    modifier, text = modifier_of(location)
    if modifier.startswith("~"):
        ignore_case = modifier == "~*"
        for filler in (HELLO.partition(".")[0], HELLO):
            for sample in matching(text, ignore_case=ignore_case, filler=filler)[:_MOST]:
                path = sample if sample.startswith("/") else f"/{sample}"
                yield path
                if regex_matches(text, below := posixpath.join(path, HELLO), ignore_case=ignore_case):
                    yield below
        return
    if not text.startswith("/"):
        return
    if modifier != "=":
        yield f"{text.rstrip('/')}{PAGE}"
    if text != "/":
        yield text
    if location.own("alias") and not text.endswith("/"):
        # The rest of the path is put behind the alias as it is (CWE-22).
        yield f"{text}../{MTLS_SERVICE}{PAGE}"
        yield f"{text}../{SERVER_KEY}"


def _files_in(configuration: Configuration, block: Scope) -> Iterator[str]:
    """The paths under which a block gives away files that lie below its root or alias."""
    modifier, text = modifier_of(block) if block.kind == "location" else ("", "/")
    if modifier.startswith(("~", "@")):
        text = ""
    alias = block.own("alias")
    directory = configuration.below_prefix(alias[-1].first if alias else block.value("root", "html"))
    for file in _FILES:
        below = posixpath.relpath(file, directory) if not posixpath.isabs(directory) else ".."
        if below.startswith("..") or below == ".":
            continue
        path = f"{text.rstrip('/')}/{below}" if alias else f"/{below}"
        if path.startswith(text):
            yield path
