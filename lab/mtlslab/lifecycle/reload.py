"""The use case ``reload``: apply an edited configuration to the running services."""

from __future__ import annotations

from mtlslab.errors import LabNotFoundError
from mtlslab.lifecycle.files import plan_of
from mtlslab.lifecycle.where import Say, running_runtime
from mtlslab.plan.spec import make_spec
from mtlslab.runtime.base import State
from mtlslab.workspace.target import Target, look_again
from mtlslab.workspace.trust import Trusts, refuse, require_trust


def reload(target: Target, say: Say, trusts: Trusts = refuse) -> None:
    """Test the configuration of each running service, then have nginx load it; every service is spoken of.

    Args:
        target: the lab.
        say: told in a sentence for each service.
        trusts: called to ask the user about a workspace that came from elsewhere.

    Raises:
        LabNotFoundError: a service of the lab does not run; those that do are reloaded all the same.
        SpecError: the workspace came from elsewhere and the user does not trust it.
        MachineError: nginx refuses a configuration. ``why`` holds the output of nginx; the old one stays in effect.
    """
    workspace = target.workspace
    workspace.require()
    runtime = running_runtime(target)
    with workspace.lock():
        record = look_again(target).record or workspace.require()
        require_trust(workspace, record, trusts, say, command="reload")
        spec = make_spec(record.spec)
        plan = plan_of(workspace, spec, record.image or spec.image)
        states = {item.service: item.state for item in runtime.status(target.name)}
        idle = [service.name for service in plan.services if states.get(service.name) is not State.RUNNING]
        for service in plan.services:
            if service.name in idle:
                say(f"{service.name}: not reloaded, {_why_not(states.get(service.name))}.")
            else:
                runtime.reload(plan, service)
                say(f"{service.name}: the configuration is applied.")
    if idle:
        raise LabNotFoundError(f"{' and '.join(idle)} of the lab {target.name!r} did not run.", hint="mtlslab up")


def _why_not(state: State | None) -> str:
    return "it is missing" if state is None else f"it is {state}"
