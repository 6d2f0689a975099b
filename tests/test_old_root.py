"""A root that version 0.1 wrote (tests/fixtures/README.md) still opens, is decided anew, forgets and trains."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import voxdata

WRITTEN = Path(__file__).parent / "fixtures" / "root-0.1"
REPOSITORY = Path(__file__).resolve().parents[1]
MEASURED = ("faces.measure", "speech.measure")
SNAPSHOT = "15bcd62e79010cd6"
PEOPLE = {"id90001", "id90002", "id90003", "id90004"}
FORGOTTEN = "id90002"
FACES = [("keep", 6), ("reject", 6)]
PORTRAITS, UTTERANCES = 6, 8
STRICTER_DEG = 4.5  # one portrait is beyond it
RENDERED_ANEW = 5  # candidates that are left under it


class OldRoot:
    """A copy of the root, to be changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "root"
        shutil.copytree(WRITTEN, self.path)

    def command(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """`voxdata ARGUMENTS --root ROOT` in a process of its own, which must succeed."""
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", *map(str, arguments), "--root", str(self.path)],
            cwd=self.folder,
            env={
                **os.environ,
                "PYTHONPATH": str(REPOSITORY),
                "PREFECT_HOME": str(self.folder / "prefect"),
                "VOXDATA_CACHE": str(self.folder / "cache"),
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """The catalog's answer for the current version."""
        with voxdata.open(self.path) as dataset:
            return dataset.sql(sql).fetchall()

    def measured(self) -> dict[str, bytes]:
        """Everything that pixel stages measured."""
        folders = [self.path / "fragments" / stage for stage in MEASURED]
        files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self.path)): path.read_bytes() for path in files}


@pytest.fixture
def root(tmp_path: Path) -> OldRoot:
    return OldRoot(tmp_path)


def test_it_is_small_and_names_no_place_of_the_machine_that_wrote_it() -> None:
    sizes = {path: path.stat().st_size for path in WRITTEN.rglob("*") if path.is_file()}
    assert sum(sizes.values()) < 1_500_000
    assert max(sizes.values()) < 400_000
    texts = [path.read_text() for path in sizes if path.suffix in (".json", ".yaml")]
    paths = {found for text in texts for found in re.findall(r"(?<![\w*])/(?:tmp|home|root|work)/[\w./-]*", text)}
    assert all(path.startswith("/tmp/voxdata-root/corpus") for path in paths)


def test_it_opens_and_answers(root: OldRoot) -> None:
    with voxdata.open(root.path) as dataset:  # the catalog is not in the repository: it is built aside
        assert dataset.sql("SELECT verdict, count(*) FROM faces GROUP BY ALL ORDER BY ALL").fetchall() == FACES
        assert dataset.sql("FROM funnel").arrow().num_rows > 0
        portraits, utterances = dataset.portraits(), dataset.utterances()
        assert (portraits.num_rows, utterances.num_rows) == (PORTRAITS, UTTERANCES)
        key = portraits["key"].to_pylist()[0]
        assert dataset.read(key, "jpg").startswith(b"\xff\xd8")
        pair = dataset.pairs("train", front_end="torch40", frames=50, cache="memory")[0]
        assert pair["portrait"].shape == (3, 64, 64)
        assert pair["mel"].shape == (40, 50)


@pytest.mark.long
def test_its_catalog_is_made_anew_and_it_is_sound(root: OldRoot) -> None:
    root.command("catalog", "rebuild")
    assert "is sound" in root.command("verify").stdout
    assert "#Identity" in root.command("stats").stdout
    assert SNAPSHOT in root.command("snapshots").stdout


