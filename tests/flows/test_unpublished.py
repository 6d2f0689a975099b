"""What a build leaves that ends without a version: it can be asked, looked at, decided anew and forgotten in."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from flows.cli import main
from tests.flows.building import build_arguments
from tests.in_process import InProcess, build_here
from voxdata.catalog import unpublished
from voxdata.catalog.database import UNPUBLISHED_CATALOG_KEY
from voxdata.catalog.garbage import find_garbage
from voxdata.catalog.named import named_query
from voxdata.catalog.query import run_query
from voxdata.catalog.snapshot import load_snapshot, published
from voxdata.catalog.versions import run_query_at
from voxdata.format.errors import BuildStoppedError, DecisionError, SourceError
from voxdata.pages.browse.session import Browsing
from voxdata.pages.review.session import ReviewSession
from voxdata.pipeline.build import Build
from voxdata.pipeline.build import build as run_build
from voxdata.pipeline.redecide import open_finished, preview, redecide
from voxdata.pipeline.runner import R
from voxdata.recipe.reading import load_recipe
from voxdata.recipe.sections import Recipe
from voxdata.simulate.corpus import CorpusSettings, write_corpus
from voxdata.store.storage import LocalStorage, open_storage

pytestmark = pytest.mark.long

CLEAN = dict.fromkeys(("truncated", "html", "no_face", "wrong_person", "several_people", "tiny"), 0.0)
SMALL = ("speech.measure.front_ends=[torch40]", "work.items_per_task=3", "work.items_per_part=1")
SHARES = ("splits.val_share=0.1", "splits.test_share=0.1")  # as they are, which rules without shares allow
TOO_STRICT = "faces.resolution.min_pupil_distance_px=5000"
PERSON = "id90002"
FUNNEL = "SELECT kind, outcome, items FROM funnel"


class Interrupted(InProcess):
    """Ctrl-C after a few items of a stage."""

    def __init__(self, stage: str) -> None:
        self._stage = stage

    def each(self, name: str, function: Callable[..., R], calls: Sequence[Mapping[str, Any]]) -> Iterator[R]:
        for number, call in enumerate(calls):
            if name == self._stage and number == 1:
                raise KeyboardInterrupt
            yield function(**call)


@pytest.fixture(autouse=True)
def _fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Durability is the business of the storage's own tests."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four painted people, and nothing wrong with their files."""
    folder = tmp_path_factory.mktemp("unpublished") / "corpus"
    write_corpus(folder, CorpusSettings(people=4, photos_per_person=3, clips_per_person=2, seed=3, **CLEAN))
    return folder


def recipe_of(corpus: Path, *settings: str) -> Recipe:
    words = build_arguments(corpus, corpus, *SMALL, *settings)
    return load_recipe("voxceleb-folder", [word for word in words if "=" in word])


def stop(corpus: Path, root: Path, *settings: str) -> str:
    """A build that ends without a version; what it says."""
    with pytest.raises(BuildStoppedError) as stopped:
        build_here(recipe_of(corpus, *settings), root)
    return str(stopped.value)


