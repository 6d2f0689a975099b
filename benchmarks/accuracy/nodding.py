"""Limits of turning aside and of nodding, and the zero of pitch that a person's photos share.

A face that should pass has a true yaw and roll within 5 deg and a true pitch within 8; one that must not is turned by
more than 12 deg. Of pairs of limits, half a degree apart, those come into question that let at most `THROUGH` of the
faces beyond 12 deg pass; where none does, the strictest pair is taken. Of the others the ones that keep nearly as many
as the best of what should pass (within `NEARLY`), and of these the strictest yaw. Few photos of AFLW2000 are that
frontal: what should pass is spread evenly over its box, and measured with the errors of all faces within 20 deg. Which
zero pitch one counts from moves some faces over the 12 deg; AFLW2000's own and that of the recipe are asked, and the
mean of the two counts. Ten-fold cross-validation inside the fitting half, drawn 20 times, says which pair is chosen how
often, and the recipe has the one chosen most often.

A person's zero (`voxdata/faces/own_zero.py`) has two deviations, between people and between one person's photos: a
one-way analysis of variance of LFW, web photos and VoxCeleb frames of people with several photos, of the half of the
people by the hash of their names. Frames of one video are left out (YouTube Faces): they share the camera. What it
gains is read on the other half, as the error of a photo's pitch that is foretold from the person's other photos, and on
painted people, whose true angles are known.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from figures import Figure, Numbers, Section, in_fitting_half, mean_figure

from accuracy.aflw import read_faces
from accuracy.face_angle import Painted, corpus_photos, look_at_corpus
from accuracy.portraits import SOURCES, items
from voxdata.faces import measure as faces_measure
from voxdata.faces.detect.backends import open_landmarker
from voxdata.faces.geometry.looks import pose_of
from voxdata.faces.geometry.pose import asymmetry, face_angle
from voxdata.faces.own_zero import SEEN_YAW_DEG, believed, own_zeros
from voxdata.recipe.face_limits import Pose
from voxdata.recipe.faces import Faces
from voxdata.recipe.reading import load_recipe

Flags = npt.NDArray[np.bool_]

BOX_DEG = (5.0, 8.0, 5.0)  # yaw, pitch, roll of what should pass
TURNED_DEG, NEAR_DEG = 12.0, 20.0
TURNS, NODS = np.arange(5.0, 11.1, 0.5), np.arange(5.0, 12.1, 0.5)
THROUGH, NEARLY = 0.005, 0.01
FOLDS, DRAWS = 10, 20
OCCASIONS = ("LFW", "VoxCeleb frames")
WEB = "photos/web/*/*"
LIMIT_DEG = 5.0  # of the one angle that was judged before
PAINTED = 300  # the first photos of that corpus: thirty people with about ten each
WORKERS = 2


def measure(data: Path) -> Section:
    """What passes of AFLW2000 and of painted people, and how well a person's photos foretell another one's pitch."""
    recipe = load_recipe("hq-voxceleb-automatic").faces
    zeros = (0.0, recipe.measure.frontal_pitch_deg)
    photos = corpus_photos()[:PAINTED]
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        painting = pool.map_async(partial(look_at_corpus, backend="mediapipe"), photos, chunksize=25)
        truth, found, fitting = aflw(data)
        people = photographed(data, recipe)
        paint, spread = painted(recipe, photos, painting.get())
    counts = cross_validated(truth[fitting], found[fitting], recipe.pose, zeros)
    chosen = [
        {"turn, deg": turn, "nod, deg": nod, "folds that choose it": n} for (turn, nod), n in counts.most_common()
    ]
    fitted = {name: pitch for name, pitch in people.items() if in_fitting_half(name)}
    reported = [pitch for name, pitch in people.items() if not in_fitting_half(name)]
    between, within = deviations(list(fitted.values()))
    half = [
        {"half": name, "rule": rule, "counted from": f"{zero:g} deg", **_shares(passes, truth[rows], zero)}
        for name, rows in (("fitting", fitting), ("reported", ~fitting))
        for zero in zeros
        for rule, passes in _rules(found[rows], zero, recipe.pose)
    ]
    notes = [
        "The reported halves of AFLW2000 and of the people were read once for this, after the limits were chosen.",
        f"{len(fitted)} people of the fitting half with {sum(map(len, fitted.values()))} photos: deviation between "
        f"people {between:.1f}, between the photos of one {within:.1f} deg.",
        f"{len(reported)} people of the reported half with {sum(map(len, reported))} photos.",
        spread,
    ]
    tables = {"AFLW2000": half, f"of {FOLDS * DRAWS} folds": chosen, "painted people": paint}
    return Section(
        title="Turning aside and nodding", figures=list(_foretold(reported, recipe)), tables=tables, notes=notes
    )


def aflw(data: Path) -> tuple[Numbers, Numbers, Flags]:
    """True yaw, pitch, roll (N, 3), found ones and asymmetry (N, 4), NaN without landmarks, who is fitted on (N,)."""
    faces = read_faces(data, open_landmarker("mediapipe"))
    found = np.full((len(faces), 4), np.nan)
    for row, face in zip(found, faces, strict=True):
        if face.landmarks is not None:
            pose = pose_of(face.landmarks, face.mirrored)
            row[:] = pose.yaw_deg, pose.pitch_deg, pose.roll_deg, asymmetry(face.landmarks.points)
    return np.array([face.truth for face in faces]), found, np.array([in_fitting_half(face.name) for face in faces])


def cross_validated(
    truth: Numbers, found: Numbers, pose: Pose, zeros: tuple[float, ...]
) -> Counter[tuple[float, float]]:
    """The limits of turning and nodding, and how many folds choose them."""
    rng = np.random.default_rng(0)
    counts: Counter[tuple[float, float]] = Counter()
    for _ in range(DRAWS):
        fold = rng.permutation(len(truth)) % FOLDS
        counts.update(choose(truth[fold != number], found[fold != number], pose, zeros) for number in range(FOLDS))
    return counts


def choose(truth: Numbers, found: Numbers, pose: Pose, zeros: tuple[float, ...]) -> tuple[float, float]:
    """The limits by the rule that stands at the top of this file."""
    through = np.mean([_through(truth, found, pose, zero) for zero in zeros], axis=0)
    kept = np.where(through <= THROUGH, kept_of_box(truth, found), -1.0)
    turn, nod = np.argwhere(kept >= kept.max() - NEARLY)[0]
    return float(TURNS[turn]), float(NODS[nod])


def kept_of_box(truth: Numbers, found: Numbers) -> Numbers:
    """Share of the box that passes each pair of limits, (turns, nods), with the errors of near-frontal faces."""
    near = (np.abs(truth).max(axis=1) < NEAR_DEG) & np.isfinite(found[:, 0])
    yaw, pitch = (found - np.pad(truth, ((0, 0), (0, 1))))[near, :2].T
    by_turn = np.array([_evenly(yaw, BOX_DEG[0], turn) for turn in TURNS])
    by_nod = np.array([_evenly(pitch, BOX_DEG[1], nod) for nod in NODS])
    kept: Numbers = by_turn @ by_nod.T / near.sum()
    return kept


def _evenly(error: Numbers, side: float, limit: float) -> Numbers:
    """Share of angles spread evenly within ± `side` that an error (N,) leaves within ± `limit`."""
    inside = np.minimum(side, limit - error) - np.maximum(-side, -limit - error)
    share: Numbers = np.clip(inside, 0.0, None) / (2 * side)
    return share


def _through(truth: Numbers, found: Numbers, pose: Pose, zero: float) -> Numbers:
    turned = _angle(truth, zero) > TURNED_DEG
    rows = found[turned]
    return np.array([[_within(rows, zero, turn, nod, pose).mean() for nod in NODS] for turn in TURNS])


def _within(found: Numbers, zero: float, turn: float, nod: float, pose: Pose) -> Flags:
    limits = (turn, nod, pose.max_roll_deg, _asymmetry(pose))
    return np.asarray((np.abs(found - (0.0, zero, 0.0, 0.0)) <= limits).all(axis=1))


def _asymmetry(pose: Pose) -> float:
    assert pose.max_asymmetry is not None
    return pose.max_asymmetry


def _angle(angles: Numbers, zero: float) -> Numbers:
    return face_angle(angles[:, 0], angles[:, 1] - zero)


def _rules(found: Numbers, zero: float, pose: Pose) -> Iterator[tuple[str, Flags]]:
    symmetric = (found[:, 3] <= _asymmetry(pose)) & (np.abs(found[:, 2]) <= pose.max_roll_deg)
    yield f"one angle of {LIMIT_DEG:g} deg", symmetric & (_angle(found, zero) <= LIMIT_DEG)
    yield (
        f"turn {pose.max_turn_deg:g}, nod {pose.max_nod_deg:g} deg",
        _within(found, zero, pose.max_turn_deg, pose.max_nod_deg, pose),
    )


def _shares(passes: Flags, truth: Numbers, zero: float) -> dict[str, Any]:
    box = (np.abs(truth - (0.0, zero, 0.0)) <= BOX_DEG).all(axis=1)
    turned = _angle(truth, zero) > TURNED_DEG
    return {
        "in the box": int(box.sum()),
        "kept": float(passes[box].mean()),
        "beyond 12 deg": int(turned.sum()),
        "let through": float(passes[turned].mean()),
    }


def photographed(data: Path, recipe: Faces) -> dict[str, Numbers]:
    """Person -> pitch of the largest face of each photo that is turned aside by at most 20 deg; people with several."""
    found: dict[str, list[float]] = {}
    for pattern in (*(SOURCES[name] for name in OCCASIONS), WEB):
        for row in faces_measure.run(items(data, pattern), recipe.measure).rows.to_pylist():
            if row["face_index"] == 0 and row["yaw_deg"] is not None and abs(row["yaw_deg"]) <= SEEN_YAW_DEG:
                found.setdefault(row["identity"], []).append(row["pitch_deg"])
    return {name: np.array(pitch) for name, pitch in found.items() if len(pitch) > 1}


def deviations(people: list[Numbers]) -> tuple[float, float]:
    """Of pitch between people and between the photos of one: moments of a one-way analysis of variance."""
    sizes = np.array([len(pitch) for pitch in people])
    means = np.array([pitch.mean() for pitch in people])
    total = sizes.sum()
    within = sum(((pitch - pitch.mean()) ** 2).sum() for pitch in people) / (total - len(people))
    between = (sizes * (means - (sizes * means).sum() / total) ** 2).sum() / (len(people) - 1)
    each = (total - (sizes**2).sum() / total) / (len(people) - 1)
    return float(np.sqrt(max(0.0, between - within) / each)), float(np.sqrt(within))


def _foretold(people: list[Numbers], recipe: Faces) -> Iterator[Figure]:
    """Error of a photo's pitch, foretold as everybody's zero, and as the zero that the person's other photos share."""
    pairs = [(pitch[n], np.delete(pitch, n)) for pitch in people for n in range(len(pitch))]
    plain = np.array([abs(one) for one, _ in pairs])
    limit = recipe.link.max_own_zero_deg
    zeros = [np.clip(believed(np.array(len(rest))) * np.median(rest), -limit, limit) for _, rest in pairs]
    own = np.abs(np.array([one for one, _ in pairs]) - zeros)
    yield mean_figure("pitch of a photo foretold by everybody's zero, error in deg", plain)
    yield mean_figure("by that of the person's other photos", own)
    yield mean_figure("gain, deg", plain - own, higher=True)


