"""A real Prefect server, process workers, and what the server says; used by the tests of the deployments."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
START_S = 240  # of a busy machine
WAIT_S = 300
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


class Server:
    """`prefect server start` on a loopback port, with a database of its own in `home`; it can be started again."""

    def __init__(self, home: Path, **environment: str) -> None:
        self._home = home
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}/api"
        self.environment = {
            **os.environ,
            "PREFECT_HOME": str(home),
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_LOGGING_LEVEL": "CRITICAL",
            **environment,
        }

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self._port)]
        with (self._home / "server.log").open("a") as log:
            self._process = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            assert self._process.poll() is None, (self._home / "server.log").read_text()
            try:
                httpx.get(f"{self.url}/health", timeout=2).raise_for_status()
                return
            except httpx.HTTPError:
                time.sleep(0.3)
        pytest.fail(f"the Prefect server did not start in {START_S} s:\n{(self._home / 'server.log').read_text()}")

    def stop(self) -> None:
        """End it as an operator does."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(timeout=30)

    def kill(self) -> None:
        """End it as a power cut does."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Worker:
    """`prefect worker start` for a pool, in a folder that is not the checkout."""

    def __init__(self, pool: str, environment: dict[str, str], folder: Path) -> None:
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--type", "process"]
        with (folder / f"{pool}.log").open("a") as log:
            self.process = subprocess.Popen(
                command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True
            )

    def stop(self) -> None:
        """End it as an operator does."""
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it as a power cut does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Api:
    """What the server says, and `prefect` on the command line."""

    def __init__(self, url: str, environment: dict[str, str], auth: str | None = None) -> None:
        """`auth`: user:password of a server that asks for them."""
        self._auth = None if auth is None else httpx.BasicAuth(*auth.split(":", 1))
        self.environment = {
            **environment,
            "PREFECT_API_URL": url,
            "PREFECT_LOGGING_LEVEL": "INFO",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
        }
        self.url = url

    def prefect(self, *arguments: str) -> str:
        """Run `prefect ARGUMENTS` in the repository and return what it prints; it must succeed."""
        done = subprocess.run(
            [sys.executable, "-m", "prefect", *arguments],
            env=self.environment,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(self, method: str, path: str, content: Any = None) -> Any:
        """What the server answers; again while its database is busy (503), as Prefect's own client does."""
        until = time.monotonic() + WAIT_S
        while True:
            answer = httpx.request(method, f"{self.url}/{path}", json=content, timeout=60, auth=self._auth)
            if answer.status_code != 503 or time.monotonic() > until:
                answer.raise_for_status()
                return answer.json() if answer.content else None
            time.sleep(1)

    def deploy(self, *pools: str) -> None:
        """All deployments of prefect.yaml, and these work pools."""
        for pool in pools:
            self.ask("POST", "work_pools/", {"name": pool, "type": "process"})
        self.prefect("--no-prompt", "deploy", "--all")

    def move(self, deployment: str, pool: str) -> None:
        """Have a deployment's runs done by another pool."""
        where = self.ask("GET", f"deployments/name/{deployment}")["id"]
        self.ask("PATCH", f"deployments/{where}", {"work_pool_name": pool})

    def filter(self, what: str, **where: Any) -> list[dict[str, Any]]:
        """Rows of `/<what>/filter`."""
        answer: list[dict[str, Any]] = self.ask("POST", f"{what}/filter", where)
        return answer

    def begin(self, deployment: str, **parameters: Any) -> str:
        """Order a run of a deployment, as `prefect deployment run` does; returns its id."""
        where = self.ask("GET", f"deployments/name/{deployment}")["id"]
        content = {"parameters": parameters, "state": {"type": "SCHEDULED"}, "enforce_parameter_schema": True}
        identifier: str = self.ask("POST", f"deployments/{where}/create_flow_run", content)["id"]
        return identifier

    def run(self, deployment: str, **parameters: Any) -> dict[str, Any]:
        """Order a run, wait for its end, and return it."""
        run = self.begin(deployment, **parameters)
        self.wait(run, *ENDED)
        return self.flow_run(run)

    def flow_run(self, run: str) -> dict[str, Any]:
        """A flow run as it is now."""
        answer: dict[str, Any] = self.ask("GET", f"flow_runs/{run}")
        return answer

    def newest_run(self, deployment: str) -> dict[str, Any]:
        """The run of a deployment that was ordered last."""
        flow, _, name = deployment.partition("/")
        runs = self.filter(
            "flow_runs",
            flows={"name": {"any_": [flow]}},
            deployments={"name": {"any_": [name]}},
            sort="EXPECTED_START_TIME_DESC",
        )
        return runs[0]

    def subflow_run(self, run: str) -> str:
        """The id of the flow run that a flow run called."""
        found = self.filter("flow_runs", flow_runs={"parent_flow_run_id": {"any_": [run]}})
        identifier: str = found[0]["id"]
        return identifier

    def artifacts(self, key: str, run: str) -> list[dict[str, Any]]:
        """The artifacts of a flow run under a key."""
        return self.filter("artifacts", artifacts={"key": {"any_": [key]}}, flow_runs={"id": {"any_": [run]}})

    def wait(self, run: str, *states: str) -> str:
        """Until a flow run is in one of these states; returns it."""
        until = time.monotonic() + WAIT_S
        state = "unknown"
        while time.monotonic() < until:
            state = self.flow_run(run)["state_type"]
            if state in states:
                return state
            time.sleep(0.5)
        pytest.fail(f"flow run {run} is {state} after {WAIT_S} s, not {' or '.join(states)}")


def parameters(values: dict[str, Any]) -> list[str]:
    """`--param` options of `prefect deployment run`."""
    return [part for name, value in values.items() for part in ("--param", f"{name}={json.dumps(value)}")]


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
