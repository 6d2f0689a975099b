"""Measures plug in: fingerprints stay, and another package adds a measure with its rule."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest
from face_kit import encoded, links_table, photo_item

from tests.pretrained import WITHOUT_MESH
from voxdata.faces import measure
from voxdata.faces.columns import FACES, OWN
from voxdata.faces.decide import decide
from voxdata.faces.measures import MEASURES
from voxdata.format.errors import BackendError, RecipeError
from voxdata.recipe.faces import FaceMeasure
from voxdata.recipe.reading import load_recipe
from voxdata.recipe.sections import Recipe
from voxdata.simulate.face import paint_photo
from voxdata.simulate.people import draw_people
from voxdata.store import fragments

DEFAULTS = {
    "backend": "mediapipe",
    "min_detection_score": 0.5,
    "max_faces": 10,
    "min_photo_px": 32,
    "max_photo_megapixels": 52.0,
    "frontal_pitch_deg": 0.0,
    "min_face_px": 24.0,
}
FRECKLED = """
from voxdata.faces.face import Measure
from voxdata.rules import Rule
from voxdata.tables.column import Column, F

MEASURE = Measure(
    name="freckles",
    version={version},
    columns=({column},),
    take=lambda face: {take},
    rules=(Rule("freckled", "too many freckles", "freckles", "faces.rules.freckled", default=0.5),),
)
"""
SETTINGS = ["faces.measure.more=[freckles]"]


@pytest.fixture
def freckled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package on the path that measures freckles: 0.8, or whatever `write` puts there."""
    monkeypatch.syspath_prepend(tmp_path)
    info = tmp_path / "freckled-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: freckled\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[voxdata.measures]\nfreckles = freckled:MEASURE\n")
    write(tmp_path)
    return tmp_path


COLUMN = 'Column("freckles", F, "Share of the face that is freckled")'


def write(folder: Path, take: str = "{'freckles': 0.8}", version: int = 1, column: str = COLUMN) -> None:
    sys.modules.pop("freckled", None)
    code = FRECKLED.replace("{take}", take).replace("{version}", str(version)).replace("{column}", column)
    (folder / "freckled.py").write_text(code)


def photo() -> bytes:
    return encoded(paint_photo(draw_people(1, seed=11, link=1.0)[0], size_px=320))


def test_fingerprint_of_the_default_recipe_is_what_it_was() -> None:
    """Whoever measured before measures could be added has measured the same."""
    backends = {"opencv-contrib-python", "pillow", "mediapipe"}
    versions = {name: importlib.metadata.version(name) for name in backends}
    assert measure.fingerprint(FaceMeasure()) == fragments.fingerprint("faces.measure", 8, DEFAULTS, versions)
    assert measure.schema(FaceMeasure()) == FACES.schema


def test_recipes_without_further_measures_are_written_as_before() -> None:
    settings = Recipe(name="x").model_dump(mode="json")["faces"]
    assert "rules" not in settings
    assert "more" not in settings["measure"]


def test_another_packages_measure_and_its_rule(freckled: Path) -> None:
    faces = load_recipe("hq-voxceleb-automatic", SETTINGS).faces
    assert faces.model_dump(mode="json")["rules"] == {"freckled": 0.5}
    rows = measure.run([photo_item(photo())], faces.measure).rows
    assert rows.schema == measure.schema(faces.measure)
    assert rows["freckles"].to_pylist() == pytest.approx([0.8])
    without = faces.measure.model_copy(update={"more": []})
    assert rows.select(FACES.names).equals(measure.run([photo_item(photo())], without).rows)
    found = {}
    for limit in ("0.5", "0.8", "null"):
        settings = load_recipe("hq-voxceleb-automatic", [*SETTINGS, f"faces.rules.freckled={limit}"]).faces
        found[limit] = "freckled" in decide(rows, links_table(), settings)["reasons"].to_pylist()[0]
    assert found == {"0.5": True, "0.8": False, "null": False}


def test_fingerprint_names_another_packages_measure_and_its_version(freckled: Path) -> None:
    prints = [measure.fingerprint(FaceMeasure())]
    for version in (1, 2):
        write(freckled, version=version)
        prints.append(measure.fingerprint(FaceMeasure(more=["freckles"])))
    assert len(set(prints)) == 3


