"""The recipe's settings of the face stages: what is measured, who is chosen, what a portrait is (`face_limits.py`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from voxdata.plugins import plugins
from voxdata.recipe.effect import OnlyWith, PretrainedFile
from voxdata.recipe.face_limits import Expression, Lighting, Occlusion, Pose, Resolution, Sharpness
from voxdata.recipe.section import RegisteredName, Section, Share

MIN_DECODED_SHARE = 0.9  # of a picture whose file was cut
MIN_COPY_CORRELATION = 0.96  # of prints; benchmarks/near_copies.py, docs/faces.md
MAX_OWN_ZERO_DEG = 4.0  # with the limit of nodding beside it: 12 deg off everybody's zero never passes
MEASURES = "voxdata.measures"  # entry points of other packages
LIMITS = "voxdata.usual_limits"  # who knows the rules
USUAL_DEEPLABV3 = "deeplabv3_resnet50"  # in the weights registry

BACKEND = "faces.measure.backend"
FILE = PretrainedFile()
TASKS, FAN = OnlyWith(BACKEND, ("mediapipe-tasks",)), OnlyWith(BACKEND, ("face-alignment",))
EMBEDDINGS = OnlyWith("faces.measure.embedding_model")
NO_EMBEDDINGS = OnlyWith("faces.measure.embedding_model", (None,))
ON_WHITE = OnlyWith("faces.render.crop", ("aligned",))
FOREIGN_MATTING = OnlyWith("faces.render.matting", but=("mediapipe-selfie",))
DEEPLABV3 = OnlyWith("faces.render.matting", ("deeplabv3",))


# settings of the portrait that are held against the face's measurements before one is made: no pixel depends on them
DECIDED = ("max_outside_share", "max_head_cut")


class FaceMeasure(Section):
    """Backends and floors of the face measurements. Changing one measures again; thresholds do not belong here."""

    backend: Annotated[str, RegisteredName("voxdata.landmarks")] = Field(
        "mediapipe",
        description="face detector and landmarks: `mediapipe` (478 points, in the wheel), `mediapipe-tasks` (478 "
        "points and blendshapes, from `landmarker_model`), `face-alignment` (68 points, from `fan_model`)",
    )
    landmarker_model: Annotated[str, FILE, TASKS] = Field(
        "face_landmarker", description="the .task file, by path or registry name"
    )
    fan_model: Annotated[str, FILE, FAN] = Field("fan2d", description="2DFAN-4, by path or registry name")
    fan_detector_model: Annotated[str, FILE, FAN] = Field("s3fd", description="S3FD, by path or registry name")
    min_detection_score: Share = Field(0.5, description="floor of the detector's confidence")
    max_faces: int = Field(10, ge=1, le=100, description="faces measured per photo, largest first")
    min_photo_px: int = Field(32, ge=8, description="floor: shorter side of a photo worth looking at")
    max_photo_megapixels: float = Field(
        52.0, gt=0, le=178, description="limit: a larger photo is refused by its header; each takes 7 MB while decoded"
    )
    min_decoded_share: Share = Field(
        MIN_DECODED_SHARE,
        description="floor: of a photo whose file was cut, the share of the picture that must be there",
    )
    frontal_pitch_deg: float = Field(
        0.0,
        ge=-30,
        le=30,
        description="AFLW2000's pitch of a face that looks into the camera; measured pitches count from it",
    )
    min_face_px: float = Field(24.0, ge=8, description="floor: face boxes with a shorter side get no landmarks")
    embedding_model: Annotated[str | None, FILE] = Field(
        None, description="face embedder: a name of `voxdata weights list`, or its file; null: no purity check"
    )
    emotion_model: Annotated[str | None, FILE] = Field(
        None,
        description="mini_XCEPTION as Keras HDF5, by registry name (mini_xception) or path; null: no emotions measured",
    )
    more: list[str] = Field(
        [], description="measures of other packages, by the names of their entry points in the group `voxdata.measures`"
    )

    @model_serializer(mode="wrap")
    def _without_empty(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As recipes were before a setting came, where it has its usual value: snapshots and measurements stay."""
        usual = {"more": [], "min_decoded_share": MIN_DECODED_SHARE}
        return {name: value for name, value in dump(self).items() if name not in usual or value != usual[name]}


