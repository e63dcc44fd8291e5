"""Which lab a command means."""

from __future__ import annotations

from pathlib import Path

import pytest
from mtlslab.errors import SpecError
from mtlslab.workspace.directory import LabRecord, Workspace
from mtlslab.workspace.target import locate


def make_lab(directory: Path, name: str) -> None:
    space = Workspace(directory)
    space.create()
    space.save(LabRecord(spec={"name": name}))


def test_without_options_it_is_the_lab_in_mtls_lab(tmp_path: Path) -> None:
    target = locate(None, None, here=tmp_path)
    assert (target.name, target.workspace.directory) == ("mtls-lab", tmp_path / "mtls-lab")


def test_inside_a_lab_it_is_that_lab(tmp_path: Path) -> None:
    make_lab(tmp_path, "seven")
    assert locate(None, None, here=tmp_path).name == "seven"


def test_a_name_means_the_directory_of_that_name(tmp_path: Path) -> None:
    assert locate("b", None, here=tmp_path).workspace.directory == tmp_path / "b"


@pytest.mark.parametrize(
    ("directory", "name"), [("My Lab 7", "my-lab-7"), ("tmp.aB3", "tmp-ab3"), ("...", "mtls-lab"), ("ü", "mtls-lab")]
)
def test_a_lab_in_a_given_directory_is_called_after_it(tmp_path: Path, directory: str, name: str) -> None:
    assert locate(None, tmp_path / directory, here=tmp_path).name == name


def test_what_lab_json_says_wins_over_the_directory(tmp_path: Path) -> None:
    make_lab(tmp_path / "somewhere", "seven")
    assert locate(None, Path("somewhere"), here=tmp_path).name == "seven"


def test_a_name_that_contradicts_lab_json_is_refused(tmp_path: Path) -> None:
    make_lab(tmp_path / "x", "seven")
    with pytest.raises(SpecError, match="called 'seven'"):
        locate("eight", tmp_path / "x", here=tmp_path)


@pytest.mark.parametrize("name", ["../x", "", "A", "a b", "a/b", "-a", "a\n"])
def test_a_name_that_could_leave_its_place_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SpecError):
        locate(name, None, here=tmp_path)
    assert list(tmp_path.iterdir()) == []
