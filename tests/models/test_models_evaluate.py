"""The mathematics of the figures against cases worked out by hand, and an evaluation of a tiny run."""

from __future__ import annotations

import itertools
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from snapshot_writer import N_MELS, TinySnapshot

from models.errors import CheckpointError, ClipError, PretrainedError, SnapshotReadError
from models.evaluate.__main__ import main
from models.evaluate.leakage import heard_before
from models.evaluate.metrics import bootstrap_interval, cosine, group_means, hit_table, hits, l1, ranks
from models.evaluate.protocol import evaluate
from models.evaluate.rows import Centre, Protocol, person_values, same_sex_scores, scores_row, shuffled_row, system_row
from models.images import NOTICE, write_png
from models.imagine import imagine
from models.train import train
from models.training.checkpoint import checkpoints
from tests.counted import Counted


def test_ranks_and_hits_by_hand() -> None:
    scores = np.array([[0.9, 0.5, 0.5, 0.1]])
    above, ties = ranks(scores)
    assert above.tolist() == [[0, 1, 1, 3]]
    assert ties.tolist() == [[0, 1, 1, 0]]
    assert hits(above, ties, 1, people=4, gallery=4).tolist() == [[1, 0, 0, 0]]
    assert hits(above, ties, 2, people=4, gallery=4).tolist() == [[1, 0.5, 0.5, 0]]
    assert hits(above, ties, 3, people=4, gallery=4).tolist() == [[1, 1, 1, 0]]


def test_smaller_galleries_are_exact() -> None:
    people, gallery, k = 7, 4, 2
    for above in range(people):
        others = range(people - 1)
        chosen = list(itertools.combinations(others, gallery - 1))
        expected = np.mean([sum(other < above for other in picked) < k for picked in chosen])
        assert hit_table(people, k, gallery)[above] == pytest.approx(expected)


def test_similarity_by_hand() -> None:
    a, b = np.array([[3.0, 4.0]]), np.array([[4.0, 3.0]])
    assert cosine(a, b)[0] == pytest.approx(24 / 25)
    assert l1(a, b)[0] == pytest.approx(0.4)
    means = group_means(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]), np.array([0, 0, 1]), 2)
    np.testing.assert_allclose(means, [[0.5**0.5, 0.5**0.5], [0, 1]])


def test_bootstrap_interval_holds_the_mean_and_shrinks() -> None:
    values = np.random.default_rng(0).normal(3.0, 1.0, 400)
    low, high = bootstrap_interval(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.15)
    assert bootstrap_interval(np.ones(5)) == (1.0, 1.0)


def test_controls_are_what_they_are_called() -> None:
    people = 30
    chance = scores_row("chance", np.zeros((people, people)), Protocol())["figures"]
    assert chance["recall_at_5"]["value"] == pytest.approx(5 / 30)
    assert chance["recall_at_10_of_20"]["value"] == pytest.approx(0.5)
    known, same = same_sex_scores(["m"] * 10 + ["unknown"] * 4 + ["f"] * 20)
    assert len(known) == 30
    sex = scores_row("sex only", same, Protocol())["figures"]
    assert sex["recall_at_5"]["value"] == pytest.approx((10 * 5 / 10 + 20 * 5 / 20) / 30)
    rng = np.random.default_rng(1)
    real = rng.normal(size=(people, 8))
    nowhere = Centre(generated=np.zeros(8), real=np.zeros(8))
    perfect = system_row("perfect", "system", [(real, real)], nowhere, Protocol())["figures"]
    assert perfect["cosine"]["value"] == pytest.approx(1)
    assert perfect["recall_at_1"]["value"] == perfect["recall_at_1_of_20"]["value"] == 1
    shuffled = shuffled_row("shuffled", real, real, nowhere, Protocol())["figures"]
    assert shuffled["recall_at_1"]["value"] == 0
    assert shuffled["cosine"]["value"] < 0.2


