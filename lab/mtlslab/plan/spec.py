"""The spec: all settings of a lab, as one frozen and validated value.

Input comes from flags, environment variables, lab.json and the defaults, in that order of precedence. All problems are
reported at once, and unknown keys are refused.
"""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
import re
import secrets
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from mtlslab.errors import SpecError

# The stable release line of the official image: it gets fixes only. "latest" may change behaviour.
DEFAULT_IMAGE = "nginx:1.30"
DEFAULT_NAME = "mtls-lab"
KEY_TYPES = ("rsa-2048", "rsa-3072", "ec-p256", "ec-p384", "ed25519")
CLIENT_AUTH = ("none", "optional", "required")
MAX_DAYS = 36500
# TLS clients limit the size of a certificate chain (OpenSSL: 100 KiB), and so the number of names.
MAX_HOSTS = 100

# A lab's name is the Compose project name (lower case letters, digits, "-" and "_", first a letter or digit), a
# directory name, a label value and part of a command line: this pattern is safe in all four.
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
# RFC 1123 section 2.1 host names, with an optional leftmost "*" label (RFC 6125 section 6.4.3).
_DNS_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DNS_NAME = re.compile(rf"(?:\*\.)?{_DNS_LABEL}(?:\.{_DNS_LABEL})*")
# The characters of an image reference (github.com/distribution/reference); no white space, no leading dash.
_IMAGE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._/:@-]{0,254}")

_LOG_TOKEN = re.compile(r"(?:[0-9a-f]{32})?")


@dataclasses.dataclass(frozen=True)
class Setting:
    """A setting of a lab: an option of ``up`` and ``render``, a variable MTLSLAB_..., and a line of help.

    Attributes:
        field: name of the field of :class:`LabSpec`.
        type: of the field: int, str, bool, or ``tuple[str, ...]`` for a repeatable option.
        default: of the field.
        help: the effect of the option in one sentence, without choices and default.
        option: name of the option, without dashes.
        metavar: placeholder for the value in the help; empty for that of the type.
        choices: all valid values; empty if they cannot be listed.
    """

    field: str
    type: Any
    default: Any
    help: str
    option: str
    metavar: str = ""
    choices: tuple[str, ...] = ()


def setting(
    default: Any,
    text: str,
    *,
    option: str = "",
    metavar: str = "",
    choices: tuple[str, ...] = (),
) -> Any:
    """Declare a field of :class:`LabSpec` that users can set; ``text`` is its help. For the rest see :class:`Setting`.

    Without ``option``, the option has the name of the field.
    """
    words = {"help": text, "option": option, "metavar": metavar, "choices": choices}
    return dataclasses.field(default=default, metadata={Setting: words})


@dataclasses.dataclass(frozen=True)
class LabSpec:
    """All settings of a lab.

    Attributes:
        name: of the lab, and of its Compose project.
        tls_port: TCP port of the service with ordinary TLS; 0 picks a free one.
        mtls_port: TCP port of the service with mutual TLS; 0 picks a free one.
        listen: the address that the ports are bound to on this machine; IPv4 or IPv6.
        hosts: further names or addresses for the server certificate, beside localhost and the loopback addresses.
        key_type: algorithm and size of every key, one of ``KEY_TYPES``.
        days: validity of the leaves in days.
        ca_days: validity of the CAs in days.
        client_auth: whether the mTLS service asks for a client certificate: none, optional or required.
        crl: whether the mTLS service checks a certificate revocation list.
        image: the container image with nginx.
        log_token: 32 hexadecimal digits at the beginning of each line of the access log; empty until the lab has one.
            It is random and no option: a client that does not know it cannot forge a line of the access log.

    Raises:
        SpecError: a value is not valid; the error lists all problems.
    """

    name: str = DEFAULT_NAME
    tls_port: int = setting(8888, "Port with ordinary TLS; 0 = a free one.")
    mtls_port: int = setting(8889, "Port with mutual TLS; 0 = a free one.")
    listen: str = setting("127.0.0.1", "Address of this machine to listen on.")
    hosts: tuple[str, ...] = setting(
        (),
        "Further name or address for the server certificate; repeatable. localhost and loopback are always in.",
        option="host",
        metavar="NAME|IP",
    )
    key_type: str = setting("rsa-2048", "Type of all keys.", choices=KEY_TYPES)
    days: int = setting(397, "Validity of the leaves in days.")
    ca_days: int = setting(1000, "Validity of the CAs in days.")
    client_auth: str = setting("required", "What the mTLS service asks of its clients.", choices=CLIENT_AUTH)
    crl: bool = setting(False, "Have the mTLS service check a revocation list (ssl_crl).")
    image: str = setting(DEFAULT_IMAGE, "Container image with nginx.")
    log_token: str = ""

    def __post_init__(self) -> None:
        problems = (*_problems(self), *_declared_problems(self))
        if problems:
            raise SpecError("The lab cannot be made as asked.", problems=problems, hint="mtlslab up --help")

    def to_mapping(self) -> dict[str, Any]:
        """The spec as JSON-ready values, as in lab.json."""
        values = dataclasses.asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

    @property
    def server_names(self) -> tuple[str, ...]:
        """All names of the server certificate, in order and without repeats."""
        listen = () if ipaddress.ip_address(self.listen).is_unspecified else (self.listen,)
        return tuple(dict.fromkeys(("localhost", "127.0.0.1", "::1", *listen, *self.hosts)))


