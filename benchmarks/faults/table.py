"""The table of faults: what happens, and where it can."""

from __future__ import annotations

import errno
import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

from .attempts import Fault, Running, TooLateError, descendants
from .places import OnDask, OnS3, build

EVERYWHERE = ("local", "s3", "dask")
HERE = ("local", "s3")
WORKER = "spawn_main"
PAUSE_S = 4.0
SECOND_S = 1800.0  # it may wait for the first, whose limit counts
CLOCK = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)

AHEAD = {"LD_PRELOAD": str(CLOCK), "FAKETIME": "+600"}


def _signal(number: int) -> Callable[[Running], None]:
    def send(running: Running) -> None:
        if running.process.poll() is not None:
            raise TooLateError
        os.kill(running.process.pid, number)

    return send


def _ctrl_c(running: Running) -> None:
    if running.process.poll() is not None:
        raise TooLateError
    os.killpg(running.process.pid, signal.SIGINT)


def _sleep(running: Running) -> None:
    _signal(signal.SIGSTOP)(running)
    time.sleep(PAUSE_S)
    os.kill(running.process.pid, signal.SIGCONT)


def _kill_worker(running: Running) -> None:
    os.kill(running.processes(WORKER)[0], signal.SIGKILL)


def _stop_worker(running: Running) -> None:
    worker = running.processes(WORKER)[0]
    os.kill(worker, signal.SIGSTOP)
    time.sleep(PAUSE_S)
    os.kill(worker, signal.SIGCONT)


def _small_files(running: Running) -> None:
    """As a quota does: no file may become larger than 4 KiB."""
    for pid in [running.process.pid, *descendants(running.process.pid)]:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))


def _refuse(number: int) -> Callable[[Running], None]:
    return lambda running: running.place.refuse_writes(number)


def _no_source(running: Running) -> None:
    running.place.break_source()


def _second_build(running: Running) -> None:
    """The same command beside it: it is told who builds there, or finishes what is left."""
    if running.process.poll() is not None:
        raise TooLateError
    second = build(running.place, SECOND_S)
    if "Traceback" in second.stderr:
        running.lines.append("Traceback of the second build")


def _kill_server(running: Running) -> None:
    os.kill(running.processes(r"flows\.temporary_server")[0], signal.SIGKILL)


def _s3(running: Running) -> OnS3:
    assert isinstance(running.place, OnS3)
    return running.place


def _endpoint_down(running: Running) -> None:
    place = _s3(running)
    place.proxy.cut()
    time.sleep(PAUSE_S)
    place.proxy.open()


def _endpoint_gone(running: Running) -> None:
    _s3(running).proxy.cut()


def _dask(running: Running) -> OnDask:
    assert isinstance(running.place, OnDask)
    return running.place


def _kill_dask_worker(running: Running) -> None:
    dask = _dask(running).dask
    dask.kill(dask.workers[0])


def _replace_dask_workers(running: Running) -> None:
    """All go; 20 s later there are others."""
    dask = _dask(running).dask
    for worker in dask.workers:
        dask.kill(worker)
    time.sleep(20)
    dask.start_worker(2)


def _stop_dask_worker(running: Running) -> None:
    worker = _dask(running).dask.workers[0]
    os.killpg(worker.pid, signal.SIGSTOP)
    time.sleep(PAUSE_S)
    os.killpg(worker.pid, signal.SIGCONT)


def _kill_scheduler(running: Running) -> None:
    dask = _dask(running).dask
    dask.kill(dask.scheduler)


def _other_library(running: Running) -> None:
    """A third worker, whose soundfile is of another version."""
    place = _dask(running)
    about = place.folder / "other" / "soundfile-99.1.dist-info"
    about.mkdir(parents=True, exist_ok=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: soundfile\nVersion: 99.1\n")
    path = os.pathsep.join([str(about.parent), place.environment["PYTHONPATH"]])
    place.dask.start_worker(1, PYTHONPATH=path)


def _fault(name: str, where: tuple[str, ...], does: Callable[[Running], None], **environment: str) -> Fault:
    return Fault(name=name, where=where, does=does, environment=environment)


FAULTS = (
    _fault("flow killed", EVERYWHERE, _signal(signal.SIGKILL)),
    _fault("Ctrl-C", EVERYWHERE, _ctrl_c),
    _fault("SIGTERM", EVERYWHERE, _signal(signal.SIGTERM)),
    _fault("flow stopped for a while", EVERYWHERE, _sleep),
    _fault("second build", EVERYWHERE, _second_build),
    _fault("worker killed", HERE, _kill_worker),
    _fault("worker stopped for a while", HERE, _stop_worker),
    _fault("files limited to 4 KiB", ("local",), _small_files),
    _fault("disk full", ("local",), _refuse(errno.ENOSPC)),
    _fault("disk read-only", ("local",), _refuse(errno.EROFS)),
    _fault("disk fails", ("local",), _refuse(errno.EIO)),
    _fault("source gone", EVERYWHERE, _no_source),
    _fault("temporary server killed", ("server",), _kill_server),
    _fault("endpoint down for a while", ("s3",), _endpoint_down),
    _fault("endpoint gone", ("s3",), _endpoint_gone),
    _fault("Dask worker killed", ("dask",), _kill_dask_worker),
    _fault("Dask workers replaced", ("dask",), _replace_dask_workers),
    _fault("Dask worker stopped for a while", ("dask",), _stop_dask_worker),
    _fault("scheduler killed", ("dask",), _kill_scheduler),
    _fault("worker with another library", ("dask",), _other_library),
    *([_fault("killed with a clock 10 minutes ahead", ("local",), _signal(signal.SIGKILL), **AHEAD)] if CLOCK else []),
)


def has_clock() -> bool:
    """Whether libfaketime is installed, without which no clock can be ahead here."""
    return CLOCK is not None
