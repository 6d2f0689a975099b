"""The arithmetic of the benchmark on real people: who is found by a voice, and how many people a study needs."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def power(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("real_people_power")


def pool(power: Any, effect: float) -> Any:
    """400 people of whom `effect` of the first voice measurement is in the face."""
    rng = np.random.default_rng(0)
    voice, noise = rng.standard_normal((400, 4)), rng.standard_normal((400, 8))
    face = noise.copy()
    face[:, :4] += effect * voice
    sexes = ["f" if number % 2 else "m" for number in range(400)]
    return power.Pool(voice=voice, real=face / np.linalg.norm(face, axis=1, keepdims=True), sexes=sexes)


def test_power_rises_with_people_and_nothing_is_found_where_nothing_is(power: Any) -> None:
    found = {size: power.studies(pool(power, 0.4), size, draws=30, seed=1)[power.SEX] for size in (20, 60, 160)}
    assert found[20].power < found[60].power < found[160].power
    assert found[160].power > 0.9
    nothing = power.studies(pool(power, 0.0), 160, draws=60, seed=1)
    assert all(nothing[question].power <= 0.1 for question in power.QUESTIONS)
    assert abs(nothing[power.SEX].accuracy - 0.5) < 0.05
    needed, among = power.people_needed(found)
    assert among
    assert 20 < needed < 160


def test_matching_counts_ties_half_and_shuffled_voices_are_at_chance(power: Any) -> None:
    own, shuffled = power.matched(np.eye(6))
    assert own.tolist() == [1.0] * 6
    assert np.allclose(shuffled, 0.5)
    own, _ = power.matched(np.zeros((6, 6)), ["f", "f", "f", "m", "m", "unknown"])
    assert own[:3].tolist() == [0.5] * 3
    assert np.isnan(own[3:]).all()  # two others are needed for a shuffled voice to have somebody to lose to


def test_the_link_and_the_people_between_what_was_simulated(power: Any) -> None:
    assert power.fitting_link({0.0: 0.5, 0.5: 0.6, 1.0: 0.8}, 0.7) == pytest.approx(0.75)
    weak = power.Study(power=0.1, accuracy=0.52, effect=0.02, deviation=0.25, asked=100.0)
    needed, among = power.people_needed({100: weak})
    assert not among
    assert needed == pytest.approx((2.801585 * 0.25 / 0.02) ** 2)
    none = power.Study(power=0.02, accuracy=0.5, effect=-0.001, deviation=0.25, asked=100.0)
    assert power.people_needed({100: none}) == (float("inf"), False)
