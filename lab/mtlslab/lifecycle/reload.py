"""The use case ``reload``: apply an edited configuration to the running services."""

from __future__ import annotations

from mtlslab.lifecycle.files import plan_of
from mtlslab.lifecycle.where import Say, running_runtime
from mtlslab.plan.spec import make_spec
from mtlslab.runtime.base import State
from mtlslab.workspace.target import Target, look_again
from mtlslab.workspace.trust import Trusts, refuse, require_trust


def reload(target: Target, say: Say, trusts: Trusts = refuse) -> None:
    """Test the configuration of each running service, then have nginx load it.

    Args:
        target: the lab.
        say: told in a sentence for each service.
        trusts: called to ask the user about a workspace that came from elsewhere.

    Raises:
        LabNotFoundError: no service of the lab exists.
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
        for item in runtime.status(target.name):
            if item.state is State.RUNNING:
                runtime.reload(plan, plan.service(item.service))
                say(f"{item.service}: the configuration is applied.")
