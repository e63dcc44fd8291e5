"""Audits as one HTML file for whoever must believe them: what was asked, of whom, with what, what came back."""

from __future__ import annotations

from collections.abc import Sequence

from mtlslab import __version__
from mtlslab.audit import AuditReport, AuditReports
from mtlslab.output.html import VERDICTS, Family, environment, groups_of, troubles_of
from mtlslab.output.look import Attachment
from mtlslab.verify.checks import Result
from mtlslab.verify.report import Finding


def render_evidence(audits: AuditReports, attachment: Attachment | None = None) -> str:
    """The whole file: for many servers a table first, then for each its facts, reasons and attempts.

    Args:
        audits: what was found.
        attachment: the JSON document of the same audits, if it lies beside the file.
    """
    result, headline = VERDICTS[audits.exit_code]
    return (
        environment()
        .get_template("evidence.html.j2")
        .render(
            audits=audits,
            reports=[(report, *VERDICTS[report.exit_code]) for report in audits.reports],
            verdict=result,
            headline=headline,
            attachment=attachment,
            version=__version__,
            attempts_of=_attempts_of,
            troubles_of=lambda report: troubles_of(report.findings),
            skipped_of=_skipped_of,
            versions_of=_versions_of,
        )
    )


def _attempts_of(report: AuditReport) -> list[tuple[str, list[Family]]]:
    """What was tried, by category; what was not is told with its reason elsewhere."""
    return groups_of([one for one in report.findings if one.result is not Result.SKIP])


def _skipped_of(report: AuditReport) -> list[Finding]:
    """What could not be judged, once for all TLS versions."""
    return list({one.family: one for one in report.with_result(Result.SKIP)}.values())


def _versions_of(report: AuditReport) -> Sequence[str]:
    return sorted({one.tls_version for one in report.findings if one.result is not Result.SKIP})