@pytest.fixture(scope="module")
def failed(clean: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A root in which nobody passed, and what the build said."""
    root = tmp_path_factory.mktemp("failed") / "root"
    return root, stop(clean, root, TOO_STRICT)


@pytest.fixture
def root(failed: tuple[Path, str], tmp_path: Path) -> Path:
    shutil.copytree(failed[0], tmp_path / "root")
    return tmp_path / "root"


@pytest.fixture(scope="module")
def whole(clean: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a version."""
    root = tmp_path_factory.mktemp("whole") / "root"
    build_here(recipe_of(clean), root)
    return root


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    capsys.readouterr()
    status = main([str(word) for word in words])
    return status, *capsys.readouterr()


def counts(root: Path) -> dict[tuple[str, str], int]:
    rows = run_query_at(open_storage(root), FUNNEL, unpublished=True).to_pylist()
    return {(row["kind"], row["outcome"]): row["items"] for row in rows}


def leftovers(root: Path) -> set[str]:
    return {path.name for path in root.iterdir()} & {unpublished.STATE_KEY, UNPUBLISHED_CATALOG_KEY}


def test_the_last_message_names_what_can_be_done(failed: tuple[Path, str], root: Path) -> None:
    said = failed[1]
    assert "12 low_resolution" in said
    assert "no person has a portrait and speech;" in said
    commands = re.findall(r"voxdata (report|sql --query what-if-faces|redecide)", said)
    assert commands == ["report", "sql --query what-if-faces", "redecide"]
    assert "--unpublished" not in said  # there is no version that could be meant
    (relaxed,) = re.findall(r"--set (\S+)$", said)
    setting, _, limit = relaxed.partition("=")
    assert setting == "faces.resolution.min_pupil_distance_px"
    rows = run_query_at(open_storage(root), named_query("what-if-faces").sql, unpublished=True).to_pylist()
    curve = [row for row in rows if row["rule"] == "low_resolution"]
    assert {row["people"] for row in curve if row["threshold"] > float(limit)} == {0}
    done = redecide(open_finished(str(root), [relaxed], unpublished=True), InProcess())
    assert done.snapshot == load_snapshot(LocalStorage(root)).id
    assert leftovers(root) == set()


def test_without_a_version_it_is_what_is_asked(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "sql", "--query", "funnel", "--root", root)
    assert (status, "low_resolution" in out) == (0, True)
    assert re.search(r"unpublished, as of \S+: the build has no version \(nobody is left", err)
    status, out, err = run(capsys, "sql", "SELECT snapshot_id FROM about", "--format", "json", "--root", root)
    assert (status, "null" in out, "unpublished" in err) == (0, True, True)
    faces = run_query_at(open_storage(root), "SELECT count(face_angle_deg) AS n FROM faces", unpublished=True)
    assert faces.to_pylist() == [{"n": 12}]


def test_it_can_be_looked_at(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "report.html"
    status, _, err = run(capsys, "report", "--root", root, "--out", page)
    text = page.read_text()
    assert (status, "unpublished" in err) == (0, True)
    assert "nobody is left" in text
    assert "low_resolution" in text
    assert text.count("data:image/jpeg") + text.count("data:image/png") + text.count("data:image/webp") > 3
    with closing(Browsing(open_storage(root), unpublished=True)) as browsing:
        rejected = browsing.faces("show=rejected&reason=low_resolution", 0, 9)
        assert (rejected["count"], browsing.faces("show=kept", 0, 9)["count"]) == (12, 0)
        picture, media_type = browsing.picture("face", rejected["faces"][0]["number"], rejected["generation"])
        assert (picture[:2], media_type) == (b"\xff\xd8", "image/jpeg")
    session = ReviewSession(open_storage(root), unpublished=True)
    try:
        (line, *_) = session.people("ada")["people"]
        card = session.person(line["person"], "ada")["faces"][0]
        session.say("ada", card["key"], "keep")
    finally:
        session.sheets.close()
    assert (line["face_count"], line["portraits"]) == (3, 0)
    done = redecide(open_finished(str(root), [], unpublished=True), InProcess())
    assert done.snapshot is not None
    kept = run_query(LocalStorage(root), "SELECT face_id FROM faces WHERE portrait").to_pylist()
    assert kept == [{"face_id": card["key"]}]


def test_a_dry_run_publishes_nothing(root: Path) -> None:
    done = preview(
        open_finished(str(root), ["faces.resolution.min_pupil_distance_px=30"], unpublished=True), InProcess()
    )
    assert (done.before, done.snapshot) == ("unpublished", None)
    totals = {row["what"]: (row["before"], row["after"]) for row in done.totals.to_pylist()}
    assert totals["people with portraits"][0] == 0 < totals["people with portraits"][1]
    assert published(LocalStorage(root)) == []
    assert leftovers(root) == {unpublished.STATE_KEY, UNPUBLISHED_CATALOG_KEY}


@pytest.mark.parametrize(
    "words",
    [
        ("train", "sf2f"),
        ("export", "huggingface", "OUT"),
        ("shards",),
        ("stats",),
        ("tag", "first"),
        ("sql", "from funnel", "--snapshot", "unpublished"),
        ("shards", "--snapshot", "unpublished"),
    ],
)
def test_what_needs_a_version_refuses_it(
    root: Path, tmp_path: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    named = [str(tmp_path / "out") if word == "OUT" else word for word in words]
    status, out, err = run(capsys, *named, "--root", root)
    assert status == 1, out + err
    assert err.count("\n") == 1
    assert "no version" in err
    assert f"voxdata redecide --unpublished --root {root} --set" in err


def test_asking_for_what_is_not_there(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "sql", "from funnel", "--unpublished", "--root", whole)
    assert (status, "nothing is unpublished" in err, err.count("\n")) == (1, True, 1)
    (tmp_path / "root").mkdir()
    status, _, err = run(capsys, "report", "--unpublished", "--root", tmp_path / "root")
    assert (status, "nothing is unpublished" in err) == (1, True)


@pytest.fixture
def both(whole: Path, clean: Path, tmp_path: Path) -> tuple[Path, str]:
    """A root with a version and, beside it, a build that nobody passed; and what that said."""
    shutil.copytree(whole, tmp_path / "both")
    return tmp_path / "both", stop(clean, tmp_path / "both", TOO_STRICT)


def test_a_version_stays_what_it_is(both: tuple[Path, str], whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, said = both
    assert (root / "catalog.duckdb").read_bytes() == (whole / "catalog.duckdb").read_bytes()
    assert said.count("--unpublished") == 3
    _, out, err = run(capsys, "sql", "--query", "funnel", "--root", root)
    assert "kept" in out
    assert "unpublished" not in err
    _, out, err = run(capsys, "sql", "--query", "funnel", "--unpublished", "--root", root)
    assert "kept" not in out
    assert "unpublished" in err
    status, out, _ = run(capsys, "verify", "--root", root)
    assert (status, "is sound" in out) == (0, True)


def test_the_next_version_ends_it(both: tuple[Path, str], clean: Path) -> None:
    root, _ = both
    assert leftovers(root) == {unpublished.STATE_KEY, UNPUBLISHED_CATALOG_KEY}
    build_here(recipe_of(clean), root)
    assert leftovers(root) == set()


def test_garbage_collection_keeps_it_until_a_version_follows(both: tuple[Path, str], whole: Path) -> None:
    storage = LocalStorage(both[0])
    left = unpublished.load(storage)
    assert left is not None
    needed = {key for keys in (*left.tables.values(), *left.shown.values()) for key in keys} | {left.recipe}
    going = find_garbage(storage, older_than_s=-1, now_s=4e9).sizes
    assert not needed & set(going)
    assert not leftovers(both[0]) & set(going)
    early = (both[0] / unpublished.STATE_KEY).read_text().replace(left.at, "2020-01-01T00:00:00+00:00")
    (both[0] / unpublished.STATE_KEY).write_text(early)
    going = find_garbage(storage, older_than_s=-1, now_s=4e9).sizes
    assert leftovers(both[0]) <= set(going)
    assert needed & set(going)


@pytest.mark.parametrize("stage", ["faces.measure", "faces.render", "speech.measure"])
def test_an_interrupted_build_can_be_asked_and_published(
    clean: Path, whole: Path, tmp_path: Path, stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    order = Build(storage=open_storage(root, create=True), recipe=recipe_of(clean))
    with pytest.raises(KeyboardInterrupt):
        run_build(order, Interrupted(stage))
    assert leftovers(root) == {unpublished.STATE_KEY}  # the prompt is back before a catalog could be built
    shutil.copytree(root, tmp_path / "resumed")
    status, _, err = run(capsys, "sql", "--query", "funnel", "--root", root)
    assert (status, "interrupted" in err) == (0, True), err
    looked_at = sum(items for (kind, _), items in counts(root).items() if kind == "faces")
    assert 0 < looked_at < 12 if stage == "faces.measure" else looked_at == 12
    heard = sum(items for (kind, _), items in counts(root).items() if kind == "speech")
    assert (0 < heard < 8) == (stage == "speech.measure")
    done = redecide(open_finished(str(root), [], unpublished=True), InProcess())
    portraits = run_query(LocalStorage(root), "SELECT count(*) AS n FROM portraits").to_pylist()[0]["n"]
    assert portraits > 0
    if stage != "faces.measure":
        assert done.snapshot == load_snapshot(LocalStorage(whole)).id
    # what was asked meanwhile leaves nothing that the same build, run again, takes for whole
    run(capsys, "sql", "--query", "funnel", "--root", tmp_path / "resumed")
    assert build_here(recipe_of(clean), tmp_path / "resumed") == load_snapshot(LocalStorage(whole)).id
    assert build_here(recipe_of(clean), root) == load_snapshot(LocalStorage(whole)).id


def test_too_many_unreadable_photos_are_shown_and_can_be_accepted(
    clean: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, root = tmp_path / "corpus", tmp_path / "root"
    shutil.copytree(clean, corpus)
    for photo in (corpus / "photos" / PERSON).iterdir():
        photo.write_bytes(b"<html>" + photo.name.encode())
    limits = ("limits.min_items=1", "limits.max_unreadable_share=0.1")
    said = stop(corpus, root, *limits)
    assert said.endswith("--set limits.max_unreadable_share=0.25")
    assert counts(root)["faces", "unreadable"] == 3
    assert sum(counts(root).values()) == 12
    done = redecide(open_finished(str(root), ["limits.max_unreadable_share=0.25"], unpublished=True), InProcess())
    people = run_query(LocalStorage(root), "SELECT DISTINCT person FROM samples").to_pylist()
    assert done.snapshot is not None
    assert 0 < len(people) < 4
    assert leftovers(root) == set()


def with_a_stranger(clean: Path, tmp_path: Path) -> Path:
    """The corpus, of whose people the metadata table has lost one."""
    corpus = tmp_path / "corpus"
    shutil.copytree(clean, corpus)
    table = corpus / "vox1_meta.csv"
    table.write_text("".join(line for line in table.read_text().splitlines(True) if PERSON not in line))
    return corpus


@pytest.mark.parametrize("rule", ["paper", "released", "vggface-vox1"])
def test_a_rule_of_splits_that_fails_is_what_is_changed(clean: Path, tmp_path: Path, rule: str) -> None:
    root = tmp_path / "root"
    with pytest.raises(DecisionError) as stopped:
        build_here(recipe_of(with_a_stranger(clean, tmp_path), f"splits.rule={rule}", *SHARES), root)
    said = str(stopped.value)
    assert f"splits.rule = {rule}: {PERSON} has no " in said
    assert "--set sources.metadata.path=FILE" in said
    (relaxed,) = re.findall(r"--set (\S+)$", said)
    assert relaxed == "splits.rule=leak-free"
    assert redecide(open_finished(str(root), [relaxed], unpublished=True), InProcess()).snapshot is not None


def test_no_speech_of_anybody_is_found_after_hours_of_faces(clean: Path, tmp_path: Path) -> None:
    """The faces stay, and are published once there is speech."""
    corpus, root = tmp_path / "corpus", tmp_path / "root"
    shutil.copytree(clean, corpus)
    shutil.move(corpus / "wav", tmp_path / "elsewhere")
    (corpus / "wav").mkdir()
    # no limit is at fault, so none is named
    with pytest.raises(SourceError, match=r"what was measured is kept, unpublished.* --root \S+, once that is mended$"):
        build_here(recipe_of(corpus), root)
    assert counts(root)["faces", "kept"] > 0
    shutil.rmtree(corpus / "wav")
    shutil.move(tmp_path / "elsewhere", corpus / "wav")
    assert redecide(open_finished(str(root), [], unpublished=True), InProcess()).snapshot is not None


def test_a_limit_on_speech_is_named_where_it_took_everybody(clean: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    said = stop(clean, root, "speech.select.min_speech_s=1000")
    assert "without_speech" in said
    assert "too_short" in said
    assert re.search(r"--set speech\.select\.min_speech_s=\d+$", said)
    found = counts(root)
    assert found["faces", "without_speech"] > 0
    assert ("faces", "kept") not in found
    assert ("speech", "kept") not in found


def test_who_is_forgotten_goes_from_it(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, table = tmp_path / "report.html", tmp_path / "faces.csv"
    assert run(capsys, "report", "--root", root, "--out", page)[0] == 0
    words = ("sql", "select * from faces", "--format", "csv", "--root", root, "--out", table)
    assert run(capsys, *words)[0] == 0
    assert PERSON in table.read_text()
    status, out, err = run(capsys, "forget", PERSON, "--reason", "asked to", "--yes", "--root", root)
    assert status == 0, out + err
    assert not page.exists()
    assert not table.exists()
    assert run(capsys, "verify", "--forgotten", "--root", root)[0] == 0
    assert UNPUBLISHED_CATALOG_KEY not in leftovers(root)  # it is built again when it is asked for
    status, out, _ = run(capsys, "sql", "select distinct person from faces order by all", "--root", root)
    assert (status, re.findall(r"id9\d+", out)) == (0, ["id90001", "id90003", "id90004"])
    assert run(capsys, "verify", "--forgotten", "--root", root)[0] == 0
    relaxed = "faces.resolution.min_pupil_distance_px=30"
    assert redecide(open_finished(str(root), [relaxed], unpublished=True), InProcess()).snapshot is not None
    assert not any(PERSON.encode() in path.read_bytes() for path in root.rglob("*") if path.is_file())


def test_a_damaged_note_is_one_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / unpublished.STATE_KEY).write_text("{")
    status, _, err = run(capsys, "report", "--root", root)
    assert (status, err.count("\n"), "unpublished.json" in err) == (1, 1, True)
