"""Folders of finished portraits and log-mels, as other projects lay them out.

    hq-voxceleb   vox1|vox2/masked_faces|origin_faces/<Name>/*.jpg
                  vox1|vox2/mel_spectrograms/<Name>/<id>_<video>_<segment>.pickle      (40 bands, T frames)
    voice2face    VGG_ALL_FRONTAL/<Name>/*.jpg
                  fbank/<id>/<video>/<segment>.npy                                     (64 bands in either order)

Only people with both are taken. A folder's name is an identity by the metadata tables; where these do not know it, by
the id that the files of `hq-voxceleb` are named after; else it is an identity of its own. Folders that spell one name
in two ways are one person's (`voxdata/people/identities.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from voxdata.format.errors import SourceError
from voxdata.people.identities import Identity, IdentityBook
from voxdata.people.names import nfc
from voxdata.sources.folder import SourceFile, walk_files

Layout = Literal["hq-voxceleb", "voice2face"]
RawLayout = Literal["lfw", "avspeech"]  # import_sources.py
Faces = Literal["masked", "origin"]

FRONT_ENDS: dict[str, str] = {"hq-voxceleb": "psf40", "voice2face": "sphinx64"}
PORTRAIT_SUFFIXES = (".jpg", ".jpeg", ".webp", ".png")  # a .png is looked at, and said not to fit
LISTS = ("vox1", "vox2")
METADATA = ("vox1_meta.csv", "vox2_meta.csv", "full_vox2_meta.csv")
_OF_LIST = {"vox1": "id1", "vox2": "id0"}  # VoxCeleb1's ids begin at id10001, VoxCeleb2's end before
_CLIP = re.compile(r"(id\d{5})_(.+)_([^_]+)")


@dataclass(frozen=True, kw_only=True)
class MelFile:
    """A file of one log-mel, and which clip it was made of."""

    file: SourceFile
    video: str
    segment: str


@dataclass(frozen=True, kw_only=True)
class Person:
    """One identity of a layout; `folders` are the names that it goes by there."""

    identity: Identity
    folders: Sequence[str]
    portraits: Sequence[SourceFile]
    mels: Sequence[MelFile]


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a layout holds; `unpaired` are folders of people without portraits or without log-mels."""

    people: Sequence[Person]
    unpaired: Sequence[str]


def find_metadata(folder: str) -> list[str]:
    """Metadata tables that lie in the layout itself, where the published code expects them."""
    places = [Path(folder), *(Path(folder) / name for name in LISTS)]
    return [str(place / name) for place in places for name in METADATA if (place / name).is_file()]


def find_people(layout: Layout, folder: str, book: IdentityBook, faces: Faces = "masked") -> Found:
    """The people of a layout, sorted by identity. Raises `SourceError` where the folder is not laid out so."""
    found = _hq_voxceleb(folder, book, faces) if layout == "hq-voxceleb" else _voice2face(folder, book)
    if not found.people:
        raise SourceError(f"{folder} has the folders of {layout}, but nobody with both portraits and log-mels")
    return found


def _hq_voxceleb(folder: str, book: IdentityBook, faces: Faces) -> Found:
    lists = [name for name in LISTS if (Path(folder) / name / "mel_spectrograms").is_dir()]
    if not lists:
        raise SourceError(
            f"{folder} holds neither vox1/mel_spectrograms nor vox2/mel_spectrograms; give the folder above vox1 and "
            "vox2, in which each has masked_faces (or origin_faces) and mel_spectrograms"
        )
    people: list[Person] = []
    unpaired: list[str] = []
    for name in lists:
        below = f"{folder}/{name}"
        if not Path(f"{below}/{faces}_faces").is_dir():
            other = "origin" if faces == "masked" else "masked"
            raise SourceError(f"{below} holds no {faces}_faces; for the portraits of {other}_faces: --faces {other}")
        portraits = _by_person(walk_files(f"{below}/{faces}_faces", PORTRAIT_SUFFIXES, "import"), name, faces, book)
        mels = _by_person(walk_files(f"{below}/mel_spectrograms", [".pickle", ".pkl"], "import"), name, "mel", book)
        for who in sorted(set(portraits) | set(mels)):
            folders = _folders(portraits.get(who, []), mels.get(who, []))
            if who not in portraits or who not in mels:
                unpaired.append(f"{name}/{folders[0]}")
                continue
            clips = [_clip(file) for file in mels[who]]
            identity = _identity(folders[0], [file.key for file in mels[who]], book, _OF_LIST[name])
            people.append(Person(identity=identity, folders=folders, portraits=portraits[who], mels=clips))
    return Found(people=_merged(people), unpaired=unpaired)


