"""The workspace: one directory per lab, and the only place that the program writes to.

Every write is atomic (a new file, then a rename), private keys are born with mode 0600, and nothing is ever written or
removed through a symbolic link. Nothing is read that somebody else made or may change (:mod:`.ownership`). A
lock keeps a second program away while one is at work.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mtlslab.errors import LabNotFoundError, SpecError
from mtlslab.plan.paths import COMPOSE_FILE, CRL_DIRECTORY, RUN_DIRECTORY
from mtlslab.plan.services import SERVICES
from mtlslab.runtime.sudo import UNPRIVILEGED_ID, sudo_user
from mtlslab.workspace.folder import PRIVATE, PUBLIC, TEMPORARY, Folder, make_directories, open_folder, remove_empty
from mtlslab.workspace.inside import LOG_DIRECTORY, check_lab, check_root, open_inside, parts_of, read_file
from mtlslab.workspace.lock import take_lock
from mtlslab.workspace.record import LabRecord, parse_record
from mtlslab.workspace.refusals import refused

__all__ = ["LabRecord", "Workspace"]

LAB_FILE = "lab.json"
LOCK_FILE = ".lock"
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
        """Whether there is a lab in this directory, whoever made it."""
        with contextlib.suppress(OSError):
            return stat.S_ISREG(os.lstat(self.directory / LAB_FILE).st_mode)
        return False

    def check(self) -> None:
        """Refuse a lab of which somebody else made something, or may change it.

        Raises:
            NotOursError: says what it is, whose, and what to do.
        """
        check_lab(self.directory)

    def read(self, path: str) -> bytes | None:
        """Content of a regular file of the workspace, None when there is none.

        Raises:
            NotOursError: somebody else made it, or may change it.
            MachineError: it is no regular file (a link, a FIFO), is larger than 4 MiB, or cannot be read.
        """
        return read_file(self.directory, path)

    def read_key(self, path: str) -> bytes | None:
        """Like :meth:`read`, for a private key.

        Raises:
            SpecError: others than its owner may read or write it.
        """
        return read_file(self.directory, path, key=True)

    def record(self) -> LabRecord | None:
        """What lab.json holds; None when there is no lab here.

        Raises:
            SpecError: lab.json is damaged or not ours.
        """
        try:
            os.lstat(self.directory / LAB_FILE)
        except FileNotFoundError:  # whosever the directory is, there is nothing in it to be used
            return None
        except OSError as error:
            raise refused("read", self.directory / LAB_FILE, error) from error
        content = self.read(LAB_FILE)
        return None if content is None else parse_record(content, self.directory / LAB_FILE)

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
        names = [name for name in self.names("certs") if name.endswith(".crt")]
        return tuple(f"certs/{name}" for name in sorted(names, key=lambda name: ("-ca." not in name, name)))

    def names(self, path: str) -> tuple[str, ...]:
        """What lies in a directory of the workspace, sorted; empty when there is no such directory."""
        try:
            with open_inside(self.directory, parts_of(path)) as folder:
                return folder.names()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise refused("read", self.directory / path, error) from error

    def key_owner(self) -> int:
        """The uid that owns private keys which a service must read: ours, or an unprivileged one when we are root.

        That is the user who typed ``sudo``, else :data:`UNPRIVILEGED_ID`.
        """
        user = sudo_user()
        return os.geteuid() or (user[0] if user else UNPRIVILEGED_ID)

    # --- writing

    def create(self) -> None:
        """Make the directory, or accept the one that is there.

        Raises:
            SpecError: the directory holds other things and no lab, so that writing into it would mix them; it is
                somebody else's; or its disk keeps no modes.
            MachineError: it cannot be made.
        """
        if self.exists():
            return
        try:
            made = make_directories(self.directory)
            try:
                with open_folder(self.directory) as folder:
                    self._refuse_others(folder)
                    check_root(folder, made=bool(made))
                    folder.check_modes()
            except (OSError, SpecError):
                remove_empty(made)
                raise
        except OSError as error:
            raise refused("make the directory", self.directory, error) from error

    def _refuse_others(self, folder: Folder) -> None:
        others = [name for name in folder.names() if name not in (LOCK_FILE, ".gitignore")]
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
            MachineError: another mtlslab is at work here, or the disk knows no locks.
        """
        descriptor = self._open_lock()
        try:
            yield
        finally:
            os.close(descriptor)

    def _open_lock(self) -> int:
        path = self.directory / LOCK_FILE
        while True:
            try:
                with open_inside(self.directory) as folder:
                    descriptor = folder.open_lock(LOCK_FILE)
            except FileNotFoundError:  # somebody removed the directory meanwhile
                self.create()
                continue
            except OSError as error:
                raise refused("lock", path, error) from error
            if take_lock(descriptor, path):
                return descriptor
            self.create()

    def moments_of_lock(self) -> tuple[int, tuple[int, ...]]:
        """Inode of the directory, and when its lock file was made, in ns; to be asked by who holds the lock.

        Nobody can set these moments: a copy of the directory has others. The first that the disk tells is the best. The
        last is the ctime, which a chmod moves, too.
        """
        with open_inside(self.directory) as folder:
            born, changed = folder.moment_of_birth(LOCK_FILE), folder.info_of(LOCK_FILE).st_ctime_ns
            return folder.info().st_ino, (changed,) if born is None else (born, changed)

    def write(self, path: str, content: bytes) -> None:
        """Write a file that everybody may read (mode 0644)."""
        self._write(path, content, PUBLIC, None)

    def write_key(self, path: str, pem: bytes, *, owner: int | None = None) -> None:
        """Write a private key: mode 0600 from birth, owned by ``owner`` (uid and gid) where we may give files away."""
        self._write(path, pem, PRIVATE, owner)

    @contextlib.contextmanager
    def folder(self, path: str) -> Iterator[Folder]:
        """A directory of the workspace, made if it is missing, to write many files into."""
        try:
            with open_inside(self.directory, parts_of(path), make=True) as folder:
                yield folder
        except OSError as error:
            raise refused("write into", self.directory / path, error) from error

    def save(self, record: LabRecord) -> None:
        """Write lab.json."""
        self.write(LAB_FILE, record.to_json())

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
            *way, name = parts_of(path)
            try:
                with contextlib.suppress(FileNotFoundError), open_inside(self.directory, way) as folder:
                    folder.remove(name)
            except OSError as error:
                raise refused("remove", self.directory / path, error) from error

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

    def _write(self, path: str, content: bytes, mode: int, owner: int | None) -> None:
        *way, name = parts_of(path)
        try:
            with open_inside(self.directory, way, make=True) as folder:
                folder.write(name, content, mode=mode, owner=owner)
        except OSError as error:
            raise refused("write", self.directory / path, error) from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
