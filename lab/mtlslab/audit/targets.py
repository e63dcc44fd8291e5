"""Reads the file of ``--targets``: one URL a line, or YAML (JSON is YAML, too) with options for each target."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mtlslab.audit.inputs import make_request
from mtlslab.audit.opening import KeyRing
from mtlslab.audit.request import AuditRequest
from mtlslab.errors import SpecError
from mtlslab.plan.choices import one_of

EXAMPLE = "One URL a line (https://localhost:8889), or YAML: - {url: https://localhost:8889, expect: Hello}"
_MAX_SHOWN = 20  # problems

_TEXT, _FILE = "text", "the path of a file"
# Name in the file -> what its value is. The names are those of the command's options.
_OPTIONS = {
    "url": _TEXT,
    "path": _TEXT,
    "expect": _TEXT,
    "sni": _TEXT,
    "connect-to": _TEXT,
    "cacert": _FILE,
    "cert": _FILE,
    "key": _FILE,
    "password-file": _FILE,
    "client-ca-cert": _FILE,
    "client-ca-key": _FILE,
    "insecure": "true or false",
    "timeout": "a number of seconds",
}
# A target that has one of these of its own has nothing to do with the others' of the command line.
_TOGETHER = (
    ("cert", "key", "password_file"),
    ("client_ca_cert", "client_ca_key"),
    ("cacert", "insecure"),
)


@dataclasses.dataclass(frozen=True)
class TargetEntry:
    """One target as it stands in the file.

    Attributes:
        where: its place, such as ``line 3``.
        options: parameters of ``make_request``, and ``password_file``.
    """

    where: str
    options: Mapping[str, Any]


def targets_in(text: str, directory: Path) -> tuple[TargetEntry, ...]:
    """The targets in a text.

    Args:
        text: lines with one URL each, where empty ones and those that begin with # do not count; or a YAML list whose
            items are URLs or mappings.
        directory: what paths in it are relative to.

    Raises:
        SpecError: there is none, or something in it is no target; all that is wrong is told.
    """
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not lines:
        raise SpecError("There is no target.", hint=EXAMPLE)
    if not re.match(r"---|-\s|-$|[\[{]|\w[\w-]*:(\s|$)", lines[0][1]):
        return tuple(TargetEntry(f"line {number}", {"url": line}) for number, line in lines)
    items = _document(text)
    if not isinstance(items, list) or not items:
        raise SpecError("The targets must be a list.", hint=EXAMPLE)
    problems: list[str] = []
    entries = []
    for number, item in enumerate(items, start=1):
        options = {"url": item} if isinstance(item, str) else item
        wrong = _problems(options)
        problems += [f"target {number}: {one}" for one in wrong]
        if not wrong:
            entries.append(TargetEntry(f"target {number}", _parameters(options, directory)))
    _refuse(problems)
    return tuple(entries)


def requests_for(
    entries: Sequence[TargetEntry], defaults: Mapping[str, Any], ring_for: Callable[[Path | None], KeyRing]
) -> list[AuditRequest]:
    """What to audit, with the options of the command line where a target has none of its own.

    Args:
        entries: the targets.
        defaults: parameters of ``make_request``, and ``password_file``.
        ring_for: from a password's file (None for what was given otherwise) to what opens keys.

    Raises:
        SpecError: something of it cannot be used; all that is wrong is told.
    """
    requests, problems = [], []
    for entry in entries:
        options = _merged(defaults, entry.options)
        ring = ring_for(options.pop("password_file", None))
        try:
            requests.append(make_request(**options, ring=ring))
        except SpecError as error:
            told = " ".join(filter(None, (error.what, *error.lines)))
            problems.append(f"{entry.where}: {told}{f' {error.hint}' if error.hint else ''}")
    _refuse(problems)
    return requests


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        more = [f"... and {len(problems) - _MAX_SHOWN} more"] if len(problems) > _MAX_SHOWN else []
        raise SpecError("The targets cannot be used.", why=[*problems[:_MAX_SHOWN], *more], hint=EXAMPLE)


def _merged(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    dropped = {name for group in _TOGETHER if own.keys() & set(group) for name in group}
    if _names_page(own["url"]):
        dropped.add("path")
    return {name: value for name, value in defaults.items() if name not in dropped} | dict(own)


def _names_page(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # told when the target is made of it
        return False
    return parts.path not in ("", "/") or bool(parts.query)


def _problems(options: object) -> list[str]:
    """What is wrong with the options of one target, apart from their values' meaning."""
    if not isinstance(options, dict):
        return [f"it must be a URL, or options with their values, not {options!r}"]
    problems = [] if "url" in options else ["it has no url"]
    for name, value in options.items():
        if name not in _OPTIONS:
            near = difflib.get_close_matches(str(name), _OPTIONS, n=1)
            known = f"did you mean {near[0]}?" if near else f"there are {one_of(_OPTIONS)}"
            problems.append(f"{name!r} is no option of a target: {known}")
        elif not _fits(_OPTIONS[name], value):
            problems.append(f"{name} must be {_OPTIONS[name]}, not {value!r}")
    return problems


def _fits(kind: str, value: object) -> bool:
    if kind in (_TEXT, _FILE):
        return isinstance(value, str) and (kind == _TEXT or bool(value))
    return isinstance(value, bool) if kind == "true or false" else type(value) in (int, float)


def _parameters(options: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    return {
        name.replace("-", "_"): directory / value if _OPTIONS[name] == _FILE else value
        for name, value in options.items()
    }


def _document(text: str) -> Any:
    """A JSON or YAML document as plain values: no tags, no anchors, no key twice.

    Raises:
        SpecError: it is neither.
    """
    if text.lstrip().startswith(("[", "{")):
        try:
            return json.loads(text, object_pairs_hook=_mapping)
        except json.JSONDecodeError as error:
            why = f"line {error.lineno}: {error.msg}"
            if '"' in text:
                raise SpecError("The targets are no JSON.", why=why, hint=EXAMPLE) from error
        except RecursionError as error:
            raise SpecError("The targets are no JSON.", why="it is nested too deeply", hint=EXAMPLE) from error
    return _yaml(text)


def _mapping(pairs: Sequence[tuple[Any, Any]]) -> dict[Any, Any]:
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SpecError("The targets cannot be used.", why=f"{twice!r} stands twice in one target", hint=EXAMPLE)
    return dict(pairs)


def _yaml(text: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Without aliases, with which a short text could become a huge one."""

        def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
            if self.check_event(yaml.AliasEvent):
                mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
                raise yaml.constructor.ConstructorError(None, None, "aliases are not taken", mark)
            return super().compose_node(parent, index)

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            names = [key.value for key, _ in node.value]
            _mapping([(str(name), None) for name in names])
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader)  # noqa: S506  it is a safe loader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        why = f"{where}{getattr(error, 'problem', None) or error}"
        raise SpecError("The targets are no YAML.", why=" ".join(why.split()), hint=EXAMPLE) from error
    except (RecursionError, ValueError) as error:  # a date that is none
        raise SpecError("The targets are no YAML.", why=str(error), hint=EXAMPLE) from error
