"""One person under two spellings: what opt-outs, tombstones and later builds of a root make of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from tests.forgetting.building import Copy, build, recipe_of
from tests.run_command import run
from voxdata.people import identities as identities_module
from voxdata.people import merging, optouts, tombstones
from voxdata.people.book import open_book
from voxdata.people.identities import Identity, IdentityBook, bucket_of
from voxdata.people.names import fold_name_as_before, nfc
from voxdata.people.pending import Forgetting
from voxdata.people.spelling import join_spellings
from voxdata.pipeline.steps import crawl
from voxdata.store.fragments import commit_table
from voxdata.store.storage import open_storage

NFC, NFD = "Jos\u00e9_Ru\u00edz", "Jose\u0301_Rui\u0301z"
AT = "2026-11-21T09:00:00Z"
BOTH = f"identity IN ('{NFC}', '{NFD}')"


def renamed(copy: Copy) -> Copy:
    """A person's photos under a decomposed name and the speech under the composed one, unknown to the metadata."""
    for kind, name in (("photos", NFD), ("wav", NFC)):
        (copy.corpus / kind / "id90003").rename(copy.corpus / kind / name)
    return copy


@pytest.fixture(scope="module")
def _old(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root as it was written when every spelling was an identity of its own."""
    folder = tmp_path_factory.mktemp("old")
    for name in ("corpus", "root"):
        shutil.copytree(built / name, folder / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(IdentityBook, "called", _called_before)
        patch.setattr(identities_module, "nfc", lambda name: name)
        build(renamed(Copy(root=folder / "root", corpus=folder / "corpus")).corpus, folder / "root", "speech.who=all")
    return folder


def _called_before(book: IdentityBook, word: str) -> list[str]:
    names = [item.identity for item in book.by_id.values() if item.name.casefold() == word.casefold()]
    return [word] if word in book.by_id else names


@pytest.fixture
def old(_old: Path, tmp_path: Path) -> Copy:
    for name in ("corpus", "root"):
        shutil.copytree(_old / name, tmp_path / name)
    return Copy(root=tmp_path / "root", corpus=tmp_path / "corpus")


def test_folders_in_nfd_and_nfc_become_one_person(copy: Copy) -> None:
    build(renamed(copy).corpus, copy.root)
    assert copy.rows(f"SELECT DISTINCT identity FROM photos WHERE {BOTH}") == [(NFC,)]
    kinds = copy.rows(f"SELECT DISTINCT kind FROM samples WHERE identity = '{NFC}' ORDER BY 1")
    assert kinds == [("faces",), ("speech",)]


@pytest.mark.long
def test_a_root_with_both_spellings_becomes_one_person_and_nothing_is_measured_again(old: Copy) -> None:
    assert people(old) == {NFC, NFD}
    measured = old.rows("SELECT count(*) FROM faces") + old.rows("SELECT count(*) FROM utterances")
    before = parts(old)
    build(old.corpus, old.root, "speech.who=all")
    assert people(old) == {NFC}
    assert old.rows("SELECT count(*) FROM faces") + old.rows("SELECT count(*) FROM utterances") == measured
    assert parts(old) == before
    assert len(old.rows(f"SELECT DISTINCT split FROM samples WHERE person = '{NFC}'")) == 1
    assert old.rows(f"SELECT DISTINCT bucket FROM photos WHERE {BOTH}") == [(bucket_of(NFC),)]


def parts(copy: Copy) -> set[str]:
    """What pixel stages and the crawl have committed."""
    return {key for key in copy.files() if key.count("/") == 4}


def people(copy: Copy) -> set[str]:
    return {row[0] for row in copy.rows(f"SELECT DISTINCT person FROM identities WHERE {BOTH}")}


@pytest.mark.parametrize("word", [NFC, NFD, "jose ruiz"])
def test_an_optout_in_any_spelling_reaches_both(old: Copy, capsys: pytest.CaptureFixture[str], word: str) -> None:
    status, out, _ = run(capsys, "optout", word, "--reason", "letter 3", "--root", old.root)
    assert (status, "one person with" in out) == (0, True)
    assert optouts.hidden(old.storage) >= {NFC, NFD}
    again = run(capsys, "optout", "JOSÉ-RUÍZ", "--withdraw", "--reason", "letter 4", "--root", old.root)
    assert again[0] == 0
    assert optouts.hidden(old.storage) == set()


@pytest.mark.parametrize("word", [NFC, NFD])
def test_forgetting_either_spelling_leaves_nothing_of_both(
    old: Copy, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    assert run(capsys, "forget", word, "--reason", "letter 12", "--yes", "--root", old.root)[0] == 0
    assert run(capsys, "verify", "--forgotten", "--root", old.root)[0] == 0
    assert not any(NFC.encode() in data or NFD.encode() in data for data in old.files().values())
    build(old.corpus, old.root, "speech.who=all")
    assert people(old) == set()


def test_a_refused_pair_stays_two_people(old: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--refuse", NFD, NFC, "--reason", "father and son"]
    assert run(capsys, "aliases", "--root", old.root, *words)[0] == 0
    crawl(open_storage(old.root), recipe_of(old.corpus, old.root))
    assert NFD not in merging.aliases_in_force(old.storage)
    status, _, err = run(capsys, "optout", "jose ruiz", "--reason", "x", "--root", old.root)
    assert (status, "is the name of 2 people" in err, NFC in err) == (1, True, True)


def test_an_optout_ahead_holds_for_every_later_spelling(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, _ = run(capsys, "optout", "jose ruiz", "--ahead", "--reason", "x", "--root", copy.root)
    assert status == 0
    build(renamed(copy).corpus, copy.root)
    assert copy.rows(f"SELECT DISTINCT reason FROM faces WHERE {BOTH} AND face_id IS NOT NULL") == [("opted_out",)]
    assert NFC in optouts.hidden(copy.storage)
    assert run(capsys, "optout", NFC, "--withdraw", "--reason", "y", "--root", copy.root)[0] == 0
    assert optouts.hidden(copy.storage) == set()


def test_ids_of_a_root_join_the_person_of_the_metadata(tmp_path: Path) -> None:
    """`Beyonce` was somebody else before; whose name two people bear, or who was given to somebody, stays apart."""
    storage = open_storage(str(tmp_path / "root"), create=True)
    meta = tmp_path / "meta.csv"
    rows = ("id1\tBeyoncé\tf", "id2\tMaria_Lopez\tf", "id3\tMaría_López\tf", "id4\tRené\tm")
    meta.write_text("\n".join(["VoxCeleb1 ID\tVGGFace1 ID\tGender", *rows]), encoding="utf-8")
    merging.decide(storage, "Rene", "id9", merging.CONFIRMED, reason="x", at=AT)
    ids = ["Beyonce", "maria-lopez", "Rene", "spk_1_2", "spk_12", "SPK12"]
    commit_table(storage, "identities", "old", pa.Table.from_pylist([{"identity": each, "name": None} for each in ids]))
    book = join_spellings(storage, open_book(storage, [meta]), (), at=AT)
    people = {each: book.person(each) for each in ids}
    assert people == {**{each: each for each in ids}, "Beyonce": "id1", "Rene": "id9", "spk_12": "SPK12"}
    assert (book.described("Beyonce").name, book.described("Beyonce").sex) == ("Beyoncé", "f")
    assert book.resolve("Beyonce").identity == "Beyonce"
    before = set(storage.keys("journal"))
    join_spellings(storage, open_book(storage, [meta]), (), at="2027-01-01T00:00:00Z")
    assert set(storage.keys("journal")) == before


@pytest.mark.parametrize("fold", [nfc, fold_name_as_before])
def test_tombstones_of_all_times_refuse_every_spelling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fold: object
) -> None:
    """Hashes of an earlier folding are found in the words that it folded alike."""
    storage = open_storage(str(tmp_path), create=True)
    words = ["Bj\u00f8rn_Jos\u00e9"]
    forgetting = Forgetting(person="id1", identities=["id1"], words=words, photos=[], contents=[], reason="", at=AT)
    with monkeypatch.context() as patch:
        if fold is fold_name_as_before:
            patch.setattr(tombstones, "fold_name", fold)
        tombstones.state(storage, forgetting)
    known = tombstones.Tombstones(storage)
    assert known.holds("BJ\u00d8RN JOSE\u0301")
    assert known.holds("bjorn jose") == (fold is not fold_name_as_before)
    book = IdentityBook(by_id={"id7": Identity(identity="id7", name=words[0])}, is_forgotten=known.holds)
    assert book.forgotten("bjorn-jose")
    assert not book.forgotten("bjorn")


@pytest.mark.parametrize("there", [True, False], ids=["in the root", "ahead"])
def test_words_that_are_not_utf_8_are_those_of_folders(
    copy: Copy, capsys: pytest.CaptureFixture[str], there: bool
) -> None:
    """As a shell hands over a name of a Windows-1252 list: whoever opts out by it does, and the root stays open."""
    word = os.fsdecode("Zo\u00eb_Ruiz".encode("cp1252"))
    if there:
        for kind in ("photos", "wav"):
            (copy.corpus / kind / "id90003").rename(copy.corpus / kind / word)
        build(copy.corpus, copy.root, "speech.who=all")
    ahead = [] if there else ["--ahead"]
    for command in (["optout", word, *ahead], ["forget", word, "--yes", *ahead]):
        status, said, _ = run(capsys, *command, "--reason", f"letter of {word[:3]}", "--root", copy.root)
        assert status == 0, said
    assert run(capsys, "verify", "--root", copy.root)[0] == 0
    build(copy.corpus, copy.root, "speech.who=all")
    assert copy.rows("SELECT count(*) FROM faces WHERE identity LIKE 'Zo%'") == [(0,)]
