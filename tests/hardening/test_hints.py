"""What a hint tells people to type does what it says, whatever the directory of the lab is called."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path, PurePath

import pytest
from mtlslab.plan.shell import shell_line
from mtlslab.probe.curl import curl_command
from mtlslab.probe.model import Attempt, KeyFiles

from tests.support.cli import ROOT, SOURCE, Run, environment, mtlslab
from tests.support.other_user import MALLORY, home_of, mtlslab_as, root_only

NAMES = {
    "quotes": 'it\'s a "lab"; $(touch pwned)',
    "more quotes": 'a "lab" & (touch pwned) | it\'s',  # nginx takes a dollar sign for a variable
    "dash": "-rf",
    "line feed": "a\nlab `touch pwned` %s \\\\",
    "escape": "a\x1b[31mlab\t*",
    "not UTF-8": os.fsdecode(b"lab \xff&touch pwned"),
    "tilde": "~ #é",
}
SMALL = ("--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256")


class Lab:
    """A lab in a directory whose name is an attack on whoever types it; commands are typed beside it."""

    def __init__(self, place: Path, directory: str, name: str) -> None:
        self.place, self.name, self.directory = place, name, place / directory
        self._option = f"--dir={directory}"  # a word of its own would be an option where it begins with a dash
        self._programs = place / "bin"
        self._programs.mkdir()
        program = self._programs / "mtlslab"
        program.write_text(f'#!/bin/sh\nPYTHONPATH="{SOURCE}" exec "{sys.executable}" -m mtlslab "$@"\n')
        program.chmod(0o755)

    def run(self, *words: str | Path) -> Run:
        group, *rest = words
        if group == "certs":
            group, *rest = rest
            return mtlslab("certs", group, self._option, *rest, cwd=self.place)
        return mtlslab(group, self._option, *rest, cwd=self.place)

    def type(self, line: str) -> str:
        """Type a line into a shell that stands beside the lab; it must succeed and leave no trace of an attack."""
        assert "\x1b" not in line
        path = os.pathsep.join([str(self._programs), os.environ["PATH"]])
        done = subprocess.run(
            ["sh", "-ec", line],
            cwd=self.place,
            env=environment(PATH=path),
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (line, done.stderr)
        assert not list(self.place.rglob("pwned"))
        return done.stdout.decode(errors="surrogateescape")


@pytest.fixture(params=NAMES)
def lab(request: pytest.FixtureRequest, tmp_path: Path, lab_name: str) -> Lab:
    lab = Lab(tmp_path, NAMES[request.param], lab_name)
    rendered = lab.run("render", "--name", lab_name, *SMALL)
    assert rendered.code == 0, rendered
    return lab


def hinted(run: Run, before: str, after: str = r"$") -> str:
    """The command that stands in a hint between two expressions."""
    found = re.search(rf"Hint: .*?{before}(.+?){after}", run.err, re.MULTILINE)
    assert found, run
    return found[1]


def printed(text: str, begin: str) -> str:
    """The command in a line of output, from its first words on."""
    found = re.search(rf"^.*?({re.escape(begin)} .*)$", text, re.MULTILINE)
    assert found, text
    return found[1]


def test_an_open_key_is_closed_by_the_command_of_the_hint(lab: Lab) -> None:
    key = lab.directory / "certs/client-ca.key"
    key.chmod(0o644)
    lab.type(hinted(lab.run("certs", "issue", "alice"), "Close it: ", r" \(or new ones"))
    assert key.stat().st_mode & 0o777 == 0o600
    assert lab.run("certs", "issue", "alice").code == 0


def test_what_stands_in_a_files_place_is_moved_away_by_the_command_of_the_hint(lab: Lab) -> None:
    record = lab.directory / "lab.json"
    content = record.read_bytes()
    record.unlink()
    record.mkdir()
    lab.type(hinted(lab.run("render", "--name", lab.name), "Move it away: "))
    assert (lab.directory / "lab.json.old").is_dir()
    record.write_bytes(content)
    assert lab.run("render").code == 0


def test_what_stands_in_a_directorys_place_is_moved_away_by_the_command_of_the_hint(lab: Lab) -> None:
    certs = lab.directory / "certs"
    certs.rename(lab.directory / "elsewhere")
    certs.symlink_to("elsewhere")
    lab.type(hinted(lab.run("certs", "issue", "alice"), "Move it away: "))
    assert (lab.directory / "certs.old").is_symlink()
    assert not certs.is_symlink()


def test_a_damaged_list_is_removed_by_the_command_of_the_hint(lab: Lab) -> None:
    crl = lab.directory / "crl/client-ca.crl"
    crl.parent.mkdir(exist_ok=True)
    crl.write_text("damaged")
    lab.type(hinted(lab.run("certs", "crl"), "all revocations: "))
    assert not crl.exists()


def test_an_nginx_that_is_not_executable_becomes_so_by_the_command_of_the_hint(lab: Lab) -> None:
    nginx = lab.directory / "nginx"
    nginx.write_text("#!/bin/sh\n")
    lab.type(hinted(lab.run("up", "--runtime", "embedded", "--nginx", nginx), ""))
    assert os.access(nginx, os.X_OK)


@root_only
def test_who_owns_what_cannot_be_written_is_told_by_the_command_of_the_hint(lab: Lab) -> None:
    home_of(MALLORY, lab.place)
    refused = mtlslab_as(MALLORY, "render", f"--dir={lab.directory}", cwd=lab.place)
    assert refused.code == 2
    assert len(lab.type(hinted(refused, "See who owns it: ")).splitlines()) >= 2


def test_the_directory_that_a_command_says_to_go_to_is_the_labs(lab: Lab) -> None:
    issued = lab.run("certs", "issue", "alice")
    for text in (
        lab.run("render").out.replace(" && docker compose up", ""),
        issued.out,
        lab.run("certs", "issue", "--fault", "expired").out,
        lab.run("clients", "curl").out,
    ):
        place = lab.type(f"{printed(text, 'cd')}\npwd -P")
        assert os.fsencode(place.removesuffix("\n")) == os.fsencode(lab.directory.resolve())


def test_a_recipe_names_the_lab_to_start(lab: Lab) -> None:
    command = printed(lab.run("clients", "curl").err, "mtlslab up")
    status = lab.type(command.replace("mtlslab up", "mtlslab certs list"))
    assert "certs/client.crt" in status


@pytest.mark.nginx
@pytest.mark.parametrize("lab", ["more quotes", "dash", "tilde"], indirect=True)
def test_a_lab_that_runs_elsewhere_is_taken_down_by_the_command_of_the_hint(lab: Lab) -> None:
    try:
        up = lab.run("up", "--runtime", "embedded")
        assert up.code == 0, up
        place, command = printed(up.out, "cd"), printed(up.out, "curl")
        assert lab.type(f"{place}\n{command}").startswith("Hello World over mutual TLS!")
        other = mtlslab("up", "--name", lab.name, "--dir", "other", "--runtime", "embedded", *SMALL, cwd=lab.place)
        assert other.code == 3
        assert "Removed: " in lab.type(hinted(other, "take that one down: "))
    finally:
        lab.run("down")


WORDS = ["", "a b", "'", '"', "$HOME", "`id`", "a;b", "-x", "~", "#", "*", "\\", "%d", "é"]
CONTROL = ["a\nb", "\n", "a\n\n", "\t\x1b[0m", "\u2028\u200b"]


def test_a_shell_takes_a_line_apart_into_the_words_that_it_was_made_of() -> None:
    words = [*WORDS, *CONTROL, "".join(WORDS + CONTROL), os.fsdecode(b"\xff\xfe%'")]
    line = shell_line(["printf", r"%s\0", *words])
    done = subprocess.run(["sh", "-c", line], capture_output=True, check=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    assert done.stdout.split(b"\0")[:-1] == [os.fsencode(word) for word in words]
    assert shell_line(["curl", "--cert", "./certs/client.crt"]) == "curl --cert ./certs/client.crt"


def test_a_path_is_never_taken_for_an_option() -> None:
    assert shell_line(["mv", PurePath("-f"), PurePath("/-f"), PurePath("a b")]) == "mv ./-f /-f 'a b'"


def test_the_colon_in_the_path_of_a_certificate_does_not_begin_a_password(tmp_path: Path) -> None:
    credential = KeyFiles(tmp_path / "a:b\\c/x.crt", tmp_path / "a:b\\c/x.key")
    command = curl_command(Attempt(1, credential=credential), Path("/elsewhere"))
    assert command[command.index("--cert") + 1] == str(tmp_path / "a\\:b\\\\c/x.crt")
    assert command[command.index("--key") + 1] == str(tmp_path / "a:b\\c/x.key")


def test_no_hint_has_a_path_that_shell_line_did_not_see() -> None:
    """A program's name, words, and then a value put in as it is: a hint cannot know what such a value holds."""
    program = r"(?:mtlslab|cd|rm|mv|ls|cat|chmod|chown|cp|kill|docker|curl|openssl|ssh|sudo|export)"
    raw = re.compile(rf"""\bf["'][^"']*\b{program} (?:[\w=./:-]+ ){{0,3}}[\w=./:-]*\{{(?!shell_line)(\w+(?:\.\w+)*)""")
    harmless = {
        "DEFAULT_IMAGE",
        "REVOKED_FAULT",
        "__version__",
        "_url",
        "serial_hex",
        "report.PROGRAM",
        "verdict.id",
    }  # constants, numbers
    checked = {"name", "stem"}  # names of credentials and faults: plain words
    found = [
        (path.relative_to(ROOT).as_posix(), value)
        for path in (ROOT / "lab").rglob("*.py")
        for value in raw.findall(path.read_text())
        if value not in harmless | checked
    ]
    assert found == []
