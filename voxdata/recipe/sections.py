"""Recipes: every setting of a build, validated. `docs/recipes.md` is generated from the descriptions here.

The paper's numbers (SF2F, App. B.1) are the defaults. `reading.py` reads recipes from YAML.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from voxdata.recipe.crawl import Crawl as Crawl
from voxdata.recipe.effect import OnlyWith
from voxdata.recipe.faces import Faces
from voxdata.recipe.section import Section, Share
from voxdata.recipe.sources import PHOTO_SOURCES, SPEECH_KINDS, PhotoSource, SpeechSource
from voxdata.recipe.speech import Speech

HASHED = OnlyWith("splits.rule", ("leak-free",))


class MetadataSource(Section):
    """Tables that say who an identity is."""

    path: str | list[str] | None = Field(
        None, description="vox1_meta.csv, vox2_meta.csv or both; null when there is none"
    )


class Corpus(Section):
    """One corpus: photos, speech and metadata that belong together."""

    photos: Annotated[list[PhotoSource], PHOTO_SOURCES] = Field(default_factory=PHOTO_SOURCES.default)
    speech: Annotated[SpeechSource, SPEECH_KINDS] = Field(default_factory=SPEECH_KINDS.default)
    metadata: MetadataSource = MetadataSource()


class Sources(Corpus):
    """The corpora of a build."""

    also: list[Corpus] = Field([], description="further corpora that are joined into the same snapshot")


class Splits(Section):
    """Who is trained on and who is held out. A person is in one split, except under `released`."""

    rule: Literal["leak-free", "paper", "released", "vggface-vox1"] = Field(
        "leak-free",
        description="`leak-free`: hash of the person; `paper`: metadata row mod 10 (8 test, 9 val), one row per "
        "person; `released`: each identity by its own row, as SF2F released it, with five people in two splits; "
        "`vggface-vox1`: first letter of the name (A, B val, C to E test)",
    )
    val_share: Annotated[Share, HASHED] = Field(0.1, description="share of people for validation")
    test_share: Annotated[Share, HASHED] = Field(0.1, description="share of people for the test")
    holdout_share: Share = Field(0.05, description="clips of training people marked `holdout` for closed-set tests")
    holdout_by: Literal["video", "clip"] = Field(
        "video",
        description="`video`: all clips of a video are on one side, and a person with one video has none held out; "
        "`clip`: clip by clip, as version 0.1 drew them",
    )
    salt: str = Field("hq-voxceleb", description="changes the hash of the leak-free rule and of `holdout`")

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
    target_mb: float | None = Field(
        None, gt=0, description="halve a range until its shard holds no more than this, or a single bucket; null: never"
    )


class Work(Section):
    """How the work is divided. Never changes a byte of the result."""

    runner: Literal["processes", "dask"] = Field("processes", description="this machine's processes, or a Dask cluster")
    dask_address: Annotated[str | None, OnlyWith("work.runner", ("dask",))] = Field(
        None, description="scheduler of a Dask cluster; null: one on this machine"
    )
    workers: int = Field(2, ge=1, le=256, description="worker processes")
    items_per_task: int = Field(
        100,
        ge=1,
        description="photos or clips per task, in whole buckets: fewer for four tasks per worker, more where"
        " a flow run would have 1,000 task runs",
    )
    max_tasks_per_stage: int | None = Field(
        None,
        ge=1,
        le=360,
        description="tasks of a stage at most; null: what keeps a flow run under 1,000 task runs",
    )
    items_per_part: int = Field(32, ge=1, description="photos or clips between two commits")


class Limits(Section):
    """When a build stops because its input looks broken."""

    max_unreadable_share: Share = Field(0.5, description="limit of unreadable photos, and of unreadable clips")
    min_items: int = Field(20, ge=1, description="the limit holds from this many items on")


class Recipe(Section):
    """Every setting of a build."""

    name: str = Field(description="name of the dataset")
    description: str = Field("", description="one line about it")
    sources: Sources = Field(default_factory=Sources)
    crawl: Crawl = Crawl()
    faces: Faces = Field(default_factory=Faces)  # whose limits the table of face rules has
    speech: Annotated[Speech, OnlyWith("sources.speech.path")] = Speech()
    splits: Splits = Splits()
    shards: Shards = Shards()
    work: Work = Work()
    limits: Limits = Limits()

    def result_settings(self) -> dict[str, Any]:
        """All settings that can change the result: everything but `work`, `limits` and where the sources lie."""
        settings = self.model_dump(mode="json", exclude={"work", "limits", "description"})
        for source in stated_sources(settings["sources"]):
            for where in [key for key in source if key in ("path", "url") or key.endswith("_url")]:
                del source[where]
        for part in ("faces", "speech"):
            change_files(settings[part], _name)  # not where it lies
        settings["crawl"] = self.crawl.result_settings()
        if not self.speech.pack.has_audio:
            del settings["speech"]["pack"]  # versions without sound are what they were before there could be any
        return settings


def stated_sources(sources: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The sections of photos, speech and metadata of all corpora, in the dump of a recipe's sources."""
    for corpus in [sources, *sources["also"]]:
        for part in ("photos", "speech", "metadata"):
            yield from corpus[part] if isinstance(corpus[part], list) else [corpus[part]]


def change_files(section: dict[str, Any], change: Callable[[str], str]) -> None:
    """Change every setting that names a pretrained file, by path or by name, in a section and those within it."""
    for key, value in section.items():
        if isinstance(value, dict):
            change_files(value, change)
        elif isinstance(value, str) and (key.endswith("_model") or key == "silero"):
            section[key] = change(value)


def _name(path: str) -> str:
    return PurePath(path).name
