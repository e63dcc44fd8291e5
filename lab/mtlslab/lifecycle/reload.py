"""The use case ``reload``: an edited configuration reaches the running services."""

from __future__ import annotations

from mtlslab.lifecycle.files import plan_of
from mtlslab.lifecycle.where import Say, running_runtime
from mtlslab.plan.spec import make_spec
from mtlslab.runtime.base import State
from mtlslab.workspace.target import Target, look_again
from mtlslab.workspace.trust import Trusts, refuse, require_trust


def reload(target: Target, say: Say, trusts: Trusts = refuse) -> None:
    """Have the running services take their edited configuration; ``trusts`` is asked about a lab from elsewhere.

    Raises:
        LabNotFoundError: nothing of the lab runs.
        SpecError: the lab came from elsewhere and is not trusted.
        MachineError: nginx refuses a configuration; its own words are in ``why``, and the old one keeps running.
    """
    workspace = target.workspace
    workspace.require()
    runtime = running_runtime(target)
    with workspace.lock():
        record = look_again(target).record or workspace.require()
        require_trust(workspace, record, trusts, say, command="reload")
        spec = make_spec(record.spec)
        plan = plan_of(workspace, spec, record.image or spec.image)
        for item in runtime.status(target.name):
            if item.state is State.RUNNING:
                runtime.reload(plan, plan.service(item.service))
                say(f"{item.service}: the configuration is applied.")
