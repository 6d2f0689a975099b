"""The table of face rules: why a photo or a face is left out, in words, and the limits of the recipe.

Reasons stand in the order in which they are found, and the first is a row's `reason`. Whose face it is comes before how
good it is, so that the funnel's quality reasons count wanted faces only; light before what colours and shapes tell of
eyes, mouth and covers, which deep shadow makes wrong. `decide` holds the rules against the measurements and finds what
is in `FACTS` and `SELECTION`; a photo's `STATUSES` are found while it is measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from voxdata.faces.columns import rules_of as brought
from voxdata.faces.columns import stated_rules, unmeasured
from voxdata.faces.face_table import FaceTable
from voxdata.faces.measures.emotion import EMOTIONS
from voxdata.faces.ownership import shared_photos, unwanted_faces, without_majority
from voxdata.faces.quality import TERMS
from voxdata.format.errors import RecipeError
from voxdata.plugins import plugins
from voxdata.recipe import face_limits as limits
from voxdata.recipe.effect import OnlyWith
from voxdata.recipe.faces import MEASURES, FaceMeasure, Faces
from voxdata.recipe.sections import Recipe
from voxdata.rules import Flags, Rule, When, as_stored, by_reason, setting
from voxdata.tables.faces import WITHOUT_SPEECH


def _when(needs: OnlyWith, *older: None) -> When:
    return When(needs.setting, (*needs.values, *older))  # type: ignore[arg-type]


GEOMETRY, EMOTION, BLENDSHAPES = _when(limits.GEOMETRY, None), _when(limits.EMOTION), _when(limits.BLENDSHAPES)
MOUTH, NEUTRAL = _when(limits.MOUTH, None), _when(limits.NEUTRAL)
TURN_AND_NOD = _when(limits.TURN_AND_NOD)


def _small(table: FaceTable, recipe: Mapping[str, Any]) -> Flags:
    floor = as_stored(recipe["faces"].measure.min_face_px)
    return table.is_face & ~table.has("pupil_distance_px") & (table.shorter_box < floor)


def _agitated(table: FaceTable, recipe: Mapping[str, Any]) -> Flags:
    """Faces that the emotion network finds neither neutral nor slightly smiling."""
    limits = recipe["faces"].expression
    calm = (table["emotion_neutral"] + limits.happy_allowance * table["emotion_happy"]).astype(np.float32)
    flags: Flags = calm < np.float32(limits.min_calm)
    return flags


def _not_neutral(table: FaceTable, recipe: Mapping[str, Any]) -> Flags:
    """Faces of which another emotion is more probable than neutral; happy is none where the rule admits a smile."""
    smile = recipe["faces"].expression.rule in limits.NEUTRAL_SMILE.values
    others = [name for name in EMOTIONS if name != "neutral"]
    other = np.max([table[f"emotion_{name}"] for name in others if not (smile and name == "happy")], axis=0)
    best = np.maximum(table["emotion_neutral"], table["emotion_happy"]) if smile else table["emotion_neutral"]
    flags: Flags = best < other
    return flags


# fmt: off
STATUSES = (
    Rule("unreadable", "file is no readable image", whole=True),
    Rule("killed_worker", "photo ended each process that measured it", whole=True),
    Rule("too_large", "photo has too many pixels", whole=True),
    Rule("too_small", "photo has too few pixels", "photo_side_px", "faces.measure.min_photo_px", "min",
         floor=True, whole=True),
    Rule("no_face", "no face was found", "detection_score", "faces.measure.min_detection_score", "min",
         floor=True, whole=True),
)
FACTS = (
    Rule("forgotten", "person was forgotten; never shown"),
    Rule("opted_out", "person opted out; never shown"),
    Rule("human_reject", "rejected by a reviewer"),
    Rule("reviewers_disagree", "reviewers disagree"),
)
RULES = (
    Rule("face_too_small", "face too small for landmarks", "face_side_px", "faces.measure.min_face_px", "min",
         judge=_small, floor=True, whole=True, overruled=False),
    Rule("no_landmarks", "no landmarks, or turned away too far for them", whole=True, overruled=False,
         judge=lambda t, r: t.is_face & ~t.is_text("measured_until", ["all"])),
    Rule("no_majority", "the person's photos do not agree on one face", "person_agreement",
         "faces.purity.min_agreement", "min", strict=True,
         judge=lambda t, r: without_majority(t, r["faces"].purity.min_agreement)),
    Rule("other_person", "another person's face", "centroid_similarity", "faces.purity.min_similarity", "min"),
    Rule("several_faces", "several faces, and not clear whose photo it is", whole=True,
         judge=lambda t, r: unwanted_faces(t, r["faces"].select.min_dominance)),
    Rule("shared_photo", "the photo appears under several people",
         judge=lambda t, _: shared_photos(t)),
    Rule("low_resolution", "pupils too close for the resolution wanted", "pupil_distance_px",
         "faces.resolution.min_pupil_distance_px", "min", tried=(12, 16, 20, 25, 30, 40, 50, 60, 80, 100)),
    Rule("head_cut", "the photo's border cuts the head", "head_cut_share", "faces.render.max_head_cut",
         tried=(0.01, 0.02, 0.03, 0.05, 0.08, 0.12)),
    Rule("outside_photo", "too much of the portrait lies outside the photo", "square_outside_share",
         "faces.render.max_outside_share", tried=(0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)),
    Rule("face_angle", "turned away from the camera", "face_angle_deg", "faces.pose.max_angle_deg",
         tried=(2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30)),
    Rule("turned_aside", "turned aside", "yaw_deg", "faces.pose.max_turn_deg", "both",
         when=TURN_AND_NOD, tried=(3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 30)),
    Rule("nodding", "chin up or down", "nod_deg", "faces.pose.max_nod_deg", "both",
         when=TURN_AND_NOD, tried=(3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 30)),
    Rule("rolled", "tilted too far", "roll_deg", "faces.pose.max_roll_deg", "both", tried=(5, 10, 20, 30, 45, 60, 90)),
    Rule("asymmetric", "left and right do not match", "asymmetry", "faces.pose.max_asymmetry",
         tried=(0.05, 0.1, 0.15, 0.2, 0.3, 0.5)),
    Rule("too_dark", "the face lies in the dark", "skin_level", "faces.lighting.min_skin_level", "min",
         tried=(0.005, 0.01, 0.015, 0.02, 0.05, 0.1)),
    Rule("uneven_light", "uneven light", "light_evenness", "faces.lighting.min_evenness", "min",
         tried=(0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)),
    Rule("highlights", "clipped highlights", "highlight_share", "faces.lighting.max_highlight_share",
         tried=(0.01, 0.02, 0.05, 0.1, 0.2, 0.3)),
    Rule("shadows", "crushed shadows", "shadow_share", "faces.lighting.max_shadow_share",
         tried=(0.05, 0.1, 0.15, 0.25, 0.4, 0.5)),
    Rule("eyes_hidden", "dark glasses hide the eyes", "eyes_hidden", "faces.occlusion.max_eyes_hidden",
         tried=(0.1, 0.2, 0.3, 0.5, 0.7, 0.9)),
    Rule("lower_face_hidden", "a mask or a cloth covers the lower face", "lower_face_hidden",
         "faces.occlusion.max_lower_face_hidden", tried=(0.1, 0.2, 0.3, 0.5, 0.7, 0.9)),
    Rule("smiling", "more than a minor smile", "smile", "faces.expression.max_smile",
         when=MOUTH, tried=(0.2, 0.4, 0.6, 0.8, 1, 1.2, 1.5)),
    Rule("smiling", "", "blend_smile", "faces.expression.max_blend_smile",
         when=BLENDSHAPES, tried=(0.2, 0.4, 0.5, 0.6, 0.7, 0.8)),
    Rule("mouth_open", "mouth open", "mouth_open", "faces.expression.max_mouth_open",
         when=MOUTH, tried=(0.05, 0.1, 0.15, 0.2, 0.3, 0.4)),
    Rule("mouth_open", "", "blend_jaw_open", "faces.expression.max_blend_jaw_open",
         when=BLENDSHAPES, tried=(0.01, 0.02, 0.03, 0.05, 0.1, 0.2)),
    Rule("eyes_closed", "eyes closed", "eyes_open", "faces.expression.min_eyes_open", "min",
         tried=(0.05, 0.08, 0.1, 0.12, 0.15, 0.2)),
    Rule("expression", "not a neutral expression", "expression", "faces.expression.max_expression",
         when=GEOMETRY, tried=(0.5, 0.8, 1, 1.3, 1.6, 2, 3)),
    Rule("emotion", "not a calm face to the emotion network", "emotion_neutral", when=EMOTION, judge=_agitated),
    Rule("emotion", "", "emotion_neutral", when=NEUTRAL, judge=_not_neutral),
    Rule("emotion", "", "emotion_happy", "faces.expression.max_happy", when=EMOTION),
    Rule("glasses", "glasses", "glasses", "faces.occlusion.max_glasses", tried=(0.5, 0.55, 0.62, 0.7, 0.8)),
    Rule("occluded", "something hides the upper face", "occlusion", "faces.occlusion.max_occlusion",
         tried=(0.1, 0.2, 0.3, 0.4, 0.5)),
    Rule("blurred", "out of focus", "sharpness", "faces.sharpness.min_sharpness", "min",
         tried=(0.02, 0.04, 0.06, 0.08, 0.1, 0.15)),
)
SELECTION = (
    Rule("duplicate", "the person has a better copy of this photo"),
    Rule("render_failed", "could not be rendered well", "scale", "faces.render.max_enlargement"),
    Rule("render_failed", "", "person_share", "faces.render.min_person_share", "min"),
    Rule("not_reviewed", "passes, but no reviewer has kept it"),
    Rule("too_few_portraits", "the person has too few portraits"),
    Rule("over_cap", "passes, but the person has enough better ones"),
    Rule(WITHOUT_SPEECH, "passes, but no speech of the person was kept"),
)
# fmt: on
LINES = (*STATUSES, *FACTS, *RULES, *SELECTION)
REASONS = by_reason(LINES)


def lines_of(said: Mapping[str, Mapping[str, Any]]) -> tuple[Rule, ...]:
    """`LINES` with the rules that a snapshot states of measures of other packages (`Snapshot.measures`)."""
    return (*STATUSES, *FACTS, *RULES, *stated_rules(said), *SELECTION)


def rules_of(settings: Faces) -> tuple[Rule, ...]:
    """`RULES`, and those that measures bring. Raises `RecipeError` for a measure that is not installed."""
    return (*RULES, *brought(settings.measure.model_dump(mode="json")))


def usual_limits(measure: FaceMeasure) -> dict[str, float | None]:
    """Reason -> the limit that its line proposes, None where it is off, of all rules under `faces.rules`.

    They are lines of `RULES` and of measures; a measure that is not installed brings none.
    """
    there_is = plugins(MEASURES)
    known = measure.model_copy(update={"more": [name for name in measure.more if name in there_is]})
    rules = (*RULES, *brought(known.model_dump(mode="json")))
    return {rule.reason: rule.default for rule in rules if rule.setting == f"faces.rules.{rule.reason}"}


def refuse_unmeasured(asked_for: Recipe) -> None:
    """Refuse limits on what a recipe does not measure of faces: every face would pass. Raises `RecipeError`.

    The same for a weight of `faces.quality`, as no face would have a quality, and for rules that no measure brings.
    """
    settings = asked_for.faces
    limits = usual_limits(settings.measure)
    unknown = next((reason for reason in settings.rules if reason not in limits), None)
    if unknown is not None:
        there_is = f"there are {', '.join(sorted(limits))}" if limits else "faces.measure.more brings none"
        raise RecipeError(f"faces.rules.{unknown} = {settings.rules[unknown]}: there is no such rule; {there_is}")
    missing = unmeasured(settings.measure.model_dump(mode="json"))
    recipe = {"faces": settings}
    asked: dict[tuple[str, str], list[str]] = {}
    for rule in rules_of(settings):
        in_force = rule.applies(recipe) if rule.judge is not None else rule.limit(recipe) is not None
        if in_force and rule.column in missing:
            key = rule.when.setting if rule.when is not None else rule.setting
            asked.setdefault((key, "none" if rule.when is not None else "null"), []).append(rule.column)
    for name, weight in settings.quality.weights().items():
        if weight:
            asked[f"faces.quality.{name}", "0"] = [column for column in TERMS[name].columns if column in missing]
    lines = [
        f"{key} = {setting(recipe, key)} needs {', '.join(columns)}, which faces.measure does not measure here "
        f"(backend {settings.measure.backend}); add: --set {missing[columns[0]]}, or --set {key}={off}"
        for (key, off), columns in asked.items()
        if columns
    ]
    if lines:
        raise RecipeError("\n".join(lines))