class Link(Section):
    """Duplicates, purity, and the pitch that a person's photos share."""

    min_copy_correlation: float = Field(
        MIN_COPY_CORRELATION,
        ge=0,
        le=1,
        description="limit of the correlation of two faces' prints from which on their photos are copies",
    )
    max_hash_distance: int = Field(
        6,
        ge=0,
        le=64,
        description="of photos measured before faces had prints: bits of a 64-bit perceptual hash that copies may "
        "differ in",
    )
    max_own_zero_deg: float = Field(
        MAX_OWN_ZERO_DEG,
        ge=0,
        le=30,
        description="how far the pitch that a person's photos share may move that person's own zero; 0: everybody has "
        "the same",
    )
    agreement_similarity: Annotated[float, EMBEDDINGS] = Field(
        0.35,
        ge=-1,
        le=1,
        description="cosine with the centroid that counts as agreement; not set: the embedder's own (docs/weights.md)",
    )

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As recipes were before the settings came, where they have their usual values: snapshots stay."""
        usual = {"min_copy_correlation": MIN_COPY_CORRELATION, "max_own_zero_deg": MAX_OWN_ZERO_DEG}
        return {name: value for name, value in dump(self).items() if name not in usual or value != usual[name]}


class Purity(Section):
    """Is this the named person?"""

    min_similarity: float = Field(
        0.24,
        ge=-1,
        le=1,
        description="limit of the cosine with the person's centroid; not set: the embedder's own",
    )
    min_agreement: float = Field(
        0.5, ge=0, lt=1, description="limit of the share of a person's photos that agree; a person not above it is out"
    )


_WEIGHTS = ("pose", "resolution", "expression", "light", "focus", "framing")


class Quality(Section):
    """The order of a person's faces (voxdata/faces/quality.py): a weighted mean of terms 0..1, and their diversity."""

    pose: float = Field(0.35, ge=0, description="weight of a small face angle")
    resolution: float = Field(0.20, ge=0, description="weight of the pupil distance in the photo")
    expression: float = Field(0.15, ge=0, description="weight of a neutral expression")
    light: float = Field(0.15, ge=0, description="weight of even light without clipping")
    focus: float = Field(0.15, ge=0, description="weight of sharpness")
    framing: float = Field(0.0, ge=0, description="weight of a head and a portrait that lie within the photo")
    grayscale_factor: Share = Field(0.8, description="quality of a grayscale photo beside the same one in colour")
    diversity_margin: Share = Field(
        0.05,
        description="of faces whose quality is this near to the best one left, the one least like those already chosen "
        "goes first; 0: off",
    )

    def weights(self) -> dict[str, float]:
        """term -> weight."""
        return {name: getattr(self, name) for name in _WEIGHTS}

    @model_validator(mode="after")
    def _weighs_something(self) -> Quality:
        if not sum(self.weights().values()):
            raise ValueError(f"at least one of {', '.join(_WEIGHTS)} must be above 0")
        return self

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As recipes were before the weight came, where it weighs nothing: snapshots stay."""
        return {name: value for name, value in dump(self).items() if name != "framing" or value}


class Select(Section):
    """How many portraits a person gets (SF2F, App. B.1, human filtering: 3 to 7)."""

    min_per_identity: int = Field(3, ge=1, description="people with fewer portraits are left out")
    max_per_identity: int = Field(7, ge=1, description="best portraits kept per person")
    reviewed: Literal["required", "preferred", "ignored"] = Field(
        "preferred",
        description="what reviewers' words are worth: `required`: only what a reviewer kept becomes a portrait; "
        "`preferred`: that comes first, and the rules decide about the rest; `ignored`: the rules alone decide",
    )
    min_dominance: Annotated[float, NO_EMBEDDINGS] = Field(
        1.5, ge=1, description="of several faces the largest must have this many times the area of the next"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Select:
        if self.min_per_identity > self.max_per_identity:
            raise ValueError(f"must not be above max_per_identity={self.max_per_identity}")
        return self

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As recipes were before the setting came, where it has its usual value: snapshots stay."""
        usual = {"reviewed": "preferred"}
        return {name: value for name, value in dump(self).items() if name not in usual or value != usual[name]}


