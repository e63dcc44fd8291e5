"""What came of a knock: whether somebody was given what is not for him. Pure, but for the one who knocks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator

from mtlslab.pki.faults import FAULTS
from mtlslab.plan.paths import HELLO
from mtlslab.plan.services import MTLS_SERVICE, TLS_SERVICE
from mtlslab.probe.model import Observation, Phase, Side
from mtlslab.verify.checks.model import Result
from mtlslab.verify.doors.model import NO_CERTIFICATE, SERVER_CERTIFICATE, Knock
from mtlslab.verify.doors.protected import Protected

_OWN_PAGE = f"{TLS_SERVICE}/{HELLO}"


@dataclasses.dataclass(frozen=True)
class Answer:
    """A knock, what was seen, and what is wrong with it.

    Attributes:
        knock: the knock.
        seen: what the server did.
        result: pass, fail or warn.
        what: what is wrong, as a clause; empty when nothing is.
    """

    knock: Knock
    seen: Observation
    result: Result = Result.PASS
    what: str = ""

    @property
    def alive(self) -> bool:
        """Whether a server that knows TLS or HTTP was there, whatever it said."""
        seen = self.seen
        return seen.status is not None or seen.agreed or seen.alert_from is Side.PEER

    @property
    def vain(self) -> bool:
        """Whether nobody answered in time: further knocks there would only wait as well."""
        return self.seen.phase is Phase.CONNECT or (not self.alive and self.seen.side is Side.NONE)

    def __str__(self) -> str:
        return f"{self.knock.door}: {client_in_words(self.knock.client)} {self.what}"


def client_in_words(client: str) -> str:
    """Who knocks."""
    if client == NO_CERTIFICATE:
        return "a client without a certificate"
    if client == SERVER_CERTIFICATE:
        return "a client with the server's own certificate"
    return f"a client with the fault {client}" if client in FAULTS else client


def knock_at(knocks: Iterable[Knock], probe: Callable[[Knock], Observation], protected: Protected) -> Iterator[Answer]:
    """Knock at one door after the other; a place where nobody answers is not asked twice."""
    silent: set[tuple[str, int]] = set()
    for knock in knocks:
        place = knock.door.address, knock.door.port
        if place in silent:
            continue
        answer = _judged(knock, probe(knock), protected)
        if answer.vain:
            silent.add(place)
        yield answer


def _judged(knock: Knock, seen: Observation, protected: Protected) -> Answer:
    judge = _of_mtls_service if knock.door.service == MTLS_SERVICE else _of_tls_service
    result, what = judge(knock, seen, protected)
    return Answer(knock, seen, result, what)


def _of_tls_service(_knock: Knock, seen: Observation, protected: Protected) -> tuple[Result, str]:
    """Everybody may have the page of the TLS service, and nothing else of the workspace."""
    if protected.holds_page(seen):
        return Result.FAIL, f"is given the mTLS service's page ({seen.status})"
    file = protected.file_in(seen) if seen.status is not None and 200 <= seen.status < 300 else ""
    if file and file != _OWN_PAGE:
        return Result.FAIL, f"is given {file} ({seen.status})"
    return Result.PASS, ""


def _of_mtls_service(knock: Knock, seen: Observation, protected: Protected) -> tuple[Result, str]:
    status = seen.status
    if status is None:
        return Result.PASS, ""
    if protected.holds_page(seen):
        return Result.FAIL, "is served" if 200 <= status < 300 else f"is refused ({status}), with the page as refusal"
    if file := protected.file_in(seen):
        return Result.FAIL, f"is given {file} ({status})"
    if 200 <= status < 300:
        return Result.FAIL, f"is let in: the answer is {_size(knock, seen, protected)}, and no refusal"
    return _of_other_status(knock, status, seen)


def _of_other_status(knock: Knock, status: int, seen: Observation) -> tuple[Result, str]:
    """A refusal is one by the client's fault (4xx); from HTTP to HTTPS is the usual way to refuse HTTP."""
    to = seen.headers.get("location", "")
    if 300 <= status < 400 and (knock.door.tls or not to.startswith("https://")):
        return Result.WARN, f"is neither served nor refused ({status} {to})".replace(" )", ")")
    if status in (502, 504):
        return Result.WARN, f"is passed on to another server, which does not answer ({status})"
    return Result.PASS, ""


def _size(knock: Knock, seen: Observation, protected: Protected) -> str:
    if knock.door.method == "HEAD":
        length = seen.headers.get("content-length", "")
        same = ", as long as the page" if length == str(len(protected.page)) else ""
        return f"{seen.status}{same}"
    return f"{seen.status} with {seen.body_size if seen.body_size is not None else 'some'} bytes"
