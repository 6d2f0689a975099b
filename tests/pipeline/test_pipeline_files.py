"""What a recipe's pretrained files keep from being built is said before any work, with the command that mends it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from flows.checking import report
from voxdata.faces.measures.embedding import usual_limits
from voxdata.faces.purity import OFFERED
from voxdata.pipeline.build import open_build
from voxdata.pipeline.check import check
from voxdata.recipe.faces import Link, Purity
from voxdata.recipe.reading import load_recipe
from voxdata.simulate.corpus import CorpusSettings, write_corpus
from voxdata.weights import CACHE_VARIABLE, registry
from voxdata.weights.cache import command_for
from voxdata.weights.entries import REGISTRY_VARIABLE

SFACE = "faces.measure.embedding_model=sface"
COSINES = ["faces.link.agreement_similarity=0.36", "faces.purity.min_similarity=0.3"]


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))


def stops(recipe: str, *sets: str) -> list[str]:
    return [str(stop) for stop in check(load_recipe(recipe, sets)).stops]


def test_the_papers_recipe_names_its_network_and_the_command_that_brings_it() -> None:
    (file,) = check(load_recipe("hq-voxceleb")).files
    assert (file.name, file.there, file.command) == ("mini_xception", False, "voxdata weights pull mini_xception")
    assert any("faces.measure.emotion_model = mini_xception" in line for line in stops("hq-voxceleb"))


@pytest.mark.parametrize("recipe", ["hq-voxceleb-automatic", "released", "voxceleb-folder", "demo"])
def test_the_other_recipes_need_no_file(recipe: str) -> None:
    assert check(load_recipe(recipe)).files == []


def test_the_embedder_that_is_offered_can_be_had_and_has_limits_of_its_own() -> None:
    """By what the report and the build name: `pull`, and the one setting."""
    assert command_for(registry()[OFFERED]) == f"voxdata weights pull {OFFERED}"
    checked = check(load_recipe("voxceleb-folder", [f"faces.measure.embedding_model={OFFERED}"]))
    assert [(file.name, file.command) for file in checked.files] == [(OFFERED, f"voxdata weights pull {OFFERED}")]
    about_it = [str(stop) for stop in checked.stops if "embedding_model" in str(stop)]
    assert len(about_it) == 1  # that its file is not here yet: limits are not asked for
    own = usual_limits(OFFERED)
    defaults = {"agreement_similarity": Link().agreement_similarity, "min_similarity": Purity().min_similarity}
    assert own.keys() == defaults.keys()
    assert all(own[name] != defaults[name] for name in own)


@pytest.mark.parametrize("recipe", ["voxceleb-folder", "hq-voxceleb-automatic"])
def test_a_build_that_checks_nobody_names_the_same_command(
    recipe: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    corpus = tmp_path / "corpus"
    write_corpus(corpus, CorpusSettings(people=2, photos_per_person=1, clips_per_person=1, photo_px=128))
    sets = [f"sources.photos.path={corpus / 'photos'}", f"sources.speech.path={corpus / 'wav'}"]
    sets += ["faces.select.min_per_identity=1"]
    with caplog.at_level("WARNING"):
        open_build(str(tmp_path / "root"), recipe, sets)
    (said,) = [record.getMessage() for record in caplog.records if "nobody checks" in record.getMessage()]
    assert f"voxdata weights pull {OFFERED}, and add: --set faces.measure.embedding_model={OFFERED}" in said


def test_an_embedder_without_limits_of_its_own_is_not_given_anothers() -> None:
    (said,) = (line for line in stops("voxceleb-folder", SFACE) if "nobody has found limits" in line)
    assert said.endswith("--set faces.link.agreement_similarity=COSINE --set faces.purity.min_similarity=COSINE")
    (said,) = (line for line in stops("voxceleb-folder", SFACE, COSINES[0]) if "nobody has found limits" in line)
    assert said.endswith("add: --set faces.purity.min_similarity=COSINE")
    assert not [line for line in stops("voxceleb-folder", SFACE, *COSINES) if "nobody has found limits" in line]
    named = "faces.measure.embedding_model=dlib_resnet"
    assert not [line for line in stops("voxceleb-folder", named) if "nobody has found limits" in line]


@pytest.mark.parametrize(
    ("sets", "fitting"),
    [
        (["sources.speech.path=wav", "speech.measure.gate.silero=mobilefacenet"], "is silero_vad"),
        (["faces.render.matting=deeplabv3", "faces.render.matting_model=silero_vad"], "are deeplabv3_resnet101, "),
        (["faces.measure.emotion_model=dlib_resnet", "faces.expression.rule=emotion"], "is mini_xception"),
    ],
)
def test_a_file_for_something_else_is_refused_before_faces_are_measured(sets: list[str], fitting: str) -> None:
    key, name = next(each.split("=") for each in sets if "model=" in each or "silero=" in each)
    (said,) = (line for line in stops("voxceleb-folder", *sets) if f"{key} = {name}: that file is for " in line)
    assert f"; for {key} there {fitting}" in said
    (file,) = check(load_recipe("voxceleb-folder", sets)).files
    assert (file.there, file.command) == (False, None)


ENTRY = """[weights.toy]
file = "toy.onnx"
format = "onnx"
url = "https://example.org/toy.onnx"
sha256 = "{digest}"
licence = "MIT"
commercial = "yes"
trained_on = "nothing"
used_by = ["faces.measure.embedding_model"]
"""


def test_a_file_for_something_else_is_told_by_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, another = tmp_path / "some.onnx", tmp_path / "other.onnx"
    file.write_bytes(b"a network")
    another.write_bytes(b"another network")
    (tmp_path / "own.toml").write_text(ENTRY.format(digest=hashlib.sha256(b"a network").hexdigest()))
    monkeypatch.setenv(REGISTRY_VARIABLE, str(tmp_path / "own.toml"))
    key = "speech.measure.gate.silero"
    sets = ["sources.speech.path=wav", f"{key}={file}"]
    (said,) = (line for line in stops("voxceleb-folder", *sets) if line.startswith(f"{key} = "))
    assert f"{key} = {file}: that file is toy, which is for faces.measure.embedding_model; for {key} there is" in said
    (found,) = check(load_recipe("voxceleb-folder", sets)).files
    assert (found.there, found.command) == (False, None)
    assert not [line for line in stops("voxceleb-folder", sets[0], f"{key}={another}") if line.startswith(f"{key} = ")]


def test_limits_of_purity_go_by_the_file_and_not_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = 'face_input = "rgb-255"\nagreement_similarity = 0.4\nmin_similarity = 0.3\n'
    (tmp_path / "own.toml").write_text(ENTRY.format(digest=hashlib.sha256(b"a network").hexdigest()) + limits)
    monkeypatch.setenv(REGISTRY_VARIABLE, str(tmp_path / "own.toml"))
    (tmp_path / "renamed.onnx").write_bytes(b"a network")
    (tmp_path / "toy.onnx").write_bytes(b"another network")
    renamed = load_recipe("voxceleb-folder", [f"faces.measure.embedding_model={tmp_path / 'renamed.onnx'}"]).faces
    assert (renamed.link.agreement_similarity, renamed.purity.min_similarity) == (0.4, 0.3)
    another = stops("voxceleb-folder", f"faces.measure.embedding_model={tmp_path / 'toy.onnx'}")
    assert [line for line in another if "nobody has found limits of purity for it" in line]


def test_no_command_is_named_that_is_none() -> None:
    sets = ["faces.render.matting=deeplabv3", "faces.render.matting_model=deeplabv3_mobilenet"]
    lines = list(report(check(load_recipe("voxceleb-folder", sets))))
    assert "faces.render.matting_model = deeplabv3_mobilenet: cannot be used" in lines
    assert not [line for line in lines if "None" in line]
