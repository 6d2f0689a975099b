"""How measured clips agree with their persons' voices (`speech/voices.py`), read range by range.

A clip's vectors take 1 KiB, more than a gigabyte at full size, so the process of the flow holds those of one range at a
time. A range has all clips of each of its people (`ranges.py`).
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from voxdata.pipeline.measured import rows_at
from voxdata.pipeline.progress import progress
from voxdata.pipeline.ranges import bucket_ranges
from voxdata.pipeline.stages import SPEECH_MEASURE
from voxdata.recipe.sections import Recipe
from voxdata.recipe.speech import LOG_MELS
from voxdata.speech.decide import VOICED
from voxdata.speech.voices import COMPARED_BY, judge_of, with_similarity
from voxdata.store.storage import Storage
from voxdata.store.stored_table import read_table
from voxdata.tables.schemas import VOICED_UTTERANCES
from voxdata.tables.speech import OF_VOICES, VOICES


def with_voices(storage: Storage, recipe: Recipe, clips_key: str, clips: pa.Table) -> pa.Table:
    """The measured `clips` of a manifest with `tables.speech.OF_VOICES`; themselves where no speaker encoder has
    listened to any."""
    named = recipe.speech.measure.front_ends
    if set(named) <= set(LOG_MELS):
        return clips
    manifest = read_table(storage, clips_key, ["item_id", "bucket"])
    ranges, buckets = bucket_ranges(storage, manifest["bucket"].to_numpy()), manifest["bucket"]
    columns, found = ["item_id", *COMPARED_BY, VOICES.name], []
    with progress("compare voices", len(ranges)) as advance:
        for places in ranges:
            items = manifest["item_id"].filter(pc.is_in(buckets, value_set=pa.array(places, pa.int32())))
            told = (SPEECH_MEASURE, storage, recipe, items, VOICED_UTTERANCES)
            heard = rows_at(*told, columns=columns, places=places).select(columns)
            judge = judge_of(heard, named)
            if judge is not None:
                found.append(with_similarity(heard, judge).select(["item_id", *VOICED]))
            advance(1)
    if not found:
        return clips
    voices = pa.concat_tables(found).combine_chunks()
    places_of = pc.index_in(clips["item_id"].combine_chunks(), value_set=voices["item_id"].combine_chunks())
    for column in OF_VOICES:
        clips = clips.append_column(column.name, voices[column.name].take(places_of))
    return clips
