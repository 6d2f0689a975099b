"""What a frozen network in front of a model has heard before: VoxCeleb's test people, or not, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_HEARD = {
    "yes": "it has heard VoxCeleb's test people, so figures of them are no figures of strangers",
    "likely": "it has probably heard VoxCeleb's test people, so figures of them may be no figures of strangers",
    "unknown": "whether it has heard VoxCeleb's test people is not known",
}


def heard_before(front_end: Mapping[str, Any]) -> str | None:
    """Of a front end as a snapshot states it; None for one that was not trained, such as log-mels."""
    known = front_end.get("knows_test_people")
    if known is None:
        return None
    said = _HEARD.get(str(known), _HEARD["unknown"])
    trained_on = front_end.get("trained_on", "what nobody states")
    return f"voices come through {front_end['name']}, which was trained on {trained_on}; {said}"
