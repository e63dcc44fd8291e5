"""Asks nginx whether it loads some certificates, before a lab has them: ``nginx -t`` on a small configuration."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

from mtlslab.errors import MachineError
from mtlslab.runtime.embedded.nginx import Nginx

_SECONDS = 30
_CONF = """\
daemon off; pid nginx.pid; error_log stderr emerg;
events { }
http {
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server {
        listen unix:nginx.sock ssl;
        ssl_certificate %s;
        ssl_certificate_key %s;
        ssl_client_certificate %s;
        ssl_verify_client on;
    }
}
"""
_DESCRIPTOR = re.compile(r"/proc/self/fd/(\d+)")
_PREFIX = re.compile(r"^nginx: \[\w+\] ")


def nginx_refuses(nginx: Nginx, certificate: Path, key: Path, client_ca: Path) -> str:
    """Why nginx does not load them, in its words; empty if it does.

    Args:
        nginx: the program.
        certificate: PEM file of the server's certificate and its chain.
        key: PEM file of its private key.
        client_ca: PEM file of the trust anchors for clients.

    Raises:
        MachineError: nginx cannot be run.
    """
    files = (certificate, key, client_ca)
    with tempfile.TemporaryDirectory(prefix="mtlslab-") as place:
        conf = Path(place) / "nginx.conf"
        conf.write_text(_CONF % files, encoding="utf-8")
        # Files in memory have no name: nginx gets them as open files under the same numbers.
        passed = [int(found[1]) for found in map(_DESCRIPTOR.fullmatch, map(str, files)) if found]
        command = [str(nginx.path), "-t", "-q", "-e", "stderr", "-p", f"{place}/", "-c", str(conf)]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False, pass_fds=passed
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MachineError(f"{nginx} cannot be asked.", why=str(error)) from error
    if done.returncode == 0:
        return ""
    said = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if "[emerg]" in line]
    text = _PREFIX.sub("", said[0]) if said else f"it ended with {done.returncode}"
    for file, what in zip(files, ("the server's certificate", "its key", "the client CA"), strict=True):
        text = text.replace(str(file), what)
    return text
