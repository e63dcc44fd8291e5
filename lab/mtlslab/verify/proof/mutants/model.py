"""What a mutant is: one way to get mutual TLS wrong, as one change to a twin.

A mutant's name is its function's name, its docstring is what a person reads. A mutant that the checks do not catch is a
check that is missing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from mtlslab.plan.docstrings import docstring_of
from mtlslab.plan.services import MTLS_SERVICE
from mtlslab.runtime.base import Runtime
from mtlslab.verify.proof.twins import Twin

Sabotage = Callable[[Twin], None]


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One way to get mutual TLS wrong.

    Attributes:
        name: its id, in kebab case.
        title: what is wrong, as a phrase.
        crl: whether it is a twin that checks a revocation list. (With a list nginx refuses every chain with an
            intermediate, so what concerns chains needs a twin without.)
        sabotage: makes a twin wrong, before it is started.
        only: what is run on it, as ``--only`` takes it; empty for all checks.
        in_containers: whether a container can be made wrong like this.
        in_processes: whether plain processes can.
    """

    name: str
    title: str
    crl: bool
    sabotage: Sabotage = dataclasses.field(repr=False)
    only: tuple[str, ...] = ()
    in_containers: bool = True
    in_processes: bool = True

    def fits(self, runtime: Runtime) -> bool:
        """Whether it can be tried there: an engine that gets copies of the files mounts none."""
        if not runtime.uses_image():
            return self.in_processes
        return self.in_containers and (self.in_processes or not runtime.copies_files())

    @property
    def kind(self) -> str:
        """What it is about: the name of the module in which it stands."""
        return self.sabotage.__module__.rpartition(".")[2]


MUTANTS: dict[str, Mutant] = {}
"""All mutants by name, in the order in which they are told."""
CONTROLS: dict[str, Mutant] = {}
"""Twins in which nothing is wrong, by name: on them no check may fail."""
RULES = ("config-",)
"""For what only the rules over the configuration are to catch: knocking would not show it, or not to everybody."""

PROTOCOLS = r"ssl_protocols [^;]*;"
CIPHERS = r"ssl_ciphers [^;]*;"
VERIFY_CLIENT = r"ssl_verify_client on;"
CLIENT_CA_FILE = r"\.\./certs/client-ca\.crt"
FIRST_SERVER = r"\n    server \{"
# nginx takes the first server of an address for every name that no other server claims.
OPEN_SERVER = """
    server {
        include listen.conf;
        server_name nobody.test;
        ssl_certificate ../certs/server.crt;
        ssl_certificate_key ../certs/server.key;
        location / { root nginx-mtls; }
    }

    server {"""
LOCATION = r"location = /hello-world\.txt \{[^}]*\}"


def mutant(
    *, crl: bool = False, only: tuple[str, ...] = (), in_containers: bool = True, in_processes: bool = True
) -> Callable[[Sabotage], Sabotage]:
    """Enter a function into the list of mutants."""
    return _entering(MUTANTS, crl=crl, only=only, in_containers=in_containers, in_processes=in_processes)


def faithful(*, crl: bool = False, only: tuple[str, ...] = ()) -> Callable[[Sabotage], Sabotage]:
    """Enter a function into the list of controls: it changes a twin, and nothing becomes wrong."""
    return _entering(CONTROLS, crl=crl, only=only)


def _entering(
    entries: dict[str, Mutant],
    *,
    crl: bool,
    only: tuple[str, ...],
    in_containers: bool = True,
    in_processes: bool = True,
) -> Callable[[Sabotage], Sabotage]:
    def enter(sabotage: Sabotage) -> Sabotage:
        name = sabotage.__name__.replace("_", "-")
        entries[name] = Mutant(name, docstring_of(sabotage), crl, sabotage, only, in_containers, in_processes)
        return sabotage

    return enter


def add_server(twin: Twin, body: str, service: str = MTLS_SERVICE) -> None:
    """Add a server block behind the one that is there; ``body`` need not name a certificate."""
    certificate = "ssl_certificate ../certs/server.crt; ssl_certificate_key ../certs/server.key;"
    twin.edit(r"\n\}\s*\Z", f"\n    server {{ {certificate} {body} }}\n}}\n", service)


def add_to_server(twin: Twin, text: str, service: str = MTLS_SERVICE) -> None:
    """Add directives to the server."""
    twin.edit(r"include listen\.conf;", f"include listen.conf; {text}", service)


def offer_http2(twin: Twin) -> None:
    """Offer HTTP/2, in the words of old and new releases of nginx alike; new ones only warn of them."""
    for file in ("listen.conf", "listen.container.conf"):
        twin.edit_file(f"{MTLS_SERVICE}/{file}", r" ssl;", " ssl http2;")


def add_to_http(twin: Twin, text: str, service: str = MTLS_SERVICE) -> None:
    """Add directives to the http block."""
    twin.edit(r"http \{", f"http {{ {text}", service)


def add_file(twin: Twin, name: str, content: bytes) -> str:
    """A file beside nginx.conf of the mTLS service, which a container sees, too; returns its name."""
    twin.workspace.write(f"{MTLS_SERVICE}/{name}", content)
    return name
