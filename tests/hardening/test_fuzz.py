"""Hostile values in every option, in lab.json and in PEM files.

Whatever comes in: no traceback, no file outside the directory of the lab, and what is accepted means the same to nginx
and to Compose as to the person who typed it. The inputs are the same in every run; for new ones, and more of them:
FUZZ=20 pytest tests/hardening/test_fuzz.py
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import ipaddress
import itertools
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mtlslab.errors import MachineError, SpecError
from mtlslab.lifecycle.files import plan_of
from mtlslab.pki import load_credential, new_key
from mtlslab.plan.services import MTLS_SERVICE, SERVICES, TLS_SERVICE
from mtlslab.plan.spec import make_spec
from mtlslab.runtime.embedded.runtime import _check_directory
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.renewal import PKI_FILES
from mtlslab.workspace.target import locate

from tests.support.brought import usual
from tests.support.cli import Run
from tests.support.in_process import invoke
from tests.support.nginx_words import Refused, dump
from tests.support.odd_certificates import ODD

CORPUS = Path(__file__).parents[1] / "fuzz_corpus"
VALUES: list[str] = json.loads((CORPUS / "values.json").read_text())
LAB_JSON = sorted((CORPUS / "lab_json").iterdir())
# How many times the usual number of inputs; more than once, they are new in every run.
TIMES = int(os.environ.get("FUZZ", "1"))
TABLE = "table"
EC = ("--key-type", "ec-p256")
count = itertools.count()
# How many inputs each test is given, before TIMES; and how many it was given in this process.
INPUTS = {
    "options and variables": 250,
    "lab.json": 250,
    "PEM files": 250,
    "imported files": 60,
    "names of the directory": 60,
    "names of credentials": 150,
    "password files": 60,
}
tried: dict[str, int] = {}
read_before: set[tuple[str, str]] = set()


def budget(test: str) -> settings:
    return settings(
        max_examples=INPUTS[test] * TIMES, derandomize=TIMES == 1, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


# --- nothing outside

written_outside: list[str] = []
watched: list[Path] = []
_WRITES = {"os.rename": 2, "os.remove": 1, "os.mkdir": 1, "os.rmdir": 1, "os.symlink": 2, "os.link": 2, "os.chmod": 1}


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    """See every file that this process opens for writing, makes, moves or removes (PEP 578)."""
    if not watched or not (event == "open" or event in _WRITES):
        return
    if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
        return
    for path in arguments[: _WRITES.get(event, 1)]:
        if isinstance(path, int) or path is None:
            continue
        text = os.fsdecode(path)
        plain = "/" not in text and text not in (".", "..")  # a name below an open directory
        inside = any(Path(os.path.abspath(text)).is_relative_to(place) for place in watched)
        if not (plain or inside or text == os.devnull or "__pycache__" in text):
            written_outside.append(f"{event} {text}")


sys.addaudithook(_hook)


@contextlib.contextmanager
def only_below(place: Path) -> Iterator[None]:
    """Work in a directory; whatever is written anywhere else is an error."""
    before = Path.cwd()
    os.chdir(place)
    watched.append(place)
    try:
        yield
    finally:
        watched.remove(place)
        os.chdir(before)
    found, written_outside[:] = list(written_outside), []
    assert found == []


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def model(place: Path) -> Path:
    """A lab that is as it should be, called x, with a revocation list."""
    lab = place / "model"
    assert invoke("render", "--dir", lab, "--name", "x", "--crl", *EC).code == 0
    return lab


@pytest.fixture(scope="module")
def meant(model: Path, nginx_binary: Path) -> dict[str, dict[str, list[str]]]:
    """What nginx reads for the model, by service."""
    return {service: dump(nginx_binary, model, service) for service in SERVICES}


def tally(test: str) -> None:
    tried[test] = tried.get(test, 0) + 1


# --- strategies

METACHARACTERS = sorted(
    {*"\n\r\t;{}#'\"\\$%`|>&*?[]:,!@~-./ ", "{{", "}}", "{%", "${", "../", "é", "😀", "\u202e", "\x00"}
)
hostile = st.one_of(
    st.sampled_from(VALUES),
    st.text(max_size=40),
    st.lists(st.sampled_from([*METACHARACTERS, "a", "lab", "test", "0", "1"]), max_size=8).map("".join),
    st.integers(-(2**70), 2**70).map(str),
)
addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,39}", fullmatch=True)
labels = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,20}[A-Za-z0-9])?", fullmatch=True)
dns_names = st.builds(
    lambda star, parts: star + ".".join(parts), st.sampled_from(["", "*."]), st.lists(labels, min_size=1, max_size=6)
)
ports = st.integers(0, 65535).map(str)
images = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9._/:@-]{0,60}", fullmatch=True)
listens = st.one_of(st.sampled_from(["127.0.0.1", "::1", "0.0.0.0", "::", "127.0.0.2"]), addresses)  # noqa: S104  values under test
# Option, environment variable, what may be accepted.
OPTIONS: dict[str, tuple[str, st.SearchStrategy[str]]] = {
    "--name": ("MTLSLAB_NAME", names),
    "--tls-port": ("MTLSLAB_TLS_PORT", ports),
    "--mtls-port": ("MTLSLAB_MTLS_PORT", ports),
    "--listen": ("MTLSLAB_LISTEN", listens),
    "--host": ("MTLSLAB_HOST", st.one_of(dns_names, addresses)),
    "--key-type": ("MTLSLAB_KEY_TYPE", st.sampled_from(["ec-p256", "ed25519"])),
    "--days": ("MTLSLAB_DAYS", st.integers(1, 36500).map(str)),
    "--ca-days": ("MTLSLAB_CA_DAYS", st.integers(1, 36500).map(str)),
    "--client-auth": ("MTLSLAB_CLIENT_AUTH", st.sampled_from(["none", "optional", "required"])),
    "--image": ("MTLSLAB_IMAGE", images),
}


@st.composite
def settings_of_a_lab(draw: Any) -> list[tuple[str, str, bool]]:
    """Some options, each with a value that may be good, and whether it comes from the environment."""
    chosen = draw(st.lists(st.sampled_from(sorted(OPTIONS)), unique=True, max_size=6))
    bad = draw(st.sampled_from([*chosen, "", "", "", ""]))  # one bad value at most: two hide each other
    return [(option, draw(hostile if option == bad else OPTIONS[option][1]), draw(st.booleans())) for option in chosen]


def render(settings: list[tuple[str, str, bool]]) -> Run:
    arguments, environment = ["render"], {}
    defaults = {"--key-type": "ec-p256", "--name": "x"}
    for option, value, from_environment in settings:
        defaults.pop(option, None)
        if from_environment and "\0" not in value and value:
            environment[OPTIONS[option][0]] = os.fsencode(value.encode("utf-8", "replace")).decode()
        else:
            arguments.append(f"{option}={value}")
    return invoke(*arguments, *(f"{option}={value}" for option, value in defaults.items()), **environment)


# --- what was accepted is meant


def listens_on(spec: dict[str, Any], service: str) -> str:
    port = spec["tls_port"] if service == TLS_SERVICE else spec["mtls_port"]
    address = ipaddress.ip_address(spec["listen"])
    return f"[{spec['listen']}]:{port}" if address.version == 6 else f"{spec['listen']}:{port}"


def require_as_meant(lab: Path, meant: dict[str, dict[str, list[str]]], nginx: Path, *, fresh: bool = True) -> None:
    """Compare what nginx and Compose read with the settings in lab.json; everything else is as in the model."""
    spec = json.loads((lab / "lab.json").read_text())["spec"]
    require_compose(lab)
    require_certificate(lab, spec, fresh=fresh)
    for service in SERVICES:
        own = lab / service / "listen.conf"
        address = listens_on(spec, service)
        assert own.read_text().splitlines()[-1] == f"listen {address} ssl;"
        # nginx binds what it reads, also in a test; an address that this machine lacks is replaced for it.
        if spec["listen"] not in ("127.0.0.1", "::1") or int(address.rpartition(":")[2]) < 1024:
            address = "127.0.0.1:8888"
            own.write_text(f"listen {address} ssl;\n")
        conf = (lab / service / "nginx.conf").read_text(), own.read_text()
        if conf in read_before:  # the same bytes mean the same
            continue
        read_before.add(conf)
        read = dump(nginx, lab, service)
        assert read[f"{service}/listen.conf"] == ["listen", address, "ssl", ";"]
        expected = expected_words(meant[service][f"{service}/nginx.conf"], spec)
        assert without_token(read[f"{service}/nginx.conf"]) == without_token(expected)
        assert set(read) == set(meant[service])


def without_token(words: list[str]) -> list[str]:
    """Each lab has a token of its own; the word that holds it begins the format of the access log."""
    return [re.sub('"token":"[0-9a-f]{32}"', '"token":""', word) for word in words]


def expected_words(model: list[str], spec: dict[str, Any]) -> list[str]:
    words = list(model)
    if "ssl_verify_client" in words:
        words[words.index("ssl_verify_client") + 1] = {"none": "off", "optional": "optional", "required": "on"}[
            spec["client_auth"]
        ]
    if not spec["crl"] and "ssl_crl" in words:
        place = words.index("ssl_crl")
        del words[place : place + 3]
    return words


def require_compose(lab: Path) -> None:
    """The Compose file, read back as YAML, says what the plan says."""
    target = locate(None, lab, here=lab)
    assert target.record is not None
    spec = make_spec(target.record.spec)
    plan = plan_of(target.workspace, spec, target.record.image or spec.image)
    document = yaml.safe_load((lab / "docker-compose.yml").read_text().replace("$$", "$"))
    assert document["name"] == plan.lab
    assert document["networks"]["default"]["name"] == plan.network
    assert set(document["services"]) == {service.name for service in plan.services}
    for service in plan.services:
        made = document["services"][service.name]
        assert made["image"] == plan.image
        assert made["entrypoint"] == ["nginx", *service.command("/lab")]
        assert [(port["host_ip"], port["published"], port["target"]) for port in made["ports"]] == [
            (plan.listen, str(service.port), service.port)
        ]
        assert [(item["source"], item["target"]) for item in made["volumes"]] == [
            (f"./{mount.source}", mount.target) for mount in service.mounts
        ]
        assert made["labels"]["mtlslab.lab"] == plan.lab
        assert (made["read_only"], made["cap_drop"], made.get("privileged")) == (True, ["ALL"], None)


def require_certificate(lab: Path, spec: dict[str, Any], *, fresh: bool) -> None:
    """The server's certificate names what was asked for, and nothing else."""
    server = x509.load_pem_x509_certificate((lab / "certs/server.crt").read_bytes())
    found = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    sans = [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]
    wanted = set()
    for name in make_spec(spec).server_names:
        with contextlib.suppress(ValueError):
            name = str(ipaddress.ip_address(name))  # noqa: PLW2901  as it is written in a certificate
        wanted.add(name)
    assert set(sans) == wanted
    if fresh:  # a good certificate is kept, whatever is asked of new ones
        days = (server.not_valid_after_utc - datetime.datetime.now(datetime.UTC)).days
        assert days <= min(spec["days"], spec["ca_days"])


