"""The figures: what is measured, against what, and how much is aimed at. Each function measures one."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mtlslab.probe.attempt import attempt
from mtlslab.probe.context import _cached_context
from mtlslab.probe.model import Attempt, KeyFiles

from benchmarks.measure import NotMeasuredError, Samples, Side, alternate, environment, mtlslab, run, seconds_of
from benchmarks.places import Places, nginx
from benchmarks.sides import Lab, Tutorial, start_by_hand

CERTIFICATES = 1000
# The openssl command line needs half a minute for a thousand; one certificate costs it as much as any other.
FEWER = 100
LABS = 20
PROBES = 20


@dataclasses.dataclass(frozen=True)
class Result:
    """What a figure came to.

    Attributes:
        samples: seconds of both sides.
        met: whether the target is met.
        value: what is compared with the target, in words.
        remark: what else must be known; empty when nothing.
    """

    samples: Samples
    met: bool
    value: str
    remark: str = ""


@dataclasses.dataclass(frozen=True)
class Figure:
    """One row of the table.

    Attributes:
        name: for ``--only``.
        ours: what we do.
        theirs: what it is compared with.
        target: what is aimed at, in words.
        measure: measures it, given places to work in and how many runs to make.
    """

    name: str
    ours: str
    theirs: str
    target: str
    measure: Callable[[Places, int], Result]


FIGURES: dict[str, Figure] = {}
_Measure = Callable[[Places, int], Result]


def figure(ours: str, theirs: str, target: str) -> Callable[[_Measure], _Measure]:
    """Enter the function into ``FIGURES`` under its name."""

    def enter(measure: _Measure) -> _Measure:
        name = measure.__name__.strip("_").replace("_", "-")
        FIGURES[name] = Figure(name, ours, theirs, target, measure)
        return measure

    return enter


def _at_most(limit: float, samples: Samples, remark: str = "") -> Result:
    return Result(samples, samples.ratio <= limit, f"{samples.ratio:.2f}", remark)


def _clocked(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


# --- the life of a lab in Docker


def _our_up(places: Places) -> Side:
    def side() -> float:
        lab = Lab.fresh(places)
        seconds = _clocked(lambda: lab.up("--runtime", "docker", "--image", places.image))
        lab.down()
        return seconds

    return side


def _tutorial_up(places: Places, *, health: bool) -> Side:
    def side() -> float:
        tutorial = Tutorial.fresh(places)

        def work() -> None:
            tutorial.generate_certificates()
            tutorial.up(health=health)

        seconds = _clocked(work)
        tutorial.down()
        return seconds

    return side


@figure("`up` in Docker, RSA-2048, image present, until both answer",
        "gen-certs.sh + `docker compose up -d --wait`, health check every second", "<= 0.40")  # fmt: skip
def up(places: Places, runs: int) -> Result:
    """``--wait`` means an nginx that serves only where there is a health check."""
    return _at_most(0.40, alternate(_our_up(places), _tutorial_up(places, health=True), runs))


@figure("the same", "gen-certs.sh + `docker compose up -d --wait` without a health check, then until both answer",
        "(for comparison)")  # fmt: skip
def up_without_health_check(places: Places, runs: int) -> Result:
    """Here ``--wait`` returns when the containers run; then both ports are asked until they answer."""
    return _at_most(1.0, alternate(_our_up(places), _tutorial_up(places, health=False), runs))


def _our_cycle(places: Places) -> Side:
    def side() -> float:
        lab = Lab.fresh(places)

        def work() -> None:
            lab.up("--runtime", "docker", "--image", places.image)
            lab.verify()
            lab.down()

        return _clocked(work)

    return side


def _tutorial_cycle(places: Places, *, health: bool) -> Side:
    def side() -> float:
        tutorial = Tutorial.fresh(places)

        def work() -> None:
            tutorial.generate_certificates()
            tutorial.up(health=health)
            tutorial.curls()
            tutorial.down()

        return _clocked(work)

    return side


@figure("`up && verify && down` in Docker, the whole matrix",
        "gen-certs.sh + `compose up` (health check) + 4 curls + `compose down`", "<= 0.60")  # fmt: skip
def cycle(places: Places, runs: int) -> Result:
    """All that a lab is for, from nothing to nothing."""
    samples = alternate(_our_cycle(places), _tutorial_cycle(places, health=True), runs)
    return _at_most(0.60, samples, f"{_number_of_checks(places)} checks against 4 requests")


@figure("the same", "the same without a health check", "(for comparison)")
def cycle_without_health_check(places: Places, runs: int) -> Result:
    """As ``cycle``, but the other side asks both ports until they answer."""
    return _at_most(1.0, alternate(_our_cycle(places), _tutorial_cycle(places, health=False), runs))


def _number_of_checks(places: Places) -> int:
    return len(json.loads(run(mtlslab("verify", "--list", "-o", "json", "--dir", places.fresh()))))


# --- without Docker


@figure("`up` embedded, RSA-2048", "the same two nginx by hand until both answer, certificates and files ready",
        "<= 0.5 s over it")  # fmt: skip
def embedded(places: Places, runs: int) -> Result:
    """What the program adds to the bare start of two nginx: its own start, four keys, certificates, files."""
    binary, ready = nginx(), Lab.fresh(places)
    ready.render()
    ports = _ports(ready)

    def ours() -> float:
        lab = Lab.fresh(places)
        seconds = _clocked(lambda: lab.up("--runtime", "embedded"))
        lab.down()
        return seconds

    samples = alternate(ours, lambda: start_by_hand(ready, binary, ports), runs)
    over = samples.our_median - samples.their_median
    return Result(samples, over <= 0.5, f"{over:.2f} s over it")


def _ports(lab: Lab) -> tuple[int, int]:
    spec = json.loads((lab.directory / "lab.json").read_text())["spec"]
    return spec["tls_port"], spec["mtls_port"]


def _probes(places: Places, runs: int, *, reused: bool) -> Samples:
    lab = Lab.fresh(places)
    lab.up("--runtime", "embedded")
    certs, port = lab.directory / "certs", _ports(lab)[1]
    what = Attempt(
        port=port,
        cacert=certs / "server-ca.crt",
        credential=KeyFiles(certs / "client.crt", certs / "client.key"),
    )
    curl = ["curl", "-s", what.url, "--cacert", "certs/server-ca.crt", "--cert", "certs/client.crt",
            "--key", "certs/client.key"]  # fmt: skip
    attempt(what)

    def ours() -> float:
        if not reused:
            _cached_context.cache_clear()
        return _clocked(lambda: attempt(what))

    samples = alternate(ours, lambda: seconds_of(curl, cwd=lab.directory), runs * PROBES)
    lab.down()
    return samples


@figure("one probe inside `verify`, credential loaded before", "one curl process with the same options", "<= 0.25")
def probe(places: Places, runs: int) -> Result:
    """Mutual TLS with the lab's client certificate, as all checks with it make it after the first."""
    return _at_most(0.25, _probes(places, runs, reused=True))


