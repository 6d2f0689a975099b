"""Lists of urls, as their writers write them."""

from __future__ import annotations

import gzip
import json
import logging
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.crawl.finding import found, source
from tests.crawl.serving import attempts
from voxdata.format.errors import SourceError
from voxdata.people.identities import load_book
from voxdata.recipe.sections import Crawl
from voxdata.sources import list_rows
from voxdata.sources.kinds import PhotoUrl, PhotoUrls
from voxdata.sources.originals import PhotoStore
from voxdata.sources.photo_list import columns_of
from voxdata.store.storage import open_storage

SHARED_LISTS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "meta" / "vggface_urls"
ROWS = [
    {
        "name": "Ann Lee",
        "link": "https://h/a.jpg",
        "license": "CC BY 4.0",
        "by": "Jo",
        "l": 1,
        "t": 2,
        "r": 30,
        "b": 40,
    },
    {"name": "Bo", "link": "http://h/b 1.jpg", "license": "", "by": "", "l": None, "t": None, "r": None, "b": None},
]
SPOILT_GZIP = b"".join((gzip.compress(bytes(range(256)) * 9, mtime=0)[:20], b"\xff" * 40))
NOT_UTF8 = pa.Array.from_buffers(
    pa.string(), 2, [None, pa.py_buffer(np.array([0, 2, 4], np.int32)), pa.py_buffer(b"Z\xebBo")]
)
COLUMNS = {"author_column": "by", "box_columns": ["l", "t", "r", "b"]}


