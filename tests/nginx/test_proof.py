"""The checks bite: every sabotaged twin of a lab turns them red, a faithful one does not, and nothing of them stays."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest
from mtlslab.errors import ExitCode, SpecError
from mtlslab.lifecycle.leftovers import twin_name
from mtlslab.output import PROOF_FORMATS, render
from mtlslab.plan.spec import check_name, make_spec
from mtlslab.runtime.choose import Runtimes
from mtlslab.verify.proof.mutants import CIPHERS, CLIENT_CA_FILE, LOCATION, MUTANTS, PROTOCOLS, VERIFY_CLIENT
from mtlslab.verify.proof.prove import Proof, TwinResult, prove
from mtlslab.verify.proof.twins import make_twin
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.target import Target, locate

from tests.support.cases import ALL_CASES, some
from tests.support.cli import mtlslab

RENDER = ("render", "--key-type", "ec-p256", "--tls-port", "0", "--mtls-port", "0")


@pytest.fixture
def target(tmp_path: Path, lab_name: str, nginx_binary: Path) -> Target:
    assert mtlslab(*RENDER, "--name", lab_name, cwd=tmp_path).code == 0
    return locate(lab_name, None, here=tmp_path)


def outcome(name: str, *caught_by: str, control: bool = False) -> TwinResult:
    return TwinResult(name, f"{name}.", control, caught_by, 60)


def test_every_mutant_is_caught_and_the_faithful_twins_are_green(
    target: Target, nginx_binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All faithful twins; of the mutants, as many as a usual run has time for."""
    assert len(MUTANTS) >= 90
    monkeypatch.setattr("mtlslab.verify.proof.prove.MUTANTS", {name: MUTANTS[name] for name in some(MUTANTS, 4)})
    runtime = Runtimes(target.workspace.directory, nginx=nginx_binary).named("embedded")
    proof = prove(target, runtime)
    assert [twin.name for twin in proof.twins if twin.control and not twin.good] == []
    assert [twin.name for twin in proof.survivors] == []
    assert len(proof.mutants) >= (90 if ALL_CASES else 40)
    assert len([twin for twin in proof.twins if twin.control]) >= 16
    assert proof.score == 1
    assert proof.exit_code is ExitCode.OK
    assert not (target.workspace.directory / "twins").exists()
    assert [twin.name for twin in proof.mutants if runtime.status(twin_name(target.workspace, twin.name))] == []


@pytest.mark.engine
def test_twins_run_in_docker_as_well(target: Target, engine: object) -> None:
    runtime = Runtimes(target.workspace.directory).named("docker")
    proof = prove(target, runtime, ("verify-optional", "plain-http"))
    assert proof.exit_code is ExitCode.OK
    assert len(proof.mutants) == 2
    assert not any(runtime.status(twin_name(target.workspace, twin.name)) for twin in proof.twins)


def test_an_unknown_mutant_is_refused_with_the_known_ones(target: Target, nginx_binary: Path) -> None:
    runtime = Runtimes(target.workspace.directory, nginx=nginx_binary).named("embedded")
    with pytest.raises(SpecError) as caught:
        prove(target, runtime, ["verify-of"])
    assert "verify-off" in caught.value.hint


def test_a_kind_of_mutants_is_a_quick_proof(target: Target, nginx_binary: Path) -> None:
    runtime = Runtimes(target.workspace.directory, nginx=nginx_binary).named("embedded")
    proof = prove(target, runtime, ("crypto", "verify-opt*"))
    names = [twin.name for twin in proof.mutants]
    assert names == [one for one, mutant in MUTANTS.items() if mutant.kind == "crypto" or one.startswith("verify-opt")]
    assert {"early-data", "verify-optional", "verify-optional-no-ca"} <= set(names)
    assert proof.exit_code is ExitCode.OK


def test_a_surviving_mutant_is_a_failure_and_is_named() -> None:
    proof = Proof("x", "embedded", (outcome("twin", control=True), outcome("a", "check-1", "check-2"), outcome("b")))
    assert proof.score == 0.5
    assert proof.exit_code is ExitCode.CHECK_FAILED
    text = render(proof, PROOF_FORMATS, "text")
    assert "caught by check-1 and 1 more" in text
    assert text.rstrip().endswith("1 of 2 mutants; b survived.")


def test_nothing_is_proved_when_a_faithful_twin_is_not_green() -> None:
    proof = Proof("x", "embedded", (outcome("twin", "check-1", control=True), outcome("a", "check-1")))
    assert proof.exit_code is ExitCode.INCONCLUSIVE
    closing = render(proof, PROOF_FORMATS, "text").splitlines()[-1]
    assert closing == (
        "Nothing is proved: a faithful twin is not green (false alarms on 1 of 1: twin); "
        "mutation score 100%: the checks caught 1 of 1 mutants."
    )


def test_a_proof_says_how_long_it_took() -> None:
    proof = Proof("x", "embedded", (outcome("twin", control=True), outcome("a", "check-1")), 61_400)
    assert render(proof, PROOF_FORMATS, "text").splitlines()[-1] == (
        "no false alarm on 1 faithful twins; mutation score 100%: the checks caught 1 of 1 mutants. "
        "The checks bite. (61 s)"
    )
    assert proof.to_mapping()["duration_ms"] == 61_400


def test_a_proof_without_mutants_proves_nothing() -> None:
    assert Proof("x", "embedded", (outcome("twin", control=True),)).exit_code is ExitCode.INCONCLUSIVE


def test_the_json_document_names_the_check_that_caught_each_mutant() -> None:
    proof = Proof("x", "docker", (outcome("twin", control=True), outcome("a", "check-1")))
    document = json.loads(render(proof, PROOF_FORMATS, "json"))
    assert document["schema"] == "mtlslab.prove/1"
    assert document["twins"][1]["caught_by"] == ["check-1"]
    assert (document["score"], document["exit_code"]) == (1.0, 0)


def test_a_sabotage_that_changes_nothing_is_a_programming_error(target: Target) -> None:
    assert target.record
    twin = make_twin(
        target.workspace, make_spec(target.record.spec), "x", crl=False, now=datetime.datetime.now(datetime.UTC)
    )
    for pattern in (VERIFY_CLIENT, LOCATION, PROTOCOLS, CIPHERS, CLIENT_CA_FILE):
        twin.edit(pattern, "# gone")
    with pytest.raises(ValueError, match="nothing in"):
        twin.edit(VERIFY_CLIENT, "ssl_verify_client off;")


def test_every_mutant_says_what_is_wrong() -> None:
    assert [mutant.name for mutant in MUTANTS.values() if not mutant.title.endswith(".") or "\n" in mutant.title] == []


def test_the_names_of_twins_are_names_of_labs_and_differ_from_lab_to_lab(tmp_path: Path) -> None:
    first, second = (
        [twin_name(Workspace(tmp_path / lab), name) for name in (*MUTANTS, "twin", "twin-crl")] for lab in ("a", "b")
    )
    assert [name for name in first if check_name(name)] == []
    assert len(set(first + second)) == len(first) + len(second)
