"""A written corpus is the same on any number of workers, reads like VoxCeleb1, and its truth is true."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from voxdata.format.errors import RecipeError, SourceError, StorageError
from voxdata.people.identities import read_metadata
from voxdata.simulate.corpus import TRUTH, write_corpus
from voxdata.simulate.people import draw_people
from voxdata.simulate.photos import photo_kinds
from voxdata.simulate.settings import CLIP_KINDS, PHOTO_KINDS, CorpusSettings

FAULTS = dict.fromkeys(PHOTO_KINDS, 0.07) | dict.fromkeys(CLIP_KINDS, 0.12)
SETTINGS = CorpusSettings(
    people=8, photos_per_person=12, clips_per_person=8, clip_s=1.0, photo_px=256, seed=5, **FAULTS
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "corpus"
    write_corpus(folder, SETTINGS)
    return folder


@pytest.fixture(scope="module")
def rows(corpus: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(corpus / "truth.parquet").to_pylist()
    return rows


def of_kind(rows: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    found = [row for row in rows if row["kind"] == kind]
    assert found, f"the test corpus holds no {kind}; choose another seed"
    return found


def decoded(corpus: Path, row: dict[str, Any]) -> np.ndarray | None:
    return cv2.imdecode(np.frombuffer((corpus / row["path"]).read_bytes(), np.uint8), cv2.IMREAD_COLOR)


def test_same_bytes_on_any_number_of_workers(tmp_path: Path) -> None:
    small = CorpusSettings(people=3, photos_per_person=4, clips_per_person=2, clip_s=0.6, photo_px=128, seed=9)
    told: list[tuple[int, int]] = []
    write_corpus(tmp_path / "one", small)
    write_corpus(tmp_path / "two", small, workers=2, progress=lambda done, total: told.append((done, total)))
    files = [
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
        for name in ("one", "two")
    ]
    assert files[0] == files[1]
    assert told == [(1, 3), (2, 3), (3, 3)]
    other = write_corpus(tmp_path / "other", CorpusSettings(**{**small.as_dict(), "seed": 10}))
    assert set(other["sha256"].to_pylist()).isdisjoint(
        pq.read_table(tmp_path / "one/truth.parquet")["sha256"].to_pylist()
    )


@pytest.mark.long
def test_truth_names_every_file_and_its_hash(corpus: Path, rows: list[dict[str, Any]]) -> None:
    assert pq.read_schema(corpus / "truth.parquet").equals(TRUTH)
    on_disk = {str(path.relative_to(corpus)) for part in ("photos", "wav") for path in (corpus / part).rglob("*.*")}
    assert {row["path"] for row in rows} == on_disk
    assert len(rows) == SETTINGS.people * (SETTINGS.photos_per_person + SETTINGS.clips_per_person)
    for row in rows:
        data = (corpus / row["path"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (row["size_bytes"], row["sha256"])
        assert row["path"].split("/")[1] == row["identity"]


def test_metadata_reads_as_voxceleb1(corpus: Path) -> None:
    identities = read_metadata(corpus / "vox1_meta.csv")
    people = draw_people(SETTINGS.people, seed=SETTINGS.seed, link=SETTINGS.link)
    skins = {p.identity: p.face.skin for p in people}
    assert [(i.identity, i.name, i.sex, i.nationality) for i in identities] == [
        (p.identity, p.name, p.sex, p.nationality) for p in people
    ]
    tones = [i.skin_tone_stated_deg or 0.0 for i in sorted(identities, key=lambda i: skins[i.identity])]
    assert tones == pytest.approx(sorted(tones), abs=0.2)
    assert tones[-1] > tones[0]
    assert (
        (corpus / "vox1_meta.csv")
        .read_text()
        .startswith("VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\tSkin tone deg\n")
    )
    assert pq.read_table(corpus / "people.parquet")["face_width"].to_pylist() == [p.face.width for p in people]


def test_photos_are_what_the_truth_says(corpus: Path, rows: list[dict[str, Any]]) -> None:
    by_path = {row["path"]: row for row in rows}
    for row in rows:
        if row["medium"] == "photo" and row["kind"] not in ("html", "truncated"):
            image = decoded(corpus, row)
            assert image is not None
            assert image.shape == (row["height_px"], row["width_px"], 3)
    for row in of_kind(rows, "exact_duplicate") + of_kind(rows, "shared_duplicate"):
        assert row["sha256"] == by_path[row["copy_of"]]["sha256"]
        assert (row["identity"] == by_path[row["copy_of"]]["identity"]) == (row["kind"] == "exact_duplicate")
    for row in of_kind(rows, "near_duplicate"):
        original = by_path[row["copy_of"]]
        assert row["sha256"] != original["sha256"]
        pair = [
            cv2.resize(np.asarray(decoded(corpus, one)), (32, 32), interpolation=cv2.INTER_AREA)
            for one in (row, original)
        ]
        assert np.abs(pair[0].astype(int) - pair[1]).mean() < 6
        assert row["pupil_distance_px"] < original["pupil_distance_px"]
    assert all(row["shown_identity"] != row["identity"] for row in of_kind(rows, "wrong_person"))
    assert all(row["people"] == 2 for row in of_kind(rows, "several_people"))
    assert all(row["pupil_distance_px"] < 30 for row in of_kind(rows, "tiny"))
    assert all(row["pupil_distance_px"] is None for row in of_kind(rows, "no_face"))
    assert all(max(abs(row["yaw_deg"]), abs(row["pitch_deg"])) >= 8 for row in of_kind(rows, "large_pose"))
    assert all(np.hypot(row["yaw_deg"], row["pitch_deg"]) <= 4 for row in of_kind(rows, "plain") if row["people"])


def test_damaged_photos_are_damaged(corpus: Path, rows: list[dict[str, Any]]) -> None:
    for row in of_kind(rows, "html"):
        assert (corpus / row["path"]).read_bytes().startswith(b"<!DOCTYPE html>")
    for row in of_kind(rows, "truncated"):
        data = (corpus / row["path"]).read_bytes()
        assert data.startswith(b"\xff\xd8")
        assert not data.endswith(b"\xff\xd9")


def test_clips_are_what_the_truth_says(corpus: Path, rows: list[dict[str, Any]]) -> None:
    clips = [row for row in rows if row["medium"] == "clip"]
    for row in clips:
        root, _, video, segment = row["path"].split("/")
        assert (root, len(video), segment[-4:]) == ("wav", 11, ".wav")
        if row["kind"] == "broken":
            continue
        samples, rate = soundfile.read(corpus / row["path"])
        assert rate == 16_000
        assert len(samples) / rate == pytest.approx(row["duration_s"])
        assert samples.any() == (row["kind"] != "silent")
    assert {row["damage"] for row in of_kind(clips, "broken")} <= {"text", "empty", "half"}
    assert {row["kind"] for row in clips} == {"plain", *CLIP_KINDS}


def test_kinds_come_in_their_shares() -> None:
    settings = CorpusSettings(people=300, photos_per_person=11)
    kinds = Counter(kind for index in range(300) for kind in photo_kinds(settings, index)[1:])
    for kind in PHOTO_KINDS:
        assert kinds[kind] / 3000 == pytest.approx(getattr(settings, kind), abs=0.02)
    assert all(photo_kinds(settings, index)[0] == "plain" for index in range(20))


def test_a_finished_corpus_is_kept_and_others_are_refused(corpus: Path, tmp_path: Path) -> None:
    before = (corpus / "truth.parquet").stat().st_mtime_ns
    kept: pa.Table = write_corpus(corpus, SETTINGS)
    assert kept.num_rows == SETTINGS.people * 20
    assert (corpus / "truth.parquet").stat().st_mtime_ns == before
    with pytest.raises(SourceError, match="other settings"):
        write_corpus(corpus, CorpusSettings(people=2))
    (tmp_path / "diary.txt").write_text("mine")
    with pytest.raises(SourceError, match="not a simulated corpus"):
        write_corpus(tmp_path, SETTINGS)
    assert list(tmp_path.iterdir()) == [tmp_path / "diary.txt"]
    with pytest.raises(StorageError, match=r"diary\.txt"):
        write_corpus(tmp_path / "diary.txt" / "corpus", SETTINGS)


def test_impossible_settings_name_the_setting() -> None:
    with pytest.raises(RecipeError, match="people is 0; must be at least 1"):
        CorpusSettings(people=0)
    with pytest.raises(RecipeError, match=r"wrong_person is 1\.2"):
        CorpusSettings(wrong_person=1.2)
    with pytest.raises(RecipeError, match=r"add up to .*; at most 0\.9"):
        CorpusSettings(wrong_person=0.9)
