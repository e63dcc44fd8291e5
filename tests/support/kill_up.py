"""Runs `mtlslab up ...` and kills itself with SIGKILL at the N-th step: python kill_up.py KIND N ARGUMENTS.

A step is: a file about to be renamed into its place, a file in its place, a process started, an answer of the engine.
KIND counts any step, or only those of the engine.
Says on stderr which step it died at; if there are fewer steps than N, `up` goes through.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import requests
from mtlslab.cli.main import main

kind_counted, steps_left = sys.argv[1], int(sys.argv[2])


def step(name: str) -> None:
    global steps_left  # noqa: PLW0603  this is the whole program's state
    if kind_counted == "engine" and not name.startswith("engine"):
        return
    steps_left -= 1
    if steps_left == 0:
        sys.stderr.write(f"STEP {name}\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)


def counted(work: Callable[..., Any], before: str, after: str) -> Callable[..., Any]:
    def wrapper(*arguments: Any, **named: Any) -> Any:
        last = str(arguments[1]) if len(arguments) > 1 else ""
        if before:
            step(f"{before} {os.path.basename(last)}")
        result = work(*arguments, **named)
        step(f"{after} {os.path.basename(last)}")
        return result

    return wrapper


def engine_answer(work: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(session: Any, request: Any, **named: Any) -> Any:
        result = work(session, request, **named)
        if request.method != "GET":
            step(f"engine answered {request.method} {request.path_url.split('?')[0]}")
        return result

    return wrapper


os.replace = counted(os.replace, "about to write", "written")
subprocess.Popen.__init__ = counted(subprocess.Popen.__init__, "", "started a process")  # type: ignore[method-assign]
requests.Session.send = engine_answer(requests.Session.send)  # type: ignore[method-assign]

sys.argv = ["mtlslab", "up", *sys.argv[3:]]
main()
