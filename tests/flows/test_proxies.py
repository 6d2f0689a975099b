"""A proxy in the environment is never asked for this very machine, and stays in force for every other host."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.building import Voxdata, build_arguments

ASK = """
import sys, urllib.request
from flows.cli import main
assert main(["--quiet", "weights", "--help"]) == 0
from flows.prefect_api import check_api
check_api(sys.argv[1])
print(urllib.request.proxy_bypass("example.org"), urllib.request.proxy_bypass("inside.example"))
"""
DEAD = "http://127.0.0.1:9"


class _Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[str]:
    """Something on loopback that says that it is well."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Health) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


@pytest.mark.long
@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_loopback_is_asked_directly_and_other_hosts_through_the_proxy(name: str, api: str) -> None:
    without = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    environment = {**without, name: DEAD, "NO_PROXY": "inside.example"}
    done = subprocess.run(
        [sys.executable, "-c", ASK, api], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    bypassed = done.stdout.splitlines()[-1].split()
    assert [each not in ("0", "False") for each in bypassed] == [False, True]


@pytest.mark.long
@pytest.mark.parametrize("proxy", ["socks4://127.0.0.1:9", "http://127.0.0.1:port"])
def test_a_proxy_that_prefect_cannot_use_is_said_in_one_line(
    proxy: str, corpus: Path, voxdata: Voxdata, tmp_path: Path
) -> None:
    done = voxdata(*build_arguments(corpus, tmp_path / "root"), "--prefect", ALL_PROXY=proxy)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("voxdata build: Prefect cannot use the proxy of ALL_PROXY (")
    assert "unset it for this command" in done.stderr
    assert "Traceback" not in done.stderr
