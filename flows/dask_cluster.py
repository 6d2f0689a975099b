"""The Dask cluster that does a flow's task runs: what it lacks is said in one line, at once and while it works.

Prefect hands the calls over and Dask places them. Here stands what neither of them says to a person: that nobody
listens at the address, that workers lack the package or reach no API, that workers or the scheduler are gone.
"""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any

from prefect.futures import PrefectFuture
from prefect.settings import PREFECT_API_URL
from prefect.task_runners import TaskRunner

from voxdata.format.errors import BackendError
from voxdata.pipeline.progress import logger
from voxdata.recipe.sections import Work

ASK_S = 10.0
LOAD_S = 60.0  # of a worker that loads the package for the first time, from a shared disk
POLL_S = 5.0
SAID_AFTER_S = 15.0  # without a worker
GIVEN_UP_S = 900.0  # a cluster that grows on demand takes minutes to begin
STOPPED = "nothing is lost, the same command resumes from what is committed"


class Cluster:
    """The cluster of a recipe: one that is there already, or one on this machine that ends with the flow."""

    def __init__(self, work: Work) -> None:
        """Raises `BackendError` where prefect-dask is not installed."""
        try:
            from prefect_dask.task_runners import DaskTaskRunner
        except ImportError:
            raise BackendError("work.runner=dask needs prefect-dask; run: pip install 'voxdata[dask]'") from None
        self._address = work.dask_address
        where: dict[str, Any] = {"address": self._address, "client_kwargs": {"timeout": ASK_S}}
        if self._address is None:
            where = {"cluster_kwargs": {"n_workers": work.workers, "threads_per_worker": 1}}
        self.runner: TaskRunner[Any] = DaskTaskRunner(**where)
        self._silent_since: float | None = None
        self._said = False

    def connect(self) -> None:
        """Reach the scheduler and look at its workers. Raises `BackendError` for what keeps one from working."""
        try:
            client = self._client
        except (OSError, ValueError) as error:
            raise BackendError(
                f"work.dask_address={self._address}: no Dask scheduler answers there ({_first_line(error)}); start one "
                "(dask scheduler) and workers (dask worker ADDRESS), or leave work.dask_address out for a cluster on "
                "this machine"
            ) from None
        while not self.workers():
            self._mind_silence()
            time.sleep(POLL_S / 5)
        self._silent_since = None
        told = {"on_error": "return", "callback_timeout": LOAD_S}
        try:
            imported = client.run(import_module, __name__, **told)
            lacking = {where: why for where, why in imported.items() if isinstance(why, BaseException)}
            answers = {} if lacking else client.run(about, PREFECT_API_URL.value(), **told)
        except (TimeoutError, OSError) as error:
            raise BackendError(
                f"workers of the Dask cluster at {self._at} do not answer ({_first_line(error)}); restart those that "
                f"hang (dask worker {self._at}), then run the same command again"
            ) from None
        _refuse(lacking, answers)

    def workers(self) -> int:
        """How many workers the cluster has now; none where its scheduler does not answer."""
        try:
            found = self._client.sync(self._client.scheduler.identity, n_workers=-1, callback_timeout=ASK_S)
        except (TimeoutError, OSError, AttributeError):  # it has no scheduler while it connects anew
            return 0
        return len(found["workers"])

    def completed(self, futures: Sequence[PrefectFuture[Any]]) -> Iterator[PrefectFuture[Any]]:
        """The futures as they complete. Raises `BackendError` where the scheduler is gone, or all workers for long."""
        from concurrent.futures import CancelledError

        from distributed import wait
        from distributed.client import FuturesCancelledError

        left = {future.wrapped_future: future for future in futures}  # type: ignore[attr-defined]
        while left:
            try:
                with self._client.as_current():
                    done, _ = wait(list(left), timeout=POLL_S, return_when="FIRST_COMPLETED")  # type: ignore[no-untyped-call]
            except TimeoutError:
                self._look()
                continue
            except (FuturesCancelledError, CancelledError):
                raise BackendError(
                    f"the scheduler of the Dask cluster at {self._at} is gone, and with it all that was handed over; "
                    f"start it again (dask scheduler) with its workers, then run the same command again: {STOPPED}"
                ) from None
            for each in done:
                yield left.pop(each)

    @property
    def _client(self) -> Any:
        return self.runner.client  # type: ignore[attr-defined]

    @property
    def _at(self) -> str:
        return self._address or "this machine"

    def _look(self) -> None:
        if not self.workers():
            self._mind_silence()
            return
        if self._said:
            logger.warning("the Dask cluster at %s has workers again", self._at)
        self._silent_since, self._said = None, False

    def _mind_silence(self) -> None:
        now = time.monotonic()
        self._silent_since = now if self._silent_since is None else self._silent_since
        silent_s = now - self._silent_since
        if silent_s >= GIVEN_UP_S:
            raise BackendError(
                f"the Dask cluster at {self._at} has had no worker for {GIVEN_UP_S / 60:.0f} minutes; start some (dask "
                f"worker {self._at}, with the same voxdata installed), then run the same command again: {STOPPED}"
            )
        if silent_s >= SAID_AFTER_S and not self._said:
            self._said = True
            logger.warning(
                "the Dask cluster at %s has no worker; start some (dask worker %s, with the same voxdata installed) "
                "and this command goes on, for %.0f minutes; or end it with Ctrl-C: %s",
                *(self._at, self._at, GIVEN_UP_S / 60, STOPPED),
            )


def about(api: str | None) -> dict[str, str]:
    """What a worker is: versions, and why it does not reach the Prefect API ("" where it does). Runs in the worker."""
    return {"voxdata": version("voxdata"), "prefect": version("prefect"), "api": _why_not(api), "host": os.uname()[1]}


def _why_not(api: str | None) -> str:
    if api is None:
        return ""
    try:
        urllib.request.urlopen(f"{api.rstrip('/')}/health", timeout=ASK_S / 2).close()
    except urllib.error.HTTPError:
        return ""  # it answers
    except OSError as error:
        return _first_line(error)
    return ""


def _refuse(lacking: dict[str, BaseException], answers: dict[str, Any]) -> None:
    """Raises `BackendError` for the first worker that cannot do its share."""
    for where, why in lacking.items():
        raise BackendError(
            f"the Dask worker {where} cannot load voxdata ({_first_line(why)}); {len(lacking)} cannot; install on "
            "every worker what this machine has (pip install 'voxdata[dask]', the same version), restart them, and run "
            "the same command again"
        )
    mine = {name: version(name) for name in ("voxdata", "prefect")}
    for where, answer in answers.items():
        if isinstance(answer, BaseException):
            raise BackendError(f"the Dask worker {where} does not answer: {_first_line(answer)}; restart it")
        for name, here in mine.items():
            if answer[name] != here:
                raise BackendError(
                    f"the Dask worker {where} on {answer['host']} has {name} {answer[name]}, this machine {here}; "
                    "install the same on both, restart it, and run the same command again"
                )
        if answer["api"]:
            raise BackendError(
                f"the Dask worker {where} on {answer['host']} does not reach the Prefect API at "
                f"{PREFECT_API_URL.value()} ({answer['api']}); start a server that every worker reaches (prefect "
                "server start --host 0.0.0.0), set PREFECT_API_URL to its address here, and run the same command again"
            )


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
