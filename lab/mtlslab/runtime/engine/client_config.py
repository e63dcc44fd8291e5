"""Keeps the user's ``config.json`` of the Docker client away from all calls that do not need it.

The SDK reads the file whenever a client is made, and asks the credential helpers that it names whenever an image is
built. A file that another program has written, or a helper that is gone, would break calls which need neither. What is
read of it is the credentials of a registry, for a pull, and only as far as they can be had.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from docker import auth
from docker.api import APIClient
from docker.utils import config

_LOCK = threading.Lock()


class BareClient(APIClient):
    """A client of the SDK that knows nothing of ``config.json``: no credentials, no proxies."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        with _no_file():
            super().__init__(*arguments, **settings)

    def _set_auth_headers(self, headers: dict[str, str]) -> None:
        """Build without credentials: what is built here comes ``FROM scratch``."""


@contextlib.contextmanager
def _no_file() -> Iterator[None]:
    # The SDK has no option for this. What is not empty is not looked for elsewhere.
    with _LOCK:
        read = config.load_general_config
        config.load_general_config = lambda config_path=None: {"auths": {}}  # noqa: ARG005
        try:
            yield
        finally:
            config.load_general_config = read


def credentials_for(image: str, say: Callable[[str], None]) -> dict[str, Any]:
    """The user's credentials for the registry of an image; empty if there are none, or if they cannot be had.

    Args:
        image: reference of the image.
        say: told in a sentence that the pull goes without, and why.
    """
    registry, _ = auth.resolve_repository_name(image)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dict(auth.load_config().resolve_authconfig(registry) or {})
    except Exception as error:  # noqa: BLE001  damaged in whatever way: the SDK does not check the file
        say(f"Image: no credentials for {registry}, because those of Docker's config.json cannot be used ({error}).")
        return {}
