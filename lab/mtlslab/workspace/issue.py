"""The use cases behind ``mtlslab certs issue``: further clients and faults."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from cryptography import x509

from mtlslab import pki
from mtlslab.errors import LabError, MachineError, MissingKeyError, SpecError
from mtlslab.pki.faults import FAULTS, Fault, FaultFiles, build
from mtlslab.plan.addresses import typed_host
from mtlslab.plan.paths import CLIENT_CA_KEY, CLIENT_CERT, CRL, CRL_NOTE, FAULTS_DIRECTORY, SERVER_CA, WEAK_CLIENT
from mtlslab.plan.spec import LabSpec, make_spec, reachable_address
from mtlslab.probe.curl import curl_command
from mtlslab.probe.model import Attempt, KeyFiles
from mtlslab.workspace.credentials import (
    DIRECTORY,
    check_new_name,
    client_names,
    files_of,
    load_client_ca,
    load_client_ca_certificate,
    load_server,
    unknown,
)
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.not_issued import brought_files, move_aside, note_issued
from mtlslab.workspace.renewal import RENEW_BEFORE
from mtlslab.workspace.revocation import REVOKED_FAULT, is_revoked, revoke

Say = Callable[[str], None]

ALL = "all"
# For a client whose OpenSSL has security level 1 or more: it refuses to load a weak credential. curl's --ciphers is no
# help, because curl loads the certificate before it applies that option.
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
    """A further client that was issued.

    Attributes:
        certificate: path in the workspace.
        key: path of its private key, mode 0600.
        not_after: last moment of its validity (aware UTC).
        replaced: serial number of the certificate that was replaced; None if there was none, or it cannot be read.
        aside: where that certificate and its key are kept, if the lab did not issue it.
    """

    certificate: str
    key: str
    not_after: datetime.datetime
    replaced: int | None
    aside: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class IssuedFault:
    """A fault that was issued.

    Attributes:
        fault: its definition.
        files: paths of certificate and private key; empty for the client without a certificate.
        revoked: whether its serial number is on the client CA's revocation list.
        crl: path of a further CA's revocation list that belongs to it; empty for most faults.
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
    """Issue a further client under the client CA: ``certs/NAME.crt`` and ``certs/NAME.key``.

    Args:
        workspace: of the lab; the caller holds its lock.
        name: of the files; also the common name and the SAN (a mail address if it looks like one, else a DNS name).
        now: current time (aware UTC).
        key_type: one of ``spec.KEY_TYPES``; None for the lab's setting.
        days: validity in days, at most until the CA expires; None for the lab's setting.
        overwrite: replace an existing client of that name.

    Raises:
        SpecError: name, key type or days are not valid, the client exists already, or the client CA is missing or
            damaged.
    """
    check_new_client(workspace, [name])
    settings = {"key_type": key_type, "days": days}
    record = workspace.require()
    spec, issued = make_spec(record.spec, settings), record.issued
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
    aside = move_aside(workspace, [path for path in brought_files(workspace, issued) if path in there], now)
    note_issued(workspace, ca.certificate, [leaf.certificate])
    workspace.write_key(key_path, leaf.key_pem())
    workspace.write(certificate, leaf.certificate_pem())
    return IssuedClient(certificate, key_path, leaf.certificate.not_valid_after_utc, replaced, aside)


def check_new_client(workspace: Workspace, names: Sequence[str]) -> None:
    """Check that further clients can have these names.

    Raises:
        SpecError: one is no plain file name, is used by the lab, is the name of a fault, or differs from the name of an
            existing client by case only.
    """
    there = {one.lower(): one for one in client_names(workspace)}
    for name in names:
        if name in FAULTS or name == ALL:
            hint = f"Issue it with: mtlslab certs issue --fault {name}"
            raise SpecError(f"{name!r} is the name of a fault.", hint=hint)
        check_new_name(name)
        # On a file system that ignores case, Alice.crt would be written over alice.crt.
        other = there.get(name.lower(), name)
        if other != name:
            raise SpecError(f"{name!r} differs from {other!r} by case only.", hint="Choose another name.")


def fault_names(asked: Iterable[str]) -> tuple[str, ...]:
    """The faults that the user asked for, without repeats; ``all`` stands for every fault.

    Raises:
        SpecError: there is no fault of that name.
    """
    names: dict[str, None] = {}
    for name in asked:
        if name != ALL and name not in FAULTS:
            raise unknown("fault", name, FAULTS, see="mtlslab certs faults")
        names.update(dict.fromkeys(FAULTS if name == ALL else (name,)))
    return tuple(names)