def written(folder: Path, suffix: str) -> Path:
    """The rows in one of the formats."""
    path = folder / f"photos{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
        return path
    if "jsonl" in suffix:
        text = "".join(f"{json.dumps(row)}\n" for row in ROWS)
    else:
        comma = "\t" if "tsv" in suffix else ","
        lines = [list(ROWS[0]), *([str("" if value is None else value) for value in row.values()] for row in ROWS)]
        text = "\ufeff" + "".join(f"{comma.join(line)}\r\n" for line in lines)
    path.write_bytes(gzip.compress(text.encode()) if suffix.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet", ".csv.gz", ".tsv.gz", ".jsonl.gz"])
def test_a_list_says_whose_a_photo_is_and_what_is_known_of_it(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path, suffix)
    first, second = found(source(kind="list", path=str(path), **COLUMNS))
    assert first == PhotoUrl(
        words="Ann Lee",
        key="https://h/a.jpg",
        url="https://h/a.jpg",
        licence="CC-BY-4.0",
        author="Jo",
        face_box=(1, 2, 30, 40),
    )
    assert second == PhotoUrl(words="Bo", key="http://h/b%201.jpg", url="http://h/b%201.jpg")
    assert found(source(kind="list", path=str(tmp_path), **COLUMNS)) == [first, second]


def test_columns_of_other_names_are_named_in_the_recipe(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text('wer,wo,rang,kasten\nid10001,https://h/1.jpg,3,"[1, 2, 3, 4]"\n')
    named = {"identity_column": "wer", "url_column": "wo", "rank_column": "rang", "box_columns": ["kasten"]}
    (offer,) = found(source(kind="list", path=str(path), **named))
    assert (offer.words, offer.key, offer.rank, offer.face_box) == ("id10001", "https://h/1.jpg", 3, (1, 2, 3, 4))
    with pytest.raises(SourceError, match=r"list\.csv has the columns wer, wo, rang, kasten.*identity_column"):
        found(source(kind="list", path=str(path)))
    with pytest.raises(SourceError, match=r"list\.csv has no column 'who'; it has wer, wo"):
        found(source(kind="list", path=str(path), identity_column="who"))


def test_rows_without_a_person_or_an_address_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "list.tsv"
    rows = [
        "Ann\thttps://h/1.jpg",
        "\thttps://h/2.jpg",
        "Bo\tftp://h/3.jpg",
        "Bo\t",
        "A/B\thttp://h/4.jpg",
        "Bo\thttp://[",
    ]
    path.write_text("identity\turl\n" + "\n".join(rows))
    with caplog.at_level(logging.WARNING):
        offers = found(source(kind="list", path=str(path)))
    assert [offer.words for offer in offers] == ["Ann", "A_B"]
    assert "4 rows are passed over: 3 have no http or https url, 1 name nobody" in caplog.text
    path.write_text("identity\turl\nBo\tnone\n")
    with pytest.raises(SourceError, match=r"lists no photo \(1 rows are passed over\)"):
        found(source(kind="list", path=str(path)))


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("list.jsonl", b'{"identity": "a", "url": "http://h/"}\n{', r"line 2 of .*list\.jsonl is not JSON"),
        (
            "list.jsonl",
            b'{"identity": "a", "url": "http://h/1", "url": "http://h/2"}',
            r"line 1 of .*list\.jsonl is not JSON.*: url stands twice",
        ),
        ("list.jsonl", b"[" * 100_000, r"line 1 of .*list\.jsonl is not JSON"),
        ("list.jsonl", b"[1]\n", r"line 1 of .*list\.jsonl is list"),
        ("list.parquet", b"no parquet", r"list\.parquet cannot be read"),
        ("list.csv.gz", b"no gzip", r"list\.csv\.gz cannot be read"),
        ("list.csv", b"", r"list\.csv is empty"),
        ("list.csv.gz", SPOILT_GZIP, r"list\.csv\.gz cannot be read"),
        ("Ann.txt", b"1 http://h/1.jpg 2 3\n", r"line 1 of .*Ann\.txt has 4 fields.*curation"),
        ("list.xlsx", b"PK", r"list\.xlsx is no list of photos"),
        (
            "list.csv",
            b'identity,url\na,"' + b"x" * (17 << 20) + b'"',
            r"line 2 of .*list\.csv has more than 8388608 letters",
        ),
    ],
)
def test_what_is_no_list_is_one_line(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError, match=said) as caught:
        found(source(kind="list", path=str(tmp_path / name)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz"])
def test_a_table_is_read_as_spreadsheets_write_it(tmp_path: Path, delimiter: str, encoding: str, suffix: str) -> None:
    rows = [["Name", " URL", "License", "note"], ["Zoë, the 1st", "https://h/1.jpg", "CC0", "x" * 1_000_000]]
    rows += [['"Bo; x | y"', "https://h/2.jpg", "", ""]]
    text = "\r\n".join(delimiter.join(f'"{cell}"' if delimiter in cell else cell for cell in row) for row in rows)
    data = text.replace('""', '"').encode(encoding)
    path = tmp_path / f"list{suffix}"
    path.write_bytes(gzip.compress(data) if suffix.endswith(".gz") else data)
    offers = found(source(kind="list", path=str(path)))
    assert [(offer.words, offer.key) for offer in offers] == [
        ("Zoë, the 1st", "https://h/1.jpg"),
        ("Bo; x | y", "https://h/2.jpg"),
    ]
    assert offers[0].licence == "CC0-1.0"


def test_a_json_line_need_not_have_what_a_later_one_has(tmp_path: Path) -> None:
    path = tmp_path / "list.jsonl"
    rows = [{"person": "Ann", "url": "http://h/1"}, {"person": "Bo", "url": "http://h/2", "license": "CC0", "rank": 1}]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert [(offer.licence, offer.rank) for offer in found(source(kind="list", path=str(path)))] == [
        (None, None),
        ("CC0-1.0", 1),
    ]


def test_what_is_no_single_value_names_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "list.jsonl"
    people = [{"first": "Ann"}, ["Bo"], True, float("nan"), 12.0, "Cy"]
    path.write_text("".join(f"{json.dumps({'name': who, 'url': 'http://h/1'})}\n" for who in people))
    with caplog.at_level(logging.WARNING):
        offers = found(source(kind="list", path=str(path)))
    assert [offer.words for offer in offers] == ["12", "Cy"]
    assert "4 rows are passed over: 4 name nobody" in caplog.text


def test_whole_numbers_with_a_point_are_ranks(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(
        "name,url,rank\n" + "".join(f"Ann,http://h/{n},{n}\n" for n in ("0.0", "1e1", "", "nan", "2020-01-02"))
    )
    assert [offer.rank for offer in found(source(kind="list", path=str(path)))] == [0, 10, None, None, None]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"name": [b"Ann", b"Z\xeb"], "url": [b"http://h/1", b"http://h/2"]}, ["Ann", "Z\\xeb"]),
        ({"name": NOT_UTF8, "url": ["http://h/1", "http://h/2"]}, ["Z\\xeb", "Bo"]),
        ({"name": NOT_UTF8.dictionary_encode(), "url": ["http://h/1", "http://h/2"]}, ["Z\\xeb", "Bo"]),
        ({"name": [7.0, float("nan")], "url": ["http://h/1", "http://h/2"]}, ["7"]),
        (
            {"name": ["A", "B"], "url": ["http://h/1", "http://h/2"], "rank": pa.array([2**31 - 1, 1], pa.date32())},
            ["A", "B"],
        ),
    ],
    ids=["bytes", "not UTF-8", "not UTF-8, encoded", "numbers with gaps", "days beyond Python's"],
)
def test_parquet_columns_of_any_type_are_read(tmp_path: Path, columns: dict[str, Any], expected: list[str]) -> None:
    pq.write_table(pa.table(columns), tmp_path / "list.parquet")
    assert [offer.words for offer in found(source(kind="list", path=str(tmp_path)))] == expected


