"""Flows that are done, and whose process then ends as badly as a process can; test_postgres.py deploys them."""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run


def _end(how: str) -> None:
    """End this process as soon as the server knows that the flow run is done."""
    with get_client(sync_client=True) as client:
        run = os.environ["ENDING_RUN"]
        while not (state := client.read_flow_run(run).state) or not state.is_final():
            time.sleep(0.05)
    if how == "status":
        os._exit(7)
    os.kill(os.getpid(), getattr(signal, how))


@flow
def ends_badly(how: str) -> None:
    """Done at once. `how`: `status` for an exit status, or the name of a signal."""
    os.environ["ENDING_RUN"] = str(flow_run.id)
    ending = threading.Thread(target=_end, args=(how,), daemon=True)
    ending.start()
    atexit.register(ending.join, 60)  # the process is still there when it comes
