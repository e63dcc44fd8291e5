"""Private keys stay in their files: nothing that a full run prints, writes, labels or stores holds a byte of one."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from mtlslab.pki.keys import load_key
from mtlslab.plan.services import SERVICES

from tests.support.cli import Run, mtlslab
from tests.support.embedded_lab import nginx_processes

PASSWORD = "correct horse battery staple"  # noqa: S105  of this test alone
PEM = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/]{16}")
EXPORTS = (".key", ".p12", ".pem")


def numbers_of(key: Any) -> list[bytes]:
    """The private numbers of a key, each as its bytes."""
    if isinstance(key, rsa.RSAPrivateKey):
        private = key.private_numbers()
        return [number.to_bytes((number.bit_length() + 7) // 8) for number in (private.d, private.p, private.q)]
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return [key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8)]
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    return [key.private_bytes_raw()]


def base64_inside(content: bytes) -> Iterator[bytes]:
    """What base64 of any text that holds these bytes must hold, for each of the three ways they may lie in it."""
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + content)
        yield coded[4 if shift else 0 : len(coded) // 4 * 4 - 4]


def traces_of(pem: bytes) -> set[bytes]:
    """Everything by which a private key would be recognised: PEM, DER and its numbers, raw, in hex and in base64."""
    lines = [line for line in pem.splitlines() if not line.startswith(b"-")]
    found = {base64.b64decode(b"".join(lines))}  # DER
    try:
        key = load_key(pem)
    except ValueError:  # one of the zoo that contradicts itself
        return found | {lines[1]}
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    # The first line of a PEM body is the same for all keys of a kind; others may hold the public key alone.
    found.update(line for line in lines[1:] if len(line) >= 32 and base64.b64decode(line + b"==") not in public)
    for number in numbers_of(key):
        found.update(
            (number, number.hex().encode(), number.hex().upper().encode(), str(int.from_bytes(number)).encode())
        )
        found.update(base64_inside(number))
        found.update(item.replace(b"+", b"-").replace(b"/", b"_") for item in base64_inside(number))
        found.add(":".join(re.findall("..", number.hex())).encode())  # as `openssl pkey -text` writes it
    assert all(len(trace) >= 20 for trace in found)
    return found


class Search:
    """What a run left behind, by name, to be searched for the keys that it made."""

    def __init__(self) -> None:
        self.seen: dict[str, bytes] = {}
        self.keys: dict[str, bytes] = {}

    def keep(self, name: str, content: bytes | str | Run) -> None:
        if isinstance(content, Run):
            assert content.code in (0, 1), (name, content)
            content = content.out + content.err
        self.seen[name] = content.encode() if isinstance(content, str) else content

    def look_at(self, directory: Path) -> None:
        """Take all files of a workspace along: keys to search for, everything else to search in."""
        for path in directory.rglob("*"):
            if path.is_file() and not path.is_symlink():
                name, content = str(path.relative_to(directory)), path.read_bytes()
                if path.suffix in EXPORTS:
                    assert path.stat().st_mode & 0o777 == 0o600, path
                if path.suffix == ".key":
                    self.keys[f"{name} {hash(content)}"] = content
                elif path.suffix != ".p12":  # holds the key on purpose, encrypted
                    self.seen[f"{directory.name}/{name}"] = content

    def found(self) -> list[tuple[str, str]]:
        traces = {trace: name for name, pem in self.keys.items() for trace in traces_of(pem)}
        return [
            (place, name) for place, content in self.seen.items() for trace, name in traces.items() if trace in content
        ] + [(place, "a PEM") for place, content in self.seen.items() if PEM.search(content)]


def full_run(search: Search, place: Path, name: str, runtime: str, key_type: str, observe: Any) -> None:
    """Everything that a lab can do, with all that it says kept for the search."""
    lab = place / name

    def do(*words: str, **more: str) -> Run:
        run = mtlslab("--debug", words[0], *([words[1]] if words[0] == "certs" else []), "--name", name,
                      *words[2 if words[0] == "certs" else 1 :], cwd=place, **more)  # fmt: skip
        search.keep(" ".join((runtime, *words)), run)
        search.look_at(lab)
        return run

    do("up", "--runtime", runtime, "--tls-port", "0", "--mtls-port", "0", "--key-type", key_type, "--crl", "--timings")
    try:
        do("certs", "issue", "alice", "--key-type", "rsa-2048")
        do("certs", "issue", "bob", "--key-type", "ed25519")
        do("certs", "issue", "--fault", "expired", "--fault", "stolen-certificate")
        do("certs", "export", "alice", MTLSLAB_P12_PASSWORD=PASSWORD)
        do("certs", "revoke", "bob")
        for show in ("certs/client.crt", "certs/client-ca.crt"):
            do("certs", "show", show, "-o", "json")
        do("certs", "list", "-o", "json")
        do("certs", "crl", "-o", "json")
        do("reload")
        few = ("--only", "mtls-refuses-expired", "--only", "tls-serves-with-ca")
        for looks in ("text", "html") if runtime == "docker" else ("text", "short", "json", "junit", "tap", "html"):
            do("verify", "-vv", "-o", looks, *few)
        if runtime == "embedded":
            do("verify", "-v", "--output-file", str(lab.with_suffix(".xml")), "-o", "junit")
            do("verify", "--prove", "--mutant", "verify-off", "-o", "json")
        for client in ("curl", "java"):
            do("clients", client)
        do("status", "-o", "json")
        do("logs")
        observe()
        do("up", "--days", "30", "--overwrite")
    finally:
        search.look_at(lab)
        do("down")
    search.look_at(place)


def require_nothing(search: Search) -> None:
    assert len(search.keys) >= 8
    assert len(search.seen) >= 35
    assert search.found() == []
    assert not [name for name, content in search.seen.items() if PASSWORD.encode() in content]


def test_a_full_run_on_processes_shows_no_private_key(tmp_path: Path, lab_name: str, nginx_binary: Path) -> None:
    search = Search()

    def observe() -> None:
        # Those of this lab alone: others may belong to other users, and end at any moment.
        for process in nginx_processes(tmp_path / lab_name):
            with contextlib.suppress(psutil.NoSuchProcess):  # a worker that was replaced meanwhile, a zombie
                search.keep(f"process {process.pid}", json.dumps([process.cmdline(), process.environ()]))

    full_run(search, tmp_path, lab_name, "embedded", "ec-p256", observe)
    assert sum(name.startswith("process ") for name in search.seen) >= len(SERVICES), "the masters were looked at"
    require_nothing(search)


@pytest.mark.engine
def test_a_full_run_in_docker_shows_no_private_key(tmp_path: Path, lab_name: str, engine: Any) -> None:
    search = Search()

    def observe() -> None:
        label = {"label": f"mtlslab.lab={lab_name}"}
        for container in engine.containers.list(all=True, filters=label):
            search.keep(f"inspect {container.name}", json.dumps(container.attrs))
            search.keep(f"logs {container.name}", container.logs())
            search.keep(f"changes {container.name}", json.dumps(container.diff()))
            search.keep(f"layers of {container.image.id}", b"".join(layers(container.image)))
        for network in engine.networks.list(filters=label):
            search.keep(f"inspect {network.name}", json.dumps(network.attrs))
        config = ["docker", "compose", "-f", str(tmp_path / lab_name / "docker-compose.yml"), "config"]
        search.keep("compose config", subprocess.run(config, capture_output=True, check=True).stdout)

    full_run(search, tmp_path, lab_name, "docker", "rsa-2048", observe)
    assert any(name.startswith("layers") for name in search.seen)
    require_nothing(search)


def layers(image: Any) -> Iterator[bytes]:
    """The content of every file in every layer of an image, and its configuration."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(image.save()))) as saved:
        for content in contents(saved):
            yield content
            if tarfile.is_tarfile(io.BytesIO(content)):
                with tarfile.open(fileobj=io.BytesIO(content)) as layer:
                    yield from contents(layer)


def contents(archive: tarfile.TarFile) -> Iterator[bytes]:
    return (file.read() for member in archive if (file := archive.extractfile(member)))


@pytest.mark.parametrize("key_type", ["rsa-2048", "ec-p256", "ed25519"])
def test_the_search_finds_a_key_however_it_is_written(key_type: str, tmp_path: Path) -> None:
    from mtlslab.pki import key_pem, new_key

    key = new_key(key_type)
    pem = key_pem(key)
    number = numbers_of(key)[0]
    leaks = {
        "PEM": pem,
        "DER": b"x" + key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        "hex": b"key=" + number.hex().encode(),
        "decimal": str(int.from_bytes(number)).encode(),
        **{f"base64 {shift}": base64.b64encode(b"s" * shift + number + b"rest") for shift in range(3)},
    }  # fmt: skip
    for name, leak in leaks.items():
        search = Search()
        search.keys["key"] = pem
        search.keep(name, leak)
        assert search.found(), name
    search = Search()
    search.keys["key"] = pem
    search.keep("another", key_pem(new_key(key_type)).split(b"\n", 1)[1].rsplit(b"\n", 2)[0])
    assert search.found() == []
