"""Recipes: every setting of a build, validated. `docs/recipes.md` is generated from the descriptions here.

The paper's numbers (SF2F, App. B.1) are the defaults. `recipe_file.py` reads recipes from YAML.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]
FrontEnd = Literal["torch40", "torch64"]


class Section(BaseModel):
    """Base of every recipe section: unknown keys and silent type changes are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class PhotoSource(Section):
    """Where photos come from."""

    kind: Literal["folder", "site"] = Field(
        "folder", description="`folder`: `<identity>/**` or `<identity>.<ext>` on disk; `site`: a page per identity"
    )
    path: str | None = Field(None, description="folder of photos (`folder`); null for a corpus without photos")
    url: str | None = Field(
        None, pattern=r"^https?://[^/\s]", description="start page of a site of photos (`site`), http or https"
    )
    licence: str = Field("unknown", description="licence of the photos, kept on every row")

    @model_validator(mode="after")
    def _says_where(self) -> PhotoSource:
        if self.kind == "site" and self.url is None:
            raise ValueError("kind=site needs url, for example url=http://127.0.0.1:8000/")
        if self.kind == "folder" and self.url is not None:
            raise ValueError(f"url={self.url} is for kind=site; set kind=site, or give path instead")
        return self

    @property
    def given(self) -> bool:
        """Whether the recipe says where the photos are."""
        return (self.path if self.kind == "folder" else self.url) is not None


class SpeechSource(Section):
    """Where speech comes from."""

    kind: Literal["folder"] = Field(
        "folder", description="`folder`: VoxCeleb's `wav|aac/<identity>/<video>/<segment>.<ext>`, or `<identity>.<ext>`"
    )
    path: str | None = Field(None, description="folder of speech; null for a corpus without speech")


class MetadataSource(Section):
    """Tables that say who an identity is."""

    path: str | list[str] | None = Field(
        None, description="vox1_meta.csv, vox2_meta.csv or both; null when there is none"
    )


class Corpus(Section):
    """One corpus: photos, speech and metadata that belong together."""

    photos: PhotoSource = PhotoSource()
    speech: SpeechSource = SpeechSource()
    metadata: MetadataSource = MetadataSource()


class Sources(Corpus):
    """The corpora of a build."""

    also: list[Corpus] = Field([], description="further corpora that are joined into the same snapshot")


class Crawl(Section):
    """How photos are collected (SF2F, App. B.1, data collection)."""

    photos_per_identity: int = Field(300, ge=1, description="photos taken per identity; the paper collects 300")
    max_file_mb: float = Field(64.0, gt=0, description="a larger file is logged as too_large and not stored")
    user_agent: str = Field(
        "voxdata",
        pattern="^[!-~]([ -~]*[!-~])?$",
        description="how the crawler names itself, in ASCII; say who runs it and how to reach you",
    )
    connections_per_host: int = Field(4, ge=1, le=32, description="requests under way at one host")
    delay_s: float = Field(0.0, ge=0, description="pause between requests to one host; robots.txt may ask for more")
    timeout_s: float = Field(30.0, gt=0, description="limit of one request")
    retries: int = Field(3, ge=0, le=10, description="further tries after 429, 5xx or a broken connection")
    backoff_s: float = Field(0.5, gt=0, description="first pause before a retry; doubles each time")


class FaceMeasure(Section):
    """Backends and floors of the face measurements. Changing one measures again; thresholds do not belong here."""

    backend: Literal["mediapipe"] = Field("mediapipe", description="face detector and 478 landmarks")
    min_detection_score: Share = Field(0.5, description="floor of the detector's confidence")
    max_faces: int = Field(10, ge=1, le=100, description="faces measured per photo, largest first")
    min_photo_px: int = Field(32, ge=8, description="floor: shorter side of a photo worth looking at")
    max_photo_megapixels: float = Field(
        100.0, gt=0, le=178, description="limit: a larger photo is refused by its header"
    )
    min_face_px: float = Field(24.0, ge=8, description="floor: face boxes with a shorter side get no landmarks")
    embedding_model: str | None = Field(
        None, description="path of a MobileFaceNet ONNX file (112x112 RGB in, 128 out); null: no purity check"
    )


