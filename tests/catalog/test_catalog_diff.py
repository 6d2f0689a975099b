from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.stats import ks_2samp
from small_root import SmallRoot, face_id, faces, photos, table, verdicts

from flows.cli import main
from voxdata.catalog.diff import Difference, compare, diff
from voxdata.catalog.publish import publish
from voxdata.format.errors import SnapshotError
from voxdata.store.storage import LocalStorage
from voxdata.tables import schemas


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Difference:
    """Ten people, then nine of whom person 3 lost the portrait to a smile."""
    root = SmallRoot(LocalStorage(tmp_path_factory.mktemp("diff")))
    first = root.publish()
    fewer = SmallRoot(root.storage, people=9)
    second = fewer.build()
    rows = [v for n in fewer.people for v in verdicts(n)]
    for row in rows:
        if row["item_id"] == photos(3)[0]["item_id"]:
            row |= {"verdict": "reject", "portrait": False, "reason": "smiling", "reasons": ["smiling"]}
    fewer.commit("face_verdicts", table(rows, schemas.FACE_VERDICTS))
    publish(root.storage, second.id, at="2026-11-22T09:00:00Z", tables=fewer.tables)
    return diff(root.storage, first.id)


def test_totals_count_who_and_what_came_and_went(found: Difference) -> None:
    assert [tuple(row.values()) for row in found.totals.to_pylist()] == [
        ("people", 10, 9, 0, 1),
        ("portraits", 10, 9, 0, 1),
        ("utterances", 20, 18, 0, 2),
        ("photos seen", 30, 27, 0, 3),
        ("clips heard", 30, 27, 0, 3),
    ]


def test_every_change_is_named(found: Difference) -> None:
    rows = found.changes.to_pylist()
    assert [row["key"] for row in rows if row["what"] == "people"] == ["id00009"]
    assert [row["key"] for row in rows if row["what"] == "portraits"] == [face_id(faces(9)[0])]
    assert {row["change"] for row in rows if row["what"] != "face"} == {"dropped"}


def test_re_decided_faces_say_why_before_and_after(found: Difference) -> None:
    assert found.redecided.to_pylist() == [
        {
            "kind": "face",
            "reason_before": "kept",
            "reason_after": "smiling",
            "items": 1,
            "people": 1,
            "example": f"{photos(3)[0]['item_id']}#1",
        }
    ]


def test_drift_of_the_angle_is_that_of_the_portraits(found: Difference) -> None:
    (row,) = [row for row in found.drift.to_pylist() if row["measure"] == "face_angle_deg"]
    before = [float(n) for n in range(10)]
    after = [float(n) for n in range(9) if n != 3]
    assert (row["before"], row["after"]) == (10, 8)
    assert (row["median_before"], row["median_after"]) == (np.median(before), np.median(after))
    assert row["ks_distance"] == pytest.approx(ks_2samp(before, after).statistic, abs=1e-6)
    assert row["ks_limit"] > row["ks_distance"]


@pytest.mark.long
def test_the_other_way_round_adds_what_was_dropped(found: Difference, tmp_path: object) -> None:
    assert found.before.counts["val"]["identities"] == 1
    root = SmallRoot(LocalStorage(tmp_path))  # type: ignore[arg-type]
    small, large = SmallRoot(root.storage, people=9).publish(), root.publish()
    other = diff(root.storage, small.id, large.id)
    assert {row["what"]: (row["added"], row["dropped"]) for row in other.totals.to_pylist()}["utterances"] == (2, 0)
    same = diff(root.storage, large.id)
    assert same.changes.num_rows == same.redecided.num_rows == 0
    assert set(same.drift["ks_distance"].to_pylist()) == {0.0}


def test_what_does_not_differ_is_not_listed(small: SmallRoot, capsys: pytest.CaptureFixture[str]) -> None:
    published = small.publish()
    assert main(["diff", published.id, "--root", small.storage.url]) == 0
    said = capsys.readouterr().out
    assert "nothing that both know was decided otherwise" in said
    assert "no differences in the 7 measurements of portraits and kept clips" in said
    assert "ks_distance" not in said
    fewer = SmallRoot(small.storage, people=9).publish()
    assert main(["diff", published.id, fewer.id, "--root", small.storage.url]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^faces +face_angle_deg ", said, re.MULTILINE)
    assert not re.search(r"^utterances +speech_s ", said, re.MULTILINE)
    assert " more measurements do not differ" in said


def test_a_snapshot_that_is_not_there(small: SmallRoot) -> None:
    small.publish()
    with pytest.raises(SnapshotError, match="no snapshot 'other'"):
        diff(small.storage, "other")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_distance_is_scipys() -> None:
    rng = np.random.default_rng(0)
    for n, m in ((1, 1), (3, 50), (40, 40), (200, 7)):
        before, after = rng.integers(0, 12, n) / 4, rng.normal(1, 1, m).round(1)
        found = compare(np.sort(before), np.sort(after))
        assert found["ks_distance"] == pytest.approx(ks_2samp(before, after).statistic, abs=1e-6)
    far = compare(np.zeros(5), np.ones(5))
    assert far["ks_distance"] == 1.0
    assert compare(np.ones(5), np.ones(9))["ks_distance"] == 0.0


def test_the_limit_is_what_chance_exceeds_in_one_percent() -> None:
    rng = np.random.default_rng(1)
    exceeded = 0
    for _ in range(1000):
        found = compare(np.sort(rng.normal(size=300)), np.sort(rng.normal(size=200)))
        exceeded += found["ks_distance"] > found["ks_limit"]
    assert exceeded <= 20
