from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_root import SmallRoot, jpeg
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

import voxdata
from voxdata.dataset.opened import Dataset
from voxdata.format.errors import ShardError, SnapshotError, StorageError
from voxdata.store.fragments import parquet_table
from voxdata.store.storage import LocalStorage

OPTIONS = {"side_px": 16, "frames": 12}


def number(person: str) -> int:
    return int(person.removeprefix("id"))


def test_pairs_say_how_many_they_are(data: Dataset) -> None:
    assert repr(data.pairs("train", **OPTIONS, length=64)) == "Pairs(64 pairs of 8 people)"


def test_a_pair_is_a_portrait_and_a_stretch_of_the_same_person(data: Dataset) -> None:
    pairs = data.pairs("train", **OPTIONS, length=64)
    assert pairs.people == [f"id{n:05d}" for n in range(8)]
    for index in range(len(pairs)):
        pair = pairs[index]
        n = number(pairs.people[int(pair["person"])])
        portrait, utterance = pairs.keys(index)
        assert portrait.startswith(f"id{n:05d}/")
        assert utterance == f"id{n:05d}/video_00001"  # the first clip is held out
        wanted = np.asarray(Image.open(io.BytesIO(jpeg(n, 0)))).transpose(2, 0, 1)
        assert (pair["portrait"].numpy() == wanted).all()
        assert pair["mel"].shape == (40, 12)
        assert pair["mel"].dtype == torch.float16
        assert (pair["mel"] == n).all()


def test_held_out_clips_are_there_when_asked_for(data: Dataset) -> None:
    pairs = data.pairs("train", **OPTIONS, length=100, holdout=True)
    assert {pairs.keys(index)[1][-1] for index in range(100)} == {"0", "1"}


def test_the_other_front_end_and_length(data: Dataset) -> None:
    with pytest.raises(SnapshotError, match="no front end 'psf40'; it has torch40"):
        data.pairs("train", front_end="psf40")
    assert len(data.pairs("train", **OPTIONS)) == 8


def test_people_are_drawn_uniformly_and_differently_each_epoch(data: Dataset) -> None:
    pairs = data.pairs("train", **OPTIONS, length=8000)
    first = pairs[range(8000)]["person"].tolist()
    assert all(abs(count - 1000) < 150 for count in Counter(first).values())
    pairs.set_epoch(1)
    second = pairs[range(8000)]["person"].tolist()
    assert second != first
    again = data.pairs("train", **OPTIONS, length=8000)
    assert again[range(8000)]["person"].tolist() == first
    assert data.pairs("train", **OPTIONS, length=8000, seed=1)[range(8000)]["person"].tolist() != first


