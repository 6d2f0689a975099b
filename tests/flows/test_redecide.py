"""Limits changed after the build: nothing is measured again, and the end is that of a build with those limits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
import webdataset as wds

from tests.flows.building import Voxdata, build_arguments, parts, shard_bytes
from voxdata.catalog.snapshot import latest
from voxdata.catalog.verify import verify
from voxdata.store import journal
from voxdata.store.storage import open_storage

pytestmark = pytest.mark.long

LOOSER = (
    "faces.lighting.min_evenness=0",
    "faces.lighting.max_shadow_share=1",
    "faces.resolution.min_pupil_distance_px=30",
)
WIDER = tuple(part for pair in LOOSER for part in ("--set", pair))
STAGES = ("faces.measure", "faces.render", "speech.measure")


def rows(root: Path, statement: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(root / "catalog.duckdb"), read_only=True) as connection:
        found: list[tuple[Any, ...]] = connection.sql(statement).fetchall()
    return found


def portraits(root: Path) -> dict[str, float]:
    """face id -> pupil distance of every portrait in the catalog, px."""
    return dict(rows(root, "select face_id, pupil_distance_px from faces where portrait"))


def people(root: Path) -> set[str]:
    return {row[0] for row in rows(root, "select distinct person from samples")}


def rendered(root: Path) -> set[str]:
    return {face for part in parts(root, "faces.render") for face in pq.read_table(root / part)["face_id"].to_pylist()}


@pytest.fixture(scope="module")
def strict_px(root: Path) -> float:
    """A pupil distance that half of the people reach in a portrait."""
    most = [
        row[0] for row in rows(root, "select max(pupil_distance_px) as px from portraits group by person order by px")
    ]
    return round((most[len(most) // 2 - 1] + most[len(most) // 2]) / 2, 3)


@pytest.fixture(scope="module")
def strict(root: Path, strict_px: float, voxdata: Voxdata, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build, decided again with a stricter limit."""
    copy = tmp_path_factory.mktemp("strict") / "root"
    shutil.copytree(root, copy)
    done = voxdata("redecide", "--root", str(copy), "--set", f"faces.resolution.min_pupil_distance_px={strict_px}")
    assert done.returncode == 0, done.stderr
    assert "low_resolution" in done.stdout
    return copy


@pytest.fixture
def copy(strict: Path, tmp_path: Path) -> Path:
    shutil.copytree(strict, tmp_path / "root")
    return tmp_path / "root"


def test_a_stricter_limit_looks_at_nothing_again(root: Path, strict: Path, strict_px: float) -> None:
    assert {stage: parts(strict, stage) for stage in STAGES} == {stage: parts(root, stage) for stage in STAGES}
    assert set(portraits(strict)) < set(portraits(root))
    assert min(portraits(strict).values()) >= strict_px
    assert people(strict) < people(root)
    assert latest(open_storage(strict)) != latest(open_storage(root))
    assert not any(problem.harmful for problem in verify(open_storage(strict)))


def test_a_wider_limit_renders_what_passes_now_and_ends_like_a_build(
    root: Path, copy: Path, corpus: Path, voxdata: Voxdata, tmp_path: Path
) -> None:
    built = tmp_path / "built"
    shutil.copytree(root, built)
    asked = max(people(root) - people(copy))
    for folder in (copy, built):
        fact = {"person": asked, "reason": "asked", "at": "2026-11-21T00:00:00Z"}
        journal.append(open_storage(folder), "optouts", fact)
    done = voxdata("redecide", "--root", str(copy), *WIDER)
    assert done.returncode == 0, done.stderr
    assert parts(copy, "faces.measure") == parts(root, "faces.measure")
    newly = rendered(copy) - rendered(root)
    refused = "select face_id from faces where list_has_any(reasons, ['uneven_light', 'shadows'])"
    assert newly
    assert newly <= {row[0] for row in rows(root, refused)}
    assert people(copy) == people(root) - {asked}
    assert "opted_out" in done.stdout
    again = voxdata(*build_arguments(corpus, built, *LOOSER))
    assert again.returncode == 0, again.stderr
    assert latest(open_storage(built)) == latest(open_storage(copy))
    assert shard_bytes(built).items() <= shard_bytes(copy).items() | shard_bytes(root).items()