@figure("one probe inside `verify`, credential loaded from its files", "the same", "<= 0.25")
def probe_with_files(places: Places, runs: int) -> Result:
    """As the first check with a credential makes it."""
    return _at_most(0.25, _probes(places, runs, reused=False))


@figure("all of `verify`", "the commands that it prints (curl, openssl) as processes, one after another", "<= 0.25")
def verify(places: Places, runs: int) -> Result:
    """Commands that would start mtlslab itself (a server for the client's side) are left out on the other side."""
    lab = Lab.fresh(places)
    lab.up("--runtime", "embedded")
    checks = json.loads(lab.verify("-o", "json"))["checks"]
    commands = [check["command"] for check in checks if check["command"] and check["command"][0] != "mtlslab"]
    samples = alternate(lambda: _clocked(lab.verify), lambda: _clocked(lambda: _run_all(commands, lab.directory)), runs)
    lab.down()
    return _at_most(0.25, samples, f"{len(checks)} checks, {len(commands)} commands")


def _run_all(commands: Sequence[Sequence[str]], directory: Path) -> None:
    for command in commands:
        # Most of them are meant to fail: no status is looked at.
        subprocess.run(
            command, cwd=directory, env=environment({}), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, check=False,
        )  # fmt: skip


# --- certificates


def _our_certificates(places: Places, key_type: str, count: int) -> Side:
    def side() -> float:
        lab = Lab.fresh(places)
        lab.render("--key-type", key_type)
        return seconds_of(mtlslab("certs", "issue", "student", "--count", str(count), "--dir", lab.directory))

    return side


