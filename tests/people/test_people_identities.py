from __future__ import annotations

import csv
import re
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxdata.format.errors import IdentityError, SourceError
from voxdata.people.identities import BUCKETS, Identity, IdentityBook, bucket_of, load_book, read_metadata, safe_key
from voxdata.people.names import fold_name

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


def test_vggface2_ids_name_people_where_the_table_has_no_names(tmp_path: Path) -> None:
    (tmp_path / "official.csv").write_text(VOX2.replace("Name ,", "").replace("Aaron_Ashmore ,", ""))
    (tmp_path / "named.csv").write_text(VOX2)
    for name, called in (("official.csv", ""), ("named.csv", "Aaron_Ashmore")):
        found = load_book([tmp_path / name]).resolve("n000012")
        assert (found.identity, found.name, found.sex) == ("id00012", called, "m")
    forgotten = replace(load_book([tmp_path / "official.csv"]), is_forgotten=lambda *words: "id00012" in words)
    assert forgotten.forgotten("n000012")


QUOTES = ['"Weird_Al"_Yankovic', '"Weird', 'Al"', "'t_Hooft", 'D"Angelo']


@pytest.mark.parametrize("name", QUOTES)
def test_a_quote_in_a_published_table_is_a_letter_and_takes_no_other_row_along(tmp_path: Path, name: str) -> None:
    (tmp_path / "vox1.csv").write_text(f"{VOX1}id10002\t{name}\tf\tUK\tdev\nid10003\tLast\tf\tUK\ttest\n")
    (tmp_path / "vox2.csv").write_text(f"{VOX2}{name} ,id00013 ,n000013 ,f ,dev \nLast ,id00014 ,n000014 ,f ,test \n")
    for table, ids in (
        ("vox1.csv", ["id10001", "id10002", "id10003"]),
        ("vox2.csv", ["id00012", "id00013", "id00014"]),
    ):
        found = read_metadata(tmp_path / table)
        assert [(each.identity, each.row) for each in found] == [(each, row) for row, each in enumerate(ids)]
        assert (found[1].name, found[1].sex, found[2].name, found[2].published_set) == (name, "f", "Last", "test")


