"""``python -m benchmarks``: measure the figures and print the table."""

from __future__ import annotations

import argparse
import datetime
import fnmatch
import shlex
import sys
from pathlib import Path

from mtlslab import __version__

from benchmarks.figures import FIGURES, Figure, NotMeasuredError, Result
from benchmarks.measure import ROOT, machine
from benchmarks.places import Places, open_places
from benchmarks.table import HEAD, row, write

PAGE = ROOT / "docs" / "performance.md"


def main() -> int:
    """Measure what was asked for; exit status 1 when a target was missed."""
    arguments = _parser().parse_args()
    if arguments.list:
        _print("\n".join(f"{name:<28} {figure.ours} / {figure.theirs}" for name, figure in FIGURES.items()))
        return 0
    chosen = _chosen(arguments.only or ["*"])
    head = [*machine(), f"mtlslab {__version__}, {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC"]
    head.append(f"medians of {arguments.runs} runs (short ones: more), both sides in turns")
    rows, missed = [], []
    with open_places() as places:
        for figure in chosen:
            _talk(f"{figure.name} ...")
            result = _measured(figure, places, arguments.runs)
            rows.append(row(figure, result))
            _talk(rows[-1])
            if isinstance(result, Result) and not result.met and not figure.target.startswith("("):
                missed.append(figure.name)
    command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
    text = "\n".join([f"Made by `{command}`:", "", *(f"- {line}" for line in head), "", HEAD + "\n".join(rows)])
    _print(text)
    if arguments.write:
        write(arguments.write, text)
    _talk(f"missed: {', '.join(missed)}" if missed else "every target that was measured is met")
    return 1 if missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help="only this figure, or a pattern; repeatable")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="runs of each side (5)")
    parser.add_argument("--list", action="store_true", help="list the figures, measure nothing")
    parser.add_argument(
        "--write", nargs="?", const=PAGE, type=Path, metavar="FILE", help=f"put the table into FILE ({PAGE.name})"
    )
    return parser


def _chosen(patterns: list[str]) -> list[Figure]:
    found = [figure for name, figure in FIGURES.items() if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    if not found:
        raise SystemExit(f"No figure is called so. There are: {', '.join(FIGURES)}")
    return found


def _measured(figure: Figure, places: Places, runs: int) -> Result | str:
    try:
        return figure.measure(places, runs)
    except NotMeasuredError as error:
        return str(error)


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _talk(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
