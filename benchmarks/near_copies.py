"""Copies of photos: how many are found, and how often two different photos would be taken for copies.

    python benchmarks/near_copies.py --data DIR --every 3       about 4 minutes on 2 idle cores

DIR holds `photos/`, `voxceleb1-mini/`, `avspeech-mini/` and `truth/` as its own README describes. The halves go by
person (by photo where nobody is named); the recipe's limit was chosen on the fitting half. A false link is far rarer
than one in all pairs at hand, so its rate is read off a fitted tail: Fisher's z (artanh) of the correlations of the
nearest pairs of different people, every pair also with one photo mirrored, each after registration as in a build, above
the threshold that the nearest `TAIL` of them exceed. Two fits: a generalised Pareto distribution, and the log-linear
tail (the exponential distribution, which is the same with shape 0); with 95 % intervals from drawing people with
replacement. That a pair must be proposed too is not counted: the rate is that of all pairs.

Recall is that of a dataset of 2.2 million faces, where a hash must agree in all bits of one of the largest sets.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from figures import Figure, Numbers, Section, in_fitting_half, mean_figure, show
from PIL import Image, ImageEnhance
from scipy.stats import genpareto

from voxdata.faces import copies
from voxdata.faces.decode import decode_photo, perceptual_hash, thumbnail
from voxdata.faces.detect.backends import find_backend
from voxdata.faces.detect.upside_down import PhotoFaces
from voxdata.faces.face import Face
from voxdata.faces.measures.face_print import print_of
from voxdata.format.errors import PhotoDecodeError
from voxdata.recipe.faces import MIN_COPY_CORRELATION, FaceMeasure, Link

NAMED = ("photos/web", "photos/lfw-gray", "voxceleb1-mini/photos", "truth/landmarks-ytf")  # <person>/…
UNNAMED = ("avspeech-mini", "truth/pose-aflw2000", "truth/mask-celebamask/images")
MUST = 1e-12  # false links per pair
NEAREST, TAIL, DRAWS = 1200, 300, 100
ROUGH = 0.3  # correlation before registration of the pairs that are looked at
OLD_LIMITS = (6, 8, 10, 12)
NEAR = (0.9, MIN_COPY_CORRELATION)
Image_ = Image.Image


def _cut(image: Image_, share: float = 0.06) -> Image_:
    """Cut `share` off the left and the upper and lower edges together."""
    top = round(image.height * share / 2)
    return image.crop((round(image.width * share), top, image.width, image.height - top))


COPIES: dict[str, Callable[[Image_], Image_]] = {
    "6 % cut off": _cut,
    "a quarter brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.25),
    "saved again, quality 50": lambda image: image,
    "half the size": lambda image: image.resize((max(1, image.width // 2), max(1, image.height // 2))),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "cut, mirrored and smaller": lambda image: _cut(
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((image.width * 2 // 3, image.height * 2 // 3))
    ),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """A photo, or a copy of it: the print of its largest face, None where no face is found; the photo's old hash."""

    person: str
    photo: str
    copy: str
    face: bytes | None
    photo_hash: int


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="copies that are found, and different photos that are not")
    parser.add_argument("--data", type=Path, required=True, help="folder with photos/, voxceleb1-mini/ and truth/")
    parser.add_argument("--every", type=int, default=1, help="make copies of every n-th photo of the reported half")
    options = parser.parse_args()
    seen = measure(options.data, options.every)
    show(sections(seen), "near_copies")


def measure(data: Path, every: int) -> list[Seen]:
    """All photos, and copies of some of the reported half."""
    files = [(path, path.relative_to(data / name).parts[0]) for name in NAMED for path in _photos(data / name)]
    files += [(path, path.stem) for name in UNNAMED for path in _photos(data / name)]
    reported = [path for path, person in files if not in_fitting_half(person)]
    copied = set(reported[::every])
    tasks = [(person, path, path in copied) for path, person in files]
    with ProcessPoolExecutor(2) as pool:
        return [each for found in pool.map(_look, tasks, chunksize=4) for each in found]


def _photos(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.suffix in (".jpg", ".png")]


def _look(task: tuple[str, Path, bool]) -> list[Seen]:
    person, path, copied = task
    data = path.read_bytes()
    made = {"": data}
    if copied:
        with Image.open(io.BytesIO(data)) as opened:
            image = opened.convert("RGB")
        for name, change in COPIES.items():
            buffer = io.BytesIO()
            change(image).save(buffer, "JPEG", quality=50 if "50" in name else 75)
            made[name] = buffer.getvalue()
    named = partial(Seen, person=person, photo=str(path))
    return [
        named(copy=name, face=face, photo_hash=old)
        for name, each in made.items()
        for face, old in [print_of_photo(each)]
    ]


