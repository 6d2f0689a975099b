"""Normalisation by the reader: each kind against the same sums taken by hand, and what is missing is said."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_root import SmallRoot

import voxdata
from voxdata.dataset.normalise import KINDS, normaliser
from voxdata.dataset.opened import Dataset
from voxdata.format.errors import SnapshotError
from voxdata.store.storage import LocalStorage

CLIP_FT = np.random.default_rng(3).normal(5, 2, (4, 30)).astype(np.float16)
RAW = CLIP_FT.astype(np.float64)
BINS = {"mean": [1.0, 2.0, 3.0, 4.0], "std": [1.0, 2.0, 1.0, 2.0]}
SAID = {
    "kind": "global",
    "source": "published",
    "mean": 10.0,
    "std": 4.0,
    "measured": {"mean": 5.0, "std": 2.0},
    "bins": BINS,
}
EXPECTED = {
    "stated": (RAW - 10) / 4,
    "published": (RAW - 10) / 4,
    "global": (RAW - 5) / 2,
    "bin": (RAW - np.array(BINS["mean"])[:, None]) / np.array(BINS["std"])[:, None],
    "utterance": (RAW - RAW.mean(axis=1, keepdims=True)) / RAW.std(axis=1, keepdims=True),
    "none": RAW,
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_its_formula(kind: Any) -> None:
    normalised = normaliser("psf40", {"n_mels": 4, "normalisation": SAID}, kind)(CLIP_FT)
    assert normalised.dtype == np.float32
    np.testing.assert_allclose(normalised, EXPECTED[kind], atol=1e-5)


def test_what_the_snapshot_names_is_followed() -> None:
    about = {"n_mels": 4, "normalisation": {**SAID, "kind": "utterance"}}
    np.testing.assert_allclose(normaliser("sphinx64", about)(CLIP_FT), EXPECTED["utterance"], atol=1e-5)


@pytest.mark.parametrize(
    ("said", "kind", "says"),
    [
        (SAID, "percentile", "must be stated, published, global, bin, utterance, none"),
        ({**SAID, "source": "measured"}, "published", "torch40 has no published constants"),
        (None, "global", "does not say how torch40 is normalised"),
        (None, "stated", "does not say how torch40 is normalised"),
        ({"kind": "global", "mean": 1.0, "std": 1.0}, "bin", "does not say how torch40 is normalised"),
    ],
)
def test_what_cannot_be_applied_is_said(said: Any, kind: Any, says: str) -> None:
    with pytest.raises(SnapshotError, match=says):
        normaliser("torch40", {"n_mels": 4, "normalisation": said}, kind)


def test_a_flat_band_stays_finite() -> None:
    flat = normaliser("torch40", {"n_mels": 2}, "utterance")(np.full((2, 5), 3, np.float16))
    np.testing.assert_array_equal(flat, np.zeros((2, 5)))


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