class Pose(Section):
    """Face angle (SF2F, App. B.1: at most 5 deg between facial plane and image plane)."""

    max_angle_deg: float = Field(5.0, gt=0, le=90, description="limit of acos(cos yaw * cos pitch)")
    max_roll_deg: float = Field(
        45.0, gt=0, le=180, description="limit of in-plane rotation; alignment removes the rest"
    )
    max_asymmetry: float | None = Field(
        None, gt=0, le=2, description="limit of left/right landmark misalignment, share of pupil distance; null: off"
    )


class Resolution(Section):
    """Resolution (SF2F, App. B.1: at least 30 px between the pupils)."""

    min_pupil_distance_px: float = Field(30.0, ge=0, description="limit in pixels of the original photo")


class Expression(Section):
    """Neutral expression; a minor smile passes (SF2F, App. B.1)."""

    max_smile: float = Field(
        0.8, ge=0, description="limit of the smile measure: 0 neutral, 1 the median smile of FER-2013's happy faces"
    )
    max_mouth_open: float = Field(0.2, ge=0, description="limit of the inner lip gap, share of mouth width")
    min_eyes_open: float = Field(0.10, ge=0, description="limit of the eye aspect ratio; lower means closed")
    max_expression: float = Field(1.3, ge=0, description="limit of the distance from neutral by landmark geometry")


class Lighting(Section):
    """Even light (SF2F, App. B.1: uniform, no noticeable shadow or sharp change)."""

    min_evenness: Share = Field(0.4, description="limit of the light's evenness over the face")
    max_highlight_share: Share = Field(0.10, description="limit of clipped highlights on the face")
    max_shadow_share: Share = Field(0.25, description="limit of crushed shadows on the face")


class Sharpness(Section):
    """Focus."""

    min_sharpness: float = Field(0.06, ge=0, description="limit of the scale-corrected sharpness of the face")


class Link(Section):
    """Duplicates and purity."""

    max_hash_distance: int = Field(
        6, ge=0, le=64, description="bits of a 64-bit perceptual hash that near duplicates may differ in"
    )
    agreement_similarity: float = Field(
        0.35, ge=-1, le=1, description="cosine with the centroid that counts as agreement"
    )


class Purity(Section):
    """Is this the named person? Only where embeddings were measured."""

    min_similarity: float = Field(0.30, ge=-1, le=1, description="limit of the cosine with the person's centroid")
    min_agreement: Share = Field(0.5, description="limit of the share of a person's photos that agree")


