"""Has a running nginx of the embedded runtime take its edited configuration."""

from __future__ import annotations

import signal
import subprocess
import time

from lab.errors import MachineError
from lab.plan import Service
from lab.runtime import processes
from lab.runtime.launch import LAST_LINES, PATIENCE, directives, log_path, words
from lab.runtime.logfile import LogReader
from lab.runtime.processes import Master


def check_configuration(lab: str, service: Service, master: Master) -> None:
    """Run ``nginx -t`` on the configuration as it lies there.

    Raises:
        MachineError: nginx refuses it; ``why`` holds its own words.
    """
    # With the binary, directory and directives of the master that runs: anything else would be another test. `nginx -t`
    # leaves the running server's port alone and does not touch its pid file's content.
    command = [str(master.nginx), *service.test_command(str(master.directory)), "-g", directives(lab)]
    try:
        done = subprocess.run(
            command,
            cwd=master.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MachineError(f"The configuration of {service.name} cannot be tested.", why=str(error)) from error
    if done.returncode != 0:
        raise _keeps_old(service, words(done.stdout.decode(errors="replace").splitlines()))


def apply_configuration(service: Service, master: Master) -> None:
    """Signal HUP and wait until the old workers take no connections any more.

    nginx lets them go on for 100 ms beside the new ones: whoever connects too early still meets the old configuration.

    Raises:
        MachineError: nginx did not take it after all.
    """
    log = LogReader(log_path(master.directory, service.name))
    log.lines()
    try:
        old = processes.serving_workers(master)
        processes.send(master.process, signal.SIGHUP)
        deadline = time.monotonic() + PATIENCE
        while not (now := processes.serving_workers(master)) or now & old:
            # Some faults show only now: `nginx -t` does not mind a port that is taken.
            problems = [line for line in log.lines() if "[emerg]" in line]
            if any("still could not bind" in line for line in problems) or time.monotonic() > deadline:
                raise _keeps_old(service, problems)
            time.sleep(processes.POLL_SECONDS)
    finally:
        log.close()


def _keeps_old(service: Service, said: list[str]) -> MachineError:
    return MachineError(
        f"nginx refuses the configuration of {service.name}; the old one keeps running.",
        why="\n".join(said[-LAST_LINES:]) or f"it was not taken in {PATIENCE:.0f} seconds",
        hint=f"Mend {service.conf}, then: mtlslab reload",
    )
