"""Gets the effective configuration of a lab: from nginx itself, or from the files where it cannot be asked.

A runtime that cannot be asked (the lab is down, was started by hand, or the engine has no exec) takes no answer away:
whoever asks for rules gets those files judged that lie in the workspace, and the advisory rule
``config-is-told-by-nginx`` warns that nginx was not heard. Only where the files cannot be read either, or nginx was
heard and cannot be understood, the rules are inconclusive.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence

from mtlslab.errors import LabError
from mtlslab.plan.services import SERVICES, LabPlan, Service, make_plan
from mtlslab.plan.spec import LabSpec
from mtlslab.runtime.base import Dump, Surroundings
from mtlslab.verify.configuration.model import Configuration
from mtlslab.verify.configuration.parse import UnreadableError, parse, split_dump
from mtlslab.verify.rules.facts import Facts
from mtlslab.workspace.directory import Workspace

Ask = Callable[[LabPlan], Sequence[Dump]]
"""Asks the runtime for the configurations of a plan's services; raises LabError where they cannot be had."""

Look = Callable[[LabPlan], tuple[Surroundings, ...]]
"""Asks the runtime what really runs of a plan; raises LabError where that cannot be told."""


@dataclasses.dataclass(frozen=True)
class Known:
    """What is known of the configuration.

    Attributes:
        facts: what the rules look at; None when there is nothing to look at.
        problem: why nginx was not heard, or why nothing can be read; empty when all is well.
        heard: whether nginx itself told what it reads.
    """

    facts: Facts | None
    problem: str = ""
    heard: bool = True


class Reading:
    """Reads the configuration of a lab once, when it is first asked for, whoever asks.

    Args:
        workspace: that of the lab.
        spec: its settings, with settled ports.
        ask: asks the runtime; None where there is none.
        look: asks the runtime what really runs; None where there is none.
        contained: whether the lab was last run in containers; for the files, where nginx is not heard.
    """

    def __init__(
        self,
        workspace: Workspace,
        spec: LabSpec,
        ask: Ask | None = None,
        look: Look | None = None,
        *,
        contained: bool = False,
    ) -> None:
        self._workspace = workspace
        self._spec = spec
        self._ask = ask
        self._look = look
        self._contained = contained
        self._lock = threading.Lock()
        self._known: Known | None = None

    def __call__(self) -> Known:
        """What is known; never raises."""
        with self._lock:
            if self._known is None:
                self._known = self._read()
            return self._known

    def _read(self) -> Known:
        plan = make_plan(self._spec, self._workspace.directory, image="", user="")
        problem = ""
        try:
            return Known(dataclasses.replace(self._told(plan), surroundings=self._seen(plan)))
        except LabError as error:
            problem = " ".join(f"{error.what} {error.why}".split())
        except OSError as error:  # no room for the files of the parser
            problem = str(error)
        except UnreadableError as error:  # nginx was heard, and cannot be understood
            return Known(None, str(error))
        try:
            facts = self._facts(tuple(self._on_disk(name) for name in SERVICES))
        except (LabError, UnreadableError, OSError) as error:
            return Known(None, f"{problem} {error}", heard=False)
        return Known(dataclasses.replace(facts, unheard=problem, surroundings=self._seen(plan)), problem, heard=False)

    def _facts(self, configurations: tuple[Configuration, ...]) -> Facts:
        tls, mtls = configurations
        return Facts(tls, mtls, self._spec, self._workspace)

    def _seen(self, plan: LabPlan) -> tuple[Surroundings, ...]:
        try:
            return self._look(plan) if self._look else ()
        except LabError:  # an engine that does not tell
            return ()

    def _told(self, plan: LabPlan) -> Facts:
        if self._ask is None:
            raise LabError("No runtime is known that could be asked.")
        dumps = self._ask(plan)
        facts = self._facts(tuple(_parsed(service, dump) for service, dump in zip(plan.services, dumps, strict=True)))
        return dataclasses.replace(facts, read_at=dumps[-1].since, nginx=dumps[-1].nginx)

    def _on_disk(self, service: str) -> Configuration:
        return read_from_disk(self._workspace, service, contained=self._contained)


def read_from_disk(workspace: Workspace, service: str, *, contained: bool = False) -> Configuration:
    """Read the configuration of a service as it lies in the workspace; nginx is not asked.

    Args:
        workspace: that of the lab.
        service: name of the service.
        contained: whether it runs in a container.

    Raises:
        LabError: a file of the workspace must not be read.
        UnreadableError: a file cannot be read as nginx would read it.
    """
    files = {}
    for name in workspace.names(service):
        if name.endswith((".conf", ".types", ".inc")):
            content = workspace.read(f"{service}/{name}") or b""
            files[f"{service}/{name}"] = content.decode(errors="replace")
    if contained:
        files[f"{service}/listen.conf"] = files.get(f"{service}/listen.container.conf", "")
    return parse(service, files, root=str(workspace.directory), contained=contained)


def _parsed(service: Service, dump: Dump) -> Configuration:
    files = split_dump(dump.text, dump.root)
    return parse(service.name, files, root=dump.root, contained=dump.contained, whole=True)