def test_two_rows_are_told_apart_by_the_interval_of_their_difference_over_people() -> None:
    """People differ by far more than the two rows do, so that each row's interval holds the other's value."""
    rng = np.random.default_rng(5)
    real = rng.normal(size=(60, 8))
    away = rng.normal(size=(60, 8)) * rng.uniform(0.1, 3.0, size=(60, 1))
    ours, theirs = [(real + away, real)], [(real + 1.1 * away, real)]
    values = person_values(ours, None, Protocol())
    first = system_row("ours", "system", ours, None, Protocol())["figures"]["cosine"]
    row = system_row("theirs", "control", theirs, None, Protocol(), values)
    second, gain = row["figures"]["cosine"], row["other_better"]["cosine"]
    assert second["low"] < first["value"] < second["high"]
    assert first["low"] < second["value"] < first["high"]
    assert (gain["low"] > 0, gain["people"]) == (True, 60)
    assert gain["value"] == pytest.approx(first["value"] - second["value"])
    again = system_row("ours", "control", ours, None, Protocol(), values)["other_better"]["cosine"]
    assert again == {"value": 0.0, "low": 0.0, "high": 0.0, "people": 60}
    assert "median_rank" not in row["other_better"]
    unknown = {**values, "cosine": np.where(np.arange(60) < 10, np.nan, values["cosine"])}
    assert system_row("theirs", "control", theirs, None, Protocol(), unknown)["other_better"]["cosine"]["people"] == 50


def test_centring_removes_an_offset_that_all_generations_share() -> None:
    rng = np.random.default_rng(2)
    real = rng.normal(size=(40, 16))
    real /= np.linalg.norm(real, axis=1, keepdims=True)
    offset = 4 * rng.normal(size=16)
    blurry, training = real + offset, rng.normal(size=(200, 16)) / 4 + offset
    centre = Centre(
        generated=(training / np.linalg.norm(training, axis=1, keepdims=True)).mean(axis=0), real=real.mean(axis=0)
    )
    figures = system_row("blurry", "system", [(blurry, real)], centre, Protocol())["figures"]
    assert figures["centred_cosine"]["value"] > 0.8 > figures["cosine"]["value"]