def _openssl_certificates(places: Places, new_key: Sequence[str], count: int, workers: int) -> Side:
    """The openssl command line, two processes for each certificate: key with request, certificate."""

    def side() -> float:
        directory = places.fresh()
        request = ["openssl", "req", "-nodes", *new_key]
        run([*request, "-x509", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=client CA"], cwd=directory)

        def issue(number: int) -> None:
            name = f"student-{number:04}"
            files = ["-in", f"{name}.req", "-out", f"{name}.crt", "-CA", "ca.crt", "-CAkey", "ca.key"]
            run([*request, "-keyout", f"{name}.key", "-out", f"{name}.req", "-subj", f"/CN={name}"], cwd=directory)
            run(["openssl", "x509", "-req", *files, "-days", "397", "-set_serial", str(number)], cwd=directory)

        def work() -> None:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(issue, range(1, count + 1)))

        return _clocked(work)

    return side


_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
_RSA = ("-newkey", "rsa:2048")


@figure(f"{CERTIFICATES} client certificates, ec-p256, PEM and key",
        "the openssl command line, two processes each", "<= 0.05")  # fmt: skip
def certificates_ec(places: Places, runs: int) -> Result:
    """``mtlslab certs issue student --count 1000``, the program's start included."""
    theirs = _openssl_certificates(places, _EC, FEWER, workers=1)
    scale = CERTIFICATES / FEWER
    samples = alternate(_our_certificates(places, "ec-p256", CERTIFICATES), lambda: theirs() * scale, runs)
    return _at_most(0.05, samples, f"openssl: {FEWER} measured, times {scale:.0f}")


@figure("the same", "pyca/cryptography alone: a Python that makes as many in memory, no files", ">= 0.5 of its rate")
def certificates_ec_bare(places: Places, runs: int) -> Result:
    """The most that can be had of the library that we issue with."""
    bare = [sys.executable, str(Path(__file__).with_name("bare_pyca.py")), str(CERTIFICATES)]
    samples = alternate(_our_certificates(places, "ec-p256", CERTIFICATES), lambda: seconds_of(bare), runs)
    rate = 1 / samples.ratio
    per_second = CERTIFICATES / samples.our_median
    return Result(samples, rate >= 0.5, f"{rate:.2f} of its rate", f"{per_second:.0f} certificates a second")


@figure(f"{FEWER} client certificates, rsa-2048, all cores", "the openssl command line on all cores", "<= 0.9")
def certificates_rsa(places: Places, runs: int) -> Result:
    """Making RSA keys is luck: a hundred even that out. A thousand cost ten times as much on both sides."""
    theirs = _openssl_certificates(places, _RSA, FEWER, workers=os.cpu_count() or 1)
    return _at_most(0.9, alternate(_our_certificates(places, "rsa-2048", FEWER), theirs, runs))


# --- the program itself


def _start(arguments: Sequence[str], runs: int) -> Result:
    typer = [sys.executable, "-c", "import typer"]
    seconds_of(mtlslab(*arguments))  # byte code is there from now on
    samples = alternate(lambda: seconds_of(mtlslab(*arguments)), lambda: seconds_of(typer), runs * PROBES)
    return _at_most(1.3, samples)


@figure("`mtlslab --version`", '`python -c "import typer"`', "<= 1.3")
def version(_places: Places, runs: int) -> Result:
    """What everybody pays at every command."""
    return _start(["--version"], runs)


@figure("`mtlslab --help`", '`python -c "import typer"`', "<= 1.3")
def help_(_places: Places, runs: int) -> Result:
    """The first command of a newcomer."""
    return _start(["--help"], runs)


# --- many labs


@figure(f"{LABS} labs up on one engine, with their certificates", f"{LABS} x `docker compose up -d --wait`, "
        "health check, certificates ready", "<= 0.4, growth linear")  # fmt: skip
def many(places: Places, runs: int) -> Result:
    """One after another. Linear: the last five labs cost at most half as much again as the first five."""
    growth: list[float] = []
    their_growth: list[float] = []

    def ours() -> float:
        labs = [Lab.fresh(places) for _ in range(LABS)]
        try:
            each = [_clocked(functools.partial(lab.up, "--runtime", "docker", "--image", places.image)) for lab in labs]
        finally:
            _side_by_side([lab.down for lab in labs])
        growth.append(sum(each[-5:]) / sum(each[:5]))
        return sum(each)

    def theirs() -> float:
        tutorials = [Tutorial.fresh(places) for _ in range(LABS)]
        _side_by_side([tutorial.generate_certificates for tutorial in tutorials])
        try:
            each = [_clocked(functools.partial(tutorial.up, health=True)) for tutorial in tutorials]
        finally:
            _side_by_side([tutorial.down for tutorial in tutorials])
        their_growth.append(sum(each[-5:]) / sum(each[:5]))
        return sum(each)

    samples = alternate(ours, theirs, max(1, runs // 3))
    last = statistics.median(growth)
    remark = f"labs {LABS - 4}-{LABS} cost {last:.2f} of labs 1-5, theirs {statistics.median(their_growth):.2f}"
    return Result(samples, samples.ratio <= 0.4 and last <= 1.5, f"{samples.ratio:.2f}", remark)


def _side_by_side(works: Sequence[Callable[[], None]]) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda work: work(), works))


__all__ = ["FIGURES", "Figure", "NotMeasuredError", "Result"]