@functools.cache
def lab_settings() -> tuple[Setting, ...]:
    """All settings, in the order of the help."""
    types = typing.get_type_hints(LabSpec)
    return tuple(
        Setting(
            field=field.name,
            type=types[field.name],
            default=field.default,
            help=words["help"],
            option=words["option"] or field.name.replace("_", "-"),
            metavar=words["metavar"],
            choices=words["choices"],
        )
        for field in dataclasses.fields(LabSpec)
        if (words := field.metadata.get(Setting))
    )


def make_spec(*layers: Mapping[str, Any]) -> LabSpec:
    """Build a spec from layers of settings (field -> value), weakest first; ``None`` means "not set in this layer".

    Raises:
        SpecError: a value is out of range or of the wrong type, or a key is unknown.
    """
    known = {field.name: field for field in dataclasses.fields(LabSpec)}
    values: dict[str, Any] = {}
    for layer in layers:
        unknown = sorted(str(key) for key in layer if key not in known)
        if unknown:
            raise SpecError(
                "The lab cannot be made as asked.",
                problems=tuple(f"unknown setting {key!r}" for key in unknown),
                hint="known settings: " + ", ".join(sorted(known)),
            )
        values.update({key: value for key, value in layer.items() if value is not None})
    lists = {key for key, value in values.items() if isinstance(value, list) and isinstance(known[key].default, tuple)}
    return LabSpec(**{**values, **{key: tuple(values[key]) for key in lists}})  # JSON has no tuples


def new_log_token() -> str:
    """A new random ``log_token`` (128 bits)."""
    return secrets.token_hex(16)


def is_ip_address(host: str) -> bool:
    """Whether a host is an IP address, not a DNS name; decides the type of its SAN (RFC 5280 section 4.2.1.6)."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def check_name(name: object) -> str | None:
    """The problem with a lab's name, in words; None if the name is valid."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        return None
    return f"name {name!r}: use 1 to 40 lower case letters, digits, '-' or '_', the first a letter or digit"


def is_image_name(image: object) -> bool:
    """Whether a value can be the name of a container image; the engine decides whether the image exists."""
    return isinstance(image, str) and _IMAGE.fullmatch(image) is not None


def _problems(spec: Any) -> Iterator[str]:
    name_problem = check_name(spec.name)
    if name_problem:
        yield name_problem
    listen = spec.listen
    if not isinstance(listen, str) or not is_ip_address(listen) or "%" in listen:
        yield f"listen {spec.listen!r}: not an IP address (127.0.0.1 keeps the lab on this machine)"
    yield from _port_problems(spec)
    yield from _host_problems(spec)
    for label, days in (("days", spec.days), ("ca days", spec.ca_days)):
        if type(days) is not int or not 1 <= days <= MAX_DAYS:
            yield f"{label} {days!r}: use a whole number from 1 to {MAX_DAYS}"
    if not is_image_name(spec.image):
        yield f"image {spec.image!r}: not an image name"
    if not isinstance(spec.log_token, str) or not _LOG_TOKEN.fullmatch(spec.log_token):
        yield f"log token {spec.log_token!r}: use 32 hexadecimal digits, or leave it out"


def _declared_problems(spec: LabSpec) -> Iterator[str]:
    """Problems with values that are not among the declared choices, or no bool; ``_problems`` has all other rules."""
    for declared in lab_settings():
        label, value = declared.field.replace("_", " "), getattr(spec, declared.field)
        if declared.choices and value not in declared.choices:
            yield f"{label} {value!r}: use one of {', '.join(declared.choices)}"
        if declared.type is bool and type(value) is not bool:
            yield f"{label} {value!r}: use true or false"


def _port_problems(spec: Any) -> Iterator[str]:
    for label, port in (("TLS port", spec.tls_port), ("mTLS port", spec.mtls_port)):
        if type(port) is not int or not 0 <= port <= 65535:
            yield f"{label} {port!r}: use a whole number from 0 (a free port) to 65535"
    if spec.tls_port == spec.mtls_port != 0:
        yield f"the TLS port and the mTLS port are both {spec.tls_port}: use two"


def _host_problems(spec: Any) -> Iterator[str]:
    hosts = spec.hosts
    if not isinstance(hosts, tuple):
        yield f"hosts {hosts!r}: use a list of names or addresses"
        return
    if len(hosts) > MAX_HOSTS:
        yield f"{len(hosts)} hosts: use at most {MAX_HOSTS}, clients refuse larger certificates"
        return
    for host in hosts:
        if isinstance(host, str) and is_ip_address(host) and "%" not in host:
            continue
        if not isinstance(host, str) or len(host) > 253 or not _DNS_NAME.fullmatch(host):
            yield f"host {host!r}: neither a DNS name nor an IP address"


def reachable_address(listen: str) -> str:
    """The address to connect to for a service that listens on ``listen``: loopback for the unspecified address."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen, listen)  # noqa: S104  read, not bound
