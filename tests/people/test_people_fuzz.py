"""Metadata tables of anybody: people, or one line; and whatever words are called, nobody becomes somebody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from tests.mutations import WILD_TEXT, complaint, damaged, damaged_text, few
from voxdata.format.errors import IdentityError, SourceError
from voxdata.people.identities import IdentityBook, join_rows, load_book, read_metadata, safe_key
from voxdata.people.names import fold_name, fold_name_as_before, nfc, plain_name

VOX1 = (
    "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n"
    "id10001\tA.J._Buckley\tm\tIreland\tdev\nid10002\tZoë_Lee\tf\tUK\ttest\n"
)
VOX2 = (
    "Name ,VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set \n"
    'Ann_Lee ,id00012 ,n000012 ,f ,dev \n"Bo, Jr." ,id00013 ,n000013 ,m ,test \n'
)


def table(folder: Any, data: bytes) -> Path:
    path: Path = folder.mktemp("meta") / "meta.csv"
    path.write_bytes(data)
    return path


@few(150)
@given(
    data=st.sampled_from([VOX1, VOX2]).flatmap(
        lambda whole: (
            damaged(whole.encode())
            | damaged_text(whole).map(lambda text: text.encode("utf-8", "surrogatepass"))
            | damaged_text(whole).map(lambda text: text.encode("utf-16", "surrogatepass"))
        )
    )
)
@example(data=b"id,name\n,Ann\n,Bo\n")
@example(data=b'id,name\n\n\0,a\n"""\n')
@example(data=b"id," + b"," * 100_000 + b"\n1")
@example(data=b"i\x1b[2Jd\xe2\x80\xae,x\n1,2\n")
@example(data=b'id,name\n"' + b"a" * 200_000)
def test_any_table_is_read_or_refused_in_one_line(data: bytes, tmp_path_factory: Any) -> None:
    path = table(tmp_path_factory, data)

    def read() -> None:
        book = load_book([path])
        for identity, known in book.by_id.items():
            assert identity.strip()
            assert book.found(identity) == ("id", [identity])
            book.bucket(identity)
            safe_key(identity).encode("ascii")
            for name in known.names:
                assert identity in book.called(name) or name in book.by_id

    complaint(read, SourceError, names="meta.csv")


def test_a_row_without_an_id_is_nobodys(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("id,name\n,Ann\nid1,Bo\n,Cy\n,\n")
    rows = read_metadata(path)
    assert [(row.identity, row.name, row.row) for row in rows] == [("id1", "Bo", 1)]
    assert list(join_rows((str(path), row) for row in rows)) == ["id1"]


@few(150)
@given(
    st.lists(
        WILD_TEXT.filter(lambda text: text.isascii() or not any("\ud800" <= each <= "\udfff" for each in text)),
        max_size=6,
    )
)
def test_any_words_are_told_apart_or_refused(words: list[str]) -> None:
    book = IdentityBook()

    def admit() -> None:
        for word in words:
            known = book.admit(word)
            assert book.resolve(word) == known
            book.bucket(known.identity)
        for word in words:
            assert book.resolve(word).identity in {nfc(each) for each in words}

    complaint(admit, IdentityError)


@few(200)
@given(WILD_TEXT)
@example("a\u0301" * 20_000)
@example("\u0344" * 5_000)
@example("\ufdfa" * 5_000)
@example("1_" * 20_000)
def test_any_word_is_folded(word: str) -> None:
    def folded() -> None:
        fold_name(word)
        fold_name_as_before(word)
        plain_name(word)
        safe_key(word).encode("ascii")

    complaint(folded)
