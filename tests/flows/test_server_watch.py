"""A Prefect server that is gone is said in one line: a temporary one ends the command, another may come back."""

from __future__ import annotations

import http.server
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.prefect_api import running_flows
from flows.server_watch import watched
from voxdata.format.errors import BackendError

REPOSITORY = Path(__file__).parents[2]
COMMAND = """
import subprocess, sys, time
from flows.server_watch import ending_with
server = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
with ending_with(server):
    print(server.pid, flush=True)
    if sys.argv[1] == "work":
        time.sleep(600)
server.kill()
server.wait()
time.sleep(0.5)
print("ended well")
"""


def command(how: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, how],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_temporary_server_that_is_killed_ends_the_command_in_one_line() -> None:
    with command("work") as running:
        assert running.stdout is not None
        os.kill(int(running.stdout.readline()), signal.SIGKILL)
        said, failed = running.communicate(timeout=60)
    assert said == ""
    assert failed.startswith(
        "voxdata: the temporary Prefect server ended in the middle of the work (status -9); run the"
    )
    assert failed.count("\n") == 1
    assert running.returncode == 1


def test_a_temporary_server_that_is_stopped_afterwards_ends_nothing() -> None:
    with command("nothing") as running:
        said, failed = running.communicate(timeout=60)
    assert (said.splitlines()[1], failed, running.returncode) == ("ended well", "", 0)


class Health(http.server.BaseHTTPRequestHandler):
    """Answers everything."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def serving(port: int = 0) -> http.server.ThreadingHTTPServer:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Health)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


def test_an_api_that_goes_away_is_said_once_and_when_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    server = serving()
    port = server.server_address[1]
    with watched(f"http://127.0.0.1:{port}/api", poll_s=0.05, said_after_s=0.2):
        time.sleep(0.5)
        assert caplog.messages == []
        server.shutdown()
        server.server_close()
        _wait(lambda: "does not answer any more; start it again (prefect server start)" in caplog.text)
        time.sleep(0.5)
        again = serving(port)
        _wait(lambda: "answers again" in caplog.text)
    assert len(caplog.messages) == 2
    again.shutdown()
    again.server_close()


def test_an_api_that_fails_in_the_middle_of_a_flow_is_one_line() -> None:
    server = serving()
    url = f"http://127.0.0.1:{server.server_address[1]}/api"
    said = rf"^the Prefect API at {url} failed .*\(gone\).*resumes from what is committed$"
    with temporary_settings({PREFECT_API_URL: url}), pytest.raises(BackendError, match=said), running_flows():
        raise httpx.ConnectError("gone\nand much more")
    server.shutdown()
    server.server_close()


def _wait(there: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not there():
        assert time.monotonic() < until
        time.sleep(0.05)
