"""What a killed process started must end, too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

PARENT = """
import os, subprocess, sys
command = [sys.executable, "-m", "flows.watchdog", str(os.getpid()), "http.server", "0", "--bind", "127.0.0.1"]
child = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE)
print(child.stdout.readline() and child.pid, flush=True)
child.wait()
"""


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at /proc")
def test_module_ends_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert _alive(child)
        parent.send_signal(signal.SIGKILL)
    until = time.monotonic() + 60
    while _alive(child):
        assert time.monotonic() < until, "the module went on"
        time.sleep(0.1)
