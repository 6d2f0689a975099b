"""The protocols of the papers: their mathematics by hand, and their tables on a tiny run."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from snapshot_writer import TinySnapshot
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from models.data.snapshots import open_snapshot
from models.errors import ConfigError, PretrainedError
from models.evaluate.contestants import Evaluation
from models.evaluate.distributions import frechet_distance, kernel_distance, mmd, vggface_score
from models.evaluate.judge import Judge
from models.evaluate.matching import matching
from models.evaluate.metrics import bootstrap_interval, rank_figures
from models.evaluate.protocol import evaluate, open_embedder, open_store
from models.evaluate.published import rows as published_rows
from models.evaluate.report import markdown
from models.generator import Generator
from models.train import train
from models.training.config import make_config

OWNERS = np.array([0, 0, 1, 2, 2])


class Passed(torch.nn.Module):
    """Features that come as they are, for the independent library."""

    num_features = 6

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features


def test_matching_counts_every_pair() -> None:
    scores = np.array([[0.9, 0.2, 0.5, 0.2, 0.1], [0.1, 0.2, 0.2, 0.3, 0.2], [0.0, 0.0, 0.0, 0.0, 0.0]])
    people = np.array([0, 1, 2])
    accuracy, trials = matching(scores, people, OWNERS, None)
    expected, count = [], 0
    for row, person in zip(scores, people, strict=True):
        pairs = [
            (row[own] > row[other]) + (row[own] == row[other]) / 2
            for own, other in itertools.product(np.flatnonzero(person == OWNERS), np.flatnonzero(person != OWNERS))
        ]
        expected.append(np.mean(pairs))
        count += len(pairs)
    np.testing.assert_allclose(accuracy, expected)
    assert trials == count
    assert accuracy[2] == 0.5


def test_matching_within_a_sex_leaves_out_who_has_no_impostor_or_no_sex() -> None:
    scores = np.tile(np.array([[0.5, 0.6, 0.7, 0.8, 0.1]]), (3, 1))
    sexes = np.array(["f", "m", "f"])
    accuracy, trials = matching(scores, np.array([0, 1, 2]), OWNERS, sexes)
    assert np.isnan(accuracy[1])
    assert accuracy[0] == pytest.approx((1 + 1) / 4)
    assert trials == 4 + 4
    unknown, _ = matching(scores[:1], np.array([0]), OWNERS, np.array(["unknown", "m", "f"]))
    assert np.isnan(unknown[0])


def test_a_face_that_takes_no_part_is_no_trial() -> None:
    scores = np.array([[np.nan, 0.4, 0.3, 0.9, 0.2]])
    accuracy, trials = matching(scores, np.array([0]), OWNERS, None)
    assert (accuracy[0], trials) == (pytest.approx(2 / 3), 3)


def test_rank_and_reciprocal_rank_over_ties() -> None:
    rank, reciprocal = rank_figures(np.array([0, 2, 1]), np.array([0, 0, 2]))
    assert rank.tolist() == [1, 3, 3]
    np.testing.assert_allclose(reciprocal, [1, 1 / 3, (1 / 2 + 1 / 3 + 1 / 4) / 3])


def test_interval_of_a_median() -> None:
    values = np.concatenate([np.ones(60), np.full(40, 1000.0)])
    low, high = bootstrap_interval(values, median=True)
    assert low == 1
    assert high in (1.0, 500.5, 1000.0)
    assert bootstrap_interval(values)[0] > 200


def test_frechet_distance_by_hand_and_by_torchmetrics() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(400, 6)), rng.normal(size=(300, 6)) * [1, 2, 1, 1, 3, 1] + [2, 0, 0, 0, 0, 1]
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-8)
    shifted = a + np.array([3.0, 4.0, 0, 0, 0, 0])
    assert frechet_distance(a, shifted) == pytest.approx(25)
    wide = a - a.mean(axis=0)
    assert frechet_distance(wide, 2 * wide) == pytest.approx(np.trace(np.cov(a, rowvar=False)))
    theirs = FrechetInceptionDistance(feature=Passed(), normalize=True, input_img_size=(6,))
    theirs.set_dtype(torch.float64)
    theirs.update(torch.from_numpy(a), real=True)
    theirs.update(torch.from_numpy(b), real=False)
    assert frechet_distance(a, b) == pytest.approx(float(theirs.compute()), rel=1e-4)


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save:UserWarning")
def test_kernel_distance_by_hand_and_by_torchmetrics() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(50, 6)), rng.normal(size=(50, 6)) + 1
    direct = 0.0
    for x, y, sign, skip in ((a, a, 1, True), (b, b, 1, True), (a, b, -2, False)):
        values = [(x[i] @ y[j] / 6 + 1) ** 3 for i in range(50) for j in range(50) if not (skip and i == j)]
        direct += sign * float(np.mean(values))
    assert mmd(a, b) == pytest.approx(direct)
    assert kernel_distance(a, b, seed=0)[0] == pytest.approx(direct)
    theirs = KernelInceptionDistance(feature=Passed(), subsets=1, subset_size=50, normalize=True)
    theirs.update(torch.from_numpy(a), real=True)
    theirs.update(torch.from_numpy(b), real=False)
    assert mmd(a, b) == pytest.approx(float(theirs.compute()[0]), rel=1e-3)


def test_vggface_score_is_the_number_of_sure_classes() -> None:
    sure = np.tile(np.eye(8), (10, 1))
    assert vggface_score(sure) == (pytest.approx(8), pytest.approx(0, abs=1e-9))
    undecided = np.full((40, 8), 1 / 8)
    assert vggface_score(undecided)[0] == pytest.approx(1)


def test_published_rows_never_lose_their_embedder() -> None:
    for table in ("sf2f-paper", "avp", "matching", "pixels"):
        assert published_rows(table)
        assert all(row.embedder and row.figures for row in published_rows(table))
    assert published_rows("lengths") == ()


@pytest.fixture(scope="module")
def judged(tiny_snapshot: TinySnapshot, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    run = tmp_path_factory.mktemp("judged") / "run"
    train(tiny_snapshot.config(run, steps=3, checkpoint_every=100))
    return run, evaluate(run, device="cpu", protocols=["all"])


@pytest.mark.long
def test_every_protocol_has_its_table_with_controls(judged: tuple[Path, dict[str, Any]]) -> None:
    run, result = judged
    assert json.loads((run / "evaluation.json").read_text()) == result
    tables = {table["table"]: table for table in result["tables"]}
    wanted = ["sf2f-paper", "sf2f-lengths", "sf2f-code", "avp", "matching", "matching, training people"]
    wanted += ["known people", "sex", "noise", "lengths", "groups", "distributions", "pixels"]
    assert list(tables) == wanted
    for name in ("sf2f-paper", "sf2f-code", "matching"):
        names = [row["name"] for row in tables[name]["rows"]]
        for control in ("chance", "mean face", "shuffled voices", "sex only", "linear voice regression", "real photo"):
            assert control in names, (name, control)
    chance = next(row for row in tables["matching"]["rows"] if row["name"] == "chance")
    assert chance["figures"]["matching"] == {"value": 0.5, "low": 0.5, "high": 0.5}
    assert chance["trials"] == 5 * 2 * 8


def test_networks_that_define_fid_and_vfs_are_named_where_they_lack(
    judged: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    run, result = judged
    for figure, name in (("FID, KID and Inception score as published", "fid_inception"), ("VFS", "vggface2_resnet50")):
        assert any(note.startswith(f"no {figure}: {name} is not given; get ") for note in result["notes"])
    (distances,) = (table for table in result["tables"] if table["table"] == "distributions")
    assert "FID of 3 faces in" in " ".join(distances["notes"]) or "FID of 5 faces in" in " ".join(distances["notes"])
    assert distances["notes"][0] in (run / "evaluation.md").read_text()
    wrong = tmp_path / "pt_inception-2015-12-05-6726825d.pth"
    wrong.write_bytes(b"half of it")
    with pytest.raises(PretrainedError, match=f"fid_inception: {wrong} has sha256"):
        evaluate(run, device="cpu", protocols=["distributions"], weights={"fid_inception": str(wrong)})


def test_lengths_are_rows_and_draws_are_averaged(judged: tuple[Path, dict[str, Any]]) -> None:
    tables = {table["table"]: table["rows"] for table in judged[1]["tables"]}
    fused = [row for row in tables["avp"] if row["name"] == "sf2f, fused"]
    assert [row["seconds"] for row in fused] == [2.0, 4.0, 6.0, 8.0]
    assert all(set(row["figures"]) == {"cosine"} for row in tables["avp"])
    paper = {row["name"]: row for row in tables["sf2f-paper"]}
    assert (paper["sf2f, fused"]["draws"], paper["mean face"]["draws"]) == (100, 1)
    assert all(math.isfinite(figure["value"]) for row in tables["sf2f-paper"] for figure in row["figures"].values())


@pytest.fixture(scope="module")
def asked(judged: tuple[Path, dict[str, Any]], tiny_snapshot: TinySnapshot) -> Evaluation:
    """The judged run, to be asked for one row at a time."""
    generator = Generator(judged[0], torch.device("cpu"))
    config = make_config(generator.run["run"])
    judge = Judge(generator=generator, embedder=open_embedder(config.embedder, judged[0], {}), seed=0)
    snapshot = open_snapshot(config.root, config.snapshot)
    training, unseen = (open_store(config, generator, snapshot, split) for split in ("train", "test"))
    return Evaluation(judge, training, unseen, {})


def test_a_row_hears_what_its_name_says(asked: Evaluation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Log-mels that reach the encoder where a protocol asks for 5 s: one window per person, or all in one piece."""
    heard: list[tuple[int, int]] = []
    network = asked.judge.generator.network
    embed = network.embed
    monkeypatch.setattr(network, "embed", lambda mel: heard.append((mel.shape[0], mel.shape[2])) or embed(mel))
    found = {}
    for contestant in asked.contestants(stretch="5 s"):
        heard.clear()
        if contestant.kind == "system":
            contestant.answer(0, 5.0)
            found[contestant.name] = list(heard)
    assert asked.judge.generator.hop_s == 0.01
    assert found["sf2f, 0.5 s, no fuser"] == [(asked.count, 50)]
    assert found["sf2f, 5 s, no fuser"] == [(asked.count, 500)]
    ((windows, frames),) = found["sf2f, fused"]
    assert frames == 50
    assert windows > asked.count


