"""What nobody unauthorised may be given: the page of the mTLS service, and the files of the workspace."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import stat
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from mtlslab.plan.paths import HELLO
from mtlslab.plan.services import MTLS_SERVICE, TLS_SERVICE
from mtlslab.probe.model import Observation
from mtlslab.workspace.directory import TWINS_DIRECTORY

_MOST_BYTES = 1 << 20
_MOST_FILES = 5000
_SHORTEST = 8  # characters of a sentence by which a page is known again within another text
_MOST_SENTENCES = 200
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n")
_PRIVATE_KEY = "PRIVATE KEY-----"


class Protected:
    """The content that is protected in one workspace, as it lies there now.

    Args:
        directory: the workspace.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._sizes: Mapping[int, list[Path]] | None = None

    @functools.cached_property
    def page(self) -> bytes:
        """The page of the mTLS service; empty when there is none. A link is followed: its target is what is served."""
        return content_of(self._directory / MTLS_SERVICE / HELLO)

    def holds_page(self, seen: Observation) -> bool:
        """Whether an answer holds the page, or a sentence of it, in its body or in a header field."""
        if not self.page:
            return False
        texts = (seen.body, *seen.headers.values())
        if any(sentence in text for sentence in self._sentences for text in texts):
            return True
        return seen.body_size == len(self.page) and seen.body_sha256 == hashlib.sha256(self.page).hexdigest()

    @functools.cached_property
    def _sentences(self) -> tuple[str, ...]:
        """The sentences and lines of the page, but for those that the TLS service shows to everybody."""
        public = content_of(self._directory / TLS_SERVICE / HELLO)
        told = set() if public == self.page else set(_split(public))
        return tuple(one for one in _split(self.page) if len(one) >= _SHORTEST and one not in told)[:_MOST_SENTENCES]

    def file_in(self, seen: Observation) -> str:
        """The file of the workspace whose content an answer is, relative to the workspace; empty when it is none."""
        found = self._file_of(seen.body_size, seen.body_sha256) if seen.body_size else ""
        return found or ("a private key" if _PRIVATE_KEY in seen.body else "")

    def _file_of(self, size: int, sha256: str) -> str:
        """The file of that size and that hash: reading only what has the size is a tenth of reading them all."""
        for path in self._by_size.get(size, ()):
            if hashlib.sha256(content_of(path)).hexdigest() == sha256:
                return path.relative_to(self._directory).as_posix()
        return ""

    @property
    def _by_size(self) -> Mapping[int, list[Path]]:
        with self._lock:  # several procedures ask at the same time
            if self._sizes is None:
                self._sizes = self._look()
            return self._sizes

    def _look(self) -> Mapping[int, list[Path]]:
        found = defaultdict[int, list[Path]](list)
        for path in _walk(self._directory):
            with contextlib.suppress(OSError):
                found[os.stat(path).st_size].append(Path(path))
        return found


def _split(page: bytes) -> list[str]:
    return [one.strip() for one in _SENTENCE.split(page.decode("utf-8", "replace"))]


def _walk(directory: Path) -> Iterator[str]:
    count = 0
    for root, directories, names in os.walk(directory):
        directories[:] = [name for name in directories if name != TWINS_DIRECTORY]
        for name in names:
            count += 1
            if count > _MOST_FILES:
                return
            yield os.path.join(root, name)


def content_of(path: Path) -> bytes:
    """The content of a file of a sensible size; nothing for any other thing, such as a FIFO."""
    try:
        status = path.stat()
        plain = stat.S_ISREG(status.st_mode) and 0 < status.st_size <= _MOST_BYTES
        return path.read_bytes() if plain else b""
    except OSError:
        return b""
