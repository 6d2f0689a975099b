"""A package of somebody else, as pip would install it: one of each thing that a recipe may name."""

from __future__ import annotations

from pathlib import Path

POINTS = {
    "voxdata.photo_sources": {"toy-list": "toyvox.photos:PHOTO_LIST"},
    "voxdata.speech_sources": {"toy-list": "toyvox.speech:SPEECH_LIST"},
    "voxdata.front_ends": {"toy16": "toyvox.front_end:TOY16"},
    "voxdata.landmarks": {"toy-landmarks": "toyvox.landmarks:TOY"},
    "voxdata.mattings": {"toy-oval": "toyvox.matting:OVAL"},
    "voxdata.measures": {"warmth": "toyvox.warmth:MEASURE"},
}
CODE = {
    "__init__": "",
    "photos": '''
"""Photos that a list names: a line per photo, `<identity> <licence> <path>`."""
from pathlib import Path
from typing import Literal

from pydantic import Field
from voxdata.recipe.sources import PhotoSource
from voxdata.sources.kinds import PhotoFile, PhotoKind


class PhotoList(PhotoSource):
    """Photos of a list."""

    kind: Literal["toy-list"] = "toy-list"
    every: int = Field(1, ge=1, description="take every n-th line")


async def find(settings, visit):
    for line in Path(settings.path).read_text().splitlines()[:: settings.every]:
        words, licence, path = line.split(" ")
        stat = Path(path).stat()
        name = f"{words}/{Path(path).name}"
        yield [
            PhotoFile(words=words, key=name, licence=licence, path=path, size_bytes=stat.st_size,
                      modified_ns=stat.st_mtime_ns)
        ]


PHOTO_LIST = PhotoKind(settings=PhotoList, find=find)
''',
    "speech": '''
"""Clips that a list names: a line per clip, `<identity> <path>`."""
from pathlib import Path, PurePosixPath
from typing import Literal

from voxdata.recipe.sources import SpeechSource
from voxdata.sources.kinds import Clip, Place, SpeechKind


class SpeechList(SpeechSource):
    """Clips of a list."""

    kind: Literal["toy-list"] = "toy-list"


def find(settings, setting):
    for line in Path(settings.path).read_text().splitlines():
        words, path = line.split(" ")
        yield Clip(words=words, key=path, inner=PurePosixPath(*Path(path).parts[-2:]), path=path, offset=None,
                   size_bytes=Path(path).stat().st_size)


SPEECH_LIST = SpeechKind(settings=SpeechList, find=find, place=lambda settings: Place(address="", host="toy.example"))
''',
    "front_end": '''
"""A log-mel of 16 bands every 20 ms."""
import torch

from voxdata.recipe.speech import Vad
from voxdata.speech.front_ends.front_end import FrontEnd, squared


def power(signal_BN):
    return squared(torch.fft.rfft(signal_BN.unfold(1, 640, 320), 1024))


TOY16 = FrontEnd(name="toy16", n_mels=16, window_s=0.04, hop_s=0.02, n_fft=1024, window="rectangular", centred=False,
                 ends="none", spectrum=power, vad=Vad(mode=3), per_utterance=True)
''',
    "landmarks": '''
"""The wheel's landmarks under another name."""
from voxdata.faces.detect.backends import open_landmarker
from voxdata.faces.detect.landmarks import Backend


class Toy:
    name, version = "toy-landmarks", "7"

    def __init__(self):
        self._wheel = open_landmarker("mediapipe")

    def detect(self, pixels, min_score, small=None):
        return self._wheel.detect(pixels, min_score, small)

    def landmarks(self, pixels, box):
        return self._wheel.landmarks(pixels, box)


TOY = Backend(open=lambda settings: Toy(), version=lambda settings: "7", yields=frozenset({"mesh"}))
''',
    "matting": '''
"""A person is what lies in the middle."""
import numpy as np

from voxdata.faces.portrait.matting import Matting


def mask(pixels, model):
    height, width = pixels.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return (x**2 + y**2 < 0.8).astype(np.float32)


OVAL = Matting(mask=mask, version=lambda model: "oval 1")
''',
    "warmth": '''
"""How red a photo is, against how blue."""
from voxdata.faces.face import Measure
from voxdata.rules import Rule
from voxdata.tables.column import Column, F


def take(face):
    red, _, blue = face.pixels.reshape(-1, 3).mean(axis=0)
    return {"warmth": float(red / (red + blue))}


MEASURE = Measure(
    name="warmth",
    columns=(Column("warmth", F, "Red against blue, 0.5 is neither", "Warmth"),),
    take=take,
    rules=(Rule("cold", "bluish light", "warmth", "faces.rules.cold", "min", default=0.1, tried=(0.4, 0.5, 0.6)),),
)
''',
}


def install_toy(folder: Path, version: str = "1.0") -> Path:
    """Write the package into `folder`, which is then put on the path; return the folder."""
    package, info = folder / "toyvox", folder / f"toyvox-{version}.dist-info"
    for made in (package, info):
        made.mkdir(parents=True)
    for name, code in CODE.items():
        (package / f"{name}.py").write_text(code)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: toyvox\nVersion: {version}\n")
    groups = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for group, points in POINTS.items()]
    (info / "entry_points.txt").write_text("\n".join(groups))
    return folder
