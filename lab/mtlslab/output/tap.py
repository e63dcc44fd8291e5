"""The report in the Test Anything Protocol, version 14 (https://testanything.org/tap-version-14-specification.html).

TAP knows ok and not ok: what could not be told is not ok, a warning is ok and says so in a comment.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from mtlslab.output.lines import one_line
from mtlslab.output.look import Look
from mtlslab.plan.shell import shell_line
from mtlslab.verify.checks import Result
from mtlslab.verify.report import Finding, Report

_OK = (Result.PASS, Result.WARN, Result.SKIP)


def render_tap(report: Report, look: Look) -> str:
    """One test point per check, with YAML diagnostics where it is not ok; ASCII only if the stream has no more."""
    # The plan stands right below the version: some readers want it at the very beginning or end.
    lines = ["TAP version 14", f"1..{len(report.findings)}", f"# {one_line(report.heading)}".replace('"', "")]
    for number, finding in enumerate(report.findings, 1):
        lines += _test_point(number, finding)
    lines.append(f"# {one_line(report.closing_sentence)}")
    return look.fitting("\n".join(lines) + "\n")


def _test_point(number: int, finding: Finding) -> Iterator[str]:
    ok = "ok" if finding.result in _OK else "not ok"
    skip = f" # SKIP {_escaped(finding.reason)}" if finding.result is Result.SKIP else ""
    yield f"{ok} {number} - {_escaped(f'{finding.id}: {finding.title}')}{skip}"
    if finding.result is Result.WARN:
        yield f"# warning: {one_line(finding.reason)}"
    if finding.result not in _OK:
        yield from _diagnostics(finding)


def _diagnostics(finding: Finding) -> Iterator[str]:
    values = {
        "result": finding.result.value,
        "reason": finding.reason,
        "expected": dict(finding.expected),
        "observed": dict(finding.observed),
        "command": shell_line(finding.command),
        "hint": finding.hint,
    }
    yield "  ---"
    for name, value in values.items():
        yield f"  {name}: {_yaml(value)}"
    yield "  ..."


def _yaml(value: object) -> str:
    """A value, made visible before, in YAML's flow style, of which JSON is a part."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _escaped(text: str) -> str:
    """A description or a reason: a backslash and a hash are escaped (a bare hash begins a directive)."""
    return re.sub(r"([\\#])", r"\\\1", one_line(text))
