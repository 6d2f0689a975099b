"""Protocol `pins`: matching and retrieval by hand, lists that are wrong, and a tiny run with trials of every kind."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from snapshot_writer import TinySnapshot, write_snapshot

from models.errors import EvaluationError
from models.evaluate.pins import first_of_all_draws
from models.evaluate.pins_lists import read_pins_lists
from models.evaluate.protocol import evaluate
from models.evaluate.report import markdown
from models.evaluate.trial_lists import place
from models.evaluate.trial_material import voice_place
from models.evaluate.verification import average_precision, first_of, mean_samples
from models.train import train

HEADER = "id,voice-speaker-id,face-speaker-id,label,voice-path,face-path"


def test_average_precision_by_hand_and_over_all_orders_of_ties() -> None:
    assert average_precision(np.array([0.9, 0.8, 0.7]), np.array([True, False, True])) == pytest.approx(5 / 6)
    assert average_precision(np.zeros(3), np.array([False, True, False])) == pytest.approx(11 / 18)
    scores, relevant = np.array([0.9, 0.5, 0.5, 0.5, 0.1]), np.array([False, True, False, True, True])
    orders = []
    for middle in itertools.permutations([1, 2, 3]):
        ranked = relevant[[0, *middle, 4]]
        precisions = [ranked[: at + 1].mean() for at in np.flatnonzero(ranked)]
        orders.append(np.mean(precisions))
    assert average_precision(scores, relevant) == pytest.approx(np.mean(orders))


def test_first_of_candidates_shares_ties() -> None:
    scores = np.array([[[0.9, 0.1, 0.2], [0.5, 0.9, 0.1], [0.5, 0.5, 0.5], [0.5, 0.5, 0.9]]])
    np.testing.assert_allclose(first_of(scores), [[1, 0, 1 / 3, 0]])


@pytest.mark.parametrize("count", [2, 3, 4])
def test_first_of_all_draws_is_the_mean_over_every_draw(count: int) -> None:
    own, others = 0.5, [0.9, 0.5, 0.4, 0.3, 0.5]
    expected = np.mean(
        [
            0 if max(drawn) > own else 1 / (1 + sum(each == own for each in drawn))
            for drawn in itertools.combinations(others, count - 1)
        ]
    )
    found = first_of_all_draws(np.array([1]), np.array([2]), len(others), count)
    assert found[0] == pytest.approx(expected)


def test_people_with_more_trials_weigh_more_and_samples_are_over_people() -> None:
    value, samples = mean_samples(np.array([1.0, 1.0, 1.0, 0.0]), np.array([0, 0, 0, 1]), 2, seed=0)
    assert value == pytest.approx(3 / 4)
    assert {round(float(each), 6) for each in samples} == {0.0, 0.75, 1.0}


def test_paths_of_the_lists_and_of_sources_are_one_place() -> None:
    assert place("A.R._Rahman/1.6/gaQqIoV_aLY/0003650.jpg") == place("A.R._Rahman/gaQqIoV_aLY/3650.png")
    assert voice_place("A.R._Rahman/gaQqIoV_aLY_0000001.wav") == ("A.R._Rahman", "gaQqIoV_aLY", "1")
    assert voice_place("id10002/gaQqIoV_aLY/00001.wav") == ("id10002", "gaQqIoV_aLY", "1")
    assert voice_place("voices/English/00000.wav") == ("English", "0")


def write(folder: Path, files: dict[str, list[str]]) -> Path:
    for name, lines in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("".join(f"{line}\n" for line in lines))
    return folder


LIST = "veriflist_test_G_unseenunheard.txt"
SAME, OTHER = "1,7,7,1,A/v_1.wav,A/v/1.jpg", "2,7,8,0,A/v_1.wav,B/v/1.jpg"


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        (LIST, [HEADER, SAME, "3;7;7;1;A/v_2.wav;A/v/2.jpg"], "line 3 has 1 field, where 6 .* parted by semicolons"),
        (
            LIST,
            [HEADER, SAME, "3 7 7 1 A/v_2.wav A/v/2.jpg"],
            "line 3 has 1 field, where 6 fields are parted by",
        ),
        (LIST, [SAME, OTHER], "line 1 is 1,7,7,1.*; the header id,voice-speaker-id"),
        (LIST, [HEADER, SAME, "3,7,7,yes,A/v_2.wav,A/v/2.jpg"], "line 3: label 'yes'"),
        (LIST, [HEADER, SAME, "3,7,8,1,A/v_2.wav,A/v/2.jpg"], "line 3: label 1, but speaker 7 and face 8 differ"),
        (LIST, [HEADER, SAME, "3,7,7,0,A/v_2.wav,A/v/2.jpg"], "line 3: label 0, but speaker 7 and face 7 are one"),
        (LIST, [HEADER, SAME, OTHER, SAME.replace("1,7", "9,7", 1)], "line 4 repeats the voice and the face of line 2"),
        (LIST, [HEADER, SAME, OTHER.replace("2,", "1,", 1)], "line 3: trial '1' stands in line 2, too"),
        (LIST, [HEADER, SAME, "3,7,8,0,A/v/2.jpg,A/v_2.wav"], "line 3: A/v/2.jpg stands where a voice"),
        (LIST, [HEADER, SAME], "its trials do not have both labels"),
        ("veriflist_test_G.txt", [HEADER, SAME, OTHER], r"named neither \*_seenheard.txt nor \*_unseenunheard.txt"),
        ("matching_v2f_U.csv", ["a/1.wav A/1.jpg B/1.jpg", "a/2.wav A/1.jpg"], "line 2 has 2 fields; all lines"),
        ("matching_v2f_U.csv", ["a/1.wav A/1.jpg"], "a probe and 2 to 10 candidates"),
        ("matching_v2f_U.csv", ["a/1.wav A/1.jpg B/1.jpg", "a/1.wav A/1.jpg B/1.jpg"], "line 2 repeats line 1"),
        ("matching_v2f_U.csv", ["A/1.jpg a/1.wav b/1.wav"], "line 1: A/1.jpg stands where a voice"),
        ("matching_U.csv", ["a/1.wav A/1.jpg B/1.jpg"], "named neither matching_v2f_"),
        ("identity_splits.txt", ["A.J._Buckley 5"], "line 1: set '5'; 1 trains"),
        ("identity_splits.txt", ["A 1", "A 4"], "line 2: A stands in line 1, too"),
        ("identity_splits.txt", ["A,1"], "line 1 has 1 field, where 2 .* parted by commas"),
        ("wav_20k.csv", ["VoxCeleb1 ID\twav", "id1\tid1/v/1.wav"], "wav_20k.csv without jpg_20k.csv"),
        ("wav_20k.csv", ["VoxCeleb1 ID\tjpg", "id1\tid1/v/1.wav"], "the second column is 'jpg', not 'wav'"),
        ("wav_20k.csv", ["VoxCeleb1 ID\twav", "id1\ta/1.wav", "id1\ta/1.wav"], "line 3 repeats line 2"),
        ("vox1_meta.csv", ["VoxCeleb1 ID\tname", "id10001"], "line 2 has 1 field"),
    ],
)
def test_wrong_lists_are_refused_by_file_and_line(tmp_path: Path, name: str, lines: list[str], message: str) -> None:
    given = {"identity_splits.txt": ["A 4"]} if name.startswith("wav") else {}
    with pytest.raises(EvaluationError, match=message):
        read_pins_lists(write(tmp_path, given | {name: lines}))


def test_two_lists_of_one_name_and_a_folder_without_lists_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"no veriflist_test_\*.txt, matching_\*.csv or identity_splits.txt"):
        read_pins_lists(tmp_path)
    write(tmp_path, {f"a/{LIST}": [HEADER, SAME, OTHER], f"b/{LIST}": [HEADER, SAME, OTHER]})
    with pytest.raises(EvaluationError, match=r"b/veriflist.* and .*a/veriflist.* have one name; keep one"):
        read_pins_lists(tmp_path)


@dataclass(frozen=True)
class Judged:
    snapshot: TinySnapshot
    run: Path
    lists: Path
    result: dict[str, Any]

    def table(self, name: str) -> dict[str, Any]:
        (found,) = (table for table in self.result["tables"] if table["table"] == name)
        return dict(found)

    def figures(self, table: str, row: str) -> dict[str, dict[str, float]]:
        (found,) = (each for each in self.table(table)["rows"] if each["name"] == row)
        return dict(found["figures"])


TEST = [f"test{number:03d}" for number in range(6)]
TRAIN = [f"train{number:03d}" for number in range(8)]


def name_of(person: str) -> str:
    return f"Name_{person}"


def trial(number: int, voice: str, face: str, clip: int = 0, photo: int = 0) -> str:
    """A line as the authors have them: names, numbers of people, `<video>_<segment>`."""
    people = [*TEST, *TRAIN, "nobody"]
    label = int(voice == face)
    return (
        f"{number},{people.index(voice)},{people.index(face)},{label},"
        f"{name_of(voice)}/video{clip}_{clip:07d}.wav,{name_of(face)}/photos/{photo:07d}.jpg"
    )


def all_pairs(people: list[str]) -> list[str]:
    return [trial(number, *pair) for number, pair in enumerate(itertools.product(people, people), 1)]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    base = tmp_path_factory.mktemp("pins")
    snapshot = write_snapshot(base / "root", {"train": 8, "test": 6}, folders={})
    train(snapshot.config(base / "run", steps=3, checkpoint_every=100))
    meta = [f"{person}\t{name_of(person)}\tm\tUK\tdev" for person in [*TEST, *TRAIN]]
    unseen = all_pairs(TEST)
    lost, nobody = trial(101, "test000", "test000", clip=9), trial(102, "nobody", "test001")
    new = trial(103, "train000", "test000")
    lists = write(
        base / "lists",
        {
            "vox1_meta.csv": ["VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet", *meta],
            "Splits/identity_splits.txt": [f"{name_of(person)} 1 " for person in TRAIN]
            + [f"{name_of(person)} 4 " for person in [*TEST, "nobody"]],
            "veriflist/veriflist_test_random_unseenunheard.txt": [HEADER, *unseen, lost, nobody],
            "veriflist/veriflist_test_G_seenheard.txt": [HEADER, *all_pairs(TRAIN), new],
            "matching/matching_v2f_U.csv": [
                f"{voice}/video1/00001.wav {name_of(voice)}/1.6/photos/00001.jpg "
                + " ".join(f"{name_of(other)}/1.6/photos/00001.jpg" for other in TEST if other != voice)
                for voice in TEST
            ],
            "matching/matching_f2v_G.csv": [
                f"{name_of(face)}/1.6/photos/00000.jpg {face}/video0/00000.wav {TEST[(at + 2) % 6]}/video0/00000.wav"
                for at, face in enumerate(TEST)
            ],
        },
    )
    result = evaluate(base / "run", device="cpu", protocols=["pins"], lists=lists)
    return Judged(snapshot, base / "run", lists, result)


@pytest.mark.long
def test_every_kind_of_trial_has_its_table_with_controls(judged: Judged) -> None:
    tables = [table["table"] for table in judged.result["tables"]]
    assert tables == [
        "pins G_seenheard",
        "pins random_unseenunheard",
        "pins matching_f2v_G",
        "pins matching_v2f_U",
        "pins 1:N",
        "pins retrieval",
    ]
    for name in tables:
        rows = [row["name"] for row in judged.table(name)["rows"]]
        assert rows == [
            "sf2f, fused",
            "mean face",
            "linear voice regression",
            "shuffled voices",
            "sex only",
            "chance",
        ], name
        assert "| chance |" in markdown(judged.result)


@pytest.mark.long
def test_verification_of_controls_by_hand(judged: Judged) -> None:
    half = {"value": 0.5, "low": 0.5, "high": 0.5}
    assert judged.figures("pins random_unseenunheard", "chance") == {"auc": half, "eer": half}
    sex = judged.figures("pins random_unseenunheard", "sex only")
    assert sex["auc"]["value"] == pytest.approx(0.8), "own sex of 6 of 6 own faces and of 12 of 30 others"
    assert sex["eer"]["value"] == pytest.approx(0.4 / 1.4)
    assert 0 < sex["auc"]["low"] <= sex["auc"]["value"] <= sex["auc"]["high"] <= 1
    assert judged.table("pins random_unseenunheard")["rows"][0]["trials"] == 36
    assert judged.table("pins random_unseenunheard")["rows"][0]["people"] == 6


@pytest.mark.long
def test_matching_of_controls_by_hand(judged: Judged) -> None:
    assert judged.figures("pins matching_v2f_U", "chance")["matching_1_of_6"]["value"] == pytest.approx(1 / 6)
    assert judged.figures("pins matching_v2f_U", "sex only")["matching_1_of_6"]["value"] == pytest.approx(1 / 3)
    assert judged.figures("pins matching_v2f_U", "mean face")["matching_1_of_6"]["value"] == pytest.approx(1 / 6)
    assert judged.figures("pins matching_f2v_G", "sex only")["matching_1_of_2"]["value"] == pytest.approx(1 / 2)
    chance, sex = (judged.figures("pins 1:N", row) for row in ("chance", "sex only"))
    for count in range(2, 11):
        assert chance[f"matching_1_of_{count}"]["value"] == pytest.approx(1 / count)
    assert {row["trials"] for row in judged.table("pins 1:N")["rows"]} == {18}, "three clips of each, not by draw"
    # own face against ten others, of whom four are of one's own sex
    expected = (4 / 10) / 2 + 6 / 10
    assert sex["matching_1_of_2"]["value"] == pytest.approx(expected)
    ways = [math.comb(4, same) * math.comb(6, 4 - same) / math.comb(10, 4) for same in range(5)]
    five = sum(way / (1 + same) for same, way in enumerate(ways))
    assert sex["matching_1_of_5"]["value"] == pytest.approx(five)


@pytest.mark.long
def test_retrieval_of_controls_by_hand(judged: Judged) -> None:
    chance = judged.figures("pins retrieval", "chance")
    assert chance["map_face_for_voice"]["value"] == pytest.approx(average_precision(np.zeros(12), np.arange(12) < 2)), (
        "two portraits of each of six people"
    )
    assert chance["map_voice_for_face"]["value"] == pytest.approx(average_precision(np.zeros(18), np.arange(18) < 3))
    sex = judged.figures("pins retrieval", "sex only")["map_face_for_voice"]["value"]
    assert sex == pytest.approx(average_precision(np.zeros(6), np.arange(6) < 2))


@pytest.mark.long
def test_what_is_not_asked_is_said_with_its_line(judged: Judged) -> None:
    seen, unseen = (judged.table(f"pins {name}") for name in ("G_seenheard", "random_unseenunheard"))
    said = "\n".join(seen["notes"])
    assert "identity_splits.txt has 8/0/7 people; the published split has 901/100/250" in said
    assert "1 of 65 trials" in said
    assert "1 of people whom the run was not trained on (line 66: Name_train000/" in said
    assert "64 of 64 trials have a clip that was trained on, too" in said
    said = "\n".join(unseen["notes"])
    assert "2 of 38 trials cannot be asked of snapshot tiny0001" in said
    assert "1 name somebody who is not in it (line 39: Name_nobody/video0_0000000.wav)" in said
    assert "1 without clip (line 38: Name_test000/video9_0000009.wav)" in said
    assert seen["title"] == "Learnable PINs: verification, seen and heard, of one gender"
    assert unseen["title"] == "Learnable PINs: verification, unseen and unheard, any two people"


@pytest.mark.long
def test_retrieval_lists_say_what_it_is_among(judged: Judged, tmp_path: Path) -> None:
    wav = [f"{person}\t{person}/video0/00000.wav" for person in TEST]
    jpg = [f"{person}\t{name_of(person)}/1.6/photos/00000.jpg" for person in TEST]
    files = {
        "vox1_meta.csv": (judged.lists / "vox1_meta.csv").read_text().splitlines(),
        "identity_splits.txt": [f"{name_of(person)} 4" for person in TEST],
        "wav_20k.csv": ["VoxCeleb1 ID\twav", *wav, "train000\ttrain000/video0/00000.wav"],
        "jpg_20k.csv": ["VoxCeleb1 ID\tjpg", *jpg, "test000\tName_test000/1.6/photos/00007.jpg"],
    }
    result = evaluate(judged.run, device="cpu", protocols=["pins"], lists=write(tmp_path, files))
    tables = {table["table"]: table for table in result["tables"]}
    chance = next(row for row in tables["pins retrieval"]["rows"] if row["name"] == "chance")
    harmonic = sum(1 / rank for rank in range(1, 7)) / 6
    assert chance["figures"]["map_face_for_voice"]["value"] == pytest.approx(harmonic)
    assert tables["pins retrieval"]["title"].endswith("retrieval among 6 portraits and 6 clips of unseen people")
    notes = "\n".join(tables["pins retrieval"]["notes"])
    assert "wav_20k.csv: 1 of 7 trials cannot" in notes
    assert "1 of people whom the run was trained on (line 8: train000/video0/00000.wav)" in notes
    assert "jpg_20k.csv: 1 of 7 trials cannot" in notes


@pytest.mark.long
@pytest.mark.parametrize(("clip", "photo", "of"), [("0", "7", "jpg"), ("7", "0", "wav")])
def test_retrieval_lists_of_which_one_names_nothing_here_are_refused(
    judged: Judged, tmp_path: Path, clip: str, photo: str, of: str
) -> None:
    files = {
        "vox1_meta.csv": (judged.lists / "vox1_meta.csv").read_text().splitlines(),
        "wav_20k.csv": ["VoxCeleb1 ID\twav", f"test000\ttest000/video{clip}/0000{clip}.wav"],
        "jpg_20k.csv": ["VoxCeleb1 ID\tjpg", f"test000\tName_test000/1.6/photos/0000{photo}.jpg"],
        "identity_splits.txt": [f"{name_of(person)} 4" for person in TEST],
    }
    with pytest.raises(EvaluationError, match=rf"none of the unseen people of .* \({of}_20k.csv: 1 of 1 trials cannot"):
        evaluate(judged.run, device="cpu", protocols=["pins"], lists=write(tmp_path, files))


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        (
            LIST,
            [HEADER, trial(1, "train000", "train000"), trial(2, "train000", "test000")],
            "line 2: Name_train000 is in",
        ),
        (
            LIST,
            [HEADER, trial(1, "test000", "test000", photo=7), trial(2, "test000", "test001")],
            "leaves no trials of",
        ),
        ("matching_v2f_U.csv", ["x/v/1.wav x/p/1.jpg y/p/1.jpg"], "1 name somebody who is not in it"),
        (
            "matching_v2f_U.csv",
            ["test000/video0/00000.wav Name_test001/photos/00000.jpg Name_test000/photos/00000.jpg"],
            "line 1: the first candidate, and no other, is of the person of test000/video0",
        ),
        ("identity_splits.txt", ["Name_train000 4"], r"has none of the unseen people of .* \(1 of the 1 unseen people"),
    ],
)
def test_lists_that_this_run_cannot_be_asked(
    judged: Judged, tmp_path: Path, name: str, lines: list[str], message: str
) -> None:
    files = {
        "vox1_meta.csv": (judged.lists / "vox1_meta.csv").read_text().splitlines(),
        "identity_splits.txt": [f"{name_of(person)} 1" for person in TRAIN] + [f"{name_of(each)} 4" for each in TEST],
    }
    with pytest.raises(EvaluationError, match=message):
        evaluate(judged.run, device="cpu", protocols=["pins"], lists=write(tmp_path, files | {name: lines}))
