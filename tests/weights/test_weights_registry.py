"""The registry: what is shipped holds together, and a site's own entries."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from file_server import Enter

from flows.cli import app
from models.embedders import PUBLISHED
from models.evaluate.protocols import NAMES as PROTOCOLS
from models.pretrained.files import PUBLISHED as FILES
from tests.pretrained import USED_WITH
from voxdata import weights
from voxdata.faces.columns import measured_with
from voxdata.faces.measures.embedding import SCALES
from voxdata.faces.portrait import deeplab
from voxdata.format.errors import WeightsError
from voxdata.recipe.faces import FaceMeasure
from voxdata.recipe.reading import load_recipe
from voxdata.speech.front_ends.encoder import Encoder
from voxdata.speech.front_ends.front_end import find_front_end

MATTED = {"deeplabv3_resnet50": 6, "deeplabv3_resnet101": 23}  # blocks of the third stage, as torchvision has them
FRONT_ENDS = "speech.measure.front_ends"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "weights.md"


@pytest.fixture
def own(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "own.toml"
    file.touch()
    monkeypatch.setenv(weights.REGISTRY_VARIABLE, str(file))
    return file


def parsed(*words: str) -> dict[str, Any]:
    return app.parse_args(words, exit_on_error=False)[1].arguments


def test_what_uses_a_file_exists(cache: Path) -> None:
    """`used_by` names a setting that a recipe accepts, or a command that parses."""
    for weight in weights.registry().values():
        for user in weight.used_by:
            if user == "voxdata train enhance":
                assert parsed(*user.split()[1:], "--root", "x")["system"] == "enhance"
            elif user.startswith("voxdata train "):
                said = parsed(*user.split()[1:2], "sf2f", "--root", "x", *user.split()[2:])
                (options,) = (value for value in said.values() if hasattr(value, "embedder"))
                assert options.embedder in PUBLISHED
            elif user.startswith("voxdata imagine "):
                said = parsed("imagine", "a.wav", "--run", "RUN", "--out", "x.png", *user.split()[2:])
                assert weight.name in said["enhance"]
            elif user.startswith("voxdata evaluate "):
                said = parsed(*user.split()[1:2], "RUN", *user.split()[2:])
                assert set(said["protocol"]) < set(PROTOCOLS)
            else:
                value = f"[{weight.name}]" if user == FRONT_ENDS else weight.name
                load_recipe("hq-voxceleb-automatic", [*USED_WITH.get(user, []), f"{user}={value}"])


def test_files_of_the_models_are_the_same_and_are_used(cache: Path) -> None:
    known = weights.registry()
    for name, published in FILES.items():
        assert (known[name].file, known[name].sha256) == (published.file, published.sha256)
    for name, published in PUBLISHED.items():
        stated = (known[name].trained_on, known[name].knows_test_people)
        assert stated == (published.trained_on, published.knows_test_people)
    of_commands = {name for name, each in known.items() if any(use.startswith("voxdata ") for use in each.used_by)}
    assert of_commands == set(FILES)


def test_every_face_embedder_and_speaker_encoder_says_whether_it_knows_voxcelebs_people(cache: Path) -> None:
    judges = {name for name, each in weights.registry().items() if each.face_input or name in PUBLISHED}
    judges |= {name for name, each in weights.registry().items() if each.notes.startswith("speaker embedding")}
    assert {"resemblyzer", "openvoice_speaker"} < judges
    assert {name for name, each in weights.registry().items() if each.knows_test_people} == judges


def test_a_file_that_a_setting_is_said_to_take_is_taken_by_it(cache: Path) -> None:
    """The one that code asks for by its name, or any that the code of the setting loads."""
    usual = {
        "faces.measure.landmarker_model": FaceMeasure().landmarker_model,
        "faces.measure.fan_model": FaceMeasure().fan_model,
        "faces.measure.fan_detector_model": FaceMeasure().fan_detector_model,
        "faces.measure.emotion_model": measured_with("emotion_neutral").partition("=")[2],
        "speech.measure.gate.silero": "silero_vad",
    }
    seen = set()
    for name, weight in weights.registry().items():
        for setting in (use for use in weight.used_by if not use.startswith("voxdata ")):
            seen.add(setting)
            if setting == "faces.measure.embedding_model":
                assert weight.face_input in SCALES
                assert weight.format == ("dlib" if weight.face_input == "dlib" else "onnx")
            elif setting == FRONT_ENDS:
                assert isinstance(find_front_end(name), Encoder)
            elif setting == "faces.render.matting_model":
                assert name in MATTED
            else:
                assert usual[setting] == name
    assert seen == {*USED_WITH, FRONT_ENDS}


@pytest.mark.parametrize("name", MATTED)
def test_every_deeplab_file_is_loaded(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros of the published shapes; `torch.save` stores an expanded tensor as the one number that it repeats."""
    assert weights.find(name).used_by == ("faces.render.matting_model",)
    monkeypatch.setattr(deeplab, "INPUT_PX", 48)
    with torch.device("meta"):
        shapes = deeplab.DeepLabV3(MATTED[name]).state_dict()
    file = tmp_path / f"{name}.pth"
    torch.save({key: torch.zeros((), dtype=each.dtype).expand(each.shape) for key, each in shapes.items()}, file)
    blocks = {key.split(".")[2] for key in shapes if key.startswith("backbone.layer3.")}
    assert len(blocks) == MATTED[name]
    mask = deeplab.person_mask(np.zeros((40, 40, 3), np.uint8), str(file))
    assert np.allclose(mask, 1 / deeplab.CLASSES)


