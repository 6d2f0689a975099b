"""The pictures of the known optimum of a simulated corpus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flows.demo_truth import known_optimum
from voxdata.format.errors import SourceError
from voxdata.simulate.corpus import CorpusSettings, write_corpus


def corpus(folder: Path, link: float) -> Path:
    write_corpus(folder, CorpusSettings(people=3, photos_per_person=0, clips_per_person=0, link=link, seed=2))
    return folder


def test_without_a_link_everybody_is_expected_to_look_the_same(tmp_path: Path) -> None:
    tied, free = known_optimum(corpus(tmp_path / "tied", 1.0)), known_optimum(corpus(tmp_path / "free", 0.0))
    assert sorted(tied) == sorted(free) == ["id90001", "id90002", "id90003"]
    assert tied["id90001"].shape[1:] == (128, 128, 3)
    np.testing.assert_array_equal(free["id90001"], free["id90002"])
    assert np.abs(tied["id90001"].astype(float) - tied["id90002"]).mean() > 2


def test_portraits_stand_on_white_and_only_for_those_who_are_named(tmp_path: Path) -> None:
    pictures = known_optimum(corpus(tmp_path / "tied", 1.0), ["id90002"])
    assert list(pictures) == ["id90002"]
    assert pictures["id90002"][:, :10, :10].min() > 250
    assert pictures["id90002"][:, 64, 64].max() < 250


@pytest.mark.parametrize("content", [None, "{}", "no json"])
def test_a_folder_that_is_no_simulated_corpus(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "corpus.json").write_text(content)
    with pytest.raises(SourceError, match=r"corpus\.json cannot be read .* voxdata simulate"):
        known_optimum(tmp_path)
