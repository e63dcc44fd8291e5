"""What containers wrote, as lines; of several containers at once while following."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from docker.api import APIClient
from docker.errors import NotFound

from lab.runtime.base import LogLine


def read_logs(api: APIClient, containers: dict[str, str], tail: int | None) -> Iterator[LogLine]:
    """The lines of each container (service -> container id), one container after the other."""
    for service, identity in containers.items():
        yield from _lines(service, _stream(api, identity, follow=False, tail=tail))


def follow_logs(api: APIClient, containers: dict[str, str], tail: int | None) -> Iterator[LogLine]:
    """The lines of all containers (service -> container id) as they come, until all have ended or the caller stops."""
    streams = {service: _stream(api, identity, follow=True, tail=tail) for service, identity in containers.items()}
    lines: queue.SimpleQueue[LogLine | Exception | None] = queue.SimpleQueue()

    def forward(service: str) -> None:
        try:
            for line in _lines(service, streams[service]):
                lines.put(line)
            lines.put(None)
        except Exception as error:  # noqa: BLE001  raised again below, where somebody waits for it
            lines.put(error)

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
        for stream in streams.values():
            if hasattr(stream, "close"):
                stream.close()


def _stream(api: APIClient, identity: str, *, follow: bool, tail: int | None) -> Any:
    try:
        return api.logs(identity, stream=True, follow=follow, tail="all" if tail is None else tail)
    except NotFound:  # removed since it was found
        return ()


def _lines(service: str, chunks: Iterable[bytes]) -> Iterator[LogLine]:
    """Split what the engine sends: its chunks are usually lines, but a long line comes in several."""
    rest = b""
    for chunk in chunks:
        *complete, rest = (rest + chunk).split(b"\n")
        for line in complete:
            yield LogLine(service, line.decode(errors="replace").rstrip("\r"))
    if rest:
        yield LogLine(service, rest.decode(errors="replace"))