def test_of_two_parquet_columns_of_one_name_the_second_counts_as_in_tables(tmp_path: Path) -> None:
    cells = [pa.array(each) for each in (["Ann", "Bo"], ["http://h/1", "http://h/2"], ["http://h/3", None])]
    pq.write_table(pa.Table.from_arrays(cells, names=["name", "url", "url"]), tmp_path / "list.parquet")
    assert [offer.key for offer in found(source(kind="list", path=str(tmp_path)))] == ["http://h/3", "http://h/2"]


@given(data=st.binary(max_size=200), suffix=st.sampled_from([".csv", ".tsv", ".jsonl", ".txt", ".parquet"]))
def test_whatever_stands_in_a_list_is_offers_or_one_error(tmp_path_factory: Any, data: bytes, suffix: str) -> None:
    path = tmp_path_factory.mktemp("any") / f"list{suffix}"
    path.write_bytes(
        (b"identity\turl\n" if suffix == ".tsv" else b"identity,url\n" if suffix == ".csv" else b"") + data
    )
    said, offers = "", []
    try:
        offers = found(source(kind="list", path=str(path)))
    except SourceError as error:
        said = str(error)
    assert bool(offers) != (path.name in said)
    for offer in offers:
        assert all(text for text in (offer.words, offer.key))
        assert "/" not in offer.words
        offer.words.encode()


def test_vggface_lists_name_the_face_and_the_curated(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "licence.txt").write_text("read this")
    files = tmp_path / "files"
    files.mkdir()
    lines = [
        "00000001 http://h/a.jpg 52.98 156.95 285.91 389.88 4.00 3.78 1",
        "00000002 http://h/b.jpg 1 2 3 4 1 3.7 0",
    ]
    (files / "Adam_Beach.txt").write_text("\n".join(lines))
    first, second = found(source(kind="list", path=str(tmp_path), licence="research"))
    assert (first.words, first.rank, first.face_box) == ("Adam_Beach", 1, (52.98, 156.95, 285.91, 389.88))
    assert second.key == "http://h/b.jpg"
    assert found(source(kind="list", path=str(tmp_path), only_curated=True)) == [first]
    assert "1 rows are passed over: 1 are not curated" in caplog.text
    assert found(source(kind="list", path=str(tmp_path)), forgotten=lambda word: word == "Adam_Beach") == []


@pytest.mark.skipif(not SHARED_LISTS.is_dir(), reason="needs ../shared/data/meta/vggface_urls")
def test_the_published_lists_of_vggface_are_read_as_they_are() -> None:
    offers = found(source(kind="list", path=str(SHARED_LISTS)))
    lines = sum(len(path.read_text().split("\n")) - 1 for path in (SHARED_LISTS / "files").glob("*.txt"))
    assert len(offers) == lines
    assert {offer.words for offer in offers} == {path.stem for path in (SHARED_LISTS / "files").glob("*.txt")}
    assert all(offer.face_box is not None for offer in offers[:100])


def test_only_the_columns_that_are_needed_are_read_of_a_parquet_file() -> None:
    there = ["url", "caption", "embedding", "status"]
    assert columns_of(source(kind="list", path="x"), there, "x").wanted == ["caption", "url", "status"]  # type: ignore[arg-type]


