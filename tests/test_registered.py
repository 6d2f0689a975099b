"""What recipes may name: ours by both ways of registering, another package's, and what stays as it was."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import re
import sys
import tarfile
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.toy_package import install_toy
from voxdata.faces import measure
from voxdata.faces.portrait import render
from voxdata.format.errors import RecipeError, SourceError
from voxdata.people.identities import IdentityBook, load_book
from voxdata.pipeline.reference import recipe_reference
from voxdata.plugins import OWN, plugin, plugins
from voxdata.recipe.faces import FaceMeasure, Render
from voxdata.recipe.reading import load_recipe
from voxdata.recipe.sections import Crawl
from voxdata.recipe.speech import SpeechMeasure
from voxdata.sources.clips import find_utterances
from voxdata.sources.folder import PhotoFolder
from voxdata.sources.originals import PhotoStore
from voxdata.sources.speech_files import SpeechFolder
from voxdata.sources.speech_tars import SpeechTars
from voxdata.speech.front_ends import FRONT_ENDS
from voxdata.speech.front_ends.front_end import FrontEnd, find_front_end
from voxdata.speech.front_ends.mel import log_mels
from voxdata.speech.measure import fingerprint
from voxdata.store import fragments
from voxdata.store.storage import open_storage

REPOSITORY = Path(__file__).resolve().parents[1]
GROUPS = ["voxdata.photo_sources", "voxdata.speech_sources", "voxdata.front_ends", "voxdata.landmarks"]
GROUPS += ["voxdata.mattings"]


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The toy package is installed."""
    monkeypatch.syspath_prepend(install_toy(tmp_path / "site"))
    find_front_end.cache_clear()
    yield
    find_front_end.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "toyvox"]:
        del sys.modules[name]


@pytest.mark.parametrize("group", GROUPS)
def test_ours_stand_in_pyproject_as_in_their_room(group: str) -> None:
    stated = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["entry-points"][group]
    module, _, name = OWN[group].partition(":")
    assert stated == getattr(importlib.import_module(module), name)
    assert list(plugins(group).values())