# --- the tests


def test_every_value_of_the_corpus_in_the_options_that_reach_a_file(
    place: Path, meant: Any, nginx_binary: Path
) -> None:
    base = place / "corpus"
    base.mkdir()
    text = ("--name", "--listen", "--host", "--image", "--tls-port", "--client-auth")
    for option, value in itertools.product(text, VALUES):
        tally("values of the corpus in options")
        with only_below(base):
            if render([(option, value, False)]).code == 0:
                (lab,) = base.iterdir()
                require_as_meant(lab, meant, nginx_binary)
                shutil.rmtree(lab)
        assert list(base.iterdir()) == [], (option, value)


@budget("options and variables")
@given(chosen=settings_of_a_lab(), crl=st.booleans())
def test_options_and_variables(
    place: Path, meant: Any, nginx_binary: Path, chosen: list[tuple[str, str, bool]], crl: bool
) -> None:
    tally("options and variables")
    base = place / f"options-{next(count)}"
    base.mkdir()
    with only_below(base):
        run = render(chosen)
        if run.code == 0 and crl:
            (lab,) = base.iterdir()
            run = invoke("render", "--dir", lab, "--crl")
    if run.code == 0:
        (lab,) = base.iterdir()
        require_as_meant(lab, meant, nginx_binary)
    else:
        assert list(base.iterdir()) == []
        assert run.err
    shutil.rmtree(base)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), hostile, st.integers(0, 70000)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(hostile, inner, max_size=3)),
    max_leaves=6,
)


