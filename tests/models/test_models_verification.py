"""Equal error rate, area under the curve and their intervals over people: by hand, and by another library."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_auroc, binary_roc

from models.evaluate.verification import (
    Curve,
    area_under_curve,
    equal_error_rate,
    interval,
    person_weights,
    trial_samples,
)


def rates(scores: list[float], labels: list[int]) -> tuple[float, float]:
    """Equal error rate and area under the curve."""
    curve, weight = Curve(np.asarray(scores), np.asarray(labels, np.bool_)), np.ones((1, len(scores)))
    return float(curve(equal_error_rate, weight)[0]), float(curve(area_under_curve, weight)[0])


@pytest.mark.parametrize(
    ("scores", "labels", "eer", "auc"),
    [
        ([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 0], 0.0, 1.0),
        ([0.9, 0.8, 0.7, 0.6], [0, 0, 1, 1], 1.0, 0.0),
        ([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0], 0.5, 3 / 4),
        ([0.9, 0.7, 0.6, 0.5, 0.4, 0.3], [1, 0, 1, 1, 0, 0], 1 / 3, 7 / 9),
        ([1.0, 0.5, 0.5, 0.0], [1, 1, 0, 0], 1 / 4, 7 / 8),
        ([1.0, 0.5, 0.5, 0.5, 0.0], [1, 1, 0, 0, 0], 2 / 7, 5 / 6),
        ([2.0, 2.0, 2.0], [1, 0, 0], 0.5, 0.5),
    ],
)
def test_equal_error_rate_and_area_by_hand(scores: list[float], labels: list[int], eer: float, auc: float) -> None:
    found = rates(scores, labels)
    assert found[0] == pytest.approx(eer)
    assert found[1] == pytest.approx(auc)


def test_equal_error_rate_and_area_by_another_library() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=400)
    scores = np.round(rng.normal(size=400) + labels, 1)
    eer, auc = rates(scores.tolist(), labels.tolist())
    low, high = scores.min(), scores.max()
    probability, target = torch.from_numpy((scores - low) / (high - low)), torch.from_numpy(labels)
    assert auc == pytest.approx(float(binary_auroc(probability, target)), abs=1e-6)
    false, accepted, _ = binary_roc(probability, target)
    dense = np.linspace(0, 1, 200_001)
    missed = 1 - np.interp(dense, false.numpy(), accepted.numpy())
    assert eer == pytest.approx(dense[np.argmin(np.abs(missed - dense))], abs=1e-4)


def test_people_are_drawn_and_a_trial_counts_as_often_as_all_of_its_people() -> None:
    trials = np.array([[0, 0], [0, 1], [2, 2]])
    weight = np.concatenate(list(person_weights(trials, 3, seed=7, samples=120)))
    assert weight.shape == (120, 3)
    own = np.concatenate(list(person_weights(np.array([[0, 0], [1, 1], [2, 2]]), 3, seed=7, samples=120)))
    assert (own.sum(axis=1) == 3).all()
    np.testing.assert_array_equal(weight[:, 1], own[:, 0] * own[:, 1])
    np.testing.assert_array_equal(weight[:, [0, 2]], own[:, [0, 2]])


def test_a_trial_that_counts_twice_is_two_trials() -> None:
    scores, same = np.array([0.9, 0.7, 0.6, 0.2, 0.1]), np.array([True, False, True, True, False])
    weight = np.array([[2.0, 1.0, 0.0, 1.0, 3.0]])
    repeated = np.repeat(np.arange(5), weight[0].astype(int))
    for measure in (equal_error_rate, area_under_curve):
        twice = Curve(scores[repeated], same[repeated])(measure, np.ones((1, len(repeated))))
        np.testing.assert_allclose(Curve(scores, same)(measure, weight), twice)


def test_intervals_need_two_people_and_draws_are_averaged() -> None:
    same, people = np.array([True, False]), np.array([[0, 0], [0, 1]])
    draws = np.array([[0.9, 0.1], [0.1, 0.9]])
    value, samples = trial_samples(draws, same, people, 2, area_under_curve, seed=0)
    assert value == pytest.approx(0.5)
    usable = samples[np.isfinite(samples)]
    assert 0 < len(usable) < len(samples), "some samples draw nobody's face but the speaker's"
    assert set(usable.tolist()) == {0.5}
    assert interval(value, samples, 1) == {"value": value}
    assert interval(value, samples, 2) == {"value": value, "low": 0.5, "high": 0.5}
