"""The audit of servers that are not ours: real programs, judged through the command line as a user sees it."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from junitparser import JUnitXml
from mtlslab.audit import audit as run_audit
from mtlslab.audit import make_request
from mtlslab.probe.attempt import attempt
from mtlslab.probe.model import Attempt

from tests.support.cli import Run, mtlslab
from tests.support.foreign_servers import (
    Answer,
    gnutls_server,
    make_certificates,
    nginx_server,
    node_server,
    openssl_server,
    python_server,
    require_program,
    server_context,
)
from tests.support.verify_lab import tcp_server

Server = AbstractContextManager[int]


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("certs"))


def audit(port: int, certs: Path, *options: str | Path, control: bool = True) -> Run:
    """Audit a loopback server, with the good client unless told otherwise."""
    good = ("--cert", certs / "client.crt", "--key", certs / "client.key") if control else ()
    return mtlslab(
        "audit", f"https://localhost:{port}", "--cacert", certs / "server-ca.crt", *good, *options, cwd=certs
    )


def report(port: int, certs: Path, *, control: bool = True) -> dict[str, Any]:
    """The same without the command line: the report as JSON has it."""
    request = make_request(
        f"https://localhost:{port}",
        cacert=certs / "server-ca.crt",
        cert=certs / "client.crt" if control else None,
        key=certs / "client.key" if control else None,
    )
    return run_audit(request).to_mapping()


def checks(value: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {check["id"]: check for check in value["checks"]}


def outcomes(value: dict[str, Any], family: str) -> set[str]:
    """How the attempts of one check ended, over all TLS versions."""
    found = [check for check in value["checks"] if check["id"].startswith(f"{family}.")]
    return {check["observed"].get("alert", check["observed"]["outcome"]) for check in found}


REQUIRED: dict[str, Callable[[Path, Path, Path], Server]] = {
    "openssl": lambda certs, _nginx, _tmp: openssl_server(certs, "-Verify", "1", "-verify_return_error"),
    "python": lambda certs, _nginx, _tmp: python_server(server_context(certs)),
    "gnutls": lambda certs, _nginx, _tmp: gnutls_server(certs, "--require-client-cert", "--verify-client-cert"),
    "node": lambda certs, _nginx, _tmp: node_server(certs, "reject"),
    "nginx": lambda certs, nginx, tmp: nginx_server(
        nginx, certs, tmp / "n", "ssl_verify_client on; location / { return 200 yes; }"
    ),
}
# What a client without a certificate meets, and one with a stranger's.
REFUSALS = {
    "openssl": ({"handshake_failure", "certificate_required"}, {"unknown_ca"}),
    "python": ({"handshake_failure", "certificate_required"}, {"unknown_ca"}),
    # GnuTLS 3.7 finds an empty Certificate message of TLS 1.2 undecodable.
    "gnutls": ({"decode_error", "certificate_required"}, {"access_denied"}),
    "node": ({"handshake_failure", "certificate_required"}, {"closed"}),
    "nginx": ({"refused-by-status"}, {"refused-by-status"}),
}


@pytest.mark.clients
@pytest.mark.parametrize("kind", REQUIRED)
@pytest.mark.parametrize("control", [True, False], ids=["with-good-client", "without"])
def test_a_server_that_requires_a_certificate_passes(
    kind: str, control: bool, certs: Path, nginx_binary: Path, tmp_path: Path
) -> None:
    """Whether it refuses by alert, by status or by hanging up: no stranger gets in, and the way is told."""
    with REQUIRED[kind](certs, nginx_binary, tmp_path) as port:
        done = audit(port, certs, "-o", "json", control=control)
    value = json.loads(done.out)
    # "access_denied" may be about a name: without the authorised client, nobody knows.
    told = ("could-not-tell", 6) if kind == "gnutls" and not control else ("required", 0)
    assert (value["server"]["client_auth"], value["exit_code"], done.code) == (*told, told[1])
    assert value["server"]["certificate_requested"] is True
    without, other = REFUSALS[kind]
    assert outcomes(value, "refuses-no-certificate") == without
    assert outcomes(value, "refuses-other-ca") == other
    control_results = {check["result"] for name, check in checks(value).items() if "serves-authorised-client" in name}
    assert control_results == ({"pass"} if control else {"skip"})


OPTIONAL: dict[str, Callable[[Path, Path, Path], Server]] = {
    "python": lambda certs, _nginx, _tmp: python_server(server_context(certs, ssl.CERT_OPTIONAL)),
    "openssl": lambda certs, _nginx, _tmp: openssl_server(certs, "-verify", "1", "-verify_return_error"),
    "nginx": lambda certs, nginx, tmp: nginx_server(
        nginx, certs, tmp / "n", "ssl_verify_client optional; location / { return 200 yes; }"
    ),
}


@pytest.mark.clients
@pytest.mark.parametrize("kind", OPTIONAL)
@pytest.mark.parametrize("control", [True, False], ids=["with-good-client", "without"])
def test_a_server_with_an_optional_certificate_does_not_enforce_mtls(
    kind: str, control: bool, certs: Path, nginx_binary: Path, tmp_path: Path
) -> None:
    """It refuses bad certificates and serves whoever shows none: the sentence says so, the exit status is 1."""
    with OPTIONAL[kind](certs, nginx_binary, tmp_path) as port:
        told = audit(port, certs, control=control)
        value = report(port, certs, control=control)
    assert told.code == 1
    last = told.out.splitlines()[-1]
    assert last.startswith(f"https://localhost:{port}/ does NOT enforce mTLS: it serves a client without a certificate")
    assert value["server"]["client_auth"] == "requested-not-enforced"
    others = {check["result"] for name, check in checks(value).items() if "refuses-other-ca" in name}
    assert others
    assert others <= {"pass", "skip"}


LENIENT = {
    "requested-not-enforced": "ssl_verify_client optional_no_ca; location / { return 200 yes; }",
    "none": "location / { return 200 yes; }",
}


@pytest.mark.parametrize("client_auth", LENIENT)
def test_what_nginx_does_about_certificates_is_told(
    client_auth: str, certs: Path, nginx_binary: Path, tmp_path: Path
) -> None:
    with nginx_server(nginx_binary, certs, tmp_path / "n", LENIENT[client_auth]) as port:
        value = report(port, certs)
    assert value["exit_code"] == 1
    assert value["server"]["client_auth"] == client_auth
    assert checks(value)["refuses-self-signed.tls13"]["result"] == "fail"


def test_any_certificate_is_not_the_right_certificate(certs: Path, nginx_binary: Path, tmp_path: Path) -> None:
    """A server that insists on some certificate and looks at none is found out by the unauthorised client's."""
    demand = 'if ($ssl_client_verify = "NONE") { return 496; }'
    directives = f"ssl_verify_client optional_no_ca; location / {{ {demand} return 200 yes; }}"
    with nginx_server(nginx_binary, certs, tmp_path / "n", directives) as port:
        value = report(port, certs)
    assert (value["exit_code"], value["server"]["client_auth"]) == (1, "any-certificate")
    assert checks(value)["refuses-no-certificate.tls13"]["result"] == "pass"


