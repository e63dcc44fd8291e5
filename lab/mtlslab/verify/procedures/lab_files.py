"""What lies on the disk: private keys that others may read, and what others may change. No connection is made."""

from __future__ import annotations

import stat

from mtlslab.pki.keys import holds_private_key
from mtlslab.plan.paths import RUN_DIRECTORY
from mtlslab.probe.model import Attempt
from mtlslab.verify.checks.judge import Verdict
from mtlslab.verify.checks.model import Check, Result
from mtlslab.verify.context import Probe, VerifyContext
from mtlslab.verify.procedures.model import ProcedureResult, failed
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.inspection import OnDisk, everything

_SHOWN = 5
_OF_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def private_keys(context: VerifyContext, check: Check, attempt: Attempt, _probe: Probe) -> ProcedureResult:
    """Private keys that others may read, found by what files hold, and modes of those that are named like keys."""
    files = [one for one in everything(Workspace(context.directory)) if one.is_file]
    named = [one for one in files if one.path.startswith("certs/") and one.path.endswith(".key")]
    open_ones = [one.path for one in files if _is_open_key(one)]
    if open_ones:
        verdict = failed(check, f"Others may read {_list(open_ones)}.")
    else:
        verdict = Verdict(Result.PASS, f"Nobody but the owner may read any of the {len(named)} keys.")
    answer = f"open: {_list(open_ones)}" if open_ones else "mode 0600"
    return ProcedureResult(attempt, None, facts={"answer": answer, "open": open_ones}, verdict=verdict)


def _is_open_key(one: OnDisk) -> bool:
    if one.path.startswith("certs/") and one.path.endswith(".key") and stat.S_IMODE(one.mode) & _OF_OTHERS:
        return True
    return one.readable_by_others and holds_private_key(one.content)


def private_keys_command(_context: VerifyContext, _attempt: Attempt) -> list[str]:
    """Lists the files in PEM that hold a private key and that others may read; nothing is right."""
    others = ["(", "-perm", "-040", "-o", "-perm", "-004", ")"]
    return ["find", ".", "-type", "f", *others, "-exec", "grep", "-l", "--", "-BEGIN .*PRIVATE KEY-", "{}", "+"]


def owners(context: VerifyContext, check: Check, attempt: Attempt, _probe: Probe) -> ProcedureResult:
    """What other users may write, or own, below the workspace."""
    found = [
        one
        for one in everything(Workspace(context.directory))
        # Temporary files are the user's that nginx runs as, and nothing reads them but nginx.
        if one.changeable_by_others and not one.path.startswith(f"{RUN_DIRECTORY}/")
    ]
    shown = [f"{one.path} (mode {stat.S_IMODE(one.mode):04o}, uid {one.owner})" for one in found]
    verdict = Verdict(Result.PASS, "Nobody else may change anything in the lab's directory.")
    if found:
        verdict = failed(check, f"Others may change {_list(shown)}.")
    answer = _list([one.path for one in found]) if found else "nothing"
    return ProcedureResult(attempt, None, facts={"answer": answer, "open": shown}, verdict=verdict)


def owners_command(_context: VerifyContext, _attempt: Attempt) -> list[str]:
    """Lists what others may write; nothing is right."""
    return ["find", ".", "(", "-perm", "-020", "-o", "-perm", "-002", ")", "!", "-type", "l"]


def _list(paths: list[str]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(paths[:_SHOWN]) + more
