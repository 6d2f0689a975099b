"""Which faces are copies of one picture, by their prints (`measures/face_print.py`): a hash proposes, pixels confirm.

Proposing: the signs of a print's 256 lowest DCT coefficients, as perceptual hashes take them. A mirror changes the sign
of those that are odd across the face, so a mirrored copy is looked for with those bits turned. Faces are compared that
agree in all bits of one of several small sets (locality-sensitive hashing: Indyk and Motwani 1998); sets are larger
where there are more faces, so that few are compared by chance.

Confirming: the correlation of the two prints where both lie in their photos, of what is left of them after smooth
light is taken away and contrast is made even, so that all parts of the picture count. Landmarks lie a little elsewhere
in each copy; so the one print is first moved, turned and scaled onto the other (Lucas and Kanade 1981).
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

PRINT_PX = 32
OUTSIDE = 0  # pixels of a print that lie outside the photo; all others are 1 to 255
MIDDLE = 128.0  # the mean of the others

HASH_BITS = 256
SETS = 40  # of bits among the lowest 128, which copies share most often
MORE_BITS = 3  # in a set than the logarithm of the number of faces: few are compared by chance
MAX_SET_BITS = 24
ALL_COMPARED = 64  # with no more faces than that
MAX_DISTANCE = 56  # of the 256 bits
MIN_OVERLAP = 0.35  # share of the print that lies in both photos; of less, nothing can be said
MIN_ROUGH = 0.6  # correlation before the prints are brought onto each other
LIGHT_PX = 2.0  # deviation of the Gaussian beyond which brightness is smooth light, and contrast is made even
EVEN = 0.05  # of a print's variance: contrast below it is noise
STEPS = 3
MAX_SHIFT_PX, MAX_CHANGE = 1.5, 0.1  # of a print; of its scale, and of its angle in radians
_PAIRS_AT_ONCE = 1 << 9
_FACES_AT_ONCE = 1 << 15

Prints = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Reals = npt.NDArray[np.float32]
Pairs = tuple[Numbers, Numbers, npt.NDArray[np.bool_]]


def copies(prints: Prints, least: float) -> Iterator[tuple[Numbers, Numbers]]:
    """Index pairs of copies among prints uint8 (N, 1024): those that are proposed and correlate by `least` or more."""
    yield from confirmed(prints, proposed(prints), least)


def confirmed(prints: Prints, pairs: Pairs, least: float) -> Iterator[tuple[Numbers, Numbers]]:
    """Those of `pairs` of rows of `prints` that correlate by `least` or more."""
    left, right, mirrored = pairs
    for start in range(0, len(left), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        near = correlation(prints[left[part]], prints[right[part]], mirrored[part], worth=(MIN_ROUGH, least)) >= least
        yield left[part][near], right[part][near]


def proposed(prints: Prints) -> Pairs:
    """Pairs of prints (N, 1024) whose hashes are near, left < right, and whether the right one is to be mirrored."""
    hashes = print_hashes(prints)
    return pairs_of(hashes, [near_codes(hashes, range(SETS))])


def near_codes(hashes: Words, sets: Iterable[int]) -> Numbers:
    """Pairs of unique hashes of (N, 4) that are near and agree in all bits of one of these sets, as numbers, sorted.

    `pairs_of` reads the numbers; what `SETS` sets find can be found in any shares of these.
    """
    unique = np.unique(hashes, axis=0)
    count = len(unique)
    found = np.zeros(0, np.int64)
    for low, high in _near(np.concatenate([unique, unique ^ MIRROR]), sets):
        pair = np.sort(np.stack([low % count, high % count]), axis=0)
        turned = (low >= count) != (high >= count)
        wanted = (pair[0] != pair[1]) & (turned | (low < count))
        codes = (pair[0] * count + pair[1]) * 2 + turned
        found = np.unique(np.concatenate([found, codes[wanted]]))
    return found


def pairs_of(hashes: Words, found: Iterable[Numbers]) -> Pairs:
    """The pairs of prints with these hashes that `near_codes` found, and of those whose hashes are the same."""
    unique, first, inverse = np.unique(hashes, axis=0, return_index=True, return_inverse=True)
    inverse = inverse.reshape(-1)
    same = np.flatnonzero(first[inverse] != np.arange(len(hashes)))
    count = len(unique)
    codes = np.unique(np.concatenate([np.zeros(0, np.int64), *found]))
    ends = np.sort(np.stack([first[codes // 2 // max(1, count)], first[codes // 2 % max(1, count)]]), axis=0)
    return (
        np.concatenate([first[inverse[same]], ends[0]]).astype(np.int64),
        np.concatenate([same, ends[1]]).astype(np.int64),
        np.concatenate([np.zeros(len(same), bool), codes % 2 == 1]),
    )


def print_hashes(prints: Prints) -> Words:
    """Signs of the lowest DCT coefficients of prints (N, 1024), whose rim counts less: uint64 (N, 4)."""
    hashes = np.zeros((len(prints), HASH_BITS // 64), np.uint64)
    for start in range(0, len(prints), _FACES_AT_ONCE):
        level, _ = _levels(prints[start : start + _FACES_AT_ONCE])
        coefficients = (_WAVES @ (level * _RIM) @ _WAVES.T)[:, _ROWS, _COLUMNS]
        packed = np.ascontiguousarray(np.packbits(coefficients > 0, axis=1, bitorder="little"))
        hashes[start : start + _FACES_AT_ONCE] = packed.view(np.uint64)
    return hashes


def correlation(
    left: Prints,
    right: Prints,
    mirrored: npt.NDArray[np.bool_] | bool = False,
    *,
    worth: tuple[float, float] = (-1.0, 1.0),
) -> Reals:
    """Of pairs of prints, uint8 (M, 1024) each: the best correlation, -1 to 1, while the right is brought to the left.

    -1 where too little lies in both photos. Pairs whose first correlation is not in `worth` keep that one.
    """
    a, a_there = detail_of(left)
    turned = right.reshape(-1, PRINT_PX, PRINT_PX)
    turned = np.where(np.asarray(mirrored).reshape(-1, 1, 1), turned[:, :, ::-1], turned)
    b, b_there = detail_of(turned.reshape(-1, PRINT_PX * PRINT_PX))
    best = _correlated(a, b, a_there & b_there)
    rows = np.flatnonzero((best >= worth[0]) & (best < worth[1]))
    place = np.zeros((len(rows), 4), np.float32)
    moved, both = b[rows], a_there[rows] & b_there[rows]
    for _ in range(STEPS if len(rows) else 0):
        place = np.clip(place + _step(a[rows], moved, both), -_REACH, _REACH)
        moved, there = _moved(b[rows], b_there[rows], place)
        both = a_there[rows] & there
        best[rows] = np.maximum(best[rows], _correlated(a[rows], moved, both))
    return best


def _near(hashes: Words, sets: Iterable[int]) -> Iterator[tuple[Numbers, Numbers]]:
    """Index pairs of hashes (N, 4) within `MAX_DISTANCE` bits that agree in all bits of one of these sets; some come
    repeatedly. Few hashes are all compared, in the place of set 0."""
    few = len(hashes) <= 2 * ALL_COMPARED
    width = 0 if few else min(MAX_SET_BITS, int(np.log2(len(hashes) / 2)) + MORE_BITS)
    for number in set(sets) & {0} if few else sets:
        keys = np.zeros(len(hashes), np.uint32)
        for place, bit in enumerate(set_of_bits(number)[:width]):
            keys |= ((hashes[:, bit // 64] >> np.uint64(bit % 64)) & np.uint64(1)).astype(np.uint32) << np.uint32(place)
        order = np.argsort(keys, kind="stable")
        ordered, words = keys[order], np.ascontiguousarray(hashes[order].T)
        at = np.arange(len(order))
        for apart in itertools.count(1):
            at = at[: np.searchsorted(at, len(order) - apart)]
            at = at[ordered[at] == ordered[at + apart]]
            if not len(at):
                break
            hits, distance = at, np.zeros(len(at), np.int64)
            for word in words:
                distance += popcount(word[hits] ^ word[hits + apart])
                near = distance <= MAX_DISTANCE
                hits, distance = hits[near], distance[near]
            yield order[hits], order[hits + apart]


def set_of_bits(number: int) -> list[int]:
    """The lowest 128 bits in an order that is as good as drawn by lot, and always the same."""
    return sorted(range(128), key=lambda bit: hashlib.sha256(f"{number}/{bit}".encode()).digest())


def popcount(values: Words) -> Numbers:
    """Set bits of each of uint64 (N,)."""
    pairs = values - ((values >> np.uint64(1)) & np.uint64(0x5555555555555555))
    fours = (pairs & np.uint64(0x3333333333333333)) + ((pairs >> np.uint64(2)) & np.uint64(0x3333333333333333))
    octets = (fours + (fours >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.asarray((octets * np.uint64(0x0101010101010101)) >> np.uint64(56), np.int64)


def _levels(prints: Prints) -> tuple[Reals, npt.NDArray[np.bool_]]:
    """Grey levels above the mean, 0 outside the photo, float32 (M, 32, 32), and which pixels lie in it."""
    there = (prints != OUTSIDE).reshape(-1, PRINT_PX, PRINT_PX)
    level = prints.reshape(-1, PRINT_PX, PRINT_PX).astype(np.float32) - np.float32(MIDDLE)
    return level * there, there


def detail_of(prints: Prints) -> tuple[Reals, npt.NDArray[np.bool_]]:
    """Prints without smooth light and with even contrast, float32 (M, 32, 32), 0 outside; which pixels lie inside."""
    level, there = _levels(prints)
    weight = _blurred(there.astype(np.float32)) + np.float32(1e-6)
    deviation = np.sqrt((level**2).sum(axis=(1, 2)) / np.maximum(there.sum(axis=(1, 2)), 1))
    level /= np.maximum(deviation, 1.0)[:, None, None]
    detail = (level - _blurred(level) / weight) * there
    contrast = _blurred(detail**2) / weight
    return detail / np.sqrt(contrast + np.float32(EVEN)), there


def _blurred(pictures: Reals) -> Reals:
    blurred: Reals = _BLUR @ pictures @ _BLUR
    return blurred


def _correlated(a: Reals, b: Reals, both: npt.NDArray[np.bool_]) -> Reals:
    """Cosine of pictures (M, 32, 32) over the pixels of `both`; -1 where these are too few."""
    a, b = a * both, b * both
    dot, squares_a, squares_b = (np.einsum("mij,mij->m", *pair) for pair in ((a, b), (a, a), (b, b)))
    cosine = dot / np.sqrt(np.maximum(squares_a * squares_b, np.float32(1e-9)))
    found: Reals = np.where(both.mean(axis=(1, 2)) >= MIN_OVERLAP, cosine, np.float32(-1))
    return found


def _step(a: Reals, b: Reals, both: npt.NDArray[np.bool_]) -> Reals:
    """Shift x, y in pixels, change of scale and of angle, (M, 4), that bring pictures b nearer to a."""
    down, across = np.gradient(b, axis=(1, 2))
    slopes = np.stack([across, down, _X * across + _Y * down, _X * down - _Y * across], axis=1) * both[:, None]
    flat = slopes.reshape(len(b), 4, -1)
    a, b = a * both, b * both
    gain = np.sqrt(np.einsum("mij,mij->m", a, a) / np.maximum(np.einsum("mij,mij->m", b, b), np.float32(1e-9)))
    missing = (a / np.maximum(gain, np.float32(1e-6))[:, None, None] - b).reshape(len(b), -1)
    normal = flat @ flat.transpose(0, 2, 1)
    damping = np.trace(normal, axis1=1, axis2=2) * np.float32(2.5e-4) + np.float32(1e-6)
    normal += damping[:, None, None] * np.eye(4, dtype=np.float32)
    step: Reals = np.linalg.solve(normal, flat @ missing[:, :, None])[:, :, 0]
    return np.clip(step, -_REACH, _REACH)


def _moved(pictures: Reals, there: npt.NDArray[np.bool_], place: Reals) -> tuple[Reals, npt.NDArray[np.bool_]]:
    """Pictures (M, 32, 32) read at shifted, scaled and turned places, and where all that was read lies inside."""
    shift_x, shift_y, scale, angle = (part[:, None, None] for part in place.T)
    middle = np.float32((PRINT_PX - 1) / 2)
    x = (1 + scale) * _X - angle * _Y + shift_x + middle
    y = angle * _X + (1 + scale) * _Y + shift_y + middle
    within = (x >= 0) & (x <= PRINT_PX - 1) & (y >= 0) & (y <= PRINT_PX - 1)
    x, y = np.clip(x, 0, PRINT_PX - 1), np.clip(y, 0, PRINT_PX - 1)
    column, row = (np.minimum(each.astype(np.intp), PRINT_PX - 2) for each in (x, y))
    right, low = x - column, y - row
    start = np.arange(len(pictures))[:, None, None] * PRINT_PX**2 + row * PRINT_PX + column
    read = np.zeros_like(pictures)
    for offset, weight in (
        (0, (1 - right) * (1 - low)),
        (1, right * (1 - low)),
        (PRINT_PX, (1 - right) * low),
        (PRINT_PX + 1, right * low),
    ):
        read += weight * pictures.reshape(-1)[start + offset]
        within &= there.reshape(-1)[start + offset] | (weight < np.float32(0.01))
    return read * within, within


def _blur_matrix() -> Reals:
    offsets = np.arange(PRINT_PX)
    weights = np.exp(-((offsets[:, None] - offsets) ** 2) / (2 * LIGHT_PX**2))
    return np.asarray(weights / np.exp(-((offsets - PRINT_PX // 2) ** 2) / (2 * LIGHT_PX**2)).sum(), np.float32)


def _low_waves() -> tuple[Any, Any]:
    """Rows and columns of the 256 lowest DCT coefficients but the mean, lowest first."""
    numbers = [(row, column) for row in range(PRINT_PX) for column in range(PRINT_PX) if row or column]
    lowest = sorted(numbers, key=lambda number: (number[0] ** 2 + number[1] ** 2, number))[:HASH_BITS]
    rows, columns = np.array(lowest).T
    return rows, columns


_ROWS, _COLUMNS = _low_waves()
_WAVES: Reals = np.cos(
    np.pi * np.arange(_ROWS.max() + 1)[:, None] * (2 * np.arange(PRINT_PX) + 1) / (2 * PRINT_PX)
).astype(np.float32)
_BLUR = _blur_matrix()
_RISE = np.sqrt(np.sin(np.pi * (np.arange(PRINT_PX) + 0.5) / PRINT_PX))
_RIM: Reals = np.outer(_RISE, _RISE).astype(np.float32)  # a cut leaves traces at the rim
_Y, _X = (np.mgrid[:PRINT_PX, :PRINT_PX] - (PRINT_PX - 1) / 2).astype(np.float32)
_REACH: Reals = np.array([MAX_SHIFT_PX, MAX_SHIFT_PX, MAX_CHANGE, MAX_CHANGE], np.float32)
MIRROR: Words = np.packbits(_COLUMNS % 2 == 1, bitorder="little").view(np.uint64)  # bits that a mirror turns
