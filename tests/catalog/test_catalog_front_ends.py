"""What front ends measured is rows; parts that older versions wrote, with columns, say the same."""

from __future__ import annotations

import pyarrow as pa
import pytest
from small_root import AT, SmallRoot, clips, who

from voxdata.catalog.publish import publish
from voxdata.catalog.query import format_table, run_query
from voxdata.pipeline.measured import rows_of
from voxdata.pipeline.stages import SPEECH_MEASURE
from voxdata.recipe.sections import Recipe
from voxdata.store.fragments import Fragment, FragmentStore
from voxdata.store.storage import Storage
from voxdata.tables.schemas import UTTERANCES
from voxdata.tables.speech import FRONT_END_COLUMNS, UTTERANCES_EVER, front_end_columns

VAD, OTHER = "webrtc-1-30ms-300ms", "webrtc-2-20ms-50ms"
OLD = pa.schema([field for field in UTTERANCES_EVER.schema if field.name != "front_ends"])
# The same clip, as it was written before and as it is written now.
COLUMNS = {
    "frames_torch40": 200,
    "frames_psf40": 199,
    "frames_sphinx64": 120,
    "vad_psf40": VAD,
    "vad_ratio_psf40": 0.75,
    "vad_sphinx64": OTHER,
    "vad_ratio_sphinx64": 0.5,
}
ROWS = [
    ("psf40", {"frames": 199, "vad": None, "vad_ratio": None}),
    ("sphinx64", {"frames": 120, "vad": OTHER, "vad_ratio": 0.5}),
    ("torch40", {"frames": 200, "vad": None, "vad_ratio": None}),
]
NEW = ("mfcc", {"frames": 100, "vad": OTHER, "vad_ratio": 0.25})  # a front end of a plug-in
NAMES = [column.name for column in FRONT_END_COLUMNS]


def heard(n: int, how: str) -> pa.Table:
    """Two clips with speech, and one that is unreadable."""
    of_front_ends = COLUMNS if how == "old" else {"front_ends": [*ROWS, NEW] if how == "plug-in" else ROWS}
    measured = [
        {**clip, "vad": VAD, "vad_ratio": 0.75, **of_front_ends} if clip["speech_status"] == "ok" else clip
        for clip in clips(n)
    ]
    schema = OLD if how == "old" else UTTERANCES
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in measured], schema)


def published(root: SmallRoot, *ways: str) -> Storage:
    """Person n's clips are stored in the way `ways[n % len(ways)]`."""
    snapshot = root.build()
    store = FragmentStore(root.storage, "speech.measure", "f1")
    parts = [store.append(who(n)["bucket"], Fragment(heard(n, ways[n % len(ways)]))) for n in root.people]
    publish(root.storage, snapshot.id, at=AT, tables={**root.tables, "utterances": parts})
    return root.storage


@pytest.mark.parametrize("ways", [("old",), ("new",), ("old", "new")])
def test_old_columns_and_new_rows_are_the_same_to_sql(small: SmallRoot, ways: tuple[str, ...]) -> None:
    storage = published(small, *ways)
    columns = run_query(storage, f"SELECT {', '.join(NAMES)}, count(*) AS n FROM utterances GROUP BY ALL ORDER BY n")
    nothing = dict.fromkeys(NAMES)
    assert columns.to_pylist() == [{**nothing, "n": 10}, {**nothing, **COLUMNS, "n": 20}]
    rows = run_query(
        storage, "SELECT front_end, frames, vad, vad_ratio, count(*) AS n FROM clip_front_ends GROUP BY ALL ORDER BY 1"
    )
    assert [tuple(row.values()) for row in rows.to_pylist()] == [
        ("psf40", 199, VAD, 0.75, 20),
        ("sphinx64", 120, OTHER, 0.5, 20),
        ("torch40", 200, VAD, 0.75, 20),
    ]


def test_a_front_end_that_no_column_knows_has_rows(small: SmallRoot) -> None:
    storage = published(small, "plug-in")
    found = run_query(storage, "SELECT DISTINCT frames, vad, vad_ratio FROM clip_front_ends WHERE front_end = 'mfcc'")
    assert found.to_pylist() == [{"frames": 100, "vad": OTHER, "vad_ratio": 0.25}]
    said = format_table(run_query(storage, "SELECT DISTINCT front_ends FROM speech"), "json")
    assert '"mfcc": {' in str(said)


def test_rows_of_old_and_new_parts_are_read_as_one_table(small: SmallRoot) -> None:
    recipe = Recipe(name="x")
    store = SPEECH_MEASURE.store(small.storage, recipe)
    for n, way in enumerate(("old", "new", "plug-in")):
        store.append(who(n)["bucket"], Fragment(heard(n, way)))
    items = [clip["item_id"] for n in range(3) for clip in clips(n)]
    table = rows_of(SPEECH_MEASURE, small.storage, recipe, pa.array(items), UTTERANCES)
    assert table.select(UTTERANCES.names).num_rows == 9
    assert store.done() == set(items), "nothing is measured again"
    expected = {**dict.fromkeys(NAMES), **COLUMNS}
    found = [front_end_columns(row) for row in table.to_pylist() if row["speech_status"] == "ok"]
    assert found == [expected] * 6


def test_parts_of_an_old_version_alone_have_every_column_of_now(small: SmallRoot) -> None:
    recipe = Recipe(name="x")
    SPEECH_MEASURE.store(small.storage, recipe).append(0, Fragment(heard(1, "old")))
    items = pa.array([clip["item_id"] for clip in clips(1)])
    table = rows_of(SPEECH_MEASURE, small.storage, recipe, items, UTTERANCES)
    assert table.select(UTTERANCES.names)["front_ends"].null_count == 3
