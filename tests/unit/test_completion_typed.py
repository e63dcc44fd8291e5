"""Completion as it is typed: a real bash and a real zsh on a terminal of 80 columns, after --install-completion."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from mtlslab.cli.lazy import COMMANDS

from tests.support.cli import mtlslab
from tests.support.in_process import invoke
from tests.support.newcomer import stand_in
from tests.support.other_user import ALICE, home_of, mtlslab_as, root_only

REQUIRED = os.environ.get("MTLSLAB_REQUIRE_CLIENTS") == "1"
BASH_COMPLETION = Path("/usr/share/bash-completion/bash_completion")
SHELLS = {
    "bash": (["bash", "-i"], ".bashrc", f"PS1='% '; bind 'set enable-bracketed-paste off'; . {BASH_COMPLETION}\n"),
    "zsh": (["zsh", "-i"], ".zshrc", "PS1='%% '; bindkey -e; unset zle_bracketed_paste; unsetopt PROMPT_SP\n"),
}
ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[a-zA-Z]|[=>]|\][^\x07]*\x07)")
SECONDS = 30

# What is typed -> what stands there after the Tab key.
TYPED = {
    "mtlslab ver": "mtlslab verify",
    "mtlslab certs revoke al": "mtlslab certs revoke alice",
    "mtlslab verify --only mtls-refuses-expired-": "mtlslab verify --only mtls-refuses-expired-a-second-ago",
    "mtlslab verify --mutant verify-of": "mtlslab verify --mutant verify-off",
    "mtlslab certs issue --fault not-y": "mtlslab certs issue --fault not-yet-valid",
    "mtlslab serve wrong-": "mtlslab serve wrong-host",
    "mtlslab clients chr": "mtlslab clients chromium",
    "mtlslab verify -o ju": "mtlslab verify -o junit",
    "mtlslab explain ssl_client_v": "mtlslab explain ssl_client_verify",
}


class Terminal:
    """A shell on a terminal of its own."""

    def __init__(self, master: int) -> None:
        self._master = master
        self._seen = ""

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def read_until(self, pattern: str) -> re.Match[str]:
        """Read until the screen's text, without colours and moves, has a place like that; then forget it."""
        while not (found := re.search(pattern, self._seen, re.MULTILINE)):
            ready, _, _ = select.select([self._master], [], [], SECONDS)
            assert ready, f"nothing like {pattern!r} came: {self._seen[-2000:]!r}"
            self._seen += os.read(self._master, 65536).decode(errors="replace")
            self._seen = ESCAPE.sub("", self._seen).replace("\r", "")
        self._seen = self._seen[found.end() :]
        return found

    def line_after_tab(self, typed: str) -> str:
        """The command line after the Tab key; it is shown by `echo`, which is put in front of it."""
        self.type(f"{typed}\t\x01echo '=>' \n")
        return self.read_until(r"^=> (.*)$\n")[1].strip()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with completion installed, and a lab with an issued certificate in it."""
    home = tmp_path_factory.mktemp("home")
    stand_in(home / "bin")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert invoke("render", "--dir", "lab", "--key-type", "ec-p256").code == 0
        patch.chdir(home / "lab")
        assert invoke("certs", "issue", "alice").code == 0
    return home


@contextlib.contextmanager
def terminal(shell: str, home: Path) -> Iterator[Terminal]:
    """A shell that has read what --install-completion wrote, in the directory of the lab."""
    words, rc, own = SHELLS[shell]
    if not shutil.which(words[0]) or (shell == "bash" and not BASH_COMPLETION.exists()):
        problem = f"{shell} with its completion is not installed"
        pytest.fail(problem) if REQUIRED else pytest.skip(problem)
    (home / rc).write_text(own)
    environment = {
        "HOME": str(home),
        "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
        "XDG_STATE_HOME": str(home / "state"),
        "TERM": "xterm",
        "LANG": "C.UTF-8",
    }
    # The shell that it is typed in is the one that it is installed for.
    typed = [words[0], "-c", "mtlslab --install-completion; exit $?"]
    subprocess.run(typed, env=environment, check=True, capture_output=True, timeout=60)
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        words, cwd=home / "lab", env=environment, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    try:
        screen = Terminal(master)
        screen.read_until(r"^% ")
        yield screen
    finally:
        process.kill()
        process.wait(10)
        os.close(master)


@pytest.mark.clients
@pytest.mark.parametrize("shell", SHELLS)
def test_the_tab_key_completes_every_kind_of_name(shell: str, home: Path) -> None:
    with terminal(shell, home) as screen:
        assert {typed: screen.line_after_tab(typed) for typed in TYPED} == TYPED


@pytest.mark.clients
def test_zsh_shows_the_whole_summary_of_every_command_within_80_columns(home: Path) -> None:
    with terminal("zsh", home) as screen:
        screen.type("mtlslab \t")
        last = max(COMMANDS)
        shown = screen.read_until(rf"[\s\S]*{last} +-- .*\n?")[0]
        for name, (_, summary) in COMMANDS.items():
            assert re.search(rf"\b{name} +-- {re.escape(summary)}", shown), shown


@pytest.mark.clients
def test_zsh_shows_titles_with_quotes_and_dollars_as_they_are(home: Path) -> None:
    """They go through an eval of the shell."""
    with terminal("zsh", home) as screen:
        screen.type("mtlslab explain ssl_\t")
        assert "-- $ssl_client_verify: what" in screen.read_until(r"[\s\S]*ssl_verify_depth +-- .*\n?")[0]
        screen.type("\x15mtlslab explain nginx-49\t")
        shown = screen.read_until(r"[\s\S]*nginx-499 +-- .*\n?")[0]
        assert "-- 495: the client's certificate is not accepted" in shown


# --- installing it


# The shell is named, whichever the tests were started from.
NAMED = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}


def test_without_a_place_to_write_it_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    run = mtlslab("--install-completion", "bash", cwd=tmp_path, HOME="/dev/null/home", **NAMED)
    assert run.code == 3
    assert "The completion could not be installed." in run.err
    assert "mtlslab --show-completion" in run.err


NO_HOME = "import os; del os.environ['HOME']; from mtlslab.cli.main import main; main()"


@root_only
@pytest.mark.parametrize("option", ["--install-completion", "--show-completion"])
def test_somebody_without_a_name_and_a_home_gets_no_traceback(option: str, tmp_path: Path) -> None:
    home = home_of(ALICE, tmp_path)
    run = mtlslab_as(ALICE, option, "bash", cwd=home, script=NO_HOME, **NAMED)
    if option == "--show-completion":
        assert run.code == 0
        assert "complete -o default" in run.out
    else:
        assert run.code == 3
        assert "The completion could not be installed." in run.err


def test_it_is_installed_for_the_word_mtlslab_however_it_was_started(tmp_path: Path) -> None:
    """The tests start the program as ``python -m mtlslab``; nobody completes that."""
    run = mtlslab("--install-completion", "bash", cwd=tmp_path, HOME=str(tmp_path), **NAMED)
    assert run.code == 0
    (script,) = (tmp_path / ".bash_completions").iterdir()
    assert script.name == "mtlslab.sh"
    assert "complete -o default -F _mtlslab_completion mtlslab" in script.read_text()


def test_a_shell_that_is_not_supported_is_wrong_usage_and_no_verdict(tmp_path: Path) -> None:
    run = mtlslab("--show-completion", "tcsh", cwd=tmp_path, HOME=str(tmp_path), **NAMED)
    assert run.code == 2
