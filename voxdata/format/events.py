"""What a program hears of a command under `--progress json`: events, each an object of JSON in a line of its own.

Whoever speaks under it writes to the standard error of its own process, a training, too, and marks its events by the
record separator of RFC 7464. The command line makes JSON lines of them and of everything else that is said there
(`flows/cli/relay.py`). It states by `VARIABLE` that it does so; without it, nobody is to write events.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any

MARK = "\x1e"
VARIABLE = "VOXDATA_EVENTS_ARE_RELAYED"


def wanted() -> bool:
    """Whether somebody makes JSON lines of what this process says."""
    return VARIABLE in os.environ


def emit(event: str, **facts: Any) -> None:
    """Say an event, where `wanted`: its kind, and facts that JSON has words for."""
    sys.stderr.write(f"{MARK}{line(event, **facts)}\n")
    sys.stderr.flush()


def line(event: str, **facts: Any) -> str:
    """An event as its line of JSON, in ASCII."""
    return json.dumps({"event": event, **facts}, allow_nan=False)


class EventHandler(logging.Handler):
    """Makes an event `log` of each record, with its level in small letters."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say it. As every handler, it never raises."""
        try:
            emit("log", level=record.levelname.lower(), text=self.format(record))
        except Exception:
            self.handleError(record)