def test_the_metadata_of_an_older_installation_adds_and_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "voxdata-0.0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: voxdata\nVersion: 0.0.1\n")
    (info / "entry_points.txt").write_text("[voxdata.front_ends]\ntorch40 = gone:GONE\nmfcc = gone:MFCC\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert list(plugins("voxdata.front_ends")) == sorted(FRONT_ENDS)
    assert plugin("voxdata.front_ends", "torch40", setting="x").n_mels == 40


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(("limit", "stated"), [("null", {}), ("0.5", {"min_voice_similarity": 0.5})])
def test_a_recipe_with_a_front_end_of_another_package_is_as_before_there_were_limits_of_voices(
    limit: str, stated: dict[str, float]
) -> None:
    """Its dump is in the snapshot's id, which stays."""
    ends = "speech.measure.front_ends=[torch40,toy16]"
    recipe = load_recipe("demo", [ends, f"speech.select.min_voice_similarity={limit}"])
    dumped = recipe.model_dump(mode="json")
    assert {name: dumped["speech"]["select"][name] for name in dumped["speech"]["select"] if "voice" in name} == stated
    assert type(recipe).model_validate(dumped) == recipe


@pytest.mark.usefixtures("toy")
def test_settings_of_another_packages_kind_are_read_checked_and_described() -> None:
    sets = ["sources.photos.kind=toy-list", "sources.photos.path=a"]
    recipe = load_recipe("hq-voxceleb-automatic", [*sets, "sources.photos.every=3"])
    assert recipe.model_dump(mode="json")["sources"]["photos"]["every"] == 3
    assert recipe.result_settings()["sources"]["photos"] == {"kind": "toy-list", "licence": "unknown", "every": 3}
    with pytest.raises(RecipeError, match=r"sources\.photos\.every = 0: .*greater than or equal to 1"):
        load_recipe("hq-voxceleb-automatic", [*sets, "sources.photos.every=0"])
    with pytest.raises(
        RecipeError,
        match=r"sources\.photos\.evry = 3: no such key; did you mean every\?; sources\.photos has every, kind",
    ):
        load_recipe("hq-voxceleb-automatic", [*sets, "sources.photos.evry=3"])
    page = recipe_reference()
    assert "`toy-list`: Photos of a list" in page
    assert "| `sources.photos.every` | int >= 1 | `1` | of `toy-list`: take every n-th line |" in page


def test_a_kind_that_nobody_has_is_named_where_it_stands_with_the_nearest() -> None:
    said = r"sources\.also\.0\.photos\.kind = 'folders': .*there are folder, .*site, .*; did you mean folder\?"
    with pytest.raises(RecipeError, match=said):
        load_recipe("hq-voxceleb-automatic", ["sources.also=[{photos: {kind: folders, path: b}}]"])


def test_sources_of_a_recipe_are_dumped_as_they_always_were() -> None:
    """The digest of a published recipe, and with it its key, is of these keys in this order."""
    sets = ["sources.photos.path=/p", "sources.also=[{photos: {kind: site, url: 'http://h/', licence: CC0}}]"]
    dumped = load_recipe("voxceleb-folder", [*sets, "sources.speech.path=/s.tar"]).model_dump(mode="json")["sources"]
    also = dumped.pop("also")[0]
    assert [list(part.items()) for part in dumped.values()] == [
        [("kind", "folder"), ("path", "/p"), ("url", None), ("licence", "unknown")],
        [("kind", "folder"), ("path", "/s.tar")],
        [("path", None)],
    ]
    assert [list(part.items()) for part in also.values()] == [
        [("kind", "site"), ("path", None), ("url", "http://h/"), ("licence", "CC0")],
        [("kind", "folder"), ("path", None)],
        [("path", None)],
    ]


def test_the_speech_fingerprint_of_a_default_recipe_is_what_it_always_was() -> None:
    settings = SpeechMeasure()
    plain = {
        "sample_rate_hz": 16000,
        "sample_scale": 1.0,
        "pre_emphasis": 0.0,
        "pre_emphasis_state": "none",
        "window_s": 0.025,
        "hop_s": 0.01,
        "n_fft": 512,
        "window": "hann",
        "power": 2.0,
        "power_scale": 1.0,
        "centred": True,
        "ends": "reflect",
        "mel_scale": "htk",
        "mel_edges": "exact",
        "mel_area_norm": False,
        "f_min_hz": 0.0,
        "f_max_hz": 8000.0,
        "log": "ln",
        "log_floor": 1e-6,
        "vad": "webrtc-1-30ms-300ms",
    }
    front_ends = {f"torch{bands}": {"name": f"torch{bands}", "n_mels": bands, **plain} for bands in (40, 64)}
    libraries = ("av", "numpy", "scipy", "soundfile", "torch", "torchaudio", "webrtcvad-wheels")
    backends = {name: version(name) for name in libraries}
    named = {**settings.model_dump(mode="json"), "front_ends": front_ends}
    assert fingerprint(settings) == fragments.fingerprint("speech.measure", 5, named, backends)


@pytest.mark.usefixtures("toy")
def test_another_packages_version_is_in_the_fingerprints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def prints() -> tuple[str, str, str]:
        return (
            fingerprint(SpeechMeasure(front_ends=["torch40", "toy16"])),
            measure.fingerprint(FaceMeasure(backend="toy-landmarks")),
            render.fingerprint(Render(matting="toy-oval")),
        )

    before, ours = prints(), fingerprint(SpeechMeasure(front_ends=["torch40"]))
    monkeypatch.syspath_prepend(install_toy(tmp_path / "newer", version="1.1"))
    assert all(old != new for old, new in zip(before, prints(), strict=True))
    assert fingerprint(SpeechMeasure(front_ends=["torch40"])) == ours


@pytest.mark.usefixtures("toy")
def test_a_front_end_beside_ours_changes_neither() -> None:
    samples = np.random.default_rng(0).standard_normal(70 * 16_000).astype(np.float32) * 0.1
    both = log_mels(samples, ["toy16", "torch40"])
    for name, mel in both.items():
        np.testing.assert_array_equal(mel, log_mels(samples, [name])[name])
    toy16 = find_front_end("toy16")
    whole = toy16.log_mel(toy16.spectrum(torch.from_numpy(samples)[None]))[0].numpy()
    assert both["toy16"].shape == whole.shape == (16, 1 + (len(samples) - 640) // 320)
    np.testing.assert_allclose(both["toy16"], whole, atol=1e-4)


def test_a_front_end_cannot_do_without_its_own_spectrum() -> None:
    with pytest.raises(TypeError, match="spectrum"):
        FrontEnd(name="mine", n_mels=40)  # type: ignore[call-arg]
    wide = dataclasses.replace(find_front_end("torch40"), n_fft=1024)
    with pytest.raises(ValueError, match=r"torch40 has 257 points; n_fft = 1024 has 513"):
        wide.log_mel(wide.spectrum(torch.zeros(1, 16_000)))
    with pytest.raises(ValueError, match=r"wants 8000 Hz"):
        dataclasses.replace(wide, sample_rate_hz=8000)


def test_an_entry_point_that_names_something_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = install_toy(tmp_path) / "toyvox-1.0.dist-info" / "entry_points.txt"
    points.write_text(re.sub(r"= toyvox\.\w+:\w+", "= pathlib:Path", points.read_text()))
    monkeypatch.syspath_prepend(tmp_path)
    asked: dict[str, Callable[[], Any]] = {
        "photo_sources": lambda: load_recipe("hq-voxceleb-automatic", ["sources.photos.kind=toy-list"]),
        "front_ends": lambda: fingerprint(SpeechMeasure(front_ends=["toy16"])),
        "landmarks": lambda: measure.fingerprint(FaceMeasure(backend="toy-landmarks")),
        "mattings": lambda: render.fingerprint(Render(matting="toy-oval")),
    }
    for group, ask in asked.items():
        with pytest.raises(RecipeError, match=rf"voxdata\.{group} names"):
            ask()


def test_the_fetcher_knows_no_source() -> None:
    for path in (REPOSITORY / "voxdata" / "crawl").glob("*.py"):
        tree = ast.parse(path.read_text())
        names = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert not [name for name in names if name.startswith("voxdata.sources")], path


def test_speech_of_tars_alone_passes_over_loose_files(tmp_path: Path) -> None:
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / "1.wav").write_bytes(b"x" * 100)
    with pytest.raises(SourceError, match=r"sources\.speech\.path=.*holds no clip in a \.tar.*kind=folder"):
        find_utterances(SpeechTars(path=str(tmp_path)), IdentityBook(), "s")
    with tarfile.open(tmp_path / "000.tar", "w") as tar:
        tar.add(tmp_path / "ann" / "1.wav", "bob/2.wav")
    alone = find_utterances(SpeechTars(path=str(tmp_path)), IdentityBook(), "s")
    both = find_utterances(SpeechFolder(path=str(tmp_path)), IdentityBook(), "s")
    assert alone["source_key"].to_pylist() == ["000.tar!bob/2.wav"]
    assert both["source_key"].to_pylist() == ["000.tar!bob/2.wav", "ann/1.wav"]


def test_two_names_of_one_person_share_the_number_of_photos(tmp_path: Path) -> None:
    meta = tmp_path / "meta.csv"
    meta.write_text("VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\nid10009\tAdam_Beach\tm\tCanada\tdev\n")
    for name in ("Adam_Beach/1.jpg", "Adam_Beach/2.jpg", "id10009/3.jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    store = PhotoStore(open_storage(tmp_path / "root", create=True), load_book([meta]), Crawl(photos_per_identity=2))
    store.add(PhotoFolder(path=str(tmp_path / "photos")), "corpus-0", "sources.photos")
    assert sorted(store.manifest()["source_key"].to_pylist()) == ["Adam_Beach/1.jpg", "Adam_Beach/2.jpg"]
