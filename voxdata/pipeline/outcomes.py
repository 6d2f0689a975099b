"""Who is in a version, and what became of every face and clip: of tables, where there is no catalog to ask.

It is what the catalog says (`catalog/loading.py`): a face is a portrait where it was kept and is packed, and it is
packed where its person has what the version requires.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from voxdata.catalog.database import CATALOG_KEY
from voxdata.catalog.query import run_query
from voxdata.people.merging import aliases_in_force, with_persons
from voxdata.pipeline.corpora import corpora
from voxdata.pipeline.measured import OF_PERSON, kept_people, portrait_people, portraits
from voxdata.recipe.sections import Recipe
from voxdata.store.storage import Storage
from voxdata.store.stored_table import read_table
from voxdata.tables.faces import WITHOUT_SPEECH
from voxdata.tables.speech import WITHOUT_PORTRAITS

KEPT = "kept"


def asks_for_speech(recipe: Recipe) -> bool:
    """Whether nobody is in the version without speech."""
    return any(corpus.speech.given for _, _, corpus in corpora(recipe))


def packed_people(storage: Storage, recipe: Recipe, keys: Mapping[str, str]) -> set[str]:
    """The people of the version: those with portraits and, where the recipe has speech, with clips that are kept."""
    people = set(portrait_people(storage, keys))
    decided = "utterance_verdicts" in keys  # a build that was stopped before has not looked for speech
    return people & kept_people(storage, keys) if asks_for_speech(recipe) and decided else people


def packed_portraits(storage: Storage, keys: Mapping[str, str], people: Collection[str]) -> pa.Table:
    """`measured.portraits`, of the people of the version."""
    return _of(portraits(storage, keys["photos"], keys["face_verdicts"]), people)


def portraits_now(storage: Storage) -> dict[str, int]:
    """Person -> portraits in the current version; nobody has any where nothing is published. Raises `CatalogError`."""
    if not storage.exists(CATALOG_KEY):
        return {}
    rows = run_query(storage, "SELECT person, count(*) AS portraits FROM faces WHERE portrait GROUP BY person")
    return dict(zip(rows["person"].to_pylist(), rows["portraits"].to_pylist(), strict=True))


def outcomes(storage: Storage, keys: Mapping[str, str], people: Collection[str]) -> dict[str, Counter[str]]:
    """`faces` and `speech` -> items per outcome, as the view `funnel` counts them; `people` are in the version."""
    found = {}
    for kind, table, manifest, lacks in (
        ("faces", "face_verdicts", "photos", WITHOUT_SPEECH),
        ("speech", "utterance_verdicts", "utterance_files", WITHOUT_PORTRAITS),
    ):
        if table not in keys:
            found[kind] = Counter[str]()
            continue
        verdicts = read_table(storage, keys[table], ["item_id", "reason"])
        counts = Counter(verdicts["reason"].drop_null().to_pylist())
        # Whose an item is stands in the manifest: verdicts of older versions do not say it.
        known = read_table(storage, keys[manifest], list(OF_PERSON))
        where = pc.index_in(verdicts.filter(pc.is_null(verdicts["reason"]))["item_id"], value_set=known["item_id"])
        passed = with_persons(known.take(where.drop_null()).combine_chunks(), aliases_in_force(storage))
        inside = _of(passed, people).num_rows
        found[kind] = counts + Counter({KEPT: inside, lacks: passed.num_rows - inside})
    return found


def _of(table: pa.Table, people: Collection[str]) -> pa.Table:
    return table.filter(pc.is_in(table["person"], value_set=pa.array(sorted(people), pa.string())))
