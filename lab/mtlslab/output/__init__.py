"""Looks of values. For each kind of value a table: name of a format -> the function that writes it.

The keys of a table are what ``-o`` takes, what the shell offers and what the help says: a new format is a function and
a row. The functions load what they need when they are called, because ``--help`` needs the tables.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from mtlslab.errors import SpecError
from mtlslab.output.look import Attachment, Look

if TYPE_CHECKING:
    from mtlslab.audit import AuditReport, AuditReports
    from mtlslab.classroom.difference import Difference
    from mtlslab.classroom.page import Page
    from mtlslab.classroom.terms import Term, TermPage
    from mtlslab.verify.checks import Check
    from mtlslab.verify.doors.model import DoorList
    from mtlslab.verify.pictures import Picture
    from mtlslab.verify.proof.prove import Proof
    from mtlslab.verify.report import Report, VerifyReport

__all__ = [
    "AUDIT_FORMATS",
    "DIFF_FORMATS",
    "DOOR_FORMATS",
    "LIST_FORMATS",
    "PAGE_FORMATS",
    "PROOF_FORMATS",
    "REPORT_FORMATS",
    "TABLE_FORMATS",
    "VERIFY_FORMATS",
    "Attachment",
    "Look",
    "Writer",
    "harmless",
    "render",
    "render_list",
    "render_report",
]

ReportT = TypeVar("ReportT", "Report", "VerifyReport", "AuditReport", "AuditReports")
Writer = Callable[[Any, Look], str]
"""From a value and the look that is wanted to text that ends with a line end."""


def harmless(report: ReportT) -> ReportT:
    """The report with the words of strangers made visible (``plan.visible``), for every format that people look at."""
    from mtlslab.plan.visible import visible_values

    return report.with_texts(visible_values)


def _document(value: Any, _look: Look) -> str:
    """Any value with a ``to_mapping``, for programs: words of strangers stay what they are."""
    from mtlslab.plan.visible import json_document

    return json_document(value.to_mapping()) + "\n"


def _text(report: Report, look: Look) -> str:
    from mtlslab.output.text import render_text

    return render_text(harmless(report), look)


def _short(report: Report, look: Look) -> str:
    from mtlslab.output.short import render_short

    return render_short(harmless(report), look)


def _junit(report: Report, _look: Look) -> str:
    from mtlslab.output.junit import render_junit

    return render_junit(harmless(report))


def _tap(report: Report, look: Look) -> str:
    from mtlslab.output.tap import render_tap

    return render_tap(harmless(report), look)


def _html(report: VerifyReport, look: Look) -> str:
    from mtlslab.output.html import render_html

    return _encodable(render_html(harmless(report), look.pictures()), look)


def _encodable(page: str, look: Look) -> str:
    """The page with references for the characters that the stream cannot show."""
    return page if look.unicode else page.encode("ascii", "xmlcharrefreplace").decode()


def _list(checks: Sequence[Check | Term], _look: Look) -> str:
    from mtlslab.output.catalogue import render_text_list

    return render_text_list(checks)


def _list_document(checks: Sequence[Check | Term], _look: Look) -> str:
    from mtlslab.output.catalogue import render_json_list

    return render_json_list(checks)


def _doors(listing: DoorList, _look: Look) -> str:
    from mtlslab.output.doors import render_doors

    return render_doors(listing)


def _page(page: Page | TermPage, look: Look) -> str:
    from mtlslab.classroom.terms import TermPage
    from mtlslab.output.page import render_page, render_term

    return render_term(page, look.width) if isinstance(page, TermPage) else render_page(page, look.width)


def _difference(difference: Difference, look: Look) -> str:
    from mtlslab.output.difference import render_difference

    return render_difference(difference, look)


def _proof(proof: Proof, look: Look) -> str:
    from mtlslab.output.proof import render_proof

    return render_proof(proof, look)


def _table(audits: AuditReports, _look: Look) -> str:
    from mtlslab.output.audit import render_table

    return render_table(audits)


def _junit_of_all(audits: AuditReports, _look: Look) -> str:
    from mtlslab.output.junit import render_junit

    return render_junit(*harmless(audits).reports)


def _evidence(report: AuditReport, look: Look) -> str:
    from mtlslab.audit import AuditReports

    return _evidence_of_all(AuditReports((report,)), look)


def _evidence_of_all(audits: AuditReports, look: Look) -> str:
    from mtlslab.output.evidence import render_evidence

    return _encodable(render_evidence(harmless(audits), look.attachment), look)


REPORT_FORMATS: dict[str, Writer] = {"text": _text, "short": _short, "json": _document, "junit": _junit, "tap": _tap}
"""Reports of every kind."""
VERIFY_FORMATS: ChainMap[str, Writer] = ChainMap({"html": _html}, REPORT_FORMATS)
"""Those, and what is for reports of ``verify`` only."""
AUDIT_FORMATS: ChainMap[str, Writer] = ChainMap({"html": _evidence}, REPORT_FORMATS)
"""Those, and what is for reports of ``audit`` only."""
TABLE_FORMATS: dict[str, Writer] = {
    "text": _table,
    "json": _document,
    "junit": _junit_of_all,
    "html": _evidence_of_all,
}
"""Many audits."""
LIST_FORMATS: dict[str, Writer] = {"text": _list, "json": _list_document}
DOOR_FORMATS: dict[str, Writer] = {"text": _doors, "json": _document}
PAGE_FORMATS: dict[str, Writer] = {"text": _page, "json": _document}
DIFF_FORMATS: dict[str, Writer] = {"text": _difference, "json": _document}
PROOF_FORMATS: dict[str, Writer] = {"text": _proof, "json": _document}


def render_report(
    report: Report,
    fmt: str = "text",
    *,
    colour: bool = False,
    unicode: bool = True,
    width: int = 0,
    verbose: int = 0,
    pictures: Callable[[], Sequence[Picture]] = tuple,
    attachment: Attachment | None = None,
) -> str:
    """A report as text that ends with a line end.

    Args:
        report: the value.
        fmt: a key of ``VERIFY_FORMATS`` or ``AUDIT_FORMATS``.
        colour: as in ``Look``, as are the others.
        unicode: whether the stream can show more than ASCII.
        width: columns of the terminal; 0 where there is none.
        verbose: how much more than usual is wanted, 0 to 2; text only.
        pictures: records handshakes; html of verify only.
        attachment: the file that is written beside it; html of audit only.

    Raises:
        SpecError: there is no such format.
    """
    formats = VERIFY_FORMATS if report.PROGRAM == "verify" else AUDIT_FORMATS
    look = Look(colour=colour, unicode=unicode, width=width, verbose=verbose, pictures=pictures, attachment=attachment)
    return render(report, formats, fmt, look)


def render_list(checks: Sequence[Check | Term], fmt: str = "text") -> str:
    """Checks, and terms of ``explain``, as text that ends with a line end.

    Raises:
        SpecError: there is no such format.
    """
    return render(checks, LIST_FORMATS, fmt)


def render(value: object, formats: Mapping[str, Writer], fmt: str, look: Look | None = None) -> str:
    """A value in one of the ``formats`` that there are for it.

    Raises:
        SpecError: there is no such format.
    """
    if fmt not in formats:
        raise SpecError(f"There is no output format {fmt!r}.", hint=f"Use one of: {', '.join(formats)}")
    return formats[fmt](value, look or Look())