@st.composite
def changes_to_lab_json(draw: Any) -> Callable[[dict[str, Any]], bytes]:
    """A function that damages a document: another value somewhere, a key more or less, bytes cut or changed."""
    where = draw(st.sampled_from(["spec", "spec", "spec", "top", "files", "bytes"]))
    key, value = draw(st.one_of(st.integers(0, 20), hostile)), draw(json_values)
    cut, byte = draw(st.integers(0, 2000)), draw(st.binary(max_size=4))

    def change(document: dict[str, Any]) -> bytes:
        if where == "bytes":
            content: bytes = json.dumps(document).encode()
            rest: bytes = content[cut % len(content) :] if cut % 2 else b""
            return content[: cut % len(content)] + bytes(byte) + rest
        part = document if where == "top" else document[where]
        names = sorted(part)
        name = names[key % len(names)] if isinstance(key, int) and names else str(key)
        if value is None and name in part:
            del part[name]
        else:
            part[name] = value
        return json.dumps(document).encode()

    return change


LAB_COMMANDS = (
    ("render",),
    ("render", "--name", "x", "--days", "9"),
    ("status",),
    ("certs", "list"),
    ("certs", "crl"),
    ("clients", "curl"),
    ("verify", "--list"),
    ("logs",),
    ("down",),
)