def _voice2face(folder: str, book: IdentityBook) -> Found:
    missing = [name for name in ("VGG_ALL_FRONTAL", "fbank") if not (Path(folder) / name).is_dir()]
    if missing:
        raise SourceError(f"{folder} holds no {missing[0]}; give the folder that has VGG_ALL_FRONTAL and fbank")
    if not book.by_id:
        raise SourceError(
            "voice2face names photos after people and speech after ids; say who is who with --metadata vox1_meta.csv"
        )
    photos = walk_files(f"{folder}/VGG_ALL_FRONTAL", PORTRAIT_SUFFIXES, "import")
    portraits = _by_person(photos, "", "VGG_ALL_FRONTAL", book)
    mels = _by_person(walk_files(f"{folder}/fbank", [".npy"], "import"), "", "fbank", book)
    people: list[Person] = []
    seen: set[str] = set()
    unpaired: list[str] = []
    for who in sorted(portraits):
        folders = _folders(portraits[who])
        identity = book.admit(folders[0])
        clips = mels.get(identity.identity, [])
        seen.add(identity.identity)
        if clips:
            named = [_clip_of_path(file) for file in clips]
            people.append(Person(identity=identity, folders=folders, portraits=portraits[who], mels=named))
        else:
            unpaired.append(f"VGG_ALL_FRONTAL/{folders[0]}")
    unpaired += [f"fbank/{_folders(mels[name])[0]}" for name in sorted(set(mels) - seen)]
    return Found(people=_merged(people), unpaired=unpaired)


def _by_person(files: Iterable[SourceFile], above: str, kind: str, book: IdentityBook) -> dict[str, list[SourceFile]]:
    """Whom the first folder stands for -> the files, sorted; their keys gain the folders above.

    A folder that several people are called by stands for itself: the files in it may name an id.
    """
    place = {"mel": "mel_spectrograms", "masked": "masked_faces", "origin": "origin_faces"}.get(kind, kind)
    prefix = f"{above}/{place}" if above else place
    found: dict[str, list[SourceFile]] = {}
    for file in sorted(files, key=lambda file: file.key):
        if "/" in file.key:
            people = {book.person(each) for each in book.called(file.folder)}
            who = nfc(file.folder) if len(people) > 1 else book.admit(file.folder).identity
            found.setdefault(who, []).append(replace(file, key=f"{prefix}/{file.key}"))
    return found


def _folders(*files: Sequence[SourceFile]) -> list[str]:
    """The names of the folders that the files lie in."""
    return list(dict.fromkeys(file.folder for each in files for file in each))


def _identity(folder: str, keys: Sequence[str], book: IdentityBook, prefix: str) -> Identity:
    """A person of both lists has one name and two ids: the list's own comes first."""
    own = [each for each in book.called(folder) if each.startswith(prefix)]
    if len(own) == 1:
        return book.resolve(own[0])
    named = {match[1] for key in keys if (match := _CLIP.match(key.rpartition("/")[2]))}
    if len(named) == 1:
        identity = named.pop()
        return book.by_id.get(identity) or Identity(identity=identity, name=nfc(folder))
    return book.admit(folder)


def _clip(file: SourceFile) -> MelFile:
    stem = file.key.rpartition("/")[2].rpartition(".")[0]
    match = _CLIP.fullmatch(stem)
    return MelFile(file=file, video=match[2] if match else "", segment=match[3] if match else stem)


def _clip_of_path(file: SourceFile) -> MelFile:
    inner = file.key.split("/")[2:]
    return MelFile(file=file, video="/".join(inner[:-1]), segment=inner[-1].rpartition(".")[0])


def _merged(people: Iterable[Person]) -> list[Person]:
    """One entry per identity."""
    merged: dict[str, Person] = {}
    for person in people:
        before = merged.get(person.identity.identity)
        merged[person.identity.identity] = (
            person
            if before is None
            else replace(
                before,
                folders=[*before.folders, *person.folders],
                portraits=[*before.portraits, *person.portraits],
                mels=[*before.mels, *person.mels],
            )
        )
    return [merged[identity] for identity in sorted(merged)]
