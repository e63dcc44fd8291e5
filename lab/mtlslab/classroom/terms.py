"""The pages of ``explain`` about words, statuses and messages: ``templates/words/*.md``, one section for each.

A section begins with ``## ID``. Then come lines ``name: value``, an empty line, and the text:

- ``title``: what the page is about.
- ``also``: other spellings, separated by commas. A status of curl or nginx (``curl-35``) is found by its number, too.
- ``read``: the document and section that says so.
- ``see``: ids of related pages.
- ``fault``: the fault whose credential the command shows.
- ``try``: a command that shows it in the directory of a lab with the default ports.
- ``ends``: the exit status of the command, 0 without it.
- ``shows``: a regular expression for what the command prints.

Tests run every command and compare ``ends`` and ``shows``.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator
from typing import Any

from mtlslab.plan.render import template_root
from mtlslab.plan.shell import shell_line

SCHEMA = "mtlslab.term/1"

_FIELDS = ("title", "also", "read", "see", "fault", "try", "ends", "shows")
_STATUS = re.compile(r"(curl|nginx)-(\d+)")
_SPELLINGS = {
    "curl": ("{}", "curl exit {}", "exit {}", "exit status {}", "exit code {}", "error {}"),
    "nginx": ("{}", "HTTP {}", "status {}", "code {}", "error {}"),
}


@dataclasses.dataclass(frozen=True)
class Term:
    """A word, status or message, and what it means.

    Attributes:
        id: stable name; for a status the program and the number, such as ``curl-35``.
        category: heading of its group.
        title: what the page is about.
        text: the explanation, a paragraph.
        also: other spellings by which it is found.
        read: documents and sections to read.
        see: ids of related pages.
        fault: name of the fault whose credential the command shows; empty without one.
        command: a shell command that shows it, for the default ports; empty if there is none.
        ends: exit status of the command.
        shows: regular expression for what the command prints.
    """

    id: str
    category: str
    title: str
    text: str
    also: tuple[str, ...]
    read: str
    see: tuple[str, ...]
    fault: str
    command: str
    ends: int
    shows: str

    @property
    def names(self) -> tuple[str, ...]:
        """All spellings, the id first."""
        status = _STATUS.fullmatch(self.id)
        numbered = [spelling.format(status[2]) for spelling in _SPELLINGS[status[1]]] if status else []
        return (self.id, *numbered, *self.also)


@dataclasses.dataclass(frozen=True)
class TermPage:
    """The page about a term, with commands for one lab.

    Attributes:
        term: what it is about.
        prepare: the command that issues the credential; empty if none is needed.
        command: the command that shows it, to be typed inside the workspace; empty if there is none.
    """

    term: Term
    prepare: str
    command: str

    def to_mapping(self) -> dict[str, Any]:
        """The page as JSON-ready values, schema ``mtlslab.term/1``."""
        told = {name: getattr(self.term, name) for name in ("id", "category", "title", "text", "read", "ends")}
        several = {"also": list(self.term.also), "see": list(self.term.see)}
        return {"schema": SCHEMA, **told, **several, "prepare": self.prepare, "command": self.command}


@functools.cache
def terms() -> dict[str, Term]:
    """All terms by id, in the order in which they are listed."""
    files = sorted((template_root() / "templates/words").glob("*.md"))
    return {term.id: term for file in files for term in _terms_in(file.read_text(encoding="utf-8"))}


def find_term(words: str) -> Term | None:
    """The term of that id or spelling, in whatever case and with whatever signs between letters; None without one."""
    wanted = _plain(words)
    known = _by_spelling()
    return known.get(wanted) or known.get(wanted.removesuffix("s"))


def term_page(term: Term, host: str, tls_port: int, mtls_port: int) -> TermPage:
    """Make the page about a term for a lab.

    Args:
        term: one of ``terms()``.
        host: name or bracketed address under which the lab is reached.
        tls_port: port of the TLS service.
        mtls_port: port of the mTLS service.
    """
    command = term.command
    for default, port in (("8888", tls_port), ("8889", mtls_port)):
        command = re.sub(rf"\blocalhost:{default}\b", f"{host}:{port}", command)
    prepare = shell_line(["mtlslab", "certs", "issue", "--fault", term.fault]) if term.fault else ""
    return TermPage(term, prepare, command)


@functools.cache
def _by_spelling() -> dict[str, Term]:
    found: dict[str, Term] = {}
    # A term's own names come before the words of another one's title.
    for spellings in (lambda term: [term.id], lambda term: term.names, lambda term: term.title.split(", ")):
        for term in terms().values():
            for name in spellings(term):
                found.setdefault(_plain(name), term)
    return found


def _plain(words: str) -> str:
    """Letters and digits, in lower case; an option keeps the dashes before it."""
    dashes = re.match(r"-*", words.strip())
    letters = re.sub(r"[\W_]+", "", words.lower())
    return f"{dashes[0] if dashes else ''}{letters}"


def _terms_in(text: str) -> Iterator[Term]:
    category = ""
    for part in re.split(r"^(?=##? )", text, flags=re.MULTILINE)[1:]:
        heading, _, body = part.partition("\n")
        if heading.startswith("## "):
            yield _term(heading.removeprefix("## "), category, body)
        else:
            category = heading.removeprefix("# ")


def _term(name: str, category: str, body: str) -> Term:
    head, _, text = body.strip().partition("\n\n")
    told = dict(line.split(": ", 1) for line in head.splitlines())
    if not told.keys() <= {*_FIELDS}:
        raise ValueError(f"{name} has a field that nobody reads: {', '.join(told)}")
    return Term(
        id=name,
        category=category,
        title=told["title"],
        text=" ".join(text.split()),
        also=_listed(told.get("also", "")),
        read=told["read"],
        see=_listed(told.get("see", "")),
        fault=told.get("fault", ""),
        command=told.get("try", ""),
        ends=int(told.get("ends", "0")),
        shows=told.get("shows", ""),
    )


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