def test_a_table_that_is_quoted_is_read_as_such(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text('"id","name","sex"\n"a1","Doe, Jane",f\n"a2","Jim ""J"" Roe", "m"\n')
    found = [(each.identity, each.name, each.sex) for each in read_metadata(tmp_path / "mine.csv")]
    assert found == [("a1", "Doe, Jane", "f"), ("a2", 'Jim "J" Roe', "m")]


def test_blanks_after_a_quoted_cell_and_line_breaks_in_it_make_no_other_ids(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(
        'name ,id ,nationality \n"Smith, John" ,a1 ,"Korea,\nSouth" \n"Ann\nLee",a2,UK\n'
    )
    found = [(each.identity, each.name, each.row) for each in read_metadata(tmp_path / "mine.csv")]
    assert found == [("a1", "Smith, John", 0), ("a2", "Ann Lee", 1)]


@given(st.lists(st.text(st.characters(exclude_categories=("Cc", "Zs", "Cs", "Zl", "Zp")), min_size=1), max_size=5))
def test_no_name_of_a_table_loses_a_row(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    table = tmp_path_factory.mktemp("table") / "vox1.csv"
    rows = [f"id{number}\t{name}\tm\tUK\tdev\n" for number, name in enumerate(names)]
    table.write_text("VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n" + "".join(rows), encoding="utf-8")
    assert [each.identity for each in read_metadata(table)] == [f"id{number}" for number in range(len(names))]


def test_a_folder_in_place_of_a_table_is_answered_with_the_tables_in_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"is a folder; name a table in it: --set \S+/vox1_meta\.csv$"):
        read_metadata(tmp_path)
    (tmp_path / "vox2_meta.csv").write_text(VOX2)
    with pytest.raises(SourceError, match=r"\(vox2_meta\.csv are there\): --set sources\.metadata\.path=\S+/vox2_meta"):
        read_metadata(tmp_path)


def test_a_stated_skin_tone_is_an_angle_or_nothing(tmp_path: Path) -> None:
    table = tmp_path / "meta.csv"
    table.write_text("id,name,skin tone deg\na1,Ann,-21.5\na2,Bo,\na1,Ann,40\n")
    assert [each.skin_tone_stated_deg for each in read_metadata(table)] == [-21.5, None, 40.0]
    assert load_book([table]).by_id["a1"].skin_tone_stated_deg == -21.5
    for wrong in ("dark", "90.5", "nan", "inf", "1e400"):
        table.write_text(f"id,name,skin tone deg\na1,Ann,{wrong}\n")
        with pytest.raises(
            SourceError, match=r"meta\.csv: the skin tone of a1 is .* from -90 to 90 degrees, or empty$"
        ):
            read_metadata(table)


def test_rows_of_one_id_are_joined_and_other_names_refused(tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text("id,name,sex,nationality\nid1,,,UK\nid2,Ann_Lee,f,\n")
    (tmp_path / "names.csv").write_text("id,name,sex,nationality\nid2,ann lee,m,Ireland\nid1,Bo_Ek,m,Sweden\n")
    tables = [tmp_path / "ids.csv", tmp_path / "names.csv"]
    joined = load_book(tables).by_id
    said = {key: (each.name, each.sex, each.nationality, each.row) for key, each in joined.items()}
    assert said == {"id1": ("Bo_Ek", "m", "UK", 0), "id2": ("Ann_Lee", "f", "Ireland", 1)}
    assert load_book(tables).resolve("bo ek").identity == "id1"
    (tmp_path / "names.csv").write_text("id,name\nid1,Bo_Ek\nid2,Anna_Leer\nid1,Cy_Ek\n")
    with pytest.raises(SourceError, match=r"names\.csv: id2 is Ann_Lee, and Anna_Leer in .* \(and 1 more such id"):
        load_book(tables)


def test_aliases_put_one_person_in_one_bucket(tmp_path: Path) -> None:
    book = load_book([])
    assert book.person("id03347") == book.person("id10362") == "id10362"
    assert book.bucket("id03347") == book.bucket("id10362")


NFC, NFD = "Jos\u00e9", "Jose\u0301"
BOOK = IdentityBook(
    by_id={
        "id00001": Identity(identity="id00001", name="Beyoncé", sex="f"),
        "id00002": Identity(identity="id00002", name="Maria_Lopez"),
        "id00003": Identity(identity="id00003", name="María_López"),
        "id00004": Identity(identity="id00004", name="Bjørn_Kjos"),
        "id00005": Identity(identity="id00005", name="Bjorn_Kjos"),
    },
    aliases={"id00005": "id00004"},
)


@pytest.mark.parametrize(
    ("word", "identity"),
    [
        ("id00001", "id00001"),
        ("ID00001", "id00001"),
        ("Beyonce\u0301", "id00001"),
        ("beyonce", "id00001"),
        ("Maria Lopez", "id00002"),  # as the metadata write it: the folded rule is not asked
        ("MARI\u0301A_LO\u0301PEZ", "id00003"),
        ("Bjørn-Kjos", "id00004"),  # two ids of one person
        ("bjorn kjos", "id00005"),
        (NFD, NFC),
        ("Пётр", "Пётр"),
        ("李娜", "李娜"),
        ("\u0301", "\u0301"),
    ],
)
def test_a_word_in_any_spelling_stands_for_one_identity(word: str, identity: str) -> None:
    found = BOOK.resolve(word)
    assert found.identity == identity
    assert found == BOOK.by_id.get(identity, found)  # with what the metadata say


def test_a_name_of_several_people_is_refused_with_their_ids() -> None:
    with pytest.raises(IdentityError, match=r"'maria-lopez' is the name of 2 people: id00002 \(Maria_Lopez\), id00003"):
        BOOK.resolve("maria-lopez")


@pytest.mark.parametrize("first", [NFC, NFD, "jose", "JOSÉ"])
def test_whoever_was_met_is_found_in_every_later_spelling(first: str) -> None:
    book = load_book([])
    identity = book.admit(first).identity
    assert {book.admit(word).identity for word in (NFC, NFD, "jose", "JOSÉ")} == {identity}
    assert book.admit("joseph").identity == "joseph"


def test_ids_of_a_root_stay_as_they_are_written() -> None:
    book = BOOK.with_ids([NFD, NFC, "Beyonce", "Renée"])
    found = [book.resolve(word).identity for word in (NFD, NFC, "Beyonce", "Rene\u0301e", "renee")]
    assert found == [NFD, NFC, "Beyonce", "Renée", "Renée"]
    assert book.resolve("Beyonce\u0301").identity == "id00001"


def test_what_the_metadata_say_of_a_person_holds_for_every_id_of_theirs() -> None:
    book = IdentityBook(by_id=BOOK.by_id, aliases={"Beyonce": "id00001"})
    said = book.described("Beyonce")
    assert (said.identity, said.name, said.sex) == ("Beyonce", "Beyoncé", "f")
    assert book.described("nobody") == Identity(identity="nobody")


def test_every_name_of_the_real_metadata_is_found_by_its_ascii_spelling(shared_data: Path) -> None:
    book = load_book([shared_data / "meta" / "vox1_meta.csv", shared_data / "meta" / "vox2_meta.csv"])
    wrong, found = [], 0
    for item in book.by_id.values():
        for word in (fold_name(item.name), unicodedata.normalize("NFD", item.name), item.name.upper()):
            person = book.person(book.resolve(word).identity)
            wrong += [(word, person)] if person != book.person(item.identity) else []
        found += not item.name.isascii() and fold_name(item.name).isascii()
    assert (wrong, found) == ([], 668)


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


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id,name,gender\nid0,Ann,f\nid1,Downey, Robert,m\n", r"row 2 .* has 4 cells, the header has 3; quote a cell"),
        ('"id"\t"name"\n"1"\t"id10001"\t"Ann"\n', r"row 1 .* has 3 cells, the header has 2; .*row.names = FALSE"),
    ],
)
def test_a_row_that_is_longer_than_its_header_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "meta.csv").write_text(text)
    with pytest.raises(SourceError, match=says):
        read_metadata(tmp_path / "meta.csv")


