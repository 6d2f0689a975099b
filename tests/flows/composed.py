"""compose.yaml as Compose reads it, and its commands as processes of this machine: no container engine is needed."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.flows.deployed import REPOSITORY, START_S, free_port

PROGRAMS = Path(sys.executable).parent
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<how>[-?])(?P<rest>[^}]*))?\}")


def compose(values: Mapping[str, str]) -> dict[str, Any]:
    """The file with its variables filled in. Raises `KeyError` where one has neither a value nor a default."""

    def fill(match: re.Match[str]) -> str:
        if values.get(match["name"]):
            return values[match["name"]]
        if match["how"] != "-":
            raise KeyError(match["name"])
        return match["rest"]

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: filled(each) for key, each in value.items()}
        if isinstance(value, list):
            return [filled(each) for each in value]
        return _VARIABLE.sub(fill, value) if isinstance(value, str) else value

    content: dict[str, Any] = filled(yaml.safe_load((REPOSITORY / "compose.yaml").read_text(encoding="utf-8")))
    return content


class Composed:
    """Services of the file as processes, which find each other under loopback ports. `stop` ends them, newest first."""

    def __init__(self, folder: Path, values: Mapping[str, str]) -> None:
        self.folder = folder
        self.ports = {name: free_port() for name in ("postgres:5432", "server:4200", "dask-scheduler:8786")}
        self.services: dict[str, Any] = compose(values)["services"]
        self.started: dict[str, subprocess.Popen[bytes]] = {}
        self.url = f"http://127.0.0.1:{self.ports['server:4200']}/api"

    def here(self, text: str) -> str:
        """A word of the file, with this machine's addresses and ports."""
        for name, port in self.ports.items():
            text = text.replace(name, f"127.0.0.1:{port}")
            number = name.partition(":")[2]
            text = str(port) if text == number else text.replace(f"127.0.0.1:{number}", f"127.0.0.1:{port}")
        return text.replace("0.0.0.0", "127.0.0.1")

    def environment(self, service: str) -> dict[str, str]:
        """What the processes of a service find in their environment."""
        stated = self.services[service].get("environment", {})
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "AWS_"))},
            "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONSAFEPATH": "1",
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            **{name: self.here(str(value)) for name, value in stated.items()},
        }

    def command(self, service: str) -> list[str]:
        """The words of a service's command."""
        return [self.here(word) for word in self.services[service]["command"]]

    def run(self, service: str, words: list[str]) -> str:
        """Run words to their end as the service would; they must succeed."""
        done = subprocess.run(
            words, env=self.environment(service), cwd=REPOSITORY, capture_output=True, text=True, timeout=START_S
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, service: str, ready: Callable[[], bool]) -> None:
        """Start a service's command, and wait until it is `ready`."""
        log = self.folder / f"{service}.log"
        with log.open("a") as said:
            process = subprocess.Popen(
                self.command(service),
                env=self.environment(service),
                cwd=self.folder,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        self.started[service] = process
        until = time.monotonic() + START_S
        while not ready():
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < until, log.read_text()[-3000:]
            time.sleep(0.3)

    def healthy(self, service: str, **environment: str) -> bool:
        """Whether the service's own health check says so; `environment` is what its container would have."""
        _, *words = self.services[service]["healthcheck"]["test"]
        told = {**self.environment(service), **environment}
        return subprocess.run([self.here(word) for word in words], env=told, capture_output=True).returncode == 0

    def stop(self) -> None:
        """End all processes."""
        for process in reversed(self.started.values()):
            process.terminate()
            try:
                process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


class Postgres:
    """Debian's PostgreSQL, a cluster of its own in a new folder, owned by nobody where this process is root."""

    def __init__(self, port: int, user: str, password: str) -> None:
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not programs:
            pytest.skip("no PostgreSQL in /usr/lib/postgresql: apt-get install postgresql")
        self._programs = programs[-1].parent
        self._folder = Path(tempfile.mkdtemp(prefix="voxdata-postgres-", dir="/tmp"))
        self._as: dict[str, Any] = {}
        if os.getuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self._folder, nobody.pw_uid, nobody.pw_gid)
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        secret = self._folder / "secret"
        secret.write_text(password)
        secret.chmod(0o644)
        data = str(self._folder / "data")
        self._do("initdb", "--pgdata", data, "--username", user, "--pwfile", str(secret), "--auth", "scram-sha-256")
        secret.unlink()
        where = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={self._folder} -c fsync=off"
        self._do("pg_ctl", "start", "--wait", "--pgdata", data, "--log", str(self._folder / "log"), "--options", where)
        told = {**os.environ, "PGPASSWORD": password}
        words = ["--host", "127.0.0.1", "--port", str(port), "--username", user]
        subprocess.run([self._programs / "createdb", *words, user], env=told, check=True, capture_output=True)

    def stop(self) -> None:
        """End it and delete its folder."""
        self._do("pg_ctl", "stop", "--pgdata", str(self._folder / "data"), "--mode", "immediate")
        shutil.rmtree(self._folder)

    def _do(self, program: str, *words: str) -> None:
        command = [str(self._programs / program), *words]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, cwd="/tmp", check=False, **self._as)
        assert done.returncode == 0, f"{program} ended with {done.returncode}"
