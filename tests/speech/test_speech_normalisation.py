"""Normalisation of a snapshot: the statistics of what training will see, whatever the shards are cut into."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from voxdata.format.snapshot import ShardEntry
from voxdata.recipe.speech import SpeechMeasure
from voxdata.shards.write import Member, Sample, pack
from voxdata.speech.front_ends.front_end import stated
from voxdata.speech.normalisation import normalisation, normalisation_again, shard_sums
from voxdata.store.storage import LocalStorage

SCHEMA = pa.schema([("identity", pa.string()), ("holdout", pa.bool_())])


def mel(seed: int, bands: int = 40) -> np.ndarray:
    rng = np.random.default_rng(seed)
    level_F1 = np.linspace(-8, 12, bands)[:, None]
    return (level_F1 + 3 * rng.standard_normal((bands, 20 + seed))).astype(np.float16)


def sample(seed: int, *, holdout: bool = False, names: tuple[str, ...] = ("torch40",)) -> Sample:
    members = {}
    for name in names:
        sink = io.BytesIO()
        np.save(sink, mel(seed, 64 if name == "sphinx64" else 40))
        members[f"{name}.npy"] = Member.of(sink.getvalue())
    return Sample(f"p{seed}/v_1", members, {"identity": f"p{seed}", "holdout": holdout})


def shard(storage: LocalStorage, samples: list[Sample], split: str = "train", first: int = 0) -> ShardEntry:
    entry = pack(
        storage, kind="speech", split=split, first_bucket=first, last_bucket=first, samples=samples, schema=SCHEMA
    )
    assert entry is not None
    return entry


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "root")


def test_the_statistics_are_those_of_the_training_clips(storage: LocalStorage) -> None:
    shards = [
        shard(storage, [sample(1), sample(2)]),
        shard(storage, [sample(3), sample(4, holdout=True)], first=1),
        shard(storage, [sample(5)], "test", first=2),
    ]
    said = normalisation(storage, shards, "torch40")
    assert said is not None
    all_FT = np.concatenate([mel(seed) for seed in (1, 2, 3)], axis=1).astype(np.float64)
    assert (said["kind"], said["source"], said["frames"], said["split"]) == ("global", "measured", 66, "train")
    assert (said["mean"], said["std"]) == pytest.approx((all_FT.mean(), all_FT.std()))
    np.testing.assert_allclose(said["bins"]["mean"], all_FT.mean(axis=1), rtol=1e-9)
    np.testing.assert_allclose(said["bins"]["std"], all_FT.std(axis=1), rtol=1e-9)


def test_the_order_in_which_shards_arrive_changes_nothing(storage: LocalStorage, tmp_path: Path) -> None:
    shards = [shard(storage, [sample(n)], first=n) for n in range(6)]
    other = LocalStorage(tmp_path / "other")
    again = [shard(other, [sample(n)], first=n) for n in reversed(range(6))]
    assert normalisation(storage, shards, "torch40") == normalisation(other, again, "torch40")


def test_sums_are_taken_once(storage: LocalStorage) -> None:
    entry = shard(storage, [sample(1)])
    first = shard_sums(storage, entry)
    Path(storage.url.removeprefix("file://"), entry.tar).unlink()
    assert shard_sums(storage, entry) == first


def test_each_code_of_a_paper_is_normalised_its_way(storage: LocalStorage) -> None:
    shards = [shard(storage, [sample(1, names=("psf40", "sphinx64"))])]
    said = {name: stated(storage, shards, name, SpeechMeasure()) for name in ("psf40", "sphinx64", "torch40")}
    psf, sphinx = (said[name]["normalisation"] for name in ("psf40", "sphinx64"))
    assert (psf["kind"], psf["source"], psf["mean"], psf["std"]) == ("global", "published", 10.9915, 3.1661)
    assert psf["measured"]["mean"] == pytest.approx(float(mel(1).astype(np.float64).mean()))
    assert (sphinx["kind"], len(sphinx["bins"]["mean"])) == ("utterance", 64)
    assert "normalisation" not in said["torch40"]
    for name, before in (("psf40", psf), ("sphinx64", sphinx)):
        assert normalisation_again(storage, shards, name, before) == before
