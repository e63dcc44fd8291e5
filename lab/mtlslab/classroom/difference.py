"""What separates the two servers of a lab: the directives that one has and the other has not, and who depends on them.

Both configurations are read from the disk as nginx reads them, so edits are seen. Names and ports always differ; they
are told apart. Which checks depend on a directive is what the catalogue and the rules themselves say.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mtlslab.classroom.terms import find_term
from mtlslab.errors import SpecError
from mtlslab.plan.render import render
from mtlslab.plan.services import MTLS_SERVICE, TLS_SERVICE, make_plan
from mtlslab.plan.spec import LabSpec
from mtlslab.verify.checks import Entry, families
from mtlslab.verify.configuration.model import Configuration, Directive, Position
from mtlslab.verify.configuration.parse import UnreadableError, parse
from mtlslab.verify.rules.load import read_from_disk
from mtlslab.workspace.directory import Workspace

SCHEMA = "mtlslab.diff/1"
_TLS_NAMES = re.compile(rf"\b(?:{TLS_SERVICE}|tls-hello-world)\b")
ADDED, REMOVED = "+", "-"


@dataclasses.dataclass(frozen=True)
class DifferingLine:
    """A directive that only one of the two servers has.

    Attributes:
        sign: ``+`` if the mTLS server has it, ``-`` if the TLS server has it.
        place: file and line.
        block: the blocks around it, such as ``http server``.
        directive: the directive with its arguments, as one line.
        about: what the directive is for, if ``explain`` has a page about it; else empty.
        checks: the checks of that server that the directive decides, the most specific ones first.
    """

    sign: str
    place: Position
    block: str
    directive: str
    about: str
    checks: tuple[Entry, ...]

    def to_mapping(self) -> dict[str, Any]:
        """The line as JSON-ready values."""
        return {
            "sign": self.sign,
            "file": self.place.file,
            "line": self.place.line,
            "block": self.block,
            "directive": self.directive,
            "about": self.about,
            "checks": [entry.id for entry in self.checks],
        }


@dataclasses.dataclass(frozen=True)
class Difference:
    """What separates the TLS server from the mTLS server.

    Attributes:
        lab: name of the lab.
        lines: the directives that only one of them has, in the order of the files.
        names: names of the directives that differ in the service's name or port only.
    """

    lab: str
    lines: tuple[DifferingLine, ...]
    names: tuple[str, ...]

    def to_mapping(self) -> dict[str, Any]:
        """The difference as JSON-ready values, schema ``mtlslab.diff/1``."""
        lines = [line.to_mapping() for line in self.lines]
        return {"schema": SCHEMA, "lab": self.lab, "lines": lines, "names_and_ports_only": list(self.names)}


@dataclasses.dataclass(frozen=True)
class _Line:
    """A directive with the blocks around it; ``key`` is the same for what differs in names and ports only."""

    block: tuple[str, ...]
    directive: Directive
    key: tuple[object, ...]


def compare(spec: LabSpec, workspace: Workspace | None) -> Difference:
    """Compare the configurations of the two services.

    Args:
        spec: the lab's settings.
        workspace: the lab's directory; None for a lab as it would be rendered.

    Raises:
        SpecError: a configuration cannot be read.
    """
    tls, mtls = _from_disk(workspace) if workspace else _as_rendered(spec)
    ours, others = (_lines(configuration, spec) for configuration in (mtls, tls))
    entries = tuple(families(crl=spec.crl).values())
    found: list[DifferingLine] = []
    names: list[str] = []
    matcher = difflib.SequenceMatcher(None, [one.key for one in others], [one.key for one in ours], autojunk=False)
    for kind, start, end, our_start, our_end in matcher.get_opcodes():
        if kind == "equal":
            pairs = zip(others[start:end], ours[our_start:our_end], strict=True)
            names += [one.directive.name for other, one in pairs if other.directive.args != one.directive.args]
            continue
        found += [_differing(REMOVED, one, TLS_SERVICE, entries) for one in others[start:end]]
        found += [_differing(ADDED, one, MTLS_SERVICE, entries) for one in ours[our_start:our_end]]
    return Difference(spec.name, tuple(found), tuple(dict.fromkeys(names)))


def depends_on(entry: Entry, directive: Directive, service: str) -> bool:
    """Whether an entry of the catalogue says that a directive of a service decides it.

    An entry that names variables means directives with one of them; another one means them all.
    """
    words = re.findall(r"\$?\w+", entry.directive)
    variables = {word for word in words if word.startswith("$")}
    used = {word for arg in directive.args for word in re.findall(r"\$\w+", arg)}
    fits = not variables or not used or bool(variables & used)
    return entry.service == service and directive.name in words and fits


def _differing(sign: str, line: _Line, service: str, entries: Sequence[Entry]) -> DifferingLine:
    directive = line.directive
    variables = [arg for arg in directive.args if arg.startswith("$")]
    depending = [entry for entry in entries if depends_on(entry, directive, service)]
    term = next(filter(None, map(find_term, (directive.name, *variables))), None)
    return DifferingLine(
        sign=sign,
        place=directive.place,
        block=" ".join(line.block),
        directive=f"{directive} {{" if directive.block is not None else f"{directive};",
        about=term.title.partition(": ")[2] if term else "",
        # Those that depend on the fewest directives tell most about this one.
        checks=tuple(sorted(depending, key=lambda entry: entry.directive.count(","))),
    )


def _lines(configuration: Configuration, spec: LabSpec) -> list[_Line]:
    """All directives, blocks before what stands in them."""

    def neutral(arg: str) -> str:
        # The TLS server's names and port, read as if they were the mTLS server's.
        named = _TLS_NAMES.sub(lambda found: found[0].replace("tls", "mtls"), arg)
        return re.sub(rf"\b{spec.tls_port}\b", str(spec.mtls_port), named)

    def walk(directives: Sequence[Directive], block: tuple[str, ...]) -> Iterator[_Line]:
        for one in directives:
            args = map(neutral, one.args) if configuration.service == TLS_SERVICE else one.args
            yield _Line(block, one, (block, one.name, *args))
            yield from walk(one.block or (), (*block, one.name))

    return list(walk(configuration.main, ()))


def _from_disk(workspace: Workspace) -> tuple[Configuration, Configuration]:
    try:
        return read_from_disk(workspace, TLS_SERVICE), read_from_disk(workspace, MTLS_SERVICE)
    except UnreadableError as error:
        hint = "Mend it, or have it written anew: mtlslab render --overwrite"
        raise SpecError("The configuration cannot be read.", why=f"{error}.", hint=hint) from error


def _as_rendered(spec: LabSpec) -> tuple[Configuration, Configuration]:
    rendered = render(make_plan(spec, Path.cwd(), image=spec.image, user="0:0"), spec)
    files = {path: text for path, text in rendered.items() if path.endswith(".conf")}
    return parse(TLS_SERVICE, files), parse(MTLS_SERVICE, files)