def print_of_photo(data: bytes) -> tuple[bytes | None, int]:
    """The print of the largest face, None without one, and the perceptual hash of the whole photo."""
    settings = FaceMeasure()
    landmarker = find_backend(settings.backend).open(settings)
    try:
        photo = decode_photo(data, max_megapixels=178)
    except PhotoDecodeError:
        return None, 0
    faces = PhotoFaces(photo.pixels, landmarker)
    old = int(perceptual_hash(thumbnail(faces.small)), 16)
    for box in faces.detect(settings.min_detection_score)[:1]:
        landmarks = faces.landmarks(box) if min(box.width, box.height) >= settings.min_face_px else None
        if landmarks is not None:
            return print_of(Face(photo=photo, box=box, landmarks=landmarks)), old
    return None, old


def sections(seen: Sequence[Seen]) -> list[Section]:
    """What was found, as figures and tables."""
    originals = [each for each in seen if not each.copy and each.face is not None]
    halves = {
        name: [each for each in originals if in_fitting_half(each.person) == fitting]
        for name, fitting in (("fitting", True), ("reported", False))
    }
    return [*(_different(name, half) for name, half in halves.items()), _found(seen)]


def _different(name: str, photos: Sequence[Seen]) -> Section:
    """How near photos of different people come, and the fitted tail."""
    prints = _prints(photos)
    people = np.unique([each.person for each in photos], return_inverse=True)[1]
    left, right, turned, same = _nearest(prints, people)
    z = np.arctanh(np.clip(_correlations(prints, left, right, turned), -0.999999, 0.999999))
    pairs = _pairs_of_others(people)
    others = ~same
    limit = np.arctanh(MIN_COPY_CORRELATION)
    fits = {kind: _rates(z[others], left[others], right[others], people, pairs, limit, kind) for kind in _KINDS}
    top = np.tanh(np.sort(z[others])[::-1])
    old = np.array([each.photo_hash for each in photos], np.uint64)
    one, other = np.triu_indices(len(photos), 1)
    bits = copies.popcount(old[one] ^ old[other])[people[one] != people[other]]
    upper = _limit_for(z[others], pairs)
    return Section(
        title=f"Different people, {name} half: {len(photos)} photos",
        figures=[
            Figure(
                name=f"false links per pair at {MIN_COPY_CORRELATION}, {kind} tail",
                value=value,
                n=int(pairs),
                low=low,
                high=high,
                must=MUST,
            )
            for kind, (value, low, high) in fits.items()
        ],
        tables={
            "nearest pairs": [{f"{rank}th": float(top[rank - 1]) for rank in (1, 3, 10, 30, 100, 300)}],
            "pairs joined by the old hash": [{f"within {each} bits": int((bits <= each).sum()) for each in OLD_LIMITS}],
            "pairs of one person": [
                {
                    "pairs": int((people[one] == people[other]).sum()),
                    **{
                        f"at least {each}": int((np.tanh(z[same]) >= each).sum())
                        for each in (0.9, MIN_COPY_CORRELATION)
                    },
                }
            ],
        },
        notes=[f"The log-linear tail reaches {MUST:g} at a correlation of {np.tanh(upper):.3f}."],
    )


def _prints(photos: Sequence[Seen]) -> copies.Prints:
    return np.frombuffer(b"".join(each.face for each in photos if each.face), np.uint8).reshape(len(photos), -1)


def _pairs_of_others(people: npt.NDArray[np.int64]) -> float:
    """Pairs of photos of different people, counted twice: as they are, and with one mirrored."""
    sizes = np.bincount(people)
    return float(len(people) ** 2 - (sizes**2).sum())


