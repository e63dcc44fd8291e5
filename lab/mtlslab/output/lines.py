"""Lines of text for people: on one line, or wrapped beside a label."""

from __future__ import annotations

import textwrap

from mtlslab.plan.visible import visible

_WIDTH = 120


def one_line(text: str) -> str:
    """A text, perhaps with a server's words in it, on one line and without characters that could steer a terminal."""
    return visible(" ".join(text.split()))


def wrapped(label: str, text: str) -> list[str]:
    """The lines of a text whose first begins with ``label``; the others are indented as far."""
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_long_words=False,
        break_on_hyphens=False,
    )


def shortened(text: str, most: int) -> str:
    """A text that is no longer than ``most`` characters, for a place where lines are not wrapped."""
    return text if len(text) <= most else f"{text[: most - 3]}..."
