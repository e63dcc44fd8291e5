"""What is printed works where people are: behind a proxy, with an intermediate CA, with a CA that is no root."""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mtlslab.classroom.clients import CLIENTS, find_client, make_recipe, needs_of
from mtlslab.plan.addresses import proxy_in_the_way
from mtlslab.plan.shell import shell_line
from mtlslab.plan.spec import make_spec
from mtlslab.probe.model import Attempt, KeyFiles
from mtlslab.verify.checks import Outcome
from mtlslab.verify.procedures.commands import s_client
from mtlslab.workspace.directory import Workspace

from tests.support.brought import leaf_of, rendered, served, usual
from tests.support.cli import mtlslab
from tests.support.recipes import PROGRAMS, REFUSALS, Lab, missing_for, outcome, stand_ins

SERVED_PAGE = "Hello World over mutual TLS!"
PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "http_proxy", "HTTP_PROXY")
KNOWN = {str(name) for name in (*REFUSALS.values(), Outcome.CLIENT_REFUSES_SERVER)}
ROOTS_ONLY = {"php"}
SHELL_CLIENTS = [name for name in PROGRAMS if name != "chromium"]


@pytest.fixture(scope="module")
def lab(nginx_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The CAs are intermediate ones: the client brings its own along, the server's is trusted without its root."""
    place = tmp_path_factory.mktemp("brought")
    directory = rendered(place)
    roots = usual("their server root"), usual("their client root")
    server_ca, client_ca = (usual(f"{one} issuing", issuer=root) for one, root in zip(("s", "c"), roots, strict=True))
    server, client = leaf_of(server_ca, "server"), leaf_of(client_ca, "client")
    files = {
        "server-ca.crt": server_ca.certificate_pem(),
        "client-ca.crt": roots[1].certificate_pem(),
        "server.crt": server.certificate_pem(),
        "client.crt": client.certificate_pem() + client_ca.certificate_pem(),
        "server.key": server.key_pem(),
        "client.key": client.key_pem(),
        "server-ca.key": server_ca.key_pem(),
        "client-ca.key": roots[1].key_pem(),
    }
    for name, content in files.items():
        (directory / "certs" / name).write_bytes(content)
    with served(directory, "--dir", str(directory)) as up:
        assert up.code == 0, up.err
        yield Lab(place, directory, stand_ins(place))


@pytest.fixture
def dead_proxy(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A proxy at a closed port, named by every variable that a client knows."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        where = f"http://127.0.0.1:{gone.getsockname()[1]}"
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in PROXIES:
        monkeypatch.setenv(name, where)
    return dict.fromkeys(PROXIES, where)


@pytest.mark.clients
@pytest.mark.parametrize("name", SHELL_CLIENTS)
def test_a_recipe_works_behind_a_proxy_with_a_chain_and_a_ca_that_is_no_root(
    lab: Lab, dead_proxy: dict[str, str], name: str
) -> None:
    if missing := missing_for(name):
        pytest.skip(f"no {', '.join(missing)}")
    workspace = Workspace(lab.directory)
    spec = make_spec(workspace.require().spec)
    recipe = make_recipe(find_client(name), spec, lab.directory.name, needs_of(workspace))
    code = "".join(part.code for part in recipe.sections if part.title not in ("Without the certificate", "Undo"))
    run = lab.paste(code, **dead_proxy)
    if name in ROOTS_ONLY:
        assert "trusts roots only" in recipe.text
        assert "certificate verify failed" in run.out
        return
    assert SERVED_PAGE in run.out
    assert run.code == 0


@pytest.mark.clients
def test_all_that_verify_prints_comes_to_the_same_behind_a_proxy(lab: Lab, dead_proxy: dict[str, str]) -> None:
    """Of curl, openssl and mtlslab serve: each command is run as it is printed, in the lab's directory."""
    report = json.loads(mtlslab("verify", "-o", "json", cwd=lab.directory, **dead_proxy).out)
    commands = _one_of_each_kind(report)
    assert {" ".join(one.split()[:2]) for one in commands} >= {"openssl s_client", "mtlslab serve"}
    assert {command: outcome(_typed(lab, command, dead_proxy)) for command in commands} == commands


def _one_of_each_kind(report: dict[str, Any]) -> dict[str, str]:
    """Commands that differ in program or options, with their outcome; without those that ask for nothing."""
    made: dict[tuple[str, ...], tuple[str, str]] = {}
    for one in report["checks"]:
        seen, command = one["observed"].get("outcome"), one["command"]
        if seen in KNOWN and "localhost" in shell_line(command) and not _only_connects(command):
            kind = tuple(word for word in command if word.startswith("-") or word.isalpha())
            made.setdefault(kind, (shell_line(command), seen))
    return dict(made.values())


def _only_connects(command: list[str]) -> bool:
    return command[:2] == ["openssl", "s_client"] and command[-1].startswith("-tls")


def _typed(lab: Lab, command: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    run = lab.paste(f"cd {shlex.quote(lab.directory.name)}; {command} </dev/null", **environ)
    return subprocess.CompletedProcess(command, run.code, run.out, "")


@pytest.mark.clients
def test_what_up_prints_works_behind_a_proxy(lab: Lab, dead_proxy: dict[str, str]) -> None:
    up = mtlslab("up", "--runtime", "embedded", "--dir", lab.directory.name, cwd=lab.place, **dead_proxy)
    assert up.code == 0
    served, refused = (line.strip() for line in up.out.splitlines() if line.startswith("  curl"))
    assert SERVED_PAGE in _typed(lab, served, dead_proxy).stdout
    assert "No required SSL certificate" in _typed(lab, refused, dead_proxy).stdout


@pytest.mark.clients
def test_openssl_sends_the_whole_chain_as_the_attempt_does(lab: Lab) -> None:
    port = Workspace(lab.directory).require().spec["mtls_port"]
    files = KeyFiles(lab.directory / "certs/client.crt", lab.directory / "certs/client.key")
    command = shell_line(s_client(Attempt(port=port, credential=files), lab.directory, "-quiet", "-ign_eof"))
    ask = f"printf 'GET /hello-world.txt HTTP/1.0\\r\\n\\r\\n' | {command}"
    place = shlex.quote(lab.directory.name)
    assert SERVED_PAGE in lab.paste(f"cd {place}; {ask}").out
    leaf_alone = ask.replace(" -cert_chain ./certs/client.crt", "")
    assert leaf_alone != ask
    assert "The SSL certificate error" in lab.paste(f"cd {place}; {leaf_alone}").out


@pytest.mark.clients
def test_what_the_windows_recipe_gives_to_curl_is_something_that_curl_takes(lab: Lab) -> None:
    """The line is typed on Windows; here another build of curl gets the same options and the same files."""
    workspace = Workspace(lab.directory)
    recipe = make_recipe(find_client("windows"), make_spec(workspace.require().spec), lab.directory.name)
    line = next(line for part in recipe.sections for line in part.code.splitlines() if line.startswith("curl.exe"))
    prepare = recipe.sections[0].code + next(
        block.text
        for part in recipe.sections
        for block in part.blocks
        if block.language == "sh" and "openssl" in block.text
    )
    config = "cp clients/client.password .; cp certs/client.p12 certs/server-ca.crt .\n"
    config += """printf 'pass = "%s"\\n' "$(cat client.password)" >client.curl\n"""
    run = lab.paste(prepare + config + line.replace("curl.exe", "curl") + "\nrm client.* server-ca.crt\n")
    assert SERVED_PAGE in run.out


@pytest.mark.parametrize(
    ("environ", "host", "variable"),
    [
        ({}, "localhost", ""),
        ({"https_proxy": "http://p:1"}, "localhost", "https_proxy"),
        ({"HTTPS_PROXY": "http://p:1"}, "localhost", "HTTPS_PROXY"),
        ({"ALL_PROXY": "socks5://p:1"}, "localhost", "ALL_PROXY"),
        ({"https_proxy": "http://p:1", "no_proxy": "example.org, localhost"}, "localhost", ""),
        ({"https_proxy": "http://p:1", "no_proxy": "localhost"}, "127.0.0.1", "https_proxy"),
        ({"https_proxy": "http://p:1", "no_proxy": ".lab.test"}, "a.lab.test", ""),
        ({"https_proxy": "http://p:1", "no_proxy": "lab.test"}, "badlab.test", "https_proxy"),
        (
            {"https_proxy": "http://p:1", "NO_PROXY": "localhost"},
            "localhost",
            "https_proxy",
        ),  # wget reads small letters
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "localhost", "no_proxy": ""}, "localhost", "HTTPS_PROXY"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "localhost,[::1]"}, "::1", ""),
        ({"NO_PROXY": "x"}, "localhost", ""),
    ],
)
def test_a_proxy_is_in_the_way_unless_every_client_sees_the_host_as_exempt(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], host: str, variable: str
) -> None:
    for name in (*PROXIES, "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert proxy_in_the_way(host) == variable


def test_a_lab_can_be_purged_and_made_again_after_the_recipes(tmp_path: Path, lab_name: str) -> None:
    """What they write is in a directory of its own, which goes with the lab."""
    options = ("--name", lab_name, "--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256")
    assert mtlslab("render", *options, cwd=tmp_path).code == 0
    for client in CLIENTS:
        recipe = make_recipe(find_client(client.name), make_spec({"name": lab_name}), f"./{lab_name}")
        writing = [line for part in recipe.sections for line in re.findall(r">\s*([\w./]+\w)", part.code)]
        assert [path for path in writing if "." in path and not path.startswith(("clients/", "/dev/"))] == []
    (tmp_path / lab_name / "clients").mkdir()
    (tmp_path / lab_name / "clients/client.go").write_text("package main\n")
    mtlslab("down", "--name", lab_name, "--purge", cwd=tmp_path)
    assert not (tmp_path / lab_name).exists()
    assert mtlslab("render", *options, cwd=tmp_path).code == 0
