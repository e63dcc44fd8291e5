"""`certs import`: what people bring is judged first, becomes the lab's as a whole, and is theirs for ever."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID
from mtlslab import pki
from mtlslab.workspace.user_files import PASSWORD_VARIABLE

from tests.support.brought import NOW, leaf_of, served, usual, verified
from tests.support.cli import ROOT, environment, finished
from tests.support.in_process import invoke
from tests.support.odd_certificates import ODD

DOCS = (ROOT / "docs" / "own-certificates.md").read_text()
LOCK = ser.BestAvailableEncryption(b"secret")
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
PORTS = ("--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256")


def write(place: Path, name: str, one: pki.Credential) -> None:
    (place / f"{name}.crt").write_bytes(one.certificate_pem())
    (place / f"{name}.key").write_bytes(one.key_pem())
    (place / f"{name}.key").chmod(0o600)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A directory with CAs, a server and a client of somebody's own."""
    place = tmp_path / "mine"
    place.mkdir()
    for side, usage in (("server", SERVER), ("client", CLIENT)):
        ca = usual(f"My {side} root")
        write(place, f"{side}-ca", ca)
        write(place, side, leaf_of(ca, side, usage))
    return place


def options(place: Path, *sides: str, keys: bool = False) -> list[str]:
    """The options that name the files in a directory, by their usual names."""
    parts = ("cert", "key", "ca", "ca-key") if keys else ("cert", "key", "ca")
    ends = {"cert": ".crt", "key": ".key", "ca": "-ca.crt", "ca-key": "-ca.key"}
    named = [(side, part) for side in sides or ("server", "client") for part in parts]
    return [word for side, part in named for word in (f"--{side}-{part}", str(place / f"{side}{ends[part]}"))]


def snapshot(directory: Path) -> dict[str, tuple[bytes, int]]:
    """Content and mode of each file below a directory, without the lock."""
    files = [path for path in directory.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(directory)): (path.read_bytes(), path.stat().st_mode & 0o777) for path in files}


def test_what_is_imported_runs_and_is_left_alone(tmp_path: Path, mine: Path, nginx_binary: Path) -> None:
    """Import, up, verify, down --purge: no check fails, the user's files are as they were, no copy stays."""
    before = snapshot(mine)
    lab = tmp_path / f"t-import-{os.getpid()}"
    done = invoke("certs", "import", *options(mine), "--dir", lab)
    assert done.code == 0, done.err
    assert "loads them (nginx -t)" in done.out
    assert {mode for path, (_, mode) in snapshot(lab / "certs").items() if path.endswith(".key")} == {0o600}
    with served(lab, "--nginx", str(nginx_binary), *PORTS) as up:
        assert up.code == 0, up.err
        assert "is served" in up.out
        some = ("mtls-serves-client-certificate", "mtls-refuses-no-certificate", "config-trusts-the-client-ca-only")
        verify, findings = verified(lab, *(word for name in some for word in ("--only", name)))
    assert verify.code == 0, [one for one in findings.values() if one["result"] == "fail"]
    for name in ("server", "client", "server-ca", "client-ca"):
        assert (lab / "certs" / f"{name}.crt").read_bytes() == (mine / f"{name}.crt").read_bytes()
    assert invoke("down", "--purge", "--dir", lab).code == 0
    assert not lab.exists()
    assert snapshot(mine) == before


def test_purge_leaves_what_is_nowhere_else(tmp_path: Path, mine: Path) -> None:
    """A copy whose original is gone or changed stays, with its key, and is named; what the lab issued goes."""
    lab = tmp_path / "lab"
    assert invoke("certs", "import", *options(mine, "client"), "--dir", lab).code == 0
    (mine / "client.key").unlink()
    (mine / "client-ca.crt").write_bytes(usual("Another").certificate_pem())
    done = invoke("down", "--purge", "--dir", lab)
    assert done.code == 0
    stayed = {f"certs/{name}" for name in ("client.key", "client-ca.crt")}
    assert set(snapshot(lab)) == stayed
    assert all(name in done.err for name in stayed)


