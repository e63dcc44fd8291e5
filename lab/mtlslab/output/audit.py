"""What only an audit has to show: what the server told of itself."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from mtlslab.audit import CLIENT_AUTH_WORDS, AuditReport, AuditReports, ClientAuth, ServerFacts
from mtlslab.output.lines import one_line, shortened, wrapped
from mtlslab.verify.checks import Result

_LABEL_WIDTH = 24
_NAMES_SHOWN = 5
_HOLES_SHOWN = 2
_WAY = 36  # characters


def server_facts(server: ServerFacts, width: int = 0) -> Iterator[str]:
    """The lines below the URL; ``width`` is that of the terminal, 0 where there is none."""
    offers = groupby(sorted(server.tls_versions.items(), key=lambda item: item[1].value), key=lambda item: item[1])
    versions = "; ".join(f"{offer.value}: {', '.join(version for version, _ in group)}" for offer, group in offers)
    asked = {True: "yes", False: "no", None: "could not be told"}[server.certificate_requested]
    names = "; ".join(server.ca_names[:_NAMES_SHOWN]) + (
        f" and {len(server.ca_names) - _NAMES_SHOWN} more" if len(server.ca_names) > _NAMES_SHOWN else ""
    )
    yield from _fact("TLS versions", versions, width)
    yield from _fact("asks for a certificate", asked, width)
    if server.certificate_requested:
        yield from _fact("announced CA names", one_line(names) or "none that could be read", width)
    if server.client_auth is not ClientAuth.UNKNOWN:
        yield from _fact("client authentication", CLIENT_AUTH_WORDS[server.client_auth], width)


def _fact(label: str, text: str, width: int) -> list[str]:
    return wrapped(f"  {label:<{_LABEL_WIDTH}}", text, width)


def render_table(audits: AuditReports) -> str:
    """Many audits as one table, a line for each target, without any other words."""
    head = ("target", "client authentication", "rests on", "how it refuses", "holes", "exit")
    rows = [head, *(_row(report) for report in audits.reports)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ("  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _row(report: AuditReport) -> tuple[str, ...]:
    holes = {one.family for one in report.findings if one.wants_refusal and one.result is Result.FAIL}
    shown = ", ".join(sorted(holes)[:_HOLES_SHOWN]) + (f" and {len(holes) - _HOLES_SHOWN} more" if holes else "")
    shown = shown if len(holes) > _HOLES_SHOWN else ", ".join(sorted(holes))
    ways = report.refusals
    way = shortened(one_line(next(iter(ways), "")), _WAY) + (f" (+{len(ways) - 1})" if len(ways) > 1 else "")
    auth = report.server.client_auth.value
    return one_line(report.title), auth, report.rests_on or "-", way or "-", shown or "-", str(int(report.exit_code))