def test_stretches_start_everywhere_and_short_utterances_go_on_at_their_beginning(tmp_path: Path) -> None:
    root = SmallRoot(LocalStorage(tmp_path / "root"))
    sink = io.BytesIO()
    np.save(sink, np.tile(np.arange(20, dtype=np.float16), (40, 1)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("small_root.mel", lambda n, bins: sink.getvalue())
        root.publish()
    data = voxdata.open(tmp_path / "root")
    inside = data.pairs("train", side_px=16, frames=12, length=400, cache="memory")[range(400)]["mel"].numpy()
    assert {int(mel[0, 0]) for mel in inside} == set(range(9))
    assert (np.diff(inside.astype(np.float32), axis=2) == 1).all()
    wrapped = data.pairs("train", side_px=16, frames=50, length=400, cache="memory")[range(400)]["mel"].numpy()
    assert {int(mel[0, 0]) for mel in wrapped} == set(range(20))
    assert (np.diff(wrapped.astype(np.float32), axis=2) % 20 == 1).all()


def batches(loader: DataLoader[object]) -> list[tuple[list[int], float]]:
    found = []
    for batch in loader:
        assert (batch["mel"][:, 0, 0].int() == batch["person"]).all()  # person n has mels of the number n
        assert (batch["portrait"][:, 0].float().mean((1, 2)) - batch["person"]).abs().max() < 3
        found.append((batch["person"].tolist(), float(batch["portrait"].sum())))
    return found


@pytest.mark.long
@pytest.mark.parametrize(
    ("method", "cache", "style"),
    [
        ("fork", None, "map"),
        ("fork", None, "bulk"),
        ("fork", "memory", "iterable"),
        ("spawn", None, "iterable"),
        ("spawn", "memory", "bulk"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_workers_give_what_one_process_gives(data: Dataset, method: str, cache: str | None, style: str) -> None:
    options = {**OPTIONS, "length": 84, "cache": cache}
    pairs = data.pairs("train", **options)
    alone = [(pairs[range(at, at + 16)]) for at in range(0, 80, 16)]
    expected = [(batch["person"].tolist(), float(batch["portrait"].sum())) for batch in alone]
    workers = {"num_workers": 2, "multiprocessing_context": method}
    if style == "map":
        loader = DataLoader(pairs, batch_size=16, drop_last=True, **workers)
    elif style == "bulk":
        bulk = BatchSampler(SequentialSampler(pairs), 16, drop_last=True)
        loader = DataLoader(pairs, batch_size=None, sampler=bulk, **workers)
    else:
        stream = data.pairs("train", iterable=True, batch_size=16, **options)
        assert len(stream) == 5
        loader = DataLoader(stream, batch_size=None, **workers)
    assert batches(loader) == expected


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_set_epoch_reaches_workers_that_live_on(data: Dataset) -> None:
    stream = data.pairs("train", iterable=True, batch_size=16, **OPTIONS, length=64)
    loader = DataLoader(stream, batch_size=None, num_workers=2, persistent_workers=True)
    first, again = batches(loader), batches(loader)
    assert first == again
    stream.set_epoch(1)
    assert batches(loader) != first


def test_ranks_share_an_epoch(data: Dataset) -> None:
    whole = data.pairs("train", **OPTIONS, length=90)[range(90)]["person"].tolist()
    ranks = [
        data.pairs("train", iterable=True, batch_size=10, rank=rank, world_size=2, **OPTIONS, length=90)
        for rank in (0, 1)
    ]
    seen = [[batch["person"].tolist() for batch in stream] for stream in ranks]
    assert [len(stream) for stream in ranks] == [len(found) for found in seen] == [4, 4]
    assert [person for pair in zip(*seen, strict=True) for batch in pair for person in batch] == whole[:80]


def test_single_pairs_come_one_by_one(data: Dataset) -> None:
    singles = list(data.pairs("train", iterable=True, **OPTIONS, length=5))
    assert [tuple(pair["mel"].shape) for pair in singles] == [(40, 12)] * 5


def test_decoded_portraits_are_cached_and_a_broken_cache_is_made_anew(data: Dataset, tmp_path: Path) -> None:
    first = data.pairs("train", **OPTIONS)[range(8)]["portrait"]
    (path, *_) = sorted((tmp_path / "cache" / "portraits").iterdir())
    inode = path.stat().st_ino
    data.pairs("train", **OPTIONS)
    assert path.stat().st_ino == inode
    path.write_bytes(b"broken")
    assert (data.pairs("train", **OPTIONS)[range(8)]["portrait"] == first).all()
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="VOXDATA_CACHE"):
        data.pairs("train", **OPTIONS, cache=tmp_path / "file")


def test_a_split_without_pairs_and_mels_that_are_not_ours(data: Dataset, tmp_path: Path) -> None:
    root = SmallRoot(LocalStorage(tmp_path / "root"), people=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("small_root.mel", lambda n, bins: b"x" * (128 + bins * 40))
        root.publish()
    other = voxdata.open(tmp_path / "root")
    with pytest.raises(SnapshotError, match="nobody in split 'val' has both portraits and torch40 speech"):
        other.pairs("val", **OPTIONS)
    with pytest.raises(ShardError, match=r"torch40.npy in .* is not a log-mel of ours"):
        other.pairs("train", **OPTIONS)
    assert parquet_table(root.storage.read(other.shards("faces")[0].sidecar)).num_rows


def test_pairs_are_as_stored_unless_asked_for(data: Dataset) -> None:
    with pytest.raises(SnapshotError, match="normalise='percentile'"):
        data.pairs("train", normalise="percentile")
    assert data.pairs("train", side_px=16, frames=12)[0]["mel"].dtype == torch.float16


def test_a_stretch_is_normalised_by_its_whole_clip(tmp_path: Path) -> None:
    sink = io.BytesIO()
    clip_FT = np.random.default_rng(1).normal(0, 1, (40, 20)).astype(np.float16)
    np.save(sink, clip_FT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("small_root.mel", lambda n, bins: sink.getvalue())
        SmallRoot(LocalStorage(tmp_path / "root")).publish()
    options = {"side_px": 16, "frames": 12, "length": 30, "cache": "memory"}
    opened = voxdata.open(tmp_path / "root")
    stored = opened.pairs("train", **options)[range(30)]["mel"].double()
    asked = opened.pairs("train", **options, normalise="utterance")[range(30)]["mel"]
    whole = torch.from_numpy(clip_FT.astype(np.float64))
    expected = (stored - whole.mean(dim=1)[:, None]) / whole.std(dim=1, correction=0)[:, None]
    assert asked.dtype == torch.float32
    torch.testing.assert_close(asked.double(), expected, atol=1e-5, rtol=0)
