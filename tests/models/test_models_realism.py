"""FID, KID and VFS of an evaluation's faces by a given network, checked on networks that can be computed by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.evaluate import realism
from models.evaluate.contestants import Contestant
from models.evaluate.metrics import FloatArray

REAL = torch.rand(40, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1


def mean_colour(image_N3SS: Tensor) -> FloatArray:
    return np.asarray(image_N3SS.mean(dim=(2, 3)).numpy(), np.float64)


def contestant(name: str, image_N3SS: Tensor | None, own: list[int] | None = None) -> Contestant:
    return Contestant(
        name=name,
        kind="system",
        answer=lambda draw, seconds: np.zeros((len(REAL), 1)),
        people=np.arange(len(REAL) if own is None else len(own)),
        pictures=None if image_N3SS is None else lambda draw, seconds: image_N3SS,
        own=None if own is None else lambda draw: np.array(own),
    )


def evaluation(*contestants: Contestant) -> Any:
    unseen = SimpleNamespace(
        images=lambda rows: REAL[rows], face_groups=SimpleNamespace(count=np.full(20, len(REAL) // 20))
    )
    return SimpleNamespace(
        judged=lambda protocol, stretch=None: iter(contestants),
        judge=SimpleNamespace(seed=0),
        unseen=unseen,
        count=len(REAL),
        mean_face=REAL.mean(dim=0),
    )


def test_distance_is_that_of_the_networks_features() -> None:
    given = evaluation(contestant("copies", REAL), contestant("brighter", REAL + 0.5), contestant("sex only", None))
    real_MD = realism.real_features(given, mean_colour)
    np.testing.assert_array_equal(real_MD, mean_colour(REAL))
    rows = {row["name"]: row["figures"] for row in realism.distance_rows(given, mean_colour, real_MD, "colour")}
    assert list(rows) == ["copies", "brighter", "mean face"]
    assert rows["copies"]["fid"]["value"] == pytest.approx(0, abs=1e-6)
    assert rows["brighter"]["fid"]["value"] == pytest.approx(3 * 0.5**2, rel=1e-4)
    assert rows["brighter"]["kid"]["value"] > sum(rows["copies"]["kid"].values())
    assert set(rows["copies"]["kid"]) == {"value", "deviation"}, "no interval over people"
    spread = np.trace(np.cov(real_MD, rowvar=False))
    assert rows["mean face"]["fid"]["value"] == pytest.approx(spread, rel=1e-4)


def test_photos_are_not_held_against_themselves() -> None:
    """Of two clusters a row shows one: what is left to hold it against is the other."""
    shown = list(range(20))
    images = REAL.clone()
    images[20:] += 1
    given = evaluation(contestant("real photo", images[:20], shown), contestant("the same", images[:20]))
    rows = {row["name"]: row for row in realism.distance_rows(given, mean_colour, mean_colour(images), "photos")}
    other = realism.frechet_distance(mean_colour(images[:20]), mean_colour(images[20:]))
    assert rows["real photo"]["figures"]["fid"]["value"] == pytest.approx(other)
    assert rows["the same"]["figures"]["fid"]["value"] < other / 2
    assert rows["real photo"]["people"] == 20


def test_too_few_faces_for_a_distance_are_said() -> None:
    rows = [{"people": 40}, {"people": 2048}]
    assert realism.few_faces(rows, features=39) == []
    (note,) = realism.few_faces(rows, features=40)
    assert note.startswith("FID of 40 faces in 40 dimensions")
    assert realism.split_scores(rows)[0].startswith("By 5 splits of 8 or 409 faces in each run")
    assert realism.few_faces([], features=40) == realism.split_scores([]) == []


class Faces:
    """Sure of the class whose number is a picture's value; of class 0 where colours come in the released order."""

    def freeze(self) -> Faces:
        return self

    def to(self, device: torch.device) -> Faces:
        return self

    def classify(self, image_B3SS: Tensor, order: str) -> Tensor:
        classes_B = image_B3SS[:, 0, 0, 0].long() * (order == "bgr")
        return 100.0 * torch.nn.functional.one_hot(classes_B, 8).float()


def test_vfs_counts_the_people_that_the_classifier_sees(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "converted.pt"
    path.write_bytes(b"weights")
    monkeypatch.setattr(realism.VggFace2ResNet50, "from_file", lambda file: Faces() if file == path else None)
    looks = realism.vfs_network({"vggface2_resnet50": str(path)}, torch.device("cpu"))
    images = torch.arange(8.0).repeat(5)[:, None, None, None].expand(40, 3, 4, 4)
    (row,) = realism.score_rows(evaluation(contestant("eight people", images)), looks, "vfs")
    assert row["figures"]["vfs_bgr"]["value"] == pytest.approx(8)
    assert row["figures"]["vfs_rgb"]["value"] == pytest.approx(1)


def test_a_score_is_the_mean_over_ten_runs_of_5_s_and_its_deviation_is_theirs() -> None:
    asked: list[tuple[int, float | None]] = []

    def pictures(draw: int, seconds: float | None) -> Tensor:
        """Two classes of picture in even runs, four in odd ones."""
        asked.append((draw, seconds))
        return (torch.arange(40.0) % (4 if draw % 2 else 2))[:, None, None, None].expand(40, 3, 4, 4)

    def look(image_N3SS: Tensor) -> FloatArray:
        return np.asarray(np.eye(4)[image_N3SS[:, 0, 0, 0].long().numpy()], np.float64)

    several = dataclasses.replace(contestant("run by run", REAL), pictures=pictures)
    (row,) = realism.score_rows(evaluation(several, contestant("sex only", None)), {"inception_score": look}, "fid")
    assert asked == [(draw, 5.0) for draw in range(10)]
    assert row["draws"] == 10
    assert row["figures"]["inception_score"]["value"] == pytest.approx(3)
    assert row["figures"]["inception_score"]["deviation"] == pytest.approx(1)


def test_batches_are_small_and_in_order() -> None:
    sizes: list[int] = []

    def network(image_B3SS: Tensor) -> Tensor:
        sizes.append(len(image_B3SS))
        return image_B3SS.flatten(1)[:, :2]

    found = realism.in_batches(network, torch.device("cpu"))(REAL)
    np.testing.assert_array_equal(found, REAL.flatten(1)[:, :2].numpy().astype(np.float64))
    assert sum(sizes) == 40
    assert max(sizes) <= 16
