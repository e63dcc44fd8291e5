"""From the words of ``nginx -T``, or from the files themselves, to a configuration. The grammar is crossplane's."""

from __future__ import annotations

import fnmatch
import posixpath
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mtlslab.verify.configuration.model import Configuration, Directive, Position, inside

_MARK = re.compile(r"^# configuration file (.+):$", re.MULTILINE)
_ESCAPED = re.compile(r"\\([\"'\\trn])")
_PLAIN = {"t": "\t", "r": "\r", "n": "\n"}
_MOST_FILES = 1000
_DEEPEST = 20  # includes within includes


class UnreadableError(Exception):
    """It is not a configuration as nginx prints it; the words say why."""


def split_dump(text: str, root: str) -> dict[str, str]:
    """The files in what ``nginx -T`` says: path, relative to the workspace if it lies in it -> text.

    Raises:
        UnreadableError: there is no file in it, or one twice: a comment of a file looks like a mark of nginx.
    """
    marks = list(_MARK.finditer(text))
    if not marks:
        raise UnreadableError("nginx -T prints no file")
    files: dict[str, str] = {}
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        path = inside(root, mark[1])
        if path in files:
            raise UnreadableError(
                f"nginx -T seems to print {path} twice: is there a comment that looks like its marks?"
            )
        files[path] = text[mark.end() + 1 : following.start() if following else len(text)]
    return files


def parse(
    service: str, files: Mapping[str, str], *, root: str = ".", contained: bool = False, whole: bool = False
) -> Configuration:
    """Read the configuration of a service.

    Args:
        service: its name; its main file is ``SERVICE/nginx.conf``.
        files: path -> text of every file that may be included.
        root: the workspace, as that nginx names it.
        contained: whether it runs in a container.
        whole: whether ``files`` are those that nginx reads and no other: one that nothing includes is an error then.

    Raises:
        UnreadableError: a file cannot be read as nginx would read it.
    """
    reader = _Reader(service, files, root, contained=contained)
    try:
        main = tuple(reader.expanded(f"{service}/nginx.conf", 0))
    except RecursionError as error:
        raise UnreadableError("its blocks are nested too deep") from error
    strangers = sorted(set(files) - reader.used)
    if whole and strangers:
        raise UnreadableError(f"nginx -T prints {strangers[0]}, which nothing includes")
    used = {path: text for path, text in files.items() if path in reader.used}
    return Configuration(service, main, tuple(reader.includes), used, contained, root)


class _Reader:
    """Puts the files of one configuration together."""

    def __init__(self, service: str, files: Mapping[str, str], root: str, *, contained: bool) -> None:
        self._service = service
        self._files = files
        self._root = root
        self._contained = contained
        self._parsed = _parse_all(files)
        self.used: set[str] = set()
        self.includes: list[tuple[Directive, tuple[str, ...]]] = []

    def expanded(self, path: str, depth: int) -> Iterator[Directive]:
        """The directives of a file, with those of the files that it includes in their place."""
        if path not in self._parsed or depth > _DEEPEST:
            raise UnreadableError(f"{path} cannot be read")
        self.used.add(path)
        yield from self._directives(self._parsed[path], path, depth)

    def _directives(self, statements: list[dict[str, Any]], path: str, depth: int) -> Iterator[Directive]:
        for statement in statements:
            directive = self._directive(statement, path, depth)
            if directive.name != "include":
                yield directive
                continue
            names = self._included(directive.first)
            self.includes.append((directive, names))
            for name in names:
                yield from self.expanded(name, depth + 1)

    def _directive(self, statement: dict[str, Any], path: str, depth: int) -> Directive:
        block = statement.get("block")
        return Directive(
            name=statement["directive"],
            args=tuple(_unescaped(arg) for arg in statement["args"]),
            place=Position(self._on_disk(path), statement["line"]),
            block=None if block is None else tuple(self._directives(block, path, depth)),
        )

    def _on_disk(self, path: str) -> str:
        """What a container sees as listen.conf is another file of the workspace."""
        listens = self._contained and path == f"{self._service}/listen.conf"
        return f"{self._service}/listen.container.conf" if listens else path

    def _included(self, pattern: str) -> tuple[str, ...]:
        wanted = inside(self._root, posixpath.join(self._service, pattern))
        if not any(sign in wanted for sign in "*?["):
            return (wanted,)
        return tuple(sorted(path for path in self._files if _matches(path, wanted)))


def _matches(path: str, pattern: str) -> bool:
    """As glob(7) does: no sign stands for a slash, and none for the dot at the beginning of a name."""
    names, patterns = path.split("/"), pattern.split("/")
    return len(names) == len(patterns) and all(
        fnmatch.fnmatchcase(name, one) and (not name.startswith(".") or one.startswith("."))
        for name, one in zip(names, patterns, strict=True)
    )


def _unescaped(text: str) -> str:
    """What nginx makes of backslashes in an argument; those before other characters stay."""
    return _ESCAPED.sub(lambda found: _PLAIN.get(found[1], found[1]), text)


def _parse_all(files: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    import crossplane

    if len(files) > _MOST_FILES:
        raise UnreadableError(f"there are {len(files)} files")
    parsed = {}
    # crossplane opens its files itself, by name.
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "nginx.conf"
        for name, text in files.items():
            path.write_text(text, encoding="utf-8", errors="replace")
            said = crossplane.parse(str(path), single=True, check_ctx=False, check_args=False)
            if said["errors"]:
                error = said["errors"][0]
                raise UnreadableError(f"{name}:{error['line']}: {str(error['error']).replace(str(path), name)}")
            parsed[name] = said["config"][0]["parsed"]
    return parsed
