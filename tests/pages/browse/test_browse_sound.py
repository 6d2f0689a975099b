"""Clips that a root's shards hold the sound of are heard from there, and need no source file."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import voxdata
from tests.catalog.small_root import AT, SmallRoot
from tests.pages.browse.browse_root import serving
from voxdata.people import optouts
from voxdata.store.storage import open_storage

PERSON = "id00003"
KEY = f"{PERSON}/video_00001"


def test_sound_comes_from_the_shard_and_ends_with_an_opt_out(tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "root", create=True)
    SmallRoot(storage, sound="whole").publish()
    with serving(tmp_path / "root") as page, voxdata.open(tmp_path / "root") as dataset:
        clips = page.get(f"/api/clips?person={PERSON}")["clips"]
        (clip,) = (each for each in clips if each["utterance_id"] == KEY)
        address = f"/api/sound?item={quote(clip['item'])}"
        status, data, headers = page.request("GET", address)
        assert (status, headers["content-type"]) == (200, "audio/flac")
        assert data == dataset.read(KEY, "flac")
        optouts.state(storage, PERSON, optouts.OPTED_OUT, reason=None, at=AT)
        assert page.request("GET", address)[0] == 404
