"""Docstrings that people read: the words of faults, mutants and commands; there also where Python drops them (-OO)."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any


def docstring_of(function: Callable[..., Any]) -> str:
    """The docstring of a function, without indentation; empty if it has none.

    Where Python has dropped it (``python -OO``), it is read from the source.
    """
    kept = inspect.getdoc(function)
    if kept is not None:
        return kept
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):  # no source, no function, or a piece of one
        return ""
    definition = tree.body[0]
    return (ast.get_docstring(definition) or "") if isinstance(definition, ast.FunctionDef) else ""
