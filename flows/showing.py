"""What is known of one person, photo, face, clip or run, with its picture. Who opted out is not shown."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from flows.registry import listing, named_run
from models.training.checkpoint import checkpoints, read_run_config
from voxdata.catalog.database import CATALOG_KEY, UNPUBLISHED_CATALOG_KEY
from voxdata.catalog.query import open_readonly
from voxdata.catalog.snapshot import load_snapshot
from voxdata.catalog.unpublished import UNPUBLISHED
from voxdata.catalog.withheld import hidden_in
from voxdata.forgetting.outputs import known
from voxdata.format.errors import IdentityError, SourceError, StorageError, brief
from voxdata.format.json_text import read_object
from voxdata.format.members import MemberIndex
from voxdata.format.reader import Reader
from voxdata.pages.report.facts import hidden_people
from voxdata.pages.review.pictures import Pictures
from voxdata.pages.review.sheets import Person, Row, Sheets
from voxdata.people.names import fold_name
from voxdata.people.roll_call import near
from voxdata.store.storage import Storage

GENERATED = "generated faces are plausible ones; they show no real person and identify nobody"
SHEET = 8  # portraits of a person side by side
MEL_HEIGHT_PX = 160


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Facts by name; the picture, or why there is none; what a file of it is an output of (`forgetting/outputs.py`)."""

    facts: Mapping[str, Any]
    picture: Image.Image | None
    says: str
    snapshot: str
    generated: bool = False


def show(storage: Storage, kind: str, name: str, model: str | None = None, *, unpublished: bool = False) -> Shown:
    """A photo is named by its sha256 or its first digits, a face and a clip by their keys.

    With `unpublished`, of what a build without a version has left. Raises `IdentityError` for a person, `SourceError`
    for what is not there or is not shown, `ModelError` for a run.
    """
    if kind == "run":
        return _run(storage, name, model)
    if kind == "clip":
        return _clip(storage, name, unpublished)
    with closing(Sheets(storage, unpublished=unpublished)) as sheets:
        pictures = Pictures(storage)
        if kind == "person":
            return _person(storage, sheets, pictures, name)
        row = sheets.face(name if kind == "face" else _of_photo(storage, sheets, name, unpublished))
        if row is None:
            raise _unknown(storage, kind, name)
        made = pictures.photo(row) if kind == "photo" else _portrait(sheets, pictures, row) or pictures.crop(row)
        says = "the photo, with the face outlined" if kind == "photo" else "the portrait, or the face in its photo"
        return Shown(
            facts={name: value for name, value in row.items() if value is not None and name != "key"},
            picture=None if made is None else _opened(made[0]),
            says=says if made is not None else "no picture: the original cannot be read; see: voxdata originals status",
            snapshot=sheets.snapshot.id,
        )


def _person(storage: Storage, sheets: Sheets, pictures: Pictures, name: str) -> Shown:
    person = _meant(storage, sheets, name)
    rows = sheets.faces(person.person)
    portraits = [data for row in rows if row["portrait"] and (data := _portrait(sheets, pictures, row))][:SHEET]
    outcomes: dict[str, int] = {}
    for row in rows:
        outcome = "portrait" if row["portrait"] else row["reason"] or row["verdict"]
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    facts = {
        "person": person.person,
        "identities": list(person.identities),
        "names": list(person.names),
        "photos": person.photos,
        "faces": person.faces,
        "portraits": person.portraits,
        "outcomes": outcomes,
        "keys": [row["face_id"] for row in rows if row["portrait"]],
    }
    says = (
        f"{len(portraits)} of {person.portraits} portraits" if portraits else "no picture: nobody's portrait is there"
    )
    picture = _side_by_side([_opened(data) for data, _ in portraits]) if portraits else None
    return Shown(facts=facts, picture=picture, says=says, snapshot=sheets.snapshot.id)


def _meant(storage: Storage, sheets: Sheets, name: str) -> Person:
    if name in sheets.person_of:
        return sheets.people[sheets.person_of[name]]
    like = sheets.search(name)
    same = [each for each in like if fold_name(name) in map(fold_name, (each.person, *each.identities, *each.names))]
    found = same or like
    if len(found) == 1:
        return found[0]
    if found:
        some = ", ".join(each.person for each in found[:9])
        raise IdentityError(f"{name} may be {len(found)} people: {some}{', …' if len(found) > 9 else ''}; give an id")
    # Only whom the sheets hold is proposed, so that a name like that of somebody who opted out gives nobody away.
    meant = near(name, _proposed(sheets.people.values()))
    hint = f"the nearest are {', '.join(meant)}; " if meant else ""
    raise IdentityError(
        f"there is nobody called {brief(name)} in this dataset who may be shown (people who opted out may not); {hint}"
        f'who there is: voxdata sql "from identity_summary" --root {storage.url}'
    )


def _proposed(people: Iterable[Person]) -> dict[str, str]:
    """Folded id or name -> how its person is proposed."""
    found: dict[str, str] = {}
    for each in people:
        said = f"{each.person} ({', '.join(each.names)})" if each.names else each.person
        found |= {fold_name(word): said for word in (each.person, *each.identities, *each.names)}
    found.pop("", None)
    return found