def _raise(_name: str, error: LabError) -> None:
    raise error


def issue_faults(
    workspace: Workspace, names: Sequence[str], *, failed: Callable[[str, LabError], None] = _raise
) -> tuple[IssuedFault, ...]:
    """Issue faults into ``certs/faults``. They are new each time, because some show their fault for a moment only.

    If there is a revocation list, the fault ``revoked`` is entered into it, and then kept as long as it is valid: a
    running server has read that list, and would not know a new serial number. The caller holds the workspace's lock.

    Args:
        workspace: that of the lab.
        names: ids of the faults.
        failed: is told which one cannot be made, and why; raises the error unless given.

    Raises:
        SpecError: the client CA or the server's credential is missing or damaged, or the revocation list is damaged.
        MissingKeyError: one of them needs the client CA's private key, which is not there.
        MachineError: this machine's OpenSSL cannot make one of them.
        KeyError: there is no fault of that name.
    """
    if not names:
        return ()
    client_ca, keyless = _client_ca(workspace)
    server, client = load_server(workspace), _client(workspace)
    now = datetime.datetime.now(datetime.UTC)
    issued = []
    for name in names:
        if keyless and FAULTS[name].needs_client_ca:
            failed(name, keyless)
            continue
        if name == REVOKED_FAULT and _revoked_fault_is_good(workspace, now):
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


def keep_revoked_fault(workspace: Workspace) -> None:
    """Issue the fault ``revoked`` and enter it into the revocation list, unless that is done.

    ``verify`` needs a revoked certificate to see whether the server checks the list. Does nothing if the client CA's
    private key is not in the workspace.

    Raises:
        SpecError: as :func:`issue_faults`.
    """
    if workspace.read_key(CLIENT_CA_KEY) is not None:
        issue_faults(workspace, [REVOKED_FAULT])


def retire(workspace: Workspace, *, own: Iterable[str], say: Say) -> None:
    """Remove the revocation list and the faults of the old client CA, because a new client CA replaces it.

    Args:
        workspace: of the lab; the caller holds its lock.
        own: paths of the certificates that are issued again.
        say: gets a message about further clients of the old CA: their files stay, but servers refuse them.
    """
    workspace.remove([CRL, CRL_NOTE, FAULTS_DIRECTORY])
    found = [name for name in workspace.names(DIRECTORY) if name.endswith((".crt", ".p12"))]
    old = [f"{DIRECTORY}/{name}" for name in found if f"{DIRECTORY}/{name}" not in set(own)]
    if old:
        say(f"Of the old client CA, and refused from now on: {', '.join(old)} (kept; issue or export them anew).")


def try_command(workspace: Workspace, spec: LabSpec, files: Sequence[str], *, weak: bool = False) -> list[str]:
    """The curl command, as arguments, that presents a credential to the mTLS service; to be run in the workspace.

    Args:
        workspace: of the lab.
        spec: of the lab, with the ports that are in use (not 0).
        files: paths of certificate and private key; empty for a client without a certificate.
        weak: whether OpenSSL refuses to load the credential unless its security level is lowered.
    """
    credential = KeyFiles(*(workspace.directory / Path(path) for path in files)) if files else None
    attempt = Attempt(
        host=typed_host(spec.listen),
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


def _revoked_fault_is_good(workspace: Workspace, now: datetime.datetime) -> bool:
    """Whether the fault ``revoked`` is complete, on the revocation list, and will not expire soon."""
    certificate, key = _fault_paths(REVOKED_FAULT)
    try:
        leaf = pki.load_credential(workspace.read(certificate) or b"", workspace.read_key(key) or b"").certificate
    except ValueError:
        return False
    return leaf.not_valid_after_utc - now > RENEW_BEFORE and is_revoked(workspace, leaf.serial_number)


def _client_ca(workspace: Workspace) -> tuple[pki.Credential, MissingKeyError | None]:
    """The client CA; where its private key is not there, the error that says so, and a key in its place.

    What needs no key of the client CA's still imitates its name and its kind of key.
    """
    try:
        return load_client_ca(workspace), None
    except MissingKeyError as error:
        return pki.Credential(load_client_ca_certificate(workspace), pki.new_key("ec-p256")), error


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
