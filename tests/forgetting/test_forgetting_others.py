"""What others have said, and are called, outlives the forgetting of somebody: above all, that they opted out."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from tests.forgetting.building import Copy, build
from tests.run_command import run
from voxdata.people import merging, optouts, tombstones
from voxdata.people.pending import Forgetting
from voxdata.store import journal
from voxdata.store.root_tables import tables_of

PERSON, NAME = "id90003", "Geakeas_Fadro"
AT = "2026-11-21T09:00:00Z"


def forget(copy: Copy, capsys: pytest.CaptureFixture[str], who: str) -> str:
    status, out, _ = run(capsys, "forget", who, "--reason", "letter 12", "--root", copy.root, "--yes")
    assert status == 0
    return out


def facts(copy: Copy, table: str) -> list[dict[str, Any]]:
    """The facts of a table without their names."""
    return [{**fact, "fact": None} for fact in journal.read_new(copy.storage, table)]


def portraits(copy: Copy) -> set[str]:
    return {row[0] for row in copy.rows("SELECT DISTINCT identity FROM samples")}


def called_otherwise(copy: Copy, **folders: str) -> None:
    """Name the folders of people whom the metadata no longer know."""
    meta = copy.corpus / "vox1_meta.csv"
    meta.write_text("\n".join(line for line in meta.read_text().split("\n") if line[:7] not in folders))
    for identity, folder in folders.items():
        for kind in ("photos", "wav"):
            (copy.corpus / kind / identity).rename(copy.corpus / kind / folder)


def test_what_others_said_stays_without_the_name(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    at = {"at": AT, "fact": None}
    friend = "asked, as did her friend Geakeas_Fadro"
    optouts.state(copy.storage, "id90001", optouts.OPTED_OUT, reason=friend, at=AT)
    optouts.state(copy.storage, "id90004", optouts.OPTED_OUT, reason="letter 3", at=AT)
    optouts.state(copy.storage, PERSON, optouts.OPTED_OUT, reason="x", at=AT)
    optouts.state(copy.storage, "geakeas fadro", optouts.OPTED_OUT, reason="x", at=AT)
    merging.decide(copy.storage, "id90002", "id90004", merging.CONFIRMED, reason="not Geakeas Fadro", at=AT)
    merging.decide(copy.storage, "id90002", PERSON, merging.REFUSED, reason="x", at=AT)
    review = {"photo_sha256": "f" * 64, "decision": "reject", "reviewer": "r", "reason": NAME, "reviewed_at": AT}
    journal.append(copy.storage, "reviews", review)
    gone = Forgetting(person="x", identities=["x"], words=["x"], photos=[], contents=[], reason=f"with {NAME}", at=AT)
    tombstone = tombstones.state(copy.storage, gone)
    plan = run(capsys, "forget", PERSON, "--root", copy.root, "--dry-run")[1]
    assert "4 facts about others in the journal name them" in plan
    assert "4 facts about others in the journal named them: these stay without the words" in forget(
        copy, capsys, PERSON
    )
    mine = {"person": "id90001", "reason": None, "decision": "opted_out", **at}
    other = {"person": "id90004", "reason": "letter 3", "decision": "opted_out", **at}
    assert sorted(facts(copy, "optouts"), key=lambda fact: str(fact["person"])) == [mine, other]
    pair = {"identity": "id90002", "person": "id90004", "evidence": None, "decision": "confirmed", **at}
    assert facts(copy, "aliases") == [pair]
    assert [(fact["decision"], fact["reviewer"], fact["reason"]) for fact in facts(copy, "reviews")] == [
        ("reject", "r", None)
    ]
    reasons = {fact["person"]: fact["reason"] for fact in facts(copy, "tombstones")}
    assert (len(reasons), reasons[tombstone]) == (2, None)
    assert tombstones.Tombstones(copy.storage).holds("x")
    assert run(capsys, "verify", "--forgotten", "--root", copy.root)[0] == 0
    build(copy.corpus, copy.root)
    assert portraits(copy) == {"id90005"}


def test_a_name_that_is_a_common_word(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    called_otherwise(copy, id90003="Will")
    build(copy.corpus, copy.root)
    optouts.state(copy.storage, "id90001", optouts.OPTED_OUT, reason="he will not be used", at=AT)
    forget(copy, capsys, "Will")
    assert optouts.in_force(copy.storage) == {"id90001"}


def test_an_optout_by_name_holds_for_a_namesake(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    """Said ahead, by a name that two people turned out to bear: the one who stays has still opted out."""
    optouts.state(copy.storage, "geakeas fadro", optouts.OPTED_OUT, reason="x", at=AT)
    meta = copy.corpus / "vox1_meta.csv"
    other = next(line.split("\t")[1] for line in meta.read_text().split("\n") if line.startswith("id90004"))
    meta.write_text(meta.read_text().replace(other, NAME))
    build(copy.corpus, copy.root)
    status, _, said = run(capsys, "forget", PERSON, "--reason", "letter 12", "--root", copy.root, "--yes")
    assert (status, "left: " in said) == (1, True)  # the namesake's rows bear the name until the next build
    assert optouts.in_force(copy.storage) == {"id90004"}


@pytest.mark.long
def test_an_id_that_holds_the_name_is_somebody_else(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    called_otherwise(copy, id90003="Ann Lee", id90004="Ann Lee 2")
    build(copy.corpus, copy.root)
    optouts.state(copy.storage, "Ann Lee 2", optouts.OPTED_OUT, reason="letter 3", at=AT)
    optouts.state(copy.storage, "Ann Lee 3", optouts.OPTED_OUT, reason="letter 4, ahead", at=AT)
    places = "SELECT source_key FROM photos WHERE identity = 'Ann Lee 2' ORDER BY 1"
    before, said = copy.rows(places), facts(copy, "optouts")
    assert before
    assert all(place.startswith("Ann Lee 2/") for (place,) in before)
    forget(copy, capsys, "Ann Lee")
    assert copy.rows(places) == before
    assert facts(copy, "optouts") == said
    assert run(capsys, "verify", "--forgotten", "--root", copy.root)[0] == 0
    for kind in ("photos", "wav"):
        shutil.rmtree(copy.corpus / kind / "Ann Lee")
    build(copy.corpus, copy.root)
    assert copy.rows("SELECT DISTINCT identity FROM faces WHERE identity LIKE 'Ann%'") == [("Ann Lee 2",)]
    assert not any(each.startswith("Ann") for each in portraits(copy))
    assert run(capsys, "verify", "--forgotten", "--root", copy.root)[0] == 0


def test_a_former_name_still_names_them(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    """In the metadata of an earlier build: opted out by it, forgotten with it, and refused under it."""
    optouts.state(copy.storage, "geakeas fadro", optouts.OPTED_OUT, reason="x", at=AT)
    meta = copy.corpus / "vox1_meta.csv"
    meta.write_text(meta.read_text().replace(NAME, "Newname_Married"))
    build(copy.corpus, copy.root)
    assert copy.rows(f"SELECT name FROM identities WHERE identity = '{PERSON}'") == [("Newname_Married",)]
    assert optouts.hidden(copy.storage) >= {PERSON}
    assert PERSON not in portraits(copy)
    forget(copy, capsys, PERSON)
    tombstones_held = tombstones.Tombstones(copy.storage)
    assert [tombstones_held.holds(word) for word in (NAME, "newname married", "id90004")] == [True, True, False]
    called_otherwise(copy, id90003=NAME)
    for photo in (copy.corpus / "photos" / NAME).iterdir():
        photo.write_bytes(photo.read_bytes() + b"-")  # other bytes, so that only the name can tell
    build(copy.corpus, copy.root)
    assert copy.rows(f"SELECT count(*) FROM photos WHERE identity NOT LIKE 'id9000%' OR identity = '{PERSON}'") == [
        (0,)
    ]
    assert run(capsys, "verify", "--forgotten", "--root", copy.root)[0] == 0


def test_somebody_of_whom_only_parts_are_left(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    """Garbage was collected after they left the sources, and no log tells of them: their photos are still there."""
    called_otherwise(copy, id90003="gone")
    for kind in ("photos", "wav"):
        shutil.rmtree(copy.corpus / kind / "gone")
    build(copy.corpus, copy.root)
    assert run(capsys, "gc", "--older-than", "0", "--root", copy.root, "--yes")[0] == 0
    for kind in ("photos", "speech"):
        shutil.rmtree(copy.root / kind / "log", ignore_errors=True)
    held = [key for key, data in copy.files().items() if PERSON.encode() in data]
    assert any(key.endswith(".tar") for key in held)
    assert not [key for key in held if key in tables_of(copy.storage)]
    forget(copy, capsys, PERSON)
    assert not any(PERSON.encode() in data for data in copy.files().values())
    assert run(capsys, "verify", "--forgotten", "--root", copy.root)[0] == 0