TEXTS = st.sampled_from(
    ["", "Ann Lee", "ann_lee", " Bo ", "A/B", "Zoë", "Ze\u0301", "x\0y", "\ud800", "CC0", "CC BY 4.0"]
)
WILD = {
    "name": TEXTS | st.integers(0, 3) | st.none(),
    "url": st.sampled_from(
        [
            *("http://h.example/1.jpg", "http://h.example/2.jpg", "HTTP://H.example:80/1.jpg", "http://h.example/a b"),
            *("https://ü.example/ü", "http://127.1/", "http://u@h.example/", "http://[", "ftp://h/", "h.example", " "),
            *("http://photos.example/" + "x" * 9000, "http://h.example/\ud800", "http://h.example/\0"),
        ]
    )
    | st.none(),
    "license": TEXTS | st.none(),
    "author": TEXTS | st.integers() | st.lists(st.none(), max_size=1),
    "rank": st.integers() | st.floats() | TEXTS | st.lists(st.none(), max_size=1),
    "box": st.lists(st.integers(0, 3) | st.floats() | TEXTS, max_size=5) | st.just("[1, 2, 3, 4]") | st.none(),
}


def stored(folder: Path, rows_at_once: int, **settings: object) -> tuple[list[Any], list[Any], dict[str, bytes]]:
    """What becomes of the list in a folder: candidates with their hosts, urls that are refused, and files of SQL."""
    root = folder / f"root-{rows_at_once}"
    storage = open_storage(root, create=True)
    shelf = PhotoStore(storage, load_book([]), Crawl(photos_per_identity=3))
    with pytest.MonkeyPatch.context() as patch, shelf as store:
        patch.setattr(list_rows, "BATCH", rows_at_once)
        store.add(source(kind="list", path=str(folder), licences=["CC*"], **settings), "corpus-0", "sources.photos")
        candidates = store._candidates
        candidates.close_list()
        rows = [
            (candidates.row(n), candidates.url[n], candidates.origin[n], candidates.who(n))
            for n in range(candidates.count)
        ]
        found = [(row, url, candidates.origins[origin] if origin >= 0 else None, who) for row, url, origin, who in rows]
    said = [{name: row[name] for name in ("source_path", "identity", "status", "detail")} for row in attempts(storage)]
    files = {key: storage.read(key) for key in storage.keys("photos/candidates")}
    shutil.rmtree(root)
    return found, said, files


def test_what_is_named_again_or_not_asked_for_takes_no_place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    urls = ["http://h.example/1?a=%2C", "HTTP://H.example:80/1?a=%2C#x", "http://u@h.example/", "http://127.1/"]
    urls += ["http://h.example/1?a=%2C", "http://h.example/2", "http://h.example/3", "http://h.example/4"]
    rows = [{"name": who, "license": "CC0", "url": url} for url in urls for who in ("Ann", "Bo")]
    (tmp_path / "list.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    with caplog.at_level(logging.INFO):
        found, said, _ = stored(tmp_path, 5)
    asked = [row["source_path"] for row, _, host, who in found if who == "Ann" and host is not None]
    assert asked == ["http://h.example/1?a=%2C", "http://h.example/2", "http://h.example/3"]
    assert [row["status"] for row in said] == ["bad_url"] * 2
    assert "sources.photos: 4 photos are named again for the same person, and taken once" in caplog.text


@pytest.mark.long
@given(rows=st.lists(st.fixed_dictionaries(WILD), max_size=12), data=st.data())
def test_how_many_rows_are_read_at_once_changes_nothing(
    tmp_path_factory: Any, rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("list")
    (folder / "list.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    settings = {"licence": data.draw(st.sampled_from(["CC0", "mine"])), "box_columns": ["box"]}
    try:
        alone = stored(folder, 1, **settings)
    except SourceError as error:
        with pytest.raises(SourceError, match=re.escape(str(error))):
            stored(folder, 5000, **settings)
    else:
        assert stored(folder, 4, **settings) == stored(folder, 5000, **settings) == alone
        one_by_one = found(source(kind="list", path=str(folder), **settings))
        assert list(PhotoUrls.of(one_by_one)) == one_by_one  # type: ignore[arg-type]
