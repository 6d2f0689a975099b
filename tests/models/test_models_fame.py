"""Protocol `fame`: lists that are wrong, a tiny run over two languages and its score files."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from snapshot_writer import TinySnapshot, write_snapshot
from test_models_verification import rates

from models.errors import EvaluationError
from models.evaluate.__main__ import main
from models.evaluate.fame import FameScores, fame_mean
from models.evaluate.fame_lists import read_fame_lists
from models.evaluate.protocol import evaluate
from models.evaluate.report import markdown
from models.train import train
from voxdata.format.counting import Advance, silent
from voxdata.format.reader import open_local

LANGUAGES = ("English", "Urdu")


def write_lists(folder: Path, languages: dict[str, list[str]], labels: dict[str, list[str]] | None = None) -> Path:
    (folder / "labels").mkdir(parents=True)
    for language, lines in languages.items():
        (folder / f"{language}_test.txt").write_text("".join(f"{line}\n" for line in lines))
    for language, lines in (labels or {}).items():
        (folder / "labels" / f"{language}_test.txt").write_text("".join(f"{line}\n" for line in lines))
    return folder


GOOD = ["a1 voices/English/0.wav faces/English/0.jpg", "b2 voices/English/1.wav faces/English/1.jpg"]


@pytest.mark.parametrize(
    ("lines", "labels", "message"),
    [
        ([*GOOD, "c3,voices/2.wav,faces/2.jpg"], None, "line 3 has 1 field, where 3 fields are parted by blanks; it "),
        ([*GOOD, "c3\tvoices/2.wav\tfaces/2.jpg"], None, "line 3 has 1 field.* parted by tabs"),
        ([*GOOD, "c3 voices/2.wav"], None, "line 3 has 2 fields, where 3"),
        ([GOOD[0], "c3 faces/2.jpg voices/2.wav"], None, "line 2: faces/2.jpg stands where a voice is looked for"),
        ([GOOD[0], "a1 voices/2.wav faces/2.jpg"], None, "line 2: trial 'a1' stands in line 1, too"),
        (
            [*GOOD, f"c3 {GOOD[0][3:]}"],
            None,
            "line 3 repeats the voice and the face of line 1",
        ),
        ([], None, "English_test.txt has no lines"),
        (GOOD, ["a1 1", "b2 2"], "line 2: label '2'; 1 is one person"),
        (GOOD, ["a1 1"], "no label for 1 of 2 trials, the first is 'b2'"),
        (GOOD, ["a1 1", "x9 0"], "line 2: trial 'x9' is not in"),
        (GOOD, ["a1 1", "a1 0"], "line 2: trial 'a1' is labelled twice"),
        (GOOD, ["1", "0", "1"], "has 3 labels without trials, and .* 2 trials"),
        (GOOD, ["a1 1", "0"], "line 2 has 1 fields, not a trial and its label"),
    ],
)
def test_wrong_lists_are_refused_by_file_and_line(
    tmp_path: Path, lines: list[str], labels: list[str] | None, message: str
) -> None:
    folder = write_lists(tmp_path / "lists", {"English": lines}, {"English": labels} if labels else None)
    with pytest.raises(EvaluationError, match=message):
        read_fame_lists(folder)


def test_folders_without_lists_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"nowhere: no such folder; --lists takes"):
        read_fame_lists(tmp_path / "nowhere")
    (tmp_path / "English_train.txt").write_text("id1/a.wav id1/a.jpg\n")
    with pytest.raises(EvaluationError, match=r"no LANGUAGE_test.txt for the protocol fame"):
        read_fame_lists(tmp_path)
    (tmp_path / "English_test.txt").write_bytes(b"\xff\xfea\x00")
    with pytest.raises(EvaluationError, match=r"is no UTF-8 text \(byte 0\); save it as UTF-8"):
        read_fame_lists(tmp_path)
    (tmp_path / "English_test.txt").write_text(f"{GOOD[0]}\n")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "Urdu_test.txt").write_text("a1 1\n")
    with pytest.raises(EvaluationError, match=r"Urdu_test.txt are of no list of .*; name both alike"):
        read_fame_lists(tmp_path)


def test_labels_alone_are_in_the_order_of_the_trials(tmp_path: Path) -> None:
    bare = read_fame_lists(write_lists(tmp_path / "a", {"English": GOOD}, {"English": ["0", "1"]}))
    named = read_fame_lists(write_lists(tmp_path / "b", {"English": GOOD}, {"English": ["b2 1", "a1 0"]}))
    for lists in (bare, named):
        assert [trial.same for trial in lists.trials["English"]] == [False, True]
        assert lists.labelled("English")


@dataclass(frozen=True)
class Judged:
    snapshot: TinySnapshot
    run: Path
    lists: Path
    labels: dict[str, int]
    result: dict[str, Any]

    @property
    def table(self) -> dict[str, Any]:
        (found,) = (table for table in self.result["tables"] if table["table"] == "fame")
        return dict(found)


def trials(people: list[str], language: int) -> tuple[list[str], dict[str, int]]:
    """Every person's clip of a language with everybody's first portrait, and who is one person."""
    lines, labels = [], dict[str, int]()
    for at, (voice, face) in enumerate(itertools.product(people, people)):
        key = f"{LANGUAGES[language][0].lower()}{at}"
        clip = f"voices/{voice}/{LANGUAGES[language]}/video{language}/{language:05d}.wav"
        lines.append(f"{key} {clip} faces/{face}/photos/00000.jpg")
        labels[key] = int(voice == face)
    return lines, labels


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    base = tmp_path_factory.mktemp("fame")
    folders = {"train": ["English"], "test": LANGUAGES}
    snapshot = write_snapshot(base / "root", {"train": 10, "test": 6}, folders=folders)
    train(snapshot.config(base / "run", steps=3, checkpoint_every=100))
    people = [f"test{number:03d}" for number in range(6)]
    lines: dict[str, list[str]] = {}
    labels: dict[str, int] = {}
    for number, language in enumerate(LANGUAGES):
        lines[language], found = trials(people, number)
        labels |= found
    lines["Urdu"].append("lost1 voices/test000/Urdu/video9/00009.wav faces/test000/photos/00000.jpg")
    lines["Urdu"].append("lost2 voices/test000/Urdu/video1/00001.wav faces/test000/photos/00007.jpg")
    labels |= {"lost1": 1, "lost2": 1}
    said = {
        language: [f"{line.split()[0]} {labels[line.split()[0]]}" for line in lines[language]] for language in lines
    }
    lists = write_lists(base / "lists", lines, said)
    result = evaluate(base / "run", device="cpu", protocols=["fame"], lists=lists)
    return Judged(snapshot, base / "run", lists, labels, result)


@pytest.mark.long
def test_score_files_have_every_trial_in_order_and_give_the_same_error_rates(judged: Judged) -> None:
    rows = {row["name"]: row for row in judged.table["rows"]}
    assert judged.table["files"] == ["fame/sub_score_English_heard.txt", "fame/sub_score_Urdu_unheard.txt"]
    rate = []
    for name in judged.table["files"]:
        written = [line.split(" ") for line in (judged.run.parent / "run" / name).read_text().splitlines()]
        language = Path(name).stem.split("_")[2]
        listed = [line.split()[0] for line in (judged.lists / f"{language}_test.txt").read_text().splitlines()]
        assert [key for key, _ in written] == listed
        asked = [(-float(score), judged.labels[key]) for key, score in written if not key.startswith("lost")]
        eer, auc = rates(*(list(each) for each in zip(*asked, strict=True)))
        heard = Path(name).stem.removeprefix("sub_score_")
        figures = rows["sf2f, fused"]["figures"]
        assert figures[f"eer_{heard}"]["value"] == pytest.approx(eer, abs=0.03), "six digits may tie"
        assert figures[f"auc_{heard}"]["value"] == pytest.approx(auc, abs=0.03)
        rate.append(figures[f"eer_{heard}"]["value"])
        lost = [float(score) for key, score in written if key.startswith("lost")]
        assert lost == pytest.approx([np.median([-score for score, _ in asked])] * len(lost), abs=1e-5)
    assert rows["sf2f, fused"]["figures"]["eer_mean"]["value"] == pytest.approx(np.mean(rate))


@pytest.mark.long
def test_controls_say_what_they_must(judged: Judged) -> None:
    rows = {row["name"]: row for row in judged.table["rows"]}
    assert list(rows) == [
        "sf2f, fused",
        "mean face",
        "linear voice regression",
        "shuffled voices",
        "sex only",
        "chance",
    ]
    for key in ("eer_English_heard", "auc_English_heard", "eer_Urdu_unheard", "eer_mean"):
        assert rows["chance"]["figures"][key] == {"value": 0.5, "low": 0.5, "high": 0.5}
    # three of each sex, all pairs: own sex 6 of 6 matching, 12 of 30 others; the rate lies between (0.4, 1) and (0, 0)
    assert rows["sex only"]["figures"]["eer_English_heard"]["value"] == pytest.approx(0.4 / 1.4)
    assert rows["sex only"]["figures"]["auc_English_heard"]["value"] == pytest.approx(0.8)
    assert rows["mean face"]["figures"]["auc_English_heard"]["value"] == pytest.approx(0.5)
    assert rows["shuffled voices"]["draws"] == 5
    assert {row["trials"] for row in judged.table["rows"]} == {72}
    for row in judged.table["rows"]:
        for figure in row["figures"].values():
            assert figure["low"] <= figure["high"]


@pytest.mark.long
def test_what_cannot_be_asked_is_said_with_its_line(judged: Judged) -> None:
    notes = "\n".join(judged.table["notes"])
    assert "the run was trained on 20 clips of English" in notes
    assert (
        "Urdu_test.txt: 2 of 38 trials cannot be asked of snapshot tiny0001 and are left out: 1 without clip (line 37: "
        "voices/test000/Urdu/video9/00009.wav); 1 without portrait (line 38: faces/test000/photos/00007.jpg)"
    ) in notes
    assert "the 2 trials that cannot be asked have the median" in notes
    assert "intervals are over the 6 people of the trials" in notes
    text = markdown(judged.result)
    assert "## FAME: verification over languages, trained on English" in text
    assert "| EER, English heard % |" in text
    assert "72 trials." in text
    assert "lost" not in text


@pytest.mark.long
def test_the_same_seed_gives_the_same_table(judged: Judged) -> None:
    again = evaluate(judged.run, device="cpu", protocols=["fame"], lists=judged.lists)
    assert next(table for table in again["tables"] if table["table"] == "fame") == judged.table


@pytest.mark.long
def test_without_labels_there_are_scores_and_no_rates(judged: Judged, tmp_path: Path) -> None:
    for language in LANGUAGES:
        (tmp_path / f"{language}_test.txt").write_bytes((judged.lists / f"{language}_test.txt").read_bytes())
    before = {name: (judged.run.parent / "run" / name).read_bytes() for name in judged.table["files"]}
    result = evaluate(judged.run, device="cpu", protocols=["fame"], lists=tmp_path)
    (table,) = (table for table in result["tables"] if table["table"] == "fame")
    assert {name: (judged.run.parent / "run" / name).read_bytes() for name in table["files"]} == before
    assert [row["figures"] for row in table["rows"]] == [{}]
    assert "English, Urdu: no labels, so no error rates; the scores can be handed in" in markdown(result)


@pytest.mark.long
@pytest.mark.parametrize(
    ("protocols", "lists", "message"),
    [
        (["fame"], False, r"protocol fame: no lists are given; add --lists FOLDER"),
        (["full"], True, r"no protocol goes by lists among full; add --protocol fame or pins"),
        (["all"], True, r"no protocol goes by lists among all"),
        (["pins"], True, r"no veriflist_test_\*.txt, matching_\*.csv or identity_splits.txt"),
    ],
)
def test_lists_and_protocols_belong_together(judged: Judged, protocols: list[str], lists: bool, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        evaluate(judged.run, device="cpu", protocols=protocols, lists=judged.lists if lists else None)


@pytest.mark.long
def test_people_of_the_training_and_unknown_languages_are_no_trials(judged: Judged, tmp_path: Path) -> None:
    mine = "a1 voices/train000/English/video0/00000.wav faces/train000/photos/00000.jpg"
    lists = write_lists(tmp_path / "own", {"English": [mine]})
    with pytest.raises(EvaluationError, match=r"1 of 1 trials cannot .* 1 of people whom the run was trained on"):
        evaluate(judged.run, device="cpu", protocols=["fame"], lists=lists)
    other = write_lists(tmp_path / "other", {"Hindi": [mine]})
    shown: list[str] = []

    def counting(label: str, total: int) -> AbstractContextManager[Advance]:
        shown.append(label)
        return silent(label, total)

    with pytest.raises(EvaluationError, match=r"no clip that the run was trained on lies in a folder named Hindi"):
        evaluate(judged.run, device="cpu", protocols=["fame", "lengths"], lists=other, counting=counting)
    assert shown == []  # lists are refused before anything is judged


@pytest.mark.long
def test_a_path_that_names_two_samples_is_refused(judged: Judged, tmp_path: Path) -> None:
    lists = write_lists(tmp_path / "two", {"English": ["a1 voices/video0/00000.wav faces/photos/00000.jpg"]})
    with pytest.raises(EvaluationError, match=r"voices/video0/00000.wav may be \S+ or \S+ of the snapshot"):
        evaluate(judged.run, device="cpu", protocols=["fame"], lists=lists)


@pytest.mark.long
def test_a_snapshot_that_does_not_say_where_samples_come_from(
    judged: Judged, make_snapshot: Callable[..., TinySnapshot], tmp_path: Path
) -> None:
    bare = make_snapshot({"train": 4, "test": 2})
    train(bare.config(tmp_path / "bare", steps=1, checkpoint_every=100))
    with pytest.raises(EvaluationError, match=r"has no source_key, so nobody can tell"):
        evaluate(tmp_path / "bare", device="cpu", protocols=["fame"], lists=judged.lists)


@pytest.mark.long
def test_clips_and_portraits_may_be_in_another_root(judged: Judged, tmp_path: Path) -> None:
    other = write_snapshot(tmp_path / "other", {"val": 3}, identifier="tiny0002", folders={"val": LANGUAGES})
    people, lines, said = ["val000", "val001", "val002"], {}, {}
    for number, language in enumerate(LANGUAGES):
        lines[language], labels = trials(people, number)
        said[language] = [f"{key} {label}" for key, label in labels.items()]
    lists = write_lists(tmp_path / "lists", lines, said)
    place = (str(other.root), other.id)
    result = evaluate(judged.run, device="cpu", protocols=["fame"], lists=lists, lists_from=place)
    (table,) = (table for table in result["tables"] if table["table"] == "fame")
    assert (table["rows"][0]["trials"], table["rows"][0]["people"], table["heard"]) == (18, 3, ["English"])
    assert sum("people of the training has the same name in snapshot tiny0002" in note for note in table["notes"]) == 1
    assert result["snapshot"] == judged.snapshot.id
    shards = {entry.sha256[:16] for entry in open_local(other.root, other.id).snapshot.shards if entry.kind == "faces"}
    kept = {
        root: {path.name[:16] for path in (root / "cache").glob("*.npy")} for root in (other.root, judged.snapshot.root)
    }
    assert (kept[other.root], kept[judged.snapshot.root] & shards) == (shards, set()), "forgetting goes by root"
    with pytest.raises(EvaluationError, match=r"9 of 9 trials cannot be asked of snapshot tiny0001"):
        evaluate(judged.run, device="cpu", protocols=["fame"], lists=lists)


@pytest.mark.long
def test_an_aligned_voice_is_compared_without_painting(judged: Judged, tmp_path: Path) -> None:
    from test_models_align import small

    train(small(judged.snapshot, tmp_path / "align"))
    result = evaluate(tmp_path / "align", device="cpu", protocols=["fame"], lists=judged.lists)
    (table,) = (table for table in result["tables"] if table["table"] == "fame")
    assert [row["name"] for row in table["rows"]][:2] == ["align, voice", "align, fused"]
    assert all(row["kind"] == "system" for row in table["rows"][:2])
    assert "sub_score_English_heard.txt has the distances of align, voice" in "\n".join(table["notes"])


@pytest.mark.long
def test_the_command_takes_the_lists(judged: Judged, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(judged.run), "--protocol", "fame", "--lists", str(judged.lists)]) == 0
    assert "EER, Urdu unheard %" in capsys.readouterr().out
    assert main([str(judged.run), "--protocol", "fame"]) == 1
    assert "add --lists FOLDER" in capsys.readouterr().err


def scores(run: str, heard: str, shift: float, people: tuple[str, ...] = ("p", "q")) -> FameScores:
    samples = np.array([0.2, 0.4]) + shift
    return FameScores(
        run=run,
        heard=(heard,),
        people=people,
        kinds={"sf2f, fused": "system"},
        rates={("sf2f, fused", language): (0.3 + shift, samples) for language in LANGUAGES},
    )


def test_a_row_that_lacks_a_rate_has_no_mean() -> None:
    """As sex alone, where of nobody in one list the sex is known: it would be a mean over easier or harder trials."""
    both = []
    for run, heard, languages in (("a", "English", LANGUAGES), ("b", "Urdu", LANGUAGES[:1])):
        told, sample = scores(run, heard, 0.0), (0.2, np.array([0.1, 0.3]))
        rates = {**told.rates, **{("sex only", language): sample for language in languages}}
        both.append(replace(told, kinds={**told.kinds, "sex only": "control"}, rates=rates))
    means = {row["name"]: "eer_mean" in row["figures"] for row in fame_mean(both)["rows"]}
    assert means == {"sf2f, fused": True, "sex only": False}


def test_the_mean_of_four_is_over_both_models_and_languages() -> None:
    (row,) = fame_mean([scores("a", "English", 0.0), scores("b", "Urdu", 0.1)])["rows"]
    assert set(row["figures"]) == {
        "eer_English to English",
        "eer_English to Urdu",
        "eer_Urdu to English",
        "eer_Urdu to Urdu",
        "eer_mean",
    }
    mean = row["figures"]["eer_mean"]
    assert mean["value"] == pytest.approx((0.3 + 0.3 + 0.4 + 0.4) / 4)
    assert (mean["low"], mean["high"]) == (pytest.approx(0.255), pytest.approx(0.445))
    apart = fame_mean([scores("a", "English", 0.0), scores("b", "Urdu", 0.1, ("p", "r"))])
    assert apart["notes"] == ["the runs were asked about other people: no intervals"]
    assert set(apart["rows"][0]["figures"]["eer_mean"]) == {"value"}
    assert not math.isnan(apart["rows"][0]["figures"]["eer_mean"]["value"])
    with pytest.raises(EvaluationError, match="runs a, b have all heard English"):
        fame_mean([scores("a", "English", 0.0), scores("b", "English", 0.1)])
