"""The use case ``render``: write the files of a lab and start nothing."""

from __future__ import annotations

from mtlslab.lifecycle.asked import UpOptions, asked_spec, last_image, save_record
from mtlslab.lifecycle.files import write_certificates, write_files
from mtlslab.lifecycle.where import Say
from mtlslab.plan.spec import LabSpec
from mtlslab.runtime.ports import pick_ports
from mtlslab.workspace.target import Target, look_again


def write_lab(target: Target, options: UpOptions, say: Say) -> LabSpec:
    """Write certificates and rendered files, without contacting an engine; returns the spec, with no port 0.

    Raises:
        SpecError, MachineError: see :mod:`mtlslab.workspace.directory`.
    """
    spec = pick_ports(asked_spec(target, options, say))
    workspace = target.workspace
    workspace.create()
    with workspace.lock():
        now = look_again(target)
        if now.record != target.record:
            target, spec = now, pick_ports(asked_spec(now, options, say))
        image = last_image(target, spec)
        save_record(target, spec, say, image=image)
        write_certificates(workspace, spec, rotate=options.rotate_certs, say=say)
        write_files(workspace, spec, image, overwrite=options.overwrite, say=say)
    return spec
