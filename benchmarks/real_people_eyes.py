"""The two judges of `real_people.py`, and simulated people as they see them.

MobileFaceNet is one of our embedders; dlib's network judges only, so it passes no gradient. Shapes: B batch, S side,
N people, D measurements, E embedding.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from real_people_power import Pool
from torch import Tensor

from models.embedders import load_published
from models.embedders.base import Embedder, crop_box
from models.evaluate.metrics import FloatArray, unit
from voxdata.faces.dlib_resnet import read_dlib_resnet
from voxdata.faces.measures.embedding import DLIB_PX, DLIB_SHAPE
from voxdata.format.atomic import write_atomic
from voxdata.format.portraits import PUPIL_LEFT, PUPIL_RIGHT
from voxdata.simulate.people import draw_person
from voxdata.simulate.sample import simulate_pairs
from voxdata.speech.front_ends.mel import log_mel

MOBILEFACENET, DLIB = "mobilefacenet", "dlib_resnet"
JUDGES = (MOBILEFACENET, DLIB)
SIDE_PX, SECONDS = 64, 4.0


class DlibJudge(Embedder):
    """dlib's network on portraits: the square whose pupils lie where dlib's chips have the middle of the eyes."""

    name = DLIB

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._network = read_dlib_resnet(path)
        corners = (DLIB_SHAPE[:4] + 0.25) / 1.5  # of both eyes, as shares of a chip
        left, right = corners[:2].mean(axis=0), corners[2:].mean(axis=0)
        self._share = float((PUPIL_RIGHT[0] - PUPIL_LEFT[0]) / (right[0] - left[0]))
        self._left = (PUPIL_LEFT[0] + PUPIL_RIGHT[0]) / 2 - self._share * float(left[0] + right[0]) / 2
        self._top = PUPIL_LEFT[1] - self._share * float(left[1] + right[1]) / 2

    def features(self, image_B3SS: Tensor) -> tuple[Tensor, ...]:
        """The unit embedding (B, 128) alone."""
        right, bottom = self._left + self._share, self._top + self._share
        chip = crop_box(image_B3SS, self._left, self._top, right, bottom, side_px=DLIB_PX)
        return (torch.nn.functional.normalize(self._network((chip + 1) * 127.5)),)


def open_judge(name: str, file: Path) -> Embedder:
    """A judge by its name, from the published file. Raises `TrainingError`, `WeightsError`."""
    return DlibJudge(file).freeze() if name == DLIB else load_published(name, {name: str(file)})


@torch.no_grad()
def embeddings(judge: Embedder, image_B3SS: Tensor) -> FloatArray:
    """Unit embeddings (B, E) of images in [-1, 1]."""
    return unit(np.concatenate([judge.embed(part).numpy() for part in torch.split(image_B3SS, 32)]))


def simulated_pools(path: Path, people: int, link: float, seed: int, judges: dict[str, Path]) -> dict[str, Pool]:
    """Simulated people by judge: one portrait, one clip of `SECONDS` each; kept in the file `path`."""
    if not path.exists():
        drawn = [draw_person(number, seed=seed, link=link) for number in range(people)]
        pairs = simulate_pairs(
            drawn,
            portraits_per_person=1,
            clips_per_person=1,
            seconds=SECONDS,
            seed=seed,
            size_px=SIDE_PX,
            features=lambda samples: _statistics(log_mel(samples, "torch40").astype(np.float64)),
        )
        images = torch.from_numpy(pairs.portraits[:, 0]).permute(0, 3, 1, 2).float() / 127.5 - 1
        real = {name: embeddings(open_judge(name, file), images) for name, file in judges.items()}
        sexes = np.asarray([person.sex for person in drawn])
        kept = {"voice": pairs.clips[:, 0], "sexes": sexes, **real}
        write_atomic(path, lambda file: np.savez(file, **kept))
    with np.load(path) as found:
        return {
            name: Pool(voice=found["voice"], real=found[name], sexes=[str(sex) for sex in found["sexes"]])
            for name in judges
        }


def _statistics(mel_FT: FloatArray) -> FloatArray:
    return np.concatenate([mel_FT.mean(axis=1), mel_FT.std(axis=1)])