class Select(Section):
    """How many portraits a person gets (SF2F, App. B.1, human filtering: 3 to 7)."""

    min_per_identity: int = Field(3, ge=1, description="people with fewer portraits are left out")
    max_per_identity: int = Field(7, ge=1, description="best portraits kept per person")
    min_dominance: float = Field(
        1.5, ge=1, description="without embeddings: the largest face must have this many times the area of the next"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Select:
        if self.min_per_identity > self.max_per_identity:
            raise ValueError(f"must not be above max_per_identity={self.max_per_identity}")
        return self


class Render(Section):
    """The portrait."""

    size_px: int = Field(512, ge=64, le=2048, description="side of the square portrait")
    max_enlargement: float = Field(
        4.5, gt=0, description="limit of output pixels per photo pixel; 30 px between the pupils need 4.27 at 512 px"
    )
    matting: Literal["mediapipe-selfie"] = Field("mediapipe-selfie", description="person mask to white")
    min_person_share: Share = Field(0.15, description="a mask that covers less has failed")
    format: Literal["jpg", "webp"] = Field("jpg", description="`jpg`, or lossless `webp`")
    jpeg_quality: int = Field(95, ge=50, le=100, description="quality of jpg portraits")


class Faces(Section):
    """Everything about faces."""

    measure: FaceMeasure = FaceMeasure()
    resolution: Resolution = Resolution()
    pose: Pose = Pose()
    expression: Expression = Expression()
    lighting: Lighting = Lighting()
    sharpness: Sharpness = Sharpness()
    link: Link = Link()
    purity: Purity = Purity()
    select: Select = Select()
    render: Render = Render()


class Vad(Section):
    """WebRTC voice activity with the smoothing of SF2F's release (mode 1, 30 ms frames, 300 ms padding)."""

    mode: Literal[0, 1, 2, 3] = Field(1, description="aggressiveness of WebRTC")
    frame_ms: Literal[10, 20, 30] = Field(30, description="frame length")
    padding_ms: int = Field(300, ge=0, le=2000, description="window of the on/off smoothing")


class Gate(Section):
    """Second gate: a speech frame must also be voiced or sit beside voicing (WebRTC calls white noise speech)."""

    enabled: bool = Field(True, description="whether unconfirmed segments are dropped from the speech")
    min_voiced_share: Share = Field(0.15, description="share of periodic frames that a segment needs")
    max_flatness: Share = Field(0.5, description="limit of a segment's median spectral flatness")


class SpeechMeasure(Section):
    """Decode, voice activity and mel front ends. Changing one measures again."""

    max_duration_s: float = Field(600.0, gt=0, description="limit: a longer file is not decoded further")
    vad: Vad = Vad()
    gate: Gate = Gate()
    front_ends: list[FrontEnd] = Field(["torch40", "torch64"], min_length=1, description="log-mels that are stored")


class SpeechSelect(Section):
    """Which clips are kept."""

    min_speech_s: float = Field(1.5, gt=0, description="limit of speech after both gates; SF2F crops up to 1.5 s")
    min_vad_ratio: Share = Field(0.1, description="limit of the share of frames that WebRTC calls speech")
    min_gate_ratio: Share = Field(0.3, description="limit of the share of those that the second gate confirms")
    max_clipped_share: Share = Field(0.05, description="limit of clipped samples")
    max_per_identity: int | None = Field(None, ge=1, description="clips kept per person; null: all")


class Speech(Section):
    """Everything about speech."""

    who: Literal["portraits", "all"] = Field("portraits", description="measure people with portraits only, or all")
    measure: SpeechMeasure = SpeechMeasure()
    select: SpeechSelect = SpeechSelect()


class Splits(Section):
    """Who is trained on and who is held out. A person is in one split."""

    rule: Literal["leak-free", "paper"] = Field(
        "leak-free",
        description="`leak-free`: hash of the person; `paper`: metadata row mod 10 (8 test, 9 val)",
    )
    val_share: Share = Field(0.1, description="share of people for validation (leak-free)")
    test_share: Share = Field(0.1, description="share of people for the test (leak-free)")
    holdout_share: Share = Field(0.05, description="clips of training people marked `holdout` for closed-set tests")
    salt: str = Field("hq-voxceleb", description="changes the hash of the leak-free rule")

    @model_validator(mode="after")
    def _leaves_training(self) -> Splits:
        if self.val_share + self.test_share >= 1:
            raise ValueError(f"val_share + test_share is {self.val_share + self.test_share}; must be below 1")
        return self


class Shards(Section):
    """How samples are packed."""

    buckets_per_shard: Literal[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096] = Field(
        1024, description="aligned range of the 4,096 buckets that a shard covers; the full set wants 64 (about 250 MB)"
    )


class Work(Section):
    """How the work is divided. Never changes a byte of the result."""

    runner: Literal["processes", "dask"] = Field("processes", description="this machine's processes, or a Dask cluster")
    dask_address: str | None = Field(None, description="scheduler of a Dask cluster; null: one on this machine")
    workers: int = Field(2, ge=1, le=256, description="worker processes")
    items_per_task: int = Field(100, ge=1, description="photos or clips per task, in whole buckets")
    max_tasks_per_stage: int = Field(100, ge=1, le=200, description="so that a flow run stays under 1,000 task runs")
    items_per_part: int = Field(32, ge=1, description="photos or clips between two commits")


class Limits(Section):
    """When a build stops because its input looks broken."""

    max_unreadable_share: Share = Field(0.5, description="limit of unreadable photos, and of unreadable clips")
    min_items: int = Field(20, ge=1, description="the limit holds from this many items on")


class Recipe(Section):
    """Every setting of a build."""

    name: str = Field(description="name of the dataset")
    description: str = Field("", description="one line about it")
    sources: Sources = Sources()
    crawl: Crawl = Crawl()
    faces: Faces = Faces()
    speech: Speech = Speech()
    splits: Splits = Splits()
    shards: Shards = Shards()
    work: Work = Work()
    limits: Limits = Limits()

    def result_settings(self) -> dict[str, Any]:
        """All settings that can change the result: everything but `work`, `limits` and where the sources lie."""
        settings = self.model_dump(mode="json", exclude={"work", "limits", "description"})
        for corpus in [settings["sources"], *settings["sources"]["also"]]:
            for part in ("photos", "speech", "metadata"):
                for where in ("path", "url"):
                    corpus[part].pop(where, None)
        measure = settings["faces"]["measure"]
        if measure["embedding_model"] is not None:
            measure["embedding_model"] = PurePath(measure["embedding_model"]).name
        return settings
