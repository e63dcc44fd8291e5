"""``verify`` and ``audit`` never contradict each other about one server: mutants and faithful twins are shown to both.

All of them take minutes: ``MTLSLAB_ALL_TWINS=1`` tries all, without it one of each kind of answer.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mtlslab.errors import ExitCode
from mtlslab.runtime.base import Runtime
from mtlslab.runtime.choose import Runtimes
from mtlslab.verify.proof.mutants import CONTROLS, MUTANTS
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.target import locate

from tests.support.cli import mtlslab
from tests.support.two_judges import contradictions, issue_faults, judge_twin

ALL = {name: one for table in (CONTROLS, MUTANTS) for name, one in table.items() if one.in_processes}
# verify asks for /hello-world.txt?probe=..., audit for the page without a question mark: to this server it matters.
ASKED_OTHERWISE = ("a-path-is-exempt",)
FEW = (
    "twin-with-a-page-for-refusals",
    "twin-with-a-login",
    "twin-that-rejects-other-names",
    "twin-with-tls13-only",
    "twin-with-chacha-only",
    "refusal-holds-the-page",
    "errors-become-success",
    "only-presence-is-checked",
    "certificate-of-another-host",
    "tls12-only",
    "wrong-page",
)
NAMES = [name for name in ALL if name not in ASKED_OTHERWISE] if os.environ.get("MTLSLAB_ALL_TWINS") == "1" else FEW


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    place = tmp_path_factory.mktemp("judged")
    words = ("render", "--name", "judged", "--key-type", "ec-p256", "--tls-port", "0", "--mtls-port", "0")
    assert mtlslab(*words, cwd=place).code == 0
    workspace = locate("judged", None, here=place).workspace
    issue_faults(workspace)
    return workspace


@pytest.fixture
def runtime(lab: Workspace, nginx_binary: Path) -> Runtime:
    return Runtimes(lab.directory, nginx=nginx_binary).named("embedded")


@pytest.mark.parametrize("name", NAMES)
def test_verify_and_audit_do_not_contradict_each_other(name: str, lab: Workspace, runtime: Runtime) -> None:
    judged = judge_twin(lab, runtime, ALL[name])
    assert list(contradictions(judged)) == []
    if name in CONTROLS:
        assert (judged.verify.exit_code, judged.audit.exit_code) == (ExitCode.OK, ExitCode.OK)
        assert "enforces mTLS" in judged.verify.closing_sentence
    else:
        assert judged.verify.exit_code is ExitCode.CHECK_FAILED
        assert "enforces mTLS" not in judged.verify.closing_sentence
