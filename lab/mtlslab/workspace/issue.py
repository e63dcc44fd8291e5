"""The use cases behind ``mtlslab certs issue``: further client credentials, and those of the zoo."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from cryptography import x509

from mtlslab import pki
from mtlslab.errors import MachineError, SpecError
from mtlslab.pki.faults import FAULTS, Fault, FaultFiles, build
from mtlslab.plan.paths import CLIENT_CA_KEY, CLIENT_CERT, CRL, FAULTS_DIRECTORY, SERVER_CA
from mtlslab.plan.spec import LabSpec, make_spec, reachable_address
from mtlslab.probe.curl import curl_command
from mtlslab.probe.model import Attempt, KeyFiles
from mtlslab.workspace.credentials import (
    DIRECTORY,
    check_new_name,
    client_names,
    files_of,
    load_client_ca,
    load_server,
    unknown,
)
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.renewal import RENEW_BEFORE
from mtlslab.workspace.revocation import SPECIMEN, is_revoked, revoke

Say = Callable[[str], None]

ALL = "all"
# For a client whose OpenSSL has security level 1 or more and does not load a weak credential otherwise. curl's
# --ciphers comes too late: curl loads the certificate first.
WEAK_CLIENT = f"{FAULTS_DIRECTORY}/weak-client.cnf"
_WEAK_CLIENT_CONF = b"""\
# OpenSSL configuration of a client that loads what is too weak: OPENSSL_CONF=THIS_FILE curl ...
openssl_conf = init
[init]
ssl_conf = ssl
[ssl]
system_default = weak
[weak]
CipherString = DEFAULT@SECLEVEL=0
"""


@dataclasses.dataclass(frozen=True)
class IssuedClient:
    """A further good client.

    Attributes:
        certificate: path in the workspace.
        key: path of its private key, mode 0600.
        not_after: last moment of its validity (aware UTC).
        replaced: serial number of the certificate that lay there before; None if there was none that can be read.
    """

    certificate: str
    key: str
    not_after: datetime.datetime
    replaced: int | None


@dataclasses.dataclass(frozen=True)
class IssuedFault:
    """A credential of the zoo.

    Attributes:
        fault: its entry.
        files: paths of certificate and private key; empty for the client that has none.
        revoked: whether its serial number is on the client CA's list.
        crl: path of a further CA's list that belongs to it; empty for most faults.
    """

    fault: Fault
    files: tuple[str, ...]
    revoked: bool
    crl: str = ""


def issue_client(
    workspace: Workspace,
    name: str,
    *,
    now: datetime.datetime,
    key_type: str | None = None,
    days: int | None = None,
    overwrite: bool = False,
) -> IssuedClient:
    """Issue a further client credential of the client CA into ``certs/NAME.crt`` and ``certs/NAME.key``.

    Args:
        workspace: that of the lab.
        name: becomes the files' name, the common name and the SAN (DNS name or mail address by its shape).
        now: the time (aware UTC).
        key_type: one of ``spec.KEY_TYPES``; None for the lab's own.
        days: validity, cut off at the end of the CA's; None for the lab's own.
        overwrite: replace the one of that name.

    Raises:
        SpecError: name, key type or days are not possible, files are in the way, or the client CA is damaged.
    """
    check_new_client(workspace, [name])
    settings = {"key_type": key_type, "days": days}
    spec = make_spec(workspace.require().spec, settings)
    certificate, key_path = files_of(name)
    there = [path for path in (certificate, key_path) if workspace.read(path) is not None]
    if there and not overwrite:
        raise SpecError(
            f"{' and '.join(there)} {'is' if len(there) == 1 else 'are'} there already.",
            hint=f"Issue it anew with --overwrite, or choose another name: mtlslab certs issue {name}-2",
        )
    replaced = _serial_if_readable(workspace, certificate)
    ca = load_client_ca(workspace)
    key = pki.new_key(spec.key_type)
    leaf = pki.issue_client_leaf(ca, key, name, now=now, days=spec.days)
    workspace.write_key(key_path, leaf.key_pem())
    workspace.write(certificate, leaf.certificate_pem())
    return IssuedClient(certificate, key_path, leaf.certificate.not_valid_after_utc, replaced)


def check_new_client(workspace: Workspace, names: Sequence[str]) -> None:
    """Refuse names that further clients cannot have.

    Raises:
        SpecError: one is no plain file name, belongs to the lab or to the zoo, or is there in another case.
    """
    there = {one.lower(): one for one in client_names(workspace)}
    for name in names:
        if name in FAULTS or name == ALL:
            hint = f"Issue it with: mtlslab certs issue --fault {name}"
            raise SpecError(f"{name!r} is a name of the zoo.", hint=hint)
        check_new_name(name)
        # On a file system that ignores case, Alice.crt would be written over alice.crt.
        other = there.get(name.lower(), name)
        if other != name:
            raise SpecError(f"{name!r} differs from {other!r} by case only.", hint="Choose another name.")


def fault_names(asked: Iterable[str]) -> tuple[str, ...]:
    """The names in the zoo that are meant, without repeats; ``all`` stands for the whole zoo.

    Raises:
        SpecError: a name is not in the zoo.
    """
    names: dict[str, None] = {}
    for name in asked:
        if name != ALL and name not in FAULTS:
            raise unknown("fault", name, FAULTS, see="mtlslab certs faults")
        names.update(dict.fromkeys(FAULTS if name == ALL else (name,)))
    return tuple(names)


def _raise(_name: str, error: MachineError) -> None:
    raise error


def issue_faults(
    workspace: Workspace, names: Sequence[str], *, failed: Callable[[str, MachineError], None] = _raise
) -> tuple[IssuedFault, ...]:
    """Issue credentials of the zoo into ``certs/faults``, new ones each time: some are only right for a moment.

    The ``revoked`` one belongs on the client CA's list. If there is a list, it is entered there, and then kept as long
    as it is valid: a running server has read that list, and would not know of a new one.

    Args:
        workspace: that of the lab.
        names: ids of the zoo.
        failed: is told which one this machine cannot make, and why; raises the error unless given.

    Raises:
        SpecError: the client CA, the server's credential or the list is missing or damaged.
        MachineError: this machine's OpenSSL cannot make one of them.
        KeyError: a name is not in the zoo.
    """
    if not names:
        return ()
    client_ca, server, client = load_client_ca(workspace), load_server(workspace), _client(workspace)
    now = datetime.datetime.now(datetime.UTC)
    issued = []
    for name in names:
        if name == SPECIMEN and _specimen_is_good(workspace, now):
            issued.append(IssuedFault(FAULTS[name], _fault_paths(name), revoked=True))
            continue
        try:
            files = build(name, client_ca=client_ca, server=server, now=now, client=client)
        except MachineError as error:
            failed(name, error)
            continue
        paths = _write_fault(workspace, name, files)
        if FAULTS[name].weak:
            workspace.write(WEAK_CLIENT, _WEAK_CLIENT_CONF)
        on_list = files.revoke is not None and workspace.read(CRL) is not None
        if files.revoke is not None and on_list:
            revoke(workspace, files.revoke, now=now)
        crl = _fault_crl(name) if files.crl else ""
        issued.append(IssuedFault(FAULTS[name], paths, revoked=on_list, crl=crl))
    return tuple(issued)


def keep_specimen(workspace: Workspace) -> None:
    """Have one certificate on the list that nobody needs, so that ``verify`` sees whether the server heeds the list.

    Nothing is done where the client CA's private key is kept elsewhere.

    Raises:
        SpecError: as :func:`issue_faults`.
    """
    if workspace.read_key(CLIENT_CA_KEY) is not None:
        issue_faults(workspace, [SPECIMEN])


def retire(workspace: Workspace, *, own: Iterable[str], say: Say) -> None:
    """When a new client CA takes over: remove the old one's list and faults, and name what else is of it.

    Args:
        workspace: that of the lab.
        own: paths of the certificates that are issued anew.
        say: is told what stays although no server accepts it any more.
    """
    workspace.remove([CRL, FAULTS_DIRECTORY])
    found = [name for name in workspace.names(DIRECTORY) if name.endswith((".crt", ".p12"))]
    orphans = [f"{DIRECTORY}/{name}" for name in found if f"{DIRECTORY}/{name}" not in set(own)]
    if orphans:
        say(f"Of the old client CA, and refused from now on: {', '.join(orphans)} (kept; issue or export them anew).")


def try_command(workspace: Workspace, spec: LabSpec, files: Sequence[str], *, weak: bool = False) -> list[str]:
    """The curl command that shows a credential to the mTLS service, to be typed inside the workspace.

    Args:
        workspace: that of the lab.
        spec: the lab's, with settled ports.
        files: paths of certificate and private key; empty for a client without.
        weak: whether the client's OpenSSL must be told to load a weak credential.
    """
    credential = KeyFiles(*(workspace.directory / Path(path) for path in files)) if files else None
    attempt = Attempt(
        port=spec.mtls_port,
        address=reachable_address(spec.listen),
        cacert=workspace.directory / SERVER_CA,
        credential=credential,
    )
    prefix = ["env", f"OPENSSL_CONF=./{WEAK_CLIENT}"] if weak else []
    return [*prefix, *curl_command(attempt, workspace.directory)]


def _serial_if_readable(workspace: Workspace, path: str) -> int | None:
    try:
        return pki.load_certificates(workspace.read(path) or b"")[0].serial_number
    except ValueError:
        return None


def _specimen_is_good(workspace: Workspace, now: datetime.datetime) -> bool:
    """Whether the zoo's revoked credential is complete, on the list, and valid but for that."""
    certificate, key = _fault_paths(SPECIMEN)
    try:
        leaf = pki.load_credential(workspace.read(certificate) or b"", workspace.read_key(key) or b"").certificate
    except ValueError:
        return False
    return leaf.not_valid_after_utc - now > RENEW_BEFORE and is_revoked(workspace, leaf.serial_number)


def _client(workspace: Workspace) -> x509.Certificate | None:
    """The certificate of the lab's client; None if it cannot be read, which other checks tell."""
    try:
        return pki.load_certificates(workspace.read(CLIENT_CERT) or b"")[0]
    except ValueError:
        return None


def _write_fault(workspace: Workspace, name: str, files: FaultFiles) -> tuple[str, ...]:
    if files.certificate is None or files.key is None:
        return ()
    certificate_path, key_path = _fault_paths(name)
    workspace.write_key(key_path, files.key)
    workspace.write(certificate_path, files.certificate)
    if files.crl is not None:
        workspace.write(_fault_crl(name), files.crl)
    return certificate_path, key_path


def _fault_paths(name: str) -> tuple[str, str]:
    return f"{FAULTS_DIRECTORY}/{name}.crt", f"{FAULTS_DIRECTORY}/{name}.key"


def _fault_crl(name: str) -> str:
    return f"{FAULTS_DIRECTORY}/{name}.crl"
