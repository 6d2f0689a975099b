"""What a user can get wrong: one clear line or a row with a reason, never a traceback."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from tests.flows.building import Voxdata, build_arguments, parts
from voxdata.simulate.corpus import CorpusSettings, write_corpus

pytestmark = pytest.mark.long


def said(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode not in (0, 130), done.stdout
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    for word in words:
        assert word in last


def test_a_recipe_typo_is_one_line(here: Voxdata, tmp_path: Path) -> None:
    done = here("build", "hq-voxceleb", "--root", str(tmp_path / "r"), "--set", "faces.pose.max_angel_deg=5")
    said(done, "faces.pose.max_angel_deg = 5", "no such key", "max_angle_deg")
    assert not (tmp_path / "r").exists()


def test_missing_and_unusable_roots(here: Voxdata, corpus: Path, tmp_path: Path) -> None:
    said(here("stats", "--root", str(tmp_path / "none")), "does not exist", "voxdata build")
    (tmp_path / "file").write_text("")
    said(here(*build_arguments(corpus, tmp_path / "file")), "is a file")
    said(here(*build_arguments(corpus, Path("/proc/root-of-nothing/x"))), "cannot be made")
    said(here("sql", "select 1", "--root", str(tmp_path)), "voxdata build")


def test_unwritable_root(plain_environment: dict[str, str], corpus: Path, tmp_path: Path) -> None:
    root = tmp_path / "closed"
    root.mkdir(mode=0o500)
    # a superuser writes everywhere, but not without these capabilities
    bound = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.getuid() == 0 else []
    if bound and shutil.which(bound[0]) is None:
        pytest.skip("runs as the superuser, and setpriv (util-linux) is not installed")
    command = [*bound, sys.executable, "-m", "flows.cli", *build_arguments(corpus, root)]
    done = subprocess.run(command, env=plain_environment, capture_output=True, text=True, timeout=300, check=False)
    said(done, "Permission denied", str(root))
    assert list(root.iterdir()) == []


def test_sources_that_are_not_there_end_it_before_anything_starts(here: Voxdata, corpus: Path, tmp_path: Path) -> None:
    """Neither root nor worker is there afterwards; also where a Prefect server would have to be started first."""
    root, none = tmp_path / "root", tmp_path / "none"
    for setting in ("sources.photos.path", "sources.speech.path", "sources.metadata.path"):
        for way in ((), ("--prefect",)):
            said(here(*build_arguments(corpus, root, f"{setting}={none}"), *way), setting, str(none))
    said(here(*build_arguments(corpus, root, "sources.photos.path=null")), "names no photos", "sources.photos.path")
    also = json.dumps([{"photos": {"path": str(none)}}])
    said(here(*build_arguments(corpus, root, f"sources.also={also}")), "sources.also.0.photos.path", str(none))
    assert not root.exists()


def test_sources_that_hold_nothing(here: Voxdata, corpus: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    root = tmp_path / "root"
    said(here(*build_arguments(corpus, root, f"sources.photos.path={empty}")), "sources.photos.path", "no photo")
    said(here(*build_arguments(corpus, root, f"sources.metadata.path={empty}")), "metadata", str(empty))


def test_an_api_that_does_not_answer(voxdata: Voxdata, corpus: Path, tmp_path: Path) -> None:
    done = voxdata(*build_arguments(corpus, tmp_path / "root"), PREFECT_API_URL="http://127.0.0.1:9/api")
    said(done, "http://127.0.0.1:9/api", "prefect server start")


def test_broken_files_and_empty_people_become_rows(voxdata: Voxdata, corpus: Path, tmp_path: Path) -> None:
    spoiled = tmp_path / "corpus"
    shutil.copytree(corpus, spoiled)
    person = sorted((spoiled / "photos").iterdir())[0]
    photos = sorted(person.iterdir())
    photos[0].write_bytes(photos[0].read_bytes()[: photos[0].stat().st_size // 2])
    photos[1].write_bytes(b"")
    sorted((spoiled / "wav").rglob("*.wav"))[0].write_text("this is a text file")
    shutil.rmtree(sorted((spoiled / "photos").iterdir())[1])
    (spoiled / "photos" / "nobody").mkdir()
    root = tmp_path / "root"
    done = voxdata(*build_arguments(spoiled, root, "speech.who=all", "faces.pose.max_angle_deg=30"))
    assert done.returncode == 0, done.stderr
    with duckdb.connect(str(root / "catalog.duckdb"), read_only=True) as connection:
        faces = connection.sql(f"select count(*) from faces where identity = '{person.name}' and reason = 'unreadable'")
        clips = connection.sql("select count(*) from utterances where reason = 'unreadable'")
        assert faces.fetchall()[0][0] >= 2
        assert clips.fetchall()[0][0] >= 1


def test_too_many_unreadable_files_stop_the_build(voxdata: Voxdata, corpus: Path, tmp_path: Path) -> None:
    broken = tmp_path / "corpus"
    shutil.copytree(corpus, broken)
    for photo in (broken / "photos").rglob("*.jpg"):
        photo.write_bytes(b"<html>" + photo.name.encode() + photo.parent.name.encode())
    done = voxdata(*build_arguments(broken, tmp_path / "root"))
    said(done, "unreadable", "limits.max_unreadable_share")


def test_nobody_left_says_which_rules_took_them(voxdata: Voxdata, corpus: Path, tmp_path: Path) -> None:
    done = voxdata(*build_arguments(corpus, tmp_path / "root", "faces.resolution.min_pupil_distance_px=5000"))
    said(done, "nobody is left", " low_resolution, ", "clips: none")


def test_ctrl_c_stops_clearly_and_the_rerun_resumes(
    voxdata: Voxdata, plain_environment: dict[str, str], tmp_path: Path
) -> None:
    larger, root = tmp_path / "corpus", tmp_path / "root"
    write_corpus(larger, CorpusSettings(people=5, photos_per_person=8, clips_per_person=2, seed=11))
    arguments = build_arguments(larger, root, "work.items_per_part=2")
    build = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *arguments],
        env=plain_environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 120
    while len(parts(root, "faces.measure")) < 2 and time.monotonic() < until:
        assert build.poll() is None, "the build ended before it could be interrupted"
        time.sleep(0.05)
    os.killpg(build.pid, signal.SIGINT)
    _, stderr = build.communicate(timeout=120)
    assert build.returncode == 130
    assert "Traceback" not in stderr
    assert "interrupted" in stderr
    before = {
        item for part in parts(root, "faces.measure") for item in pq.read_table(root / part)["item_id"].to_pylist()
    }
    done = voxdata(*arguments)
    assert done.returncode == 0, done.stderr
    told = re.search(r"faces\.measure: (\d+) items, (\d+) to do", done.stderr)
    assert told is not None
    assert int(told[1]) - int(told[2]) == len(before) > 0
