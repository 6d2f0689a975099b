"""Builds whose shards hold sound: of packed clips and nobody else, the same bytes again, and nothing of it is left of
somebody who is forgotten."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import voxdata
from flows.repair import repaired
from tests.forgetting.building import Copy, build, recipe_of
from tests.forgetting.commands import FOLDER, PERSON, forget, sha256
from tests.run_command import run
from voxdata.catalog.garbage import collect
from voxdata.catalog.snapshot import latest, load_snapshot, published_tables
from voxdata.format.errors import SourceError
from voxdata.pipeline.stages import SPEECH_AUDIO
from voxdata.store.fragments import FragmentStore
from voxdata.store.items import ClipItem
from voxdata.store.stored_table import read_table

pytestmark = pytest.mark.long

FLAC = "speech.pack.audio=flac"
LATER = 4e9  # seconds since 1970: everything is old


@pytest.fixture(scope="module")
def sounding(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The built root, which has got sound; not to be changed."""
    folder = tmp_path_factory.mktemp("sounding")
    for name in ("corpus", "root"):
        shutil.copytree(built / name, folder / name)
    build(folder / "corpus", folder / "root", FLAC)
    return Copy(root=folder / "root", corpus=folder / "corpus")


@pytest.fixture
def sound(sounding: Copy, tmp_path: Path) -> Copy:
    """The same, to be changed."""
    for name in ("corpus", "root"):
        shutil.copytree(sounding.root.parent / name, tmp_path / name)
    return Copy(root=tmp_path / "root", corpus=tmp_path / "corpus")


def encoded(copy: Copy) -> dict[str, bytes]:
    """utterance_id -> every file that the stage has stored."""
    (fingerprint,) = (copy.root / "fragments" / "speech.audio").iterdir()
    store = FragmentStore(copy.storage, "speech.audio", fingerprint.name)
    rows = store.read()
    assert rows is not None
    found = {}
    for row in rows.to_pylist():
        (member,) = row["members"]
        found[row["utterance_id"]] = store.blob(row["part"], member["offset"], member["size"])
    return found


def test_a_dataset_gets_sound_and_nothing_is_measured_again(built: Path, sounding: Copy) -> None:
    before = Copy(root=built / "root", corpus=built / "corpus")
    stages = ("fragments/faces.measure", "fragments/faces.render", "fragments/speech.measure", "photos/originals")
    for stage in stages:
        assert {key: sounding.storage.read(key) for key in sounding.storage.keys(stage)} == {
            key: before.storage.read(key) for key in before.storage.keys(stage)
        }
    members = sounding.shard_members()
    assert {name: data for name, data in members.items() if not name.endswith(".flac")} == before.shard_members()
    flac = {name.removesuffix(".flac"): data for name, data in members.items() if name.endswith(".flac")}
    assert set(flac) == {key for (key,) in before.rows("SELECT key FROM samples WHERE kind = 'speech'")}
    assert flac == encoded(sounding), "what is stored is what is packed"
    assert latest(sounding.storage) != latest(before.storage)


def test_nothing_is_stored_of_a_clip_that_is_rejected(copy: Copy) -> None:
    build(copy.corpus, copy.root, FLAC, "speech.select.max_per_identity=1")
    ((rejected,),) = copy.rows("SELECT count(*) FROM utterances WHERE reason = 'over_cap'")
    assert rejected
    assert set(encoded(copy)) == {key for (key,) in copy.rows("SELECT key FROM samples WHERE kind = 'speech'")}


