"""The lines of lists: quotes, line breaks and bytes as people and spreadsheets leave them; a line is a row."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.crawl.finding import found, source
from tests.mutations import bounded
from voxdata.format.errors import SourceError


@pytest.mark.parametrize(
    ("lines", "expected", "strays"),
    [
        (['"Ann,http://h/1', "Bob,http://h/2", '"Cid,http://h/3', "Dan,http://h/4"], ['"Ann', "Bob", '"Cid', "Dan"], 2),
        (['Ann,"http://h/1', "Bob,http://h/2", 'Cid,"http://h/3', "Dan,http://h/4"], ["Bob", "Dan"], 2),
        (['"Ann,http://h/1', "Bob,http://h/2"], ['"Ann', "Bob"], 1),
        (['"An', 'n",http://h/1', "Bob,http://h/2"], ["An n", "Bob"], 0),
        (['"Ann,http://h/1', "Bob,http://h/2", '",http://h/3'], ['"Ann', "Bob", '"'], 2),
        (['"Lee, Ann" ,http://h/1,"x" ', "Bob,http://h/2"], ["Lee, Ann", "Bob"], 0),
        (['"Weird" Al,http://h/1', "Bob,http://h/2"], ['"Weird" Al', "Bob"], 1),
        (['"Lee, Ann",http://h/1', '"J ""J"" R",http://h/2'], ["Lee, Ann", 'J "J" R'], 0),
        (['Ann,http://h/1,"two', "", 'lines ""x"""', "Bob,http://h/2"], ["Ann", "Bob"], 0),
        (['Ann,http://h/1,"two', "Bob,http://h/2", 'Cid,http://h/3,x" y'], ["Ann", "Bob", "Cid"], 1),
        (["", "Ann,http://h/1", "", "Bob,http://h/2", ""], ["Ann", "Bob"], 0),
    ],
)
def test_a_stray_quote_takes_no_other_row_along(
    tmp_path: Path, lines: list[str], expected: list[str], strays: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "list.csv"
    path.write_text("\r\n".join(["name,url,note", *lines]))
    assert [offer.words for offer in found(source(kind="list", path=str(path)))] == expected
    said = f"{strays} lines have quotes that quote no cell of their line, and are read as letters"
    assert (said in caplog.text) == (strays > 0)


def test_quotes_that_never_close_are_read_in_linear_time(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    rows = "".join(f'Ann,http://h/{number},"{chr(10) if number % 2 else ""}' for number in range(100_000))
    path.write_text(f'name,url,note\nBo,http://h/,"\n{rows}\n' + 'Cy,http://h/c,""\n' * 100_000)
    with bounded(seconds=30):
        assert len(found(source(kind="list", path=str(path)))) >= 100_000


@pytest.mark.parametrize("begin", ["sep=;\n", "\n\n", "\r\n \r\nsep=;\r\n", ""])
def test_what_stands_before_the_names_of_columns_does_no_harm(tmp_path: Path, begin: str) -> None:
    path = tmp_path / "list.tsv"
    path.write_text(
        f"{begin}name;url;a,b,c,d,e\nAnn;http://h/1\n" if "sep" in begin else f"{begin}name\turl\nAnn\thttp://h/1"
    )
    assert [offer.words for offer in found(source(kind="list", path=str(path)))] == ["Ann"]


@pytest.mark.parametrize("name", ["list.csv", "list.jsonl", "list.csv.gz"])
def test_a_list_that_is_not_utf_8_is_read_as_windows_writes_it_and_says_so(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    lines = ["name,url", *(f"{who},http://h/{who}" for who in ("José", "Ann", "Zoë"))]
    if name == "list.jsonl":
        lines = [json.dumps({"name": who, "url": "http://h/1"}, ensure_ascii=False) for who in ("José", "Ann", "Zoë")]
    data = "\n".join(lines).encode("latin-1")
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    offers = found(source(kind="list", path=str(tmp_path / name)))
    assert [offer.words for offer in offers] == ["José", "Ann", "Zoë"]
    assert "2 lines have bytes that are not UTF-8, and are read as Windows-1252" in caplog.text


@pytest.mark.parametrize("name", ["list.csv", "list.jsonl", "list.csv.gz", "Ann.txt"])
def test_a_list_in_the_encoding_of_another_script_is_refused(tmp_path: Path, name: str) -> None:
    """`Иван` of Windows-1251 would be `Èâàí`, whom no opt-out and no metadata know."""
    row = {"list.jsonl": '{"name": "Иван", "url": "http://h/1"}', "Ann.txt": "1 http://h/Иван 1 2 3 4 5 6 1"}
    data = row.get(name, "name,url\nАнна,http://h/1").encode("cp1251")
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    with pytest.raises(SourceError, match=r"line [12] of .* \(in Windows-1251 it has \S*(Иван|Анна)\S*\); write the"):
        found(source(kind="list", path=str(tmp_path / name)))


def test_a_byte_that_is_not_utf_8_renames_nobody_in_its_line(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes("name,url,note\nPenélope Cruz,http://h/1,caf".encode() + b"\xe9\n")
    assert [offer.words for offer in found(source(kind="list", path=str(path)))] == ["Penélope Cruz"]


@pytest.mark.parametrize("header", ["name,note,url,", '"name","no\nte",url', 'name ,"note" ,url'])
def test_a_row_with_a_line_break_in_its_note_has_its_photo(tmp_path: Path, header: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f'{header}\nAnn,"m\nn",http://h/1\nBob,,http://h/2\n')
    assert [offer.words for offer in found(source(kind="list", path=str(path)))] == ["Ann", "Bob"]


def test_cells_behind_the_header_are_counted_and_empty_ones_are_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "list.csv"
    path.write_text("name,url\nAnn,http://h/1,a,b\nBob,http://h/2,,\n1,http://h/3,c\n")
    assert [offer.words for offer in found(source(kind="list", path=str(path)))] == ["Ann", "Bob", "1"]
    assert "2 lines have more cells than the header; the rest is left out" in caplog.text


@pytest.mark.parametrize("first", [1, 9])
def test_a_list_with_the_row_names_of_r_is_refused_with_what_to_write(tmp_path: Path, first: int) -> None:
    path = tmp_path / "list.tsv"
    rows = [f'"{first + number}"\t"Ann {number}"\t"http://h/{number}"' for number in range(3)]
    path.write_text("\n".join(['"name"\t"url"', *rows]))
    with pytest.raises(SourceError, match=rf"^{path} has a cell more in each row .* row.names = FALSE\)$"):
        found(source(kind="list", path=str(path)))


def test_people_with_numbers_and_empty_cells_behind_are_not_r(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("name,url\n1,http://h/1,\n2,http://h/2,\n")
    assert [offer.words for offer in found(source(kind="list", path=str(path)))] == ["1", "2"]


@pytest.mark.parametrize("name", ["list.csv", "list.jsonl"])
def test_words_for_a_missing_name_are_nobody_and_na_may_be(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    nobody = ["nan", "NaN", "null", "NULL", "None", "#N/A", "<NA>", " nan "]
    people = ["NA", "NA", "Nannette", "Na"]
    rows = [{"name": who, "url": f"http://h/{number}"} for number, who in enumerate([*nobody, *people])]
    lines = [json.dumps(row) for row in rows]
    if name == "list.csv":
        lines = ["name,url", *(",".join(row.values()) for row in rows)]
    (tmp_path / name).write_text("\n".join(lines))
    assert [offer.words for offer in found(source(kind="list", path=str(tmp_path / name)))] == people
    assert f"{len(nobody)} rows are passed over: {len(nobody)} name nobody" in caplog.text
    assert "2 lines name NA, which may be R's missing value" in caplog.text


@pytest.mark.parametrize(
    ("lines", "expected", "strays"),
    [
        (['Ann,http://h/1,"5 ft', "Bob,http://h/2,x", 'Cid,http://h/3,6"', "Dan,http://h/4,y"], "Ann Bob Cid Dan", 1),
        (['Ann,http://h/1,"5 ft', 'Cid,http://h/3,6"', "Dan,http://h/4,y"], "Ann Cid Dan", 1),
        (['Ann,http://h/1,"see', "http://h/page", 'and more"', "Bob,http://h/2,x"], "Ann Bob", 0),
        (['Ann,http://h/1,"a,b,c', 'd"', "Bob,http://h/2,x"], "Ann Bob", 0),
    ],
)
def test_a_quoted_cell_swallows_no_rows(
    tmp_path: Path, lines: list[str], expected: str, strays: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "list.csv"
    path.write_text("\n".join(["name,url,note", *lines]))
    assert [offer.words for offer in found(source(kind="list", path=str(path)))] == expected.split()
    assert (f"{strays} lines have quotes that quote no cell of their line" in caplog.text) == (strays > 0)


def test_a_row_whose_url_follows_its_quoted_lines_is_one(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text('note,name,url\n"a\nb",Ann,http://h/1\n"c\n\nd",Bob,http://h/2\n')
    assert [offer.words for offer in found(source(kind="list", path=str(path)))] == ["Ann", "Bob"]
