"""What stages have measured, read back: no more rows and columns of it than a step looks at.

The faces are the largest table of a build (2.2 million rows of 70 columns, a print and an embedding at full size), so
no process ever holds them all: workers read them range by range (`ranges.py`) for links, for decisions, and those of
people with candidates once more for these. Where they are few, that is one read by the flow. Portraits are chosen from
the first verdicts and what became of the candidates. Who has portraits stands in the verdicts and the manifest; the
faces of a shard are read by bucket.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from voxdata.faces.columns import FACES
from voxdata.faces.diversity import compared_by
from voxdata.people.merging import aliases_in_force, homes, with_persons
from voxdata.pipeline.stages import FACES_MEASURE, FACES_RENDER, SPEECH_AUDIO, SPEECH_MEASURE, Stage
from voxdata.recipe.sections import Recipe
from voxdata.speech.decide import DECIDED_BY
from voxdata.store.fragments import each_item_once
from voxdata.store.storage import Storage
from voxdata.store.stored_table import read_table
from voxdata.tables.faces import FOR_LINKS
from voxdata.tables.schemas import CLIP_AUDIO, RENDERS, UTTERANCES

OF_PERSON = ("item_id", "identity", "person", "bucket")  # what it takes to name the person of today
FACE_COLUMNS = [name for name in FACES.names if name not in FOR_LINKS]


def rows_of(
    stage: Stage,
    storage: Storage,
    recipe: Recipe,
    items: pa.Array,
    schema: pa.Schema,
    *,
    columns: Sequence[str] | None = None,
    buckets: Iterable[int] | None = None,
) -> pa.Table:
    """The rows that the stage holds for `items`, sorted by item: all columns or `columns`, of all buckets or `buckets`.

    `part` names the part that holds a row. Rows name the persons of the aliases now in force, whatever was known when
    they were measured; for that, the columns `OF_PERSON` are always there.
    """
    places = None if buckets is None else sorted({home for bucket in buckets for home in homes(storage, bucket)})
    return rows_at(stage, storage, recipe, items, schema, columns=columns, places=places)


def rows_at(
    stage: Stage,
    storage: Storage,
    recipe: Recipe,
    items: pa.Array,
    schema: pa.Schema,
    *,
    columns: Sequence[str] | None = None,
    places: Iterable[int] | None = None,
    in_order: bool = True,
) -> pa.Table:
    """`rows_of` that lie in `places`: buckets by the persons that were known when the items were measured.

    Not `in_order`, they come as they lie, which saves a copy of all that was read.
    """
    store = stage.store(storage, recipe)
    read = None if columns is None else list(dict.fromkeys([*OF_PERSON, *columns]))
    tables = [store.read(columns=read)] if places is None else [store.read(bucket, read) for bucket in places]
    chosen = schema if read is None else pa.schema([schema.field(name) for name in read])
    known = [table for table in tables if table is not None]
    known = [each_item_once(known)] if len(known) > 1 else known
    if not known:
        return pa.Table.from_pylist([], pa.schema([*chosen, ("part", pa.string())]))
    # Parts of an older version may lack a column: null there.
    table = pa.concat_tables([chosen.empty_table(), *known], promote_options="default")
    del known, tables  # `_in_one_piece` frees what it has copied
    wanted = pc.is_in(table["item_id"], value_set=pc.unique(items))
    if not pc.all(wanted).as_py():
        table = table.filter(wanted)
    table = table.sort_by("item_id") if in_order else table
    columns_of = {name: table[name] for name in table.column_names}
    del table
    return with_persons(_in_one_piece(columns_of), aliases_in_force(storage))


def _in_one_piece(columns: dict[str, pa.ChunkedArray]) -> pa.Table:
    """These columns as a table of one chunk each. Empties `columns`: gigabytes at full size are not there twice."""
    return pa.table({name: columns.pop(name).combine_chunks() for name in [*columns]})


def face_rows(
    storage: Storage, recipe: Recipe, photos_key: str, columns: Sequence[str], places: Sequence[int]
) -> pa.Table:
    """These columns of the measured faces of the photos in a manifest that lie in the buckets `places`, by item.

    `places` has every bucket in which rows of its people may lie (`ranges.bucket_ranges`).
    """
    photos = read_table(storage, photos_key, ["item_id", "bucket"])
    items = photos["item_id"].filter(pc.is_in(photos["bucket"], value_set=pa.array(places, pa.int32())))
    told = (FACES_MEASURE, storage, recipe, items, face_schema(recipe))
    return rows_at(*told, columns=columns, places=places).select(columns)


def decided_by(recipe: Recipe) -> list[str]:
    """The columns of `faces.measure` that a decision may look at."""
    looks = compared_by(recipe.faces.quality)
    return [name for name in face_schema(recipe).names if name not in FOR_LINKS or name in looks]


def face_schema(recipe: Recipe) -> pa.Schema:
    """All columns of `faces.measure` under this recipe."""
    from voxdata.faces.measure import schema as measured_schema  # brings OpenCV, and what packages add

    return measured_schema(recipe.faces.measure)


class MeasuredFaces:
    """The face rows of the photos in a manifest, where these are few (`ranges.is_few`): read when a step first asks and
    held for those that follow.

    A decision asks for `for_decision`: that costs a read without prints (1 KiB a face), where they are not held, and
    without embeddings where it does not compare faces. `rows` are for links.
    """

    def __init__(self, storage: Storage, recipe: Recipe, photos_key: str) -> None:
        self.photos_key = photos_key
        self.kept: dict[str, pa.Array] = {}  # key of first verdicts -> the faces that reviewers keep
        self._storage = storage
        self._recipe = recipe

    @cached_property
    def rows(self) -> pa.Table:
        """All columns of `faces.measure`, sorted by item."""
        return self._read(face_schema(self._recipe).names, in_order=True)

    @property
    def for_decision(self) -> pa.Table:
        """The rows with the columns that `faces.decide` looks at, and perhaps more, in any order."""
        return self.rows if "rows" in self.__dict__ else self._decided

    @cached_property
    def _decided(self) -> pa.Table:
        return self._read(decided_by(self._recipe), in_order=False)

    def buckets(self) -> npt.NDArray[np.int64]:
        """The bucket of each photo, (N,)."""
        buckets = read_table(self._storage, self.photos_key, ["bucket"])["bucket"]
        return np.asarray(buckets.to_numpy(), np.int64)

    def none(self) -> pa.Table:
        """No rows, with all columns but those that links are made of."""
        schema = face_schema(self._recipe)
        return pa.schema([field for field in schema if field.name not in FOR_LINKS]).empty_table()

    def let_go(self) -> None:
        """Do not hold rows while others work for hours; a later step reads them again."""
        for held in ("rows", "_decided"):
            self.__dict__.pop(held, None)

    def _read(self, names: list[str], *, in_order: bool) -> pa.Table:
        photos = read_table(self._storage, self.photos_key, ["item_id"])["item_id"]
        told = (FACES_MEASURE, self._storage, self._recipe, photos, face_schema(self._recipe))
        return rows_at(*told, columns=names, in_order=in_order).select(names)


def render_states(storage: Storage, recipe: Recipe, faces: pa.Table) -> pa.Table:
    """`face_id` and `render_status` of the faces that were rendered or tried."""
    wanted = ["face_id", "render_status"]
    return rows_of(FACES_RENDER, storage, recipe, faces["face_id"], RENDERS, columns=wanted).select(wanted)


def portraits(storage: Storage, photos_key: str, verdicts_key: str) -> pa.Table:
    """The final portraits: `face_id` and `OF_PERSON`. Reads verdicts and manifest, no measurement."""
    verdicts = read_table(storage, verdicts_key, ["item_id", "face_id", "portrait"])
    chosen = verdicts.filter(pc.field("portrait"))
    photos = read_table(storage, photos_key, list(OF_PERSON))
    photos = photos.filter(pc.is_in(photos["item_id"], value_set=pc.unique(chosen["item_id"])))
    where = pc.index_in(chosen["item_id"], value_set=photos["item_id"])
    known = pc.is_valid(where)
    whose = photos.take(where.filter(known)).append_column("face_id", chosen["face_id"].filter(known))
    return with_persons(whose.combine_chunks(), aliases_in_force(storage))


def portrait_people(storage: Storage, keys: Mapping[str, str]) -> list[str]:
    """The people who have portraits, sorted."""
    return sorted(set(portraits(storage, keys["photos"], keys["face_verdicts"])["person"].to_pylist()))


def portrait_rows(storage: Storage, recipe: Recipe, keys: Mapping[str, str], buckets: Sequence[int]) -> pa.Table:
    """The face rows of the final portraits in these buckets, without embeddings and prints."""
    chosen = portraits(storage, keys["photos"], keys["face_verdicts"])
    rows = rows_of(
        FACES_MEASURE, storage, recipe, chosen["item_id"], FACES.schema, columns=FACE_COLUMNS, buckets=buckets
    ).select(FACE_COLUMNS)
    return rows.filter(pc.is_in(rows["face_id"], value_set=pc.unique(chosen["face_id"])))


def render_rows(storage: Storage, recipe: Recipe, faces: pa.Table, buckets: Sequence[int]) -> pa.Table:
    """The render rows of faces in these buckets, with the columns `part` and `members`."""
    return rows_of(FACES_RENDER, storage, recipe, faces["face_id"], RENDERS, buckets=buckets)


def measured_clips(storage: Storage, recipe: Recipe, clips_key: str) -> pa.Table:
    """The utterance rows of the clips in a manifest, with what `speech.decide` looks at."""
    clips = read_table(storage, clips_key, ["item_id"])["item_id"]
    return rows_of(SPEECH_MEASURE, storage, recipe, clips, UTTERANCES, columns=DECIDED_BY).select(DECIDED_BY)


def kept_people(storage: Storage, keys: Mapping[str, str]) -> set[str]:
    """The people of whom the speech decision keeps a clip. Reads verdicts and manifest, no measurement."""
    clips = read_table(storage, keys["utterance_files"], list(OF_PERSON))
    kept = clips.filter(pc.is_in(clips["item_id"], value_set=_kept(storage, keys)))
    return set(with_persons(kept, aliases_in_force(storage))["person"].to_pylist())


def kept_rows(storage: Storage, recipe: Recipe, keys: Mapping[str, str], buckets: Sequence[int]) -> pa.Table:
    """The utterance rows in these buckets that the speech decision keeps, with the columns `part` and `members`."""
    clips = read_table(storage, keys["utterance_files"], ["item_id"])["item_id"]
    rows = rows_of(SPEECH_MEASURE, storage, recipe, clips, UTTERANCES, buckets=buckets)
    return rows.filter(pc.is_in(rows["item_id"], value_set=_kept(storage, keys)))


def audio_rows(storage: Storage, recipe: Recipe, clips: pa.Table, buckets: Sequence[int]) -> pa.Table:
    """The rows of the sound of clips in these buckets, with the columns `part` and `members`."""
    return rows_of(SPEECH_AUDIO, storage, recipe, clips["item_id"], CLIP_AUDIO, buckets=buckets)


def kept_files(storage: Storage, keys: Mapping[str, str]) -> pa.Table:
    """The rows of the manifest (`schemas.UTTERANCE_FILES`) of the clips that the speech decision keeps."""
    clips = read_table(storage, keys["utterance_files"])
    return clips.filter(pc.is_in(clips["item_id"], value_set=_kept(storage, keys)))


def _kept(storage: Storage, keys: Mapping[str, str]) -> pa.Array:
    verdicts = read_table(storage, keys["utterance_verdicts"], ["item_id", "verdict"])
    return pc.unique(verdicts.filter(pc.field("verdict") == "keep")["item_id"])
