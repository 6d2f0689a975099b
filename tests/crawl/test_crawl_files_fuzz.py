"""Files of strangers that sources read: lists and tars, changed in every way."""

from __future__ import annotations

import gzip
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.crawl.finding import found, is_web, source
from tests.format.test_format_fuzz import HOSTILE_TARS, tar_of
from tests.mutations import (
    DEEP,
    changed_json,
    complaint,
    damaged,
    few,
    written,
)
from voxdata.format.errors import SourceError
from voxdata.sources.list_rows import Columns, read_rows

ROWS = "name,url,licence,rank,box\nAnn Lee,http://h/1.jpg,CC0,1,1 2 3 4\nBo,http://h/2.jpg,,2.0,\n"
JSON_ROWS = "".join(f'{{"name": "{who}", "url": "http://h/{who}.jpg", "rank": 1}}\n' for who in ("Ann", "Bo"))
VGGFACE = "1 http://h/a.jpg 52.98 156.95 285.91 389.88 4.00 3.78 1\n2 http://h/b.jpg 1 2 3 4 1 3.7 0\n"


def parquet() -> bytes:
    out = io.BytesIO()
    rows = {"name": ["Ann", "Bo"], "url": ["http://h/1", "http://h/2"], "rank": [1, 2], "box": [[1.0, 2, 3, 4], None]}
    pq.write_table(pa.table(rows), out)
    return out.getvalue()


LISTS = {
    "list.csv": ROWS.encode(),
    "list.tsv": ROWS.replace(",", "\t").encode("utf-16"),
    "list.jsonl": JSON_ROWS.encode(),
    "Ann.txt": VGGFACE.encode(),
    "list.csv.gz": gzip.compress(ROWS.encode(), mtime=0),
    "list.parquet": parquet(),
}


@few(150)
@given(data=st.data(), name=st.sampled_from(sorted(LISTS)))
def test_any_list_is_offers_or_one_line(data: st.DataObject, name: str, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("list") / name
    path.write_bytes(data.draw(damaged(LISTS[name])))
    offers: list[Any] = []

    def read() -> None:
        for offer in found(source(kind="list", path=str(path), box_columns=["box"] if name != "Ann.txt" else [])):
            "".join(str(each) for each in vars(offer).values()).encode()
            offers.append(offer)

    said = complaint(read, SourceError, names=name)
    assert said or offers
    for offer in offers:
        assert is_web(offer.url)
        assert offer.words
        assert "/" not in offer.words
        assert offer.rank is None or 0 <= offer.rank < 2**63
        assert offer.face_box is None or np.isfinite(offer.face_box).all()


ENDLESS = {
    "a header of millions of columns": b"name,url," + b"x," * 5_000_000,
    "a line without end": b"name,url\nAnn," + b"a" * 9_000_000,
    "a row of cells without end": b"name,url\n" + b'"x",' * 2_500_000,
    "quotes that never close": b"name,url\n" + b'"\n",' * 200_000,
    "nothing": bytes(9_000_000),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_packed_list_whose_row_never_ends_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "list.csv.gz"
    path.write_bytes(gzip.compress(ENDLESS[name], 1))
    said = complaint(lambda: found(source(kind="list", path=str(path))), SourceError, names="list.csv.gz")
    assert said


def test_long_rows_are_read_fewer_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxdata.sources.list_rows.BATCH_LETTERS", 100)
    path = tmp_path / "list.csv"
    path.write_text("name,url\n" + "".join(f"Ann,http://h/{n}{'x' * 50}\n" for n in range(9)))
    batches = list(read_rows(path, lambda there: Columns({"identity": "name", "url": "url"}, [], []), Counter()))
    assert [len(batch["url"]) for batch in batches] == [2, 2, 2, 2, 1]


def test_a_packed_line_of_json_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"name": "' + b"a" * 9_000_000, 1))
    said = complaint(lambda: found(source(kind="list", path=str(path))), SourceError, names="list.jsonl.gz")
    assert said
    assert "has more than" in said


SAID = {"identity": "Ann Lee", "licence": "CC0", "author": "Jo", "url": "http://h/1.jpg"}


def described(data: bytes, suffix: str) -> bytes:
    return tar_of(({"name": f"ann/x.{suffix}"}, b"abcd"), ({"name": "ann/x.json"}, data))


@few(100)
@given(data=changed_json(SAID), suffix=st.sampled_from(["jpg", "wav"]))
@example(data=DEEP[0].encode(), suffix="wav")
@example(data=DEEP[0].encode(), suffix="jpg")
@example(data=written({"identity": ["Ann"], "speaker": {"a": 1}}), suffix="wav")
@example(data=written({"identity": "\ud800", "speaker": 10**400}), suffix="wav")
@example(data=b"[" + b"1," * 600_000 + b"1]", suffix="wav")
def test_whatever_a_tar_says_of_a_file_it_has_somebody(data: bytes, suffix: str, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("tar") / "x.tar"
    path.write_bytes(described(data, suffix))
    (one,) = listed(path, suffix)
    assert one.words
    "".join(str(each) for each in vars(one).values()).encode()


def listed(path: Path, suffix: str) -> list[Any]:
    """What a tar offers as a source of photos or of speech."""
    if suffix == "jpg":
        return list(found(source(kind="webdataset", path=str(path))))
    from voxdata.sources.speech_tars import SpeechTars, find

    return list(find(SpeechTars(path=str(path)), "sources.speech"))


@pytest.mark.parametrize("suffix", ["jpg", "wav"])
@pytest.mark.parametrize("name", [name for name in HOSTILE_TARS if name != "a number that is none"])
def test_a_hostile_tar_is_refused_in_one_line(name: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(HOSTILE_TARS[name])
    assert complaint(lambda: listed(path, suffix), SourceError, names="x.tar")


@few(60)
@given(data=st.data(), suffix=st.sampled_from(["jpg", "wav"]))
def test_any_tar_of_others_is_files_or_one_line(data: st.DataObject, suffix: str, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("tar") / "x.tar"
    damage = data.draw(damaged(described(json.dumps(SAID).encode(), suffix)))
    path.write_bytes(damage)

    def read() -> None:
        for one in listed(path, suffix):
            "".join(str(each) for each in vars(one).values()).encode()
            assert 0 <= one.offset <= one.offset + one.size_bytes <= len(damage)

    complaint(read, SourceError, names="x.tar")
