"""The register of the labs that this account created or trusted; it lies in the user's state directory.

A lab is a program: its nginx.conf can load code and write files. The register tells our own labs from labs that came
from elsewhere (cloned, unpacked, copied). A mark inside the lab could not, because it would be copied too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import pwd
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mtlslab.runtime.owners import OTHERS_MAY_WRITE
from mtlslab.workspace.folder import PRIVATE, TEMPORARY, Folder, make_directories, open_folder

REGISTER = "labs.json"
SCHEMA = "mtlslab.labs/1"
_LOCK_FILE = ".lock"
_DIRECTORY_MODE = 0o700
_MAX_BYTES = 4 * 1024 * 1024
# A lab that was moved is not at its registered path, but must stay known. So the newest entries whose path has no lab
# are kept.
_VANISHED_KEPT = 20
# Two seconds in all: the lock is only held while the register is written.
_LOCK_TRIES, _LOCK_PAUSE = 100, 0.02  # number, seconds


@dataclasses.dataclass(frozen=True)
class OwnLab:
    """The identity of a lab, which its copies do not share.

    Attributes:
        id: from its lab.json.
        inode: of its directory.
        born: birth time of its lock file, or its ctime (ns since 1970); no user can set them.
        directory: path when it was last seen; no part of the identity, because a lab may be moved.
    """

    id: str
    inode: int
    born: int
    directory: str

    def is_same(self, other: OwnLab) -> bool:
        """Whether the other is the same lab, whatever its path."""
        return (self.id, self.inode, self.born) == (other.id, other.inode, other.born)


def is_own(lab: OwnLab) -> bool:
    """Whether a lab is in the register; a damaged or missing register counts as empty."""
    return any(known.is_same(lab) for place in _places() for known in _read_in(place))


def places_of_labs() -> tuple[Path, ...]:
    """The directories in which the labs of the register were last seen and still are, in the order of their entry."""
    known = [lab for place in _places() for lab in _read_in(place)]
    return tuple(dict.fromkeys(Path(lab.directory) for lab in known if _is_where_it_was(lab)))


def enter(lab: OwnLab) -> None:
    """Enter a lab into the register.

    Raises:
        OSError: the register cannot be written in any place; the error is that of the last place.
    """
    _change(lambda known: [*(item for item in known if not item.is_same(lab)), lab])


def strike_out(lab: OwnLab) -> None:
    """Remove a lab from the register; a register that cannot be written stays as it is."""
    if is_own(lab):
        with contextlib.suppress(OSError):
            _change(lambda known: [item for item in known if not item.is_same(lab)])


def _places() -> tuple[Path, ...]:
    """Directories for the register, in order of preference (XDG Base Directory Specification, ``XDG_STATE_HOME``)."""
    state, runtime = os.environ.get("XDG_STATE_HOME", ""), os.environ.get("XDG_RUNTIME_DIR", "")
    places = [Path(state)] if os.path.isabs(state) else []
    places += [Path(home, ".local/state") for home in _homes()]
    places += [Path(runtime)] if os.path.isabs(runtime) else []
    # Without a home directory: a place that lasts until the next boot. It is never the current directory.
    temporary = (os.environ.get("TMPDIR", ""), "/tmp")  # noqa: S108  the directory in it is looked at before it is used
    there = [path for path in temporary if os.path.isabs(path) and os.path.isdir(path)][:1]
    return (*(place / "mtlslab" for place in places), *(Path(path, f"mtlslab-{os.geteuid()}") for path in there))


def _homes() -> Iterator[str]:
    homes = [os.environ.get("HOME", "")]
    with contextlib.suppress(KeyError):  # a user without an entry, as in many containers
        homes.append(pwd.getpwuid(os.geteuid()).pw_dir)
    return (home for home in dict.fromkeys(homes) if os.path.isabs(home) and os.path.isdir(home))


def _change(edit: Callable[[Sequence[OwnLab]], Sequence[OwnLab]]) -> None:
    """Change the register in the first place where it can be written.

    Raises:
        OSError: there is no such place; the error is that of the last place.
    """
    problem = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    for place in _places():
        try:
            with _open_place(place) as folder, _locked(folder):
                _remove_rests(folder)
                _write(folder, edit(_read(folder)))
        except OSError as error:
            problem = error
        else:
            return
    raise problem


@contextlib.contextmanager
def _open_place(place: Path) -> Iterator[Folder]:
    # With sudo, HOME may still be that of the other user: root must not leave files there.
    above = next(path for path in (place, *place.parents) if path.exists())
    if above.stat().st_uid not in (os.geteuid(), 0):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(above))
    make_directories(place, _DIRECTORY_MODE)
    with open_folder(place) as folder:
        if not _is_private(folder.info()):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(place))
        yield folder


@contextlib.contextmanager
def _locked(folder: Folder) -> Iterator[None]:
    descriptor = folder.open_lock(_LOCK_FILE)
    try:
        for _ in range(_LOCK_TRIES):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(_LOCK_PAUSE)
            except OSError:  # the file system supports no locks: an entry may be lost, then the user is asked once more
                break
        else:
            raise TimeoutError(errno.ETIMEDOUT, "the register is locked", str(folder.path))
        yield
    finally:
        os.close(descriptor)


def _read_in(place: Path) -> tuple[OwnLab, ...]:
    try:
        with open_folder(place) as folder:
            return _read(folder) if _is_private(folder.info()) else ()
    except OSError:
        return ()


def _read(folder: Folder) -> tuple[OwnLab, ...]:
    """Entries of the register in a directory; none if it is missing, damaged, or not ours."""
    try:
        with folder.reading(REGISTER) as descriptor:
            info = os.fstat(descriptor)
            if not stat.S_ISREG(info.st_mode) or not _is_private(info) or info.st_size > _MAX_BYTES:
                return ()
            document = json.loads(os.read(descriptor, _MAX_BYTES))
        return tuple(_own_lab(item) for item in document["labs"]) if document["schema"] == SCHEMA else ()
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ()


def _own_lab(item: dict[str, Any]) -> OwnLab:
    return OwnLab(str(item["id"]), int(item["inode"]), int(item["born"]), str(item["directory"]))


def _write(folder: Folder, labs: Sequence[OwnLab]) -> None:
    vanished = [lab for lab in labs if not _is_where_it_was(lab)]
    forgotten = vanished[: max(0, len(vanished) - _VANISHED_KEPT)]
    document = {"schema": SCHEMA, "labs": [dataclasses.asdict(lab) for lab in labs if lab not in forgotten]}
    folder.write(REGISTER, (json.dumps(document, indent=1) + "\n").encode(), mode=PRIVATE)


def _is_where_it_was(lab: OwnLab) -> bool:
    try:
        return os.stat(lab.directory).st_ino == lab.inode
    except (OSError, ValueError):
        return False


def _remove_rests(folder: Folder) -> None:
    """Remove temporary files of a program that was killed. The caller holds the lock."""
    for name in folder.names():
        if name.startswith(TEMPORARY):
            folder.remove(name)


def _is_private(info: os.stat_result) -> bool:
    return info.st_uid == os.geteuid() and not info.st_mode & OTHERS_MAY_WRITE
