"""A root with a few spoken clips that are to be measured: the quickest of the stages that work item by item."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile

from voxdata.people.identities import IdentityBook
from voxdata.pipeline.stages import SPEECH_MEASURE
from voxdata.recipe.reading import load_recipe
from voxdata.recipe.sections import Recipe
from voxdata.simulate.people import draw_people
from voxdata.simulate.voice import speak
from voxdata.sources.clips import find_utterances, inventory
from voxdata.sources.speech_files import SpeechFolder
from voxdata.store.fragments import commit_table, parquet_table
from voxdata.store.storage import Storage, open_storage

SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """The root, the recipe, the folder of clips and the key of their table."""

    storage: Storage
    recipe: Recipe
    folder: Path
    key: str

    def rows(self) -> list[dict[str, Any]]:
        """What was measured, by item."""
        table = SPEECH_MEASURE.store(self.storage, self.recipe).read()
        return [] if table is None else table.sort_by("item_id").to_pylist()

    def table(self) -> pa.Table:
        """The clips, as the stage is handed them."""
        return parquet_table(self.storage.read(self.key))

    def clips(self) -> list[dict[str, Any]]:
        """The clips' rows, by item."""
        found: list[dict[str, Any]] = self.table().to_pylist()
        return found


def spoken(folder: Path, people: int, clips: int, *settings: str) -> Spoken:
    """A root with the clips of some people in `folder`, listed and hashed."""
    for number, person in enumerate(draw_people(people, seed=5, link=1.0)):
        for clip in range(clips):
            path = folder / "speech" / f"id{number}" / "v" / f"{clip}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_wav(speak(person, duration_s=SECONDS, seed=clip)))
    storage = open_storage(folder / "root", create=True)
    recipe = load_recipe("voxceleb-folder", [f"sources.speech.path={folder / 'speech'}", *settings])
    found = find_utterances(SpeechFolder(path=str(folder / "speech")), IdentityBook(), "s")
    key = commit_table(storage, "speech.find", "clips", inventory(storage, found))
    return Spoken(storage=storage, recipe=recipe, folder=folder / "speech", key=key)


def _wav(samples: Any) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.asarray(samples, np.float32), 16_000, format="WAV", subtype="PCM_16")
    return buffer.getvalue()
