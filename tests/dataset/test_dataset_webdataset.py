from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_root import faces
from torch.utils.data import DataLoader

from voxdata.dataset.opened import Dataset
from voxdata.dataset.webdataset import pipeline
from voxdata.format.errors import ShardError, SnapshotError

# webdataset leaves the tars that it has read to the garbage collector
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


def plain(sample: dict[str, Any]) -> tuple[str, float]:
    return sample["__key__"], float(sample["torch40.npy"].sum())


def test_faces_come_decoded(data: Dataset) -> None:
    samples = list(data.webdataset("train", "faces"))
    assert sorted(sample["__key__"] for sample in samples) == sorted(faces(n)[0]["face_id"] for n in range(8))
    assert {sample["jpg"].size for sample in samples} == {(16, 16)}
    assert {sample["jpg"].mode for sample in samples} == {"RGB"}
    assert sorted(sample["json"]["face_angle_deg"] for sample in samples) == list(range(8))


def test_speech_comes_as_arrays(data: Dataset) -> None:
    (first, second) = data.webdataset("val", "speech")
    assert first["json"]["holdout"] is False
    for sample in (first, second):
        assert (sample["torch40.npy"] == np.full((40, 20), 9, np.float16)).all()
        assert sample["torch64.npy"].shape == (64, 20)


@pytest.mark.long
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_workers_share_the_shards(data: Dataset, method: str) -> None:
    pipeline = data.webdataset("train", "speech").map(plain)
    loader = DataLoader(pipeline, batch_size=None, num_workers=2, multiprocessing_context=method)
    expected = sorted(map(plain, data.webdataset("train", "speech")))
    assert len(expected) == 16
    assert sorted((key, value) for key, value in loader) == expected


def test_shuffle_is_by_seed(data: Dataset) -> None:
    def order(**options: int) -> list[str]:
        return [sample["__key__"] for sample in data.webdataset("train", "speech", **options)]

    assert order(shuffle=100, seed=1) == order(shuffle=100, seed=1)
    assert order(shuffle=100, seed=1) != order()
    assert sorted(order(shuffle=100, seed=1)) == sorted(order())


def test_a_kind_that_there_is_not(data: Dataset) -> None:
    with pytest.raises(SnapshotError, match="no kind of shards 'video'; there are faces, speech"):
        data.webdataset("val", "video")  # type: ignore[arg-type]


def test_a_kind_that_a_split_does_not_have(data: Dataset) -> None:
    with pytest.raises(ShardError, match="no shard of this split and kind"):
        pipeline(data.local(), [], shuffle=0, seed=0, left_out=frozenset())
