"""A face measure with its rule is two files: the measure, and one line in the table of rules."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MEASURE = '''
"""How freckled a face is."""

from voxdata.faces.face import Face, Measure, Row
from voxdata.tables.column import Column, F


def _take(face: Face) -> Row:
    return {"freckles": 0.8}


MEASURE = Measure(
    name="freckles",
    columns=(Column("freckles", F, "Share of the skin that is freckled", "Freckles"),),
    take=_take,
)
'''
RULE = """
    Rule("freckled", "too many freckles", "freckles", "faces.rules.freckled", default=0.5, tried=(0.2, 0.9)),
)
SELECTION = ("""
SAID = """
import json, sys
sys.path[1:1] = [sys.argv[1]]
from face_kit import encoded, links_table, photo_item
from voxdata.catalog.database import schema_sql
from voxdata.catalog.named import named_query
from voxdata.faces import measure
from voxdata.faces.decide import decide
from voxdata.faces.rules import REASONS
from voxdata.pages.report.measures import FACE_MEASURES
from voxdata.pipeline.reference import recipe_reference
from voxdata.recipe.faces import FaceMeasure
from voxdata.recipe.reading import load_recipe
from voxdata.shards.sidecars import FACE_SIDECAR
from voxdata.simulate.face import paint_photo
from voxdata.simulate.people import draw_people

photo = encoded(paint_photo(draw_people(1, seed=11, link=1.0)[0], size_px=320))
rows = measure.run([photo_item(photo)], FaceMeasure()).rows
plain = "hq-voxceleb-automatic"
recipes = {limit: load_recipe(plain, [f"faces.rules.freckled={limit}"]) for limit in ("0.5", "0.8", "null")}
print(json.dumps({
    "measured": rows["freckles"].to_pylist(),
    "usual": load_recipe("hq-voxceleb-automatic").model_dump(mode="json")["faces"]["rules"],
    "rejected": {
        limit: "freckled" in decide(rows, links_table(), recipe.faces)["reasons"].to_pylist()[0]
        for limit, recipe in recipes.items()
    },
    "fingerprint": measure.fingerprint(FaceMeasure()),
    "schema": [line.strip() for line in schema_sql().splitlines() if "freckles" in line],
    "sidecar": "freckles" in FACE_SIDECAR.names,
    "label": [each.label for each in FACE_MEASURES if each.key == "freckles"],
    "reason": REASONS["freckled"].text,
    "reference": [line for line in recipe_reference().splitlines() if line.startswith("| `freckled`")],
    "what if": "'freckles', 1, 'faces.rules.freckled', NULL, []::VARCHAR[], [0.2, 0.9]" in
        named_query("what-if-faces").sql,
}))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a copy of the program says to which two files were changed and nothing else."""
    copy = tmp_path_factory.mktemp("copy")
    for room in ("voxdata", "catalogs"):
        shutil.copytree(REPOSITORY / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "voxdata/faces/measures/freckles.py").write_text(MEASURE)
    rules = copy / "voxdata/faces/rules.py"
    before = rules.read_text()
    rules.write_text(before.replace("\n)\nSELECTION = (", RULE))
    assert len(rules.read_text().splitlines()) == len(before.splitlines()) + 1
    done = subprocess.run(
        [sys.executable, "-c", SAID, str(Path(__file__).parent)],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.long
def test_it_is_measured_and_judged_by_a_limit_of_the_recipe(said: dict[str, Any]) -> None:
    assert said["measured"] == pytest.approx([0.8])
    assert said["usual"] == {"freckled": 0.5}
    assert said["rejected"] == {"0.5": True, "0.8": False, "null": False}


def test_photos_that_were_measured_without_it_are_measured_again(said: dict[str, Any]) -> None:
    from voxdata.faces import measure
    from voxdata.recipe.faces import FaceMeasure

    assert said["fingerprint"] != measure.fingerprint(FaceMeasure())


def test_catalog_sidecars_pages_and_documents_know_it(said: dict[str, Any]) -> None:
    assert said["schema"] == [
        "freckles REAL,",
        "COMMENT ON COLUMN faces.freckles IS 'Share of the skin that is freckled';",
    ]
    assert said["sidecar"]
    assert (said["label"], said["reason"]) == (["Freckles"], "too many freckles")
    assert said["reference"] == [
        "| `freckled` | too many freckles | `freckles` | at most `faces.rules.freckled` | `0.5` |"
    ]
    assert said["what if"]
