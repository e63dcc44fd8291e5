"""Loads the module of a command when the command is used, so that the program starts fast."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import typer
from typer.core import TyperCommand

from mtlslab.cli.border import BorderedGroup

# Command -> the module of mtlslab.cli that registers it, and the first sentence of its help, which fits a line of 80
# columns. `mtlslab --help` needs no more. The order is that of the help: what a new user needs first.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "up": ("labs", "Issue certificates and start both nginx services."),
    "down": ("labs", "Take away all that runs of a lab; its files stay."),
    "status": ("labs", "Show what exists of a lab and what runs."),
    "logs": ("labs", "Print what the services wrote; one JSON line per request."),
    "reload": ("labs", "Apply an edited nginx.conf to the running services."),
    "render": ("labs", "Write the lab's files; start nothing, ask no engine."),
    "verify": ("verify", "Prove that the mTLS server serves authorised clients only."),
    "audit": ("audit", "Tell whether a server, whosever it is, enforces mutual TLS."),
    "explain": ("explain", "Explain a check: what happens, why, and how to see it fail."),
    "serve": ("serve", "Run a small TLS server with a good or a broken certificate."),
    "doctor": ("doctor", "Tell whether this machine can run a lab, and what is missing."),
    "clients": ("clients", "Show how other clients reach the lab: curl, Java, browsers."),
    "certs": ("certs", "List, show, issue, revoke and export certificates."),
}


# What people type who know other programs -> what does that here.
HABITS: Mapping[str, str] = {
    **dict.fromkeys(("start", "run", "create", "init"), "up"),
    **dict.fromkeys(("stop", "rm", "remove", "delete", "destroy", "clean"), "down"),
    **dict.fromkeys(("ls", "ps", "list", "info", "show"), "status"),
    **dict.fromkeys(("test", "check", "prove"), "verify"),
    **dict.fromkeys(("scan", "probe"), "audit"),
    **dict.fromkeys(("restart", "apply"), "reload"),
    **dict.fromkeys(("cert", "issue", "revoke", "export"), "certs"),
    "log": "logs",
    "help": "--help",
    "version": "--version",
}


class LazyGroup(BorderedGroup):
    """The command group of the program, with the commands of ``COMMANDS``."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: MutableMapping[str, Any] = _Loaded()

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; for a word of another program, name the one that is meant."""
        if args and args[0] not in self.commands and args[0] in HABITS:
            ctx.fail(f"No such command {args[0]!r}. Did you mean 'mtlslab {HABITS[args[0]]}'?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  the group's signature
        """Write the list of commands with the first sentence of their help, without loading them."""
        room = formatter.width - max(map(len, COMMANDS)) - 6
        stubs = {name: TyperCommand(name, help=summary) for name, (_, summary) in COMMANDS.items()}
        with formatter.section("Commands"):
            formatter.write_dl([(name, stub.get_short_help_str(room)) for name, stub in stubs.items()])


class _Loaded(MutableMapping[str, Any]):
    """Name -> command; a command is loaded at its first lookup."""

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
    holder.callback()(lambda: None)  # without a callback, Typer makes no group of a single command
    importlib.import_module(f"mtlslab.cli.{module}").register(holder)
    return dict(typer.main.get_group(holder).commands)