def painted(recipe: Faces, photos: list[tuple[int, int]], seen: list[Painted]) -> tuple[list[dict[str, Any]], str]:
    """What passes of a simulated corpus, whose folders hold strangers too, and how far the pitch is off."""
    truth = np.array([photo.truth for photo in seen])
    found = np.array([photo.found or (np.nan, np.nan) for photo in seen])
    folder = np.array([person for person, _ in photos])
    limit = recipe.link.max_own_zero_deg
    three = np.concatenate([np.flatnonzero(folder == person)[:3] for person in np.unique(folder)])
    own = _zeros(folder, found, limit)
    own_of_three = _zeros(folder[three], found[three], limit)
    every = np.arange(len(folder))
    rows = [
        _painted_row(f"one angle of {LIMIT_DEG:g} deg", truth, face_angle(*found.T) <= LIMIT_DEG),
        *(
            _painted_row(f"turn and nod, {name}", truth[chosen], _both(found[chosen], zero, recipe.pose))
            for name, chosen, zero in (
                ("everybody's zero", every, 0.0),
                ("own zero", every, own),
                ("everybody's zero, three photos each", three, 0.0),
                ("own zero, three photos each", three, own_of_three),
            )
        ),
    ]
    frontal = (face_angle(*truth.T) <= LIMIT_DEG) & np.isfinite(found[:, 1])
    plain, mended = (np.abs(found[:, 1] - zero - truth[:, 1])[frontal].mean() for zero in (0.0, own))
    spread = f"mean error of pitch {plain:.2f} deg from everybody's zero, {mended:.2f} deg from their own"
    return rows, f"Painted people truly within {LIMIT_DEG:g} deg: {spread}."


