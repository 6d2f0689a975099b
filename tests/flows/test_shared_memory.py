"""Without a usable /dev/shm no worker process can be started: that is one line, and not a traceback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flows.building import build_arguments

pytestmark = pytest.mark.long

APART = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
Poor = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(params=["ro", "size=4k"])
def poor(request: pytest.FixtureRequest) -> Poor:
    """Call the command line where /dev/shm is mounted like this, which only that process sees."""

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        script = f'mount -t tmpfs -o {request.param} none /dev/shm && exec "$@"'
        command = [*APART, script, "sh", sys.executable, "-m", "voxdata", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    try:
        allowed = subprocess.run([*APART, "mount -t tmpfs none /dev/shm"], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if allowed.returncode:
        pytest.skip("this machine lets nobody mount within a namespace")
    return call


def test_a_build_says_what_its_workers_lack(poor: Poor, corpus: Path, tmp_path: Path) -> None:
    assert_said("build", poor(*build_arguments(corpus, tmp_path / "root")))


def test_a_build_as_a_flow_says_it_too(poor: Poor, corpus: Path, tmp_path: Path) -> None:
    assert_said("build", poor(*build_arguments(corpus, tmp_path / "root"), "--prefect"))


def test_a_simulation_says_it(poor: Poor, tmp_path: Path) -> None:
    assert_said("simulate", poor("simulate", str(tmp_path / "corpus"), "--people", "2"))


def assert_said(command: str, done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"voxdata {command}: worker processes cannot be started: ")
    assert "/dev/shm: mount it writable" in done.stderr
    assert "Traceback" not in done.stderr
