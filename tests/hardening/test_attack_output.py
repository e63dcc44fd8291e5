"""Words of strangers neither steer a terminal nor begin a line of their own, wherever the program prints them."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import datetime
import fcntl
import html.parser
import json
import os
import pty
import re
import socket
import ssl
import subprocess
import sys
import termios
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID
from mtlslab import pki
from mtlslab.handshake import Message, Sender, Transcript
from mtlslab.output import AUDIT_FORMATS, VERIFY_FORMATS, render_report
from mtlslab.plan.visible import json_document, visible, visible_json
from mtlslab.verify.checks import Result
from mtlslab.verify.pictures import Picture
from mtlslab.verify.report import VerifyReport

from tests.support.cli import SOURCE, command, environment, mtlslab
from tests.support.report_values import GOOD, other
from tests.support.terminal import everything_from
from tests.support.verify_lab import tcp_server

# A name in a certificate may be longer than RFC 5280 allows.
pytestmark = pytest.mark.filterwarnings("ignore:Attribute's length")

# One of each kind: terminal commands of 7 and 8 bits, line ends, NUL, DEL, reading direction, what nobody sees, halves.
CONTROLS = (
    "\x1b]0;owned\x07\x1b[2J\x1b[1A\x9b2J\x9d0;x\x9c\x00\x08\x0c\x7f\r\n\t\x0b\x85\u2028\u2029"
    "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"
    "\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e\u3164\u115f\U000e0041\ufff9\udc80\ud83d"
)
FORGED_LINE = "\nlab enforces mTLS: 178 checks passed.\n"
HOSTILE = f"{CONTROLS}{FORGED_LINE}<script>&\"']]>\\"
READABLE = "Grüße, 中文, עברית, العربية, 🎉, e\u0301, ÅÄÖ, naïve\u00a0text, C:\\dir"
PRINTERS = {"mtlslab/cli/terminal.py"}
STREAMS = {"mtlslab/cli/main.py"}  # has closed streams replaced; prints nothing
# A program of its own that writes the log file, and what writes a file in memory: neither writes to a terminal.
FILE_WRITERS = {"mtlslab/runtime/embedded/logwriter.py", "mtlslab/runtime/embedded/marks.py"}


def require_harmless(text: str) -> None:
    """Nothing but line feeds in it is other than what it looks like."""
    found = sorted({ascii(char) for char in text if char != "\n" and visible(char) != char})
    assert not found, f"{found} in {text!r}"


def test_each_kind_of_control_becomes_an_escape_on_the_same_line() -> None:
    for char in filter(lambda char: not char.isascii() or not char.isprintable(), CONTROLS):
        shown = visible(f"a{char}b")
        assert shown.isprintable(), ascii(char)
        assert re.fullmatch(r"a\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|[rnt])b", shown), shown
        assert json.loads(f'"{visible_json(char)}"') == char
        assert visible_json(char).isprintable()


def test_every_control_and_format_character_of_unicode_becomes_an_escape() -> None:
    kinds = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    steering = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in kinds]
    assert len(steering) > 2000
    assert [ascii(char) for char in steering if char in visible(char) or char in visible_json(char)] == []


def test_what_people_write_stays_readable() -> None:
    assert visible(READABLE) == READABLE
    assert visible_json(READABLE) == READABLE
    assert visible_json("ä🎉", ascii_only=True) == "\\u00e4\\ud83c\\udf89"


def test_only_the_terminal_module_prints() -> None:
    """Who adds a command cannot go around the border without touching this list."""
    forbidden = re.compile(
        r"(typer|click)\.(s?echo|secho|print|style)|print|sys\.(std\w+|__std\w+)|os\.write|rich(\..*)?|input|(?:.*\.)?getwriter"
    )
    for file in sorted(SOURCE.rglob("*.py")):
        name = file.relative_to(SOURCE).as_posix()
        if name in PRINTERS | STREAMS | FILE_WRITERS:
            continue
        tree = ast.parse(file.read_text())
        used = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Attribute)}
        imported = {
            f"{node.module}.{alias.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        assert {word for word in used | imported if forbidden.fullmatch(word)} == set(), name


def test_the_module_that_mends_streams_prints_nothing() -> None:
    for name in STREAMS:
        calls = [node for node in ast.walk(ast.parse((SOURCE / name).read_text())) if isinstance(node, ast.Call)]
        called = {ast.unparse(call.func) for call in calls}
        assert not {word for word in called if word.endswith((".write", ".echo", ".writelines", "print"))}


# --- reports


def hostile_report(result: Result) -> VerifyReport:
    finding = other(
        "hostile",
        result,
        f"The server said {HOSTILE}",
        observed={"answer": HOSTILE, "title": HOSTILE, "server": {"subject": HOSTILE, "list": [HOSTILE]}},
        expected={"reason": HOSTILE},
        command=("curl", f"https://{HOSTILE}/", "--cert", f"./{HOSTILE}.crt"),
    )
    return dataclasses.replace(GOOD, runtime=HOSTILE, findings=(GOOD.findings[0], finding))


@pytest.mark.parametrize("result", list(Result))
@pytest.mark.parametrize("fmt", VERIFY_FORMATS)
def test_a_report_is_harmless_and_well_formed_in_every_format(fmt: str, result: Result) -> None:
    report = hostile_report(result)
    text = render_report(report, fmt, verbose=2, pictures=tuple)
    require_harmless(text)
    assert "\nlab enforces mTLS" not in text
    text.encode("utf-8")
    READERS.get(fmt, read_lines)(text)


def read_html(text: str) -> None:
    tags: list[str] = []
    parser = html.parser.HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append(tag)  # type: ignore[method-assign]  # noqa: ARG005
    parser.feed(text)
    assert "html" in tags
    assert "script" not in tags


def read_tap(text: str) -> None:
    lines = text.removesuffix("\n").split("\n")
    assert lines[:2] == ["TAP version 14", "1..2"]
    points = [line for line in lines if re.match(r"(not )?ok\b", line)]
    assert len(points) == 2
    for block in re.findall(r"^  ---\n(.*?)^  \.\.\.$", text, re.MULTILINE | re.DOTALL):
        assert "subject" in str(yaml.safe_load(block))


def read_junit(text: str) -> None:
    assert len(ET.fromstring(text).findall(".//testcase")) == 2  # noqa: S314  our own report


def read_json(text: str) -> None:
    """For programs the words stay what they were."""
    told = json.loads(text)["checks"][1]["observed"]["answer"]
    assert ascii(told) == ascii(HOSTILE)
    assert text.isascii()


def read_lines(text: str) -> None:
    assert len([line for line in text.split("\n") if "The server said" in line]) <= 1


READERS = {
    "html": read_html,
    "tap": read_tap,
    "junit": read_junit,
    "json": read_json,
    "text": read_lines,
    "short": read_lines,
}


@pytest.mark.parametrize("fmt", ["text", "short"])
def test_with_colours_the_only_commands_are_our_own_styles(fmt: str) -> None:
    report = hostile_report(Result.FAIL)
    coloured = render_report(report, fmt, colour=True)
    assert coloured.count("\x1b[") > 0
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == render_report(report, fmt)


def test_a_drawn_handshake_is_harmless() -> None:
    message = Message(Sender.SERVER, HOSTILE, 10, encrypted=True, details={"page": HOSTILE})
    transcript = Transcript(HOSTILE, "1.3", HOSTILE, (message,), error=HOSTILE)
    text = render_report(GOOD, "html", pictures=lambda: (Picture("one", HOSTILE, HOSTILE, transcript),))
    require_harmless(text)
    read_html(text)


def test_a_document_for_programs_is_ascii_and_means_the_same() -> None:
    text = json_document({"a": HOSTILE, "b": READABLE})
    assert ascii(json.loads(text)) == ascii({"a": HOSTILE, "b": READABLE})
    require_harmless(text)
    assert text.isascii()


# --- certificates, and what else lies in files


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of a stranger whose names hold all that a certificate can hold."""
    words = HOSTILE.encode("utf-8", "ignore").decode()
    key = pki.new_key("ec-p256")
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, words, _validate=False),
            x509.NameAttribute(NameOID.STREET_ADDRESS, words),
        ]
    )
    ascii_words = words.encode("ascii", "ignore").decode()
    names = x509.SubjectAlternativeName([x509.DNSName(ascii_words), x509.UniformResourceIdentifier(ascii_words)])
    first, last = pki.validity(datetime.datetime.now(datetime.UTC), 1)
    made = pki.issue(subject, key, [(names, False)], issuer=None, not_before=first, not_after=last)
    file = tmp_path / "stranger.crt"
    file.write_bytes(made.certificate_pem())
    return file


