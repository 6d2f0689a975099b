"""The lines of lists: quotes, line breaks and bytes as people and spreadsheets leave them; a line is a row."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.crawl.finding import found, source
from tests.mutations import bounded


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


def test_a_byte_that_is_not_utf_8_renames_nobody_in_its_line(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes("name,url,note\nPenélope Cruz,http://h/1,caf".encode() + b"\xe9\n")
    assert [offer.words for offer in found(source(kind="list", path=str(path)))] == ["Penélope Cruz"]


@pytest.mark.parametrize("header", ["name,note,url,", '"name","no\nte",url', 'name ,"note" ,url'])
def test_a_row_with_a_line_break_in_its_note_has_its_photo(tmp_path: Path, header: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f'{header}\nAnn,"m\nn",http://h/1\nBob,,http://h/2\n')
    assert [offer.words for offer in found(source(kind="list", path=str(path)))] == ["Ann", "Bob"]
