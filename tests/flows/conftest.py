"""A real Prefect server for the whole test session, and a small simulated corpus."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.building import Voxdata, build_arguments
from voxdata.simulate.corpus import CorpusSettings, write_corpus

START_S = 90


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def prefect_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A Prefect server on a free loopback port, and the environment of processes that use it."""
    home = tmp_path_factory.mktemp("prefect")
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    environment = {
        **os.environ,
        "PREFECT_HOME": str(home),
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait_for(f"{url}/health", server, home / "server.log")
            yield {**environment, "PREFECT_API_URL": url}
        finally:
            server.terminate()
            server.wait(timeout=30)


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.3)
    pytest.fail(f"the Prefect server did not start in {START_S} s:\n{log.read_text()}")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight painted people with six photos and three clips each, spoiled in known ways."""
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder, CorpusSettings(people=8, photos_per_person=6, clips_per_person=3, seed=3))
    return folder


@pytest.fixture(scope="session")
def voxdata(prefect_environment: dict[str, str]) -> Voxdata:
    """Runs the command line in a process of its own."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flows.cli", *arguments],
            env={**prefect_environment, **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory, corpus: Path, voxdata: Voxdata) -> Path:
    """A root that was built once, undisturbed."""
    folder = tmp_path_factory.mktemp("built") / "root"
    done = voxdata(*build_arguments(corpus, folder))
    assert done.returncode == 0, done.stderr
    return folder
