"""The recipe's limits of a single face: pose, resolution, expression, what hides it, light and focus."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from voxdata.recipe.effect import OnlyWith
from voxdata.recipe.section import Section, Share

MAX_TURN_DEG, MAX_NOD_DEG = 8.5, 8.0  # benchmarks/accuracy/nodding.py, docs/faces.md

RULE = "faces.expression.rule"
GEOMETRY, EMOTION = OnlyWith(RULE, ("geometry", "both")), OnlyWith(RULE, ("emotion", "both"))
NEUTRAL, NEUTRAL_SMILE = OnlyWith(RULE, ("neutral", "neutral-smile")), OnlyWith(RULE, ("neutral-smile",))
MOUTH = OnlyWith(RULE, ("geometry", "both", "neutral-smile"))
BLENDSHAPES = OnlyWith(RULE, ("blendshapes",))
TURN_AND_NOD = OnlyWith("faces.pose.max_angle_deg", (None,))


class Pose(Section):
    """Face angle (SF2F, App. B.1: at most 5 deg between facial plane and image plane)."""

    max_angle_deg: float | None = Field(
        5.0,
        gt=0,
        le=90,
        description="limit of acos(cos yaw * cos pitch), everybody's pitch counted from the same zero; null: turning "
        "aside and nodding have a limit each",
    )
    max_turn_deg: Annotated[float, TURN_AND_NOD] = Field(
        MAX_TURN_DEG, gt=0, le=90, description="limit of yaw, as measured: docs/faces.md has what passes"
    )
    max_nod_deg: Annotated[float, TURN_AND_NOD] = Field(
        MAX_NOD_DEG, gt=0, le=90, description="limit of pitch, as measured, counted from the person's own zero"
    )
    max_roll_deg: float = Field(
        45.0, gt=0, le=180, description="limit of in-plane rotation; alignment removes the rest"
    )
    max_asymmetry: float | None = Field(
        None, gt=0, le=2, description="limit of left/right landmark misalignment, share of pupil distance; null: off"
    )

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As recipes were before the two limits came, where the one of the whole angle holds: snapshots stay."""
        later = ("max_turn_deg", "max_nod_deg")
        return {name: value for name, value in dump(self).items() if name not in later or self.max_angle_deg is None}


class Resolution(Section):
    """Resolution (SF2F, App. B.1: at least 30 px between the pupils)."""

    min_pupil_distance_px: float = Field(30.0, ge=0, description="limit in pixels of the original photo")


class Expression(Section):
    """Neutral expression; a minor smile passes (SF2F, App. B.1)."""

    rule: Literal["geometry", "emotion", "both", "neutral", "neutral-smile", "blendshapes", "none"] = Field(
        "geometry",
        description="what judges it: landmark `geometry`; the probabilities of an `emotion` network against limits; "
        "`both`; `neutral`: neutral is the network's most probable emotion; `neutral-smile`: or happy is, and geometry "
        "sees a minor smile; the `blendshapes` of the backend mediapipe-tasks; or `none`: nothing but the eyes",
    )
    max_smile: Annotated[float, MOUTH] = Field(
        0.8, ge=0, description="limit of the smile measure: 0 neutral, 1 the median smile of FER-2013's happy faces"
    )
    max_mouth_open: Annotated[float, MOUTH] = Field(
        0.2, ge=0, description="limit of the inner lip gap, share of mouth width"
    )
    min_eyes_open: float = Field(
        0.10, ge=0, description="limit of the eye aspect ratio, whatever the rule; lower means closed"
    )
    max_expression: Annotated[float, GEOMETRY] = Field(
        1.3, ge=0, description="limit of the distance from neutral by landmark geometry"
    )
    min_calm: Annotated[Share, EMOTION] = Field(
        0.4, description="limit of p(neutral) + happy_allowance * p(happy) of the emotion network"
    )
    happy_allowance: Annotated[Share, EMOTION] = Field(
        0.6, description="how much p(happy) counts as calm: a minor smile is a happy face"
    )
    max_happy: Annotated[Share, EMOTION] = Field(0.9, description="limit of p(happy): above, it is no minor smile")
    max_blend_smile: Annotated[Share, BLENDSHAPES] = Field(0.6, description="limit of the smile's blendshape")
    max_blend_jaw_open: Annotated[Share, BLENDSHAPES] = Field(0.03, description="limit of the open jaw's blendshape")


class Occlusion(Section):
    """What hides a face: people would see it; off unless a recipe sets a limit."""

    max_glasses: Share | None = Field(
        None, description="limit of the glasses score, null: off; 0.62 rejects hardly anyone without"
    )
    max_occlusion: Share | None = Field(
        None, description="limit of the share of the upper face that is not skin-coloured; null: off"
    )
    max_eyes_hidden: Share | None = Field(None, description="limit of the score of dark glasses; null: off")
    max_lower_face_hidden: Share | None = Field(
        None, description="limit of the score of masks and cloths over the lower face; null: off"
    )

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As recipes were before the settings came, where they are off: snapshots stay."""
        later = ("max_eyes_hidden", "max_lower_face_hidden")
        return {name: value for name, value in dump(self).items() if name not in later or value is not None}


class Lighting(Section):
    """Even light (SF2F, App. B.1: uniform, no noticeable shadow or sharp change)."""

    min_evenness: Share = Field(0.4, description="limit of the light's evenness over the face")
    max_highlight_share: Share = Field(0.10, description="limit of clipped highlights on the face")
    max_shadow_share: Share = Field(0.25, description="limit of crushed shadows on the face")
    min_skin_level: Share = Field(
        0.015, description="limit of the skin's median linear light: far below any lit skin, 1 is white"
    )


class Sharpness(Section):
    """Focus."""

    min_sharpness: float = Field(0.06, ge=0, description="limit of the scale-corrected sharpness of the face")