def test_certs_show_is_one_line_for_each_fact(certificate: Path, tmp_path: Path) -> None:
    run = mtlslab("certs", "show", certificate, cwd=tmp_path)
    assert run.code == 0, run.err
    require_harmless(run.out)
    assert len(run.out.splitlines()) == 10
    assert "\\x1b" in run.out
    assert "\\u202e" in run.out
    document = json.loads(mtlslab("certs", "show", certificate, "-o", "json", cwd=tmp_path).out)
    assert "\x1b" in document["subject"]


def test_certs_list_is_one_line_for_each_certificate(certificate: Path, tmp_path: Path, lab_name: str) -> None:
    """A file name is a stranger's word, too."""
    assert mtlslab("render", "--name", lab_name, "--key-type", "ec-p256", cwd=tmp_path).code == 0
    name = "\x1b[2J\u202e\nx\x9b.crt"
    (tmp_path / lab_name / "certs" / name).write_bytes(certificate.read_bytes())
    run = mtlslab("certs", "list", "--name", lab_name, cwd=tmp_path)
    assert run.code == 0, run.err
    require_harmless(run.out)
    assert len(run.out.splitlines()) == 5
    assert run.out.isprintable() or run.out.count("\n") == 5
    report = mtlslab("certs", "list", "--name", lab_name, "-o", "json", cwd=tmp_path).out
    require_harmless(report)
    assert f"certs/{name}" in {row["file"] for row in json.loads(report)["certificates"]}


