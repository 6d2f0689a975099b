"""Shards that hold the sound of clips: what `audio`, `pairs(audio=True)` and pipelines give of it, and of whom."""

from __future__ import annotations

import io
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import webdataset as wds
from small_root import AT, SmallRoot, wave
from torch.utils.data import DataLoader

import voxdata
from voxdata.dataset.opened import Dataset
from voxdata.format.errors import ShardError, SnapshotError
from voxdata.people import optouts
from voxdata.store.storage import LocalStorage

left_open = pytest.mark.filterwarnings(  # webdataset leaves closing its tars to the collector
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)
OPTIONS = {"side_px": 16, "frames": 12, "cache": "memory"}
KEY = "id00003/video_00001"


def heard(data: Dataset, key: str) -> np.ndarray:
    return np.rint(data.audio(key).samples * 32768).astype(np.int16)


def opened(folder: Path, sound: str) -> Dataset:
    SmallRoot(LocalStorage(folder), sound=sound).publish()  # type: ignore[arg-type]
    return voxdata.open(folder)


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    for part in ("whole", "speech"):
        opened(folder / part, part)
    return folder


@pytest.fixture(params=["whole", "speech"])
def data(roots: Path, request: pytest.FixtureRequest) -> Dataset:
    return voxdata.open(roots / request.param)


def test_a_clip_is_heard_from_the_shards(data: Dataset) -> None:
    sound = data.audio(KEY)
    assert (sound.samples.dtype, sound.rate_hz, sound.samples.shape) == (np.float32, 16_000, (3200,))
    assert (heard(data, KEY) == wave(3)).all()
    assert "audio/wav" in sound._repr_html_()
    file, rate_hz = soundfile.read(io.BytesIO(data.read(KEY, "flac")), dtype="int16")
    assert (rate_hz, (file == wave(3)).all()) == (16_000, True)
    with pytest.raises(ShardError, match="there is no utterance of this key"):
        data.audio("nobody")


def test_rows_and_urls_are_what_they_are_without_sound(data: Dataset, built: Path) -> None:
    silent = voxdata.open(built)
    assert data.utterances().drop_columns(["tar"]) == silent.utterances().drop_columns(["tar"])
    ((url,),) = data.sql(f"SELECT url FROM samples WHERE key = '{KEY}'").fetchall()
    assert url.startswith(f"tar://{KEY}.torch40.npy::shards/")