def _nearest(
    prints: copies.Prints, people: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Pairs that correlate most as they are: `NEAREST` of different people, and those of one person above `ROUGH`."""
    detail, there = copies.detail_of(prints)
    ends = []
    for turned in (False, True):
        other, other_there = (each[:, :, ::-1] if turned else each for each in (detail, there))
        first = _rough(detail, there.astype(np.float32), other, other_there.astype(np.float32))
        left, right = np.nonzero(np.triu(first > ROUGH, 1))
        ends.append(np.stack([left, right, np.full(len(left), turned), first[left, right]]))
    left, right, turned_, first = np.concatenate(ends, axis=1)
    left, right = left.astype(np.int64), right.astype(np.int64)
    same = people[left] == people[right]
    apart = np.flatnonzero(~same)
    chosen = np.concatenate([apart[np.argsort(-first[apart], kind="stable")[:NEAREST]], np.flatnonzero(same)])
    return left[chosen], right[chosen], turned_[chosen] > 0, same[chosen]


def _rough(a: Numbers, a_there: Numbers, b: Numbers, b_there: Numbers) -> Numbers:
    """Correlation of each with each, (N, N), as they are; -1 where too little lies in both photos."""
    a, a_there, b, b_there = (each.reshape(len(each), -1) for each in (a, a_there, b, b_there))
    squares = ((a**2) @ b_there.T) * (a_there @ (b**2).T)
    overlap = a_there @ b_there.T / a.shape[1]
    return np.where(overlap >= copies.MIN_OVERLAP, a @ b.T / np.sqrt(np.maximum(squares, 1e-9)), -1)


def _correlations(prints: copies.Prints, left: Numbers, right: Numbers, turned: npt.NDArray[np.bool_]) -> Numbers:
    parts = [slice(start, start + 256) for start in range(0, len(left), 256)]
    found = [copies.correlation(prints[left[part]], prints[right[part]], turned[part]) for part in parts]
    return np.concatenate(found).astype(np.float64)


_KINDS = ("generalised Pareto", "log-linear")


def _rates(
    z: Numbers,
    left: Numbers,
    right: Numbers,
    people: npt.NDArray[np.int64],
    pairs: float,
    limit: float,
    kind: str,
) -> tuple[float, float, float]:
    """The share of pairs beyond `limit`, with a 95 % interval: people are drawn with replacement."""
    rng = np.random.default_rng(0)
    count = people.max() + 1
    drawn = []
    for _ in range(DRAWS):
        times = np.bincount(rng.integers(0, count, count), minlength=count)
        weights = times[people[left]] * times[people[right]]
        drawn.append(_beyond(np.repeat(z, weights), pairs, limit, kind))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return _beyond(z, pairs, limit, kind), float(low), float(high)


def _beyond(z: Numbers, pairs: float, limit: float, kind: str) -> float:
    nearest = np.sort(z)[::-1][: TAIL + 1]
    excess = nearest[:TAIL] - nearest[TAIL]
    share = TAIL / pairs
    if kind == "log-linear":
        return float(share * np.exp(-(limit - nearest[TAIL]) / excess.mean()))
    # by probability-weighted moments: Hosking and Wallis 1987
    mean, weighted = excess.mean(), (excess * (np.arange(TAIL) + 0.5)).mean() / TAIL
    shape, scale = 2 - mean / (mean - 2 * weighted), 2 * mean * weighted / (mean - 2 * weighted)
    return float(share * genpareto.sf(limit - nearest[TAIL], shape, 0, scale))


def _limit_for(z: Numbers, pairs: float) -> float:
    nearest = np.sort(z)[::-1][: TAIL + 1]
    return float(nearest[TAIL] + (nearest[:TAIL] - nearest[TAIL]).mean() * np.log(TAIL / pairs / MUST))


def _found(seen: Sequence[Seen]) -> Section:
    """Copies that are found, by prints and by the old hash."""
    originals = {each.photo: each for each in seen if not each.copy and each.face is not None}
    figures, rows = [], []
    for name in COPIES:
        of = [each for each in seen if each.copy == name and each.photo in originals]
        hits = np.array([_is_copy(originals[each.photo], each) for each in of], np.float64)
        bits = np.array([(originals[each.photo].photo_hash ^ each.photo_hash).bit_count() for each in of])
        must = 0.9 if name != "cut, mirrored and smaller" else None
        figures.append(mean_figure(f"found: {name}", hits, higher=True, must=must))
        old = {f"old hash within {each}": float((bits <= each).mean()) for each in OLD_LIMITS}
        rows.append({"copy": name, "n": len(of), "found": float(hits.mean()), **old})
    return Section(
        title="Copies of photos of the reported half",
        figures=figures,
        tables={f"found, and by the old hash (limit {Link().max_hash_distance})": rows},
        notes=["A copy in which no face is found is missed by the prints."],
    )


def _is_copy(original: Seen, copy: Seen) -> bool:
    if original.face is None or copy.face is None:
        return False
    pair = np.frombuffer(original.face + copy.face, np.uint8).reshape(2, -1)
    for turned in (False, True):
        differs = np.bitwise_xor(*copies.print_hashes(pair)) ^ (copies.MIRROR if turned else np.uint64(0))
        bits = np.unpackbits(differs.view(np.uint8), bitorder="little")
        agree = any(not bits[copies.set_of_bits(n)[: copies.MAX_SET_BITS]].any() for n in range(copies.SETS))
        if agree and bits.sum() <= copies.MAX_DISTANCE:
            found = copies.correlation(pair[:1], pair[1:], turned)[0]
            if found >= MIN_COPY_CORRELATION:
                return True
    return False


if __name__ == "__main__":
    main()
