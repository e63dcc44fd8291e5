"""`mtlslab diff` shows the lines that make TLS mutual, as they lie there, and what the catalogue says about each."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from mtlslab.classroom.difference import compare, depends_on
from mtlslab.output import DIFF_FORMATS, Look, render
from mtlslab.plan.services import MTLS_SERVICE, TLS_SERVICE
from mtlslab.plan.spec import LabSpec
from mtlslab.verify.checks import families
from mtlslab.verify.configuration.model import Directive, Position

from tests.support.cli import ROOT
from tests.support.in_process import invoke

TEMPLATE = (ROOT / "templates/nginx-mtls.conf.j2").read_text()


def directives(**settings: object) -> list[str]:
    return [line.directive for line in compare(LabSpec(**settings), None).lines]  # type: ignore[arg-type]


def test_the_lines_are_those_of_the_template_and_no_others() -> None:
    told = re.findall(r"^ +((?:ssl_|add_header)[^{;]*;)", TEMPLATE.replace("{{ verify_client }}", "on"), re.MULTILINE)
    assert directives() == told
    assert directives(crl=True) == [*told[:3], "ssl_crl ../crl/client-ca.crl;", *told[3:]]


@pytest.mark.parametrize("ports", [(8888, 8889), (1888, 18), (8889, 8888)])
def test_names_and_ports_are_no_differences(ports: tuple[int, int]) -> None:
    difference = compare(LabSpec(tls_port=ports[0], mtls_port=ports[1]), None)
    assert not [line for line in difference.lines if line.sign == "-"]
    assert {"listen", "server_name", "root", "pid"} <= {*difference.names}


def test_each_line_has_the_checks_that_say_so_themselves() -> None:
    lines = compare(LabSpec(), None).lines
    assert all(line.checks for line in lines)
    for line in lines:
        name = line.directive.split()[0]
        assert all(name in entry.directive and entry.service == MTLS_SERVICE for entry in line.checks)
        said = {entry.id for entry in families().values() if re.search(rf"\b{name}\b(?!,? \$)", entry.directive)}
        if name.startswith("ssl_"):
            ours = {one for one in said if families()[one].service == MTLS_SERVICE}
            assert {entry.id for entry in line.checks} == ours


def test_a_check_about_one_variable_is_not_one_about_another() -> None:
    def header(variable: str) -> Directive:
        return Directive("add_header", ("X", variable, "always"), Position("nginx-mtls/nginx.conf", 1))

    entry = families()["mtls-knows-client-whatever-it-claims"]
    assert "$ssl_client_verify" in entry.directive
    assert depends_on(entry, header("$ssl_client_verify"), MTLS_SERVICE)
    assert not depends_on(entry, header("$ssl_client_serial"), MTLS_SERVICE)
    assert not depends_on(entry, header("$ssl_client_verify"), TLS_SERVICE)


def test_the_text_fits_a_terminal_and_v_shows_all() -> None:
    difference = compare(LabSpec(), None)
    few, everything = (render(difference, DIFF_FORMATS, "text", Look(verbose=verbose)) for verbose in (0, 1))
    assert max(map(len, (few + everything).splitlines())) <= 80
    ids = {entry.id for line in difference.lines for entry in line.checks}
    assert all(f"- {one}:" in everything for one in ids)
    assert "- and " not in everything
    assert len(few) < len(everything)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    assert invoke("render", "--key-type", "ec-p256", "--mtls-port", "9443").code == 0
    return tmp_path / "mtls-lab"


def shown() -> list[tuple[str, str, str, int]]:
    document = json.loads(invoke("diff", "-o", "json").out)
    assert document["schema"] == "mtlslab.diff/1"
    return [(line["sign"], line["directive"], line["file"], line["line"]) for line in document["lines"]]


def test_an_edit_is_seen_with_its_file_and_line(lab: Path) -> None:
    conf = lab / "nginx-mtls/nginx.conf"
    text = conf.read_text().replace("ssl_verify_client on;", "ssl_verify_client optional;")
    conf.write_text(text.replace("ssl_session_tickets on;", "include more.conf;"))
    (lab / "nginx-mtls/more.conf").write_text("\nssl_session_tickets off;\n")
    number = text.splitlines().index("        ssl_verify_client optional;") + 1
    assert ("+", "ssl_verify_client optional;", "nginx-mtls/nginx.conf", number) in shown()
    assert ("+", "ssl_session_tickets off;", "nginx-mtls/more.conf", 2) in shown()
    assert ("-", "ssl_session_tickets on;") in {line[:2] for line in shown()}


def test_a_line_of_the_tls_service_alone_is_shown_with_its_own_checks(lab: Path) -> None:
    conf = lab / "nginx-tls/nginx.conf"
    conf.write_text(conf.read_text().replace("server_tokens off;", "server_tokens off; ssl_verify_client off;"))
    line = next(line for line in compare(LabSpec(), None).lines if line.directive == "ssl_verify_client on;")
    removed = next(row for row in json.loads(invoke("diff", "-o", "json").out)["lines"] if row["sign"] == "-")
    assert removed["directive"] == "ssl_verify_client off;"
    assert not {*removed["checks"]} & {entry.id for entry in line.checks}


def test_a_configuration_that_cannot_be_read_is_named_with_its_line(lab: Path) -> None:
    conf = lab / "nginx-mtls/nginx.conf"
    conf.write_text(conf.read_text().rstrip().removesuffix("}"))
    run = invoke("diff")
    assert run.code == 2
    assert re.search(r"nginx-mtls/nginx\.conf:\d+: ", run.err)
    conf.unlink()
    assert invoke("diff").code == 2


def test_words_of_an_edit_cannot_forge_the_screen(lab: Path) -> None:
    conf = lab / "nginx-mtls/nginx.conf"
    conf.write_text(conf.read_text().replace("server_tokens off;", 'add_header X "\x1b[2Jred" always;'))
    assert "\x1b" not in invoke("diff").out
