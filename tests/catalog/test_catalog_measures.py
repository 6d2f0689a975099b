"""What a measure of another package found: in the catalog, the what-if queries and the pages, without that package."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from small_root import RECIPE, SmallRoot, faces, table

from flows.cli import main
from voxdata.catalog.query import open_readonly
from voxdata.faces.columns import FACES, stated_rules
from voxdata.format.snapshot import Snapshot, snapshot_key
from voxdata.pages.report.distributions import distributions
from voxdata.pages.report.facts import Facts
from voxdata.pages.report.outcomes import funnel, rejects
from voxdata.pages.review.sheets import Sheets, measurements, reason_text
from voxdata.rules import Rule
from voxdata.store.storage import Storage, open_storage

SAID = {
    "freckles": {
        "columns": [
            {"name": "freckles", "type": "float", "doc": "Share of the skin that is freckled", "label": "Freckles"},
            {"name": "freckle_kind", "type": "string", "doc": "Which kind", "label": ""},
        ],
        "rules": [
            {"reason": "freckled", "text": "too many freckles", "column": "freckles", "setting": "faces.rules.freckled"}
            | {"side": "max", "tried": [0.05, 0.6], "overruled": True}
        ],
    }
}


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    """Ten people; the face of person n is freckled by n tenths, and six tenths are too many."""
    root = SmallRoot(open_storage(tmp_path_factory.mktemp("freckled") / "root", create=True))
    root.measures = SAID
    limits = root.recipe.faces.model_copy(update={"rules": {"freckled": 0.6}})
    root.recipe = RECIPE.model_copy(update={"faces": limits})
    root.stage_tables()
    rows = [{**face, "freckles": n / 10, "freckle_kind": "pale"} for n in root.people for face in faces(n)]
    more = [pa.field("freckles", pa.float32()), pa.field("freckle_kind", pa.string())]
    root.commit("faces", table(rows, pa.schema([*FACES.schema, *more])))
    verdicts = root.read("face_verdicts").to_pylist()
    judged = [{**row, "reason": "freckled", "reasons": ["freckled"]} if row["reason"] else row for row in verdicts]
    root.commit("face_verdicts", table(judged, root.read("face_verdicts").schema))
    root.publish_staged()
    return root.storage


@pytest.fixture
def facts(storage: Storage, snapshot: Snapshot) -> Iterator[Facts]:
    with open_readonly(storage) as connection:
        yield Facts(storage=storage, snapshot=snapshot, connection=connection, hidden=[])


@pytest.fixture
def snapshot(storage: Storage) -> Snapshot:
    from voxdata.catalog.snapshot import load_snapshot

    return load_snapshot(storage)


def test_the_catalog_has_its_columns_with_their_comments(storage: Storage) -> None:
    with open_readonly(storage) as connection:
        columns = connection.execute(
            "SELECT column_name, data_type, comment FROM duckdb_columns() "
            "WHERE table_name = 'faces' AND column_name LIKE 'freckle%' ORDER BY ALL"
        ).fetchall()
        values = connection.sql("SELECT freckles, freckle_kind FROM portraits WHERE identity = 'id00003'").fetchall()
    assert columns == [
        ("freckle_kind", "VARCHAR", "Which kind"),
        ("freckles", "FLOAT", "Share of the skin that is freckled"),
    ]
    assert values == [(pytest.approx(0.3), "pale")]


def test_the_what_if_query_tries_its_limits(storage: Storage, capsys: pytest.CaptureFixture[str]) -> None:
    root = storage.url
    assert main(["sql", "--query", "what-if-faces", "--root", root, "--format", "json"]) == 0
    rows = [row for row in json.loads(capsys.readouterr().out) if row["rule"] == "freckled"]
    assert [(row["threshold"], row["in_force"]) for row in rows] == [(0.05, False), (0.6, True)]
    assert rows[0]["faces"] < rows[1]["faces"]


def test_the_pages_know_label_limit_and_reason(facts: Facts, snapshot: Snapshot) -> None:
    assert "Distribution of Freckles, 30 values · limit ≤ 0.6" in str(distributions(facts))
    assert "too many freckles" in str(funnel(facts))
    assert " · Freckles: ≤ 0.6" in str(rejects(facts))
    assert reason_text("freckled", snapshot) == "too many freckles"


def test_the_review_page_shows_the_value_and_its_limit(storage: Storage, snapshot: Snapshot) -> None:
    sheets = Sheets(storage)
    try:
        shown = [row for face in sheets.faces("id00007") for row in measurements(face, snapshot)]
    finally:
        sheets.close()
    found = [row for row in shown if row["label"] == "Freckles"]
    assert found[0] == {"label": "Freckles", "value": "0.7", "limits": "≤ 0.6", "fails": True}


def test_the_snapshot_states_it_and_others_say_nothing(storage: Storage, snapshot: Snapshot, tmp_path: Path) -> None:
    assert json.loads(storage.read(snapshot_key(snapshot.id)))["measures"] == SAID
    assert stated_rules(snapshot.measures) == (
        Rule("freckled", "too many freckles", "freckles", "faces.rules.freckled", tried=(0.05, 0.6)),
    )
    plain = SmallRoot(open_storage(tmp_path / "root", create=True), people=3)
    assert "measures" not in json.loads(plain.storage.read(snapshot_key(plain.publish().id)))
