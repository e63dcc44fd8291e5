"""The checks pass on a lab that enforces mTLS, bite on one that does not, and their curl commands tell the truth."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mtlslab.errors import ExitCode, MachineError, SpecError
from mtlslab.output import render_report
from mtlslab.plan.shell import shell_line
from mtlslab.probe.curl import curl_command
from mtlslab.probe.model import Attempt, KeyFiles, Observation, Phase
from mtlslab.runtime.base import LogLine
from mtlslab.verify.checks import Check, Outcome, Result, Severity, catalogue, entries_files
from mtlslab.verify.checks import families as checks_by_family
from mtlslab.verify.checks.model import PROBE
from mtlslab.verify.context import VerifyContext
from mtlslab.verify.report import VerifyFinding, VerifyReport
from mtlslab.verify.rules.catalogue import CATALOGUE
from mtlslab.verify.runner import run_checks

from tests.support.verify_lab import TUTORIAL, RunningLab, alerting_server, serving_lab, tcp_server


@pytest.fixture(scope="module")
def running_lab(nginx_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    with serving_lab(tmp_path_factory.mktemp("lab"), nginx_binary) as lab:
        yield lab


@pytest.fixture(scope="module")
def good_report(running_lab: RunningLab) -> VerifyReport:
    return run_checks(running_lab.context, read_log=running_lab.read_log)


def families(report: VerifyReport, *results: Result) -> set[str]:
    return {finding.family for finding in report.findings if finding.result in results}


def test_a_fresh_lab_passes_every_check_and_warns_of_what_nginx_does_by_design(good_report: VerifyReport) -> None:
    by_design = {check.id for check in catalogue() if check.expect.by_design}
    assert {finding.id for finding in good_report.findings if finding.result is Result.WARN} == by_design
    assert good_report.summary["pass"] == len(catalogue()) - len(by_design)
    assert (good_report.exit_code, good_report.success, good_report.complete) == (ExitCode.OK, True, True)
    assert [finding.id for finding in good_report.findings] == [check.id for check in catalogue()]


def test_a_report_on_which_all_is_well_fits_a_screen(good_report: VerifyReport) -> None:
    """24 lines of 80 columns, the shell's next prompt among them; the sentence is the last one."""
    lines = render_report(good_report).splitlines()
    assert sum(max(1, -(-len(line) // 80)) for line in lines) + 1 <= 24
    assert lines[-1] == good_report.closing_sentence


def test_the_servers_own_reason_stands_in_the_findings(good_report: VerifyReport) -> None:
    said = {finding.family: finding.observed.get("client_verify", "") for finding in good_report.findings}
    assert said["mtls-refuses-no-certificate"] == "NONE"
    assert said["mtls-refuses-expired"] == "FAILED:certificate has expired"
    assert said["mtls-identifies-client"] == "SUCCESS"


def test_every_answer_of_the_lab_is_found_in_its_log_and_tells_the_same(good_report: VerifyReport) -> None:
    plain = {check.id for check in catalogue() if check.procedure == PROBE}
    answered = [f for f in good_report.findings if f.id in plain and "status" in f.observed]
    assert len(answered) > 80
    assert good_report.server_log
    for finding in answered:
        server = finding.observed["server"]
        assert server["status"] == str(finding.observed["status"])
        if finding.service == "nginx-mtls":
            assert server["verify"] == finding.observed["client_verify"]
            assert server.get("fingerprint") == finding.observed.get("client_fingerprint")


def test_every_reason_names_what_the_server_said(good_report: VerifyReport) -> None:
    assert all(finding.reason for finding in good_report.findings)
    refused = [f for f in good_report.findings if f.observed.get("outcome") == Outcome.REFUSED_CERTIFICATE]
    assert len(refused) > 40
    assert all(finding.observed["client_verify"] in finding.reason for finding in refused)


def test_without_a_log_the_answers_headers_tell(running_lab: RunningLab) -> None:
    def unreadable(_tail: int) -> list[LogLine]:
        raise MachineError("no engine answers")

    for read in (None, unreadable):
        report = run_checks(running_lab.context, ["mtls-refuses-expired"], read_log=read)
        assert (report.success, report.server_log) == (True, False)
        assert "FAILED:certificate has expired" in report.findings[-1].reason


def test_strict_makes_a_warning_fail_and_nothing_else(running_lab: RunningLab) -> None:
    warned = run_checks(running_lab.context, ["mtls-accepts-eku-none"], strict=True)
    assert warned.exit_code is ExitCode.CHECK_FAILED
    assert run_checks(running_lab.context, ["mtls-accepts-eku-none"]).exit_code is ExitCode.OK
    assert run_checks(running_lab.context, ["mtls-refuses-expired"], strict=True).exit_code is ExitCode.OK


@pytest.mark.parametrize("family", dict.fromkeys(check.family for check in catalogue()))
def test_each_check_stands_alone(running_lab: RunningLab, good_report: VerifyReport, family: str) -> None:
    report = run_checks(running_lab.context, [family])
    together = {finding.id: finding.result for finding in good_report.findings}
    assert {finding.id: finding.result for finding in report.findings} == {
        finding.id: together[finding.id] for finding in report.findings
    }
    assert family in {finding.family for finding in report.findings if not finding.dependency}


NGINX_DIRECTIVE = re.compile(r"(.*); in (nginx-\w+)/nginx\.conf, then mtlslab reload\.")
SABOTAGES = sorted({check.sabotage for check in checks_by_family().values() if check.procedure == PROBE})


@pytest.mark.parametrize("sabotage", [one for one in SABOTAGES if NGINX_DIRECTIVE.fullmatch(one)])
def test_what_a_page_says_to_change_makes_its_checks_fail(running_lab: RunningLab, sabotage: str) -> None:
    """A directive that is there already is replaced, every other is added to the server block."""
    found = NGINX_DIRECTIVE.fullmatch(sabotage)
    assert found
    directives, service = found[1], found[2]

    def change(conf: str) -> str:
        for directive in directives.split("; "):
            there = re.compile(rf"^ *{directive.split()[0]} [^;]*;\n", re.MULTILINE)
            conf = there.sub("", conf)
        return conf.replace("include listen.conf;", f"include listen.conf;\n        {directives};")

    concerned = {name for name, check in checks_by_family().items() if check.sabotage == sabotage}
    with running_lab.sabotaged(change, service):
        report = run_checks(running_lab.context, sorted(concerned))
    assert families(report, Result.FAIL, Result.WARN) >= concerned
    required = {name for name in concerned if checks_by_family()[name].severity is Severity.REQUIRED}
    assert families(report, Result.FAIL) >= required


def verify_client(mode: str) -> Callable[[str], str]:
    return lambda conf: conf.replace("ssl_verify_client on;", f"ssl_verify_client {mode};")


def without_client_auth(conf: str) -> str:
    return "\n".join(
        line for line in conf.splitlines() if "ssl_client_certificate" not in line and "ssl_verify" not in line
    )


# These need no server.
FILES_ONLY = {entry.id for entry in entries_files.ENTRIES if entry.procedure != "shown"} | {"mtls-crl-is-the-newest"}
RULES = set(CATALOGUE)  # nor do they
NO_CERTIFICATE = {"mtls-refuses-no-certificate", "mtls-refuses-no-certificate-insecure"}
UNKNOWN_CA = {"mtls-refuses-other-ca", "mtls-refuses-self-signed"}
ALL_REFUSALS = {*NO_CERTIFICATE, *UNKNOWN_CA, "mtls-refuses-expired", "mtls-refuses-eku-server-auth"}
NEVER_ASKED = {"mtls-asks-for-certificate", "mtls-identifies-client", "mtls-insecure-with-certificate"}


@pytest.mark.parametrize(
    ("sabotage", "caught_by"),
    [
        (verify_client("optional"), NO_CERTIFICATE),
        (verify_client("off"), ALL_REFUSALS | NEVER_ASKED),
        (verify_client("optional_no_ca"), NO_CERTIFICATE | UNKNOWN_CA),
        (without_client_auth, ALL_REFUSALS | NEVER_ASKED),
        (
            lambda conf: conf.replace("listen.conf;", "listen.conf; error_page 495 496 =200 /hello-world.txt;"),
            ALL_REFUSALS,
        ),
        (lambda conf: conf.replace("TLSv1.2 TLSv1.3", "TLSv1.2"), {"mtls-serves-client-certificate"}),
        (
            lambda conf: conf.replace("../certs/client-ca.crt", "../certs/server-ca.crt"),
            {"mtls-serves-client-certificate"},
        ),
    ],
    ids=["optional", "off", "optional_no_ca", "no client auth", "error_page =200", "TLS 1.2 only", "wrong CA"],
)
def test_a_sabotaged_mtls_server_is_caught_by_the_right_checks(
    running_lab: RunningLab, sabotage: Callable[[str], str], caught_by: set[str]
) -> None:
    with running_lab.sabotaged(sabotage):
        report = run_checks(running_lab.context)
    assert families(report, Result.FAIL) & TUTORIAL == caught_by
    assert families(report, Result.INCONCLUSIVE) & TUTORIAL == set()
    assert report.exit_code is ExitCode.CHECK_FAILED


def test_a_tls_server_that_asks_for_certificates_is_caught(running_lab: RunningLab) -> None:
    ask = "listen.conf; ssl_client_certificate ../certs/client-ca.crt; ssl_verify_client optional;"
    with running_lab.sabotaged(lambda conf: conf.replace("listen.conf;", ask), "nginx-tls"):
        report = run_checks(running_lab.context)
    assert families(report, Result.FAIL) & TUTORIAL == {"tls-asks-for-no-certificate"}


def test_a_stopped_server_is_inconclusive_and_never_a_refusal(running_lab: RunningLab) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        context = dataclasses.replace(running_lab.context, mtls_port=held.getsockname()[1])
        report = run_checks(context)
    mutual = [f for f in report.findings if f.service == "nginx-mtls" and f.family not in FILES_ONLY | RULES]
    assert {finding.result for finding in mutual} == {Result.INCONCLUSIVE, Result.SKIP}
    assert families(report, Result.INCONCLUSIVE) & TUTORIAL == {"mtls-serves-client-certificate"}
    assert report.exit_code is ExitCode.INCONCLUSIVE


def test_a_forwarder_without_a_server_behind_it_is_inconclusive(running_lab: RunningLab) -> None:
    with tcp_server(socket.socket.close) as port:
        report = run_checks(dataclasses.replace(running_lab.context, mtls_port=port), ["mtls"])
    assert families(report, Result.FAIL, Result.PASS) <= FILES_ONLY
    assert report.exit_code is ExitCode.INCONCLUSIVE


def test_an_mtls_port_that_speaks_plain_http_fails(running_lab: RunningLab) -> None:
    def plain(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with tcp_server(plain) as port:
        report = run_checks(dataclasses.replace(running_lab.context, mtls_port=port), ["mtls"])
    assert families(report, Result.FAIL) == {"mtls-serves-client-certificate"}
    assert report.findings[0].observed["outcome"] == "not-tls"


def test_a_server_that_refuses_with_alerts_is_seen_to_refuse(running_lab: RunningLab) -> None:
    page = (running_lab.directory / "nginx-mtls/hello-world.txt").read_bytes()
    with alerting_server(running_lab.directory, body=page) as port:
        context = dataclasses.replace(running_lab.context, mtls_port=port)
        report = run_checks(context, ["mtls-refuses-other-ca", "mtls-refuses-self-signed", "mtls-refuses-expired"])
    refused = [finding for finding in report.findings if not finding.dependency]
    assert {finding.observed["outcome"] for finding in refused} == {"refused-by-alert"}
    assert families(report, Result.PASS) == {"mtls-serves-client-certificate"}


def test_a_check_alone_runs_its_control_too_and_says_so(running_lab: RunningLab) -> None:
    report = run_checks(running_lab.context, ["mtls-refuses-expired.tls12"])
    assert [(finding.id, finding.dependency) for finding in report.findings] == [
        ("mtls-serves-client-certificate.tls12", True),
        ("mtls-refuses-expired.tls12", False),
    ]
    assert report.success
    assert not report.complete


def test_a_skipped_check_of_the_client_shows_its_own_small_server(running_lab: RunningLab) -> None:
    nobody = Observation(Phase.CONNECT, error="connection refused")
    report = run_checks(running_lab.context, ["client-refuses-expired"], probe=lambda _: nobody)
    good, skipped = report.findings
    assert (good.result, skipped.result) == (Result.INCONCLUSIVE, Result.SKIP)
    assert skipped.command[:3] == ("mtlslab", "serve", "expired")
    assert "mtlslab status" not in good.hint  # it is no service of the lab that does not answer


def test_a_check_whose_control_does_not_hold_is_skipped_and_names_it(running_lab: RunningLab) -> None:
    def down(what: Attempt) -> Observation:
        return Observation(phase=Phase.CONNECT, error="Connection refused")

    report = run_checks(running_lab.context, ["mtls-refuses-expired.tls12"], probe=down)
    skipped = report.findings[1]
    assert skipped.result is Result.SKIP
    assert skipped.because == "mtls-serves-client-certificate.tls12"
    assert "(because mtls-serves-client-certificate.tls12)" in skipped.reason


def test_a_missing_credential_is_inconclusive(running_lab: RunningLab, tmp_path: Path) -> None:
    certs = tmp_path / "certs"
    shutil.copytree(running_lab.directory / "certs", certs, ignore=shutil.ignore_patterns("faults"))
    report = run_checks(dataclasses.replace(running_lab.context, directory=tmp_path), ["mtls-refuses-expired"])
    assert families(report, Result.INCONCLUSIVE) == {"mtls-refuses-expired"}
    assert report.exit_code is ExitCode.INCONCLUSIVE


def test_faulty_credentials_are_issued_before_the_first_probe_and_only_those_needed(running_lab: RunningLab) -> None:
    issued: list[tuple[str, ...]] = []

    def probe(what: Attempt) -> Observation:
        assert issued
        return Observation(phase=Phase.CONNECT)

    run_checks(
        running_lab.context, ["mtls-refuses-expired"], issue=lambda names: issued.append(tuple(names)), probe=probe
    )
    assert issued == [("expired",)]


def test_an_observer_is_told_of_every_finding(running_lab: RunningLab) -> None:
    told: list[tuple[str, int]] = []
    report = run_checks(
        running_lab.context,
        ["tls-serves", "tls-asks"],
        observer=lambda finding, total: told.append((finding.id, total)),
    )
    assert sorted(told) == sorted((finding.id, 4) for finding in report.findings)


def test_every_attempt_that_decides_has_a_nonce_of_its_own_or_is_as_printed(running_lab: RunningLab) -> None:
    """An attempt that only fetches a session for another one has none."""
    nonces: list[str] = []
    as_printed: list[Attempt] = []

    def probe(what: Attempt) -> Observation:
        if what.nonce or what.session:
            nonces.append(what.nonce)
        elif what.as_curl:
            as_printed.append(what)
        return Observation(phase=Phase.DONE, status=200)

    chosen = run_checks(running_lab.context, ["mtls-refuses", "tls-serves"], probe=probe).findings
    assert len(set(nonces)) == len(nonces) > 1
    assert as_printed
    assert len([*nonces, *as_printed]) >= len([finding for finding in chosen if finding.observed.get("phase")])


def test_no_check_at_all_is_an_error(running_lab: RunningLab) -> None:
    with pytest.raises(SpecError):
        run_checks(running_lab.context, ["no-such-check"])


# --- the printed commands


@pytest.fixture
def curl() -> str:
    found = shutil.which("curl")
    if not found and os.environ.get("MTLSLAB_REQUIRE_CLIENTS") == "1":
        pytest.fail("curl is required here")
    if not found:
        pytest.skip("no curl")
    return found


def outcome_by_curl(finding: VerifyFinding, directory: Path) -> str:
    """What a person who types the printed command sees, in the words of the report; the bodies are compared, too."""
    shell = ["sh", "-c", shell_line(finding.command)]
    done = subprocess.run(shell, cwd=directory, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode == 60:  # CURLE_PEER_FAILED_VERIFICATION
        return Outcome.CLIENT_REFUSES_SERVER
    if done.returncode == 58:  # CURLE_SSL_CERTPROBLEM
        return Outcome.LOCAL
    if done.returncode in (35, 55, 56):  # an alert in the handshake, or a connection that is gone when curl sends
        return Outcome.REFUSED_BY_ALERT
    assert done.returncode == 0, done.stderr
    if done.stdout == (directory / finding.service / "hello-world.txt").read_text():
        return Outcome.SERVED
    assert "Hello" not in done.stdout, done.stdout
    if "No required SSL certificate was sent" in done.stdout:
        return Outcome.REFUSED_NO_CERTIFICATE
    if "The SSL certificate error" in done.stdout:
        return Outcome.REFUSED_CERTIFICATE
    raise AssertionError(done.stdout)


@pytest.mark.clients
def test_every_printed_command_comes_to_the_same_with_the_real_curl(
    running_lab: RunningLab, good_report: VerifyReport, curl: str
) -> None:
    plain = {check.id for check in catalogue() if check.procedure == PROBE}
    findings = [finding for finding in good_report.findings if finding.id in plain]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda finding: outcome_by_curl(finding, running_lab.directory), findings))
    told = {finding.id: finding.observed["outcome"] for finding in findings}
    assert {finding.id: outcome for finding, outcome in zip(findings, found, strict=True)} == told


@pytest.mark.clients
def test_the_printed_command_of_a_failed_check_shows_the_failure(running_lab: RunningLab, curl: str) -> None:
    with running_lab.sabotaged(verify_client("optional")):
        report = run_checks(running_lab.context, ["mtls-refuses-no-certificate.tls13"])
        finding = report.findings[1]
        assert finding.result is Result.FAIL
        assert outcome_by_curl(finding, running_lab.directory) == Outcome.SERVED


def test_commands_are_those_of_the_tutorial() -> None:
    lab = Path("/labs/one")
    files = KeyFiles(lab / "certs/client.crt", lab / "certs/client.key")
    mutual = Attempt(port=8889, address="127.0.0.1", cacert=lab / "certs/server-ca.crt", credential=files)
    assert shell_line(curl_command(mutual, lab)) == (
        "curl https://localhost:8889/hello-world.txt --cacert ./certs/server-ca.crt"
        " --cert ./certs/client.crt --key ./certs/client.key"
    )
    plain = Attempt(port=8888, cacert=lab / "certs/server-ca.crt", insecure=True)
    assert shell_line(curl_command(plain, lab)) == "curl https://localhost:8888/hello-world.txt --insecure"


@pytest.mark.parametrize(
    ("attempt", "ending"),
    [
        (Attempt(port=1, tls_version="1.2"), ["--tlsv1.2", "--tls-max", "1.2"]),
        (Attempt(port=1, tls_version="1.3"), ["--tlsv1.3"]),
        (Attempt(port=1, address="127.0.0.2"), ["--connect-to", "localhost:1:127.0.0.2:1"]),
        (Attempt(port=1, address="::1"), ["https://localhost:1/hello-world.txt"]),
        (Attempt(port=1, host="lab.test", address="::1"), ["--connect-to", "lab.test:1:[::1]:1"]),
        (Attempt(port=1, host="::1", address="::1"), ["https://[::1]:1/hello-world.txt"]),
        (Attempt(port=1, cacert=Path("/else where/ca.crt")), ["--cacert", "/else where/ca.crt"]),
    ],
)
def test_a_command_says_version_address_and_foreign_files(
    monkeypatch: pytest.MonkeyPatch, attempt: Attempt, ending: list[str]
) -> None:
    """The name localhost is enough where it leads to the address, which is up to the machine."""
    monkeypatch.setattr("mtlslab.probe.curl.leads_to", lambda address: address in ("127.0.0.1", "::1"))
    assert curl_command(attempt, Path("/labs/one"))[-len(ending) :] == ending


def test_a_line_for_the_shell_is_quoted() -> None:
    assert shell_line(["curl", "--cacert", "/else where/ca.crt"]) == "curl --cacert '/else where/ca.crt'"


@pytest.mark.clients
def test_a_command_for_another_address_works_with_the_real_curl(running_lab: RunningLab, curl: str) -> None:
    context: VerifyContext = dataclasses.replace(running_lab.context, host="lab.test")
    report = run_checks(context, ["tls-insecure-works"], checks=_only_insecure())
    assert report.success
    assert {outcome_by_curl(f, running_lab.directory) for f in report.findings} == {Outcome.SERVED}


def _only_insecure() -> tuple[Check, ...]:
    found = (check for check in catalogue() if check.family == "tls-insecure-works")
    return tuple(dataclasses.replace(check, depends=None) for check in found)
