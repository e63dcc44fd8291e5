"""The authorised client is not served: `verify` and `audit` say the same of it, and where to look by what was said."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.cli import Run
from tests.support.in_process import invoke

UP = ("up", "--runtime", "embedded", "--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256")
CONTROL = "mtls-serves-client-certificate"
CONF = "nginx-mtls/nginx.conf"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, nginx_binary: Path) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("turned-away")
    assert invoke(*UP, "--dir", place / "lab", "--name", f"t-{uuid.uuid4().hex[:10]}").code == 0
    yield place / "lab"
    invoke("down", "--dir", place / "lab")


def edited(old: str, new: str) -> Callable[[Path], None]:
    """An edit of the mTLS service's configuration."""

    def edit(lab: Path) -> None:
        text = (lab / CONF).read_text()
        assert old in text
        (lab / CONF).write_text(text.replace(old, new))
        assert invoke("reload", "--dir", lab).code == 0

    return edit


def page_gone(lab: Path) -> None:
    (lab / "nginx-mtls/hello-world.txt").unlink()


@pytest.fixture
def whole(lab: Path) -> Iterator[Path]:
    """The lab, which is mended after the test."""
    kept = {path: (lab / path).read_bytes() for path in (CONF, "nginx-mtls/hello-world.txt")}
    yield lab
    for path, content in kept.items():
        (lab / path).write_bytes(content)
    assert invoke("reload", "--dir", lab).code == 0


def both(lab: Path) -> tuple[Run, Run]:
    """What the two say about the same server with the same client."""
    port = json.loads((lab / "lab.json").read_text())["spec"]["mtls_port"]
    files = ("--cacert", "server-ca.crt"), ("--cert", "client.crt"), ("--key", "client.key")
    client = [word for option, name in files for word in (option, lab / "certs" / name)]
    only = ("--only", CONTROL, "--only", "mtls-refuses-no-certificate")
    verify = invoke("verify", "--dir", lab, *only)
    return verify, invoke("audit", f"https://localhost:{port}", "--path", "/hello-world.txt", *client)


def told(run: Run) -> str:
    return " ".join(run.out.split())


NOT_TRUSTED = "ssl_client_certificate must name it"
KEPT = "refuses unauthorised clients"
# What is done, the hint, the cause that verify knows, and what both say in the end: verify, audit.
CASES = {
    "no page": (page_gone, "there is no such page", "$", ("has no page for the authorised one (HTTP 404)",) * 2, 0),
    "a rule": (
        edited("root nginx-mtls;", "return 403;"),
        "return 403, deny or a rule",
        "return 403",
        ("does not serve the authorised one (HTTP 403, although its certificate is good)",) * 2,
        1,
    ),
    "hung up": (
        edited("root nginx-mtls;", "return 444;"),
        "Only the handshake could be compared",
        "return 444",
        ("does not serve its own client", "could not tell whether"),
        6,  # of somebody else's server nobody knows why it hangs up
    ),
    "a page of its own for refusals": (
        edited(
            "ssl_client_certificate ../certs/client-ca.crt;",
            "ssl_client_certificate ../certs/server-ca.crt; error_page 495 =403 @no; location @no { return 403; }",
        ),
        NOT_TRUSTED,
        "ssl_client_certificate [^;]+",
        ("does not serve its own client", "refuses the authorised client"),
        1,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_verify_and_audit_agree_on_an_authorised_client_that_is_not_served(case: str, whole: Path) -> None:
    break_it, hint, cause, words, code = CASES[case]
    break_it(whole)
    runs = both(whole)
    assert [run.code for run in runs] == [1, code]  # somebody else's server may have its page elsewhere
    verify, audit = runs
    assert hint in told(audit)
    # Where the edit is known that did it, that is said in place of what usually does.
    assert hint in told(verify) or re.search(rf"Cause: {cause}; nginx-mtls/nginx\.conf:\d+", verify.out)
    for run, said in zip(runs, words, strict=True):
        assert said in run.out
        assert ("refuses unauthorised clients" in run.out) is ("authorised one" in said)
        last = run.out.splitlines()[-1]
        assert "enforce" not in last or last.startswith("could not tell whether ")


def test_a_revoked_client_is_told_so_by_both_and_the_hint_helps(lab: Path) -> None:
    """Last of the file: the list stays."""
    assert invoke("certs", "revoke", "client", "--dir", lab).code == 0
    assert invoke("up", "--dir", lab).code == 5, "it runs, and does not serve its client"
    verify, audit = both(lab)
    assert (verify.code, audit.code) == (1, 1)
    for run in (verify, audit):
        assert "certificate was revoked: it stands in the list that ssl_crl names" in told(run)
        assert "FAILED:certificate revoked" in told(run)
    assert "A new one: rm certs/client.crt, then mtlslab up" in told(verify)
    (lab / "certs/client.crt").unlink()
    assert invoke("up", "--dir", lab).code == 0
    assert [run.code for run in both(lab)] == [0, 0]
