"""Published results, for the eye: each has its own embedder and its own data, and shares no column with ours.

`rows(table)` gives what the papers print for the tables of `protocol.py`. Figures and their sources only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Published:
    """One row of a paper: who, on what, which embedder, the figures as printed (recall and accuracy in per cent).

    `gallery` is the number of people whom its recall was found among; None where it has no recall.
    """

    work: str
    data: str
    embedder: str
    figures: Mapping[str, float]
    gallery: int | None = None


_SF2F = "HQ-VoxCeleb, galleries of 100"
_SF2F_GALLERY = 100


def _sf2f(work: str, embedder: str, cosine: float, l1: float | None, recalls: Sequence[float], vfs: float) -> Published:
    figures = {"cosine": cosine} | ({"L1": l1} if l1 is not None else {})
    names = ("R@1", "R@2", "R@5", "R@10")[-len(recalls) :] if len(recalls) != 2 else ("R@5", "R@10")
    return Published(
        work=work,
        data=_SF2F,
        embedder=embedder,
        figures=figures | dict(zip(names, recalls, strict=True)) | {"VFS": vfs},
        gallery=_SF2F_GALLERY,
    )


_RETRIEVAL = (
    _sf2f("SF2F, 64 px, 1.25 s, no fuser", "FaceNet", 0.304, 19.22, (5.32, 8.10, 19.27, 32.80), 18.59),
    _sf2f("SF2F, 64 px, 5 s, no fuser", "FaceNet", 0.294, 18.51, (4.11, 8.38, 19.43, 33.97), 18.54),
    _sf2f("SF2F, 64 px, 5 s", "FaceNet", 0.317, 17.91, (5.75, 9.32, 20.36, 36.65), 19.49),
    _sf2f("SF2F, 64 + 128 px, 5 s", "FaceNet", 0.313, 17.46, (6.10, 9.25, 18.77, 35.38), 20.10),
    _sf2f("voice2face by the authors of SF2F, 1.25 s", "FaceNet", 0.202, 23.46, (1.77, 3.55, 14.60, 20.33), 15.47),
    _sf2f("voice2face by the authors of SF2F, 5 s", "FaceNet", 0.205, 23.17, (1.64, 3.64, 15.12, 20.82), 15.68),
    _sf2f("Vox2Face (2026)", "ArcFace", 0.322, None, (17.3, 32.1), 23.21),
)
_AVP_DATA = "VoxCeleb1 and VGGFace, people in both"
_AVP = (
    Published(work="AVP-GAN", data=_AVP_DATA, embedder="ArcFace", figures={"cosine 4 s": 0.471, "cosine 8 s": 0.511}),
    Published(
        work="voice2face by the authors of AVP-GAN",
        data=_AVP_DATA,
        embedder="ArcFace",
        figures={"cosine 4 s": 0.408, "cosine 8 s": 0.436},
    ),
    Published(work="AVP-GAN without CBAM", data=_AVP_DATA, embedder="ArcFace", figures={"cosine 8 s": 0.447}),
)
_MATCHING = (
    Published(
        work="voice2face",
        data=_AVP_DATA,
        embedder="its own face embedding",
        figures={
            "matching": 76.07,
            "matching, same sex": 59.69,
            "sex of the faces": 96.45,
            "known people, top 1": 61.7,
            "known people, top 5": 82.3,
        },
    ),
)
_DISTRIBUTIONS = tuple(
    Published(
        work=f"Speech2Face with GANs, {model}",
        data=_AVP_DATA,
        embedder="as that paper",
        figures={"FID": fid, "L1": l1, "cosine": cosine},
    )
    for model, fid, l1, cosine in (
        ("general", 114.4, 61.9, 0.245),
        ("female", 126.4, 29.4, 0.399),
        ("male", 129.3, 33.1, 0.209),
    )
)
_TABLES: Mapping[str, tuple[Published, ...]] = {
    "sf2f-paper": _RETRIEVAL,
    "sf2f-code": _RETRIEVAL,
    "avp": _AVP,
    "voice2face": _MATCHING,
    "distributions": _DISTRIBUTIONS,
}


def rows(table: str) -> tuple[Published, ...]:
    """What the papers print for a table; empty for one of our own."""
    return _TABLES.get(table, ())
