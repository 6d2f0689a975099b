"""The report's clips to listen to, where shards hold sound: inside the page, as everything in it."""

from __future__ import annotations

import base64

from voxdata.format.sidecar import SOUND
from voxdata.pages.report.facts import Facts, Row, person_name
from voxdata.pages.report.html import Html, element, join
from voxdata.pages.report.pictures import member, voice_picture
from voxdata.store.storage import Storage

MAX_SOUND_BYTES = 400_000  # of a clip within the page: about half a minute
MEDIA_TYPE = "audio/flac"


def clips(facts: Facts) -> Html | None:
    """The shortest clip of some people; None where the shards hold no sound."""
    rows = facts.clips()
    if not rows:
        return None
    intro = (
        "The shortest clip of each of some people, drawn by chance but the same every time. Voices are biometric data."
    )
    return join(element("p", intro), element("div", *(_clip(facts, row) for row in rows), class_="clips"))


def player(storage: Storage, sample: Row, title: str) -> Html | None:
    """Plays the sound of a row of the catalog's `samples`, or says that it is too large; None where it has none."""
    data = member(storage, sample, (SOUND,))
    if data is None:
        return None
    if len(data) > MAX_SOUND_BYTES:
        said = f"{len(data) / 1e3:,.0f} kB of sound, above the {MAX_SOUND_BYTES / 1e3:.0f} of a page; hear it with "
        return element("small", said, element("code", f'voxdata.open(…).audio("{sample["key"]}")'))
    uri = f"data:{MEDIA_TYPE};base64,{base64.b64encode(data).decode()}"
    return element("audio", controls=True, preload="none", src=uri, aria_label=f"a clip of {title}")


def _clip(facts: Facts, row: Row) -> Html:
    title = person_name(row)
    mel = next((name for name in facts.snapshot.front_ends), None)
    data = None if mel is None else member(facts.storage, row, (f"{mel}.npy",))
    picture = None if data is None else voice_picture(data)
    return element(
        "figure",
        element("img", src=picture, alt=f"log-mel of {title}'s voice", loading="lazy") if picture else None,
        player(facts.storage, row, title),
        element("figcaption", element("b", title), element("span", f"{row['split']} · {row['key']}")),
    )
