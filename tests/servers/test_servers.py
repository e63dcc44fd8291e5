"""The audit is right about servers that are not ours, whatever they are; see table.py for the servers."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.servers import oracle
from tests.servers.certificates import Authority
from tests.servers.judged import Mode, Score, ask, own_certs, score
from tests.servers.launch import make_place, missing
from tests.servers.model import Cell
from tests.servers.table import CELLS

REQUIRED = os.environ.get("MTLSLAB_REQUIRE_CLIENTS") == "1"

# In a CI the light ones alone, all of which must be there; elsewhere whatever is installed.
TRIED = [cell for cell in CELLS if cell.light or not REQUIRED]
MODES = (Mode.CACERT, Mode.CLIENT)
WRONG = (Score.WRONG, Score.FALSE_ENFORCES)

pytestmark = [pytest.mark.clients, pytest.mark.nginx]


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certs")
    for name, key_type in (("ec", "ec-p256"), ("rsa", "rsa-2048")):
        (directory / name).mkdir()
        Authority(key_type).write(directory / name)
    return directory


def require_installed(cell: Cell) -> None:
    lacking = missing(cell)
    if lacking and cell.light and REQUIRED:
        pytest.fail(f"{lacking} is required here")
    if lacking:
        pytest.skip(f"no {lacking}")


def test_the_table_is_as_wide_as_it_says() -> None:
    products = Counter(cell.product for cell in CELLS)
    assert len(products) >= 25
    assert len(CELLS) >= 120


@pytest.mark.parametrize("cell", TRIED, ids=lambda cell: cell.name)
def test_the_truth_is_what_the_oracle_finds_and_the_audit_says_nothing_wrong(
    cell: Cell, certs: Path, tmp_path: Path
) -> None:
    """Right, or undecided: how many are undecided is counted in docs/audit.md, with the slow mode beside it."""
    require_installed(cell)
    wrong = []
    for number, modes in enumerate([(mode,) for mode in MODES] if cell.counts else [MODES]):
        place = make_place(own_certs(cell, certs), tmp_path / f"server-{number}")
        with cell.start(place):
            if cell.oracle:
                assert oracle.judge(cell, place) is cell.truth
            answers = {mode: ask(cell, place, mode) for mode in modes}
        if cell.hidden:
            answers.pop(Mode.CACERT, None)
        wrong += [(mode, one) for mode, one in answers.items() if score(cell, mode, one) in WRONG]
    assert not wrong