@pytest.fixture(scope="module")
def run_dir(tiny_snapshot: TinySnapshot, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("evaluated") / "run"
    train(tiny_snapshot.config(run, steps=4, checkpoint_every=100))
    return run


def test_evaluation_of_a_run(run_dir: Path) -> None:
    result = evaluate(run_dir, device="cpu")
    assert json.loads((run_dir / "evaluation.json").read_text()) == result
    assert (result["people"], result["portraits"], result["utterances"]) == (5, 10, 15)
    assert result["embedder"]["name"] == "self-trained"
    rows = {row["name"]: row["figures"] for row in result["rows"]}
    assert list(rows)[2:] == [
        "chance",
        "mean face",
        "shuffled voices",
        "sex only",
        "linear voice regression",
        "real photo",
    ]
    assert rows["chance"]["recall_at_2"]["value"] == pytest.approx(0.4)
    assert "recall_at_5" not in rows["chance"]
    assert rows["real photo"]["cosine"]["value"] > 0.9
    assert any("fewer than 20 people" in note for note in result["notes"])
    table = (run_dir / "evaluation.md").read_text()
    assert table.count("| self-trained | n |") == 3 + len(result["tables"])
    assert "| mean face | 5 |" in table
    better = {row["name"]: row.get("other_better", {}) for row in result["rows"]}
    for name in ("mean face", "linear voice regression", "shuffled voices"):
        gain = better[name]["cosine"]
        assert gain["value"] == pytest.approx(rows["sf2f, fused"]["cosine"]["value"] - rows[name]["cosine"]["value"])
        assert (gain["people"], gain["low"] <= gain["value"] <= gain["high"]) == (5, True)
    assert better["mean face"]["l1"]["value"] == pytest.approx(
        rows["mean face"]["l1"]["value"] - rows["sf2f, fused"]["l1"]["value"]
    ), "less is better"
    assert better["sf2f, fused"] == better["real photo"] == {}
    assert "## sf2f, fused: better by" in table
    assert "| self-trained | n | centred cosine | cosine | L1 |" in table
    assert evaluate(run_dir, device="cpu") == result


def test_an_evaluation_tells_how_far_it_is(run_dir: Path) -> None:
    counted = Counted()
    evaluate(run_dir, device="cpu", protocols=["groups", "lengths"], counting=counted)
    assert list(counted.totals) == ["evaluate full", "evaluate lengths", "evaluate groups"]
    assert (counted.totals["evaluate groups"], counted.totals["evaluate lengths"]) == (6, 7)
    assert counted.done == sum(counted.totals.values())


def test_the_embedder_says_how_far_it_is_and_when_the_time_box_begins(
    tiny_snapshot: TinySnapshot, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "models.train")
    train(tiny_snapshot.config(tmp_path / "run", seconds=0.01))
    (begins,) = (line for line in caplog.messages if line.startswith("training the face embedder"))
    steps = re.search(r"(\d+) steps; the time box begins after it$", begins)
    assert steps is not None
    assert f"face embedder: step {steps[1]} of {steps[1]}, about 0 s left" in caplog.messages


def test_an_embedder_that_cannot_be_had_is_said(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PretrainedError, match="facenet"):
        evaluate(run_dir, embedder="facenet", device="cpu")
    with pytest.raises(SnapshotReadError, match="nobody in split 'val'"):
        evaluate(run_dir, split="val", device="cpu")
    assert main([str(run_dir / "nothing")]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: run ")


def test_one_test_person_without_a_second_portrait_or_sex(
    make_snapshot: Callable[..., TinySnapshot], run_dir: Path
) -> None:
    alone = make_snapshot({"train": 3, "test": 1})
    result = evaluate(run_dir, root=str(alone.root), device="cpu")
    names = [row["name"] for row in result["rows"]]
    assert "shuffled voices" not in names
    assert not any("recall" in key for row in result["rows"] for key in row["figures"])


def voice(frames: int, bins: int = N_MELS) -> Any:
    return (10 + np.random.default_rng(0).normal(size=(bins, frames))).astype(np.float32)


def test_imagine_gives_a_face_and_one_per_window(run_dir: Path, tmp_path: Path) -> None:
    imagined = imagine(run_dir, voice(130), front_end="torch40", device="cpu")
    assert imagined.face.shape == (64, 64, 3)
    assert imagined.face.dtype == np.uint8
    assert imagined.windows.shape == (1 + (130 - 50) // 25, 64, 64, 3)
    assert imagined.window_start_s == (0.0, 0.25, 0.5, 0.75)
    assert imagined.embedder == "self-trained"
    alone = imagine(run_dir, voice(130)[:, :50], front_end="torch40", device="cpu")
    np.testing.assert_array_equal(alone.windows[0], imagined.windows[0])
    write_png(tmp_path / "face.png", imagined.face)
    with Image.open(tmp_path / "face.png") as written:
        assert written.text == {"Description": NOTICE}  # type: ignore[attr-defined]
        np.testing.assert_array_equal(np.asarray(written), imagined.face)


@pytest.mark.parametrize(
    ("mel", "front_end", "settings", "line"),
    [
        (voice(49), "torch40", {}, r"has 0.49 s of speech; one window is 0.50 s"),
        (voice(80, 64), "torch40", {}, r"shape \(64, 80\); \(40, frames\) is needed"),
        (voice(80) * np.nan, "torch40", {}, "not finite"),
        (voice(80), "torch64", {}, "comes as torch64 log-mels, run .* was trained on torch40"),
        (voice(80), "torch40", {"hop_s": 0.02}, "hop_s is 0.02, run .* was trained with 0.01"),
    ],
)
def test_a_voice_that_cannot_be_imagined(
    run_dir: Path, mel: Any, front_end: str, settings: dict[str, Any], line: str
) -> None:
    with pytest.raises(ClipError, match=line):
        imagine(run_dir, mel, front_end=front_end, settings=settings, device="cpu")


def test_a_folder_without_a_usable_checkpoint(run_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a training run"):
        imagine(tmp_path, voice(80), front_end="torch40", device="cpu")
    (tmp_path / "config.json").write_bytes((run_dir / "config.json").read_bytes())
    with pytest.raises(CheckpointError, match=r"no readable checkpoint \(none\)"):
        imagine(tmp_path, voice(80), front_end="torch40", device="cpu")
    (tmp_path / "checkpoints").mkdir()
    newest = checkpoints(run_dir)[-1]
    (tmp_path / "checkpoints" / newest.name).write_bytes(newest.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config["numbers"]["encoder_channels"] = [16, 16, 16, 16, 64]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"does not fit its config\.json"):
        imagine(tmp_path, voice(80), front_end="torch40", device="cpu")


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ("yes", "it has heard VoxCeleb's test people"),
        ("likely", "it has probably heard VoxCeleb's test people"),
        ("unknown", "whether it has heard VoxCeleb's test people is not known"),
    ],
)
def test_what_an_encoder_in_front_of_a_model_has_heard_is_told(known: str, said: str) -> None:
    heard = heard_before({"name": "resemblyzer", "trained_on": "VoxCeleb2", "knows_test_people": known})
    assert heard is not None
    assert heard.startswith("voices come through resemblyzer, which was trained on VoxCeleb2; ")
    assert said in heard
    assert heard_before({"name": "torch40", "n_mels": 40}) is None
