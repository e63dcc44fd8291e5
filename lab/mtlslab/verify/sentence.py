"""The sentence that a run of a lab's checks comes down to: derived from what happened to whom, the worst first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mtlslab.errors import ExitCode
from mtlslab.verify.checks import Result
from mtlslab.verify.checks.model import CONFIGURATION, MISSING, REFUSED_CLIENTS

if TYPE_CHECKING:
    from mtlslab.verify.report import Finding, VerifyFinding, VerifyReport

_NAMES_SHOWN = 3
_NO_PAGE = (404, 410)


def sentence_of(report: VerifyReport) -> str:
    """The one sentence that everything comes down to."""
    lab, counts = f'lab "{report.lab}"', report.summary
    failed, unknown = report.with_result(Result.FAIL), report.with_result(Result.INCONCLUSIVE)
    if failed:
        return _failed_sentence(report)
    if report.exit_code is ExitCode.CHECK_FAILED:
        return f"{lab} does not pass --strict: {_warned(report)} ({_names(report.with_result(Result.WARN))})."
    if report.exit_code is ExitCode.INCONCLUSIVE:
        without = f"{_checks(len(unknown))} without an answer{_untried(counts)}"
        return f"{lab} could not be judged here: {without}{_in_brackets(unknown)}."
    passed = f"{_checks(counts['pass'])} passed{_warned(report, ', ')}{_untried(counts)}."
    if not report.complete:
        return f"{lab}: {passed} That is a selection; whether it enforces mTLS takes all checks."
    differs = any(finding.differs for finding in report.findings)
    keyless = any(MISSING in finding.observed for finding in report.findings)
    far = " as far as that can be tried without the private key of a CA" if keyless else ""
    return f"{lab} enforces mTLS{far}{', but is stricter or other than rendered' if differs else ''}: {passed}"


def without_page(status: object) -> str:
    """What becomes of an authorised client that is let in and gets no page; ``status`` is the HTTP status."""
    if status in _NO_PAGE:
        return f"has no page for the authorised one (HTTP {status})"
    return f"does not serve the authorised one (HTTP {status}, although its certificate is good)"


def _failed_sentence(report: VerifyReport) -> str:
    """What has failed, told by what happened: the worst first."""
    failed = [finding for finding in report.findings if finding.result is Result.FAIL]
    let_in = [finding for finding in failed if finding.lets_in]
    turned_away = [finding for finding in failed if finding.turns_away]
    if let_in:
        verdict = "lets unauthorised clients in" + (" and does not serve its own client" if turned_away else "")
    elif turned_away:
        verdict = _turned_away(report, turned_away)
    elif all(finding.category == CONFIGURATION for finding in failed):
        verdict = "is NOT configured as it should be"
    else:
        verdict = "is NOT as it should be"
    told = sorted(failed, key=lambda one: (not one.lets_in, not one.turns_away))
    many = f"{len(failed)} of {_checks(len(report.findings))}"
    return f'lab "{report.lab}" {verdict}: {many} failed{_untried(report.summary)}{_in_brackets(told)}.'


def _turned_away(report: VerifyReport, failed: Sequence[VerifyFinding]) -> str:
    """What became of the lab's own client, and of the others, as far as they were tried."""
    if not all(finding.accepted for finding in failed):
        return "does not serve its own client"
    others = [one for one in report.findings if one.category == REFUSED_CLIENTS and one.result is not Result.SKIP]
    kept_out = bool(others) and all(one.result in (Result.PASS, Result.WARN) for one in others)
    first = "refuses unauthorised clients, but" if kept_out else "lets its own client in, and"
    return f"{first} {without_page(failed[0].observed.get('status'))}"


def _warned(report: VerifyReport, before: str = "") -> str:
    """How many warnings there are, and how many of them stand for what nginx does by design."""
    warnings = report.with_result(Result.WARN)
    by_design = sum(finding.by_design for finding in warnings)
    if not warnings:
        return ""
    what = "1 warning" if len(warnings) == 1 else f"{len(warnings)} warnings"
    lessons = "" if not by_design else " (by design)" if by_design == len(warnings) else f" ({by_design} by design)"
    return f"{before}{what}{lessons}"


def _checks(count: int) -> str:
    return f"{count} check" if count == 1 else f"{count} checks"


def _untried(counts: Mapping[str, int]) -> str:
    return f", {counts['skip']} not tried" if counts["skip"] else ""


def _in_brackets(findings: Sequence[Finding]) -> str:
    return f" ({_names(findings)})" if findings else ""


def _names(findings: Sequence[Finding]) -> str:
    names = list(dict.fromkeys(finding.family for finding in findings))
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more
