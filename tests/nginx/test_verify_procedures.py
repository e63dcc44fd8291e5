"""The procedures pass on a good lab, bite on servers and clients that are sabotaged, and leave nothing behind."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import inspect
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from mtlslab import pki
from mtlslab.errors import ExitCode
from mtlslab.pki.servers import OTHER_HOST, SERVER_CREDENTIALS
from mtlslab.plan.services import MTLS_SERVICE, TLS_SERVICE
from mtlslab.probe.attempt import attempt
from mtlslab.probe.model import Attempt, Observation, Phase
from mtlslab.verify.checks import Check, Result, catalogue, judge
from mtlslab.verify.checks.entries_procedures import ENTRIES
from mtlslab.verify.checks.model import CRL_PROCEDURE, SMALL_SERVER
from mtlslab.verify.context import VerifyContext
from mtlslab.verify.procedures import PROCEDURES, ProcedureResult, command_of
from mtlslab.verify.proof.mutants import CIPHERS, PROTOCOLS
from mtlslab.verify.report import Report
from mtlslab.verify.runner import make_attempt, run_checks

from tests.support.verify_lab import RunningLab, alerting_server, serving_lab, tcp_server, wait_until, write

FAMILIES = {entry.id for entry in ENTRIES}
CHECKS = [check for check in catalogue() if check.family in FAMILIES]
OF_A_SERVICE = [check for check in CHECKS if check.service != SMALL_SERVER]
NOW = datetime.datetime.now(datetime.UTC)


@pytest.fixture(scope="module")
def running_lab(nginx_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    with serving_lab(tmp_path_factory.mktemp("lab"), nginx_binary) as lab:
        yield lab


@pytest.fixture(scope="module")
def good_report(running_lab: RunningLab) -> Report:
    return run_all(running_lab.context)


def run_all(context: VerifyContext, probe: Callable[[Attempt], Observation] = attempt) -> Report:
    return run_checks(context, [check.id for check in CHECKS], probe=probe)


def families(report: Report, *results: Result) -> set[str]:
    return {one.family for one in report.findings if one.result in results and one.family in FAMILIES}


def observed(report: Report, check_id: str) -> dict[str, object]:
    return next(dict(finding.observed) for finding in report.findings if finding.id == check_id)


def try_check(check_id: str, context: VerifyContext) -> ProcedureResult:
    check = next(check for check in CHECKS if check.id == check_id)
    return PROCEDURES[check.procedure](context, check, make_attempt(context, check), attempt)


def verdict(check_id: str, context: VerifyContext) -> Result:
    """What a check comes to without its control."""
    check = next(check for check in CHECKS if check.id == check_id)
    done = try_check(check_id, context)
    assert done.seen is not None
    return (done.verdict or judge(check, done.seen)).result


def at_port(context: VerifyContext, port: int) -> VerifyContext:
    return dataclasses.replace(context, tls_port=port, mtls_port=port)


# --- a good lab


def test_every_trial_passes_on_a_good_lab(good_report: Report) -> None:
    assert {f.id: f.reason for f in good_report.findings if f.result is not Result.PASS} == {}
    assert {f.id for f in good_report.findings} >= {check.id for check in CHECKS}


def test_every_entry_names_a_trial_and_every_trial_is_used() -> None:
    assert {check.procedure for check in catalogue()} | {CRL_PROCEDURE} == set(PROCEDURES)


def test_a_session_is_really_resumed_at_home_and_not_elsewhere(good_report: Report) -> None:
    for version in ("tls12", "tls13"):
        ticket = observed(good_report, f"mtls-refuses-ticket-of-tls-server.{version}")
        assert (ticket["resumed_at_home"], ticket["resumed"]) == (True, False)
        for family in (
            "mtls-resumes-client",
            "mtls-refuses-resumed-without-certificate",
            "mtls-refuses-resumed-expired",
        ):
            assert observed(good_report, f"{family}.{version}")["resumed"] is True, family


def test_a_client_that_reads_no_common_names_refuses_where_the_usual_one_does_not(good_report: Report) -> None:
    seen = observed(good_report, "client-accepts-common-name")
    assert seen["outcome"] == "served"
    assert seen["strict_client"]["outcome"] == "client-refuses-server"  # type: ignore[index]


def test_insecure_is_tried_with_every_server(good_report: Report) -> None:
    seen = observed(good_report, "client-insecure-accepts-any-server")
    assert seen["servers"] == dict.fromkeys(SERVER_CREDENTIALS, "served")


def test_the_server_chooses_http_1_by_alpn(good_report: Report) -> None:
    assert observed(good_report, "mtls-chooses-http11.tls13")["application_protocol"] == "http/1.1"


@pytest.mark.parametrize("version", ["tls12", "tls13"])
def test_who_asks_for_a_certificate_is_told_whatever_else_is_offered(good_report: Report, version: str) -> None:
    asked = [
        observed(good_report, f"{side}-chooses-http11.{version}")["certificate_requested"] for side in ("tls", "mtls")
    ]
    assert asked == [False, True]
    assert "certificate_requested" not in observed(good_report, f"mtls-resumes-client.{version}")


def test_all_connections_are_made_by_the_probe_that_is_given(running_lab: RunningLab) -> None:
    """Who runs the checks with a probe of his own sees, or prevents, every connection."""

    def unplugged(what: Attempt) -> Observation:
        return Observation(Phase.CONNECT, error=f"port {what.port} is not asked")

    with monitored() as connections:
        for check in CHECKS:
            PROCEDURES[check.procedure](running_lab.context, check, make_attempt(running_lab.context, check), unplugged)
    assert connections == []


@contextlib.contextmanager
def monitored() -> Iterator[list[object]]:
    """The addresses that this process connects to inside the block."""
    connections: list[object] = []
    watching = True

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if watching and event == "socket.connect":
            connections.append(arguments[1])

    sys.addaudithook(note)  # there is no way to take it away again
    try:
        yield connections
    finally:
        watching = False


def test_a_finding_tells_how_long_its_trial_took(good_report: Report) -> None:
    assert all(finding.duration_ms > 0 for finding in good_report.findings)


def test_nothing_is_left_behind(running_lab: RunningLab, good_report: Report) -> None:
    def held() -> tuple[int, int, list[str]]:
        process = psutil.Process()
        files = sorted(str(path) for path in running_lab.directory.rglob("certs/**/*"))
        return threading.active_count(), process.num_fds(), files

    before = held()
    run_all(running_lab.context)
    assert held() == before


# --- sabotaged servers


def also(directive: str) -> Callable[[str], str]:
    return lambda conf: conf.replace("listen.conf;", f"listen.conf; {directive}")


def weak(protocols: str, ciphers: str) -> Callable[[str], str]:
    def change(conf: str) -> str:
        return re.sub(CIPHERS, f"ssl_ciphers {ciphers};", re.sub(PROTOCOLS, f"ssl_protocols {protocols};", conf))

    return change


@pytest.mark.parametrize("service", [TLS_SERVICE, MTLS_SERVICE])
@pytest.mark.parametrize(
    ("sabotage", "caught_by"),
    [
        (
            weak("TLSv1 TLSv1.1 TLSv1.2 TLSv1.3", "ALL:@SECLEVEL=0"),
            {"refuses-tls10", "refuses-tls11", "refuses-broken-cipher-suites"},
        ),
        (weak("TLSv1.1 TLSv1.2 TLSv1.3", "DEFAULT:@SECLEVEL=0"), {"refuses-tls11"}),
        (weak("TLSv1.2 TLSv1.3", "HIGH:eNULL:@SECLEVEL=0"), {"refuses-broken-cipher-suites"}),
        (lambda conf: conf.replace("TLSv1.2 TLSv1.3", "TLSv1.2"), {"refuses-downgraded-client"}),
        (also("error_page 497 =200 /hello-world.txt;"), {"refuses-plain-http"}),
    ],
    ids=["TLS 1.0 and 1.1", "TLS 1.1", "no encryption", "TLS 1.2 only", "error_page 497 =200"],
)
def test_a_server_with_a_weak_protocol_is_caught(
    running_lab: RunningLab, service: str, sabotage: Callable[[str], str], caught_by: set[str]
) -> None:
    side = service.removeprefix("nginx-")
    with running_lab.sabotaged(sabotage, service):
        report = run_all(running_lab.context)
    assert families(report, Result.FAIL) == {f"{side}-{check}" for check in caught_by}
    # Where the TLS server speaks one version only, it gives no ticket of the other.
    assert families(report, Result.WARN, Result.INCONCLUSIVE) <= {"mtls-refuses-ticket-of-tls-server"}


@pytest.mark.parametrize("service", [TLS_SERVICE, MTLS_SERVICE])
def test_http_2_is_a_warning(running_lab: RunningLab, service: str) -> None:
    with running_lab.sabotaged(also("http2 on;"), service):
        report = run_all(running_lab.context)
    assert families(report, Result.WARN) == {f"{service.removeprefix('nginx-')}-chooses-http11"}
    assert families(report, Result.FAIL) == set()


def test_a_server_that_chooses_an_older_version_is_caught(running_lab: RunningLab) -> None:
    def old(what: Attempt) -> Observation:
        return attempt(dataclasses.replace(what, tls_version=what.tls_version or "1.2"))

    report = run_all(running_lab.context, probe=old)
    assert families(report, Result.FAIL) == {"tls-chooses-tls13", "mtls-chooses-tls13"}


@pytest.mark.parametrize("mode", ["off", "optional"])
def test_sessions_that_open_the_door_are_caught(running_lab: RunningLab, mode: str) -> None:
    with running_lab.sabotaged(lambda conf: conf.replace("ssl_verify_client on;", f"ssl_verify_client {mode};")):
        report = run_all(running_lab.context)
    caught = families(report, Result.FAIL)
    assert {"mtls-refuses-ticket-of-tls-server", "mtls-refuses-resumed-without-certificate"} <= caught
    assert ({"mtls-resumes-client", "mtls-refuses-resumed-expired"} & caught != set()) == (mode == "off")
    assert ("mtls-resumes-client" in caught) == ("mtls-refuses-resumed-expired" in caught)


def test_without_a_ticket_there_is_nothing_to_try(running_lab: RunningLab) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        context = dataclasses.replace(running_lab.context, tls_port=held.getsockname()[1])
        report = run_checks(context, ["mtls-refuses-ticket-of-tls-server"])
    assert families(report, Result.INCONCLUSIVE) == {"mtls-refuses-ticket-of-tls-server"}


def test_a_ticket_that_both_servers_take_is_seen_to_be_resumed(running_lab: RunningLab) -> None:
    """Shared ticket keys and no verification: the two servers are one to a session."""
    keys = running_lab.directory / "ticket.key"
    keys.write_bytes(os.urandom(80))
    shared = f"ssl_session_ticket_key {keys};"

    def unverified(conf: str) -> str:
        lines = also(shared)(conf).splitlines()
        return "\n".join(line for line in lines if "ssl_client_certificate" not in line and "ssl_verify" not in line)

    with running_lab.sabotaged(also(shared), TLS_SERVICE), running_lab.sabotaged(unverified):
        report = run_all(running_lab.context)
    assert "mtls-refuses-ticket-of-tls-server" in families(report, Result.FAIL)
    assert observed(report, "mtls-refuses-ticket-of-tls-server.tls13")["resumed"] is True


def test_nginx_does_not_take_a_foreign_ticket_for_a_certificate_even_with_shared_keys(running_lab: RunningLab) -> None:
    keys = running_lab.directory / "ticket.key"
    keys.write_bytes(os.urandom(80))
    shared = also(f"ssl_session_ticket_key {keys};")
    with running_lab.sabotaged(shared, TLS_SERVICE), running_lab.sabotaged(shared):
        report = run_all(running_lab.context)
    assert families(report, Result.FAIL, Result.WARN, Result.INCONCLUSIVE) == set()
    assert observed(report, "mtls-refuses-ticket-of-tls-server.tls13")["resumed"] is False


def test_a_certificate_for_too_many_hosts_is_caught(running_lab: RunningLab) -> None:
    certs = running_lab.directory / "certs"
    ca = pki.load_credential((certs / "server-ca.crt").read_bytes(), (certs / "server-ca.key").read_bytes())
    wide = pki.issue_server_leaf(ca, pki.new_key("ec-p256"), ["localhost", OTHER_HOST], now=NOW, days=1)
    write(certs / "wide", wide.certificate_pem(), wide.key_pem())
    try:
        with running_lab.sabotaged(lambda conf: conf.replace("certs/server.", "certs/wide.")):
            report = run_all(running_lab.context)
    finally:
        (certs / "wide.crt").unlink()
        (certs / "wide.key").unlink()
    assert families(report, Result.FAIL) == {"mtls-untrusted-by-other-name"}


def test_one_ca_for_both_roles_is_caught(running_lab: RunningLab, tmp_path: Path) -> None:
    certs = tmp_path / "certs"
    shutil.copytree(running_lab.directory / "certs", certs)
    shutil.copy(certs / "server-ca.crt", certs / "client-ca.crt")
    # The lab itself keeps the two apart: what is expected follows from its files, not from those of a twin.
    report = run_all(dataclasses.replace(running_lab.context, directory=tmp_path, lab_directory=running_lab.directory))
    assert families(report, Result.FAIL) >= {"tls-untrusted-with-client-ca", "mtls-untrusted-with-client-ca"}


@pytest.mark.parametrize(("option", "result"), [([], Result.PASS), (["-client_renegotiation"], Result.FAIL)])
def test_a_server_that_renegotiates_is_caught(running_lab: RunningLab, option: list[str], result: Result) -> None:
    with openssl_server(running_lab.directory, "-tls1_2", *option) as port:
        assert verdict("tls-refuses-renegotiation.tls12", at_port(running_lab.context, port)) is result


@pytest.mark.parametrize("suite", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"])
def test_renegotiation_is_seen_with_either_key_length(running_lab: RunningLab, suite: str) -> None:
    with openssl_server(running_lab.directory, "-tls1_2", "-client_renegotiation", "-cipher", suite) as port:
        assert verdict("tls-refuses-renegotiation.tls12", at_port(running_lab.context, port)) is Result.FAIL


@contextlib.contextmanager
def openssl_server(directory: Path, *options: str) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    files = ["-cert", "certs/server.crt", "-key", "certs/server.key"]
    command = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", *files, "-www", "-quiet", *options]
    if not shutil.which("openssl"):
        assert os.environ.get("MTLSLAB_REQUIRE_CLIENTS") != "1", "openssl is required here"
        pytest.skip("no openssl")
    with subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: attempt(Attempt(port=port, insecure=True, timeout=1)).heard)
            yield port
        finally:
            process.terminate()


def test_a_server_that_ignores_alpn_is_a_warning(running_lab: RunningLab) -> None:
    with alerting_server(running_lab.directory, ssl.CERT_NONE) as port:
        context = at_port(running_lab.context, port)
        assert verdict("tls-refuses-unknown-protocol.tls13", context) is Result.WARN
        assert verdict("tls-chooses-http11.tls13", context) is Result.PASS


# --- servers that refuse in another way, and servers that are not there


@pytest.mark.parametrize("version", ["tls10", "tls11"])
def test_another_alert_or_none_is_a_warning(running_lab: RunningLab, version: str) -> None:
    def alert(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(bytes.fromhex("15 0301 0002 02 28"))  # handshake_failure

    def silent(connection: socket.socket) -> None:
        connection.recv(4096)

    for answer in (alert, silent):
        with tcp_server(answer) as port:
            assert verdict(f"mtls-refuses-{version}", at_port(running_lab.context, port)) is Result.WARN


@pytest.mark.parametrize("answer", [b"", bytes.fromhex("15 0301 0002 02 46")], ids=["closed", "TLS alert"])
def test_a_server_may_refuse_plain_http_without_a_word_of_http(running_lab: RunningLab, answer: bytes) -> None:
    def say(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(answer)

    with tcp_server(say) as port:
        assert verdict("mtls-refuses-plain-http", at_port(running_lab.context, port)) is Result.PASS


@pytest.mark.parametrize("check", OF_A_SERVICE, ids=lambda check: check.id)
def test_a_closed_port_is_inconclusive(running_lab: RunningLab, check: Check) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        context = at_port(running_lab.context, held.getsockname()[1])
        assert verdict(check.id, context) is Result.INCONCLUSIVE


@pytest.mark.parametrize("check", OF_A_SERVICE, ids=lambda check: check.id)
def test_garbage_neither_passes_nor_raises(running_lab: RunningLab, check: Check) -> None:
    def babble(connection: socket.socket) -> None:
        connection.recv(4096)
        with contextlib.suppress(OSError):
            connection.sendall(b"\x16\x03\x03\x00\x04garbage \xff\x00" * 10)

    with tcp_server(babble) as port:
        done = try_check(check.id, at_port(running_lab.context, port))
    assert done.seen is not None
    passed = (done.verdict or judge(check, done.seen)).result is Result.PASS
    # Whatever is neither TLS nor an HTTP answer gives nothing without TLS.
    assert passed == (check.procedure == "plain-http")


def test_without_the_server_cas_key_the_clients_side_is_not_tried(running_lab: RunningLab, tmp_path: Path) -> None:
    shutil.copytree(running_lab.directory / "certs", tmp_path / "certs")
    (tmp_path / "certs/server-ca.key").unlink()
    report = run_checks(dataclasses.replace(running_lab.context, directory=tmp_path), ["client"])
    assert "client-accepts-good-server" in families(report, Result.SKIP)
    assert families(report, Result.PASS, Result.FAIL, Result.INCONCLUSIVE) == set()
    assert report.exit_code is ExitCode.INCONCLUSIVE


# --- sabotaged clients: the checks of the client's side


def test_a_client_that_does_not_verify_fails_every_check_of_the_clients_side(running_lab: RunningLab) -> None:
    report = run_all(running_lab.context, probe=lambda what: attempt(dataclasses.replace(what, insecure=True)))
    wanted = {family for family in FAMILIES if "untrusted" in family or family.startswith("client-refuses")}
    assert families(report, Result.FAIL) == wanted
    assert len(wanted) >= 11


def test_a_client_that_compares_no_host_names_is_caught(running_lab: RunningLab) -> None:
    report = run_all(running_lab.context, probe=lambda what: attempt(dataclasses.replace(what, check_hostname=False)))
    by_name = {"client-refuses-wrong-host", "tls-untrusted-by-other-name", "mtls-untrusted-by-other-name"}
    assert families(report, Result.FAIL) == by_name


def test_a_client_that_trusts_nobody_fails_the_good_cases(running_lab: RunningLab) -> None:
    report = run_checks(
        running_lab.context, ["client"], probe=lambda what: attempt(dataclasses.replace(what, cacert=None))
    )
    assert families(report, Result.FAIL) == {"client-accepts-good-server"}
    assert len(families(report, Result.SKIP)) >= 10


# --- what is said about them


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_the_command_is_known_without_a_run_and_the_same_after_one(running_lab: RunningLab, check: Check) -> None:
    context = running_lab.context
    what = make_attempt(context, check)
    done = PROCEDURES[check.procedure](context, check, what, attempt)
    assert done.command == command_of(check, context, what)


@pytest.mark.parametrize("name", PROCEDURES)
def test_every_trial_says_what_it_does(name: str) -> None:
    assert (inspect.getdoc(PROCEDURES[name]) or "").endswith(".")


def test_every_entry_names_the_standard_that_it_rests_on() -> None:
    assert [entry.id for entry in ENTRIES if not re.search(r"RFC \d{4}", entry.why)] == []