def test_a_lab_that_is_there_keeps_what_it_had(tmp_path: Path, mine: Path) -> None:
    """Its own files get names of the past, their content and modes; a list of the old client CA does, too."""
    lab = tmp_path / "lab"
    assert invoke("render", "--dir", lab, *PORTS, "--crl").code == 0
    assert invoke("certs", "issue", "alice", "--dir", lab).code == 0
    old = snapshot(lab)
    done = invoke("certs", "import", *options(mine, "client"), "--dir", lab, "-o", "json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    new = snapshot(lab)
    names = ("certs/client-ca.crt", "certs/client-ca.key", "certs/client.crt", "certs/client.key", "crl/client-ca.crl")
    assert {path.partition(".old-")[0]: new[path] for path in report["aside"]} == {name: old[name] for name in names}
    for path in ("certs/server.crt", "certs/server.key", "certs/server-ca.key", "certs/alice.crt", "certs/alice.key"):
        assert new[path] == old[path]
    assert "certs/client-ca.key" not in new  # the old CA's key is not beside the new CA's certificate
    again = invoke("certs", "import", *options(mine, "client"), "--dir", lab, "-o", "json")
    assert again.code == 0
    assert json.loads(again.out)["written"] == json.loads(again.out)["aside"] == []


def test_what_the_lab_did_not_issue_is_never_replaced(tmp_path: Path, mine: Path) -> None:
    """Not even with the names that mtlslab gives; ``--rotate-certs`` keeps it, and no hint offers that for it."""
    lab, other = tmp_path / "lab", tmp_path / "other" / "lab"
    assert invoke("render", "--dir", other, *PORTS).code == 0  # another lab, of the same name
    assert invoke("render", "--dir", lab, *PORTS).code == 0
    done = invoke("certs", "import", *options(other / "certs", keys=True), "--dir", lab)
    assert done.code == 0, done.err
    brought = {path: content for path, content in snapshot(lab / "certs").items() if ".old-" not in path}
    done = invoke("render", "--dir", lab, "--host", "lab.test")
    assert done.code == 0
    assert "certs/server.crt was not issued by this lab and stays" in done.err
    assert {path: content for path, content in snapshot(lab / "certs").items() if path in brought} == brought
    (lab / "certs" / "client.key").write_bytes(usual("Another").key_pem())
    (lab / "certs" / "client-ca.key").unlink()
    done = invoke("render", "--dir", lab)
    assert done.code == 2
    assert "--rotate-certs" not in done.err
    assert invoke("render", "--dir", lab, "--rotate-certs").code == 0
    now = snapshot(lab / "certs")
    for name, content in brought.items():
        if not name.startswith(("client.key", "client-ca.key")):
            assert now[name] != content
            assert content in [kept for path, kept in now.items() if path.startswith(f"{name}.old-")]


def rsa_1024(place: Path) -> None:
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505  so people have them
    ca = pki.load_credential((place / "client-ca.crt").read_bytes(), (place / "client-ca.key").read_bytes())
    first, last = pki.validity(NOW, 20, ca)
    name = pki.distinguished_name("weak")
    write(
        place, "client", pki.issue(name, key, pki.client_extensions(["a"]), issuer=ca, not_before=first, not_after=last)
    )


def intermediate_alone(place: Path) -> None:
    inner = usual("Inner", issuer=usual("Root"))
    write(place, "client-ca", inner)
    write(place, "client", leaf_of(inner, "client", CLIENT))


def same_subject_version_1(place: Path) -> None:
    """As ``openssl x509 -req`` of OpenSSL 1.1 and 3.0 makes it without an extension file."""
    words = "openssl req -new -key client.key -subj '/CN=My client root' | openssl x509 -req -CA client-ca.crt"
    subprocess.run(
        ["sh", "-ec", f"{words} -CAkey client-ca.key -set_serial 1 -days 9 -out client.crt"],
        cwd=place,
        check=True,
        capture_output=True,
    )


def no_name(place: Path) -> None:
    ca = pki.load_credential((place / "server-ca.crt").read_bytes(), (place / "server-ca.key").read_bytes())
    write(place, "server", leaf_of(ca, "client", SERVER))
    first, last = pki.validity(NOW, 20, ca)
    name, key = pki.distinguished_name("localhost"), pki.new_key("ec-p256")
    write(place, "server", pki.issue(name, key, [], issuer=ca, not_before=first, not_after=last))


def other_name(place: Path) -> None:
    ca = pki.load_credential((place / "server-ca.crt").read_bytes(), (place / "server-ca.key").read_bytes())
    key, (first, last) = pki.new_key("ec-p256"), pki.validity(NOW, 20, ca)
    extensions = pki.server_extensions(key, ["www.example.com"])
    name = pki.distinguished_name("www.example.com")
    write(place, "server", pki.issue(name, key, extensions, issuer=ca, not_before=first, not_after=last))


def other_key(place: Path) -> None:
    (place / "client.key").write_bytes(usual("Other").key_pem())


def other_ca(place: Path) -> None:
    write(place, "server-ca", usual("Other"))


def expired(place: Path) -> None:
    ca = usual("Old", days=-3)
    write(place, "client-ca", ca)


def for_servers(place: Path) -> None:
    ca = pki.load_credential((place / "client-ca.crt").read_bytes(), (place / "client-ca.key").read_bytes())
    write(place, "client", leaf_of(ca, "client", SERVER))


def odd_ca(place: Path) -> None:
    (place / "client-ca.crt").write_bytes(ODD["version 5"])


REFUSED: dict[Callable[[Path], None], str] = {
    rsa_1024: "ee key too small",
    intermediate_alone: "unable to get issuer certificate",
    same_subject_version_1: "self-signed certificate",
    no_name: "no name in a subjectAltName",
    other_name: "not for localhost",
    other_key: "does not belong to the certificate",
    other_ca: "no CA of the file issued it",
    expired: "it expired at",
    for_servers: "does not allow a client",
    odd_ca: "no readable certificate",
}


@pytest.mark.parametrize("shape", REFUSED, ids=lambda shape: shape.__name__)
def test_what_cannot_work_is_refused_before_anything_is_written(
    tmp_path: Path, mine: Path, shape: Callable[[Path], None]
) -> None:
    """Exit 2, with the cause; there is no lab then, and the user's files are as they were."""
    shape(mine)
    before = snapshot(mine)
    done = invoke("certs", "import", *options(mine), "--dir", tmp_path / "lab")
    assert done.code == 2
    assert REFUSED[shape] in done.err
    assert not (tmp_path / "lab").exists()
    assert snapshot(mine) == before


def test_what_is_merely_odd_is_said(tmp_path: Path, mine: Path) -> None:
    """One CA for both sides, further CAs, an open key, a leaf for any purpose; ``--dry-run`` writes nothing."""
    root = usual("The Root")
    write(mine, "client-ca", root)
    (mine / "client-ca.crt").write_bytes(usual("Other").certificate_pem() + root.certificate_pem())
    write(mine, "server-ca", root)
    write(mine, "server", leaf_of(root, "server"))
    write(mine, "client", leaf_of(root, "client", CLIENT))
    (mine / "server.key").chmod(0o644)
    done = invoke("certs", "import", *options(mine), "--dir", tmp_path / "lab", "--dry-run", "-o", "json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    said = "\n".join((*report["odd"], *report["notes"]))
    for words in (
        "both sides have one CA",
        "passes as a client's",
        "holds 2 CAs",
        "no extended key usage",
        "mode 0644",
    ):
        assert words in said
    assert report["problems"] == report["written"] == []
    assert not (tmp_path / "lab").exists()


def test_every_format_becomes_pem(tmp_path: Path, mine: Path) -> None:
    """PKCS #12 with all in one file, DER, PKCS #7 in any order, keys with passwords; the lab's keys have none."""
    server = pki.load_credential((mine / "server.crt").read_bytes(), (mine / "server.key").read_bytes())
    client = pki.load_credential((mine / "client.crt").read_bytes(), (mine / "client.key").read_bytes())
    cas = {side: pki.load_certificates((mine / f"{side}-ca.crt").read_bytes())[0] for side in ("server", "client")}
    p12 = pkcs12.serialize_key_and_certificates(b"x", server.key, server.certificate, [cas["server"]], LOCK)
    (mine / "server.p12").write_bytes(p12)
    both = [cas["client"], client.certificate]
    (mine / "client.p7b").write_bytes(pkcs7.serialize_certificates(both, ser.Encoding.DER))
    (mine / "client.der").write_bytes(client.key.private_bytes(ser.Encoding.DER, ser.PrivateFormat.PKCS8, LOCK))
    (mine / "ca.der").write_bytes(cas["client"].public_bytes(ser.Encoding.DER))
    words: list[str | Path] = ["--server-cert", mine / "server.p12", "--client-cert", mine / "client.p7b"]
    words += ["--client-key", mine / "client.der", "--client-ca", mine / "ca.der"]
    done = invoke("certs", "import", *words, "--dir", tmp_path / "lab", **{PASSWORD_VARIABLE: "secret"})
    assert done.code == 0, done.err
    certs = tmp_path / "lab" / "certs"
    for name in ("server", "client"):
        copy = pki.load_credential((certs / f"{name}.crt").read_bytes(), (certs / f"{name}.key").read_bytes())
        assert copy.certificate == (server if name == "server" else client).certificate
        anchor = x509.load_pem_x509_certificate((certs / f"{name}-ca.crt").read_bytes())
        assert anchor.fingerprint(hashes.SHA256()) == cas[name].fingerprint(hashes.SHA256())
    done = invoke("certs", "import", *words, "--dir", tmp_path / "other", **{PASSWORD_VARIABLE: "wrong"})
    assert done.code == 2
    assert "the password is wrong" in done.err


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_certificate_in_pkcs_7_is_no_bug_of_ours(tmp_path: Path, mine: Path, kind: str) -> None:
    """The library reads some parts late, and says in many ways what it dislikes; here as a CA beside the right one."""
    (mine / "both.pem").write_bytes((mine / "client-ca.crt").read_bytes() + ODD[kind])
    words = ["openssl", "crl2pkcs7", "-nocrl", "-certfile", "both.pem", "-out", "ca.p7b"]
    subprocess.run(words, cwd=mine, check=True, capture_output=True)
    named = [str(mine / "ca.p7b") if word.endswith("client-ca.crt") else word for word in options(mine, "client")]
    done = invoke("certs", "import", *named, "--dir", tmp_path / "lab", "--dry-run")
    assert done.code in (0, 2)
    assert done.code == 0 or "cannot be used" in done.err
    assert "Warning" not in done.err


@pytest.mark.parametrize("how", ["kill", "interrupt", "full"])
def test_an_import_that_breaks_leaves_the_old_or_the_new(tmp_path: Path, mine: Path, how: str) -> None:
    """Whatever step it breaks at: never a traceback, never half of both, and the next import goes through."""
    model, place = tmp_path / "model", tmp_path / "labs"
    place.mkdir()
    assert invoke("render", "--dir", model, *PORTS, "--crl").code == 0
    driver = [sys.executable, str(ROOT / "tests/support/break_import.py"), how, str(model), str(place)]
    done = finished([*driver, *options(mine, "client")], cwd=tmp_path, env=environment())
    runs = [json.loads(line) for line in done.out.splitlines()]
    assert len(runs) >= 5, done.err
    states = []
    for number, code, words in runs:
        assert "Traceback" not in words
        assert code in {"kill": (-9, 0), "interrupt": (130, 0), "full": (2, 3, 0)}[how], words
        certs = place / str(number) / "certs"
        old = {path.name: path.read_bytes() for path in (model / "certs").glob("*.*")}
        there = {path.name: path.read_bytes() for path in certs.glob("*.*")}
        new = there.get("client.crt") == (mine / "client.crt").read_bytes()
        if new:
            assert "client-ca.key" not in there
            for name in ("client-ca.crt", "client.key"):
                assert there[name] == (mine / name).read_bytes()
            assert sum(".old-" in name for name in there) == 4
        else:
            assert there == old
        states.append(new)
    assert states[0] == (how == "interrupt")  # who is interrupted while he writes goes on to the end
    assert states[-1]
    assert states == sorted(states)
    middle = place / str(runs[len(runs) // 2][0])
    assert invoke("certs", "import", *options(mine, "client"), "--dir", middle).code == 0
    assert [path for path in middle.iterdir() if path.name.startswith(".tmp-")] == []


def test_a_further_client_that_somebody_brought_is_kept_when_it_is_replaced(tmp_path: Path, mine: Path) -> None:
    """Also where the lab issues under a CA that was brought; what it issued there, ``--purge`` removes."""
    lab = tmp_path / "lab"
    assert invoke("certs", "import", *options(mine, "client", keys=True), "--dir", lab).code == 0
    assert invoke("certs", "issue", "own", "--dir", lab).code == 0
    for end in (".crt", ".key"):
        shutil.copy(mine / f"client{end}", lab / "certs" / f"alice{end}")
    before = snapshot(lab / "certs")
    done = invoke("certs", "issue", "alice", "--overwrite", "--dir", lab)
    assert done.code == 0, done.err
    assert invoke("certs", "issue", "own", "--overwrite", "--dir", lab).code == 0
    after = snapshot(lab / "certs")
    kept = {path.partition(".old-")[0]: after[path] for path in after if ".old-" in path}
    assert kept == {name: before[name] for name in ("alice.crt", "alice.key")}
    assert invoke("down", "--purge", "--dir", lab).code == 0
    assert {path.partition(".old-")[0] for path in snapshot(lab)} == {"certs/alice.crt", "certs/alice.key"}


@pytest.mark.parametrize("below", ["certs", "pki/a/b", "."])
def test_up_in_a_directory_with_certificates_offers_the_import(tmp_path: Path, mine: Path, below: str) -> None:
    """As the tutorial leaves them, or elsewhere: the command is whole, and what it makes is a lab."""
    place = tmp_path / "the tutorial's"
    (place / "nginx-mtls").mkdir(parents=True)
    shutil.copytree(mine, place / below, dirs_exist_ok=True)
    (place / "docker-compose.yml").write_text("services: {}\n")
    before = snapshot(place)
    done = invoke("render", "--dir", place)
    assert done.code == 2
    command = shlex.split(done.err.split("Its certificates make a lab: ")[1].splitlines()[0])
    assert command[:3] == ["mtlslab", "certs", "import"]
    assert {word for word in command if word.startswith("--")} == {"--dir", *options(mine, keys=True)[::2]}
    assert invoke(*command[1:]).code == 0
    assert invoke("render", "--dir", place / "mtls-lab").code == 0
    assert {path: content for path, content in snapshot(place).items() if path in before} == before


def test_up_in_a_directory_without_a_whole_side_offers_nothing(tmp_path: Path, mine: Path) -> None:
    """A server without its CA, a client without its key, links that lead round, damage: none of it is a lab."""
    (mine / "server-ca.crt").write_bytes(ODD["version 5"])
    (mine / "client.key").write_bytes(b"-----BEGIN PRIVATE KEY-----\n")
    (mine / "round").symlink_to(mine)
    done = invoke("render", "--dir", mine)
    assert done.code == 2
    assert "Choose another directory" in done.err


# --- docs/own-certificates.md

PROGRAMS = {"openssl": ("openssl",), "mkcert": ("mkcert",), "easyrsa": ("easyrsa",), "cfssl": ("cfssl", "cfssljson")}
DEBIAN = os.environ["PATH"] + ":/usr/share/easy-rsa"  # where Debian keeps the one that is not on PATH


def printed(section: str) -> str:
    found = re.search(rf"```sh\n# {section}\n(.*?)```", DOCS, re.DOTALL)
    assert found
    return found[1]


def typed(place: Path, commands: str) -> Any:
    program = place / "bin" / "mtlslab"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m mtlslab "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}:{DEBIAN}"
    return finished(["sh", "-ec", commands], cwd=place, env=environment(PATH=path))


@pytest.mark.parametrize("tool", PROGRAMS)
def test_the_commands_of_the_docs_do_what_they_say(tmp_path: Path, tool: str) -> None:
    """As they stand there, in an empty directory, with the tool itself where it is installed."""
    if not all(shutil.which(program, path=DEBIAN) for program in PROGRAMS[tool]):
        pytest.skip(f"{tool} is not installed")
    done = typed(tmp_path, printed(tool))
    assert done.code == 0, done.err
    assert "Imported into ./mtls-lab" in done.out
    assert (tmp_path / "mtls-lab" / "certs" / "client.crt").exists()


def test_files_of_steps_layout_are_imported_by_the_command_of_the_docs(tmp_path: Path) -> None:
    """A root, an intermediate, leaves that bring it along: made here, not by step, which Debian does not have."""
    root = usual("Root", 1)
    inner = usual("Intermediate", 0, issuer=root)
    write(tmp_path, "root_ca", root)
    for side, usage in (("server", SERVER), ("client", CLIENT)):
        leaf = leaf_of(inner, side, usage)
        write(tmp_path, side, leaf)
        (tmp_path / f"{side}.crt").write_bytes(leaf.certificate_pem() + inner.certificate_pem())
    done = typed(tmp_path, printed("step")[printed("step").index("mtlslab certs import") :])
    assert done.code == 0, done.err


def test_a_companys_p12_is_imported_by_the_command_of_the_docs(tmp_path: Path, mine: Path) -> None:
    """Its CA's key is nowhere; the lab issues its own server."""
    client = pki.load_credential((mine / "client.crt").read_bytes(), (mine / "client.key").read_bytes())
    p12 = pkcs12.serialize_key_and_certificates(b"me", client.key, client.certificate, None, LOCK)
    (tmp_path / "me.p12").write_bytes(p12)
    (tmp_path / "password.txt").write_text("secret\n")
    shutil.copy(mine / "client-ca.crt", tmp_path / "company-ca.pem")
    done = typed(tmp_path, printed("company"))
    assert done.code == 0, done.err
    assert (tmp_path / "mtls-lab" / "certs" / "server.key").exists()
