"""A stranger's clips among a person's, from the files to the catalog: a build with a speaker encoder, decided again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.flows.building import Voxdata, build_arguments, parts, shard_bytes
from tests.speaker_encoder import write_encoder
from voxdata.simulate.corpus import CorpusSettings, write_corpus
from voxdata.simulate.people import draw_people

pytestmark = pytest.mark.long

CORPUS = CorpusSettings(people=4, photos_per_person=3, clips_per_person=5, clip_s=4.0, seed=7)
VIDEO = "stranger"


def ask(root: Path, statement: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(root / "catalog.duckdb"), read_only=True) as connection:
        found: list[tuple[Any, ...]] = connection.sql(statement).fetchall()
    return found


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A corpus in which one clip of a person lies, under a video of its own, with a person of the other sex; and whom
    it lies with."""
    folder = tmp_path_factory.mktemp("spoken")
    write_corpus(folder, CORPUS)
    people = draw_people(CORPUS.people, seed=CORPUS.seed, link=CORPUS.link)
    host, stranger = (next(each.identity for each in people if each.sex == sex) for sex in ("m", "f"))
    clip = sorted((folder / "wav" / stranger).rglob("*.wav"))[0]
    (folder / "wav" / host / VIDEO).mkdir()
    shutil.move(clip, folder / "wav" / host / VIDEO / "00001.wav")
    return folder, host


def test_a_strangers_clip_is_told_then_rejected_without_measuring_anything(
    spoken: tuple[Path, str], tmp_path: Path, voxdata: Voxdata
) -> None:
    corpus, host = spoken
    (tmp_path / "weights").mkdir()
    environment = write_encoder(tmp_path / "weights")
    root = tmp_path / "root"
    named = ("speech.measure.front_ends=[torch40,resemblyzer]", "speech.select.min_voice_similarity=null")
    built = voxdata(*build_arguments(corpus, root, *named), **environment)
    assert built.returncode == 0, built.stderr
    rows = ask(root, f"SELECT video, voice_similarity, voice_videos FROM utterances WHERE person = '{host}' ORDER BY 2")
    (first, strange, others), *own = [row for row in rows if row[1] is not None]
    assert first == VIDEO
    assert others >= 3
    assert own[0][1] > strange
    assert ask(root, "SELECT count(*) FROM utterances WHERE reason = 'other_speaker'") == [(0,)]
    limit = round((own[0][1] + strange) / 2, 4)
    ((clips,),) = ask(root, f"SELECT clips FROM what_if_clips(voice_similarity := {limit}) WHERE threshold = {limit}")
    measured, before = parts(root, "speech.measure"), shard_bytes(root)
    again = voxdata(
        *("redecide", "--root", str(root), "--set", f"speech.select.min_voice_similarity={limit}"), **environment
    )
    assert again.returncode == 0, again.stderr
    assert parts(root, "speech.measure") == measured
    rejected = ask(root, "SELECT person, video, verdict FROM utterances WHERE reason = 'other_speaker'")
    assert (host, VIDEO, "reject") in rejected
    assert ask(root, "SELECT items FROM funnel WHERE outcome = 'other_speaker'") == [(len(rejected),)]
    assert ask(root, "SELECT count(*) FROM utterances WHERE verdict = 'keep'") == [(clips,)]
    assert before.keys() != shard_bytes(root).keys()
    assert voxdata("verify", "--root", str(root), **environment).returncode == 0


def test_a_build_without_an_encoder_has_no_such_columns_in_its_files(root: Path) -> None:
    with duckdb.connect() as connection:
        for stage in ("speech.measure", "speech.decide"):
            files = f"{root}/fragments/{stage}/**/*.parquet"
            described = connection.execute(f"DESCRIBE SELECT * FROM read_parquet('{files}')").fetchall()
            columns = {name for name, *_ in described}
            assert "item_id" in columns
            assert not columns & {"voices", "voice_similarity", "voice_videos"}
    assert ask(root, "SELECT count(voice_similarity), count(voice_videos) FROM utterances") == [(0, 0)]
