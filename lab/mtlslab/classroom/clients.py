"""Recipes for common clients: how curl, Java, a browser and others reach the lab, with and without a certificate.

A recipe is a Markdown document, rendered for a lab from ``templates/clients/NAME.md.j2``: a title, then sections of
prose and fenced code that can be pasted as it is. The tests run the code of every recipe that is marked as tested.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from mtlslab.errors import LabError, SpecError
from mtlslab.pki.bundle import read_bundle
from mtlslab.plan.addresses import page_url, proxy_in_the_way, typed_authority, typed_host
from mtlslab.plan.paths import CLIENT_CERT, SERVER_CA
from mtlslab.plan.render import template
from mtlslab.plan.shell import shell_line
from mtlslab.plan.spec import LabSpec, is_ip_address
from mtlslab.workspace.directory import Workspace

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Client:
    """A client that has a recipe; ``tested``: the tests run the code of the recipe."""

    name: str
    title: str
    tested: bool = True


CLIENTS = (
    Client("curl", "curl"),
    Client("openssl", "openssl s_client"),
    Client("wget", "wget"),
    Client("gnutls", "gnutls-cli"),
    Client("python", "Python, standard library (ssl, http.client)"),
    Client("requests", "Python requests"),
    Client("httpx", "Python httpx"),
    Client("node", "Node.js https"),
    Client("java", "Java (java.net.http)"),
    Client("go", "Go (net/http)"),
    Client("ruby", "Ruby (net/http)"),
    Client("php", "PHP streams"),
    Client("chromium", "Chromium and Chrome on Linux"),
    Client("firefox", "Firefox", tested=False),
    Client("macos", "Safari and Chrome on macOS", tested=False),
    Client("windows", "Edge and Chrome on Windows", tested=False),
)


@dataclasses.dataclass(frozen=True)
class Block:
    """A part of a section: code in a language (``sh``, ``powershell``), or prose if ``language`` is empty."""

    language: str
    text: str


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a recipe under a heading. The first has the recipe's title and names the directory for the code."""

    title: str
    blocks: tuple[Block, ...]

    @property
    def code(self) -> str:
        """All code of the section, in order; ends with a line feed unless there is none."""
        return "".join(block.text for block in self.blocks if block.language)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A recipe for one client and one lab; ``text`` is Markdown."""

    client: Client
    text: str

    @property
    def sections(self) -> tuple[Section, ...]:
        """The recipe, parsed into sections."""
        heads_and_bodies = re.split(r"^##? (.+)\n", self.text, flags=re.MULTILINE)[1:]
        pairs = zip(heads_and_bodies[::2], heads_and_bodies[1::2], strict=True)
        return tuple(Section(title, tuple(_blocks(body))) for title, body in pairs)

    def to_mapping(self) -> dict[str, Any]:
        """The recipe as JSON-ready values."""
        return {
            **dataclasses.asdict(self.client),
            "sections": [dataclasses.asdict(section) for section in self.sections],
        }


def find_client(name: str) -> Client:
    """The client of that name.

    Raises:
        SpecError: there is no recipe for it.
    """
    for client in CLIENTS:
        if client.name == name:
            return client
    known = ", ".join(client.name for client in CLIENTS)
    raise SpecError(f"There is no recipe for the client {name!r}.", hint=f"Use one of: {known}")


@dataclasses.dataclass(frozen=True)
class CertificateNeeds:
    """What of a lab's certificates a client must be told. The defaults hold for those that mtlslab issues.

    Attributes:
        chain: the client's file holds more than its own certificate, which must be sent along.
        partial: the server's CA is no root, and its issuer is not in the file of trusted certificates.
    """

    chain: bool = False
    partial: bool = False


def needs_of(workspace: Workspace) -> CertificateNeeds:
    """Read it off the files of a lab; where they are missing or damaged, the usual."""
    try:
        client, anchors = (read_bundle(workspace.read(path) or b"") for path in (CLIENT_CERT, SERVER_CA))
        roots = [one for one in anchors.certificates if one.issuer == one.subject]
    except (LabError, OSError, ValueError):
        return CertificateNeeds()
    return CertificateNeeds(chain=client.count > 1, partial=bool(anchors.certificates) and not roots)


def make_recipe(client: Client, spec: LabSpec, place: str, files: CertificateNeeds = CertificateNeeds()) -> Recipe:
    """Render the recipe of a client for a lab and for this environment, which may name a proxy.

    Args:
        client: one of ``CLIENTS``.
        spec: settings of the lab.
        place: path of the workspace, as the reader would type it.
        files: what the lab's certificates ask for.
    """
    host, authority = typed_host(spec.listen), typed_authority(spec.listen, spec.mtls_port)
    proxy = proxy_in_the_way(host)
    text = template(f"clients/{client.name}.md.j2").render(
        title=client.title,
        lab=spec.name,
        place=shell_line([place]),
        host=host,
        host_is_address=is_ip_address(host),
        port=spec.mtls_port,
        authority=authority,
        origin=f"https://{authority}",
        url=page_url(spec, spec.mtls_port),
        proxy=proxy,
        no_proxy=" --noproxy '*'" if proxy else "",
        **dataclasses.asdict(files),
    )
    return Recipe(client, text)


def _blocks(body: str) -> Iterator[Block]:
    end = 0
    for fence in _FENCE.finditer(body):
        yield from _prose(body[end : fence.start()])
        yield Block(fence[1], fence[2])
        end = fence.end()
    yield from _prose(body[end:])


def _prose(text: str) -> Iterator[Block]:
    if text.strip():
        yield Block("", text.strip())
