"""Loads the module of a command when the command is used, so that the program starts fast."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from mtlslab.cli.border import BorderedGroup

# What a command is for -> command -> the module of mtlslab.cli that registers it, and the first sentence of its help,
# which fits a line of 80 columns. `mtlslab --help` needs no more. The order is that of the help: what a new user needs
# first.
GROUPS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "Run a lab": {
        "up": ("labs", "Issue certificates and start both nginx services."),
        "down": ("labs", "Take away all that runs of a lab; its files stay."),
        "status": ("labs", "Show what exists of a lab and what runs."),
        "list": ("list", "List all labs: where they are, what runs, on which ports."),
        "logs": ("labs", "Print what the services wrote; one JSON line per request."),
        "reload": ("labs", "Apply an edited nginx.conf to the running services."),
        "render": ("labs", "Write the lab's files; start nothing, ask no engine."),
        "certs": ("certs", "List, show, issue, import, revoke and export certificates."),
        "doctor": ("doctor", "Tell whether this machine can run a lab, and what is missing."),
    },
    "Prove it": {
        "verify": ("verify", "Prove that the mTLS server serves authorised clients only."),
        "audit": ("audit", "Tell whether a server, whosever it is, enforces mutual TLS."),
    },
    "Understand it": {
        "explain": ("explain", "Explain a check: what happens, why, and how to see it fail."),
        "clients": ("clients", "Show how other clients reach the lab: curl, Java, browsers."),
        "serve": ("serve", "Run a small TLS server with a good or a broken certificate."),
    },
}
COMMANDS: Mapping[str, tuple[str, str]] = {name: row for group in GROUPS.values() for name, row in group.items()}


# What people type who know other programs -> what does that here.
HABITS: Mapping[str, str] = {
    **dict.fromkeys(("start", "run", "create", "init"), "up"),
    **dict.fromkeys(("stop", "rm", "remove", "delete", "destroy", "clean"), "down"),
    **dict.fromkeys(("ps", "info", "show"), "status"),
    **dict.fromkeys(("test", "check", "prove"), "verify"),
    **dict.fromkeys(("scan", "probe"), "audit"),
    **dict.fromkeys(("restart", "apply"), "reload"),
    **dict.fromkeys(("cert", "issue", "revoke", "export"), "certs"),
    "log": "logs",
    "ls": "list",
    "labs": "list",
    "help": "--help",
    "version": "--version",
}


def summary_item(name: str, summary: str) -> Any:
    """What a shell is offered for a command: its name and its whole summary."""
    from typer.core import CompletionItem  # type: ignore[attr-defined]

    return CompletionItem(name, help=summary)


class WholeGroup(TyperGroup):
    """A group of commands that offers the shell their whole summaries; Typer cuts them after 45 characters."""

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """What the shell offers: commands and options."""
        known = {name: command.help or "" for name, command in self.commands.items() if name.startswith(incomplete)}
        commands = [summary_item(name, " ".join(text.split("\n\n")[0].split())) for name, text in known.items()]
        return [*commands, *TyperCommand.shell_complete(self, ctx, incomplete)]


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
        width = max(map(len, COMMANDS))
        for title, group in GROUPS.items():
            stubs = {name: TyperCommand(name, help=summary) for name, (_, summary) in group.items()}
            with formatter.section(title):
                room = formatter.width - width - 6
                # Padded, so that the summaries of all groups begin in one column.
                formatter.write_dl(
                    [(f"{name:<{width}}", stub.get_short_help_str(room)) for name, stub in stubs.items()]
                )

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """What the shell offers: commands with their whole summary, without loading them; and options."""
        commands = [summary_item(name, row[1]) for name, row in COMMANDS.items() if name.startswith(incomplete)]
        return [*commands, *TyperCommand.shell_complete(self, ctx, incomplete)]


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
