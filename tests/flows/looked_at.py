"""Folders of photos and speech for `voxdata check`, and what it and a build say of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.flows.building import Voxdata

JPEG, WAV = b"\xff\xd8\xff\xe0", b"RIFF\0\0\0\0WAVE"
META = (
    "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n"
    "id10001\tBeyonc\N{LATIN SMALL LETTER E WITH ACUTE}\tf\tUSA\tdev\n"
    "id10002\tJohn_Smith\tm\tUK\tdev\nid10003\tAnn_Lee\tf\tUK\tdev\n"
)


def give(folder: Path, people: Iterable[str], suffix: str, count: int) -> None:
    for person in people:
        (folder / person).mkdir(parents=True)
        for number in range(count):
            head = JPEG if suffix == "jpg" else WAV
            (folder / person / f"{number}.{suffix}").write_bytes(head + os.fsencode(f"{person}{number}"))


def words(sources: Path, *settings: str, metadata: bool = True) -> list[str]:
    named = [f"sources.photos.path={sources / 'photos'}", f"sources.speech.path={sources / 'wav'}"]
    named += [f"sources.metadata.path={sources / 'meta.csv'}"] if metadata else []
    return ["voxceleb-folder", *(part for each in (*named, *settings) for part in ("--set", each))]


def found(here: Voxdata, *arguments: str) -> tuple[int, Any]:
    done = here("check", *arguments, "--json")
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


def ends(here: Voxdata, sources: Path, words: list[str], *said: str) -> None:
    """A check has status 1, and a build ends at once with the same words, as a flow, too; no root is made."""
    root = sources / "root"
    checked = here("check", *words)
    assert checked.returncode == 1
    (stop,) = [line for line in checked.stdout.splitlines() if line.startswith("would stop a build: ")]
    for way in ((), ("--prefect",)):
        built = here("build", *words, "--root", str(root), *way)
        assert (built.returncode, root.exists()) == (1, False)
        assert built.stderr.strip().splitlines()[-1] == f"voxdata build: {stop.removeprefix('would stop a build: ')}"
    for part in said:
        assert part in stop
