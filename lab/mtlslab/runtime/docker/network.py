"""Creates and removes the network of a lab."""

from __future__ import annotations

import contextlib

from docker.api import APIClient
from docker.errors import APIError, NotFound

from mtlslab.errors import MachineError
from mtlslab.plan.services import network_name
from mtlslab.plan.shell import shell_line
from mtlslab.runtime.docker.config import network_labels
from mtlslab.runtime.docker.ownership import is_own_network, label_filter
from mtlslab.runtime.engine.connection import engine_errors, words


def ensure_network(api: APIClient, lab: str) -> bool:
    """Create the lab's network unless it exists; returns whether it was created.

    Raises:
        MachineError: the engine refuses, or the name is taken by a network that is not of this lab.
    """
    name = network_name(lab)
    with engine_errors(f"Cannot make the network {name}."):
        try:
            # Created without looking first: the usual first start then needs only one call.
            api.create_network(name, driver="bridge", check_duplicate=True, labels=network_labels(lab))
        except APIError as error:
            try:
                present = api.inspect_network(name)
            except NotFound:
                raise (_no_room(name, error) if "address pool" in words(error) else error) from None
            if not is_own_network(lab, present):
                raise _foreign(name) from error
            return False
        return True


def remove_networks(api: APIClient, lab: str) -> tuple[str, ...]:
    """Remove the lab's own network; returns the names of the removed networks.

    Raises:
        MachineError: the engine refuses, for example because another container is attached.
    """
    with engine_errors(f"Cannot remove the network of the lab {lab!r}."):
        labelled = api.networks(filters=label_filter(lab))
        found = [network for network in labelled if is_own_network(lab, network)]
        for network in found:
            with contextlib.suppress(NotFound):  # removed meanwhile
                api.remove_network(network["Id"])
        return tuple(network["Name"] for network in found)


def _no_room(name: str, error: APIError) -> MachineError:
    return MachineError(
        f"Cannot make the network {name}: the engine has no free address range.",
        why=words(error),
        hint="Remove the networks that nothing uses: docker network prune",
    )


def _foreign(name: str) -> MachineError:
    return MachineError(
        f"There is already a network {name}, and it is not of this lab.",
        why="it does not bear the labels that this lab gives its network",
        hint=f"Remove it ({shell_line(['docker', 'network', 'rm', name])}), or take another lab name: --name",
    )
