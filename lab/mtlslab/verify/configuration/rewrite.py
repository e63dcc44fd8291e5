"""What the rewrite directives of nginx do to a request: followed step by step, with what is not known left open.

``set``, ``if``, ``return``, ``rewrite`` and ``break`` are run in order, as ngx_http_rewrite_module runs them. Of a
client only the verdict on its certificate is known; everything else that it can choose (method, protocol, path,
headers, address) may be anything, so that both ways are followed. What comes out are all the ways in which a request
may go.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

from mtlslab.verify.configuration.locations import regex_matches
from mtlslab.verify.configuration.model import Directive, Scope

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_SPECIAL = re.compile(r"[.^$*+?()\[\]{}|\\]")
_MOST_VALUES = 64
_MOST_ROUTES = 512
VERIFY = "ssl_client_verify"
_PATH = ("uri", "document_uri")
_ANY_PATH = ("", "^", "/", "^/", ".", ".*", "^.*", "^.*$", "^(.*)$", "^/(.*)$")
_EMPTY_WITHOUT_CERTIFICATE = (
    *("ssl_client_s_dn", "ssl_client_i_dn", "ssl_client_serial", "ssl_client_fingerprint", "ssl_client_cert"),
    *(
        "ssl_client_raw_cert",
        "ssl_client_escaped_cert",
        "ssl_client_v_start",
        "ssl_client_v_end",
        "ssl_client_v_remain",
    ),
    *("ssl_client_s_dn_legacy", "ssl_client_i_dn_legacy"),
)


@dataclasses.dataclass(frozen=True)
class Value:
    """A text of which all is known, or its beginning and its end only."""

    head: str = ""
    tail: str = ""
    known: bool = False

    def __add__(self, other: Value) -> Value:
        if self.known and other.known:
            return Value(self.head + other.head, known=True)
        head = self.head + other.head if self.known else self.head
        tail = (self.tail + other.head) if other.known else other.tail
        return Value(head, tail)


ANYTHING = Value()


def _text(text: str) -> Value:
    return Value(text, known=True)


class End(StrEnum):
    """How a request leaves the rewrite directives."""

    REFUSED = "refused"  # a status of 300 or more: no content
    ANSWERED = "answered"  # with a text of the configuration
    MOVED = "moved"  # to another location
    THROUGH = "through"


@dataclasses.dataclass(frozen=True)
class Route:
    """One way in which a request may go.

    Attributes:
        end: how.
        by: what ended it, if anything did.
        choices: conditions that could have been met or not, and on which this route depends.
        target: where it was moved to, when that is known.
    """

    end: End
    by: Directive | None = None
    choices: tuple[Directive, ...] = ()
    target: str = ""


@dataclasses.dataclass(frozen=True)
class World:
    """What is known of a request: the verdict on the certificate, the maps of the configuration, variables set so far.

    Attributes:
        verify: ``$ssl_client_verify``; None when it is not known either.
        http: the http block, with its maps.
        path: what is asked for; None for any path.
        variables: what ``set`` has set.
    """

    verify: str | None
    http: Scope | None = None
    path: str | None = None
    variables: Mapping[str, Value] = dataclasses.field(default_factory=dict)

    def text(self, text: str) -> tuple[Value, ...]:
        """Every value that a text with variables may have."""
        pieces: list[tuple[Value, ...]] = []
        end = 0
        for found in _VARIABLE.finditer(text):
            pieces += [(_text(text[end : found.start()]),), self.variable(found[1] or found[2])]
            end = found.end()
        pieces.append((_text(text[end:]),))
        values = [_text("")]
        for piece in pieces:
            values = list(dict.fromkeys(one + two for one, two in itertools.product(values, piece)))
            if len(values) > _MOST_VALUES:
                return (ANYTHING,)
        return tuple(values)

    def variable(self, name: str) -> tuple[Value, ...]:
        """Every value that a variable may have."""
        known = self._known(name)
        if known is not None:
            return (known,)
        source = find_source(self.http, name)
        if source is None:
            return (ANYTHING,)
        if source.name == "map":
            return self._mapped(source)
        outcomes = [one.args[-1] if one.args else one.name for one in source.block or ()]
        return tuple(dict.fromkeys(map(_text, outcomes))) or (ANYTHING,)

    def _known(self, name: str) -> Value | None:
        if name in self.variables:
            return self.variables[name]
        if name == VERIFY and self.verify is not None:
            return _text(self.verify)
        if name in _PATH and self.path is not None:
            return _text(self.path)
        return _text("") if name in _EMPTY_WITHOUT_CERTIFICATE and self.verify == "NONE" else None

    def _mapped(self, source: Directive) -> tuple[Value, ...]:
        found: list[Value] = []
        for value in self.text(source.first):
            found += self._looked_up(source, value)
        return tuple(dict.fromkeys(found))

    def _looked_up(self, source: Directive, value: Value) -> Iterator[Value]:
        """The values of all entries that a map may choose: texts, then expressions in order, then the default."""
        entries = [
            one for one in source.block or () if one.args and one.name not in ("hostnames", "volatile", "include")
        ]
        plain = [one for one in entries if not one.name.startswith("~") and one.name != "default"]
        open_end = True
        for entry in [*plain, *(one for one in entries if one.name.startswith("~"))]:
            fits = _entry_fits(entry.name, value)
            if fits is not False:
                yield from self.text(entry.first)
            if fits:
                open_end = False
                break
        if open_end:
            defaults = [one for one in entries if one.name == "default"]
            yield from self.text(defaults[-1].first) if defaults else (_text(""),)

    def setting(self, name: str, value: Value) -> World:
        """The same, after a ``set``."""
        return dataclasses.replace(self, variables={**self.variables, name: value})


def find_source(http: Scope | None, name: str) -> Directive | None:
    """The ``map``, ``geo`` or ``split_clients`` block that makes a variable."""
    for one in http.own("map", "geo", "split_clients") if http else ():
        if one.args and one.args[-1].lstrip("$") == name:
            return one
    return None


def variables_in(text: str) -> tuple[str, ...]:
    """The names of the variables in a text."""
    return tuple(found[1] or found[2] for found in _VARIABLE.finditer(text))


def _entry_fits(entry: str, value: Value) -> bool | None:
    if entry.startswith("~*"):
        return _matches(entry[2:], value, ignore_case=True)
    if entry.startswith("~"):
        return _matches(entry[1:], value)
    text = entry.removeprefix("\\")
    if value.known:
        return value.head.lower() == text.lower()
    return None if text.lower().startswith(value.head.lower()) and text.lower().endswith(value.tail.lower()) else False


def _matches(pattern: str, value: Value, *, ignore_case: bool = False) -> bool | None:
    if value.known:
        return regex_matches(pattern, value.head, ignore_case=ignore_case)
    if not pattern.startswith("^"):
        return None
    if value.head and "$" not in pattern and regex_matches(pattern, value.head, ignore_case=ignore_case):
        return True
    literal = _SPECIAL.split(pattern[1:], maxsplit=1)[0]
    shared = min(len(literal), len(value.head))
    left, right = literal[:shared], value.head[:shared]
    if ignore_case:
        left, right = left.lower(), right.lower()
    return None if left == right else False


# --- conditions


def condition(world: World, args: tuple[str, ...]) -> frozenset[bool]:
    """The truth values that the condition of an ``if`` may have."""
    if len(args) == 1:
        return frozenset(truth for value in world.text(args[0]) for truth in _truths(_is_true(value)))
    if len(args) < 3 or args[1] not in ("=", "!=", "~", "~*", "!~", "!~*"):
        return frozenset((True, False))  # whether a file exists
    operator, wanted = args[1], " ".join(args[2:])
    negated = operator.startswith("!")
    found: set[bool] = set()
    for value in world.text(args[0]):
        if operator in ("=", "!="):
            answers = {_equal(value, other) for other in world.text(wanted)}
        else:
            answers = {_matches(wanted, value, ignore_case=operator.endswith("*"))}
        for answer in answers:
            found |= {truth != negated for truth in _truths(answer)}
    return frozenset(found)


def _truths(answer: bool | None) -> tuple[bool, ...]:
    return (True, False) if answer is None else (answer,)


def _is_true(value: Value) -> bool | None:
    if value.known:
        return value.head not in ("", "0")
    return True if len(value.head + value.tail) > 1 else None


def _equal(value: Value, other: Value) -> bool | None:
    if value.known and other.known:
        return value.head == other.head
    if other.known:
        value, other = other, value
    if value.known and not (value.head.startswith(other.head) and value.head.endswith(other.tail)):
        return False
    return None


# --- the directives, one after the other


def routes(block: Scope, world: World) -> tuple[Route, ...]:
    """All ways in which a request may leave the rewrite directives of a block."""
    return tuple(itertools.islice((route for route, _ in _run(_steps(block.directive.block), world, ())), _MOST_ROUTES))


def routes_and_worlds(block: Scope, world: World) -> tuple[tuple[Route, World], ...]:
    """The same, each with what is known of the request at its end."""
    return tuple(itertools.islice(_run(_steps(block.directive.block), world, ()), _MOST_ROUTES))


def _steps(block: Iterable[Directive] | None) -> tuple[Directive, ...]:
    names = ("set", "if", "return", "rewrite", "break")
    return tuple(one for one in block or () if one.name in names)


def _run(
    steps: tuple[Directive, ...], world: World, choices: tuple[Directive, ...], moved: str = ""
) -> Iterator[tuple[Route, World]]:
    for number, step in enumerate(steps):
        rest = steps[number + 1 :]
        if step.name == "break":
            break
        if step.name == "return":
            yield Route(_end_of_return(step), step, choices), world
            return
        if step.name == "set":
            values = world.text(step.args[1]) if len(step.args) > 1 else (ANYTHING,)
            for value in values:
                more = (*choices, step) if len(values) > 1 else choices
                yield from _run(rest, world.setting(step.first.lstrip("$"), value), more, moved)
            return
        if step.name == "if":
            yield from _run_if(step, rest, world, choices, moved)
            return
        if step.name == "rewrite":
            yield from _run_rewrite(step, rest, world, choices, moved)
            return
    yield Route(End.MOVED if moved else End.THROUGH, None, choices, moved), world


def _run_if(
    step: Directive, rest: tuple[Directive, ...], world: World, choices: tuple[Directive, ...], moved: str
) -> Iterator[tuple[Route, World]]:
    truths = condition(world, step.args)
    more = (*choices, step) if len(truths) > 1 else choices
    if True in truths:
        inner = _steps(step.block)
        if any(one.name == "break" for one in inner):
            yield from _run(inner, world, more, moved)
        else:
            yield from _run((*inner, *rest), world, more, moved)
    if False in truths:
        yield from _run(rest, world, more, moved)


def _run_rewrite(
    step: Directive, rest: tuple[Directive, ...], world: World, choices: tuple[Directive, ...], moved: str
) -> Iterator[tuple[Route, World]]:
    target, flag = step.args[1] if len(step.args) > 1 else "", step.args[2] if len(step.args) > 2 else ""
    matches = _rewrites(step.first, world.path)
    more = (*choices, step) if matches is None else choices
    if not matches:
        yield from _run(rest, world, more, moved)
    if matches is False:
        return
    there = dataclasses.replace(world, path=None if "$" in target else target.partition("?")[0])
    if flag in ("redirect", "permanent") or re.match(r"https?://|\$scheme", target):
        yield Route(End.REFUSED, step, more), world
    elif flag == "last":
        yield Route(End.MOVED, step, more, target), there
    elif flag == "break":
        yield Route(End.THROUGH, step, more, target), there
    else:
        yield from _run(rest, there, more, target)


def _rewrites(pattern: str, path: str | None) -> bool | None:
    """Whether a ``rewrite`` changes a path; None where that depends on a path that is not known."""
    if path is not None:
        return regex_matches(pattern, path)
    return True if pattern in _ANY_PATH else None


def _end_of_return(step: Directive) -> End:
    code = step.first
    if not code.isdigit():  # the address of a redirect
        return End.REFUSED
    return End.REFUSED if int(code) >= 300 else End.ANSWERED
