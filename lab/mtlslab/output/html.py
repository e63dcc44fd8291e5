"""The report as one HTML file that needs nothing else: no network, no script, no font.

Everything from outside is escaped by the template engine, and a Content-Security-Policy forbids whatever the file does
not bring along.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mtlslab import __version__
from mtlslab.errors import ExitCode
from mtlslab.output.sequence import CLIENT_X, SERVER_X, describe, details, lay_out, wire
from mtlslab.plan.render import template_root
from mtlslab.plan.shell import shell_line
from mtlslab.plan.visible import visible
from mtlslab.verify.checks import Result
from mtlslab.verify.report import Finding, VerifyReport

if TYPE_CHECKING:
    from mtlslab.verify.pictures import Picture

# Marks differ in shape and come with a word: colour is never all that tells them apart.
_MARKS = {
    Result.PASS: ("✓", "pass"),
    Result.FAIL: ("✗", "fail"),
    Result.WARN: ("!", "warning"),
    Result.SKIP: ("-", "skipped"),
    Result.INCONCLUSIVE: ("?", "could not tell"),
}
_PRINTED = 60  # of what needs a look: the rest is told in the file
# Worst first. A skipped check is told by the one that it depends on.
_ALARMING = (Result.FAIL, Result.INCONCLUSIVE, Result.WARN)
VERDICTS = {
    ExitCode.OK: (Result.PASS, "All that was checked holds"),
    ExitCode.CHECK_FAILED: (Result.FAIL, "It does not hold"),
    ExitCode.INCONCLUSIVE: (Result.INCONCLUSIVE, "It could not be told"),
}


@dataclasses.dataclass(frozen=True)
class Family:
    """The findings of one check on all TLS versions; what does not depend on the version is taken from the first."""

    findings: tuple[Finding, ...]

    @property
    def first(self) -> Finding:
        """The first of the findings."""
        return self.findings[0]

    @property
    def needs_a_look(self) -> bool:
        """Whether anything is not as it should be."""
        return any(finding.result is not Result.PASS for finding in self.findings)

    @property
    def results(self) -> tuple[Result, ...]:
        """The results that occur, each once."""
        return tuple(dict.fromkeys(finding.result for finding in self.findings))

    @property
    def versions(self) -> tuple[str, ...]:
        """The TLS versions, where they were told apart."""
        return tuple(finding.tls_version for finding in self.findings if finding.tls_version)

    def on(self, version: str) -> Finding | None:
        """The finding on one TLS version; None if there is none."""
        return next((finding for finding in self.findings if finding.tls_version == version), None)


def render_html(report: VerifyReport, pictures: Sequence[Picture] = ()) -> str:
    """The whole file.

    Args:
        report: what was found.
        pictures: recorded handshakes to show; the section is left out without any.
    """
    result, headline = VERDICTS.get(report.exit_code, VERDICTS[ExitCode.CHECK_FAILED])
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            version=__version__,
            verdict=result,
            headline=headline,
            sentence=report.closing_sentence,
            versions=sorted({finding.tls_version for finding in report.findings}),
            groups=groups_of(report.findings),
            troubles=troubles_of(report.findings),
            overview=[(category, _counts(families)) for category, families in groups_of(report.findings)],
            pictures=[(picture, lay_out(picture.transcript)) for picture in pictures],
            client_x=CLIENT_X,
            server_x=SERVER_X,
            results=tuple(Result),
        )
    )


def troubles_of(findings: Sequence[Finding]) -> list[Family]:
    """What is not as it should be, worst first; the same trouble on several TLS versions is told once."""
    ranked = (finding for result in _ALARMING for finding in findings if finding.result is result)
    return [Family(tuple(same)) for _, same in groupby(ranked, key=lambda one: (one.family, one.result, one.reason))]


def groups_of(findings: Sequence[Finding]) -> list[tuple[str, list[Family]]]:
    """The families by category, each where it first occurs."""
    groups: dict[str, dict[str, list[Finding]]] = {}
    for finding in findings:
        groups.setdefault(finding.category, {}).setdefault(finding.family, []).append(finding)
    return [
        (category, [Family(tuple(members)) for members in families.values()]) for category, families in groups.items()
    ]


def _counts(families: Sequence[Family]) -> list[tuple[Result, int]]:
    """How many checks of a group came to each result, where any did."""
    counts = Counter(finding.result for family in families for finding in family.findings)
    return [(result, counts[result]) for result in Result if counts[result]]


def _facts(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names and values as a reader likes them; a value that has parts of its own is told part by part."""
    for name, value in facts.items():
        label = f"{prefix}{name.replace('_', ' ')}"
        if isinstance(value, Mapping):
            yield from _facts(value, f"{label}: ")
        else:
            yield label, _value(value)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    return "" if value is None else str(value)


def _shown(value: object) -> object:
    """What an expression of the template comes to; words of strangers in it are made visible, markup is our own."""
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


@functools.cache
def environment() -> Environment:
    """What renders pages: values are escaped, and words of strangers in them made visible."""
    environment = Environment(
        loader=FileSystemLoader(template_root() / "templates"),
        undefined=StrictUndefined,
        autoescape=True,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "facts": _facts,
        "shell_line": shell_line,
        "mark": lambda result: _MARKS[result][0],
        "word": lambda result: _MARKS[result][1],
        "described": describe,
        "details": details,
        "wire": wire,
    }
    environment.globals["printed_troubles"] = _PRINTED  # the style, which both pages share, asks for it
    return environment
