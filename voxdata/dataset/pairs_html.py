"""What a notebook shows of pairs: portraits beside the log-mels of the same people."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from voxdata.dataset.html import figure, image
from voxdata.people.optouts import hidden
from voxdata.store.storage import open_storage

if TYPE_CHECKING:
    from voxdata.dataset.pairs import Pairs

SHOWN = 6
MEL_HEIGHT_PX = 64


def pairs_html(pairs: Pairs, root: str) -> str:
    """The first pairs whose people may be shown, each over its keys."""
    gone = hidden(open_storage(root))
    found: list[str] = []
    for place in range(len(pairs)):
        pair = pairs[place]
        portrait, utterance = pairs.keys(place)
        if not gone & {pairs.people[int(pair["person"])], portrait.partition("/")[0], utterance.partition("/")[0]}:
            face = Image.fromarray(pair["portrait"].permute(1, 2, 0).numpy())
            mel = _mel(pair["mel"].float().numpy())
            pictures = [
                image(_encoded(face, "JPEG"), f"portrait {portrait}"),
                image(_encoded(mel, "PNG"), f"log-mel of {utterance}", "png"),
            ]
            found.append(figure(pictures, f"{portrait}, {utterance}"))
        if len(found) == SHOWN:
            break
    return f"<div><strong>{len(pairs)} pairs of {len(pairs.people)} people</strong>{''.join(found)}</div>"


def _mel(mel_FT: np.ndarray[Any, Any]) -> Image.Image:
    low, high = float(mel_FT.min()), float(mel_FT.max())
    levels = (mel_FT[::-1] - low) / max(high - low, 1e-6) * 255
    picture = Image.fromarray(levels.astype(np.uint8))
    return picture.resize((picture.width, MEL_HEIGHT_PX))


def _encoded(picture: Image.Image, form: str) -> bytes:
    sink = io.BytesIO()
    picture.save(sink, form)
    return sink.getvalue()
