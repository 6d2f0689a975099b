"""Processes that we start: Python modules, whatever lies in the working directory, and a training in several of them.

Python puts the working directory first on the module path of `python -m`: a user's own `models/` or `flows.py` there
would be imported instead of ours. `-P` keeps it out, and the processes that such a process spawns inherit the flag.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO

STARTED_BY = "VOXDATA_STARTED_BY"
"""In the environment of a process of several: the id of the one that started it."""
POLL_S = 0.1
END_LIMIT_S = 60.0
"""For the other processes when one has failed; they notice by themselves, unless they wait for what never comes."""
READ_LIMIT_S = 5.0
"""For the last words of one that has ended: what it started itself may hold the pipe open."""
LOST = "lost another one"
"""In the last words of a process that ended because another one had."""


def python_module(name: str, *arguments: str) -> list[str]:
    """The command that runs a module of this installation, with the working directory kept off its module path."""
    return [sys.executable, "-P", "-m", name, *arguments]


def run_together(command: Sequence[str], count: int, should_stop: Callable[[], bool]) -> int:
    """Run a command in `count` processes of this machine that find each other as under `torchrun`.

    `should_stop()` is passed on as SIGTERM. Returns the exit status of all, or that of the one that failed first, whose
    last line is then said once more, as the very last one; 1 for one that was killed.
    """
    started = [_Rank(command, environment) for environment in _environments(count)]
    told, failed_at = False, float("inf")
    while any(rank.running for rank in started):
        time.sleep(POLL_S)
        if should_stop() and not told:
            told = True
            for rank in started:
                rank.send(signal.SIGTERM)
        if failed_at == float("inf") and any(rank.failed for rank in started):
            failed_at = time.monotonic()
        if time.monotonic() - failed_at > END_LIMIT_S:
            for rank in started:
                rank.send(signal.SIGKILL)
    return _status(started)


class _Rank:
    """One of the processes; what it says is passed on, and its last line is remembered."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(command, env=dict(environment), stderr=subprocess.PIPE)
        self.last, self._killed = "", False
        self._reader = threading.Thread(target=self._pass_on, args=(self._process.stderr,), daemon=True)
        self._reader.start()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def failed(self) -> bool:
        return self._process.poll() not in (None, 0)

    @property
    def status(self) -> int:
        self._reader.join(READ_LIMIT_S)
        return self._process.wait()

    @property
    def followed(self) -> bool:
        """Whether it ended because another one had."""
        return self._killed or LOST in self.last

    def send(self, number: signal.Signals) -> None:
        if self.running:
            self._killed = self._killed or number == signal.SIGKILL
            self._process.send_signal(number)

    def _pass_on(self, said: IO[bytes]) -> None:
        with said:
            for line in said:
                self.last = line.decode(errors="replace").rstrip()
                sys.stderr.write(f"{self.last}\n")
                sys.stderr.flush()


def _status(ended: Sequence[_Rank]) -> int:
    """The status of the one to blame: a killed one, else one that says why, else one that only lost another."""
    failed = [rank for rank in ended if rank.status != 0]
    if not failed:
        return 0
    blamed = min(failed, key=lambda rank: (rank.followed, rank.status > 0))
    if blamed.status < 0:
        name = signal.Signals(-blamed.status).name
        print(f"process {ended.index(blamed)} of {len(ended)} was ended by {name}", file=sys.stderr)
        return 1
    if any(rank.last != blamed.last for rank in ended):
        print(blamed.last, file=sys.stderr)
    return blamed.status


def _environments(count: int) -> list[dict[str, str]]:
    """What `torchrun` sets, for `count` processes of this machine, which share its processors."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    threads = max(1, len(os.sched_getaffinity(0)) // count)
    shared = {"OMP_NUM_THREADS": str(threads), **os.environ, STARTED_BY: str(os.getpid())}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    return [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]