@pytest.mark.long
def test_it_is_decided_anew_without_measuring(root: OldRoot) -> None:
    before = root.measured()
    assert {Path(path).parts[1] for path in before} == set(MEASURED)
    said = root.command("redecide", "--set", f"faces.pose.max_angle_deg={STRICTER_DEG}")
    assert (
        "the 4 people whom this root knows from it are used" in said.stderr
    )  # the table is where it was written, gone
    assert "measured before faces had prints: copies of their photos are told by the photo's hash alone" in said.stderr
    assert root.measured() == before
    to_do = re.findall(r"(faces\.\w+|speech\.\w+): \d+ items, (\d+) to do", said.stderr)
    # Portraits are rendered otherwise since: its candidates are, anew; what was measured stays.
    assert {stage: int(items) for stage, items in to_do} == {"faces.render": RENDERED_ANEW, "speech.measure": 0}
    assert SNAPSHOT not in root.command("stats").stdout
    told = root.rows(f"SELECT count(*), count(*) FILTER (WHERE face_angle_deg > {STRICTER_DEG}) FROM portraits")
    assert told == [(PORTRAITS - 1, 0)]


@pytest.mark.long
def test_turning_and_nodding_are_limited_over_what_it_measured(root: OldRoot) -> None:
    before = root.measured()
    two = ("faces.pose.max_angle_deg=null", "faces.pose.max_turn_deg=4", "faces.pose.max_nod_deg=3")
    root.command("redecide", *(part for each in two for part in ("--set", each)))
    assert root.measured() == before
    (found,) = root.rows(
        "SELECT count(*) FILTER (WHERE portrait AND (abs(yaw_deg) > 4 OR abs(nod_deg) > 3)), "
        "count(*) FILTER (WHERE abs(nod_deg + own_zero_deg - pitch_deg) > 0.001), "
        "count(*) FILTER (WHERE list_has_any(reasons, ['turned_aside', 'nodding'])) > 0 FROM faces"
    )
    assert found == (0, 0, True)


@pytest.mark.long
@pytest.mark.parametrize("by", ["video", "clip"])
def test_deciding_anew_says_what_becomes_of_the_clips_that_are_held_out(root: OldRoot, by: str) -> None:
    with voxdata.open(root.path) as dataset:
        before = {row["key"]: row["holdout"] for row in dataset.utterances("train").to_pylist()}
    said = root.command("redecide", "--set", f"splits.holdout_by={by}")
    with voxdata.open(root.path) as dataset:
        after = {row["key"]: row["holdout"] for row in dataset.utterances("train").to_pylist()}
    assert before.keys() == after.keys()
    if by == "clip":
        assert after == before
        assert "holdout is drawn" not in said.stdout + said.stderr
    else:
        were, are = sum(before.values()), sum(after.values())
        moved = sum(before[key] != after[key] for key in before)
        numbers = f"of {len(before)} training clips {were} were held out and {are} are, {moved} changed sides"
        assert f"holdout is drawn by video, no longer by clip: {numbers}" in said.stdout


@pytest.mark.long
def test_it_forgets_a_person_and_trains_on_the_others(root: OldRoot, tmp_path: Path) -> None:
    root.command("catalog", "rebuild")
    help_text = subprocess.run(
        [sys.executable, "-m", "flows.cli", "forget", "--help"], capture_output=True, text=True, check=True
    ).stdout
    root.command("forget", FORGOTTEN, "--reason", "letter 12", *(["--yes"] if "--yes" in help_text else []))
    assert "nothing is left of 1 person" in root.command("verify", "--forgotten").stdout
    with voxdata.open(root.path) as dataset:
        assert set(dataset.portraits()["person"].to_pylist()) == PEOPLE - {FORGOTTEN}
    small = ["embedder_steps=3", "fuser_steps=1", "batch_size=4", "encoder_channels=[8, 8, 8, 8, 16]"]
    numbers = [part for number in small for part in ("--set", number)]
    root.command("train", "sf2f", "--run", tmp_path / "run", "--steps", "3", "--device", "cpu", *numbers)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 4
    assert all(math.isfinite(line["loss"]) for line in lines)
