"""What may happen to a build, each a function of the build that is running."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from .attempts import Running, TooLateError, descendants
from .machine import elsewhere, fill, small_disk
from .object_storage import OnS3
from .places import Local, OnDask, Place, run

WORKER = "spawn_main"
PAUSE_S = 4.0
SECOND_S = 900.0  # it may wait for the first, whose limit counts
LEASE_S = 62.0  # voxdata.store.leases.EXPIRES_S, and a little
PART = (".parquet", ".tar")


def signalled(number: int) -> Callable[[Running], None]:
    """The command alone hears of a signal."""
    return lambda running: os.kill(running.flow, number)


def ctrl_c(running: Running) -> None:
    """The command and all that belongs to its terminal are interrupted."""
    if running.process.poll() is not None:
        raise TooLateError
    os.killpg(running.process.pid, signal.SIGINT)


def asleep(running: Running) -> None:
    """The command does nothing for a while."""
    flow = running.flow
    os.kill(flow, signal.SIGSTOP)
    time.sleep(PAUSE_S)
    os.kill(flow, signal.SIGCONT)


def overtaken(running: Running) -> None:
    """A command in another container sees no process of a build that sleeps, waits for its lease to end, and builds."""
    pids = [running.flow, *descendants(running.flow)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        command = running.place.command
        _beside(running, command if command[0] == "unshare" else elsewhere(command))
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def flow_overtaken(running: Running) -> None:
    """The same, where the workers of the build go on meanwhile."""
    flow = running.flow
    os.kill(flow, signal.SIGSTOP)
    try:
        command = running.place.command
        _beside(running, command if command[0] == "unshare" else elsewhere(command))
    finally:
        os.kill(flow, signal.SIGCONT)


def worker_killed(running: Running) -> None:
    """As by the kernel, for want of memory."""
    os.kill(running.processes(WORKER)[0], signal.SIGKILL)


def worker_asleep(running: Running) -> None:
    """A worker does nothing for a while."""
    worker = running.processes(WORKER)[0]
    os.kill(worker, signal.SIGSTOP)
    time.sleep(PAUSE_S)
    os.kill(worker, signal.SIGCONT)


def limited(limit: int, value: int) -> Callable[[Running], None]:
    """Every process of the build meets a limit of the system from now on."""

    def does(running: Running) -> None:
        flow = running.flow
        for pid in [flow, *descendants(flow)]:
            resource.prlimit(pid, limit, (value, resource.RLIM_INFINITY if limit == resource.RLIMIT_FSIZE else value))

    return does


def small_memory(running: Running) -> None:
    """A worker gets no more memory than it has."""
    worker = running.processes(WORKER)[0]
    held = int(Path(f"/proc/{worker}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(worker, resource.RLIMIT_AS, (held, held))


def refused(number: int) -> Callable[[Running], None]:
    """Writes below the root fail."""
    return lambda running: running.place.refuse_writes(number)


def own_disk(place: Place) -> None:
    """The root lies on a small disk."""
    small_disk(_local(place).disk)


def disk_filled(running: Running) -> None:
    """Somebody else fills that disk."""
    fill(_local(running.place).disk)


def root_gone(running: Running) -> None:
    """The root's folder is no longer there."""
    _local(running.place).take_root()


def temporary_gone(running: Running) -> None:
    """Somebody clears the system's folder of temporary files."""
    subprocess.run(["rm", "-rf", str(running.place.folder / "temporary")], check=True)


def no_source(running: Running) -> None:
    """Photos and speech are away."""
    running.place.break_source()


def shrunk(place: Place) -> None:
    """The source holds fewer photos than it will."""
    place.shrink_source()


def second_build(running: Running) -> None:
    """The same command beside it: it is told who builds there, or finishes what is left."""
    _beside(running, running.place.command)


def second_of_other_parts(running: Running) -> None:
    """A command beside it that would cut the work otherwise."""
    _beside(running, running.place.command_with("work.items_per_part=3"))


def forgetting(running: Running) -> None:
    """Somebody forgets a person meanwhile: one writes at a time, so they are told to wait."""
    words = ["forget", "id90002", "--reason", "letter 12", "--yes"]
    _beside(running, running.place.started(words))
    if running.beside[-1].returncode == 0:
        raise TooLateError  # nobody was building any more


def killed_and_begun_anew(running: Running) -> None:
    """Killed, and begun again at once, while what it had handed over may still be worked on."""
    signalled(signal.SIGKILL)(running)
    _beside(running, running.place.command)


