"""Published results, for the eye: each has its own embedder and its own data, and shares no column with ours.

`rows(table)` gives what the papers print for a table of `protocols.py`. Figures and their sources only.
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


_HQ, _FILTERED = "HQ-VoxCeleb, galleries of 100", "filtered VGGFace, galleries of 100"
_SF2F_GALLERY = 100


def _sf2f(
    work: str,
    cosine: float,
    l1: float | None,
    recalls: Sequence[float],
    vfs: float,
    *,
    data: str = _HQ,
    embedder: str = "FaceNet",
) -> Published:
    figures = {"cosine": cosine} | ({"L1": l1} if l1 is not None else {})
    names = ("R@1", "R@2", "R@5", "R@10")[-len(recalls) :]
    return Published(
        work=work,
        data=data,
        embedder=embedder,
        figures=figures | dict(zip(names, recalls, strict=True)) | {"VFS": vfs},
        gallery=_SF2F_GALLERY,
    )


_RETRIEVAL = (  # Tables 3 and 5
    _sf2f("SF2F, 64 px, 1.25 s, no fuser", 0.304, 19.22, (5.32, 8.10, 19.27, 32.80), 18.59),
    _sf2f("SF2F, 64 px, 5 s, no fuser", 0.294, 18.51, (4.11, 8.38, 19.43, 33.97), 18.54),
    _sf2f("SF2F, 64 px, 5 s", 0.317, 17.91, (5.75, 9.32, 20.36, 36.65), 19.49),
    _sf2f("SF2F, 128 px alone, 5 s", 0.278, 18.54, (5.02, 8.60, 19.43, 32.25), 18.53),
    _sf2f("SF2F, 64 + 128 px, 5 s", 0.313, 17.46, (6.10, 9.25, 18.77, 35.38), 20.10),
    _sf2f("voice2face by the authors of SF2F, 1.25 s", 0.202, 23.46, (1.77, 3.55, 14.60, 20.33), 15.47),
    _sf2f("voice2face by the authors of SF2F, 5 s", 0.205, 23.17, (1.64, 3.64, 15.12, 20.82), 15.68),
    _sf2f("Vox2Face (2026)", 0.322, None, (17.3, 32.1), 23.21, embedder="ArcFace"),
)
_ABLATION = (  # Table 7: 64 px, 5 s, with the fuser
    _sf2f("SF2F without L1", 0.310, 21.74, (3.47, 7.26, 18.36, 31.56), 16.84),
    _sf2f("SF2F without the adversarial loss", 0.298, 20.97, (3.23, 8.70, 16.73, 32.36), 18.51),
    _sf2f("SF2F without the identity loss", 0.310, 18.13, (5.24, 8.45, 17.30, 34.28), 19.16),
    _sf2f("SF2F without the perceptual loss", 0.236, 18.22, (2.73, 5.23, 15.39, 26.37), 18.44),
    _sf2f("SF2F, baseline encoder", 0.309, 18.47, (5.54, 9.26, 19.18, 34.75), 18.89),
    _sf2f("SF2F, baseline decoder", 0.311, 18.52, (4.32, 8.56, 19.47, 34.25), 18.46),
)
_ON_FILTERED = tuple(  # Table 8
    _sf2f(*row, data=_FILTERED)
    for row in (
        ("SF2F, 64 px, 1.25 s, no fuser", 0.251, 21.23, (1.81, 4.05, 9.77, 18.56), 16.62),
        ("SF2F, 64 px, 5 s, no fuser", 0.248, 21.46, (1.77, 3.98, 9.75, 18.36), 16.49),
        ("SF2F, 64 px, 5 s", 0.267, 19.94, (1.96, 4.21, 10.67, 21.34), 16.73),
        ("voice2face by the authors of SF2F, 1.25 s", 0.164, 26.45, (1.46, 3.12, 7.25, 20.71), 12.94),
        ("voice2face by the authors of SF2F, 5 s", 0.165, 26.42, (1.45, 3.17, 7.89, 15.43), 12.72),
    )
)
_LENGTHS = (  # Table 4
    _sf2f("SF2F, no fuser, 0.5 to 1 s", 0.230, 21.85, (4.67, 8.38, 15.40, 26.05), 18.17),
    _sf2f("SF2F, no fuser, 1 to 1.5 s", 0.296, 18.51, (5.02, 8.60, 19.43, 32.25), 18.53),
    _sf2f("SF2F, no fuser, 1.5 to 3 s", 0.294, 18.79, (4.96, 8.78, 18.59, 29.88), 18.67),
    _sf2f("SF2F, no fuser, 3 to 6 s", 0.274, 19.21, (4.33, 8.43, 17.10, 30.14), 18.05),
    _sf2f("SF2F, no fuser, 6 to 10 s", 0.227, 21.92, (3.34, 6.58, 14.73, 26.92), 18.40),
)


def _real(side_px: int, network: str, score: float, deviation: float, *, key: str) -> Published:
    return Published(
        work=f"real portraits of {side_px} px (SF2F, Table 2)",
        data="HQ-VoxCeleb",
        embedder=network,
        figures={key: score, "± sd": deviation},
    )


_VFS = tuple(
    _real(side, "VGGFace", score, sd, key="VFS")
    for side, score, sd in ((64, 48.720, 1.688), (128, 51.048, 3.633), (256, 50.525, 1.862))
)
_INCEPTION = tuple(
    _real(side, "Inception V3", score, sd, key="Inception score")
    for side, score, sd in ((64, 2.074, 0.067), (128, 2.286, 0.036), (256, 2.583, 0.108))
)

_BOTH = "VoxCeleb1 and VGGFace, people in both"
_AVP = (
    Published(work="AVP-GAN", data=_BOTH, embedder="ArcFace", figures={"cosine 4 s": 0.471, "cosine 8 s": 0.511}),
    Published(
        work="voice2face by the authors of AVP-GAN",
        data=_BOTH,
        embedder="ArcFace",
        figures={"cosine 4 s": 0.408, "cosine 8 s": 0.436},
    ),
    Published(work="AVP-GAN without CBAM", data=_BOTH, embedder="ArcFace", figures={"cosine 8 s": 0.447}),
)


def _voice2face(work: str, figures: Mapping[str, float], *, judge: str) -> Published:
    return Published(work=work, data=_BOTH, embedder=judge, figures=figures)


def _matching(work: str, anybody: float, same_sex: float, *, judge: str) -> Published:
    return _voice2face(work, {"matching": anybody, "matching, same sex": same_sex}, judge=judge)


_ITS_OWN, _JOINT = "its own face embedding", "voices and faces in one space, no face painted"
_UNSEEN = (  # Table 3 of voice2face, Table 2 of Maniyar et al.
    _matching("voice2face", 76.07, 59.69, judge=_ITS_OWN),
    _matching("Maniyar et al. 2022", 76.09, 59.70, judge="not said"),
    _matching("SVHF", 81.00, 65.20, judge=_JOINT),
    _matching("DIMNet-I", 83.45, 70.91, judge=_JOINT),
    _matching("DIMNet-G", 72.90, 50.32, judge=_JOINT),
)
_TRAINED = (
    _matching("voice2face", 96.83, 93.98, judge=_ITS_OWN),
    _matching("Maniyar et al. 2022", 96.88, 93.97, judge="not said"),
)
_KNOWN = (_voice2face("voice2face", {"top 1": 61.7, "top 5": 82.3}, judge="its own classifier"),)
_SEX = (
    _voice2face(
        "voice2face",
        {"sex of the faces": 96.45, "of real portraits": 98.97},
        judge="a network of its discriminator's architecture",
    ),
)
_NOISE = (
    _voice2face("voice2face, 1,000 voices", {"verdict": 0.09, "± sd": 0.13}, judge="its own discriminator"),
    _voice2face("voice2face, 1,000 noises", {"verdict": 0.06, "± sd": 0.07}, judge="its own discriminator"),
)
_PIXELS = tuple(
    Published(
        work=f"Speech2Face with GANs, {model}",
        data=_BOTH,
        embedder="not said",
        figures={"L1 of pixels": l1, "cosine": cosine, "FID": fid},
    )
    for model, fid, l1, cosine in (
        ("general", 114.4, 61.9, 0.245),
        ("female", 126.4, 29.4, 0.399),
        ("male", 129.3, 33.1, 0.209),
    )
)
_TABLES: Mapping[str, tuple[Published, ...]] = {
    "sf2f-paper": (*_RETRIEVAL, *_ABLATION, *_ON_FILTERED),
    "sf2f-code": _RETRIEVAL,
    "sf2f-lengths": _LENGTHS,
    "vfs": _VFS,
    "inception score": _INCEPTION,
    "avp": _AVP,
    "matching": _UNSEEN,
    "matching, training people": _TRAINED,
    "known people": _KNOWN,
    "sex": _SEX,
    "noise": _NOISE,
    "pixels": _PIXELS,
}
TABLES = tuple(_TABLES)


def rows(table: str) -> tuple[Published, ...]:
    """What the papers print for a table; empty for one of our own."""
    return _TABLES.get(table, ())
