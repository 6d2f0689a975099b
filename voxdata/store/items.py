"""What pixel stages are handed: rows, and a way to get the bytes when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class PhotoItem:
    """A photo to measure: its row (`schemas.PHOTOS`) and its original bytes."""

    row: Row
    data: Callable[[], bytes]


@dataclass(frozen=True, kw_only=True)
class FaceItem:
    """A face to render: its row (`columns.FACES`) and the original bytes of its photo."""

    row: Row
    data: Callable[[], bytes]


@dataclass(frozen=True, kw_only=True)
class ClipItem:
    """A clip to measure: its row (`schemas.UTTERANCE_FILES`) and the bytes of its file."""

    row: Row
    data: Callable[[], bytes]
