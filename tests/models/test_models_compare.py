"""Two runs on the same pairs, what is decided from them, and a training that starts with another run's weights."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from snapshot_writer import TinySnapshot, write_snapshot

from models.errors import CheckpointError, ConfigError, EvaluationError
from models.evaluate.compare import Comparison, Measured, compare, group_cosines, paired
from models.evaluate.gate import (
    FAILED,
    FIRST,
    MIN_PEOPLE,
    NOT_MEASURED,
    PASSED,
    PROMOTED,
    REFUSED,
    Gate,
    decide,
    make_gate,
)
from models.evaluate.protocol import evaluate
from models.train import train
from models.training.checkpoint import load_checkpoint, save_checkpoint

PEOPLE = 40


def measured(run: str, cosine: float | np.ndarray, **changes: object) -> Measured:
    values = {"cosine": np.broadcast_to(np.asarray(cosine, np.float64), PEOPLE).copy()}
    usual = {"groups": {"sex f": 0.5, "sex m": 0.4}, "nan_rate": 0.0, "latency_ms": 10.0, "vfs": 4.0}
    return Measured(run=run, values=values, **{**usual, **changes})  # type: ignore[arg-type]


def of(*runs: Measured) -> Comparison:
    embedder = {"name": "any", "sha256": None, "kind": "published"}
    return Comparison(
        snapshot="s", split="test", pairs="p", people=PEOPLE, seconds=5.0, embedder=embedder, runs=tuple(runs)
    )


GATE = Gate(metric="cosine")
SPREAD = np.random.default_rng(0).normal(0, 0.1, PEOPLE)


def test_an_improvement_that_everybody_shares_is_promoted() -> None:
    """People differ by far more than the models do: only the pairing shows it."""
    decision = decide(of(measured("old", 0.4 + SPREAD), measured("new", 0.41 + SPREAD)), GATE)
    assert (decision.outcome, decision.promoted, decision.people) == (PROMOTED, True, PEOPLE)
    assert decision.value == pytest.approx(0.01)
    assert decision.low == pytest.approx(0.01)
    assert [guard.outcome for guard in decision.guards] == [PASSED] * 4


def test_an_improvement_within_the_interval_is_refused() -> None:
    decision = decide(of(measured("old", 0.4), measured("new", 0.401 + SPREAD)), GATE)
    assert decision.outcome == REFUSED
    assert decision.low is not None
    assert decision.high is not None
    assert decision.low < 0 < decision.high
    assert "the lower end is not above 0" in decision.reasons[0]


def test_the_same_model_again_is_refused() -> None:
    assert decide(of(measured("old", 0.4 + SPREAD), measured("new", 0.4 + SPREAD)), GATE).outcome == REFUSED


@pytest.mark.parametrize(
    ("guard", "at_the_limit", "beyond"),
    [
        ("VFS", {"vfs": 3.88}, {"vfs": 3.87}),
        ("worst group", {"groups": {"sex f": 0.9, "sex m": 0.39}}, {"groups": {"sex f": 0.38, "sex m": 0.9}}),
        ("latency", {"latency_ms": 12.5}, {"latency_ms": 12.6}),
        ("NaN rate", {"nan_rate": 0.0}, {"nan_rate": 1 / PEOPLE}),
    ],
)
def test_each_guard_refuses_alone(guard: str, at_the_limit: dict[str, object], beyond: dict[str, object]) -> None:
    old = measured("old", 0.4)
    assert decide(of(old, measured("new", 0.5, **at_the_limit)), GATE).outcome == PROMOTED
    decision = decide(of(old, measured("new", 0.5, **beyond)), GATE)
    assert (decision.outcome, decision.low) == (REFUSED, pytest.approx(0.1))
    assert [each.name for each in decision.guards if each.outcome == FAILED] == [guard]
    assert decision.reasons[-1].startswith(f"{guard}: ")


def test_what_cannot_be_measured_holds_nobody_back() -> None:
    decision = decide(of(measured("old", 0.4, vfs=None, groups={}), measured("new", 0.5, groups={})), GATE)
    assert decision.outcome == PROMOTED
    assert [guard.outcome for guard in decision.guards] == [NOT_MEASURED, NOT_MEASURED, PASSED, PASSED]


def test_the_first_model_is_held_back_by_broken_faces_only() -> None:
    alone = decide(of(measured("new", 0.1, vfs=None)), GATE)
    assert (alone.outcome, alone.promoted, alone.value) == (FIRST, True, None)
    broken = decide(of(measured("new", 0.1, nan_rate=0.5)), GATE)
    assert (broken.outcome, broken.reasons) == (
        REFUSED,
        ("NaN rate: 50.00% of the faces are not finite, the limit is 0.00%",),
    )


def test_less_is_better_for_distances_and_ranks() -> None:
    worse = dataclasses.replace(measured("old", 0.0), values={"l1": np.full(PEOPLE, 20.0), "map": np.full(PEOPLE, 0.1)})
    better = dataclasses.replace(
        measured("new", 0.0), values={"l1": np.full(PEOPLE, 18.0), "map": np.full(PEOPLE, 0.3)}
    )
    assert paired(of(worse, better), "l1", draws=100, seed=0)[:3] == pytest.approx((2.0, 2.0, 2.0))
    assert paired(of(worse, better), "map", draws=100, seed=0)[:3] == pytest.approx((0.2, 0.2, 0.2))


def test_the_interval_is_that_of_the_paired_difference() -> None:
    """Of n differences with deviation s it is about 1.96 s / sqrt(n) to each side; people without a value are out."""
    rng = np.random.default_rng(1)
    difference = rng.normal(0.0, 0.2, PEOPLE)
    difference[:4] = np.nan
    value, low, high, people = paired(
        of(measured("a", SPREAD), measured("b", SPREAD + difference)), "cosine", draws=5000, seed=0
    )
    known = difference[4:]
    half = 1.96 * known.std() / math.sqrt(len(known))
    assert (people, value) == (PEOPLE - 4, pytest.approx(known.mean()))
    assert (value - low, high - value) == (pytest.approx(half, rel=0.1), pytest.approx(half, rel=0.1))


@pytest.mark.parametrize(("people", "outcome"), [(MIN_PEOPLE, PROMOTED), (MIN_PEOPLE - 1, REFUSED)])
def test_few_people_of_whom_both_have_a_figure_promote_nobody(people: int, outcome: str) -> None:
    """However many there are in the split: the champion's faces of the others are not finite."""
    old = np.full(PEOPLE, np.nan)
    old[:people] = 0.4
    decision = decide(of(measured("old", old), measured("new", 0.5)), GATE)
    assert (decision.outcome, decision.people) == (outcome, people)
    assert ("6 are needed" in decision.reasons[0]) == (outcome == REFUSED)