class Render(Section):
    """The portrait."""

    size_px: int = Field(512, ge=64, le=2048, description="side of the square portrait")
    crop: Literal["aligned", "haar"] = Field(
        "aligned",
        description="`aligned`: pupils at fixed places, the person on white; `haar`: the square of OpenCV's frontal "
        "cascade around the face as it is, for the preset maniyar",
    )
    max_enlargement: float = Field(
        4.5, gt=0, description="limit of output pixels per photo pixel; 30 px between the pupils need 4.27 at 512 px"
    )
    matting: Annotated[str, RegisteredName("voxdata.mattings"), ON_WHITE] = Field(
        "mediapipe-selfie", description="person mask to white"
    )
    matting_model: Annotated[str | None, PretrainedFile(USUAL_DEEPLABV3, DEEPLABV3), FOREIGN_MATTING, ON_WHITE] = Field(
        None,
        description="deeplabv3: a name of `voxdata weights list`, or a torchvision file; null: deeplabv3_resnet50",
    )
    min_person_share: Annotated[Share, ON_WHITE] = Field(0.15, description="a mask that covers less has failed")
    max_outside_share: Share | None = Field(
        None, description="limit of the share of the portrait's square that lies outside the photo; null: off"
    )
    max_head_cut: Share | None = Field(
        None,
        description="limit of the share of the head's height, crown to chin, that the photo's border cuts; null: off",
    )
    format: Literal["jpg", "webp"] = Field("jpg", description="`jpg`, or lossless `webp`")
    jpeg_quality: Annotated[int, OnlyWith("faces.render.format", ("jpg",))] = Field(
        95, ge=50, le=100, description="quality of jpg portraits"
    )

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As recipes were before the limits came, where they are off: snapshots and portraits stay."""
        return {name: value for name, value in dump(self).items() if name not in DECIDED or value is not None}


class Faces(Section):
    """Everything about faces."""

    measure: FaceMeasure = FaceMeasure()
    resolution: Resolution = Resolution()
    pose: Pose = Pose()
    expression: Expression = Expression()
    occlusion: Occlusion = Occlusion()
    lighting: Lighting = Lighting()
    sharpness: Sharpness = Sharpness()
    link: Link = Field(Link(), validate_default=True)
    purity: Annotated[Purity, EMBEDDINGS] = Field(Purity(), validate_default=True)
    quality: Quality = Quality()
    select: Select = Select()
    render: Render = Render()
    rules: dict[str, float | None] = Field(
        {},
        validate_default=True,
        description="limits of rules that have no setting of their own, by the rule's reason; null: off",
    )

    @field_validator("link", "purity")
    @classmethod
    def _with_the_embedders_limits(cls, given: Link | Purity, info: ValidationInfo) -> Link | Purity:
        """Fill in what was found for the embedder that is named, where the recipe says nothing else.

        Where nothing was found, `check` asks for limits before any work.
        """
        measure = info.data.get("measure")
        named = {"agreement_similarity", "min_similarity"} & set(type(given).model_fields) - given.model_fields_set
        if not named or not isinstance(measure, FaceMeasure) or measure.embedding_model is None:
            return given
        usual = plugins(LIMITS)["embedder"](measure.embedding_model)
        return given.model_copy(update={name: usual[name] for name in named & set(usual)})

    @field_validator("rules")
    @classmethod
    def _with_usual_limits(cls, given: dict[str, float | None], info: ValidationInfo) -> dict[str, float | None]:
        """Fill in the limits that the lines of rules propose, so that a snapshot's recipe holds every limit.

        `load_recipe` refuses names that are not known; a recipe that was built with opens without the package, too.
        """
        measure = info.data.get("measure")
        usual = plugins(LIMITS)["faces"](measure) if isinstance(measure, FaceMeasure) else {}
        return {**{reason: limit for reason, limit in usual.items() if limit is not None}, **given}

    @model_serializer(mode="wrap")
    def _without_empty(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As recipes were before rules could be added, where none is."""
        return {name: value for name, value in dump(self).items() if name != "rules" or value}