def test_one_window_has_one_row_and_lengths_say_who_has_less(judged: tuple[Path, dict[str, Any]]) -> None:
    tables = {table["table"]: table for table in judged[1]["tables"]}
    paper = [row["name"] for row in tables["sf2f-paper"]["rows"] if row["kind"] == "system"]
    assert paper == ["sf2f, fused", "sf2f, 0.5 s, no fuser", "sf2f, 5 s, no fuser"]
    assert (
        "Recall among 5 people, not in the paper's galleries of 100: chance is R@1 20.0 %."
        in tables["sf2f-paper"]["notes"]
    )
    curve = {
        row["name"]: [each["seconds"] for each in tables["avp"]["rows"] if each["name"] == row["name"]]
        for row in tables["avp"]["rows"]
    }
    assert curve["sf2f, 0.5 s, no fuser"] == [None]
    assert (
        curve["sf2f, in one piece, no fuser"]
        == curve["sf2f, fused"]
        == curve["shuffled voices"]
        == [2.0, 4.0, 6.0, 8.0]
    )
    assert any("8 s: 5 with less speech, 5 with no clip of that length" in note for note in tables["avp"]["notes"])


def test_small_groups_are_put_together_and_the_unknown_have_no_gap(judged: tuple[Path, dict[str, Any]]) -> None:
    rows = next(table["rows"] for table in judged[1]["tables"] if table["table"] == "groups")
    nationality = [row for row in rows if row["attribute"] == "nationality"]
    assert [group["group"] for group in nationality[0]["groups"]] == ["unknown"]
    assert set(nationality[0]["gap"].values()) == {None}
    sexes = next(row for row in rows if row["attribute"] == "sex")
    assert sum(group["people"] for group in sexes["groups"]) == 5


