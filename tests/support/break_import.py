"""Breaks `mtlslab certs import` at each of its steps: python break_import.py HOW MODEL PLACE ARGUMENTS.

A step is a change of the disk: a file or a directory made, linked, renamed, exchanged or removed. HOW is ``kill``,
``interrupt`` or ``full``: at a step the process is killed, interrupted, or the disk refuses. Each time a copy of
the lab MODEL, in PLACE/N, is imported into by a child of this process, which has all modules loaded: that is fast.
Says N, the exit status and the words of each child, a JSON value each, until one has fewer steps than N.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mtlslab.cli.main import main
from mtlslab.errors import MachineError
from mtlslab.lifecycle import bring
from mtlslab.workspace import folder

how, model, place, arguments = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:]
steps_left = 0


def step() -> None:
    global steps_left  # noqa: PLW0603  this is the whole program's state
    steps_left -= 1
    if steps_left:
        return
    if how == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.kill(os.getpid(), signal.SIGKILL if how == "kill" else signal.SIGINT)


def counted(work: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*words: Any, **named: Any) -> Any:
        step()
        return work(*words, **named)

    return wrapper


def no_nginx(*_: Any) -> None:
    raise MachineError("There is no nginx.")


def child(lab: Path, words: Path) -> None:
    output = os.open(words, os.O_WRONLY | os.O_CREAT, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for name in ("link", "replace", "rename", "unlink", "mkdir", "rmdir"):
        setattr(os, name, counted(getattr(os, name)))
    vars(folder)["exchange"] = counted(vars(folder)["exchange"])
    vars(bring)["find_nginx"] = no_nginx
    sys.argv = ["mtlslab", "certs", "import", "--dir", str(lab), *arguments]
    main()


for number in range(1, 200, {"kill": 2, "full": 4, "interrupt": 9}[how]):
    lab, words = place / str(number), place / f"{number}.txt"
    shutil.copytree(model, lab)
    steps_left = number
    pid = os.fork()
    if not pid:
        child(lab, words)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(json.dumps([number, code, words.read_text()]), flush=True)  # noqa: T201  its answer
    if code == 0:  # what the disk refuses may be one thing more that is left to clean up: that is no failure
        break
