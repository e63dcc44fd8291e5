"""Attacks that the lab withstood when it was looked at for them: they stay here, so that it goes on to."""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
import datetime
import io
import json
import os
import ssl
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from mtlslab.output import REPORT_FORMATS, render_report
from mtlslab.pki import issue_ca, issue_client_leaf, key_pem, new_key
from mtlslab.plan.services import SERVICES
from mtlslab.runtime.embedded import processes
from mtlslab.verify.checks import Result
from mtlslab.verify.report import Report
from mtlslab.workspace.credentials import load_client_ca
from mtlslab.workspace.directory import Workspace

from tests.support.cli import Run, mtlslab
from tests.support.foreign_servers import Answer, make_certificates, nginx_server, python_server, server_context
from tests.support.in_process import invoke
from tests.support.report_readers import Page, read_tap
from tests.support.report_values import GOOD, other

EMBEDDED = ("--runtime", "embedded", "--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256")
FEW = ("mtls-serves-client-certificate", "mtls-refuses-no-certificate")
MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>"
# Everything at once that ends a line, a comment, a section or an element in one of the formats, or steers a terminal.
HOSTILE = f"{MARKUP}]]>--></failure>\x1b[2J\r\nok 99 - forged\nnot ok 98 # SKIP\u2028Bail out!\u202e&amp;"


@pytest.fixture
def lab(tmp_path: Path, lab_name: str, nginx_binary: Path) -> Iterator[Path]:
    """The directory of a lab that runs as processes; a test may do anything to it."""
    up = mtlslab("up", "--name", lab_name, *EMBEDDED, cwd=tmp_path)
    assert up.code == 0, up.err
    yield tmp_path / lab_name
    mtlslab("down", "--name", lab_name, "--dir", tmp_path / lab_name, cwd=tmp_path)


def snapshot(place: Path) -> dict[str, object]:
    """Everything below a directory, links not followed: what it is and what it holds."""
    return {
        str(path.relative_to(place)): os.readlink(path)
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in place.rglob("*")
    }


# --- keys are born closed


@dataclasses.dataclass
class Births:
    """Files that were made below a directory, and those that were open to others when they were."""

    place: Path
    made: int = 0
    open_to_others: list[str] = dataclasses.field(default_factory=list)

    def look_at(self, descriptor: int) -> None:
        """Judge a file that was opened with the right to make it: by its descriptor, before a byte is written."""
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if Path(path).is_relative_to(self.place):
            self.made += 1
            if os.fstat(descriptor).st_mode & 0o077:
                self.open_to_others.append(path)


@pytest.fixture
def births(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Births]:
    """Watches every way by which Python makes a file, with a umask that takes no permission away."""
    seen = Births(tmp_path)
    os_open, file_open = os.open, builtins.open

    def by_descriptor(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        descriptor = os_open(path, flags, *rest, **more)
        if flags & os.O_CREAT:
            seen.look_at(descriptor)
        return descriptor

    def by_object(file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        opened = file_open(file, mode, *rest, **more)
        if not isinstance(file, int) and set(mode) & set("wxa"):
            seen.look_at(opened.fileno())
        return opened

    monkeypatch.setattr(os, "open", by_descriptor)
    monkeypatch.setattr(builtins, "open", by_object)
    monkeypatch.setattr(io, "open", by_object)  # what pathlib calls
    before = os.umask(0)
    yield seen
    os.umask(before)


linux_only = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="a descriptor tells its path on Linux only")


@linux_only
def test_whatever_the_umask_files_are_born_closed_and_keys_stay_so(
    births: Births, tmp_path: Path, lab_name: str, nginx_binary: Path
) -> None:
    """No key is open to others for a moment, neither under its own name nor under the one that it is written by."""
    directory = tmp_path / lab_name
    at = ("--dir", directory)
    try:
        assert invoke("up", *at, "--crl", *EMBEDDED).code == 0
        for words in (
            ("issue", "alice"),
            ("issue", "student", "--count", "3"),
            ("issue", "--fault", "expired", "--fault", "stolen-certificate"),
            ("export", "alice"),
            ("revoke", "alice"),
        ):
            assert invoke("certs", *words, *at).code == 0, words
        invoke("verify", *at, "--only", FEW[1])
        assert invoke("up", *at, "--rotate-certs").code == 0
    finally:
        invoke("down", *at)
    assert births.open_to_others == []
    secret = [path for path in directory.rglob("*") if path.suffix in (".key", ".p12")]
    assert len(secret) >= 9
    assert births.made > len(secret)
    assert [path for path in secret if path.stat().st_mode & 0o7777 != 0o600] == []
    assert [path for path in directory.rglob("*") if path.lstat().st_mode & 0o022] == [], "others may write these"


@linux_only
@pytest.mark.parametrize("way", ["open", "Path.write_text", "os.open"])
def test_the_watch_over_births_sees_an_open_file(births: Births, tmp_path: Path, way: str) -> None:
    """The control of the test above."""
    path = tmp_path / "server.key"
    if way == "open":
        open(path, "w").close()
    elif way == "os.open":
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644))
    else:
        path.write_text("")
    assert births.open_to_others == [str(path)]


