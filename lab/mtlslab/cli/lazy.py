"""Loads the module of a command when the command is used, so that the program starts fast."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Collection, Iterator, Mapping, MutableMapping
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
        "logs": ("logs", "Print what the services wrote; one short line per request."),
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
        "explain": ("explain", "Explain a word, a status, an error message or a check."),
        "diff": ("diff", "Show which lines make TLS mutual, and the checks about each."),
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
    **dict.fromkeys(("ls", "labs"), "list"),
    **dict.fromkeys(("compare", "difference"), "diff"),
    **dict.fromkeys(("what", "why", "man"), "explain"),
    "help": "--help",
    "version": "--version",
}


CERTS_HABITS: Mapping[str, str] = {
    "ls": "list",
    **dict.fromkeys(("create", "new", "make", "add", "generate", "sign"), "issue"),
    **dict.fromkeys(("rm", "remove", "delete"), "revoke"),
    **dict.fromkeys(("cat", "view", "info", "inspect", "print"), "show"),
    **dict.fromkeys(("p12", "pkcs12", "pfx"), "export"),
    "fault": "faults",
}


def meant(word: str, commands: Collection[str], habits: Mapping[str, str]) -> str:
    """The command that a word of another program, or a typo of one, means; empty if a command itself is as near."""
    import difflib

    near = difflib.get_close_matches(word, [*commands, *habits], n=1, cutoff=0.7)
    return habits.get(near[0], "") if near else ""


def summary_item(name: str, summary: str) -> Any:
    """What a shell is offered for a command: its name and its whole summary."""
    from typer.core import CompletionItem  # type: ignore[attr-defined]

    return CompletionItem(name, help=summary)


def _offer_meant(ctx: Any, args: list[str], commands: Collection[str], habits: Mapping[str, str]) -> None:
    """End with the command that is meant, if the word that was typed is none of this program's."""
    command = meant(args[0], commands, habits) if args and args[0] not in commands else ""
    if command:
        ctx.fail(f"No such command {args[0]!r}. Did you mean '{ctx.command_path} {command}'?")


class WholeGroup(TyperGroup):
    """The group of the commands of `certs`. It offers the shell their whole summaries; Typer cuts them."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; for a word of another program, name the one that is meant."""
        _offer_meant(ctx, args, self.commands, CERTS_HABITS)
        return super().resolve_command(ctx, args)

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
        _offer_meant(ctx, args, self.commands, HABITS)
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
    _give_help(holder)
    return dict(typer.main.get_group(holder).commands)


def _give_help(holder: Any) -> None:
    """Give commands their help where Python has dropped the docstrings from which Typer takes it (``python -OO``)."""
    if sys.flags.optimize < 2:
        return
    from mtlslab.plan.docstrings import docstring_of

    for entry in holder.registered_commands:
        entry.help = entry.help or docstring_of(entry.callback)
    for group in holder.registered_groups:
        _give_help(group.typer_instance)
