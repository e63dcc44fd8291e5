"""The table of all figures as Markdown, and its place in docs/performance.md."""

from __future__ import annotations

from pathlib import Path

from benchmarks.figures import Figure, Result

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
HEAD = "| figure | ours | against | theirs | result | target | met |\n|---|---|---|---|---|---|---|\n"


def row(figure: Figure, result: Result | str) -> str:
    """One line of the table; in place of a result the reason why there is none."""
    if isinstance(result, str):
        return f"| {figure.ours} | - | {figure.theirs} | - | not measured: {result} | {figure.target} | - |"
    ours, theirs = (_seconds(value) for value in (result.samples.our_median, result.samples.their_median))
    value = f"{result.value}; {result.remark}" if result.remark else result.value
    met = "-" if figure.target.startswith("(") else "yes" if result.met else "**no**"
    return f"| {figure.ours} | {ours} | {figure.theirs} | {theirs} | {value} | {figure.target} | {met} |"


def write(page: Path, text: str) -> None:
    """Put ``text`` between the two markers of a page.

    Raises:
        ValueError: the page has no markers.
    """
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} lacks {BEGIN} or {END}")
    page.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}", encoding="utf-8")


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"
