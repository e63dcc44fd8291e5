"""The list of doors, for people."""

from __future__ import annotations

from itertools import groupby

from mtlslab.plan.visible import visible
from mtlslab.verify.doors.model import DoorList, Group


def render_doors(listing: DoorList) -> str:
    """The doors of each group, and who knocks there."""
    lines: list[str] = []
    knocks = sorted(listing.knocks, key=lambda one: tuple(Group).index(one.group))
    for group, members in groupby(knocks, key=lambda one: one.group):
        clients: dict[str, list[str]] = {}
        for knock in members:
            clients.setdefault(str(knock.door), []).append(knock.client)
        left_out = f", {listing.left_out[group]} knocks left out" if listing.left_out.get(group) else ""
        lines += [*([""] if lines else []), f"door-{group.value}: {len(clients)} doors{left_out}"]
        lines += [visible(f"  {door}: {', '.join(who)}") for door, who in clients.items()]
    lines += ["", f"{len(listing.knocks)} knocks, {sum(listing.left_out.values())} left out."]
    if listing.problem:
        lines.append(visible(f"The list may be too short: {listing.problem}."))
    return "\n".join(lines) + "\n"