def test_a_refusal_page_with_status_200_needs_a_text(certs: Path, nginx_binary: Path, tmp_path: Path) -> None:
    directives = (
        "ssl_verify_client on; error_page 495 496 =200 /sorry; location / { return 200 yes; }"
        "location = /sorry { return 200 sorry; }"
    )
    with nginx_server(nginx_binary, certs, tmp_path / "n", directives) as port:
        value = report(port, certs)
        told = audit(port, certs, "--expect", "yes")
    found = checks(value)["refuses-no-certificate.tls12"]
    assert (value["exit_code"], found["result"]) == (6, "inconclusive")
    assert "not the page of the authorised client" in found["reason"]
    assert "--expect" in found["reason"]
    assert told.code == 0


def forbid_strangers(certificate: Any) -> Answer:
    return Answer() if certificate else Answer(403, b"who are you?")


def test_an_application_that_forbids_is_a_refusal_by_status(certs: Path) -> None:
    """Held against the authorised client's 200, a 403 to a stranger refuses."""
    with python_server(server_context(certs, ssl.CERT_OPTIONAL), forbid_strangers) as port:
        value = report(port, certs)
    found = checks(value)["refuses-no-certificate.tls13"]
    assert (value["exit_code"], found["result"]) == (0, "pass")
    assert (found["observed"]["outcome"], found["observed"]["status"]) == ("refused-by-status", 403)


