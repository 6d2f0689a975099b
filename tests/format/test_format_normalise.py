"""Normalisation by the reader: each kind against the same sums taken by hand, and what is missing is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from voxdata.format.errors import SnapshotError
from voxdata.format.normalise import KINDS, normalisation

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
    normalised = normalisation("psf40", {"n_mels": 4, "normalisation": SAID}, kind)(CLIP_FT)
    assert normalised.dtype == np.float32
    np.testing.assert_allclose(normalised, EXPECTED[kind], atol=1e-5)


def test_what_the_snapshot_names_is_followed() -> None:
    about = {"n_mels": 4, "normalisation": {**SAID, "kind": "utterance"}}
    np.testing.assert_allclose(normalisation("sphinx64", about)(CLIP_FT), EXPECTED["utterance"], atol=1e-5)


@pytest.mark.parametrize(
    ("said", "kind", "says"),
    [
        (SAID, "percentile", "must be stated, published, global, bin, utterance, none"),
        ({**SAID, "source": "measured"}, "published", "torch40 has no published constants"),
        (None, "global", "does not say how torch40 is normalised"),
        (None, "stated", "does not say how torch40 is normalised"),
        ({**SAID, "kind": "percentile"}, "stated", r"torch40 is normalised by 'percentile'.*global and utterance"),
        ({"kind": "global", "mean": 1.0, "std": 1.0}, "bin", "does not say how torch40 is normalised"),
    ],
)
def test_what_cannot_be_applied_is_said(said: Any, kind: Any, says: str) -> None:
    with pytest.raises(SnapshotError, match=says):
        normalisation("torch40", {"n_mels": 4, "normalisation": said}, kind)


def test_a_flat_band_stays_finite() -> None:
    flat = normalisation("torch40", {"n_mels": 2}, "utterance")(np.full((2, 5), 3, np.float16))
    np.testing.assert_array_equal(flat, np.zeros((2, 5)))
