"""What `voxdata info` says to do next where a split has nobody in it."""

from __future__ import annotations

import re

import pytest
from small_root import SmallRoot

from flows.overview import overview
from voxdata.people.splits import assign
from voxdata.recipe.sections import Recipe, Splits


def next_of(root: SmallRoot, **splits: object) -> str:
    """What is next after a recipe with these splits."""
    root.recipe = Recipe.model_validate({"name": "x", "splits": splits})
    root.publish()
    return str(overview(root.storage)["next"])


@pytest.fixture
def trained_only(small: SmallRoot) -> SmallRoot:
    """Eight people, who are all in the training split."""
    return SmallRoot(small.storage, people=8)


def test_an_empty_split_comes_before_a_training(trained_only: SmallRoot) -> None:
    said = next_of(trained_only, rule="paper")
    assert said.startswith(
        "nobody is in split val and test of 8 people by splits.rule=paper: build with more people, or "
    )
    assert said.endswith(" --set splits.rule=leak-free")
    assert "train sf2f" not in said


def test_the_shares_that_it_names_leave_no_split_empty(trained_only: SmallRoot) -> None:
    said = next_of(trained_only, val_share=0.0, test_share=0.0)
    named = {name: float(share) for name, share in re.findall(r"--set splits\.(\w+)=(\S+)", said)}
    assert named.keys() == {"val_share", "test_share"}
    found = assign(trained_only.read("identities"), Splits.model_validate(named))
    assert set(found["split"].to_pylist()) == {"train", "val", "test"}


def test_where_everybody_has_a_place_a_training_is_next(small: SmallRoot) -> None:
    small.publish()
    assert "voxdata train sf2f" in str(overview(small.storage)["next"])
