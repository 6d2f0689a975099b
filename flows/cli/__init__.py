"""The command line `voxdata`: a file per group of commands, with their options, help and handlers together.

Nothing heavy is imported at the top of these modules: handlers import what they call, so that help, completion and
mistakes are answered at once. `tests/flows/test_command_line.py` holds this.

What is imported still takes a second or more on a busy machine; Ctrl-C within that time, too, is answered by one line.
"""

import os
import signal
import threading

_INTERRUPTED = b"voxdata: interrupted; nothing was begun\n"
_is_main = threading.current_thread() is threading.main_thread()  # elsewhere no handler can be set, and none is called


def _end(number: int, frame: object) -> None:
    os.write(2, _INTERRUPTED)
    os._exit(130)


_before = signal.signal(signal.SIGINT, _end) if _is_main else None
try:
    from flows.cli.entry import app, command_line, main
finally:
    if _is_main and signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, _before)

__all__ = ["app", "command_line", "main"]