def test_limit_of_a_rule_is_no_part_of_what_is_measured(freckled: Path) -> None:
    changed = load_recipe("hq-voxceleb-automatic", [*SETTINGS, "faces.rules.freckled=0.1"]).faces.measure
    assert measure.fingerprint(changed) == measure.fingerprint(
        load_recipe("hq-voxceleb-automatic", SETTINGS).faces.measure
    )


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["faces.measure.more=[freckle]"], r"faces\.measure\.more = 'freckle'.*did you mean freckles\?"),
        (["faces.measure.more=[lighting]"], r"'lighting'.*always measured"),
        ([*SETTINGS, "faces.rules.freckle=1"], r"faces\.rules\.freckle = 1.*there are freckled"),
        (["faces.rules.freckled=1"], r"faces\.rules\.freckled.*brings none"),
    ],
)
def test_unknown_names_are_refused_with_what_there_is(freckled: Path, sets: list[str], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        load_recipe("hq-voxceleb-automatic", sets)


def test_a_recipe_opens_where_the_package_is_gone(freckled: Path) -> None:
    written = load_recipe("hq-voxceleb-automatic", SETTINGS).model_dump(mode="json")
    (freckled / "freckled-1.0.dist-info" / "entry_points.txt").write_text("")
    assert Recipe.model_validate(written).model_dump(mode="json") == written


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ('Column("smile", F, "x")', r"its column smile is one of ours"),
        ('Column("portrait", F, "x")', r"its column portrait is one of ours"),
        ('Column("photo_hue", F, "x")', r"its column photo_hue is one of ours"),
        ('Column("Freckles", F, "x")', r"Freckles of type float does not fit into the catalog; a name is lower case"),
        ('Column("freckles", F, "x"), Column("freckles", F, "y")', r"two of freckles have a column freckles"),
    ],
)
def test_columns_that_the_catalog_cannot_take_are_refused(freckled: Path, column: str, said: str) -> None:
    write(freckled, column=column)
    with pytest.raises(RecipeError, match=said):
        load_recipe("hq-voxceleb-automatic", SETTINGS)


def test_a_measure_of_another_name_than_its_entry_point_is_refused(freckled: Path) -> None:
    """What it found would be left out of snapshots, which state measures by name and know ours already."""
    module = freckled / "freckled.py"
    module.write_text(module.read_text().replace('name="freckles"', 'name="sharpness"'))
    with pytest.raises(RecipeError, match=r"more = 'freckles': the package gives a measure called 'sharpness'"):
        load_recipe("hq-voxceleb-automatic", SETTINGS)


def test_a_measure_of_ours_is_named_as_its_file() -> None:
    assert {name: each.name for name, each in OWN.items()} == {name: name for name in MEASURES}


def test_a_measure_that_fails_names_itself(freckled: Path) -> None:
    write(freckled, take="{'freckles': 1 / 0}")
    with pytest.raises(BackendError, match=r"measure freckles failed: ZeroDivisionError.*leave it out"):
        measure.run([photo_item(photo())], FaceMeasure(more=["freckles"]))


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["faces.measure.backend=face-alignment"], r"rule = geometry needs smile, mouth_open, expression.*rule=none"),
        (["faces.measure.backend=face-alignment"], r"faces\.quality\.expression = 0\.15.*expression=0"),
        (["faces.measure.backend=face-alignment", "faces.occlusion.max_glasses=0.6"], r"max_glasses=null"),
        (["faces.expression.rule=emotion"], r"emotion_neutral.*--set faces\.measure\.emotion_model=mini_xception"),
    ],
)
def test_a_limit_on_what_the_backend_does_not_see_is_refused(sets: list[str], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        load_recipe("hq-voxceleb-automatic", sets)


def test_without_what_only_a_mesh_tells_a_backend_of_68_points_is_accepted() -> None:
    assert load_recipe("hq-voxceleb-automatic", ["faces.measure.backend=face-alignment", *WITHOUT_MESH])
