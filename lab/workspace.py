"""The workspace: one directory per lab, and the only place that the program writes to.

Every write is atomic (a new file, then a rename), private keys are born with mode 0600, and nothing is ever written or
removed through a symbolic link. A lock keeps a second program away while one is at work.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lab.errors import LabError, LabNotFoundError, MachineError, SpecError
from lab.folder import PRIVATE, PUBLIC, TEMPORARY, Folder, open_folder, open_lock_file
from lab.plan import COMPOSE_FILE, CRL_DIRECTORY, RUN_DIRECTORY, SERVICES
from lab.shell import shell_line
from lab.spec import is_image_name

LAB_FILE = "lab.json"
LAB_SCHEMA = "mtlslab.lab/1"
LOCK_FILE = ".lock"
LOG_DIRECTORY = "logs"
TWINS_DIRECTORY = "twins"
# All that a lab puts into its directory; `down --purge` removes these and nothing else.
ENTRIES = (
    "certs",
    CRL_DIRECTORY,
    RUN_DIRECTORY,
    LOG_DIRECTORY,
    TWINS_DIRECTORY,
    *SERVICES,
    COMPOSE_FILE,
    ".gitignore",
    LAB_FILE,
    LOCK_FILE,
)
# "nonroot" of the widely used minimal images: a uid that no distribution hands out. Containers of a lab that root made
# run as this user, and the server's key belongs to it.
UNPRIVILEGED_ID = 65532
MAX_FILE_BYTES = 4 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class LabRecord:
    """What lab.json holds.

    Attributes:
        spec: the settings as JSON-ready values, not yet validated.
        runtime: name of the runtime that the lab was last started with; empty when it was only rendered.
        image: container image that was last used; empty when unknown.
        files: path of each rendered file -> SHA-256 (hex) of what was rendered last, and before that.
    """

    spec: Mapping[str, Any]
    runtime: str = ""
    image: str = ""
    files: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


class Workspace:
    """The directory of one lab.

    Args:
        directory: where it is; need not exist yet.
    """

    def __init__(self, directory: Path) -> None:
        try:
            self.directory = directory.resolve()
        except RuntimeError as error:  # Python before 3.13 says so that links lead round in a circle
            raise SpecError(f"{directory} leads nowhere.", why=str(error), hint="Choose another --dir.") from error

    def __repr__(self) -> str:
        return f"Workspace({str(self.directory)!r})"

    # --- what is there

    def exists(self) -> bool:
        """Whether there is a lab in this directory."""
        return self._is_regular(LAB_FILE)

    def read(self, path: str) -> bytes | None:
        """Content of a regular file of the workspace, None when there is none.

        Raises:
            MachineError: it is no regular file (a link, a FIFO), is larger than 4 MiB, or cannot be read.
        """
        target = self._inside(path)
        try:
            # Neither follows a link nor waits for the other end of a FIFO.
            descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _refused("read", target, error) from error
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode) or info.st_size > MAX_FILE_BYTES:
            os.close(descriptor)
            raise _not_a_file(target)
        with os.fdopen(descriptor, "rb") as file:
            return file.read()

    def read_key(self, path: str) -> bytes | None:
        """Like :meth:`read`, for a private key.

        Raises:
            SpecError: others than its owner may read or write it.
        """
        content = self.read(path)
        if content is not None and stat.S_IMODE(os.lstat(self._inside(path)).st_mode) & 0o077:
            raise SpecError(
                f"The private key {self.directory / path} is open to others.",
                why=f"its mode is {stat.S_IMODE(os.lstat(self._inside(path)).st_mode):04o}, it must be 0600",
                hint=f"Close it: {shell_line(['chmod', '600', self.directory / path])} "
                "(or issue new ones: mtlslab up --rotate-certs)",
            )
        return content

    def record(self) -> LabRecord | None:
        """What lab.json holds; None when there is no lab here.

        Raises:
            SpecError: lab.json is damaged or not ours.
        """
        content = self.read(LAB_FILE)
        if content is None:
            return None
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
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise SpecError(
                f"{self.directory / LAB_FILE} is damaged.",
                why=f"{type(error).__name__}: {error}",
                hint="Mend it, or take the lab away with: mtlslab down --purge",
            ) from error

    def require(self) -> LabRecord:
        """What lab.json holds.

        Raises:
            LabNotFoundError: there is no lab in this directory.
        """
        record = self.record()
        if record is None:
            raise LabNotFoundError(f"There is no lab in {self.directory}.", hint="Make one with: mtlslab up")
        return record

    def certificates(self) -> tuple[str, ...]:
        """Paths of the certificates in ``certs/``, CAs first; empty when there are none."""
        directory = self._inside("certs/x").parent
        names = sorted(path.name for path in directory.glob("*.crt")) if directory.is_dir() else []
        return tuple(f"certs/{name}" for name in sorted(names, key=lambda name: ("-ca." not in name, name)))

    def key_owner(self) -> int:
        """The uid that owns private keys which a service must read: ours, or an unprivileged one when we are root."""
        return os.geteuid() or UNPRIVILEGED_ID

    # --- writing

    def create(self) -> None:
        """Make the directory, or accept the one that is there.

        Raises:
            SpecError: the directory holds other things and no lab, so that writing into it would mix them.
            MachineError: it cannot be made.
        """
        if self.exists():
            return
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            others = sorted(set(os.listdir(self.directory)) - {LOCK_FILE, ".gitignore"})
        except OSError as error:
            raise _refused("make the directory", self.directory, error) from error
        # Asked once more: another program may have made its lab here meanwhile.
        if others and not self.exists() and not all(name.startswith(TEMPORARY) for name in others):
            raise SpecError(
                f"{self.directory} is not empty and holds no lab.",
                why=f"it holds {', '.join(others[:3])}{' and more' if len(others) > 3 else ''}",
                hint="Choose another directory: mtlslab up --dir DIRECTORY",
            )

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the workspace for one writer.

        Raises:
            MachineError: another mtlslab is at work here.
        """
        path = self.directory / LOCK_FILE
        descriptor = self._open_lock(path)
        try:
            yield
        finally:
            os.close(descriptor)

    def _open_lock(self, path: Path) -> int:
        while True:
            try:
                descriptor = open_lock_file(path)
            except FileNotFoundError:  # somebody removed the directory meanwhile
                self.create()
                continue
            except OSError as error:
                raise _refused("lock", path, error) from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(descriptor)
                raise at_work(f"{path} is locked") from error
            # The one before us may have removed the directory together with the file that we now hold.
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False)):
                    return descriptor
            os.close(descriptor)
            self.create()

    def write(self, path: str, content: bytes) -> None:
        """Write a file that everybody may read (mode 0644)."""
        self._write(path, content, PUBLIC, None)

    def write_key(self, path: str, pem: bytes, *, owner: int | None = None) -> None:
        """Write a private key: mode 0600 from birth, owned by ``owner`` (uid and gid) where we may give files away."""
        self._write(path, pem, PRIVATE, owner)

    @contextlib.contextmanager
    def folder(self, path: str) -> Iterator[Folder]:
        """A directory of the workspace, made if it is missing, to write many files into."""
        target = self._inside(f"{path}/x").parent
        try:
            self._make_directories(target)
            with open_folder(target) as folder:
                yield folder
        except OSError as error:
            raise _refused("write into", target, error) from error

    def save(self, record: LabRecord) -> None:
        """Write lab.json."""
        document = {"schema": LAB_SCHEMA, **dataclasses.asdict(record)}
        self.write(LAB_FILE, (json.dumps(document, indent=2, default=list) + "\n").encode())

    def edited(self, path: str, record: LabRecord) -> bool:
        """Whether a person changed a rendered file: it is neither what was rendered last nor what was before."""
        content = self.read(path)
        return content is not None and _sha256(content) not in record.files.get(path, ())

    def write_rendered(self, files: Mapping[str, str], *, overwrite: bool = False) -> tuple[str, ...]:
        """Write rendered files, but keep those that a person edited. lab.json must be there.

        Returns the paths of the edited files that were kept (empty with ``overwrite``).
        """
        record = self.require()
        kept = [path for path in files if not overwrite and self._edited_otherwise(path, files[path], record)]
        hashes = dict(record.files)
        for path, text in files.items():
            new = _sha256(text.encode())
            old = [item for item in hashes.get(path, ()) if item != new]
            hashes[path] = (new, *old[:1]) if path not in kept else hashes.get(path, ())
        # First the record, then the files: whoever is killed in between leaves no file that looks edited.
        if hashes != dict(record.files):
            self.save(dataclasses.replace(record, files=hashes))
        for path in files:
            if path not in kept and self.read(path) != files[path].encode():
                self.write(path, files[path].encode())
        return tuple(kept)

    def _edited_otherwise(self, path: str, text: str, record: LabRecord) -> bool:
        return self.edited(path, record) and self.read(path) != text.encode()

    # --- removing

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files or directories of the workspace; a missing one is no error; links are removed, not followed."""
        for path in paths:
            target = self._inside(path)
            try:
                if target.is_dir() and not target.is_symlink():
                    shutil.rmtree(target)
                else:
                    target.unlink(missing_ok=True)
            except OSError as error:
                raise _refused("remove", target, error) from error

    def purge(self) -> tuple[str, ...]:
        """Remove all that the lab put here, and the directory when that leaves it empty; returns what stayed."""
        # The lock goes last: as long as it lies there, another program waits its turn.
        self.remove(entry for entry in ENTRIES if entry != LOCK_FILE)
        self.remove(name for name in os.listdir(self.directory) if name.startswith(TEMPORARY))
        self.remove([LOCK_FILE])
        others = tuple(sorted(os.listdir(self.directory)))
        if not others:
            self.directory.rmdir()
        return others

    # --- paths

    def _inside(self, path: str) -> Path:
        """The absolute path of a file; refuses ``..`` and links on the way to it (the last part may be one)."""
        parts = Path(path).parts
        if Path(path).is_absolute() or ".." in parts:
            raise ValueError(f"not a path inside the workspace: {path!r}")
        current = self.directory
        for part in parts[:-1]:
            current = current / part
            if current.is_symlink() or (current.exists() and not current.is_dir()):
                raise MachineError(
                    f"{current} is not a directory of its own.",
                    why="a link or a file stands in its place, and nothing is written through it",
                    hint=_move_away(current),
                )
        return self.directory.joinpath(*parts)

    def _is_regular(self, path: str) -> bool:
        try:
            return stat.S_ISREG(os.lstat(self._inside(path)).st_mode)
        except OSError:
            return False

    def _write(self, path: str, content: bytes, mode: int, owner: int | None) -> None:
        target = self._inside(path)
        if target.is_dir() and not target.is_symlink():
            raise _not_a_file(target)
        try:
            self._make_directories(target.parent)
            with open_folder(target.parent) as folder:
                folder.write(target.name, content, mode=mode, owner=owner)
        except OSError as error:
            raise _refused("write", target, error) from error

    def _make_directories(self, directory: Path) -> None:
        if directory == self.directory or directory.is_dir():
            return
        self._make_directories(directory.parent)
        directory.mkdir(exist_ok=True)
        directory.chmod(0o755)


def at_work(why: str) -> MachineError:
    """The error for a lab that another program is changing at this moment."""
    return MachineError(
        "Another mtlslab is at work on this lab.",
        why=why,
        hint="Wait until it has ended, then type the command again.",
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _not_a_file(path: Path) -> LabError:
    return MachineError(
        f"{path} is not a file that mtlslab can use.",
        why="it is a link, a directory, a FIFO, or larger than 4 MiB",
        hint=_move_away(path),
    )


def _move_away(path: Path) -> str:
    return f"Move it away: {shell_line(['mv', path, path.with_name(f'{path.name}.old')])}"


def _refused(verb: str, path: Path, error: OSError) -> LabError:
    if error.errno == errno.ELOOP:
        return _not_a_file(path)
    who = f"See who owns it: {shell_line(['ls', '-ld', path.parent, path])}"
    hints = {
        errno.ENOSPC: "Make room on that disk, or choose another one with --dir.",
        errno.EDQUOT: "Make room in your quota, or choose another disk with --dir.",
        errno.EACCES: who,
        errno.EPERM: who,
        errno.EROFS: "That disk is read-only: choose another directory with --dir.",
    }
    # Exit status 2, not 3, where the path that the user named (or the rights on it) is what must change.
    kind: type[LabError] = SpecError if error.errno in _USER_ERRNOS else MachineError
    hint = hints.get(error.errno or 0, "Choose another directory with --dir.")
    return kind(f"Cannot {verb} {path}.", why=os.strerror(error.errno or 0), hint=hint)


_USER_ERRNOS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EEXIST)
