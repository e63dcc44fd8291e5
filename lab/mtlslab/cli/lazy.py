"""Commands that are loaded when they are typed: whoever asks for one does not wait for the others."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import typer
from typer.core import TyperCommand

from mtlslab.cli.border import BorderedGroup

# Command -> the module of mtlslab.cli that registers it, and the first sentence of its help: all that `mtlslab --help`
# needs. In the order in which a newcomer needs them.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "up": ("labs", "Issue certificates, render the files and start both nginx services; return when both answer."),
    "down": ("labs", "Take away all that runs of a lab; nothing there is success."),
    "status": ("labs", "Show what exists of a lab; exit 4 when nothing does."),
    "logs": ("labs", "Print what the services wrote: nginx's messages, and one JSON line for each request."),
    "reload": ("labs", "Apply an edited nginx.conf to the running services (nginx -t, then HUP)."),
    "render": ("labs", "Write certificates, nginx.conf and docker-compose.yml; start nothing and ask no engine."),
    "verify": (
        "verify",
        "Prove from the outside that the mTLS server serves the right client and refuses every other.",
    ),
    "audit": ("audit", "Tell whether a server, whosever it is, enforces mutual TLS."),
    "explain": (
        "explain",
        "Explain a check: what is tried, what the server does and why, and what to change to see it fail.",
    ),
    "serve": (
        "serve",
        "Run a small TLS server of its own with a good or a broken certificate, to see what a client makes of it.",
    ),
    "doctor": (
        "doctor",
        "Look at this machine: Docker, nginx, the default ports, curl and openssl; exit 3 if no lab could run.",
    ),
    "clients": (
        "clients",
        "Show how a client that is not ours reaches the lab: with the certificate, without it, and what to know.",
    ),
    "certs": (
        "certs",
        "Look at the lab's certificates, issue more (good ones and broken ones), revoke and export them.",
    ),
}


class LazyGroup(BorderedGroup):
    """The program's commands, those of ``COMMANDS``."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: MutableMapping[str, Any] = _Loaded()

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  the group's signature
        """List the commands with the beginnings of their help, without loading them."""
        room = formatter.width - max(map(len, COMMANDS)) - 6
        stubs = {name: TyperCommand(name, help=summary) for name, (_, summary) in COMMANDS.items()}
        with formatter.section("Commands"):
            formatter.write_dl([(name, stub.get_short_help_str(room)) for name, stub in stubs.items()])


class _Loaded(MutableMapping[str, Any]):
    """Name -> command; a command is loaded at the first look at it."""

    def __init__(self) -> None:
        self._commands: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._commands:
            self._commands |= _load(COMMANDS[name][0])
        return self._commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)

    def __setitem__(self, name: str, command: Any) -> None:
        self._commands[name] = command

    def __delitem__(self, name: str) -> None:
        del self._commands[name]


def _load(module: str) -> dict[str, Any]:
    """The commands that a module of mtlslab.cli registers."""
    holder = typer.Typer(rich_markup_mode=None)
    holder.callback()(lambda: None)  # a Typer of one command would be that command instead of a group
    importlib.import_module(f"mtlslab.cli.{module}").register(holder)
    return dict(typer.main.get_group(holder).commands)
