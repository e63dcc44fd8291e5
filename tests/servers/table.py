"""The table: all cells of all products."""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter

from tests.servers import products
from tests.servers.model import Cell


def _all() -> list[Cell]:
    cells: list[Cell] = []
    for module in pkgutil.iter_modules(products.__path__):
        cells += importlib.import_module(f"{products.__name__}.{module.name}").CELLS
    twice = [name for name, count in Counter(cell.name for cell in cells).items() if count > 1]
    assert not twice, f"two cells of one name: {twice}"
    return cells


CELLS = _all()
