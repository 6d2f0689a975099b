"""A scheduler and workers of Dask as processes of their own, as an operator starts them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from distributed import Client

from flows.prefect_api import free_port

from .machine import hiding

REPOSITORY = Path(__file__).resolve().parents[2]
START_S = 120


class Dask:
    """`dask scheduler` on a loopback port; workers are started one by one. Everything is ended by `stop`."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler = self.start_scheduler()

    @staticmethod
    def workers_at(address: str) -> int | None:
        """How many workers the scheduler at an address has; None where it does not answer."""
        try:
            with Client(address, timeout=2, set_as_default=False) as client:
                return len(client.scheduler_info()["workers"])
        except OSError:
            return None

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        """The scheduler at the address, also after it was killed; returns when it answers."""
        port = self.address.rpartition(":")[2]
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", port)
        self.wait_for(0)
        return self.scheduler

    def start_worker(
        self, count: int = 1, *, nanny: bool = False, hidden: str | None = None, **environment: str
    ) -> None:
        """A `dask worker`; returns when the scheduler knows it.

        Without a nanny, which would start it again; on a machine where nothing is in the folder `hidden`.
        """
        words = ("worker", self.address, "--nthreads", "1", "--nanny" if nanny else "--no-nanny")
        for _ in range(count):
            self.workers.append(self._start(*words, hidden=hidden, **environment))
        self.wait_for(sum(each.poll() is None for each in self.workers))

    def wait_for(self, workers: int) -> None:
        """Until the scheduler knows so many workers."""
        until = time.monotonic() + START_S
        while self.workers_at(self.address) != workers:
            assert time.monotonic() < until, (self._folder / "dask.log").read_text()[-2000:]
            time.sleep(0.2)

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """End it as a power cut does."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """End all of them."""
        for process in [*self.workers, self.scheduler]:
            self.kill(process)

    def _start(self, *words: str, hidden: str | None = None, **environment: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", *words, "--no-dashboard"]
        with (self._folder / "dask.log").open("a") as log:
            return subprocess.Popen(
                command if hidden is None else hiding(hidden, command),
                env={**self._environment, **environment},
                cwd=self._folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
