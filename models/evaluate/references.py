"""Rows whose queries are pictures that the caller brings: for a simulated corpus, the faces that are known to be best.

Shapes: P people, K pictures of one person, S side in pixels, E embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from models.errors import EvaluationError
from models.evaluate.metrics import FloatArray, unit
from models.evaluate.rows import Centre, Protocol, Values, system_row

Pictures = Mapping[str, npt.NDArray[np.uint8]]
"""Person -> uint8 (S, S, 3), or (K, S, S, 3): several pictures, whose embeddings are averaged."""
Embed = Callable[[torch.Tensor], FloatArray]


def reference_row(
    name: str,
    pictures: Pictures,
    *,
    embed: Embed,
    side_px: int,
    training: Sequence[str],
    unseen: Sequence[str],
    real_NE: FloatArray,
    training_real_E: FloatArray,
    protocol: Protocol,
    against: Values | None = None,
) -> dict[str, Any]:
    """A row of kind `ceiling` from the pictures of the people in `unseen`.

    Pictures of training people serve to centre it as a system is centred; without any, there are no centred figures.
    Raises `EvaluationError` when somebody in `unseen` has no picture, or a picture is not one.
    """
    known = [person for person in training if person in pictures]
    query_NE = picture_embeddings(name, pictures, unseen, embed, side_px)
    centre = None
    if known:
        generated_E = picture_embeddings(name, pictures, known, embed, side_px).mean(axis=0)
        centre = Centre(generated=generated_E, real=training_real_E)
    return system_row(name, "ceiling", [(query_NE, real_NE)], centre, protocol, against)


def picture_embeddings(name: str, pictures: Pictures, people: Sequence[str], embed: Embed, side_px: int) -> FloatArray:
    """Unit embeddings (P, E) of the people's pictures. Raises `EvaluationError` when somebody has none."""
    missing = [person for person in people if person not in pictures]
    if missing:
        raise EvaluationError(
            f"references {name!r}: {len(missing)} of {len(people)} people have no picture, the first is {missing[0]}; "
            "give pictures of everybody in the split"
        )
    return unit(np.stack([embed(_images(name, person, pictures[person], side_px)).mean(axis=0) for person in people]))


def _images(name: str, person: str, pixels: npt.NDArray[np.uint8], side_px: int) -> torch.Tensor:
    stack = pixels if pixels.ndim == 4 else pixels[None]
    if stack.dtype != np.uint8 or stack.ndim != 4 or stack.shape[3] != 3 or 0 in stack.shape:
        raise EvaluationError(
            f"references {name!r}: the picture of {person} is {pixels.dtype} {pixels.shape}; "
            "uint8 (S, S, 3) or (K, S, S, 3) is needed"
        )
    small = [
        np.asarray(Image.fromarray(one).resize((side_px, side_px), Image.Resampling.LANCZOS), np.float32)
        for one in stack
    ]
    return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2) / 127.5 - 1.0
