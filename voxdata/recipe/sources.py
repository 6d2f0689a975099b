"""What every source of photos and of speech has in a recipe; the section of each kind stands in the kind's own file.

Where a source lies is `path`, on a disk or an object store, or `url`, on the web. A snapshot's id leaves both out, so
that a folder may move, and a published recipe holds a `path` as an absolute one. Every other setting of a kind is part
of the result.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from voxdata.recipe.effect import OnlyWith
from voxdata.recipe.section import OneOrSeveral, RegisteredKind, Section

PHOTO_KINDS = RegisteredKind("voxdata.photo_sources", "folder")
PHOTO_SOURCES = OneOrSeveral(PHOTO_KINDS)
# Settings that ids of versions do without where they are empty.
LATER = (
    *("licences", "hosts", "client_id_env", "client_secret_env", "client_secret_block"),
    *("also_languages", "subcategories"),
)
SPEECH_KINDS = RegisteredKind("voxdata.speech_sources", "folder")


class PhotoSource(Section):
    """Where photos come from.

    Base of every kind's settings, which narrow `kind` to their own name.
    """

    kind: str = Field("folder", description="kind of source")
    path: Annotated[str | None, OnlyWith(".kind", but=("site",))] = Field(
        None,
        description="where it lies: a path, or the URL of a folder of objects, as s3://bucket/photos; null for a "
        "corpus without photos",
    )
    url: str | None = Field(
        None, pattern=r"^https?://[^/\s]", description="where it lies on the web, http or https, for kinds that do"
    )
    licence: Annotated[str, OnlyWith(".path", instead=".url")] = Field(
        "unknown", description="licence of the photos that state none of their own, kept on every row"
    )
    licences: list[str] = Field(
        [], description="licences that are taken, as `CC0-1.0` or, with an asterisk, `CC-BY-*`; none named: all"
    )

    @model_serializer(mode="wrap")
    def _without_empty(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As recipes were before settings of every kind came, where these say nothing."""
        return {name: value for name, value in dump(self).items() if name not in LATER or value}

    @property
    def given(self) -> bool:
        """Whether the recipe says where the photos are."""
        return self.path is not None or self.url is not None


class SpeechSource(Section):
    """Where speech comes from.

    Base of every kind's settings, which narrow `kind` to their own name.
    """

    kind: str = Field("folder", description="kind of source")
    path: str | None = Field(
        None, description="where it lies: a path, or the URL of a folder of objects; null for a corpus without speech"
    )

    @property
    def given(self) -> bool:
        """Whether the recipe says where the speech is."""
        return bool(self.path)
