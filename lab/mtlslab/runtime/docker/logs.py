"""Reads and follows the log lines of containers. The memory used does not depend on the size of the log."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from docker.api import APIClient
from docker.errors import NotFound

from mtlslab.runtime.base import LogLine

MAX_LINE = 1024 * 1024  # bytes; longer lines are split (those of nginx are far shorter)
_WAITING = 1000  # lines that are buffered for a slow reader; after that, reading from the engine pauses


def read_logs(api: APIClient, containers: dict[str, str], tail: int | None) -> Iterator[LogLine]:
    """The lines of each container (service -> container id), one container after the other."""
    for service, identity in containers.items():
        yield from _lines(service, _stream(api, identity, follow=False, tail=tail))


def follow_logs(api: APIClient, containers: dict[str, str], tail: int | None) -> Iterator[LogLine]:
    """The lines of all containers (service -> container id) as they arrive, until all end or the caller stops."""
    streams = {service: _stream(api, identity, follow=True, tail=tail) for service, identity in containers.items()}
    lines: queue.Queue[LogLine | Exception | None] = queue.Queue(_WAITING)
    stopped = threading.Event()

    def forward(service: str) -> None:
        try:
            for line in _lines(service, streams[service]):
                _put(lines, line, stopped)
            _put(lines, None, stopped)
        except Exception as error:  # noqa: BLE001  raised again below, in the caller's thread
            _put(lines, error, stopped)

    for service in streams:
        threading.Thread(target=forward, args=(service,), daemon=True).start()
    try:
        running = len(streams)
        while running:
            line = lines.get()
            if isinstance(line, Exception):
                raise line
            if line is None:
                running -= 1
            else:
                yield line
    finally:
        stopped.set()
        for stream in streams.values():
            if hasattr(stream, "close"):
                stream.close()


def count_lines_with(api: APIClient, container: str, words: bytes) -> int:
    """The number of lines on a container's standard error that contain ``words``."""
    chunks = api.logs(container, stdout=False, stderr=True, stream=True, follow=False)
    return sum(words in line for line in _split(chunks))


def _put(lines: queue.Queue[Any], item: object, stopped: threading.Event) -> None:
    """Put an item into the queue; wait for space until ``stopped`` is set, when nothing reads the queue any more."""
    while not stopped.is_set():
        with contextlib.suppress(queue.Full):
            lines.put(item, timeout=1)
            return


def _stream(api: APIClient, identity: str, *, follow: bool, tail: int | None) -> Any:
    try:
        return api.logs(identity, stream=True, follow=follow, tail="all" if tail is None else tail)
    except NotFound:  # removed since it was found
        return ()


def _lines(service: str, chunks: Iterable[bytes]) -> Iterator[LogLine]:
    return (LogLine(service, line.decode(errors="replace").rstrip("\r")) for line in _split(chunks))


def _split(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Split the engine's chunks into lines: a chunk usually is a line, but a long line comes in several chunks."""
    rest = bytearray()
    for chunk in chunks:
        rest += chunk
        if b"\n" in chunk:
            *complete, last = bytes(rest).split(b"\n")
            yield from complete
            rest = bytearray(last)
        if len(rest) > MAX_LINE:
            yield bytes(rest)
            rest.clear()
    if rest:
        yield bytes(rest)
