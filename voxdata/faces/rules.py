"""The automatic rules: a reason, and the rows that fail for it. Thresholds on stored measurements, no pixels.

They run in this order and the first that fails is a row's `reason`. Whose face it is comes before how good it is, so
that the funnel's quality reasons count wanted faces only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from voxdata.faces.face_table import FaceTable, Flags
from voxdata.faces.ownership import shared_photos, unwanted_faces, without_majority
from voxdata.recipe.faces import Expression, Faces

Rule = Callable[[FaceTable, Faces], Flags]

# reason -> failing rows. A null measurement never fails a rule: `no_landmarks` has already caught it.
RULES: dict[str, Rule] = {
    "face_too_small": lambda t, r: t.is_face & ~t.has("pupil_distance_px") & (t.shorter_box < r.measure.min_face_px),
    "no_landmarks": lambda t, r: t.is_face & ~t.is_text("measured_until", ["all"]),
    "no_majority": lambda t, r: without_majority(t, r.purity.min_agreement),
    "other_person": lambda t, r: t.links("centroid_similarity") < r.purity.min_similarity,
    "several_faces": lambda t, r: unwanted_faces(t, r.select.min_dominance),
    "shared_photo": lambda t, r: shared_photos(t, r.purity.min_similarity),
    "low_resolution": lambda t, r: t["pupil_distance_px"] < r.resolution.min_pupil_distance_px,
    "face_angle": lambda t, r: t["face_angle_deg"] > r.pose.max_angle_deg,
    "rolled": lambda t, r: np.abs(t["roll_deg"]) > r.pose.max_roll_deg,
    "asymmetric": lambda t, r: t["asymmetry"] > (np.inf if r.pose.max_asymmetry is None else r.pose.max_asymmetry),
    "smiling": lambda t, r: (
        (r.expression.asks_geometry & (t["smile"] > r.expression.max_smile))
        | (r.expression.asks_blendshapes & (t["blend_smile"] > r.expression.max_blend_smile))
    ),
    "mouth_open": lambda t, r: (
        (r.expression.asks_geometry & (t["mouth_open"] > r.expression.max_mouth_open))
        | (r.expression.asks_blendshapes & (t["blend_jaw_open"] > r.expression.max_blend_jaw_open))
    ),
    "eyes_closed": lambda t, r: t["eyes_open"] < r.expression.min_eyes_open,
    "expression": lambda t, r: r.expression.asks_geometry & (t["expression"] > r.expression.max_expression),
    "emotion": lambda t, r: r.expression.asks_emotion & emotional(t, r.expression),
    "glasses": lambda t, r: t["glasses"] > (np.inf if (most := r.occlusion.max_glasses) is None else most),
    "occluded": lambda t, r: t["occlusion"] > (np.inf if (most := r.occlusion.max_occlusion) is None else most),
    "too_dark": lambda t, r: t["skin_level"] < r.lighting.min_skin_level,
    "uneven_light": lambda t, r: t["light_evenness"] < r.lighting.min_evenness,
    "highlights": lambda t, r: t["highlight_share"] > r.lighting.max_highlight_share,
    "shadows": lambda t, r: t["shadow_share"] > r.lighting.max_shadow_share,
    "blurred": lambda t, r: t["sharpness"] < r.sharpness.min_sharpness,
}


def emotional(table: FaceTable, limits: Expression) -> Flags:
    """Faces that the emotion network finds neither neutral nor slightly smiling."""
    calm = table["emotion_neutral"] + limits.happy_allowance * table["emotion_happy"]
    flags: Flags = (calm < limits.min_calm) | (table["emotion_happy"] > limits.max_happy)
    return flags