def try_lab_json(lab: Path, model: Path, content: bytes, words: tuple[str, ...], meant: Any, nginx: Path) -> None:
    shutil.copytree(model, lab)
    (lab / "lab.json").write_bytes(content)
    with only_below(lab.parent):
        run = invoke(*words, "--dir", lab)
    if words[0] == "render" and run.code == 0:
        require_as_meant(lab, meant, nginx, fresh=False)
    else:
        for path in PKI_FILES:
            assert (lab / path).read_bytes() == (model / path).read_bytes()
    shutil.rmtree(lab)


@pytest.mark.parametrize("file", LAB_JSON, ids=lambda path: path.stem)
def test_lab_json_of_the_corpus(place: Path, model: Path, meant: Any, nginx_binary: Path, file: Path) -> None:
    for words in LAB_COMMANDS:
        tally("lab.json of the corpus")
        try_lab_json(place / f"corpus-{next(count)}", model, file.read_bytes(), words, meant, nginx_binary)
    lab = place / f"corpus-{next(count)}"
    shutil.copytree(model, lab)
    (lab / "lab.json").write_bytes(file.read_bytes())
    assert invoke("down", "--purge", "--dir", lab).code == 0  # the way out that the error names
    # With notes that name none of them, all certificates are somebody else's, and stay.
    left = {path.parent.name for path in lab.rglob("*") if path.is_file()}
    assert left == ({"certs"} if file.stem in ("issued-nothing", "copied-outside") else set())
    assert lab.exists() == bool(left)
    shutil.rmtree(lab, ignore_errors=True)


@budget("lab.json")
@given(change=changes_to_lab_json(), words=st.sampled_from(LAB_COMMANDS))
def test_lab_json(
    place: Path, model: Path, meant: Any, nginx_binary: Path, change: Callable[[dict[str, Any]], bytes], words: Any
) -> None:
    tally("lab.json")
    content = change(json.loads((model / "lab.json").read_text()))
    try_lab_json(place / f"json-{next(count)}", model, content, words, meant, nginx_binary)


def ca_in_der() -> bytes:
    return usual("A CA").certificate.public_bytes(Encoding.DER)


OTHERS: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "garbage": lambda: b"\x00\xff garbage \x80" * 9,
    "no certificate": lambda: b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    "with a password": lambda: new_key("ec-p256").private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    ),
    "another key": lambda: new_key("ec-p256").private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ),
    "in DER": ca_in_der,
    "in PKCS #7": lambda: pkcs7.serialize_certificates([x509.load_der_x509_certificate(ca_in_der())], Encoding.PEM),
    "in UTF-16": lambda: "-----BEGIN CERTIFICATE-----\r\n".encode("utf-16"),
    "a web page": lambda: b"<html>404</html>",
    "of OpenSSH": lambda: b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
    **{f"odd: {kind}": functools.partial(bytes, pem) for kind, pem in ODD.items()},
    "too large": lambda: b"# \n" * 1_500_000,
}
PEM_COMMANDS = (
    ("render",),
    ("render",),
    ("certs", "list"),
    ("certs", "show"),
    ("certs", "export", "client"),
    ("certs", "revoke", "client"),
    ("certs", "issue", "bob"),
)