# --- forged pid and record files

INNOCENT = """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
print("ready", flush=True)
sys.stdin.read()
print(sorted(signal.sigpending()))
"""


@pytest.fixture
def innocent() -> Iterator[subprocess.Popen[str]]:
    """A process of our own user that remembers every signal; at the end it must have got none."""
    command = [sys.executable, "-c", INNOCENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process
        said, _ = process.communicate()
    assert (process.returncode, said) == (0, "[]\n")


def forge(directory: Path, pid: int) -> None:
    """Have everything that lies in the workspace name another process, as exactly as it can be named."""
    import psutil

    start_time = processes.start_time(psutil.Process(pid))
    for service in SERVICES:
        (directory / f"run/{service}.pid").write_text(f"{pid}\n")
        record = directory / f"run/{service}.json"
        document = json.loads(record.read_text()) if record.exists() else {}
        record.write_text(json.dumps({**document, "pid": pid, "start_time": start_time}))


def test_a_forged_pid_or_record_file_gets_no_process_signalled(lab: Path, innocent: subprocess.Popen[str]) -> None:
    """What is signalled is found by what it shows of itself, never by a number in a file."""
    for words in (("reload",), ("up",), ("up", "--days", "30"), ("status",), ("down",), ("down", "--purge")):
        forge(lab, innocent.pid)
        run = mtlslab(*words, cwd=lab)
        assert run.code in (0, 3, 4), run.err  # nginx itself minds a wrong pid file in `reload`
    assert processes.scan(lab.name).services == frozenset()
    assert not lab.exists()


def test_a_record_that_names_another_labs_nginx_does_not_touch_that(lab: Path, tmp_path: Path) -> None:
    """Not even one of the same user that is an nginx of mtlslab, too."""
    name = f"{lab.name}-b"
    assert mtlslab("up", "--name", name, *EMBEDDED, cwd=tmp_path).code == 0
    try:
        before = {master.process for master in processes.scan(name).masters}
        assert len(before) == 2
        for master in before:
            forge(lab, master.pid)
            for words in (("up", "--days", "30"), ("down",)):
                assert mtlslab(*words, cwd=lab).code == 0
        assert {master.process for master in processes.scan(name).masters} == before
    finally:
        mtlslab("down", "--name", name, cwd=tmp_path)


# --- links


def test_purge_removes_links_at_every_depth_and_follows_none(tmp_path: Path) -> None:
    """Neither one that leads to a file or a directory outside, nor one that leads to the directory of another lab."""
    outside = tmp_path / "outside"
    for name in ("outside/deep", "lab"):
        (tmp_path / name).mkdir(parents=True)
    (outside / "deep/precious").write_text("precious")
    (outside / "lab.json").write_text("{}")
    before = snapshot(outside)
    directory = tmp_path / "lab"
    assert invoke("render", "--dir", directory, "--key-type", "ec-p256", "--crl").code == 0
    (directory / "certs/faults").mkdir(exist_ok=True)
    for parent in [path for path in directory.rglob("*") if path.is_dir()]:
        (parent / "to-file.crt").symlink_to(outside / "deep/precious")
        (parent / "to-directory").symlink_to(outside)
    (directory / "run").symlink_to(outside)
    (directory / "logs").mkdir()
    (directory / "logs/nginx-tls.log").symlink_to(outside / "deep/precious")
    assert invoke("down", "--purge", "--dir", directory).code == 0
    assert snapshot(outside) == before
    assert not directory.exists()


# --- names


@pytest.mark.parametrize("words", [("issue",), ("revoke",), ("export",), ("issue", "--overwrite")], ids=" ".join)
@pytest.mark.parametrize(
    "name",
    [
        "../../x",
        "../client",
        "/etc/x",
        "//x",
        "a/../../x",
        "..",
        ".",
        "",
        "x\0y",
        "x\n",
        "~/x",
        "./x",
        "a\\b",
        "\u202ex",
    ],
    ids=ascii,
)
def test_no_name_of_a_credential_leads_out_of_certs(tmp_path: Path, words: tuple[str, ...], name: str) -> None:
    """Refused as a name, before a key is made: nothing is written anywhere."""
    directory = tmp_path / "deep/lab"
    assert invoke("render", "--dir", directory, "--key-type", "ec-p256").code == 0
    before = snapshot(tmp_path)
    run = invoke("certs", *words, "--dir", directory, "--", name)
    assert (run.code, snapshot(tmp_path)) == (2, before), run.err
    assert run.err.replace("\n", "").isprintable()


@pytest.mark.parametrize("name", ["../x", "/x", "a/b", "..", "", "x\0y", "x\n", "-x", "X"], ids=ascii)
def test_no_name_of_a_lab_leads_out_of_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for words in ("render", "down", "up", "status"):
        assert invoke(words, f"--name={name}").code == 2
    assert snapshot(tmp_path) == {"here": None}


# --- a server's words in reports

JUNIT = {
    *("testsuites", "testsuite", "properties", "property", "testcase"),
    *("failure", "error", "skipped", "system-out"),
}


def rendered(report: Report) -> dict[str, str]:
    return {fmt: render_report(report, fmt) for fmt in ("short", "tap", "junit", "json", "html")}


@pytest.mark.parametrize("result", list(Result))
def test_no_field_of_a_finding_adds_a_line_a_point_or_an_element(result: Result) -> None:
    """Whatever stands in it: the report is of the same shape as that of a harmless finding."""
    finding = dataclasses.replace(
        other("bad", result, ""),
        title=HOSTILE,
        category=HOSTILE,
        reason=HOSTILE,
        why=HOSTILE,
        hint=HOSTILE,
        expected={"x": HOSTILE},
        observed={HOSTILE: HOSTILE},
        command=("curl", HOSTILE),
    )
    harmless = dataclasses.replace(GOOD, findings=(other("bad", result, "r"),))
    seen, usual = rendered(dataclasses.replace(GOOD, findings=(finding,))), rendered(harmless)
    assert [(point.ok, point.skipped) for point in read_tap(seen["tap"])] == [
        (point.ok, point.skipped) for point in read_tap(usual["tap"])
    ]
    assert shape(ET.fromstring(seen["junit"])) == shape(ET.fromstring(usual["junit"]))  # noqa: S314  our own
    assert "forged" in ET.fromstring(seen["junit"]).findtext(".//system-out", "")  # noqa: S314
    assert json.loads(seen["json"])["checks"][0]["title"] == HOSTILE
    assert {tag for tag, _ in Page(seen["html"]).elements} <= {tag for tag, _ in Page(usual["html"]).elements}
    assert len(seen["short"].splitlines()) == len(usual["short"].splitlines())
    for fmt in ("short", "tap"):
        assert seen[fmt].replace("\n", "").isprintable()
        assert not [line for line in seen[fmt].splitlines() if line.startswith(("ok 99", "not ok 98", "Bail out"))]


def shape(element: ET.Element) -> list[Any]:
    """Names of elements and attributes, in their order."""
    return [element.tag, sorted(element.attrib), [shape(child) for child in element]]


def show(lab: Path, fmt: str, code: int) -> Run:
    run = mtlslab("verify", "-vv", "-o", fmt, *(word for check in FEW for word in ("--only", check)), cwd=lab)
    assert run.code == code, run.err
    return run


def test_a_hostile_page_and_subject_are_text_in_every_report_of_verify(lab: Path) -> None:
    """The page and headers of a lab that was meddled with, and a client certificate whose name is markup."""
    ca = load_client_ca(Workspace(lab))
    key, now = new_key("ec-p256"), datetime.datetime.now(datetime.UTC)
    client = issue_client_leaf(ca, key, f"CN {MARKUP}"[:64], now=now, days=1)
    (lab / "certs/client.crt").write_bytes(client.certificate_pem())
    (lab / "certs/client.key").write_bytes(key_pem(key))
    conf = lab / "nginx-mtls/nginx.conf"
    page = f"<title>{HOSTILE}</title>{HOSTILE}".replace("'", "")
    meddled = conf.read_text().replace("ssl_verify_client on;", "ssl_verify_client optional;")
    place = "location = /hello-world.txt {"
    assert place in meddled
    meddled = meddled.replace(place, f"{place} default_type text/html; return 403 '{page}';")
    conf.write_text(meddled)
    assert mtlslab("reload", cwd=lab).code == 0
    html = show(lab, "html", 1).out
    seen = Page(html)
    assert not {tag for tag, _ in seen.elements} & {"script", "img"}
    assert not [name for _, attributes in seen.elements for name in attributes if name.startswith("on")]
    assert "<script>alert(1)" in seen.words, "the page or the subject is shown, as text"
    points = read_tap(show(lab, "tap", 1).out)
    assert all(any(check in point.description for check in FEW) for point in points)
    names = [case.get("name", "") for case in ET.fromstring(show(lab, "junit", 1).out).iter("testcase")]  # noqa: S314
    assert len(names) == len(points)
    text = show(lab, "text", 1).out
    assert text.replace("\n", "").isprintable()
    assert not [line for line in text.splitlines() if line.startswith(("ok 99", "Bail out"))]


@contextlib.contextmanager
def hostile_page(place: Path, nginx: Path) -> Iterator[int]:
    """A server whose page, title and announced CA all try to break out of a report."""
    name = f"{MARKUP[:40]}\x1b[2J\nok 99"
    authority = issue_ca(name, new_key("ec-p256"), now=datetime.datetime.now(datetime.UTC), days=9)
    trusted = place / "client-ca.crt"
    trusted.write_bytes(trusted.read_bytes() + authority.certificate_pem())
    page = f"return 403 '<title>{HOSTILE.replace('<', '[')}</title>{HOSTILE}';"  # a title ends at "<"
    directives = f"ssl_verify_client optional; location / {{ default_type text/html; {page} }}"
    with nginx_server(nginx, place, place / "n", directives) as port:
        yield port


@contextlib.contextmanager
def hostile_redirect(place: Path, _nginx: Path) -> Iterator[int]:
    """A server that does so with the address that it sends its clients to."""
    answer = Answer(302, b"", {"Location": f"/{MARKUP}]]>\x1b[2J"})
    with python_server(server_context(place, ssl.CERT_OPTIONAL), lambda _: answer) as port:
        yield port


@pytest.mark.parametrize("server", [hostile_page, hostile_redirect])
def test_a_hostile_servers_words_are_text_in_every_report_of_audit(
    tmp_path: Path, nginx_binary: Path, server: Callable[[Path, Path], AbstractContextManager[int]]
) -> None:
    certs = make_certificates(tmp_path)
    with server(certs, nginx_binary) as port:
        words = ("audit", f"https://localhost:{port}", "--cacert", certs / "server-ca.crt", "-v")
        shown = {fmt: mtlslab(*words, "-o", fmt, cwd=tmp_path).out for fmt in REPORT_FORMATS}
    text, document, xml = (shown[fmt] for fmt in ("text", "json", "junit"))
    for report in (text, shown["short"], shown["tap"]):
        assert report.replace("\n", "").isprintable()
        assert not [line for line in report.splitlines() if line.startswith(("ok 99", "Bail out"))]
    assert len(read_tap(shown["tap"])) == len(json.loads(document)["checks"])
    root = ET.fromstring(xml)  # noqa: S314  our own
    assert {element.tag for element in root.iter()} <= JUNIT
    for report in (text, xml, document, shown["short"], shown["tap"]):
        assert "script>alert(1)" in report or "script&gt;alert(1)" in report, "what the server said is shown"
    assert document.replace("\n", "").isprintable()