AMBIGUOUS = {
    "forbidden": Answer(403, b"no"),
    "missing": Answer(404, b"no"),
    "redirect": Answer(302, b"", {"Location": "/login"}),
    "broken": Answer(500, b"oops"),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_an_answer_that_everybody_may_get_is_inconclusive(name: str, certs: Path) -> None:
    """Without an authorised client nobody knows what such an answer means; the reason says what would help."""
    with python_server(server_context(certs, ssl.CERT_OPTIONAL), lambda _certificate: AMBIGUOUS[name]) as port:
        done = audit(port, certs, control=False)
    assert done.code == 6
    assert "could not tell whether" in done.out.splitlines()[-1]
    assert "--path" in done.out


@pytest.mark.parametrize(("name", "code"), [("missing", 1), ("redirect", 1), ("forbidden", 6), ("broken", 6)])
def test_the_same_answer_for_all_treats_strangers_like_the_right_client(name: str, code: int, certs: Path) -> None:
    """A 404 for the authorised client and for a stranger: both are in. A 403 for both proves nothing."""
    with python_server(server_context(certs, ssl.CERT_OPTIONAL), lambda _certificate: AMBIGUOUS[name]) as port:
        assert audit(port, certs).code == code


def test_redirects_are_not_followed(certs: Path) -> None:
    asked: list[Any] = []

    def redirect(certificate: Any) -> Answer:
        asked.append(certificate)
        return Answer(302, b"", {"Location": "/"})

    with python_server(server_context(certs, ssl.CERT_OPTIONAL), redirect) as port:
        attempts = [check for check in report(port, certs)["checks"] if check["duration_ms"]]
    assert 0 < len(asked) <= len(attempts)


def test_a_right_client_that_is_refused_is_told(certs: Path, tmp_path: Path) -> None:
    """The server refuses everybody: no hole, but not what it is there for either."""
    stranger = make_certificates(tmp_path)
    with python_server(server_context(certs)) as port:
        done = mtlslab(
            *("audit", f"https://localhost:{port}", "--cacert", certs / "server-ca.crt"),
            *("--cert", stranger / "client.crt", "--key", stranger / "client.key"),
            cwd=certs,
        )
    assert done.code == 1
    assert done.out.splitlines()[-1].startswith(f"https://localhost:{port}/ refuses the authorised client: ")


def test_the_announced_ca_names_are_told(certs: Path, nginx_binary: Path, tmp_path: Path) -> None:
    """And used: a CA of that very name is founded, to see whether the name is enough."""
    directives = "ssl_verify_client on; location / { return 200 yes; }"
    with nginx_server(nginx_binary, certs, tmp_path / "n", directives) as port:
        value = report(port, certs)
    assert value["server"]["ca_names"] == ["CN=afar client CA,O=afar"]
    assert checks(value)["refuses-other-ca-same-name.tls13"]["result"] == "pass"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_only_the_offered_tls_versions_are_judged(
    version: str, certs: Path, nginx_binary: Path, tmp_path: Path
) -> None:
    directives = f"ssl_protocols TLSv{version}; ssl_verify_client on; location / {{ return 200 yes; }}"
    with nginx_server(nginx_binary, certs, tmp_path / "n", directives) as port:
        value = report(port, certs)
    offers = value["server"]["tls_versions"]
    assert offers == {"1.0": "refused", "1.1": "refused", "1.2": "refused", "1.3": "refused", version: "accepted"}
    assert {check["tls_version"] for check in value["checks"]} == {"", version}
    assert value["exit_code"] == 0


@pytest.mark.clients
def test_old_tls_versions_are_a_warning_that_strict_turns_into_a_failure(certs: Path) -> None:
    options = ("-Verify", "1", "-verify_return_error", "-cipher", "DEFAULT:@SECLEVEL=0")
    with openssl_server(certs, *options) as port:
        value = report(port, certs)
        strict = audit(port, certs, "--strict").code
    assert value["server"]["tls_versions"]["1.1"] == "accepted"
    assert checks(value)["refuses-old-tls"]["result"] == "warn"
    assert checks(value)["refuses-no-certificate.tls11"]["result"] == "pass"
    assert (value["exit_code"], strict) == (0, 1)


def test_the_zoo_is_minted_under_the_real_ca_and_removed(certs: Path, tmp_path: Path) -> None:
    """With the CA's key every fault is tried; the authorised client too, if none was given. Nothing stays behind."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    ca = ("--client-ca-cert", certs / "client-ca.crt", "--client-ca-key", certs / "client-ca.key")
    with python_server(server_context(certs)) as port:
        done = mtlslab(
            *("audit", f"https://localhost:{port}", "--cacert", certs / "server-ca.crt", *ca, "-o", "json"),
            cwd=certs,
            TMPDIR=str(scratch),
        )
    value = json.loads(done.out)
    found = checks(value)
    assert done.code == 0
    assert found["serves-authorised-client.tls13"]["title"] == "serves the authorised client (minted for this audit)"
    assert found["refuses-expired.tls13"]["observed"]["alert"] == "certificate_expired"
    assert found["refuses-stolen-certificate.tls12"]["observed"]["alert"] == "decrypt_error"
    assert found["refuses-sha1-signature.tls12"]["result"] == "pass"
    assert found["serves-intermediate-sent.tls12"]["result"] == "pass"
    assert found["refuses-eku-none.tls12"]["result"] == "warn"
    assert len(found) > 60
    assert not list(scratch.iterdir())


@pytest.mark.clients
def test_a_server_that_forgets_the_dates_is_found_out_by_the_zoo(certs: Path) -> None:
    """The strangers are refused; only a certificate of the right CA that has expired shows the hole."""
    ca = ("--client-ca-cert", certs / "client-ca.crt", "--client-ca-key", certs / "client-ca.key")
    with openssl_server(certs, "-Verify", "1", "-verify_return_error", "-no_check_time") as port:
        done = audit(port, certs, *ca)
        alone = audit(port, certs)
    assert alone.code == 0
    assert done.code == 1
    assert "does NOT enforce mTLS: it serves a client of the CA: expired a day ago" in done.out.splitlines()[-1]


def test_a_server_that_is_not_trusted_is_told_and_asked_nothing(certs: Path, tmp_path: Path) -> None:
    """The client ends the handshake before it shows its certificate; what helps is said."""
    other = make_certificates(tmp_path)
    seen: list[Any] = []

    def note(certificate: Any) -> Answer:
        seen.append(certificate)
        return Answer()

    with python_server(server_context(certs), note) as port:
        done = mtlslab("audit", f"https://localhost:{port}", "--cacert", other / "server-ca.crt", cwd=certs)
        system = mtlslab("audit", f"https://localhost:{port}", cwd=certs)
    for run in (done, system):
        assert run.code == 6
        assert "The client does not trust the server" in run.out
        assert "--insecure" in run.out
    assert not seen


def test_the_system_trusts_are_used_without_cacert(certs: Path) -> None:
    with python_server(server_context(certs)) as port:
        done = mtlslab("audit", f"https://localhost:{port}", cwd=certs, SSL_CERT_FILE=str(certs / "server-ca.crt"))
    assert done.code == 0


def test_insecure_judges_the_clients_all_the_same(certs: Path) -> None:
    with python_server(server_context(certs)) as port:
        done = mtlslab("audit", f"https://127.0.0.1:{port}", "--insecure", cwd=certs)
    assert done.code == 0
    assert "Not judged: --insecure accepts any server." in done.out


def test_nobody_there_is_inconclusive(certs: Path) -> None:
    done = audit(1, certs)
    assert done.code == 6
    assert "Connection refused" in done.out


def test_a_port_that_speaks_plain_http_is_told(certs: Path) -> None:
    with tcp_server(lambda sock: sock.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")) as port:
        done = audit(port, certs)
    assert done.code == 6
    assert "does not speak TLS" in done.out


SCHEMA = json.loads((resources.files("mtlslab.output") / "schemas/audit-3.json").read_text())


def test_the_report_as_json_is_of_the_published_schema(certs: Path) -> None:
    """Served, refused, skipped, and a server that is not there: each report validates."""
    validator = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())
    with python_server(server_context(certs, ssl.CERT_OPTIONAL)) as port:
        validator.validate(report(port, certs))
        validator.validate(report(port, certs, control=False))
    validator.validate(report(1, certs))


def test_every_format_tells_the_same(certs: Path, tmp_path: Path) -> None:
    with python_server(server_context(certs, ssl.CERT_OPTIONAL)) as port:
        value = report(port, certs)
        file = tmp_path / "report.xml"
        assert audit(port, certs, "-o", "junit", "--output-file", file).code == 1
    parsed = JUnitXml.fromfile(str(file))
    assert (parsed.tests, parsed.failures) == (len(value["checks"]), value["summary"]["fail"])
    assert value["schema"] == "mtlslab.audit/3"


@pytest.mark.clients
def test_the_printed_command_shows_the_same_in_curl(certs: Path) -> None:
    """The command of the authorised client, typed as it stands, is served."""
    require_program("curl")
    with python_server(server_context(certs)) as port:
        command = checks(report(port, certs))["serves-authorised-client.tls13"]["command"]
        done = subprocess.run([*command, "--silent"], cwd=certs, capture_output=True, timeout=30, check=True)
    assert done.stdout == b"hello from afar\n"


def test_a_path_in_the_url_or_as_an_option_is_asked_for(certs: Path) -> None:
    with python_server(server_context(certs)) as port:
        url = f"https://localhost:{port}"
        first = mtlslab("audit", f"{url}/a?b=c", "--cacert", certs / "server-ca.crt", "-o", "json", cwd=certs)
        second = mtlslab("audit", url, "--path", "/a?b=c", "--cacert", certs / "server-ca.crt", "-o", "json", cwd=certs)
    assert json.loads(first.out)["url"] == json.loads(second.out)["url"] == f"{url}/a?b=c"


def test_a_client_without_anything_to_show_presents_an_empty_certificate(certs: Path) -> None:
    """The probe tells apart: a certificate shown, an empty message, and never having been asked."""
    good = {"host": "localhost", "address": "127.0.0.1", "cacert": certs / "server-ca.crt", "path": "/"}
    with python_server(server_context(certs, ssl.CERT_OPTIONAL)) as port:
        asked = attempt(Attempt(port=port, **good))  # type: ignore[arg-type]
    with python_server(server_context(certs, ssl.CERT_NONE)) as port:
        unasked = attempt(Attempt(port=port, **good))  # type: ignore[arg-type]
    assert (asked.presented, unasked.presented) == (False, None)
    assert asked.agreed