@st.composite
def changes_to_pem(draw: Any) -> Callable[[bytes, list[bytes]], bytes]:
    kind = draw(st.sampled_from(["cut", "swap", "insert", "flip", "twice", "crlf", "append", *OTHERS]))
    number, byte = draw(st.integers(0, 4000)), draw(st.binary(min_size=1, max_size=8))

    def change(content: bytes, files: list[bytes]) -> bytes:
        at = number % (len(content) + 1)
        if kind == "flip":
            return (
                content[:at] + bytes([content[at] ^ 1 << number % 8]) + content[at + 1 :] if content[at:] else content
            )
        changes: dict[str, Callable[[], bytes]] = {
            "cut": lambda: content[:at],
            "swap": lambda: files[number % len(files)],
            "insert": lambda: content[:at] + byte + content[at:],
            "twice": lambda: content * 2,
            "crlf": lambda: content.replace(b"\n", b"\r\n"),
            "append": lambda: content + files[number % len(files)],
            **OTHERS,
        }
        return changes[kind]()

    return change


@budget("PEM files")
@given(
    path=st.sampled_from([*PKI_FILES, "crl/client-ca.crl"]),
    change=changes_to_pem(),
    words=st.sampled_from(PEM_COMMANDS),
)
def test_pem_files(
    place: Path, model: Path, meant: Any, nginx_binary: Path, path: str, change: Any, words: Any
) -> None:
    tally("PEM files")
    lab = place / f"pem-{next(count)}"
    shutil.copytree(model, lab)
    files = [(model / one).read_bytes() for one in PKI_FILES]
    content = change((model / path).read_bytes(), files)
    (lab / path).write_bytes(content)
    with only_below(lab.parent):
        run = invoke(*words, *([path] if words[-1] == "show" else []), "--dir", lab)
    # Nothing that a person would miss is ever replaced: keys, CAs, the list of what was revoked.
    if words[:2] != ("certs", "revoke") and "ca" in path and not (path.endswith(".crl") and run.code == 0):
        assert (lab / path).read_bytes() == content
    if path.endswith(".key"):
        assert (lab / path).read_bytes() == content
        assert (lab / path).stat().st_mode & 0o777 == 0o600
    if words[0] == "render" and run.code == 0:
        load_credential((lab / "certs/server.crt").read_bytes(), (lab / "certs/server.key").read_bytes())
        with contextlib.suppress(Refused):  # OpenSSL may refuse a file that pyca/cryptography takes, and `up` says so
            assert dump(nginx_binary, lab, TLS_SERVICE) == meant[TLS_SERVICE]
    shutil.rmtree(lab)


@budget("imported files")
@given(path=st.sampled_from(PKI_FILES), change=changes_to_pem(), new=st.booleans(), keys=st.booleans())
def test_imported_files(place: Path, model: Path, path: str, change: Any, new: bool, keys: bool) -> None:
    """All or nothing: a lab that renders, or the one that was there. The user's own files are as they were."""
    tally("imported files")
    base = place / f"import-{next(count)}"
    mine, lab = base / "mine", base / "lab"
    shutil.copytree(model / "certs", mine)
    if not new:
        shutil.copytree(model, lab)
    files = [(model / one).read_bytes() for one in PKI_FILES]
    (mine / Path(path).name).write_bytes(change((model / path).read_bytes(), files))
    ends = {"cert": ".crt", "key": ".key", "ca": "-ca.crt", **({"ca-key": "-ca.key"} if keys else {})}
    words = [f"--{side}-{part}={mine / side}{end}" for side in ("server", "client") for part, end in ends.items()]
    before, mine_before = contents(lab), contents(mine)
    with only_below(base), mock.patch("mtlslab.lifecycle.bring.find_nginx", side_effect=MachineError("not here")):
        run = invoke("certs", "import", *words, "--dir", lab)
    assert contents(mine) == mine_before
    if run.code:
        assert contents(lab) == before
    else:
        assert all(file.stat().st_mode & 0o777 == 0o600 for file in (lab / "certs").glob("*.key"))
        assert invoke("render", "--dir", lab, *EC).code == 0
    shutil.rmtree(base)


def contents(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file() and path.name != ".lock"}


