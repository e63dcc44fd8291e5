"""Texts that somebody has looked at: tests/golden.

After a wanted change: ``UPDATE_GOLDEN=1 make quick``; read the difference before it is committed.
"""

from __future__ import annotations

import os

from tests.support.cli import ROOT

GOLDEN = ROOT / "tests/golden"


def as_it_was_looked_at(name: str, text: str) -> bool:
    """Whether ``text`` is what the golden file holds, which is written anew first if that is asked for."""
    file = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN") == "1":
        file.write_text(text, encoding="utf-8")
    return file.read_text(encoding="utf-8") == text