@pytest.mark.parametrize(
    "words",
    [
        ("certs", "show", "FILE"),
        ("certs", "list", "--dir", "FILE"),
        ("status", "--dir", "FILE"),
        ("logs", "FILE"),
        ("explain", "FILE"),
        ("clients", "FILE"),
        ("certs", "issue", "--fault", "FILE"),
        ("audit", "FILE"),
        ("audit", "https://localhost", "--cacert", "FILE"),
        ("serve", "FILE"),
        ("verify", "-o", "FILE"),
        ("up", "--image", "FILE"),
        ("FILE",),
        ("status", "--FILE"),
        ("--FILE",),
        ("status", "FILE"),
        ("up", "--tls-port", "FILE"),
    ],
    ids=" ".join,
)
def test_an_error_tells_a_name_without_obeying_it(words: tuple[str, ...], tmp_path: Path) -> None:
    name = "x\x1b]0;owned\x07\u202e\x9b2J\nError: all is well\n  Hint: rm -rf ~"
    run = mtlslab(*(word.replace("FILE", name) for word in words), cwd=tmp_path)
    assert run.code in (2, 4)
    require_harmless(run.out)
    require_harmless(run.err)
    assert "\nError: all" not in run.err
    assert "\n  Hint: rm" not in run.err


# --- a server that means harm