def torn(share: float) -> Callable[[Running], None]:
    """A power cut, on a disk that had only promised: the last part that was written is not whole."""

    def does(running: Running) -> None:
        signalled(signal.SIGKILL)(running)
        running.process.wait()
        time.sleep(2)  # workers see that they are alone
        parts = [key for key in running.place.written() if key.endswith(PART) and "/b" in key]
        if not parts:
            raise TooLateError
        running.place.cut_short(parts[-1], share)

    return does


def server_killed(running: Running) -> None:
    """The Prefect server that the command has started is gone."""
    os.kill(running.processes(r"flows\.temporary_server")[0], signal.SIGKILL)


def server_asleep(running: Running) -> None:
    """That server does nothing for a while."""
    server = running.processes(r"flows\.temporary_server")[0]
    os.kill(server, signal.SIGSTOP)
    time.sleep(5 * PAUSE_S)
    os.kill(server, signal.SIGCONT)


def endpoint_down(running: Running) -> None:
    """Nobody listens for a while."""
    proxy = _s3(running).proxy
    proxy.cut()
    time.sleep(PAUSE_S)
    proxy.mend()


def endpoint_gone(running: Running) -> None:
    """Nobody listens any more."""
    _s3(running).proxy.cut()


def endpoint_slow(running: Running) -> None:
    """Every answer takes half a second longer, for a while."""
    proxy = _s3(running).proxy
    proxy.slow_down(0.5)
    time.sleep(2 * PAUSE_S)
    proxy.mend()


def connections_reset(running: Running) -> None:
    """Connections end in the middle, again and again."""
    for _ in range(20):
        _s3(running).proxy.reset()
        time.sleep(PAUSE_S / 20)


def answering(status: str, code: str, for_s: float | None = None) -> Callable[[Running], None]:
    """The endpoint answers with nothing but an error, for a while or from now on."""

    def does(running: Running) -> None:
        proxy = _s3(running).proxy
        proxy.answer(status, code)
        if for_s is not None:
            time.sleep(for_s)
            proxy.mend()

    return does


def dask_worker_killed(running: Running) -> None:
    """One of two is gone."""
    dask = _dask(running).dask
    dask.kill(dask.workers[0])


def dask_workers_replaced(running: Running) -> None:
    """All go; 20 s later there are others."""
    dask = _dask(running).dask
    for worker in dask.workers:
        dask.kill(worker)
    time.sleep(20)
    dask.start_worker(2)


def dask_worker_asleep(running: Running) -> None:
    """One of two does nothing for a while."""
    worker = _dask(running).dask.workers[0]
    os.killpg(worker.pid, signal.SIGSTOP)
    time.sleep(PAUSE_S)
    os.killpg(worker.pid, signal.SIGCONT)


def scheduler_killed(running: Running) -> None:
    """The scheduler is gone, and nobody starts it again."""
    dask = _dask(running).dask
    dask.kill(dask.scheduler)


def other_library(running: Running) -> None:
    """A third worker comes, whose soundfile is of another version."""
    place = _dask(running)
    about = place.folder / "other" / "soundfile-99.1.dist-info"
    about.mkdir(parents=True, exist_ok=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: soundfile\nVersion: 99.1\n")
    path = os.pathsep.join([str(about.parent), place.environment["PYTHONPATH"]])
    place.dask.start_worker(1, PYTHONPATH=path)


def with_nannies(**environment: str) -> Callable[[Place], None]:
    """Workers that are started again when they end, as `dask worker` does it unless it is told otherwise."""

    def does(place: Place) -> None:
        assert isinstance(place, OnDask)
        for worker in place.dask.workers:
            place.dask.kill(worker)
        place.dask.workers.clear()
        place.dask.start_worker(2, nanny=True, **environment)

    return does


def worker_without_sources(running: Running) -> None:
    """A third worker comes, on whose machine the sources are not mounted."""
    place = _dask(running)
    place.dask.start_worker(1, hidden=str(place.corpus))


def worker_without_root(running: Running) -> None:
    """A third worker comes, on whose machine the root is an empty folder."""
    place = _dask(running)
    place.dask.start_worker(1, hidden=place.root)


def nothing(running: Running) -> None:
    """What happens is in the environment."""


def _beside(running: Running, command: list[str]) -> None:
    """Run a command beside the build. Raises `TooLateError` where that has ended, `subprocess.TimeoutExpired`."""
    if running.process.poll() is not None and running.process.returncode >= 0:
        raise TooLateError
    running.beside.append(run(running.place, command, SECOND_S))


def _local(place: Place) -> Local:
    assert isinstance(place, Local)
    return place


def _s3(running: Running) -> OnS3:
    assert isinstance(running.place, OnS3)
    return running.place


def _dask(running: Running) -> OnDask:
    assert isinstance(running.place, OnDask)
    return running.place
