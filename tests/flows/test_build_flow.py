"""The whole build, on a small simulated corpus, through the command line and a real Prefect server."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset as wds
from PIL import Image

from tests.flows.building import Voxdata, build_arguments, parts, shard_bytes
from tests.flows.enhancer_writer import write_enhancer
from voxdata.catalog.snapshot import load_snapshot
from voxdata.people.identities import bucket_of
from voxdata.simulate.truth import judge_photos
from voxdata.store.storage import open_storage


def rows(root: Path, statement: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(root / "catalog.duckdb"), read_only=True) as connection:
        return connection.sql(statement).fetchall()


def test_every_photo_and_clip_keeps_a_row(root: Path, corpus: Path) -> None:
    stored = {str(row[0]) for row in rows(root, "select item_id from photos")}
    looked_at = {str(row[0]) for row in rows(root, "select item_id from faces")}
    assert looked_at == stored
    assert len(stored) > 30
    without_reason = rows(root, "select count(*) from faces where verdict = 'reject' and reason is null")
    assert without_reason == [(0,)]
    clips = rows(root, "select count(distinct identity) from utterances")
    people = rows(root, "select count(distinct identity) from portraits")
    assert clips == people


# webdataset leaves its tar files to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_shards_are_plain_webdataset(root: Path) -> None:
    snapshot = load_snapshot(open_storage(root))
    seen = {"faces": 0, "speech": 0}
    for entry in snapshot.shards:
        for sample in wds.WebDataset(str(root / entry.tar), shardshuffle=False):
            seen[entry.kind] += 1
            if entry.kind == "faces":
                assert Image.open(io.BytesIO(sample["jpg"])).size == (512, 512)
            else:
                mel = np.load(io.BytesIO(sample["torch40.npy"]))
                assert mel.dtype == np.float16
                assert mel.shape[0] == 40
    assert seen["faces"] == sum(count["portraits"] for count in snapshot.counts.values()) > 0
    assert seen["speech"] == sum(count["utterances"] for count in snapshot.counts.values()) > 0


def test_no_person_is_in_two_splits(root: Path) -> None:
    assert rows(root, "select person from samples group by person having count(distinct split) > 1") == []


def test_sound_root_verifies_and_prints_its_tables(root: Path, here: Voxdata) -> None:
    assert here("verify", "--root", str(root)).returncode == 0
    assert "#Identity" in here("stats", "--root", str(root)).stdout
    funnel = here("sql", "--query", "funnel", "--root", str(root), "--format", "csv")
    assert funnel.returncode == 0
    assert len(funnel.stdout.splitlines()) > 2


@pytest.mark.long
def test_second_build_measures_nothing_and_ends_at_the_same_snapshot(
    root: Path, corpus: Path, voxdata: Voxdata
) -> None:
    before = {stage: parts(root, stage) for stage in ("faces.measure", "faces.render", "speech.measure")}
    snapshot = load_snapshot(open_storage(root)).id
    done = voxdata(*build_arguments(corpus, root))
    assert done.returncode == 0, done.stderr
    assert {stage: parts(root, stage) for stage in before} == before
    assert snapshot in done.stdout


@pytest.mark.long
def test_changed_threshold_decides_again_without_measuring(
    root: Path, corpus: Path, voxdata: Voxdata, tmp_path: Path
) -> None:
    copy = tmp_path / "root"
    shutil.copytree(root, copy)
    measured = parts(copy, "faces.measure")
    done = voxdata(*build_arguments(corpus, copy, "faces.pose.max_angle_deg=6"))
    assert done.returncode == 0, done.stderr
    assert parts(copy, "faces.measure") == measured
    worst = rows(copy, "select max(face_angle_deg) from portraits")[0][0]
    assert isinstance(worst, float)
    assert worst <= 6


@pytest.mark.long
def test_a_new_person_touches_only_its_own_bucket(root: Path, corpus: Path, voxdata: Voxdata, tmp_path: Path) -> None:
    grown, copy = tmp_path / "corpus", tmp_path / "root"
    shutil.copytree(corpus, grown)
    shutil.copytree(root, copy)
    person = rows(root, "select identity from portraits limit 1")[0][0]
    for kind in ("photos", "wav"):
        shutil.copytree(grown / kind / str(person), grown / kind / "newcomer")
    for photo in (grown / "photos" / "newcomer").iterdir():
        photo.write_bytes(photo.read_bytes() + b"\0")
    before = {stage: parts(copy, stage) for stage in ("faces.measure", "speech.measure")}
    done = voxdata(*build_arguments(grown, copy, "faces.link.max_hash_distance=0"))
    assert done.returncode == 0, done.stderr
    folder = f"/b{bucket_of('newcomer'):04d}/"
    for stage, known in before.items():
        new = parts(copy, stage) - known
        assert all(folder in part for part in new)
    assert parts(copy, "faces.measure") - before["faces.measure"]


@pytest.mark.long
def test_kill_9_and_the_same_command_give_the_same_bytes(
    root: Path, corpus: Path, voxdata: Voxdata, plain_environment: dict[str, str], tmp_path: Path
) -> None:
    killed = tmp_path / "root"
    arguments = build_arguments(corpus, killed, "work.items_per_part=2", "work.workers=2")
    build = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *arguments],
        env=plain_environment,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    until = time.monotonic() + 120
    while len(parts(killed, "faces.measure")) < 3 and time.monotonic() < until:
        assert build.poll() is None, "the build ended before it could be killed"
        time.sleep(0.05)
    os.killpg(build.pid, signal.SIGKILL)
    build.wait()
    assert not (killed / "catalog.duckdb").exists()
    done = voxdata(*arguments, "--set", "work.workers=1")
    assert done.returncode == 0, done.stderr
    assert shard_bytes(killed) == shard_bytes(root)


def test_filters_agree_with_the_painted_truth(root: Path, corpus: Path) -> None:
    with duckdb.connect(str(root / "catalog.duckdb"), read_only=True) as connection:
        verdicts = connection.sql("select item_id, reasons from faces").to_arrow_table()
    truth = pq.read_table(corpus / "truth.parquet")
    table = {row["rule"]: row for row in judge_photos(truth, verdicts, max_angle_deg=12).to_pylist()}
    assert table["unreadable"]["did"] == table["unreadable"]["should"]
    assert table["unreadable"]["wrongly"] == 0
    angle = table["face angle over 12 deg"]
    assert angle["should"] > 0
    assert angle["did"] >= 0.7 * angle["should"]
    assert angle["wrongly"] <= 0.1 * angle["should_not"]
    for rule in ("smile", "uneven light"):
        assert table[rule]["wrongly"] <= 0.1 * table[rule]["should_not"]


@pytest.mark.long
def test_a_model_is_trained_judged_and_asked(root: Path, corpus: Path, here: Voxdata, tmp_path: Path) -> None:
    root = Path(shutil.copytree(root, tmp_path / "root"))
    run, face = tmp_path / "run", tmp_path / "face.png"
    small = ["embedder_steps=3", "fuser_steps=2", "batch_size=4", "encoder_channels=[8, 8, 8, 8, 16]"]
    numbers = [part for pair in small for part in ("--set", pair)]
    trained = here("train", "sf2f", "--root", str(root), "--run", str(run), "--steps", "3", *numbers)
    assert trained.returncode == 0, trained.stderr
    enhancer = write_enhancer(tmp_path / "enhancer")
    judged = here("evaluate", str(run), "--enhance", str(enhancer))
    assert judged.returncode == 0, judged.stderr
    assert "self-trained" in judged.stdout
    assert "Who faces look like before and after enhancer, step 0" in judged.stdout
    assert rows(root, "select count(distinct run_id) from evaluations") == [(1,)]
    voice = next(path for path in sorted((corpus / "wav").rglob("*.wav")) if path.stat().st_size > 100_000)
    asked = here("imagine", str(voice), "--run", str(run), "--out", str(face), "--enhance", str(enhancer))
    assert asked.returncode == 0, asked.stderr
    assert re.search(
        r"face-enhanced.png: .*; cosine of self-trained between before and after -?[01]\.\d{3}", asked.stdout
    )
    with Image.open(tmp_path / "face-enhanced.png") as picture:
        assert picture.size == (32, 32)
        assert "identifies nobody" in " ".join(str(text) for text in picture.info.values())
    assert "shows no real person and identifies nobody" in asked.stdout
    with Image.open(face) as picture:
        assert picture.size == (64, 64)
        assert "identifies nobody" in " ".join(str(text) for text in picture.info.values())
    text = here("imagine", str(corpus / "vox1_meta.csv"), "--run", str(run), "--out", str(face))
    assert text.returncode == 1
    assert "cannot be decoded" in text.stderr
    assert "Traceback" not in text.stderr
    wrong = here("train", "sf2f", "--root", str(root), "--run", str(tmp_path / "x"), "--set", "batchsize=3")
    assert wrong.returncode == 2
    assert "batchsize: no such setting; did you mean batch_size?; settings are root, " in wrong.stderr