file_names = st.one_of(
    st.sampled_from([value for value in VALUES if "/" not in value and "\0" not in value]),
    st.lists(st.sampled_from([*METACHARACTERS, "a", "lab"]), min_size=1, max_size=6).map("".join),
    st.text(min_size=1, max_size=30),
)


@budget("names of the directory")
@given(name=file_names)
def test_names_of_the_directory(place: Path, model: Path, meant: Any, nginx_binary: Path, name: str) -> None:
    tally("names of the directory")
    base = place / f"directory-{next(count)}"
    base.mkdir()
    directory = base / name
    try:
        usable = directory.name == name and name not in ("", ".", "..") and not os.fsencode(directory).count(b"\0")
    except UnicodeEncodeError:  # no such name can be typed
        usable = False
    if usable:
        shutil.copytree(model, directory)
        with only_below(base):
            assert invoke("render", "--dir", directory).code == 0
        with contextlib.suppress(SpecError):
            _check_directory(directory)
            for service in SERVICES:
                assert dump(nginx_binary, directory, service) == meant[service]
    shutil.rmtree(base)


@budget("names of credentials")
@given(name=hostile, words=st.sampled_from(["issue", "revoke", "export", "show", "serial", "fault", "explain"]))
def test_names_of_credentials(place: Path, model: Path, name: str, words: str) -> None:
    tally("names of credentials")
    lab = place / f"names-{next(count)}"
    shutil.copytree(model, lab)
    arguments = {
        "serial": ["certs", "revoke", f"--serial={name}"],
        "fault": ["certs", "issue", f"--fault={name}"],
        "explain": ["explain", "--", name],
    }.get(words) or ["certs", words, "--", name]
    directory = [] if words == "explain" else ["--dir", str(lab)]
    with only_below(lab.parent):
        run = invoke(*arguments[:2], *directory, *arguments[2:])
    found = {str(path.relative_to(lab)) for path in lab.rglob("*") if path.is_file()}
    new = found - {str(path.relative_to(model)) for path in model.rglob("*")}
    assert run.code == 0 or not new - {".lock"}
    assert all(re.fullmatch(r"certs/(faults/)?[^/]+\.(crt|key|p12|cnf)|\.lock", path) for path in new), new
    shutil.rmtree(lab)


@budget("password files")
@given(content=st.one_of(st.binary(max_size=600), hostile.map(lambda text: text.encode("utf-8", "replace"))))
def test_password_files(place: Path, model: Path, content: bytes) -> None:
    tally("password files")
    lab, file = place / f"password-{next(count)}", place / "password"
    shutil.copytree(model, lab)
    file.write_bytes(content)
    with only_below(lab.parent):
        run = invoke("certs", "export", "client", "--password-file", file, "--dir", lab)
    assert run.code in (0, 2)
    first = content.split(b"\n")[0].strip(b"\r").decode(errors="replace")
    assert not first.strip() or len(first) < 6 or first not in run.out + run.err
    assert (lab / "certs/client.p12").exists() == (run.code == 0)
    shutil.rmtree(lab)


def test_enough_was_tried(record_property: Callable[[str, object], None]) -> None:
    """No test of this process was content with fewer inputs than it was given."""
    here = {test: number for test, number in tried.items() if test in INPUTS}
    if not here:
        pytest.skip("the tests that are counted ran in other processes")
    record_property(TABLE, [f"{number:>5}  inputs: {test}" for test, number in sorted(tried.items())])
    assert {test: number for test, number in here.items() if number < INPUTS[test] * TIMES} == {}


def test_the_lock_of_a_fuzzed_lab_is_free_again(model: Path) -> None:
    with Workspace(model).lock():
        pass


def test_the_fuzz_can_fail(place: Path, model: Path, meant: Any, nginx_binary: Path) -> None:
    """A configuration that means something else is noticed, and so is a file outside."""
    lab = place / "changed"
    shutil.copytree(model, lab)
    conf = lab / MTLS_SERVICE / "nginx.conf"
    conf.write_text(conf.read_text().replace("ssl_verify_client on;", "ssl_verify_client optional_no_ca;"))
    with pytest.raises(AssertionError):
        require_as_meant(lab, meant, nginx_binary)
    with pytest.raises(AssertionError, match="outside"), only_below(lab):
        (place / "outside").write_text("x")
