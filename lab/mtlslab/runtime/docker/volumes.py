"""Copies a lab's files to an engine that cannot mount them: one volume per service, filled through the engine's API.

An engine on another machine does not see this machine's disk. A rootless engine maps the owner of the private key to
root in the container, and nginx must not run as root. The volume contains the files that the plan would mount, with the
same paths, and nothing else.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tarfile
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from docker.api import APIClient
from docker.errors import NotFound

from mtlslab.errors import MachineError
from mtlslab.plan.services import CONTAINER_ROOT, CONTAINER_TMPFS, LABEL_SERVICE, LabPlan, Service
from mtlslab.plan.shell import shell_line
from mtlslab.runtime.docker.config import copier_config, volume_labels
from mtlslab.runtime.docker.ownership import is_own_volume, label_filter
from mtlslab.runtime.engine.connection import engine_errors


def make_volume(api: APIClient, plan: LabPlan, service: Service) -> None:
    """Create a service's volume and copy its files into it.

    Raises:
        MachineError: a file cannot be read, the engine refuses, or the name is taken by a volume that is not the lab's.
    """
    name = plan.volume_name(service)
    with engine_errors(f"Cannot make the volume {name}."):
        # If the volume exists, the engine returns the existing one.
        present = api.create_volume(name, labels=volume_labels(plan.lab, service.name))
    if not is_own_volume(plan.lab, present):
        raise MachineError(
            f"There is already a volume {name}, and it is not of this lab.",
            why="it does not bear the labels that this lab gives its volumes",
            hint=f"Remove it ({shell_line(['docker', 'volume', 'rm', name])}), or take another lab name: --name",
        )
    _copy(api, plan, service)


def copy_again(api: APIClient, plan: LabPlan, service: Service) -> None:
    """Copy a service's files into its volume again; does nothing if there is no volume (the files are mounted).

    A file that was removed from the workspace stays in the volume until the next start of the service.

    Raises:
        MachineError: a file cannot be read, or the engine refuses.
    """
    with engine_errors(f"Cannot look for the volume {plan.volume_name(service)}."):
        try:
            found = api.inspect_volume(plan.volume_name(service))
        except NotFound:
            return
    if is_own_volume(plan.lab, found):
        _copy(api, plan, service)


def remove_volumes(api: APIClient, lab: str, services: Collection[str] | None = None) -> tuple[str, ...]:
    """Remove the lab's own volumes, all or those of the named services; returns the names of the removed volumes.

    Raises:
        MachineError: the engine refuses, for example because another container uses one.
    """
    with engine_errors(f"Cannot remove the volumes of the lab {lab!r}."):
        found = [
            volume["Name"]
            for volume in api.volumes(filters=label_filter(lab))["Volumes"] or ()
            if is_own_volume(lab, volume) and (services is None or volume["Labels"][LABEL_SERVICE] in services)
        ]
        for name in found:
            with contextlib.suppress(NotFound):  # removed meanwhile
                api.remove_volume(name)
        return tuple(found)


def archive(plan: LabPlan, service: Service) -> bytes:
    """A tar file of all files that the plan mounts into a service's container, with paths below ``CONTAINER_ROOT``.

    A file that is not world-readable here (the private key) belongs to the plan's user in the archive, with mode 0600.
    All other files belong to root, with mode 0644.

    Raises:
        OSError: a file is missing or cannot be read.
    """
    run = str(PurePosixPath(CONTAINER_TMPFS).relative_to(CONTAINER_ROOT))
    directories: set[str] = set()
    members: dict[str, Path] = {}  # a later mount replaces a file of an earlier one at the same path
    for mount in service.mounts:
        target = PurePosixPath(mount.target).relative_to(CONTAINER_ROOT)
        for path, source in _files(plan.directory / mount.source, target):
            members[str(path)] = source
            directories.update(str(parent) for parent in path.parents[:-1])
        if (plan.directory / mount.source).is_dir():
            directories.add(str(target))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        # The mount point of the tmpfs: the engine cannot create it in a read-only volume, and runc gives the tmpfs the
        # mode of that directory, whatever the tmpfs options say.
        tar.addfile(_member(run, tarfile.DIRTYPE, 0o1777))
        for name in sorted(directories):
            tar.addfile(_member(name, tarfile.DIRTYPE, 0o755))
        for name, source in sorted(members.items()):
            _add(tar, name, source, plan.user)
    return buffer.getvalue()


def _copy(api: APIClient, plan: LabPlan, service: Service) -> None:
    """Copy the files through a container that is never started: in the service's own, the volume is read-only."""
    try:
        files = archive(plan, service)
    except OSError as error:
        raise MachineError(f"Cannot copy the files of {service.name} to the engine.", why=str(error)) from error
    with engine_errors(f"Cannot copy the files of {service.name} to the engine."):
        copier = api.create_container_from_config(copier_config(plan, service), None)["Id"]  # type: ignore[no-untyped-call]
        try:
            api.put_archive(copier, CONTAINER_ROOT, files)
        finally:
            with contextlib.suppress(NotFound):
                api.remove_container(copier, force=True)


def _files(source: Path, target: PurePosixPath) -> Iterator[tuple[PurePosixPath, Path]]:
    """The regular files and symbolic links at or below a mount's source, as pairs (path in the volume, source).

    As in a bind mount, a link below a mounted directory stays a link; its target is not copied.
    """
    if not source.is_dir():
        yield target, source.resolve()  # as in a bind mount, the target of a link is mounted
        return
    for entry in sorted(source.iterdir()):
        if entry.is_dir() and not entry.is_symlink():
            yield from _files(entry, target / entry.name)
        elif entry.is_symlink() or entry.is_file():
            yield target / entry.name, entry


def _add(tar: tarfile.TarFile, name: str, source: Path, user: str) -> None:
    if source.is_symlink():
        member = _member(name, tarfile.SYMTYPE, 0o777)
        member.linkname = os.readlink(source)
        tar.addfile(member)
        return
    with source.open("rb") as stream:
        content, status = stream.read(), os.fstat(stream.fileno())
    private = not status.st_mode & stat.S_IROTH
    member = _member(name, tarfile.REGTYPE, 0o600 if private else 0o644)
    if private:
        member.uid, member.gid = (int(part) for part in user.split(":"))
    member.size, member.mtime = len(content), int(status.st_mtime)
    tar.addfile(member, io.BytesIO(content))


def _member(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    """A member of the archive that belongs to root."""
    member = tarfile.TarInfo(name)
    member.type, member.mode = kind, mode
    return member
