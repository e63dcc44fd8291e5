"""The file of `audit --targets`, and the turns of many audits."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from mtlslab.audit import targets_in
from mtlslab.audit.turns import BrokenOffError, Turns
from mtlslab.errors import SpecError

from tests.support.in_process import invoke

HERE = Path("/some/where")

TEXTS = {
    "lines": "# ours\n\n  https://a\r\nhttps://b/c?d=e\n",
    "yaml": "# ours\n- https://a\n- url: https://b/c?d=e\n",
    "yaml with a head": "---\n- https://a\n- {url: 'https://b/c?d=e'}\n",
    "flow": "[https://a, {url: 'https://b/c?d=e'}]",
    "json": '["https://a", {"url": "https://b/c?d=e"}]',
}


@pytest.mark.parametrize("name", TEXTS)
def test_targets_are_lines_yaml_or_json(name: str) -> None:
    assert [entry.options["url"] for entry in targets_in(TEXTS[name], HERE)] == ["https://a", "https://b/c?d=e"]


def test_files_are_found_from_the_directory_of_the_targets() -> None:
    (entry,) = targets_in("- {url: https://a, cert: x/c.p12, password-file: /etc/pw, sni: ''}", HERE)
    assert entry.options == {
        "url": "https://a",
        "cert": HERE / "x/c.p12",
        "password_file": Path("/etc/pw"),
        "sni": "",
    }


BAD = {
    "": "no target",
    "# nothing": "no target",
    "[]": "must be a list",
    "url: https://a": "must be a list",
    "- 3": "target 1: it must be a URL",
    "- https://a\n- {path: /x}": "target 2: it has no url",
    "- {url: https://a, exspect: x}": "did you mean expect?",
    "- {url: https://a, timeout: soon}": "timeout must be a number",
    "- {url: https://a, insecure: 1}": "insecure must be true or false",
    "- {url: https://a, expect: 3}": "expect must be text",
    "- {url: https://a, url: https://b}": "'url' stands twice",
    '[{"url": "https://a", "url": "https://b"}]': "'url' stands twice",
    '[{"url": "https://a"': "no JSON",
    "- &x https://a\n- *x": "aliases are not taken",
    "- !!python/object/apply:os.getcwd []": "no YAML",
    "- 2024-99-99": "no YAML",
    "- [": "no YAML",
    "[" * 100_000: "nested",
}


@pytest.mark.parametrize("text", BAD, ids=lambda text: text[:30])
def test_what_is_no_list_of_targets_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        targets_in(text, HERE)
    assert BAD[text] in f"{caught.value.what} {caught.value.why}"


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "targets"
    file.write_text("https://localhost:1\nhttp://a\n\nhttps://b c\n")
    done = invoke("audit", "--targets", file)
    assert (done.code, done.out) == (2, "")
    assert "line 2: 'http://a'" in done.err
    assert "line 4: 'https://b c'" in done.err
    file.write_text("- {url: https://a, cert: none.p12}\n- {url: 'https://[::1', key: k}\n")
    done = invoke("audit", "--targets", file)
    assert done.code == 2
    assert f"target 1: --cert {tmp_path}/none.p12 cannot be read. no such file" in done.err
    assert "target 2: 'https://[::1' is no URL" in done.err


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "targets"
    file.write_bytes("https://a\n".encode("utf-16"))
    assert "it is no text in UTF-8" in invoke("audit", "--targets", file).err
    file.write_bytes("\ufeffhttp://a\n".encode())
    assert "'http://a' is no URL" in invoke("audit", "--targets", file).err


class Audit:
    """An audit in a thread of its own: it is surveyed, and ends, when it is told to."""

    def __init__(self, turns: Turns, name: str, order: list[str]) -> None:
        self.begun, self.survey, self.goes_on, self.end = (threading.Event() for _ in range(4))
        self.thread = threading.Thread(target=self._run, args=(turns, name, order))
        self.thread.start()

    def _run(self, turns: Turns, name: str, order: list[str]) -> None:
        with turns.taken() as watch:
            self.begun.set()
            self.survey.wait(10)
            watch.surveyed()
            order.append(name)
            self.goes_on.set()
            self.end.wait(10)


def test_whoever_takes_longest_goes_on_first() -> None:
    """The first holds the only place; of those that wait for it, the one with the longest survey is next."""
    order: list[str] = []
    turns = Turns(surveys=3, audits=1)
    first = Audit(turns, "first", order)
    first.survey.set()
    assert first.goes_on.wait(10)
    slow, quick = Audit(turns, "slow", order), Audit(turns, "quick", order)
    assert slow.begun.wait(10)
    assert quick.begun.wait(10)
    quick.survey.set()
    _wait_for_waiting(turns, 1)
    slow.survey.set()
    _wait_for_waiting(turns, 2)
    for one in (first, slow, quick):
        one.end.set()
    for one in (first, slow, quick):
        one.thread.join(10)
    assert order == ["first", "slow", "quick"]


def test_all_are_surveyed_before_one_goes_on() -> None:
    """There is room for one survey: the second has it before the first goes on."""
    order: list[str] = []
    turns = Turns(surveys=1, audits=2)
    first = Audit(turns, "first", order)
    assert first.begun.wait(10)
    second = Audit(turns, "second", order)
    with turns._changed:
        assert turns._changed.wait_for(lambda: turns._waiting_for_survey == 1, 10)
    first.survey.set()
    assert second.begun.wait(10)
    assert first.goes_on.wait(10)
    for one in (first, second):
        one.survey.set()
        one.end.set()
        one.thread.join(10)
    assert order == ["first", "second"]


def _wait_for_waiting(turns: Turns, number: int) -> None:
    with turns._changed:
        assert turns._changed.wait_for(lambda: len(turns._waiting) == number, 10)


def test_nobody_waits_for_a_turn_once_the_audits_are_broken_off() -> None:
    turns, ended = Turns(surveys=1, audits=0), []

    def audit() -> None:
        try:
            with turns.taken() as watch:
                watch.surveyed()
        except BrokenOffError:
            ended.append("broken off")

    threads = [threading.Thread(target=audit) for _ in range(3)]
    for thread in threads:
        thread.start()
    _wait_for_waiting(turns, 3)
    turns.stop()
    for thread in threads:
        thread.join(10)
    assert ended == ["broken off"] * 3
