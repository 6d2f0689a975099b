"""Every place that counts portraits, people and utterances of a version says what its snapshot says.

One person has no speech, one too few photos, one opted out: each costs portraits that were good, in a way of its own.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import voxdata
from tests.flows.building import Voxdata, build_arguments
from tests.flows.deployed import Api
from voxdata.catalog.diff import diff
from voxdata.catalog.named import named_query
from voxdata.catalog.query import run_query, stats
from voxdata.catalog.snapshot import load_snapshot
from voxdata.exchange.datasheet import datasheet
from voxdata.exchange.export_facts import facts_of
from voxdata.format.snapshot import Snapshot
from voxdata.pages.report.page import build_report
from voxdata.pages.review.session import ReviewSession
from voxdata.simulate.corpus import CorpusSettings, write_corpus
from voxdata.store.storage import LocalStorage

pytestmark = pytest.mark.long

CLEAN = dict.fromkeys(("truncated", "html", "no_face", "wrong_person", "several_people", "tiny"), 0.0)
SILENT, FEW, OUT = "id90001", "id90002", "id90003"
PHOTOS = 4
SETTINGS = ("speech.measure.front_ends=[torch40]", "faces.select.min_per_identity=2", "faces.select.max_per_identity=3")


class Counts(NamedTuple):
    people: int
    portraits: int
    utterances: int


class World:
    """Two versions under one root: before the opt-out and after it."""

    def __init__(self, root: Path, artifacts: dict[str, Any]) -> None:
        self.storage = LocalStorage(root)
        self.now = load_snapshot(self.storage)
        self.artifacts = artifacts

    def ask(self, sql: str) -> list[dict[str, Any]]:
        return run_query(self.storage, sql).to_pylist()

    def query(self, name: str) -> list[dict[str, Any]]:
        return self.ask(named_query(name).sql)

    def one(self, sql: str) -> int:
        (row,) = self.ask(sql)
        return int(next(iter(row.values())))


def counted(snapshot: Snapshot) -> Counts:
    of_splits = snapshot.counts.values()
    return Counts(*(sum(split[name] for split in of_splits) for name in ("identities", "portraits", "utterances")))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, voxdata: Voxdata, prefect_environment: dict[str, str]) -> World:
    folder = tmp_path_factory.mktemp("counts")
    corpus, root = folder / "corpus", folder / "root"
    write_corpus(corpus, CorpusSettings(people=7, photos_per_person=PHOTOS, clips_per_person=2, seed=3, **CLEAN))
    shutil.rmtree(corpus / "wav" / SILENT)
    for photo in sorted((corpus / "photos" / FEW).iterdir())[1:]:
        photo.unlink()
    built = voxdata(*build_arguments(corpus, root, *SETTINGS))
    assert built.returncode == 0, built.stderr
    assert voxdata("tag", "first", "--root", str(root)).returncode == 0
    assert voxdata("optout", OUT, "--reason", "a letter", "--root", str(root)).returncode == 0
    decided = voxdata("redecide", "--root", str(root), PREFECT_API_URL=prefect_environment["PREFECT_API_URL"])
    assert decided.returncode == 0, decided.stderr
    api = Api(prefect_environment["PREFECT_API_URL"], prefect_environment)
    shown = api.filter("artifacts", artifacts={"key": {"any_": ["funnel", "splits"]}}, sort="CREATED_DESC")
    named = {each["key"]: each["data"] for each in shown if str(root) in each["description"]}
    return World(root, {key: json.loads(data) for key, data in named.items()})


def kept(rows: list[dict[str, Any]], kind: str | None = None) -> int:
    return sum(row["items"] for row in rows if row["outcome"] == "kept" and kind in (None, row.get("kind")))


def table_1(rows: list[dict[str, Any]]) -> Counts:
    total = {row["Attribute"]: int(row["Total"].replace(",", "")) for row in rows if row["Attribute"] != "Avg. Reso."}
    return Counts(total["#Identity"], total["#Image"], total["#Speech"])


def in_force(world: World, query: str, column: str) -> set[int]:
    """What the limits that hold now leave, of every rule the same."""
    return {row[column] for row in world.query(query) if row["in_force"]}


def opened(world: World) -> Counts:
    with voxdata.open(world.storage.path) as dataset:
        faces, speech = dataset.portraits(), dataset.utterances()
    return Counts(len(set(faces["person"].to_pylist())), faces.num_rows, speech.num_rows)


def pairs(world: World) -> int:
    with voxdata.open(world.storage.path) as dataset:
        splits = [split for split, of in world.now.counts.items() if of["identities"]]
        return sum(len(dataset.pairs(split, front_end="torch40").people) for split in splits)


def diffed(world: World) -> Counts:
    rows = {row["what"]: row["after"] for row in diff(world.storage, "first").totals.to_pylist()}
    return Counts(rows["people"], rows["portraits"], rows["utterances"])


def reported(world: World) -> Counts:
    """The tiles of the page."""
    found = re.findall(r"<b>([\d,]+)</b><span>(people|portraits|utterances)</span>", build_report(world.storage))
    named = {name: int(value.replace(",", "")) for value, name in found}
    return Counts(named["people"], named["portraits"], named["utterances"])


def in_datasheet(world: World) -> Counts:
    with voxdata.open(world.storage.path) as dataset:
        text = datasheet(facts_of(dataset))
    (found,) = re.findall(r"(\d+) people, (\d+) portraits, (\d+) utterances", text)
    return Counts(*map(int, found))


def reviewed(world: World) -> tuple[int, int]:
    session = ReviewSession(world.storage)
    try:
        lines = session.people("ada")["people"]
    finally:
        session.sheets.close()
    return sum(line["portraits"] > 0 for line in lines), sum(line["portraits"] for line in lines)


def redecided(world: World, when: str) -> Counts:
    """What `voxdata redecide --dry-run` prints, without a change."""
    from tests.in_process import InProcess
    from voxdata.pipeline.redecide import open_finished, preview

    done = preview(open_finished(str(world.storage.path), []), InProcess())
    totals = {row["what"]: row[when] for row in done.totals.to_pylist()}
    funnel = {(row["kind"], row["outcome"]): row[when] for row in done.funnel.to_pylist()}
    assert totals["portraits"] == funnel["faces", "kept"]
    return Counts(totals["people with portraits"], totals["portraits"], funnel["speech", "kept"])


PLACES: dict[str, tuple[str, Callable[[World], Any]]] = {
    "Table 1": ("all", lambda w: table_1(stats(w.storage).to_pylist())),
    "Table 1, the artifact": ("all", lambda w: table_1(w.artifacts["splits"])),
    "split_summary": (
        "all",
        lambda w: next(Counts(r["identities"], r["images"], r["utterances"]) for r in w.query("splits")),
    ),
    "voxdata.open": ("all", opened),
    "diff": ("all", diffed),
    "report": ("all", reported),
    "datasheet": ("all", in_datasheet),
    "redecide, before": ("all", lambda w: redecided(w, "before")),
    "redecide, after": ("all", lambda w: redecided(w, "after")),
    "versions": (
        "all",
        lambda w: next(Counts(r["identities"], r["portraits"], r["utterances"]) for r in w.query("versions")[1:]),
    ),
    "review": ("faces", reviewed),
    "samples": (
        "faces",
        lambda w: (
            w.one("SELECT count(DISTINCT person) FROM samples"),
            w.one("SELECT count(*) FROM samples WHERE kind = 'faces'"),
        ),
    ),
    "faces": (
        "faces",
        lambda w: (
            w.one("SELECT count(DISTINCT person) FROM faces WHERE portrait"),
            w.one("SELECT count(*) FROM faces WHERE portrait"),
        ),
    ),
    "faces by verdict": (
        "faces",
        lambda w: (
            w.one("SELECT count(DISTINCT person) FROM faces WHERE verdict = 'keep'"),
            w.one("SELECT count(*) FROM faces WHERE verdict = 'keep'"),
        ),
    ),
    "identity_summary": (
        "faces",
        lambda w: (
            w.one("SELECT count(DISTINCT person) FROM identity_summary WHERE portraits > 0"),
            w.one("SELECT sum(portraits) FROM identity_summary"),
        ),
    ),
    "best-documented": (
        "faces",
        lambda w: (len(w.query("best-documented")), sum(row["portraits"] for row in w.query("best-documented"))),
    ),
    "hours-by-sex": (
        "faces",
        lambda w: tuple(sum(row[name] for row in w.query("hours-by-sex")) for name in ("people", "portraits")),
    ),
    "portraits": ("portraits", lambda w: w.one("SELECT count(*) FROM portraits")),
    "provenance": ("portraits", lambda w: w.one("SELECT count(*) FROM provenance WHERE kind = 'faces'")),
    "provenance, the query": ("portraits", lambda w: sum(row["kind"] == "faces" for row in w.query("provenance"))),
    "funnel": ("portraits", lambda w: kept(w.query("funnel"))),
    "funnel, the artifact": ("portraits", lambda w: kept(w.artifacts["funnel"], "faces")),
    "funnel-by-host": ("portraits", lambda w: kept(w.query("funnel-by-host"))),
    "licences": ("portraits", lambda w: sum(row["portraits"] for row in w.query("licences"))),
    "yield": ("portraits", lambda w: sum(row["portraits"] for row in w.query("yield"))),
    "pose-histogram": ("portraits", lambda w: sum(row["portraits"] for row in w.query("pose-histogram"))),
    "shard-balance": (
        "portraits",
        lambda w: sum(row["samples"] for row in w.query("shard-balance") if row["kind"] == "faces"),
    ),
    "what-if-faces": ("each portraits", lambda w: in_force(w, "what-if-faces", "portraits")),
    "what-if-faces, people": ("each people", lambda w: in_force(w, "what-if-faces", "people")),
    "what-if-clips": ("each utterances", lambda w: in_force(w, "what-if-clips", "clips")),
    "what-if-clips, people": ("each people", lambda w: in_force(w, "what-if-clips", "people")),
    "pairs": ("people", pairs),
    "speech-funnel": ("utterances", lambda w: kept(w.query("speech-funnel"))),
    "kept clips": ("utterances", lambda w: w.one("SELECT sum(kept_clips) FROM identity_summary")),
    "speech": ("utterances", lambda w: w.one("SELECT count(*) FROM speech")),
}


@pytest.mark.parametrize("place", PLACES)
def test_it_counts_what_the_snapshot_holds(world: World, place: str) -> None:
    told, ask = PLACES[place]
    counts = counted(world.now)
    expected = {
        "all": counts,
        "faces": (counts.people, counts.portraits),
        **counts._asdict(),
        **{f"each {name}": {value} for name, value in counts._asdict().items()},
    }
    assert ask(world) == expected[told]


def test_every_face_that_was_good_is_somewhere(world: World) -> None:
    """The funnel adds up, and says where the portraits of those three people went."""
    faces = world.ask("SELECT person, coalesce(reason, 'kept') AS outcome FROM faces")
    funnel = {row["outcome"]: row["items"] for row in world.query("funnel")}
    assert funnel == Counter(row["outcome"] for row in faces)
    of_person = {name: Counter(r["outcome"] for r in faces if r["person"] == name) for name in (SILENT, FEW, OUT)}
    assert of_person[SILENT]["without_speech"] >= 2
    assert of_person[FEW] == {"too_few_portraits": 1}
    assert set(of_person[OUT]) == {"opted_out"}
    assert funnel["without_speech"] == of_person[SILENT]["without_speech"]
    assert "no speech of the person was kept" in build_report(world.storage)


def test_the_person_without_speech_is_in_no_split(world: World) -> None:
    assert world.one(f"SELECT count(*) FROM samples WHERE person = '{SILENT}'") == 0
    (row,) = [row for row in world.query("yield") if row["identity"] == SILENT]
    assert (row["portraits"], row["split"], row["kept_clips"]) == (0, None, 0)
    assert counted(world.now).people == 4
    assert counted(load_snapshot(world.storage, "first")).people == 5


def test_the_opt_out_is_the_difference(world: World) -> None:
    changed = [row for row in diff(world.storage, "first").redecided.to_pylist() if row["kind"] == "face"]
    assert {(row["reason_before"], row["reason_after"]) for row in changed} >= {("kept", "opted_out")}
    assert not any("without_speech" in (row["reason_before"], row["reason_after"]) for row in changed)
