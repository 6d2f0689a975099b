"""What CONTRIBUTING.md tells a newcomer to write works as it stands there, installed as another package."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import torch
from aiohttp import web

from models.training.config import RunConfig
from models.training.settings import Limits, Setting, declared
from tests.crawl.finding import found, source
from tests.crawl.serving import serving
from tests.documented import REPOSITORY, blocks
from tests.faces.face_kit import encoded, photo_item
from voxdata.faces import measure
from voxdata.faces.rules import RULES
from voxdata.format.errors import SourceError
from voxdata.recipe.faces import FaceMeasure
from voxdata.rules import Rule
from voxdata.simulate.face import paint_photo
from voxdata.simulate.people import draw_people
from voxdata.speech.front_ends.front_end import find_front_end

POINTS = {
    "voxdata.photo_sources": ("albums", "ALBUMS"),
    "voxdata.front_ends": ("wide80", "WIDE80"),
    "voxdata.measures": ("freckles", "MEASURE"),
}
PAGE = REPOSITORY / "CONTRIBUTING.md"


def code_with(word: str) -> str:
    """The page's block that has this word."""
    (text,) = (block.text for block in blocks(PAGE) if block.language == "python" and word in block.text)
    return text


@pytest.fixture
def newcomer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package that consists of the page's modules."""
    lines = []
    for group, (name, attribute) in POINTS.items():
        (tmp_path / f"newcomer_{name}.py").write_text(code_with(f"{attribute} = "))
        lines.append(f"[{group}]\n{name} = newcomer_{name}:{attribute}\n")
    info = tmp_path / "newcomer-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: newcomer\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in [name for name in sys.modules if name.startswith("newcomer_")]:
        del sys.modules[name]


@pytest.mark.usefixtures("newcomer")
def test_a_photo_source_finds_photos_and_leaves_out_who_was_forgotten() -> None:
    album: dict[str, list[str]] = {}
    with serving({"/summer.json": lambda request: web.json_response(album)}) as (site, _):
        album |= {"ann": [f"{site}/1.jpg", "http://else.example/2.jpg"], "ben": [f"{site}/3.jpg"]}
        settings = source(kind="albums", url=site, album="summer")
        offers = found(settings, forgotten=lambda word: word == "ben")
        assert [(each.words, each.key) for each in offers] == [("ann", "/1.jpg"), ("ann", "http://else.example/2.jpg")]
        with pytest.raises(SourceError, match=r"no album winter \(not_found\)"):
            found(source(kind="albums", url=site, album="winter"))


@pytest.mark.usefixtures("newcomer")
def test_a_measure_is_taken() -> None:
    photo = encoded(paint_photo(draw_people(1, seed=11, link=1.0)[0], size_px=320))
    (value,) = measure.run([photo_item(photo)], FaceMeasure(more=["freckles"])).rows["freckles"].to_pylist()
    assert 0 <= value <= 1


@pytest.mark.usefixtures("newcomer")
def test_a_front_end_gives_what_it_states() -> None:
    front_end = find_front_end("wide80")
    power = front_end.spectrum(torch.zeros(2, 16_000))
    assert power.shape == (2, 1 + (16_000 - front_end.window_length) // 320, front_end.n_fft // 2 + 1)


def test_a_rule_is_a_line_of_the_table() -> None:
    names: dict[str, Any] = {"Rule": Rule}
    exec(code_with("RULES = "), names)
    (rule,) = names["RULES"]
    assert rule.setting == f"faces.rules.{rule.reason}"
    assert rule.reason not in {each.reason for each in RULES}


def test_a_training_setting_is_declared_as_those_that_there_are() -> None:
    added = "@dataclass\nclass Added:\n" + textwrap.indent(code_with("rest_steps"), "    ")
    names: dict[str, Any] = {"Annotated": Annotated, "dataclass": dataclass, "Setting": Setting, "Limits": Limits}
    exec(compile(added, PAGE, "exec", dont_inherit=True), names)
    (field,) = declared(names["Added"]).values()
    assert (field.name, field.default, field.kind) == ("rest_steps", 0, int)
    assert field.name not in declared(RunConfig)