def test_nothing_shipped_is_vouched_for_twice_or_fetched_in_the_open(cache: Path) -> None:
    known = weights.registry().values()
    digests = [weight.sha256 or weight.sha256_prefix for weight in known if weight.verifiable]
    assert len(digests) == len(set(digests))
    assert {urlsplit(weight.url).scheme for weight in known if weight.url} == {"https"}


def test_real_files_are_what_the_registry_says(shared_data: Path, cache: Path) -> None:
    for file in sorted((shared_data / "weights").iterdir()):
        (weight,) = weights.import_file(file)
        assert weight.file == file.name
        assert weight.digest == "hashed"
        assert weights.path(weight.name).read_bytes() == file.read_bytes()
    assert [checked.problem for checked in weights.verify()] == [None] * len(list((shared_data / "weights").iterdir()))


def test_a_mirror_is_one_line(own: Path) -> None:
    shipped = weights.find("sface")
    own.write_text('[weights.sface]\nurl = "http://mirror.example/sface.onnx"\n')
    mirrored = weights.find("sface")
    assert mirrored.url == "http://mirror.example/sface.onnx"
    assert mirrored.sha256 == shipped.sha256
    own.write_text('[weights.mobilefacenet]\nurl = "http://mirror.example/y1.onnx"\n')
    assert weights.find("mobilefacenet").no_url is None


def test_own_entries_come_beside_the_shipped_ones(enter: Enter) -> None:
    before = set(weights.registry())
    enter("ours", b"data", url="https://example.org/ours.pt")
    assert set(weights.registry()) == before | {"ours"}


def test_a_digest_that_nobody_published_can_be_pinned(own: Path, tmp_path: Path) -> None:
    file = tmp_path / "arcface_resnet18.pth"
    file.write_bytes(b"found somewhere")
    with pytest.raises(WeightsError, match=r"for arcface_resnet18 no digest is published") as refusal:
        weights.import_file(file)
    advised = f'[weights.arcface_resnet18]\nsha256 = "{weights.sha256_of(file)}"\n'
    assert all(part in str(refusal.value) for part in advised.split("\n"))
    own.write_text(advised)
    assert weights.import_file(file)[0].name == "arcface_resnet18"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "is not TOML"),
        ("[models.x]\nurl = 'https://a/b'", r"models: entries are \[weights.NAME\]"),
        ("weights = 3", r"weights: entries are \[weights.NAME\]"),
        ("[weights.sface]\nurl = 'ftp://example.org/x'", r"weights.sface.url: .*pattern"),
        ("[weights.sface]\nfile = '../../etc/passwd'", r"weights.sface.file: .*pattern"),
        ("[weights.sface]\nsha256 = 'abc'", r"weights.sface.sha256: .*pattern"),
        ("[weights.sface]\nbytes = 0", r"weights.sface.bytes: .*greater than 0"),
        ("[weights.sface]\nmd5 = 'abc'", r"weights.sface.md5: "),
        (
            f"[weights.sface]\nsha256_prefix = '0ba9fbfa'\nsha256 = '{64 * 'a'}'",
            "give sha256 or sha256_prefix, not both",
        ),
        ("[weights.sface]\ndigest = 'prefix'", "disagrees with the digest given"),
        ("[weights.arcface_resnet18]\ndigest = 'hashed'", "disagrees with the digest given; 'unknown' would fit"),
        ("[weights.sface]\nno_url = 'lost'\nurl = 'https://a/b'", "exactly one of url, archive and no_url"),
        ("[weights.w600k_r50]\narchive = 'pack'", "archive and member go together"),
        (
            "[weights.w600k_r50]\narchive = 'buffalo'\nmember = 'x'",
            r"w600k_r50.archive = buffalo: no \[archives.buffalo\]",
        ),
        ("[weights.sface]\nfile = 'vgg19-dcbb9e9d.pth'", "are both called vgg19-dcbb9e9d.pth"),
        ("[weights.mine]\nfile = 'x.pt'", r"weights.mine.format: "),
    ],
)
def test_a_wrong_entry_is_named(own: Path, text: str, message: str) -> None:
    own.write_text(text)
    with pytest.raises(WeightsError, match=message):
        weights.registry()


def test_a_registry_file_that_is_not_there(own: Path) -> None:
    own.unlink()
    with pytest.raises(WeightsError, match=r"VOXDATA_WEIGHTS_TOML = .*own.toml cannot be read.*correct or unset it"):
        weights.registry()


def test_the_page_says_what_the_registry_says(cache: Path) -> None:
    rows = [line.split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    said = {row[0].strip("| `"): (row[2], row[3], row[4].strip(" |")) for row in rows if len(row) == 5}
    known = weights.registry()
    assert said == {name: (weight.licence, weight.trained_on, weight.commercial) for name, weight in known.items()}