def test_with_no_finite_face_there_is_no_figure_and_no_promotion() -> None:
    decision = decide(of(measured("old", 0.4), measured("new", np.nan, nan_rate=1.0, groups={"sex f": math.nan})), GATE)
    assert (decision.outcome, decision.value, decision.low) == (REFUSED, None, None)


def test_groups_are_those_of_enough_people_of_whom_it_is_known() -> None:
    labels = {"sex": ["f"] * 6 + ["m"] * 4 + ["unknown"] * 9, "nationality": ["USA"] * 12 + ["Chad"] * 7}
    cosine = np.arange(19.0)
    assert group_cosines(labels, cosine) == {"sex f": 2.5, "nationality USA": 5.5, "nationality Chad": 15.0}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metrik": "map"}, "gate metrik: no such setting; there are metric, "),
        ({"metric": "beauty"}, "gate metric = 'beauty'"),
        ({"vfs_drop": "3 %"}, "gate vfs_drop = '3 %': must be of type float"),
        ({"latency_ratio": 0.5}, "gate latency_ratio = 0.5: must be from 1.0"),
        ({"nan_rate": True}, "gate nan_rate = True: must be of type float"),
    ],
)
def test_a_gate_that_cannot_be_is_one_line(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_gate(settings)


@pytest.fixture(scope="module")
def pair_of_runs(tiny_snapshot: TinySnapshot, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two trainings of two steps, of different seeds."""
    folder = tmp_path_factory.mktemp("compared")
    for name, seed in (("old", 0), ("new", 1)):
        train(tiny_snapshot.config(folder / name, steps=2, seed=seed, checkpoint_every=100))
    return folder / "old", folder / "new"


@pytest.mark.long
def test_values_per_person_are_those_behind_the_table(
    pair_of_runs: tuple[Path, Path], tiny_snapshot: TinySnapshot
) -> None:
    """Their means are the figures of `evaluate`, where that hears the same seconds: the preset's longest speech."""
    old, _ = pair_of_runs
    table = next(row["figures"] for row in evaluate(old, device="cpu")["rows"] if row["name"] == "sf2f, fused")
    alone = compare([old], snapshot_id=tiny_snapshot.id, seconds=2.0, device="cpu").runs[0]
    for metric in ("cosine", "l1", "map", "centred_cosine", "centred_recall_at_2"):
        assert alone.values[metric].mean() == pytest.approx(table[metric]["value"], abs=1e-6)


def test_both_runs_answer_for_the_same_pairs_before_one_eye(
    pair_of_runs: tuple[Path, Path], tiny_snapshot: TinySnapshot, tmp_path: Path
) -> None:
    old, new = pair_of_runs
    both = compare([old, new], snapshot_id=tiny_snapshot.id, seconds=1.0, device="cpu")
    again = compare([old, new], snapshot_id=tiny_snapshot.id, seconds=1.0, device="cpu")
    assert (both.people, [run.run for run in both.runs]) == (5, ["old", "new"])
    for one, other in zip(both.runs, again.runs, strict=True):
        np.testing.assert_array_equal(one.values["cosine"], other.values["cosine"])
    alone = compare([new], snapshot_id=tiny_snapshot.id, seconds=1.0, device="cpu")
    assert not np.allclose(alone.runs[0].values["cosine"], both.runs[1].values["cosine"])
    assert alone.pairs == both.pairs == again.pairs
    other_people = write_snapshot(tmp_path / "other", {"train": 12, "test": 4})
    fewer = compare([old], snapshot_id=other_people.id, root=str(other_people.root), seconds=1.0, device="cpu")
    assert (fewer.people, fewer.pairs == both.pairs) == (4, False)
    with pytest.raises(EvaluationError, match=r"metric 'recall_at_10': 5 people of split test give .*cosine"):
        paired(both, "recall_at_10", draws=100, seed=0)


def test_a_run_whose_weights_are_broken_has_broken_faces(
    pair_of_runs: tuple[Path, Path], tiny_snapshot: TinySnapshot, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    train(tiny_snapshot.config(broken, steps=2, checkpoint_every=100))
    state = load_checkpoint(broken)
    weights = state["networks"]["decoder"]
    weights[next(iter(weights))].fill_(math.nan)
    save_checkpoint(broken, state.pop("step"), state)
    compared = compare([pair_of_runs[0], broken], snapshot_id=tiny_snapshot.id, seconds=1.0, device="cpu")
    assert [run.nan_rate for run in compared.runs] == [0.0, 1.0]
    decision = decide(compared, GATE)
    assert decision.outcome == REFUSED
    assert any(reason.startswith("NaN rate: 100.00%") for reason in decision.reasons)


def test_a_training_starts_with_the_weights_of_another_run(pair_of_runs: tuple[Path, Path], tmp_path: Path) -> None:
    """A step of next to no length leaves them there, but for the rows that stand for the training people."""
    old, _ = pair_of_runs
    more = write_snapshot(tmp_path / "more", {"train": 14, "test": 5})
    first = tmp_path / "first"
    still = {"learning_rate": 1e-12, "fuser_learning_rate": 1e-12, "fuser_steps": 1, "embedder_steps": 1}
    train(more.config(first, steps=1, overrides=still, start=str(old)))
    theirs, ours = load_checkpoint(old)["networks"], load_checkpoint(first)["networks"]
    for name in ("encoder", "decoder"):
        for key, value in ours[name].items():
            if "running" not in key and "num_batches" not in key:
                torch.testing.assert_close(value, theirs[name][key])
    rows = {key: value.shape[0] for key, value in ours["d_id"].items() if value.shape != theirs["d_id"][key].shape}
    assert set(rows.values()) <= {14, 15}
    assert rows


def test_a_start_that_does_not_fit_is_one_line(
    pair_of_runs: tuple[Path, Path], tiny_snapshot: TinySnapshot, tmp_path: Path
) -> None:
    old, _ = pair_of_runs
    wider = {"decoder_channels": [32, 16, 12, 8], "embedder_steps": 1}
    wide = tiny_snapshot.config(tmp_path / "wide", steps=1, overrides=wider, start=str(old))
    with pytest.raises(CheckpointError, match=r"start = .*old: decoder has other sizes there"):
        train(wide)
    none = tiny_snapshot.config(tmp_path / "none", steps=1, start=str(tmp_path / "nothing"))
    with pytest.raises(CheckpointError, match=r"run .*nothing is not a training run"):
        train(none)
