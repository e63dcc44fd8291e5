"""The border to pyca/cryptography for bytes that somebody else wrote: whatever it raises becomes a ``ValueError``.

The library refuses an odd certificate with errors of many classes, some of them no ``ValueError``, and reads parts of
it only when they are asked for. It also warns of oddities; what is odd we tell ourselves.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator

from mtlslab.errors import LabError

_OURS = re.compile(r"mtlslab\.")
_PANIC = "pyo3_runtime"  # module of the error that a panic in the library's Rust code becomes; no Exception
_WANTED = re.compile(r"kind: (\w+)")


@contextlib.contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn every error of the library inside the block into a ``ValueError`` that begins with ``what``.

    Put nothing but calls of the library into the block. Errors of ours pass through.

    Args:
        what: the problem in words, such as "no readable certificate".

    Raises:
        ValueError: the library refused the bytes, in whatever way.
    """
    _silence()
    try:
        yield
    except LabError:
        raise
    except Exception as error:
        raise ValueError(f"{what}: {_words(error)}") from error
    except BaseException as error:
        if type(error).__module__ != _PANIC:
            raise
        raise ValueError(f"{what}: {_words(error)}") from error


def _silence() -> None:
    """Ignore warnings about what our modules read, also where they are errors (PYTHONWARNINGS=error)."""
    # Not catch_warnings, which is not safe where several threads read. Asked for each time: others change the filters.
    if not any(entry[0] == "ignore" and entry[3] == _OURS for entry in warnings.filters):
        warnings.filterwarnings("ignore", module=_OURS.pattern)


def _words(error: BaseException) -> str:
    """What the library says, without the syntax of its language around it."""
    text = str(error) or type(error).__name__
    kind = _WANTED.search(text)
    if "ParseError" in text and kind:
        return f"it breaks the rules of DER ({kind[1]})"
    return text.partition(" See https://")[0]
