"""A request without a nonce, as a printed command sends it, is found in the server's log by its port and its time."""

import json
from collections.abc import Iterator
from typing import Any

from mtlslab.plan.services import MTLS_SERVICE, TLS_SERVICE
from mtlslab.verify.server_log import Unmarked, match_unmarked

TOKEN = "0123456789abcdef"  # noqa: S105  the lab's, made up
WHEN = 1_700_000_000.0


def line(**facts: Any) -> str:
    usual = {"service": MTLS_SERVICE, "msec": f"{WHEN:.3f}", "port": "40000", "probe": "", "status": "400"}
    return json.dumps({"token": TOKEN, **usual, "client_verify": "NONE", **facts}, separators=(",", ":"))


def asked(port: int = 40000, **other: Any) -> Unmarked:
    facts = {"service": MTLS_SERVICE, "port": port, "begin": WHEN - 0.1, "end": WHEN + 0.1, "status": "400", **other}
    return Unmarked(**facts)


def verify_of(lines: list[str], **unmarked: Unmarked) -> dict[str, str | None]:
    return {name: said.verify if said else None for name, said in match_unmarked(lines, TOKEN, unmarked).items()}


def test_the_port_decides_between_lines_of_one_moment() -> None:
    lines = [line(), line(port="40001", client_verify="FAILED:certificate has expired")]
    assert verify_of(lines, a=asked(), b=asked(40001)) == {"a": "NONE", "b": "FAILED:certificate has expired"}


def others() -> Iterator[dict[str, Any]]:
    yield {"service": TLS_SERVICE}
    yield {"probe": "0011223344556677"}
    yield {"status": "200"}
    yield {"msec": f"{WHEN + 60:.3f}"}
    yield {"msec": ""}
    yield {"token": "of another lab"}


def test_a_line_of_something_else_is_not_taken() -> None:
    for facts in others():
        assert verify_of([line(**facts)], a=asked()) == {}, facts


def test_behind_a_proxy_lines_of_that_time_decide_if_they_agree() -> None:
    """Docker's proxy asks from a port of its own."""
    behind = [line(port="50001"), line(port="50002")]
    assert verify_of(behind, a=asked()) == {"a": "NONE"}
    assert verify_of([*behind, line(port="50003", client_verify="SUCCESS")], a=asked()) == {"a": None}
    of_somebody = line(port="50003", client_verify="SUCCESS", client_fingerprint="AB12")
    assert verify_of([*behind, of_somebody], a=asked(), b=asked(fingerprint="ab12")) == {"a": "NONE", "b": "SUCCESS"}


def test_where_ports_are_seen_another_port_is_somebody_else() -> None:
    assert verify_of([line(), line(port="40009")], a=asked(), b=asked(40001)) == {"a": "NONE"}


def test_a_port_of_the_proxy_that_is_ours_by_chance_says_nothing() -> None:
    expired = "FAILED:certificate has expired"
    lines = [
        line(port="40001"),
        line(port="50001", client_verify="SUCCESS", client_fingerprint="AB12"),
        line(port="50002", client_verify=expired, client_fingerprint="CD34"),
    ]
    found = verify_of(lines, a=asked(), b=asked(40001, fingerprint="ab12"), c=asked(40002, fingerprint="cd34"))
    assert found == {"a": "NONE", "b": "SUCCESS", "c": expired}