def test_a_dry_run_shows_the_same_and_changes_nothing(copy: Path, voxdata: Voxdata) -> None:
    before = {stage: parts(copy, stage) for stage in STAGES}
    shards, snapshot = shard_bytes(copy), latest(open_storage(copy))
    done = voxdata("redecide", "--root", str(copy), *WIDER, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "dry run" in done.stdout
    assert "newly have portraits and are taken to have speech, which is not counted" in done.stdout
    totals = next(line.split() for line in done.stdout.splitlines() if line.startswith("portraits"))
    assert int(totals[1]) == len(portraits(copy)) < int(totals[2])
    assert {stage: parts(copy, stage) for stage in STAGES} == before
    assert (shard_bytes(copy), latest(open_storage(copy))) == (shards, snapshot)


def test_new_people_whose_speech_is_gone_are_an_error_that_names_the_folder(
    copy: Path, corpus: Path, voxdata: Voxdata, tmp_path: Path
) -> None:
    snapshot = latest(open_storage(copy))
    for recipe in (copy / "recipes").iterdir():
        recipe.write_text(recipe.read_text().replace(str(corpus / "wav"), str(tmp_path / "unmounted")))
    done = voxdata("redecide", "--root", str(copy), *WIDER)
    assert done.returncode == 1
    assert str(tmp_path / "unmounted") in done.stderr
    assert "--set sources.speech.path=FOLDER" in done.stderr
    assert "Traceback" not in done.stderr
    assert latest(open_storage(copy)) == snapshot


def test_settings_that_need_measurements_are_refused_with_the_build_that_takes_them(copy: Path, here: Voxdata) -> None:
    done = here("redecide", "--root", str(copy), "--set", "faces.measure.min_face_px=30")
    assert done.returncode == 1
    assert f"--root {copy} --set faces.measure.min_face_px=30" in done.stderr
    assert "voxdata build" in done.stderr


@pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning",  # webdataset leaves the tars that it has read to the garbage collector
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
def test_after_an_optout_the_listed_tars_hold_nobody_who_left(copy: Path, voxdata: Voxdata) -> None:
    """The obvious glob over `shards/` still finds them."""
    before, left = people(copy), max(people(copy))
    fact = {"person": left, "decision": "opted_out", "reason": "asked", "at": "2026-11-21T00:00:00Z"}
    journal.append(open_storage(copy), "optouts", fact)
    asked = voxdata("shards", "--root", str(copy))
    assert (asked.returncode, heard_and_seen(asked.stdout.splitlines())) == (0, before)
    assert "still holds 1 person who opted out since" in asked.stderr
    assert f"voxdata redecide --root {copy}" in asked.stderr
    done = voxdata("redecide", "--root", str(copy))
    assert done.returncode == 0, done.stderr
    asked = voxdata("shards", "--root", str(copy))
    assert (asked.returncode, asked.stderr) == (0, "")
    assert heard_and_seen(asked.stdout.splitlines()) == before - {left}
    lists = (copy / "snapshots" / latest(open_storage(copy))).glob("*.txt")
    listed = [str(copy / tar) for path in lists for tar in path.read_text().splitlines()]
    assert sorted(listed) == asked.stdout.splitlines()
    assert left in heard_and_seen([str(path) for path in (copy / "shards").glob("*.tar")])


def heard_and_seen(tars: list[str]) -> set[str]:
    """The people whose samples `webdataset` reads from these tars."""
    return {json.loads(sample["json"])["person"] for sample in wds.WebDataset(tars, shardshuffle=False)}