@contextlib.contextmanager
def hostile_server(directory: Path) -> Iterator[int]:
    """Asks for certificates of CAs with steering names, and answers with a page and headers of that kind."""
    words = HOSTILE.encode("utf-8", "ignore").decode()
    now = datetime.datetime.now(datetime.UTC)
    first, last = pki.validity(now, 1)
    key = pki.new_key("ec-p256")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, words, _validate=False)])
    ca = pki.issue(subject, key, pki.ca_extensions(None), issuer=None, not_before=first, not_after=last)
    server_key = pki.new_key("ec-p256")
    extensions = pki.server_extensions(server_key, ["localhost"])
    server = pki.issue(subject, server_key, extensions, issuer=ca, not_before=first, not_after=last)
    (directory / "ca.crt").write_bytes(ca.certificate_pem())
    (directory / "server.pem").write_bytes(server.certificate_pem() + server.key_pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem")
    context.load_verify_locations(directory / "ca.crt")
    context.verify_mode = ssl.CERT_OPTIONAL
    body = f"<html><head><title>{words}</title></head><body>{words}</body></html>".encode()
    head = f"HTTP/1.1 403 {CONTROLS}".encode("utf-8", "ignore").replace(b"\r", b"").replace(b"\n", b"")

    def answer(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(65536)
            tls.sendall(head + b"\r\nX-SSL-Client-Verify: \x1b[2J\xc2\x9b\r\n")
            tls.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    with tcp_server(answer) as port:
        yield port


@pytest.mark.parametrize("fmt", AUDIT_FORMATS)
def test_an_audit_does_not_obey_the_server(fmt: str, tmp_path: Path) -> None:
    with hostile_server(tmp_path) as port:
        target = ("audit", f"https://localhost:{port}", "--cacert", "ca.crt", "-v", "-o", fmt)
        run = mtlslab(*target, cwd=tmp_path)
        assert mtlslab(*target, "--output-file", "report", cwd=tmp_path).out == ""
    for text in (run.out, (tmp_path / "report").read_text()):
        require_harmless(text)
        assert "\nlab enforces mTLS" not in text
        if fmt == "junit":
            ET.fromstring(text)  # noqa: S314  our own report
        if fmt == "json":
            json.loads(text)
    assert "403" in run.out or fmt not in READERS
    require_harmless(run.err)


# --- what nginx says


@pytest.mark.nginx
def test_what_nginx_says_steers_nothing(tmp_path: Path, lab_name: str, nginx_binary: Path) -> None:
    """A client without a certificate fills the log; nginx quotes a bad configuration in its own words."""
    where = ("--name", lab_name)
    up = ("up", "--runtime", "embedded", "--nginx", nginx_binary, "--tls-port", "0", "--mtls-port", "0")
    run = mtlslab(*up, "--key-type", "ec-p256", *where, cwd=tmp_path)
    try:
        assert run.code == 0, run.err
        send_controls(tmp_path / lab_name)
        logs = mtlslab("logs", *where, cwd=tmp_path)
        assert "\\x1b]0;owned" in logs.out
        assert "\\u202e" in logs.out
        require_harmless(logs.out)
        conf = tmp_path / lab_name / "nginx-mtls" / "nginx.conf"
        conf.write_text(conf.read_text() + "owned\x1b[2J\u202e\x9b;\n")
        reload = mtlslab("reload", *where, cwd=tmp_path)
        assert reload.code == 3
        assert "owned" in reload.err
        require_harmless(reload.err)
    finally:
        mtlslab("down", *where, cwd=tmp_path)


def send_controls(lab: Path) -> None:
    spec = json.loads((lab / "lab.json").read_text())["spec"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for port in (spec["tls_port"], spec["mtls_port"]):
        for request in (
            "GET / HTTP/1.1\r\nHost: a\x1b]0;owned\x07\u202e\x9b2J\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nReferer: \x1b]0;owned\x07\u202e\r\n\r\n",
            "GET /\u202e\u200b\x9b?\u2066 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        ):
            plain = socket.create_connection(("127.0.0.1", port), 5)
            with context.wrap_socket(plain, server_hostname="localhost") as tls:
                tls.sendall(request.encode())
                tls.recv(65536)


# --- a real terminal


def test_on_a_terminal_only_our_own_styles_are_commands(tmp_path: Path, certificate: Path) -> None:
    """With colours on, and the audit's server as hostile as before."""
    with hostile_server(tmp_path) as port:
        shown = on_a_terminal("audit", f"https://localhost:{port}", "--cacert", "ca.crt", "-v", cwd=tmp_path)
    assert "\x1b[1m" in shown
    shown = re.sub(r"\r(attempts: [\w ,]+)?\x1b\[K", "", shown)  # the line that shows how far it is
    require_harmless(re.sub(r"\x1b\[[0-9;]*m", "", shown).replace("\r\n", "\n"))
    require_harmless(on_a_terminal("certs", "show", str(certificate), cwd=tmp_path).replace("\r\n", "\n"))


def on_a_terminal(*words: str, cwd: Path) -> str:
    """What a terminal gets from a command: both streams."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, b"\x32\x00\xc8\x00\x00\x00\x00\x00")
    env = {name: value for name, value in environment(LANG="C.UTF-8").items() if name != "NO_COLOR"}
    with subprocess.Popen(command(*words), cwd=cwd, env=env, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        data = everything_from(ours)
        process.wait(60)
    os.close(ours)
    assert data, sys.platform
    return data.decode()
