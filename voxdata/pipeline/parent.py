"""A process that must not outlive the one that started it."""

from __future__ import annotations

import os
import threading
import time

POLL_S = 1.0


def die_with(parent: int) -> None:
    """End this process at once when `parent` is gone, even if it was killed with -9."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_S)
    os._exit(1)
