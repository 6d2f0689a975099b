"""Opt-outs, aliases and dropped originals, as they act in the builds of a root."""

from __future__ import annotations

from contextlib import nullcontext

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.forgetting.building import Copy, build, recipe_of
from tests.forgetting.commands import forget
from tests.run_command import run
from voxdata.catalog.snapshot import latest, load_snapshot
from voxdata.format.errors import IdentityError, StorageError
from voxdata.people import merging, optouts
from voxdata.people.book import open_book
from voxdata.people.naming import known_people
from voxdata.people.pairs import pairs
from voxdata.pipeline import face_verdicts, linking, ranges
from voxdata.pipeline.steps import crawl
from voxdata.simulate.site import start_site
from voxdata.store.fragments import parquet_bytes, parquet_table
from voxdata.store.storage import LocalStorage, open_storage

PERSON, NAME = "id90005", "Tetifaith_Treadim"
AT = "2026-11-21T09:00:00Z"


def people(copy: Copy) -> set[str]:
    return {row[0] for row in copy.rows("SELECT DISTINCT identity FROM samples")}


def test_an_optout_leaves_the_next_version_and_can_be_taken_back(
    copy: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    before, everyone = latest(copy.storage), people(copy)
    status, out, _ = run(capsys, "optout", "tetifaith treadim", "--reason", "letter 3", "--root", copy.root)
    assert (status, f"{PERSON} ({NAME}) has opted out" in out) == (0, True)
    assert run(capsys, "optout", "--root", copy.root)[1] == f"{PERSON}\n"
    assert people(copy) == everyone  # versions never change
    build(copy.corpus, copy.root)
    assert people(copy) == everyone - {PERSON}
    reasons = copy.rows(f"SELECT DISTINCT reason FROM faces WHERE identity = '{PERSON}' AND face_id IS NOT NULL")
    assert reasons == [("opted_out",)]
    assert load_snapshot(copy.storage, before).counts != load_snapshot(copy.storage).counts
    taken_back = run(capsys, "optout", NAME, "--withdraw", "--reason", "letter 4", "--root", copy.root)
    assert taken_back[0] == 0
    assert build(copy.corpus, copy.root) == before
    assert people(copy) == everyone


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["Tetifaith_Traedim", "--reason", "x"], f"the nearest are {PERSON} ({NAME})"),
        ([PERSON], "--reason TEXT is needed"),
        ([PERSON, "--withdraw", "--reason", "x"], f"{PERSON} has not opted out"),
    ],
)
def test_mistaken_optouts(copy: Copy, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    status, _, err = run(capsys, "optout", *arguments, "--root", copy.root)
    assert (status, said in err, err.count("\n")) == (1, True, 1)
    assert optouts.in_force(copy.storage) == set()


def test_two_identities_that_are_one_person_are_built_as_one(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    """What was measured under two names counts for one: one split, and an opt-out of either is one of both."""
    words = ["--confirm", "id90003", PERSON, "--reason", "same voice"]
    assert run(capsys, "aliases", "--root", copy.root, *words)[0] == 0
    status, _, err = run(capsys, "aliases", "--root", copy.root, *words)
    assert (status, "are one person already" in err) == (1, True)
    build(copy.corpus, copy.root)
    both = f"identity IN ('id90003', '{PERSON}')"
    assert copy.rows(f"SELECT DISTINCT person FROM samples WHERE {both}") == [(PERSON,)]
    assert len(copy.rows(f"SELECT DISTINCT split FROM samples WHERE {both}")) == 1
    assert copy.rows(f"SELECT DISTINCT person FROM faces WHERE {both}") == [(PERSON,)]
    assert optouts.opted_out(copy.storage) == frozenset()
    optouts.state(copy.storage, "id90003", optouts.OPTED_OUT, reason="x", at=AT)
    assert optouts.opted_out(copy.storage) == {"id90003", PERSON}
    refused = ["--refuse", "id90003", PERSON, "--reason", "no"]
    assert run(capsys, "aliases", "--root", copy.root, *refused)[0] == 0
    assert merging.aliases_in_force(copy.storage).get("id90003") is None


@pytest.mark.long
def test_originals_can_be_dropped_and_fetched_again(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    photos = copy.rows("SELECT count(DISTINCT item_id) FROM photos")[0][0]
    before, files = latest(copy.storage), copy.files()
    original = next((copy.corpus / "photos" / "id90003").iterdir()).read_bytes()
    assert any(original in content for content in files.values())
    assert f"{photos} originals in" in run(capsys, "originals", "status", "--root", copy.root)[1]
    for words, expected in (([], 1), (["--dry-run"], 0)):
        status, out, err = run(capsys, "originals", "drop", "--root", copy.root, *words)
        assert (status, f"the bytes of {photos} originals would be deleted" in out) == (expected, True)
        assert ("add --yes" in err) == (not words)
    assert copy.files() == files
    status, out, _ = run(capsys, "originals", "drop", "--root", copy.root, "--yes")
    assert (status, f"{photos} originals are dropped" in out, f"{photos} as hashes only" in out) == (0, True, True)
    assert not any(original in content for content in copy.files().values())
    assert {key for key in files if key not in copy.files()} == {
        key for key in files if key.startswith("photos/originals/") and key.endswith(".tar")
    }
    assert run(capsys, "verify", "--root", copy.root)[0] == 0
    assert build(copy.corpus, copy.root) == before
    assert not list((copy.root / "photos").rglob("*.tar"))
    page = copy.root.parent / "report.html"
    assert run(capsys, "report", "--root", copy.root, "--out", page)[0] == 0
    assert page.exists()
    with pytest.raises(StorageError, match="voxdata originals restore"):
        build(copy.corpus, copy.root, "faces.render.size_px=64")
    assert run(capsys, "originals", "restore", "--root", copy.root, "--yes")[0] == 0
    assert build(copy.corpus, copy.root) == before
    assert f"{photos} originals in" in run(capsys, "originals", "status", "--root", copy.root)[1]
    assert any(original in content for content in copy.files().values())


def test_photos_that_no_version_has_looked_at_are_not_dropped(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    new = copy.corpus / "photos" / "newcomer"
    new.mkdir()
    (new / "1.jpg").write_bytes(b"not a photo, and not published")
    crawl(copy.storage, recipe_of(copy.corpus, copy.root))
    status, out, _ = run(capsys, "originals", "drop", "--root", copy.root, "--yes")
    assert (status, "1 originals in" in out, "1 stay" in out) == (0, True, True)


def test_originals_of_a_root_without_a_version_stay(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "originals", "drop", "--root", tmp_path)
    assert (status, "nothing is published" in err) == (1, True)


META = """VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet
id00001\tMaria_Lopez\tf\tSpain\tdev
id00002\tMaría_López\tf\tunknown\tdev
id00003\tCatherine_Jones\tf\tUSA\tdev
id00004\tKatherine_Jones\tf\tUSA\tdev
id00005\tMaria_Lopez\tm\tSpain\tdev
"""


def test_candidates_are_listed_until_they_are_decided(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    """Names alike after folding or one letter apart, of one sex; the last word about a pair counts."""
    storage = open_storage(f"{tmp_path}/root", create=True)
    metadata = f"{tmp_path}/meta.csv"
    with open(metadata, "w", encoding="utf-8") as file:
        file.write(META)
    common = ["aliases", "--root", storage.url, "--metadata", metadata]
    status, out, _ = run(capsys, *common)
    assert (status, "2 of 2 pairs are not decided" in out) == (0, True)
    assert [line.split()[:2] for line in out.splitlines()[2:4]] == [["id00002", "id00001"], ["id00004", "id00003"]]
    assert run(capsys, *common, "--confirm", "id00002", "id00001", "--reason", "same films")[0] == 0
    assert run(capsys, *common, "--refuse", "katherine jones", "id00003", "--reason", "two singers")[0] == 0
    status, out, _ = run(capsys, *common)
    assert (status, out) == (0, "0 of 2 pairs are not decided; all of them: --all\n")
    known = known_people(storage, open_book(storage, [metadata]))
    decided = {pair.candidate.identity: (pair.candidate.decision, pair.origin) for pair in pairs(storage, known)}
    assert decided == {"id00002": ("confirmed", "journal"), "id00004": ("refused", "journal")}
    assert merging.aliases_in_force(storage)["id00002"] == "id00001"
    merging.decide(storage, "id00002", "id00001", merging.REFUSED, reason="not so", at="2099-01-01T00:00:00Z")
    decided = {pair.candidate.identity: pair.candidate.decision for pair in pairs(storage, known)}
    assert decided == {"id00002": "refused", "id00004": "refused"}
    for words, said in (
        (["--confirm", "id00002", "id00002", "--reason", "x"], "are the same identity"),
        (["--confirm", "id00002", "Kathrine Jons", "--reason", "x"], "the nearest are id0000"),
        (["--confirm", "id00002", "id00003"], "--reason TEXT is needed"),
    ):
        status, _, err = run(capsys, *common, *words)
        assert (status, said in err) == (1, True)


def test_chains_and_circles_of_aliases_have_one_end(tmp_path: object) -> None:
    storage = open_storage(f"{tmp_path}/root", create=True)
    assert isinstance(storage, LocalStorage)
    merging.decide(storage, "c", "b", merging.CONFIRMED, reason="x", at="2026-01-01T00:00:00Z")
    merging.decide(storage, "b", "a", merging.CONFIRMED, reason="x", at="2026-01-02T00:00:00Z")
    aliases = merging.aliases_in_force(storage)
    assert (aliases["b"], aliases["c"]) == ("a", "a")
    with pytest.raises(IdentityError, match="one person already"):
        merging.decide(storage, "a", "c", merging.CONFIRMED, reason="x", at="2026-01-03T00:00:00Z")


def test_a_site_is_crawled_without_forgotten_people(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    """Their pages leave the log of what was asked for, and are not asked for again."""
    root = copy.root.parent / "crawled"
    with start_site(copy.corpus) as site:
        place = ("sources.photos.kind=site", f"sources.photos.url={site.url}", "crawl.delay_s=0")
        recipe, storage = recipe_of(copy.corpus, root, *place), open_storage(root, create=True)
        before = parquet_table(storage.read(crawl(storage, recipe)))
        assert PERSON in before["identity"].to_pylist()
        common = ["--reason", "x", "--root", root, "--metadata", copy.corpus / "vox1_meta.csv"]
        assert run(capsys, "forget", PERSON, *common, "--yes")[0] == 0
        assert run(capsys, "verify", "--forgotten", "--root", root)[0] == 0
        after = parquet_table(storage.read(crawl(storage, recipe)))
    assert after["identity"].to_pylist() == [each for each in before["identity"].to_pylist() if each != PERSON]
    assert run(capsys, "verify", "--forgotten", "--root", root)[0] == 0


def test_what_a_killed_build_laid_aside_is_forgotten(
    copy: Copy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prints are biometric, wherever they lie, and rows of others tell whose photos theirs are like, and whom reviewers
    saw in them; `deleted` is what a kill leaves out."""
    monkeypatch.setattr(ranges, "FEW", 0)
    for module in (linking, face_verdicts):
        monkeypatch.setattr(module, "deleted", lambda *_: nullcontext())
    for stage in ("faces.link", "faces.decide"):
        copy.storage.delete_all(copy.storage.keys(f"fragments/{stage}"))
    build(copy.corpus, copy.root)

    def people_aside() -> set[str]:
        tables = [parquet_table(copy.storage.read(key)) for key in copy.storage.keys("fragments/faces.look")]
        faces = {face for table in tables for face in table["face_id"].to_pylist() if face}
        assert {"face_print", "keep", "verdict", "nod_deg"} <= {name for table in tables for name in table.column_names}
        return {face.partition("/")[0] for face in faces}

    assert PERSON in people_aside()
    for key in copy.storage.keys("fragments/faces.look"):
        table = parquet_table(copy.storage.read(key))
        if "photo" not in table.column_names:
            continue
        of = pc.equal(table["person"], PERSON)
        theirs, others = (set(table.filter(each)["photo_cluster"].to_pylist()) for each in (of, pc.invert(of)))
        whose = [max(theirs - others)] * table.num_rows  # all others' photos are copies of theirs
        place = table.schema.get_field_index("photo_cluster")
        copy.storage.commit(key, parquet_bytes(table.set_column(place, "photo_cluster", pa.array(whose))))
    assert forget(copy, capsys, PERSON)[0] == 0
    assert copy.storage.keys("fragments/faces.look") == []
    assert run(capsys, "verify", "--forgotten", "--root", copy.root)[0] == 0
