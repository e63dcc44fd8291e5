"""Renders a plan: nginx.conf, listen.conf and hello-world.txt for each service, and docker-compose.yml.

Pure: returns text and writes no file.
"""

from __future__ import annotations

import functools
import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING

from mtlslab.plan.paths import COMPOSE_FILE, CRL, HELLO
from mtlslab.plan.services import CONTAINER_ROOT, CONTAINER_TMPFS, SERVICES, LabPlan, Service
from mtlslab.plan.spec import LabSpec

if TYPE_CHECKING:
    from jinja2 import Environment, Template

# The argument of ssl_verify_client for each kind of client authentication (ngx_http_ssl_module).
_VERIFY_CLIENT = {"none": "off", "optional": "optional", "required": "on"}
# TLS 1.2 suites of Mozilla's intermediate profile (https://wiki.mozilla.org/Security/Server_Side_TLS) without the
# DHE suites: they need DH parameters, and hardly any client still uses them.
_CIPHERS = tuple(
    f"ECDHE-{authentication}-{encryption}"
    for encryption in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    for authentication in ("ECDSA", "RSA")
)


def template_root() -> Path:
    """Directory of ``docker-compose.yml.j2`` and ``templates/``: in the installed package, else in the checkout."""
    packaged = Path(__file__).parents[1] / "_templates"
    return packaged if packaged.is_dir() else Path(__file__).parents[3]


def load_templates() -> None:
    """Load Jinja2 and the templates of a lab in advance, so that rendering is fast later."""
    for name in (
        *(f"{service}.conf.j2" for service in SERVICES),
        "listen.conf.j2",
        f"{HELLO}.j2",
        f"{COMPOSE_FILE}.j2",
    ):
        template(name)


def render(plan: LabPlan, spec: LabSpec) -> dict[str, str]:
    """Render all files of the services, without the Compose file: path in the workspace -> text."""
    files: dict[str, str] = {}
    for service in plan.services:
        files[service.conf] = _nginx_conf(service, spec)
        files[f"{service.name}/{HELLO}"] = template("hello-world.txt.j2").render(service=service)
        files[f"{service.name}/listen.conf"] = _listen(
            f"On this machine: {plan.listen} only.", f"{_bracketed(plan.listen)}:{service.port}"
        )
        files[f"{service.name}/listen.container.conf"] = _listen(
            "In a container: all of its addresses; the engine publishes the port.", str(service.port)
        )
    return files


def render_compose(plan: LabPlan) -> str:
    """Render the Compose file of a plan. The plan needs its fingerprints: they become labels."""
    return template(f"{COMPOSE_FILE}.j2").render(
        plan=plan, root=CONTAINER_ROOT, tmpfs=f"{CONTAINER_TMPFS}:{plan.tmpfs_options}"
    )


def _nginx_conf(service: Service, spec: LabSpec) -> str:
    return template(f"{service.name}.conf.j2").render(
        service=service,
        hello=HELLO,
        ciphers=_CIPHERS,
        spec=spec,
        verify_client=_VERIFY_CLIENT[spec.client_auth],
        crl=CRL if spec.crl else "",
    )


def _listen(place: str, address: str) -> str:
    return template("listen.conf.j2").render(place=place, address=address)


def _bracketed(address: str) -> str:
    return f"[{address}]" if ipaddress.ip_address(address).version == 6 else address


def template(name: str) -> Template:
    """Load a template by its name, such as ``nginx-tls.conf.j2``; undefined variables are errors."""
    return _environment().get_template(name)


@functools.cache
def _environment() -> Environment:
    # Imported here: `up` loads Jinja2 while keys are generated (see load_templates), and many commands do not need it.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    root = template_root()
    return Environment(  # noqa: S701  the output is nginx configuration and YAML, HTML escapes would break both
        loader=FileSystemLoader([root, root / "templates"]),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
