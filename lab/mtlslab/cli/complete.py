"""What the shell offers for a word: names that the program or the lab knows. No network, and no engine is asked.

Each function gets the options that stand before the word, and returns values, or pairs (value, what it is). What cannot
be read offers nothing: a shell has no place for an error.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from mtlslab.workspace.directory import Workspace

Offers = list[tuple[str, str]]


def checks() -> Offers:
    """The checks of `verify`, rules and doors included."""
    from mtlslab.verify.checks import families

    return [(entry.id, entry.title) for entry in families().values()]


def faults() -> Offers:
    """The faults of `certs issue --fault`."""
    from mtlslab.pki.faults import FAULTS

    return [*((fault.name, fault.title) for fault in FAULTS.values()), ("all", "every fault")]


def pages() -> Offers:
    """The pages of `explain`."""
    from mtlslab.classroom.explain import DOORS_PAGE
    from mtlslab.classroom.terms import terms
    from mtlslab.classroom.verdicts import VERDICT_PAGES

    words = [(term.id, term.title.removeprefix(f"{term.id}: ")) for term in terms().values()]
    others = [(page.id, page.title) for page in (DOORS_PAGE, *VERDICT_PAGES.values())]
    return [*words, *checks(), *faults()[:-1], *others]


def mutants() -> Offers:
    """The mutants of `verify --prove`, and the kinds of them."""
    from mtlslab.verify.proof.mutants import MUTANTS

    kinds = dict.fromkeys(mutant.kind for mutant in MUTANTS.values())
    named = [(mutant.name, mutant.title) for mutant in MUTANTS.values()]
    return [*((kind, "all of this kind") for kind in kinds if kind not in MUTANTS), *named]


def servers() -> Offers:
    """The certificates of `serve`."""
    from mtlslab.pki.servers import SERVER_CREDENTIALS

    return [(entry.name, entry.title) for entry in SERVER_CREDENTIALS.values()]


def clients() -> Offers:
    """The clients that have a recipe."""
    from mtlslab.classroom.clients import CLIENTS

    return [(client.name, client.title) for client in CLIENTS]


def key_types() -> list[str]:
    """The types of keys."""
    from mtlslab.plan.spec import KEY_TYPES

    return list(KEY_TYPES)


def credentials(ctx: typer.Context) -> list[str]:
    """The client credentials of the lab."""
    from mtlslab.workspace.credentials import client_names

    return _of_lab(ctx, client_names)


def revocable(ctx: typer.Context) -> list[str]:
    """What can be revoked by its name: the client credentials, and the fault `revoked`."""
    return [*credentials(ctx), "revoked"]


def certificates(ctx: typer.Context) -> list[str]:
    """The paths of the lab's certificates."""
    return _of_lab(ctx, lambda workspace: workspace.certificates())


def labs() -> list[str]:
    """The names of the labs in the register."""
    from mtlslab.workspace.directory import Workspace
    from mtlslab.workspace.own_labs import places_of_labs
    from mtlslab.workspace.target import name_in

    return sorted({*filter(None, (name_in(Workspace(place)) for place in places_of_labs()))})


def _of_lab(ctx: typer.Context, names: Callable[[Workspace], Iterable[str]]) -> list[str]:
    """Names from the lab that the options before the word mean, else from that of the current directory."""
    from mtlslab.errors import LabError
    from mtlslab.workspace.target import locate

    with contextlib.suppress(LabError, OSError):
        directory = ctx.params.get("directory")
        place = Path(directory) if directory else None
        return list(names(locate(ctx.params.get("name"), place, here=Path.cwd()).workspace))
    return []
