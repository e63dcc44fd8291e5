"""The Docker runtime: network and containers of a lab through the Docker Engine API.

It uses the SDK's low-level client: the request bodies are in :mod:`.config` as the API documents them, no call is made
twice, and independent calls run in parallel.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from mtlslab.errors import LabNotFoundError, MachineError
from mtlslab.plan.services import CONTAINER_ROOT, LabPlan, Service, with_fingerprints
from mtlslab.plan.shell import shell_line
from mtlslab.runtime.base import Dump, LogLine, OpenSocket, ServiceStatus, Started, Surroundings, split_version
from mtlslab.runtime.docker import containers
from mtlslab.runtime.docker.image import choose_image
from mtlslab.runtime.docker.inspect import surroundings_of
from mtlslab.runtime.docker.logs import follow_logs, read_logs
from mtlslab.runtime.docker.network import ensure_network, remove_networks
from mtlslab.runtime.docker.ownership import foreign_things, left_alone, name_of, own_labs
from mtlslab.runtime.docker.volumes import copy_again, make_volume, remove_volumes
from mtlslab.runtime.engine.connection import Engine, connect, engine_errors
from mtlslab.runtime.engine.endpoint import find_endpoint

_WORKERS = 8
# An engine under load may end a call before it has passed on what the program in the container said.
_DUMPS = 3


def ignore(sentence: str) -> None:
    """Discard a sentence: the default for ``say``."""


class DockerRuntime:
    """Runs the services of labs as containers; connects to the engine when it is first needed.

    Args:
        pull: when to ask the registry for the image: ``missing``, ``always`` or ``never``.
        say: told in a sentence each what the user may want to know, such as which image is used.
        stall: seconds without progress after which a pull is given up.
    """

    name = "docker"

    def __init__(self, pull: str = "missing", say: Callable[[str], None] = ignore, *, stall: float = 15.0) -> None:
        self._pull = pull
        self._say = say
        self._stall = stall
        self._image_ids: dict[str, str] = {}
        self._made_network: dict[str, bool] = {}  # lab -> whether this object created its network

    @functools.cached_property
    def engine(self) -> Engine:
        """The connected engine.

        Raises:
            MachineError: the engine cannot be reached; the message tells why.
        """
        return connect(find_endpoint())

    def describe(self) -> str:
        """Product, version, platform and address of the engine."""
        engine = self.engine
        product = f"rootless {engine.product}" if engine.rootless else engine.product
        return f"{product} {engine.version} ({engine.os}/{engine.arch}) at {engine.endpoint.url}"

    def uses_image(self) -> bool:
        """Yes; see ``Runtime.uses_image``."""
        return True

    def copies_files(self) -> bool:
        """Yes for an engine reached over TCP, for a rootless one and under SELinux; see ``Runtime.copies_files``."""
        return self.engine.needs_copies

    def publishes_here(self) -> bool:
        """Yes, unless the engine's address is that of another machine; see ``Runtime.publishes_here``."""
        return not self.engine.endpoint.other_machine

    def prepare(self, lab: str, image: str) -> str:
        """Provides image and network in parallel; see ``Runtime.prepare``."""
        engine = self.engine
        self._tell_about(engine)
        try:
            with ThreadPoolExecutor(1) as pool:
                network = pool.submit(self._ensure_network, lab)
                chosen = choose_image(engine, image, pull=self._pull, say=self._say, stall=self._stall)
            network.result()
        except BaseException:
            self._undo(lab, [], [])
            raise
        self._image_ids[chosen.name] = chosen.id
        return chosen.name

    def start(self, plan: LabPlan) -> Started:
        """Starts the containers in parallel; see ``Runtime.start``."""
        plan = self._settled(plan)
        existing = containers.find(self.engine.api, plan.lab, self._say)
        image_id = self._image_ids.get(plan.image)
        keep = {
            service.name: container["Id"]
            for service in plan.services
            for container in existing
            if containers.is_as_asked(plan, service, container, image_id)
        }
        stale = [container["Id"] for container in existing if container["Id"] not in keep.values()]
        missing = [service for service in plan.services if service.name not in keep]
        self._replace(plan, stale, missing)
        return Started(created=tuple(service.name for service in missing), kept=tuple(keep))

    def stop(self, lab: str, services: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Removes containers in parallel, then volumes and the network; see ``Runtime.stop``.

        ``say`` is told of objects that have the lab's label and are not the lab's own: they are kept.
        """
        api = self.engine.api
        found = [c for c in containers.find(api, lab) if services is None or containers.service_of(c) in services]
        with ThreadPoolExecutor(_WORKERS) as pool:
            list(pool.map(lambda container: containers.stop_and_remove(api, container["Id"]), found))
        removed = tuple(name_of(container) for container in found) + remove_volumes(api, lab, services)
        if services is not None:
            return removed
        self._made_network.pop(lab, None)
        removed += remove_networks(api, lab)
        for thing in foreign_things(api, lab):
            self._say(left_alone(lab, thing))
        return removed

    def status(self, lab: str) -> tuple[ServiceStatus, ...]:
        """See ``Runtime.status``."""
        api = self.engine.api
        return tuple(containers.status(api, container) for container in containers.find(api, lab))

    def labs(self) -> tuple[str, ...]:
        """Names from the labels of containers, volumes and networks; see ``Runtime.labs``."""
        return own_labs(self.engine.api)

    def logs(
        self, lab: str, service: str | None = None, *, follow: bool = False, tail: int | None = None
    ) -> Iterator[LogLine]:
        """Standard output and standard error together; see ``Runtime.logs``."""
        api = self.engine.api
        found = {containers.service_of(container): container["Id"] for container in containers.find(api, lab)}
        wanted = {name: identity for name, identity in found.items() if service in (None, name)}
        with engine_errors("Cannot read the logs."):
            yield from (follow_logs if follow else read_logs)(api, wanted, tail)

    def reload(self, plan: LabPlan, service: Service) -> None:
        """``nginx -t`` in the container, then the signal HUP, then wait for the new workers; see ``Runtime.reload``."""
        container = self._tested(plan, service)
        with engine_errors(f"Cannot reload {service.name}."):
            old = containers.serving_workers(self.engine, container)
            self.engine.api.kill(container, signal="HUP")
            containers.await_new_workers(self.engine, container, old)

    def test(self, plan: LabPlan, service: Service) -> None:
        """``nginx -t`` in the container; see ``Runtime.test``."""
        self._tested(plan, service)

    def _tested(self, plan: LabPlan, service: Service) -> str:
        """Identity of a service's container whose nginx takes the configuration."""
        api, container = self.engine.api, self._running(plan, service)
        copy_again(api, plan, service)
        with engine_errors(f"Cannot test the configuration of {service.name}."):
            test = api.exec_create(container, ["nginx", *service.test_command(CONTAINER_ROOT)])["Id"]
            said = api.exec_start(test).decode(errors="replace").strip()
            if api.exec_inspect(test)["ExitCode"] != 0:
                raise MachineError(
                    f"nginx refuses the configuration of {service.name}; the old one keeps running.",
                    why=said.splitlines(),
                    hint=f"Correct {service.conf}, then: mtlslab reload",
                )
        return container

    def configurations(self, plan: LabPlan) -> tuple[Dump, ...]:
        """``nginx -T`` in the containers, side by side; see ``Runtime.configurations``."""
        with ThreadPoolExecutor(_WORKERS) as pool:
            return tuple(pool.map(lambda service: self._dump(plan, service), plan.services))

    def surroundings(self, plan: LabPlan) -> tuple[Surroundings, ...]:
        """``docker inspect`` of the lab's containers, and of others of its project; see ``Runtime.surroundings``."""
        return surroundings_of(self.engine.api, plan)

    def _dump(self, plan: LabPlan, service: Service) -> Dump:
        container = self._running(plan, service)
        with engine_errors(f"Cannot read the configuration of {service.name}."):
            api = self.engine.api
            for _ in range(_DUMPS):
                dump = api.exec_create(container, ["nginx", *service.dump_command(CONTAINER_ROOT)])["Id"]
                output, errors = api.exec_start(dump, demux=True)
                code = api.exec_inspect(dump)["ExitCode"]
                if output or code:
                    break
            version, words = split_version((errors or b"").decode(errors="replace"))
            if code != 0:
                raise MachineError(
                    f"nginx -T does not show the configuration of {service.name}.", why=words.strip().splitlines()
                )
            since = containers.serving_since(self.engine, container)
            text = (output or b"").decode(errors="replace")
            return Dump(text, CONTAINER_ROOT, contained=True, since=since, nginx=version)

    def open_sockets(self, plan: LabPlan) -> tuple[OpenSocket, ...]:
        """The published ports of the containers, and their own addresses; see ``Runtime.open_sockets``."""
        found: list[OpenSocket] = []
        for service in plan.services:
            with engine_errors(f"Cannot look at {service.name}."):
                network = self.engine.api.inspect_container(self._running(plan, service))["NetworkSettings"]
            bound = [one for published in (network["Ports"] or {}).values() for one in published or ()]
            found += [OpenSocket(service.name, one["HostIp"], int(one["HostPort"])) for one in bound]
            # Whoever is on this machine reaches a port that is not published as well.
            if self.publishes_here():
                own = [one.get("IPAddress") for one in (network.get("Networks") or {}).values()]
                found += [OpenSocket(service.name, address, 0) for address in own if address]
        return tuple(found)

    def _tell_about(self, engine: Engine) -> None:
        """Tell the user what differs from an ordinary engine on this machine: copied files, ports elsewhere, no TLS."""
        endpoint, machine = engine.endpoint, engine.endpoint.other_machine
        if engine.needs_copies:
            reason = "it is rootless" if engine.rootless else "it may not see this disk"
            if engine.confined and not engine.rootless:
                reason = "SELinux keeps its containers from files here"
            self._say(f"Files: copied into volumes of the engine at {endpoint.url}, because {reason}.")
        if machine and not endpoint.tls:
            self._say(
                f"WARNING: no TLS on the way to {machine}: whoever listens there learns the server's private key."
            )
        if machine:
            forward = shell_line(["ssh", "-NL", "PORT:127.0.0.1:PORT", machine])
            self._say(
                f"WARNING: the ports are bound on {machine}, not here. Forward them ({forward}, once for each port), "
                "or bind an address that this machine reaches: --listen"
            )

    def _running(self, plan: LabPlan, service: Service) -> str:
        for container in containers.find(self.engine.api, plan.lab):
            if containers.service_of(container) == service.name and container["State"] == "running":
                return str(container["Id"])
        raise LabNotFoundError(
            f"{service.name} of the lab {plan.lab!r} does not run.", hint="Start it with: mtlslab up"
        )

    def _settled(self, plan: LabPlan) -> LabPlan:
        """The plan with ``copied`` as this engine needs it."""
        if plan.copied == self.engine.needs_copies:
            return plan
        return with_fingerprints(dataclasses.replace(plan, copied=self.engine.needs_copies))

    def _replace(self, plan: LabPlan, stale: list[str], missing: list[Service]) -> None:
        api = self.engine.api
        created: list[str] = []
        try:
            self._ensure_network(plan.lab)
            with ThreadPoolExecutor(_WORKERS) as pool:
                # Remove all stale containers before a new one starts: two services may have swapped their ports.
                list(pool.map(lambda identity: containers.remove(api, identity), stale))
                if stale or plan.copied:  # volumes of removed containers, or of an interrupted start
                    remove_volumes(api, plan.lab, [service.name for service in missing])
                list(pool.map(lambda service: self._run(plan, service, created), missing))
        except BaseException:
            self._undo(plan.lab, created, [service.name for service in missing] if plan.copied else [])
            raise

    def _run(self, plan: LabPlan, service: Service, created: list[str]) -> None:
        if plan.copied:
            make_volume(self.engine.api, plan, service)
        containers.start(self.engine, plan, service, created)

    def _ensure_network(self, lab: str) -> None:
        if lab not in self._made_network:
            self._made_network[lab] = ensure_network(self.engine.api, lab)

    def _undo(self, lab: str, created: list[str], copied: list[str]) -> None:
        """Remove what this object created. Further errors are ignored: they must not replace the first one."""
        for identity in created:
            with contextlib.suppress(MachineError):
                containers.remove(self.engine.api, identity)
        if copied:
            with contextlib.suppress(MachineError):
                remove_volumes(self.engine.api, lab, copied)
        if self._made_network.pop(lab, False):
            with contextlib.suppress(MachineError):
                remove_networks(self.engine.api, lab)
