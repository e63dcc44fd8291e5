"""Mends what Typer does for zsh: the first Tab key of a shell completes, and texts keep their quotes.

Typer's file for ``~/.zfunc`` only registers the function when zsh loads it, which is at the first Tab key: nothing is
offered then. And a quote in a text ends the shell word that the text stands in.
"""

from __future__ import annotations

from typing import Any

_REGISTER = "compdef %(complete_func)s %(prog_name)s"
# Loaded at a Tab key, the file runs as the function of its own name; read with `source`, it has none.
_COMPLETE_OR_REGISTER = f"""\
if [ "$funcstack[1]" = "_%(prog_name)s" ]; then
  %(complete_func)s "$@"
else
  {_REGISTER}
fi"""


def mend() -> None:
    """Replace Typer's text and its quoting; a Typer that is built otherwise stays as it is."""
    try:
        from typer._completion_classes import ZshComplete
        from typer._completion_shared import _completion_scripts as scripts
    except ImportError:
        return
    scripts["zsh"] = scripts["zsh"].replace(f"\n{_REGISTER}", f"\n{_COMPLETE_OR_REGISTER}")
    ZshComplete.format_completion = _offer  # type: ignore[method-assign, assignment]


def _offer(_self: Any, item: Any) -> str:
    """One offer as ``_arguments`` takes it: ``"value":"text"``."""
    texts = [item.value, " ".join(item.help.split())] if item.help else [item.value]
    return ":".join(f'"{_quoted(text)}"' for text in texts)


def _quoted(text: str) -> str:
    """A text for double quotes within single quotes; a colon in it ends neither value nor text."""
    for sign in ("\\", '"', "$", "`"):
        text = text.replace(sign, f"\\{sign}")
    return text.replace(":", "\\\\:").replace("'", "'\\''")
