"""What is audited: an ``https`` URL, taken apart and checked before anything is sent."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from urllib.parse import SplitResult, quote, urlsplit

from mtlslab.errors import SpecError

DEFAULT_PORT = 443
EXAMPLE = "Example: mtlslab audit https://localhost:8889"

# Labels of letters, digits, hyphens; underscores, which the DNS has never forbidden (RFC 2181 section 11).
_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")
_MAX_NAME = 253
# What a path and a query may hold as it is (RFC 3986 sections 3.3 and 3.4); everything else is percent-encoded.
_PATH_CHARACTERS = "/%:@!$&'()*+,;=~-._?"


@dataclasses.dataclass(frozen=True)
class AuditTarget:
    """The server that is audited.

    Attributes:
        host: name (ASCII) or address, an IPv6 one without its brackets.
        port: TCP port.
        path: path and query of the page that is asked for.
    """

    host: str
    port: int = DEFAULT_PORT
    path: str = "/"

    @property
    def url(self) -> str:
        """The URL as a browser shows it: without the port if it is the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}{'' if self.port == DEFAULT_PORT else f':{self.port}'}{self.path}"


def parse_target(url: str, path: str | None = None) -> AuditTarget:
    """The server that ``url`` names.

    Args:
        url: ``https://HOST``, with a port and a path if need be; an IPv6 address stands in brackets.
        path: the page to ask for, unless the URL names it; ``/`` without either.

    Raises:
        SpecError: it is no such URL; all that is wrong is told.
    """
    if not url.isprintable() or " " in url:
        raise _refused(url, "it holds spaces or control characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:  # brackets that do not match, a port that is no number from 0 to 65535
        raise _refused(url, str(error)) from error
    problems = [*_problems(parts, port), *_path_problems(parts, path)]
    if "#" in url:
        problems.append("it must hold no fragment (#...): servers never see it")
    host = _ascii_name(parts.hostname or "", problems)
    if problems:
        raise _refused(url, *problems)
    return AuditTarget(host, DEFAULT_PORT if port is None else port, _page(parts, path))


def _refused(url: str, *problems: str) -> SpecError:
    return SpecError(f"{without_password(url)!r} is no URL that can be audited.", problems=problems, hint=EXAMPLE)


def without_password(url: str) -> str:
    """A URL to be repeated in an error: without what stands before an @, be it a URL or not."""
    return re.sub(r"(?s)^(.*?//)?.*@", r"\1...@", url)


def _problems(parts: SplitResult, port: int | None) -> list[str]:
    problems = []
    if parts.scheme != "https":
        problems.append("it must begin with https://")
    if parts.username is not None or parts.password is not None:
        problems.append("it must hold no user name or password: the client is known by its certificate")
    if port == 0:
        problems.append("nobody listens on port 0")
    return problems


def _path_problems(parts: SplitResult, path: str | None) -> list[str]:
    if path is None:
        return []
    if parts.path not in ("", "/") or parts.query:
        return ["the page is named twice: in the URL and by --path"]
    if not path.startswith("/"):
        return [f"--path {path!r} must begin with a slash"]
    return [] if path.isprintable() and not set(path) & {" ", "#"} else [f"--path {path!r} is no path of a URL"]


def _ascii_name(host: str, problems: list[str]) -> str:
    """The host as it goes over the wire (IDNA for names that are not ASCII); what is wrong is added to ``problems``."""
    if not host:
        problems.append("it names no host")
        return ""
    try:
        return _ipv6_address(host) if ":" in host else _name(host)
    except ValueError:
        problems.append(f"{host!r} is no host name or address")
        return ""


def _ipv6_address(host: str) -> str:
    if "%" in host:  # a zone (RFC 4007) means something on one machine only, and nothing in a certificate
        raise ValueError(host)
    return str(ipaddress.IPv6Address(host))


def _name(host: str) -> str:
    name = host if host.isascii() else host.encode("idna").decode()
    if len(name) > _MAX_NAME or not _NAME.fullmatch(name):
        raise ValueError(name)
    if re.fullmatch(r"[0-9.]+", name):
        return str(ipaddress.IPv4Address(name))  # 127.1 means one thing to inet_aton and nothing to a certificate
    return name


def _page(parts: SplitResult, path: str | None) -> str:
    page = path or (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return quote(page, safe=_PATH_CHARACTERS)