def test_empty_cells_behind_a_row_are_fine(tmp_path: Path) -> None:
    (tmp_path / "meta.csv").write_text("id,name\nid0,Ann,,\nid1,Bob\n")
    assert [(each.identity, each.name) for each in read_metadata(tmp_path / "meta.csv")] == [
        ("id0", "Ann"),
        ("id1", "Bob"),
    ]


def test_words_for_a_missing_name_are_nobody_in_metadata(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "meta.csv").write_text("id,name\nid0,NaN\nid1,null\nid2,NA\n#N/A,Ann\n<na>,None\nid3,Nan_Goldin\n")
    rows = [(each.identity, each.name) for each in read_metadata(tmp_path / "meta.csv")]
    assert rows == [("id0", ""), ("id1", ""), ("id2", "NA"), ("id3", "Nan_Goldin")]
    assert "5 ids or names name nobody" in caplog.text
    assert "1 ids or names are NA" in caplog.text


MINE = [("a1", "Jos\u00e9_Doe", "m"), ("a2", "Roe, Jane", "f"), ("a3", "\u0418\u0432\u0430\u043d", "m")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("delimiter", ["\t", ",", ";", "|", "sep=;"])
def test_a_table_in_any_form_that_spreadsheets_write(tmp_path: Path, delimiter: str, encoding: str) -> None:
    parts = delimiter[-1]
    rows = [("id", "name", "gender"), *MINE]
    lines = ["sep=;"] * delimiter.startswith("sep") + [parts.join(f'"{cell}"' for cell in row) for row in rows]
    (tmp_path / "mine.csv").write_bytes("\r\n".join([*lines, ""]).encode(encoding))
    found = [(each.identity, each.name, each.sex) for each in read_metadata(tmp_path / "mine.csv")]
    assert found == MINE


def test_bytes_of_windows_1252_are_read_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = tmp_path / "mine.csv"
    table.write_bytes("id;name;note\na1;Zo\u00eb;\u201c\u2026\u201d\na2;Ann;\n".encode("cp1252"))
    assert [each.name for each in read_metadata(table)] == ["Zo\u00eb", "Ann"]
    assert f"metadata {table}: 1 lines have bytes that are not UTF-8, and are read as Windows-1252" in caplog.text


@pytest.mark.parametrize("encoding", ["cp1251", "koi8-r", "cp1253", "cp1255", "gb18030", "euc-kr", "shift_jis"])
def test_a_table_in_the_encoding_of_another_script_names_nobody_else(tmp_path: Path, encoding: str) -> None:
    name = {
        "cp1253": "\u0393\u03b9\u03ac\u03bd\u03bd\u03b7\u03c2",
        "cp1255": "\u05d3\u05d5\u05d3",
        "gb18030": "\u674e\u5a1c",
        "euc-kr": "\uae40\uc5f0\uc544",
        "shift_jis": "\u9234\u6728\u82b1\u5b50",
    }.get(encoding, "\u0418\u0432\u0430\u043d \u041f\u0435\u0442\u0440\u043e\u0432")
    (tmp_path / "mine.csv").write_bytes(f"id,name\na1,Ann\na2,{name}\n".encode(encoding))
    with pytest.raises(SourceError, match=r"^line 3 of \S+/mine\.csv is neither UTF-8 nor .* iconv -f WINDOWS-1251 "):
        read_metadata(tmp_path / "mine.csv")


def test_the_dashes_of_a_markdown_table_are_nobody(tmp_path: Path) -> None:
    table = tmp_path / "people.csv"
    table.write_text("| id | name |\n|---|:--:|\n| p1 | Ada Ro |\n| p2 | Bo Li |\n", encoding="utf-8")
    assert sorted(load_book([table]).by_id) == ["p1", "p2"]


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    table = tmp_path / "people.csv"
    table.write_text("id,name,name\np1,Ada,Bo\n", encoding="utf-8")
    with pytest.raises(SourceError, match=r"several columns 'name'; leave the one that is meant$"):
        load_book([table])
