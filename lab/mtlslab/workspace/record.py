"""The content of ``lab.json``, read and written."""

from __future__ import annotations

import dataclasses
import json
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtlslab.errors import SpecError
from mtlslab.plan.spec import is_image_name

LAB_SCHEMA = "mtlslab.lab/1"
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True)
class LabRecord:
    """Content of lab.json.

    Attributes:
        spec: the settings as JSON-ready values, not yet validated.
        runtime: name of the runtime that the lab was last started with; empty when it was only rendered.
        image: container image that was last used; empty when unknown.
        files: path of each rendered file -> SHA-256 (hex) of its last rendering, and of the one before.
        unreached: names of runtimes in which the lab was started, and that could not be reached when it had to be
            stopped there: something of it may still be there.
        issued: SHA-256 (hex) of each certificate that the lab itself issued; None in labs of earlier versions, whose
            own certificates are known by their subjects.
        copied: path of each file that was imported -> the user's file that it was made from, and the SHA-256 of both:
            first the user's.
        id: random, from the creation of the lab; empty in labs of earlier versions; see :mod:`.own_labs`.
    """

    spec: Mapping[str, Any]
    runtime: str = ""
    image: str = ""
    files: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    unreached: tuple[str, ...] = ()
    issued: frozenset[str] | None = None
    copied: Mapping[str, tuple[str, str, str]] = dataclasses.field(default_factory=dict)
    id: str = ""

    def to_json(self) -> bytes:
        """The content of ``lab.json``."""
        document = {"schema": LAB_SCHEMA, **dataclasses.asdict(self)}
        document["issued"] = None if self.issued is None else sorted(self.issued)
        return (json.dumps(document, indent=2, default=list) + "\n").encode()


def new_lab_id() -> str:
    """A random id (128 bits, hexadecimal)."""
    return secrets.token_hex(16)


def parse_record(content: bytes, path: Path) -> LabRecord:
    """Parse the content of a ``lab.json``; ``path`` is its path, for messages.

    Raises:
        SpecError: the content is damaged, or has another schema.
    """
    try:
        document = json.loads(content)
        if document["schema"] != LAB_SCHEMA:
            raise ValueError(f"schema {document['schema']!r}, expected {LAB_SCHEMA!r}")  # noqa: TRY301  one answer for all damage
        if document["image"] and not is_image_name(document["image"]):
            raise ValueError(f"image {document['image']!r}: not an image name")  # noqa: TRY301  the same
        return LabRecord(
            spec=dict(document["spec"]),
            runtime=str(document["runtime"]),
            image=str(document["image"]),
            files={str(path): tuple(map(str, hashes)) for path, hashes in document["files"].items()},
            unreached=tuple(map(str, document.get("unreached", ()))),
            issued=_issued(document.get("issued")),
            copied={str(path): _three_texts(values) for path, values in document.get("copied", {}).items()},
            id=str(document.get("id", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SpecError(
            f"{path} is damaged.",
            why=f"{type(error).__name__}: {error}",
            hint="Mend it, or take the lab away with: mtlslab down --purge",
        ) from error


def _three_texts(values: Any) -> tuple[str, str, str]:
    first, second, third = values
    return str(first), str(second), str(third)


def _issued(value: Any) -> frozenset[str] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(one, str) and _FINGERPRINT.fullmatch(one) for one in value):
        raise ValueError("issued: not a list of fingerprints (SHA-256, hexadecimal)")
    return frozenset(value)
