"""The workspace: one directory per lab. The program writes the files of a lab here and nowhere else.

Every write is atomic (a new file, then a rename). Private keys are created with mode 0600. Symbolic links in it
are not followed. Files that another user owns or may write are refused (:mod:`.ownership`). A lock admits one writer at
a time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
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
RECIPES_DIRECTORY = "clients"  # here the recipes of `mtlslab clients` put what they write
CERTIFICATES = "certs"
# All that a lab, or a recipe, writes into its directory; `down --purge` removes these entries and no others.
ENTRIES = (
    CERTIFICATES,
    CRL_DIRECTORY,
    RUN_DIRECTORY,
    LOG_DIRECTORY,
    TWINS_DIRECTORY,
    RECIPES_DIRECTORY,
    *SERVICES,
    COMPOSE_FILE,
    ".gitignore",
    LAB_FILE,
    LOCK_FILE,
)


class Workspace:
    """The directory of one lab.

    Args:
        directory: its path; it need not exist yet.

    Raises:
        SpecError: the path is a loop of symbolic links.
    """

    def __init__(self, directory: Path) -> None:
        try:
            self.directory = directory.resolve()
        except RuntimeError as error:  # Python before 3.13, at a loop of symbolic links
            raise SpecError(f"{directory} leads nowhere.", why=str(error), hint="Choose another --dir.") from error

    def __repr__(self) -> str:
        return f"Workspace({str(self.directory)!r})"

    # --- reading

    def exists(self) -> bool:
        """Whether there is a lab in this directory, whoever owns it."""
        with contextlib.suppress(OSError):
            return stat.S_ISREG(os.lstat(self.directory / LAB_FILE).st_mode)
        return False

    def check(self) -> None:
        """Check that no other user owns or may write a part of the lab.

        Raises:
            NotOursError: another user does; the error names the file and its owner.
        """
        check_lab(self.directory)

    def read(self, path: str) -> bytes | None:
        """Content of a regular file of the workspace; None if the file does not exist.

        Raises:
            NotOursError: another user owns the file or may write it.
            MachineError: it is no regular file (a link, a FIFO), or is larger than 4 MiB.
            LabError: it cannot be read.
        """
        return read_file(self.directory, path)

    def read_key(self, path: str) -> bytes | None:
        """Like :meth:`read`, for a private key.

        Raises:
            SpecError: users other than its owner may read or write it.
        """
        return read_file(self.directory, path, key=True)

    def record(self) -> LabRecord | None:
        """Content of lab.json; None if there is no lab here.

        Raises:
            SpecError: lab.json is damaged.
            NotOursError: another user owns lab.json or may write it.
        """
        try:
            os.lstat(self.directory / LAB_FILE)
        except FileNotFoundError:  # no lab: the owner of the directory does not matter
            return None
        except OSError as error:
            raise refused("read", self.directory / LAB_FILE, error) from error
        content = self.read(LAB_FILE)
        return None if content is None else parse_record(content, self.directory / LAB_FILE)

    def require(self) -> LabRecord:
        """Content of lab.json.

        Raises:
            LabNotFoundError: there is no lab in this directory.
            SpecError: as :meth:`record`.
        """
        record = self.record()
        if record is None:
            raise LabNotFoundError(
                f"There is no lab in {self.directory}.", hint="Make one with: mtlslab up. All labs: mtlslab list"
            )
        return record

    def certificates(self) -> tuple[str, ...]:
        """Paths of the certificates in ``certs/``, CAs first; empty if there are none."""
        names = [name for name in self.names("certs") if name.endswith(".crt") and not is_litter(name)]
        return tuple(f"certs/{name}" for name in sorted(names, key=lambda name: ("-ca." not in name, name)))

    def names(self, path: str) -> tuple[str, ...]:
        """Sorted names of the entries of a directory of the workspace; empty if the directory does not exist."""
        try:
            with open_inside(self.directory, parts_of(path)) as folder:
                return folder.names()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise refused("read", self.directory / path, error) from error

    def key_owner(self) -> int:
        """The uid that owns the private keys which nginx must read.

        It is the effective uid. For root it is the user who typed ``sudo``, else :data:`UNPRIVILEGED_ID`.
        """
        user = sudo_user()
        return os.geteuid() or (user[0] if user else UNPRIVILEGED_ID)

    # --- writing

    def create(self) -> None:
        """Create the directory if it does not exist.

        Raises:
            SpecError: the directory is not empty and holds no lab, belongs to another user, or lies on a file system
                without file modes.
            MachineError: it cannot be created.
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
        others = [name for name in folder.names() if name not in (LOCK_FILE, ".gitignore") and not is_litter(name)]
        # exists() again: another program may have created its lab here in the meantime.
        if others and not self.exists() and not all(name.startswith(TEMPORARY) for name in others):
            from mtlslab.workspace.found import import_command

            offered = import_command(self.directory)
            raise SpecError(
                f"{self.directory} is not empty and holds no lab.",
                why=f"it holds {', '.join(others[:3])}{' and more' if len(others) > 3 else ''}",
                hint=f"Its certificates make a lab: {offered}"
                if offered
                else "Choose another directory: mtlslab up --dir DIRECTORY",
            )

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the exclusive lock of the workspace; does not wait for it.

        Raises:
            MachineError: another program holds it, or the file system supports no locks.
            NotOursError: another user owns the lock file or may write it.
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
            except FileNotFoundError:  # the directory was removed in the meantime
                self.create()
                continue
            except OSError as error:
                raise refused("lock", path, error) from error
            if take_lock(descriptor, path):
                return descriptor
            self.create()

    def moments_of_lock(self) -> tuple[int, tuple[int, ...]]:
        """Inode of the directory, and timestamps of its lock file in ns since 1970. The caller holds the lock.

        The timestamps are the birth time, where the file system reports one, and then the ctime. No user can set them,
        so a copy of the directory has other ones. The birth time identifies better: a chmod changes the ctime.
        """
        with open_inside(self.directory) as folder:
            born, changed = folder.moment_of_birth(LOCK_FILE), folder.info_of(LOCK_FILE).st_ctime_ns
            return folder.info().st_ino, (changed,) if born is None else (born, changed)

    def write(self, path: str, content: bytes) -> None:
        """Write a file with mode 0644."""
        self._write(path, content, PUBLIC, None)

    def write_key(self, path: str, pem: bytes, *, owner: int | None = None) -> None:
        """Write a private key, created with mode 0600; if we are root, ``owner`` (a uid) and its group get it."""
        self._write(path, pem, PRIVATE, owner)

    @contextlib.contextmanager
    def folder(self, path: str) -> Iterator[Folder]:
        """Open a directory of the workspace to write many files; it is created if it is missing."""
        try:
            with open_inside(self.directory, parts_of(path), make=True) as folder:
                yield folder
        except OSError as error:
            raise refused("write into", self.directory / path, error) from error

    def save(self, record: LabRecord) -> None:
        """Write lab.json."""
        self.write(LAB_FILE, record.to_json())

    def edited(self, path: str, record: LabRecord) -> bool:
        """Whether a user edited a rendered file: its hash is that of neither of the last two renderings."""
        content = self.read(path)
        return content is not None and _sha256(content) not in record.files.get(path, ())

    def write_rendered(self, files: Mapping[str, str], *, overwrite: bool = False) -> tuple[str, ...]:
        """Write rendered files (path -> text), but keep files that a user edited. lab.json must exist.

        Returns the paths of the edited files that were kept (empty with ``overwrite``).

        Raises:
            LabNotFoundError: there is no lab.json.
        """
        record = self.require()
        kept = [path for path in files if not overwrite and self._edited_otherwise(path, files[path], record)]
        hashes = dict(record.files)
        for path, text in files.items():
            new = _sha256(text.encode())
            old = [item for item in hashes.get(path, ()) if item != new]
            hashes[path] = (new, *old[:1]) if path not in kept else hashes.get(path, ())
        # Record first, files second: if the program is killed in between, no file looks edited.
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
        """Remove files or directories of the workspace. Missing ones are ignored; links are removed, not followed."""
        for path in paths:
            *above, name = parts_of(path)
            try:
                with contextlib.suppress(FileNotFoundError), open_inside(self.directory, above) as folder:
                    folder.remove(name)
            except OSError as error:
                raise refused("remove", self.directory / path, error) from error

    def rename(self, path: str, name: str) -> None:
        """Give a file another name in its directory; nothing happens if it is missing."""
        *above, old = parts_of(path)
        try:
            with contextlib.suppress(FileNotFoundError), open_inside(self.directory, above) as folder:
                folder.rename(old, name)
        except OSError as error:
            raise refused("rename", self.directory / path, error) from error

    def purge(self, keep: Collection[str] = ()) -> tuple[str, ...]:
        """Remove everything that the lab wrote, and then the directory if it is empty; returns the names that stay.

        Args:
            keep: files of ``certs/`` that stay.
        """
        # The lock file last: until then it keeps other programs out.
        self.remove(entry for entry in ENTRIES if entry != LOCK_FILE and not (keep and entry == CERTIFICATES))
        self.remove(
            f"{CERTIFICATES}/{name}" for name in self.names(CERTIFICATES) if f"{CERTIFICATES}/{name}" not in keep
        )
        self.remove(name for name in os.listdir(self.directory) if name.startswith(TEMPORARY))
        self.remove([LOCK_FILE])
        others = tuple(sorted(os.listdir(self.directory)))
        if not others:
            self.directory.rmdir()
        return others

    def _write(self, path: str, content: bytes, mode: int, owner: int | None) -> None:
        *above, name = parts_of(path)
        try:
            with open_inside(self.directory, above, make=True) as folder:
                folder.write(name, content, mode=mode, owner=owner)
        except OSError as error:
            raise refused("write", self.directory / path, error) from error


def is_litter(name: str) -> bool:
    """Whether it is a file that a desktop leaves in every directory: .DS_Store, ._NAME, Thumbs.db, desktop.ini."""
    return name in (".DS_Store", ".localized", "Thumbs.db", "desktop.ini") or name.startswith("._")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