def test_published_figures_stand_apart_from_ours(judged: tuple[Path, dict[str, Any]]) -> None:
    run, result = judged
    text = markdown(result)
    assert (run / "evaluation.md").read_text() == text
    ours, published = text.split("Published, other data and other embedders")[:2]
    assert "(published)" not in ours
    assert "| SF2F, 64 px, 1.25 s, no fuser (published) |" in published.splitlines()[4]
    assert "galleries of 100, and these are 5 people" in published.splitlines()[0]
    assert "R@10" not in published.splitlines()[2], "their recall is another question's"
    table = next(table for table in result["tables"] if table["table"] == "sf2f-paper")
    enough = {**table, "rows": [{**row, "people": 100} for row in table["rows"]]}
    assert "| R@10 |" in markdown({**result, "tables": [enough]}).partition("(published)")[0].rpartition("Published")[2]
    with Image.open(run / "evaluation.png") as sheet:
        assert sheet.size == (5 * 64, 5 * 64)
        assert "identify nobody" in sheet.info["Description"]


@pytest.mark.long
def test_one_unseen_person_is_judged_as_far_as_one_can_be(
    make_snapshot: Callable[..., TinySnapshot], tmp_path: Path
) -> None:
    snapshot = make_snapshot({"train": 4, "test": 1})
    train(snapshot.config(tmp_path / "run", steps=2, overrides={"fuser_steps": 0}))
    result = evaluate(tmp_path / "run", device="cpu", protocols=["all"])
    tables = {table["table"]: table["rows"] for table in result["tables"]}
    assert "distributions" not in tables
    fused = next(row for row in tables["sf2f-paper"] if row["name"] == "sf2f, fused")
    assert set(fused["figures"]) == {"cosine", "l1"}
    assert all("matching" not in row["figures"] for row in tables["matching"])
    assert "Evaluation of run" in (tmp_path / "run" / "evaluation.md").read_text()


def test_an_unknown_protocol_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--protocol 'sf2f': no such protocol; there are full, sf2f-paper"):
        evaluate(tmp_path, protocols=["sf2f"])