def _portrait(sheets: Sheets, pictures: Pictures, row: Row) -> tuple[bytes, str] | None:
    return pictures.portrait(row, sheets.render_parts)


def _of_photo(storage: Storage, sheets: Sheets, name: str, left: bool) -> str:
    """The largest face of the photo, or the photo itself. Raises `SourceError`."""
    with open_readonly(storage, UNPUBLISHED_CATALOG_KEY if left else CATALOG_KEY) as connection:
        rows = connection.execute(
            "SELECT coalesce(face_id, item_id), person FROM faces "
            "WHERE starts_with(photo_sha256, $name) OR item_id = $name OR face_id = $name ORDER BY face_number",
            {"name": name},
        ).fetchall()
    keys = [key for key, person in rows if person in sheets.people]
    if len(name) < 8 or not keys:
        raise _unknown(storage, "photo", name)
    return str(keys[0])


def _clip(storage: Storage, key: str, left: bool) -> Shown:
    with open_readonly(storage, UNPUBLISHED_CATALOG_KEY if left else CATALOG_KEY) as connection:
        sql = "SELECT u.*, about.snapshot_id FROM utterances u, about WHERE utterance_id = ?"
        found = connection.sql(sql, params=[key]).to_arrow_table().to_pylist()
    hidden = set(hidden_people(storage))
    rows = [row for row in found if not hidden & {row["person"], row["identity"]} and row["reason"] != "opted_out"]
    if not rows:
        raise _unknown(storage, "clip", key)
    row = sorted(rows, key=lambda each: each["verdict"])[0]
    mel = _mel(storage, row) if row["verdict"] == "keep" else None
    return Shown(
        facts={name: value for name, value in row.items() if value not in (None, []) and name != "snapshot_id"},
        picture=mel,
        says="its log-mel, low notes below"
        if mel is not None
        else "no picture: only kept clips have log-mels in shards",
        snapshot=row["snapshot_id"] or UNPUBLISHED,
    )


def _mel(storage: Storage, row: Row) -> Image.Image | None:
    snapshot = load_snapshot(storage, row["snapshot_id"])
    name = next(iter(snapshot.front_ends), None)
    if name is None:
        return None
    with closing(MemberIndex(Reader(storage, snapshot).files, snapshot.shards)) as index:
        mel_FT = np.load(io.BytesIO(index.read(row["utterance_id"], f"{name}.npy"))).astype(np.float32)
    low, high = np.quantile(mel_FT, (0.01, 0.99))
    levels = np.clip((mel_FT - low) / max(high - low, 1e-6), 0, 1)
    picture = Image.fromarray((levels[::-1] * 255).astype(np.uint8))
    return picture.resize((picture.width, MEL_HEIGHT_PX), Image.Resampling.NEAREST).convert("RGB")


def _run(storage: Storage, name: str, model: str | None) -> Shown:
    folder = named_run(storage, name, model)
    config = read_run_config(folder)
    (row,) = [each for each in listing(storage).to_pylist() if each["run"] == folder.name] or [{"run": folder.name}]
    last = checkpoints(folder)
    facts = {
        **{key: value for key, value in row.items() if value is not None},
        "folder": str(folder),
        "step": int(last[-1].stem.partition("-")[2]) if last else None,
        "settings": read_object(json.dumps(config["run"], default=str)),
        "note": GENERATED,
    }
    sheets = sorted((folder / "samples").glob("*.png"))
    version = load_snapshot(storage, config["snapshot"])
    picture, says = None, "no picture: the run has no samples"
    if hidden_in(storage, version.shards):
        says = "no picture: somebody whom the run has seen opted out since, and samples show people of its training"
    elif sheets:
        picture, says = _opened(sheets[-1].read_bytes()), f"real portraits above, generated faces below; {GENERATED}"
    return Shown(facts=facts, picture=picture, says=says, snapshot=version.id, generated=True)


def _unknown(storage: Storage, kind: str, name: str) -> SourceError:
    table, column = {"photo": ("photos", "photo_sha256"), "face": ("faces", "face_id")}.get(
        kind, ("utterances", "utterance_id")
    )
    return SourceError(
        f"{kind} {name}: there is none under {storage.url} that may be shown; some: "
        f'voxdata sql "select {column} from {table} limit 9" --root {storage.url}'
    )


def _opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def _side_by_side(pictures: list[Image.Image]) -> Image.Image:
    side = max(each.height for each in pictures)
    sheet = Image.new("RGB", (side * len(pictures), side), "white")
    for place, each in enumerate(pictures):
        sheet.paste(each, (place * side, 0))
    return sheet


def png(picture: Image.Image) -> bytes:
    """The picture as the bytes of a PNG file."""
    sink = io.BytesIO()
    picture.save(sink, "PNG")
    return sink.getvalue()


def default_file(storage: Storage, kind: str, name: str) -> Path:
    """Where a picture goes that the terminal cannot show; a file of others is left as it is. Raises `StorageError`."""
    place = Path(f"{kind}-{re.sub('[^A-Za-z0-9._-]+', '-', name)[:100]}.png")
    if place.exists() and str(place.resolve()) not in {each.path for each in known(storage)}:
        raise StorageError(f"{place} is there and was not written from {storage.url}; name another file with --out")
    return place