def test_what_is_heard_is_what_was_measured(sounding: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    with voxdata.open(sounding.root) as data:
        for row in data.utterances().to_pylist():
            pcm = (data.audio(row["key"]).samples * 32768).astype("<i2")
            assert sha256(pcm.tobytes()) == row["pcm_sha256"]
    assert run(capsys, "verify", "--root", sounding.root)[0] == 0


def test_the_same_recipe_gives_the_same_bytes_in_any_parts(sounding: Copy, built: Path, tmp_path: Path) -> None:
    build(built / "corpus", tmp_path / "root", FLAC, "work.items_per_part=32")
    again = Copy(root=tmp_path / "root", corpus=built / "corpus")
    assert latest(again.storage) == latest(sounding.storage)
    assert again.shard_members() == sounding.shard_members()


def test_sound_is_switched_off_again(sound: Copy, built: Path) -> None:
    before = latest(Copy(root=built / "root", corpus=built / "corpus").storage)
    assert build(sound.corpus, sound.root) == before


def test_speech_alone_is_shorter_than_the_clips(sound: Copy) -> None:
    build(sound.corpus, sound.root, FLAC, "speech.pack.audio_part=speech")
    with voxdata.open(sound.root) as data:
        lengths = [(row, len(data.audio(row["key"]).samples) / 16_000) for row in data.utterances().to_pylist()]
        pair = data.pairs("train", audio=True, frames=60, side_px=32, cache="memory")[0]
    assert all(length == pytest.approx(row["speech_s"]) for row, length in lengths)
    assert tuple(pair["audio"].shape) == (60 * 160,)


def test_a_redecision_keeps_it_without_its_sources(sound: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    (sound.corpus / "wav").rename(sound.corpus / "away")
    stricter = ("--set", "speech.select.min_speech_s=2")
    assert run(capsys, "redecide", "--root", sound.root, *stricter)[0] == 0
    keys = {key for (key,) in sound.rows("SELECT key FROM samples WHERE kind = 'speech'")}
    flac = {name for name in sound.shard_members() if name.endswith(".flac")}
    assert flac == {f"{key}.flac" for key in keys}
    status, _, said = run(capsys, "redecide", "--root", sound.root, "--set", "speech.pack.audio=none")
    assert (status, "voxdata build" in said) == (1, True)


def test_repair_and_garbage_know_it(sound: Copy) -> None:
    snapshot = load_snapshot(sound.storage)
    named = published_tables(sound.storage, snapshot)["clip_audio"]
    assert named
    collect(sound.storage, older_than_s=0, now_s=LATER)
    assert all(sound.storage.exists(key) for key in named), "the next build counts on them"
    speech = next(entry for entry in snapshot.shards if entry.kind == "speech")
    whole = sound.storage.read(speech.tar)
    os.truncate(sound.root / speech.tar, 1000)
    assert repaired(sound.storage, str(sound.root)) == (1, [])
    assert sound.storage.read(speech.tar) == whole


def test_forgetting_takes_the_voice_wherever_it_lies(sound: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    members = sound.shard_members()
    mine = [data for name, data in members.items() if name.startswith(f"{PERSON}/") and name.endswith(".flac")]
    assert mine
    report, table = sound.root.parent / "report.html", sound.root.parent / "hf"
    assert run(capsys, "report", "--root", sound.root, "--out", report)[0] == 0
    assert run(capsys, "export", "huggingface", table, "--root", sound.root)[0] == 0
    places = [key for key, content in sound.files().items() if any(data in content for data in mine)]
    assert {key.split("/")[0] for key in places} == {"fragments", "shards"}, "the stage's part and the shard"
    assert forget(sound, capsys)[0] == 0
    for key, content in sound.files().items():
        assert not any(data in content for data in mine), key
        assert not any(sha256(data).encode() in content for data in mine), key
        assert not any(word in content for word in (PERSON.encode(), FOLDER.encode())), key
    assert not report.exists()
    assert not table.exists()
    others = {name: data for name, data in members.items() if not name.startswith(f"{PERSON}/")}
    assert sound.shard_members() == others
    assert run(capsys, "verify", "--forgotten", "--root", sound.root)[0] == 0


def test_a_clip_that_ends_its_worker_is_packed_without_sound(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    ((key,), *_) = copy.rows("SELECT key FROM samples WHERE kind = 'speech' AND split = 'train' ORDER BY key")
    recipe = recipe_of(copy.corpus, copy.root, FLAC)
    (files,) = copy.storage.keys("fragments/speech.find")
    (row,) = (row for row in read_table(copy.storage, files).to_pylist() if row["utterance_id"] == key)
    killed = SPEECH_AUDIO.killed([ClipItem(row=row, data=lambda: b"")], recipe)
    SPEECH_AUDIO.store(copy.storage, recipe).append(row["bucket"], killed.from_bytes())
    build(copy.corpus, copy.root, FLAC)
    silent = {name.partition(".")[0] for name in copy.shard_members() if name.endswith(".npy")} - {
        name.removesuffix(".flac") for name in copy.shard_members() if name.endswith(".flac")
    }
    assert silent == {key}
    with voxdata.open(copy.root) as data:
        pairs = data.pairs("train", audio=True, frames=20, side_px=32, cache="memory", length=50, holdout=True)
        assert key not in {pairs.keys(index)[1] for index in range(50)}
        assert len(data.audio(key).samples), "from the file that it was made of"
    assert run(capsys, "export", "huggingface", copy.root.parent / "hf", "--root", copy.root)[0] == 0
    tables = (copy.root.parent / "hf" / "speech").iterdir()
    rows = [row for table in tables for row in pq.read_table(table, columns=["key", "audio"]).to_pylist()]
    assert [row["key"] for row in rows if row["audio"] is None] == [key]


def test_a_clip_that_changed_unseen_stops_the_build(copy: Copy) -> None:
    build(copy.corpus, copy.root)
    ((location,), *_) = copy.rows("SELECT location FROM provenance WHERE kind = 'speech' ORDER BY key")
    clip = Path(location)
    status, data = clip.stat(), clip.read_bytes()
    clip.write_bytes(data[:-2] + bytes([data[-2] ^ 1, data[-1]]))
    os.utime(clip, ns=(status.st_atime_ns, status.st_mtime_ns))  # a copy tool that keeps times
    with pytest.raises(SourceError, match=rf"{clip.name} was changed since .* was measured"):
        build(copy.corpus, copy.root, FLAC)
