from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxdata.errors import SourceError
from voxdata.identities import BUCKETS, bucket_of, load_book, read_metadata, safe_key

VOX1 = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\nid10001\tA.J._Buckley\tm\tIreland\tdev\n"
VOX2 = "Name ,VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set \nAaron_Ashmore ,id00012 ,n000012 ,m ,dev \n"


def test_both_published_layouts_are_read(tmp_path: Path) -> None:
    (tmp_path / "vox1.csv").write_text(VOX1)
    (tmp_path / "vox2.csv").write_text(VOX2)
    book = load_book([tmp_path / "vox1.csv", tmp_path / "vox2.csv"])
    one, two = book.resolve("A.J._Buckley"), book.resolve("id00012")
    assert (one.identity, one.sex, one.nationality, one.row) == ("id10001", "m", "Ireland", 0)
    assert (two.name, two.sex, two.nationality, two.published_set) == ("Aaron_Ashmore", "m", "unknown", "dev")
    assert book.resolve("nobody").identity == "nobody"


def test_aliases_put_one_person_in_one_bucket(tmp_path: Path) -> None:
    book = load_book([])
    assert book.person("id03347") == book.person("id10362") == "id10362"
    assert book.bucket("id03347") == book.bucket("id10362")


@pytest.mark.parametrize("text", ["", "who,what\n1,2\n", "\x00\xff"])
def test_a_table_without_an_id_column_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "meta.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(SourceError, match=r"meta\.csv"):
        read_metadata(tmp_path / "meta.csv")


@given(st.text(min_size=1))
def test_safe_keys_have_no_dot_and_no_separator(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]+", safe_key(name))


@given(st.sets(st.text("ab._ Jré", min_size=1, max_size=8), min_size=2, max_size=20))
def test_safe_keys_stay_different(names: set[str]) -> None:
    assert len({safe_key(name) for name in names}) == len(names)


@given(st.text())
def test_buckets_are_in_range(person: str) -> None:
    assert 0 <= bucket_of(person) < BUCKETS


def test_real_metadata(shared_data: Path) -> None:
    book = load_book([shared_data / "meta" / "vox1_meta.csv", shared_data / "meta" / "vox2_meta.csv"])
    assert len(book.by_id) == 1251 + 6114
    assert {identity.sex for identity in book.by_id.values()} == {"m", "f"}
    with (shared_data / "voxceleb1-mini" / "vox1_meta.csv").open() as file:
        names = {row["VGGFace1 ID"]: row["VoxCeleb1 ID"] for row in csv.DictReader(file, delimiter="\t")}
    assert {name: book.resolve(name).identity for name in names} == names
