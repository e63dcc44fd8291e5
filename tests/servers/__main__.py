"""The program ``python -m tests.servers``: asks the audit in every mode about every server, counts, writes the page."""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.servers.certificates import Authority
from tests.servers.judged import Mode, Score, ask, own_certs, score
from tests.servers.launch import NotStartedError, make_place, missing
from tests.servers.model import Cell, Place
from tests.servers.others import EVERY, SLOW, TOOLS, Three, three_of
from tests.servers.table import CELLS

_PAGE = Path(__file__).parents[2] / "docs/audit.md"
_BEGIN, _END = "<!-- servers: begin -->", "<!-- servers: end -->"


@dataclasses.dataclass(frozen=True)
class Row:
    """One question about one cell: who was asked, what the answer is worth, what was said, how long it took."""

    cell: Cell
    asked: str
    score: Score
    said: str
    seconds: float


def main() -> int:
    """Run the table; exit status 1 if the audit said "enforces" of a server that lets strangers in."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="cells whose name holds this")
    parser.add_argument("--mode", action="append", default=[], choices=list(Mode), help="what the audit is given")
    parser.add_argument("--tools", action="store_true", help="ask the other tools, too")
    parser.add_argument("--write", action="store_true", help="put the table into docs/audit.md")
    arguments = parser.parse_args()
    cells = [cell for cell in CELLS if not arguments.only or any(text in cell.name for text in arguments.only)]
    absent = {cell.name: missing(cell) for cell in cells}
    cells = [cell for cell in cells if not absent[cell.name]]
    with tempfile.TemporaryDirectory(prefix="mtlslab-servers-") as name:
        rows = _run(cells, Path(name), modes=arguments.mode or list(Mode), tools=arguments.tools)
    text = "\n".join([_counts(rows, cells), "", *_faster(rows), *_not_right(rows)])
    sys.stdout.write(f"{text}\n")
    for cell, what in absent.items():
        if what:
            sys.stderr.write(f"not tried, no {what}: {cell}\n")
    if arguments.write:
        _write(text)
    return 1 if any(row.score is Score.FALSE_ENFORCES for row in rows if row.asked in set(Mode)) else 0


def _run(cells: list[Cell], base: Path, *, modes: Sequence[str], tools: bool) -> list[Row]:
    base.chmod(0o755)
    for name, key_type in (("ec", "ec-p256"), ("rsa", "rsa-2048")):
        (base / name).mkdir()
        Authority(key_type).write(base / name)

    def of_cell(numbered: tuple[int, Cell]) -> list[Row]:
        number, cell = numbered
        asked = [tool for tool in TOOLS if tool not in SLOW or number % EVERY == 0] if tools else []
        questions = [*map(str, modes), *asked]
        rows: list[Row] = []
        try:
            for turns in [[one] for one in questions] if cell.counts else [questions]:
                place = make_place(own_certs(cell, base), base / f"{number}-{len(rows)}")
                with cell.start(place):
                    rows += [_ask(cell, place, question) for question in turns]
        except NotStartedError as error:
            sys.stderr.write(f"{cell.name} did not start: {error}\n")
        return rows

    with ThreadPoolExecutor(2) as pool:
        return [row for rows in pool.map(of_cell, enumerate(cells)) for row in rows]


def _ask(cell: Cell, place: Place, question: str) -> Row:
    begin = time.perf_counter()
    if question in TOOLS:
        said = TOOLS[question](cell, place)
        return Row(cell, question, _score_three(cell, said), said.value, time.perf_counter() - begin)
    answer = ask(cell, place, Mode(question))
    seconds = time.perf_counter() - begin
    return Row(cell, question, score(cell, Mode(question), answer), f"{answer.claim}: {answer.sentence}", seconds)


def _score_three(cell: Cell, said: Three) -> Score:
    right = three_of(cell.truth)
    if said is Three.NOT_REQUIRED and right in (Three.NONE, Three.OPTIONAL):
        return Score.RIGHT
    if said is Three.OPEN:
        return Score.RIGHT if right is Three.OPEN else Score.UNDECIDED
    if said is right:
        return Score.RIGHT
    return Score.FALSE_ENFORCES if said is Three.REQUIRED and right is not Three.OPEN else Score.WRONG


def _counts(rows: list[Row], cells: list[Cell]) -> str:
    products = {cell.product for cell in cells}
    lines = [
        f"{len(products)} products, {len(cells)} configurations.",
        "",
        '| asked | cells | right | wrong | of these false "enforces" | undecided | time, median | faster |',
        "|---|---|---|---|---|---|---|---|",
    ]
    client = {row.cell.name: row.seconds for row in rows if row.asked == Mode.CLIENT}
    for asked in dict.fromkeys(row.asked for row in rows):
        own = [row for row in rows if row.asked == asked]
        count = Counter(row.score for row in own)
        wrong = count[Score.WRONG] + count[Score.FALSE_ENFORCES]
        ratios = [row.seconds / client[row.cell.name] for row in own if row.cell.name in client]
        ratio = statistics.median(ratios) if ratios else 1.0
        slower = sum(ratio < 1 for ratio in ratios) if asked in TOOLS else 0
        lines.append(
            f"| {asked} | {len(own)} | {count[Score.RIGHT]} | {wrong} | {count[Score.FALSE_ENFORCES]} "
            f"| {count[Score.UNDECIDED]} | x {ratio:.1f} | {slower if asked in TOOLS else ''} |"
        )
    return "\n".join(lines)


def _faster(rows: Sequence[Row]) -> list[str]:
    """The cells in which a scanner was faster than the audit with a good client."""
    client = {row.cell.name: row.seconds for row in rows if row.asked == Mode.CLIENT}
    ahead = [row for row in rows if row.asked == "sslyze" and row.seconds < client.get(row.cell.name, 0.0)]
    return [
        f"- {row.cell.name}: sslyze took {row.seconds:.1f} s, the audit {client[row.cell.name]:.1f} s" for row in ahead
    ]


def _not_right(rows: Iterable[Row]) -> list[str]:
    listed = [row for row in rows if row.score is not Score.RIGHT and row.asked in set(Mode)]
    return [f"- {row.cell.name} ({row.cell.truth}), {row.asked}: {row.score}: {row.said}" for row in listed]


def _write(text: str) -> None:
    page = _PAGE.read_text() if _PAGE.exists() else f"# audit against other servers\n\n{_BEGIN}\n{_END}\n"
    before, rest = page.split(_BEGIN)
    _PAGE.write_text(f"{before}{_BEGIN}\n{text}\n{_END}{rest.split(_END)[1]}")


if __name__ == "__main__":
    sys.exit(main())
