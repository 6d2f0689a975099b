"""A real Prefect server for the whole test session, and a small simulated corpus."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.cli import main
from tests.flows.building import SMALL_CORPUS, Voxdata, build_arguments
from tests.flows.deployed import Server
from tests.flows.looked_at import META, give
from voxdata.simulate.corpus import write_corpus


@pytest.fixture(scope="session")
def prefect_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A Prefect server on a free loopback port, and the environment of processes that use it."""
    server = Server(tmp_path_factory.mktemp("prefect"))
    server.start()
    yield {**server.environment, "PREFECT_API_URL": server.url}
    server.stop()


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight painted people with six photos and three clips each, spoiled in known ways."""
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder, SMALL_CORPUS)
    return folder


@pytest.fixture(scope="session")
def plain_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of processes that know of no Prefect server."""
    return {**_without_prefect(), "PREFECT_HOME": str(tmp_path_factory.mktemp("no-prefect"))}


@pytest.fixture(scope="session")
def voxdata(plain_environment: dict[str, str]) -> Voxdata:
    """Runs the command line in a process of its own; what is named goes into its environment."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flows.cli", *arguments],
            env={**plain_environment, **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


@pytest.fixture
def here(
    capsys: pytest.CaptureFixture[str], plain_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Voxdata:
    """Runs the command line in this process: for commands that start no worker, in a tenth of the time."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", plain_environment["PREFECT_HOME"])

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        status = main(arguments)
        return subprocess.CompletedProcess(arguments, status, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory, corpus: Path, voxdata: Voxdata) -> Path:
    """A root that was built once by two workers, undisturbed."""
    folder = tmp_path_factory.mktemp("built") / "root"
    done = voxdata(*build_arguments(corpus, folder, "work.workers=2"))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """Three photos and two clips each of three people, by id, by name and in another spelling."""
    (tmp_path / "meta.csv").write_text(META)
    give(tmp_path / "photos", ["Beyonce", "id10002", "ann lee"], "jpg", 3)
    give(tmp_path / "wav", ["Beyonc\N{LATIN SMALL LETTER E WITH ACUTE}", "John_Smith", "id10003"], "wav", 2)
    return tmp_path


def _without_prefect() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