def test_pairs_have_sound_of_the_same_clip_and_else_what_they_had(data: Dataset, built: Path) -> None:
    pairs, before = (each.pairs("train", length=64, **OPTIONS) for each in (data, voxdata.open(built)))
    assert set(pairs[0]) == {"portrait", "mel", "person"}
    sounding = data.pairs("train", length=64, audio=True, **OPTIONS)
    batch = sounding[range(64)]
    assert (batch["audio"].dtype, tuple(batch["audio"].shape)) == (batch["portrait"].float().dtype, (64, 12 * 160))
    for index in range(64):
        assert sounding.keys(index) == before.keys(index)
        pcm = np.rint(batch["audio"][index].numpy() * 32768).astype(int)
        assert set(pcm // 1000) == {int(batch["mel"][index][0, 0])}, "a log-mel of person n holds n"
        assert (np.diff(pcm) >= 0).all(), "one stretch, that lies in the clip"
    assert (batch["mel"] == before[range(64)]["mel"]).all()


def starts(pairs: object, count: int) -> list[tuple[int, int]]:
    """First frame of the log-mel and of the sound of each pair."""
    batch = pairs[range(count)]  # type: ignore[index]
    pcm = np.rint(batch["audio"][:, 0].numpy() * 32768).astype(int) % 1000
    return list(zip(batch["mel"][:, 0, 0].int().tolist(), pcm.tolist(), strict=True))


@pytest.mark.parametrize(("part", "same"), [("speech", True), ("whole", False)])
def test_the_stretch_is_that_of_the_log_mel_where_both_are_of_the_speech(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, part: str, same: bool
) -> None:
    sink = io.BytesIO()
    np.save(sink, np.tile(np.arange(20, dtype=np.float16), (40, 1)))
    monkeypatch.setattr("small_root.mel", lambda n, bins: sink.getvalue())
    data = opened(tmp_path / "root", part)
    found = starts(data.pairs("train", length=300, audio=True, **OPTIONS), 300)
    assert {mel for mel, _ in found} == set(range(9))
    assert {sound for _, sound in found} >= set(range(8))  # a whole clip is cut at any sample
    assert all(mel == sound for mel, sound in found) is same
    assert ("--set speech.pack.audio_part=speech" in caplog.text) is not same, "another moment is said"
    short = data.pairs("train", length=60, audio=True, **{**OPTIONS, "frames": 50})[range(60)]["audio"].numpy()
    frames = np.rint(short * 32768).astype(int)[:, ::160] % 1000
    assert frames.shape == (60, 50)
    if same:
        assert (np.diff(frames) % 20 == 1).all(), "a short clip goes on at its beginning"


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_workers_give_the_sound_that_one_process_gives(data: Dataset) -> None:
    stream = data.pairs("train", iterable=True, batch_size=8, length=32, audio=True, **OPTIONS)
    alone = [batch["audio"].sum().item() for batch in stream]
    loader = DataLoader(pickle.loads(pickle.dumps(stream)), batch_size=None, num_workers=2)
    assert [batch["audio"].sum().item() for batch in loader] == alone
    assert len(alone) == 4


def test_pairs_of_shards_without_sound_say_what_to_build(built: Path) -> None:
    with pytest.raises(SnapshotError, match=r"no shard of split 'train' holds sound.*--set speech\.pack\.audio=flac"):
        voxdata.open(built).pairs("train", audio=True, **OPTIONS)


@left_open
def test_pipelines_decode_it_and_plain_ones_get_the_file(data: Dataset) -> None:
    found = {sample["__key__"]: sample for sample in data.webdataset("train", "speech")}
    assert found[KEY]["flac"].dtype == np.float32
    assert (np.rint(found[KEY]["flac"] * 32768) == wave(3)).all()
    tars = [str(data.local().local(entry.tar)) for entry in data.shards("speech", "train")]
    plain = {sample["__key__"]: sample for sample in wds.WebDataset(tars, shardshuffle=False)}
    assert plain[KEY]["flac"] == data.read(KEY, "flac")
    assert plain[KEY]["flac"].startswith(b"fLaC")


@left_open
def test_who_opted_out_is_not_heard(roots: Path, tmp_path: Path) -> None:
    root = shutil.copytree(roots / "whole", tmp_path / "root")
    optouts.state(LocalStorage(root), "id00003", optouts.OPTED_OUT, reason=None, at=AT)
    data = voxdata.open(root)
    with pytest.raises(ShardError, match=f"{KEY}: its person opted out since"):
        data.audio(KEY)
    assert "id00003" not in data.pairs("train", audio=True, **OPTIONS).people
    assert not [sample for sample in data.webdataset("train", "speech") if sample["__key__"].startswith("id00003")]
    assert "id00003" in data.pairs("train", audio=True, opted_out="keep", **OPTIONS).people


def test_damaged_sound_is_an_error_that_names_it(roots: Path, tmp_path: Path) -> None:
    root = shutil.copytree(roots / "whole", tmp_path / "root")
    data = voxdata.open(root)
    for row in data.sql("SELECT tar, unnest(members, recursive := true) FROM samples WHERE kind = 'speech'").rows():
        if row["suffix"] == "flac":
            with (root / row["tar"]).open("r+b") as file:
                file.seek(row["byte_offset"])
                file.write(bytes(row["size_bytes"]))
    with pytest.raises(ShardError, match=r"a clip's \.flac is damaged.*voxdata verify"):
        data.audio(KEY)
    with pytest.raises(ShardError, match=r"video_00001\.flac in shards/.* is damaged"):
        data.pairs("train", audio=True, **OPTIONS)[0]


def test_pairs_without_sound_load_no_decoder(roots: Path) -> None:
    code = f"""
import sys, voxdata
voxdata.open({str(roots / "whole")!r}).pairs("train", side_px=16, frames=12, cache="memory")[0]
assert not {{"soundfile", "av", "webrtcvad", "scipy"}} & set(sys.modules), "decoders take long to load"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
