"""A module that must not outlive the process that started it: `python -m flows.watchdog PARENT MODULE ARGUMENTS…`.

When PARENT is gone, even if it was killed with -9, the module gets SIGTERM: a training then ends at a checkpoint
instead of going on unseen, beside the one that is started next.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time

from voxdata.pipeline.processes import POLL_S


def main() -> None:
    """Run the module as if by `python -m MODULE ARGUMENTS…`."""
    parent, module = int(sys.argv[1]), sys.argv[2]
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    sys.argv = sys.argv[2:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_S)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