def _painted_row(rule: str, truth: Numbers, passes: Flags) -> dict[str, Any]:
    angle, (yaw, pitch) = face_angle(*truth.T), np.abs(truth).T
    box = (yaw <= BOX_DEG[0]) & (pitch <= BOX_DEG[1])
    return {
        "rule": rule,
        "within 5 deg": int((angle <= LIMIT_DEG).sum()),
        "kept": float(passes[angle <= LIMIT_DEG].mean()),
        "in the box": int(box.sum()),
        "of the box kept": float(passes[box].mean()),
        "beyond 12 deg": int((angle > TURNED_DEG).sum()),
        "let through": float(passes[angle > TURNED_DEG].mean()),
    }


def _zeros(people: npt.NDArray[np.int64], found: Numbers, limit_deg: float) -> Numbers:
    numbers = np.arange(len(found))
    pitch = np.where(np.abs(found[:, 0]) <= SEEN_YAW_DEG, found[:, 1], np.nan)
    return own_zeros(people, numbers, pitch, [numbers.astype(float)], limit_deg)


def _both(found: Numbers, zero: Numbers | float, pose: Pose) -> Flags:
    return np.asarray((np.abs(found[:, 0]) <= pose.max_turn_deg) & (np.abs(found[:, 1] - zero) <= pose.max_nod_deg))
