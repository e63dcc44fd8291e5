"""One engine: nothing of the package but the probe connects to a server, shakes hands with it or reads its pages."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "lab" / "mtlslab"
OTHERS = sorted(path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] != "probe")
# How Python makes client contexts, shakes hands and parses HTTP.
IN_USE = {"wrap_bio", "PROTOCOL_TLS_CLIENT", "HTTPResponse", "keylog_filename", "set_alpn_protocols"}
TOOLS = IN_USE | {"create_default_context", "HTTPConnection", "HTTPSConnection", "urlopen"}


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_other_room_has_the_tools_of_an_engine(path: Path) -> None:
    """Nor has it a way of its own to find a page's title."""
    tree = ast.parse(path.read_text())
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    used |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert used & TOOLS == set()
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert [text for text in texts if "<title>" in text] == []


def test_the_probe_has_them_and_one_builder_of_contexts() -> None:
    """Otherwise the test above would look for the wrong words."""
    trees = [ast.parse(path.read_text()) for path in (PACKAGE / "probe").glob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    used = [node.attr for node in nodes if isinstance(node, ast.Attribute)]
    assert set(used) >= IN_USE
    assert used.count("PROTOCOL_TLS_CLIENT") == 1
    assert used.count("wrap_bio") == 2  # the client's, and that of the server which it meets in memory
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert len([text for text in texts if "<title>" in text]) == 1
