"""The linear voice regression and the rows from pictures that a caller brings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from snapshot_writer import N_MELS, TinySnapshot

from models.data.snapshots import open_snapshot
from models.data.store import Store
from models.errors import EvaluationError
from models.evaluate.protocol import evaluate
from models.evaluate.report import headline, markdown
from models.evaluate.rows import Protocol, scores_row
from models.evaluate.speakers import person_vectors, speakers
from models.evaluate.voice_regression import STRENGTHS, fit_voice_regression, measure_voices
from models.train import train


@pytest.fixture(scope="module")
def run_dir(tiny_snapshot: TinySnapshot, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("controlled") / "run"
    train(tiny_snapshot.config(run, steps=2, checkpoint_every=100))
    return run


def test_a_regression_finds_what_is_linear_and_stays_at_the_mean_where_nothing_is() -> None:
    rng = np.random.default_rng(0)
    voice, weight = rng.normal(3.0, 2.0, (150, 10)), rng.normal(size=(10, 4))
    real = voice @ weight + 0.1 * rng.normal(size=(150, 4))
    found = fit_voice_regression(voice[:100], real[:100])
    assert np.corrcoef(found(voice[100:]).ravel(), real[100:].ravel())[0, 1] > 0.99
    noise = rng.normal(size=(100, 4))
    nothing = fit_voice_regression(voice[:100], noise)
    assert nothing.strength > found.strength
    assert nothing(voice[100:]).std() < 0.5 * noise.std()


def test_the_ridge_strength_is_the_best_of_leaving_one_out() -> None:
    rng = np.random.default_rng(1)
    voice, target = rng.normal(size=(12, 6)), rng.normal(size=(12, 2))
    target += voice[:, :2]
    chosen = fit_voice_regression(voice, target).strength
    x = (voice - voice.mean(axis=0)) / voice.std(axis=0)

    def error(strength: float) -> float:
        left_out = []
        for row in range(len(x)):
            rest = np.delete(np.arange(len(x)), row)
            mean_x, mean_y = x[rest].mean(axis=0), target[rest].mean(axis=0)
            a, b = x[rest] - mean_x, target[rest] - mean_y
            weight = np.linalg.solve(a.T @ a + strength * np.eye(6), a.T @ b)
            left_out.append((x[row] - mean_x) @ weight + mean_y - target[row])
        return float(np.square(left_out).mean())

    best = min(error(strength) for strength in STRENGTHS)
    assert error(chosen) <= 1.02 * best


def test_a_measurement_that_nobody_has_or_that_never_varies_changes_nothing() -> None:
    rng = np.random.default_rng(2)
    voice, target = rng.normal(size=(30, 3)), rng.normal(size=(30, 2))
    more = np.concatenate([voice, np.full((30, 1), np.nan), np.full((30, 1), 7.0)], axis=1)
    plain, wide = fit_voice_regression(voice, target), fit_voice_regression(more, target)
    np.testing.assert_allclose(plain(voice), wide(more))
    more[4, 0] = np.nan
    assert np.isfinite(fit_voice_regression(more, target)(more)).all()


def test_voices_are_measured_per_person(tiny_snapshot: TinySnapshot) -> None:
    store = Store(
        open_snapshot(tiny_snapshot.root, tiny_snapshot.id),
        split="test",
        front_end="torch40",
        side_px=64,
        cache=tiny_snapshot.root / "cache",
        device=tiny_snapshot.config(Path("run")).torch_device(),
        holdouts="keep",
    )
    voices = measure_voices(store)
    assert voices.shape == (5, 2 * N_MELS + 2)
    assert np.isnan(voices[:, -2:]).all()
    assert np.isfinite(voices[:, :-2]).all()
    first = [store.crops(np.array([u]), np.array([0]), int(store.frames[u]))[0].numpy() for u in range(3)]
    np.testing.assert_allclose(voices[0, :N_MELS], np.mean([mel.mean(axis=1) for mel in first], axis=0), atol=1e-5)


def test_pictures_become_a_row(run_dir: Path, tiny_snapshot: TinySnapshot) -> None:
    rng = np.random.default_rng(3)
    pictures = {person: rng.integers(0, 256, (2, 80, 80, 3), np.uint8) for person in tiny_snapshot.traits}
    result = evaluate(run_dir, device="cpu", references={"brought": pictures})
    row = next(row for row in result["rows"] if row["name"] == "brought")
    assert (row["kind"], row["people"]) == ("ceiling", 5)
    assert "centred_recall_at_2" in row["figures"]
    unseen = {person: pixels for person, pixels in pictures.items() if person.startswith("test")}
    result = evaluate(run_dir, device="cpu", references={"brought": unseen})
    row = next(row for row in result["rows"] if row["name"] == "brought")
    assert "recall_at_2" in row["figures"]
    assert not any(key.startswith("centred") for key in row["figures"])


def test_pictures_that_are_missing_or_not_pictures(run_dir: Path, tiny_snapshot: TinySnapshot) -> None:
    grey = {person: np.zeros((8, 8), np.uint8) for person in tiny_snapshot.traits}
    with pytest.raises(EvaluationError, match=r"'best': the picture of .* is uint8"):
        evaluate(run_dir, device="cpu", references={"best": grey})
    with pytest.raises(EvaluationError, match="'best': 5 of 5 people have no picture, the first is test000"):
        evaluate(run_dir, device="cpu", references={"best": {}})


@pytest.mark.parametrize(("people", "columns"), [(15, 0), (20, 1), (99, 1), (100, 2)])
def test_the_headline_leaves_galleries_out_that_are_larger_than_the_split(people: int, columns: int) -> None:
    rows = [scores_row("chance", np.zeros((people, people)), Protocol())]
    table = headline({"rows": rows, "embedder": {"name": "any"}})
    assert [table.count(heading) for heading in ("R@5 of 20 %", "R@10 of 100 %")] == [columns > 0, columns > 1]
    assert table.count("25.0") == 3 * (columns > 0)
    assert table.count("10.0") == 3 * (columns > 1)


def test_the_table_starts_with_the_headline_where_there_is_one(run_dir: Path) -> None:
    result = evaluate(run_dir, device="cpu")
    assert headline(result) == ""
    assert "Who it finds" not in markdown(result)
    assert any("no galleries of 20 or 50 or 100" in note for note in result["notes"])


ENCODER = {
    "name": "resemblyzer",
    "n_mels": 8,
    "hop_s": 0.8,
    "trained_on": "VoxCeleb2",
    "knows_test_people": "yes",
}


def test_a_snapshot_with_a_speaker_encoder_has_its_control_in_every_table(
    make_snapshot: Callable[..., TinySnapshot], tmp_path: Path
) -> None:
    """The network's vectors are the traits that faces are painted from, so the row finds what the log-mels hide."""
    snapshot = make_snapshot({"train": 24, "test": 6}, encoder=ENCODER)
    run = tmp_path / "run"
    train(snapshot.config(run, steps=2, checkpoint_every=100))
    result = evaluate(run, device="cpu")
    rows = {row["name"]: row for row in result["rows"]}
    assert rows["voice regression, resemblyzer"]["kind"] == "control"
    assert rows["voice regression, resemblyzer"]["figures"]["centred_cosine"]["value"] > 0.5
    page = (run / "evaluation.md").read_text()
    assert page.count("| voice regression, resemblyzer |") == page.count("| linear voice regression |") > 2
    said = "voice regression, resemblyzer: voices come through resemblyzer, which was trained on VoxCeleb2; it has"
    assert any(note.startswith(said) for note in result["notes"])


def test_the_vector_of_a_person_is_the_mean_of_the_clips_that_a_store_holds(
    make_snapshot: Callable[..., TinySnapshot],
) -> None:
    tiny = make_snapshot({"train": 3, "test": 1}, encoder=ENCODER)
    snapshot = open_snapshot(tiny.root, tiny.id)
    stores = [
        Store(
            snapshot,
            split="train",
            front_end="torch40",
            side_px=64,
            cache=tiny.root / "cache",
            device=tiny.config(Path("run")).torch_device(),
            holdouts=holdouts,
        )
        for holdouts in ("drop", "only")
    ]
    for store in stores:
        vectors = person_vectors(snapshot, store, "train", "resemblyzer")
        for person, vector in zip(store.people, vectors, strict=True):
            trait = tiny.traits[person]
            np.testing.assert_allclose(vector, [*(trait / np.linalg.norm(trait)), 0, 0, 0, 0], atol=1e-3)
    assert speakers(snapshot, stores[0], stores[1], "train")[0].row == "voice regression, resemblyzer"
