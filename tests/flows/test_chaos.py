"""Six faults of benchmarks/chaos.py, each at one drawn moment: nothing is lost, nothing hangs, no traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.faults.attempts import attempt
from benchmarks.faults.object_storage import OnS3
from benchmarks.faults.places import Local, Place, build, corpus_in
from benchmarks.faults.table import FAULTS

pytestmark = [
    pytest.mark.long,
    # Clients of S3 leave sockets and loops to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

LIMIT_S = 600.0  # of a busy machine
TRIED = [
    ("flow killed", "local"),
    ("worker killed", "local"),
    ("second build", "local"),
    ("half a part", "local"),
    ("flow killed", "s3"),
    ("endpoint down for a while", "s3"),
]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus_in(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
def expected(people: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What an undisturbed build leaves."""
    place = Local(tmp_path_factory.mktemp("undisturbed") / "here", people)
    done = build(place, LIMIT_S)
    assert done.returncode == 0, done.stderr
    return place.content()


@pytest.fixture
def place(where: str, people: Path, tmp_path: Path) -> Iterator[Place]:
    with closing({"local": Local, "s3": OnS3}[where](tmp_path / "here", people)) as made:
        yield made


@pytest.mark.parametrize(("name", "where"), TRIED)
def test_the_same_command_finishes_with_the_same_bytes(
    name: str, where: str, place: Place, expected: dict[str, str]
) -> None:
    (fault,) = (each for each in FAULTS if each.name == name)
    assert where in fault.where
    found = attempt(fault, place, where, 0, seed=0, expected=expected, limit_s=LIMIT_S)
    assert (found.verdict, found.tracebacks, found.untold) == ("survived", 0, 0), found


def test_a_build_with_other_bytes_is_called_lost(people: Path, expected: dict[str, str], tmp_path: Path) -> None:
    """Not everything survives: that would tell nothing."""
    (fault,) = (each for each in FAULTS if each.name == "flow stopped for a while")
    place = Local(tmp_path / "here", people)
    others = {**expected, "shards/x.tar": "0" * 64}
    assert attempt(fault, place, "local", 0, seed=0, expected=others, limit_s=LIMIT_S).verdict == "lost"
