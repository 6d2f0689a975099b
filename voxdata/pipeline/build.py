"""From sources to a published snapshot.

    crawl -> faces.measure -> faces.link -> faces.decide -> faces.render -> faces.decide (final)
          -> speech.find -> speech.measure -> speech.decide -> split -> speech.audio (where it is asked for)
          -> pack -> publish

The order stands here and nowhere else; where the steps run and who hears of them is the `Runner`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from voxdata.faces.purity import NOBODY_CHECKS, OFFERED
from voxdata.format.errors import RootMissingError
from voxdata.pipeline import packing, steps
from voxdata.pipeline.check import check
from voxdata.pipeline.face_verdicts import Decision
from voxdata.pipeline.findings import Findings
from voxdata.pipeline.linking import link_faces
from voxdata.pipeline.measured import MeasuredFaces
from voxdata.pipeline.progress import logger
from voxdata.pipeline.runner import Runner
from voxdata.pipeline.stages import FACES_MEASURE, FACES_RENDER, SPEECH_AUDIO, SPEECH_MEASURE
from voxdata.pipeline.unpublished import Attempt, attempted, note_crawl
from voxdata.recipe.reading import load_recipe
from voxdata.recipe.sections import Recipe
from voxdata.store.locks import building
from voxdata.store.storage import Storage, open_storage
from voxdata.store.torn import drop_torn


@dataclass(frozen=True, kw_only=True)
class Build:
    """What is to be built, read and looked at: the recipe is sound, its sources hold what a build needs, the root can
    be written, and its files are whole."""

    storage: Storage
    recipe: Recipe


def open_build(root: str, recipe: str, settings: Sequence[str]) -> Build:
    """Read the order for a build: a shipped recipe's name or a file, `key=value` pairs on top, and the root.

    Nothing is made before everything was found. Raises `RecipeError`, `StorageError`, and what a build would stop on
    later (`check.py`).
    """
    chosen = load_recipe(recipe, settings)
    there = existing_root(root)
    if there is not None:
        drop_torn(there)  # first: tables that builds have left are read to see who the people are
    findings = check(chosen, there)
    findings.stop()
    logger.info("build %s into %s", recipe, root)
    _say(findings)
    if chosen.faces.measure.embedding_model is None and chosen.faces.select.reviewed != "required":
        logger.warning(
            "nobody checks whose faces these are: %s; run: voxdata weights pull %s, and add: "
            "--set faces.measure.embedding_model=%s",
            *(NOBODY_CHECKS, OFFERED, OFFERED),
        )
    return Build(storage=open_storage(root, create=True), recipe=chosen)


def existing_root(root: str) -> Storage | None:
    """The root, None where there is none yet. Raises `StorageError`."""
    try:
        return open_storage(root)
    except RootMissingError:
        return None


def _say(findings: Findings) -> None:
    """What one wants to know before hours of work; `voxdata check` says more."""
    people = findings.people
    if people is not None:
        logger.info("%d people of the sources can be used", people.usable)
        for what, some in (("photos and no speech", people.photos_only), ("speech and no photos", people.speech_only)):
            if some.count:
                logger.info("%d people have %s: %s", some.count, what, some)
    for note in findings.notes:
        logger.warning("%s", note)


def build(order: Build, runner: Runner) -> str:
    """Build or update the dataset and return the id of the published snapshot."""
    storage, recipe = order.storage, order.recipe
    with building(storage):
        return _build(storage, recipe, runner)


def _build(storage: Storage, recipe: Recipe, runner: Runner) -> str:
    with attempted(storage, recipe) as attempt:
        note_crawl(storage, recipe)
        attempt.note(photos=runner.step("crawl", steps.crawl, storage, recipe, runner.crawling))
        attempt.do(FACES_MEASURE, attempt.keys["photos"], runner)
        choose_portraits(storage, recipe, attempt, runner)
        attempt.note(utterance_files=runner.step("speech.find", steps.find_speech, storage, recipe, attempt.keys))
        attempt.note(identities=runner.step("identities", steps.list_identities, storage, recipe, attempt.keys))
        return finish(storage, recipe, attempt, runner)


def choose_portraits(storage: Storage, recipe: Recipe, attempt: Attempt, runner: Runner) -> None:
    """From measured faces to portraits: `links` and `face_verdicts` of the attempt."""
    faces = MeasuredFaces(storage, recipe, attempt.keys["photos"])
    links = link_faces(storage, recipe, faces, runner)
    decision = Decision(storage, recipe, faces, links, runner)
    first = decision.first()
    attempt.note(links=links, face_verdicts=first)
    chosen = decision.candidates(first)
    faces.let_go()
    attempt.do(FACES_RENDER, chosen, runner)
    attempt.note(face_verdicts=decision.final())


def finish(storage: Storage, recipe: Recipe, attempt: Attempt, runner: Runner) -> str:
    """From portraits and a list of clips to a published snapshot; returns its id."""
    keys = attempt.keys
    attempt.do(SPEECH_MEASURE, keys["utterance_files"], runner)
    clips = runner.step("speech.decide", steps.decide_speech, storage, recipe, keys["utterance_files"])
    attempt.note(utterance_verdicts=clips)
    attempt.note(splits=runner.step("split", steps.split, storage, recipe, keys))
    if recipe.speech.pack.has_audio:
        attempt.do(SPEECH_AUDIO, runner.step("speech.packed", packing.packed_clips, storage, keys), runner)
    entries = _pack(storage, recipe, keys, runner)
    snapshot = runner.step("publish", packing.publish, storage, recipe, keys, entries)
    runner.published(storage, snapshot)
    return snapshot


def _pack(storage: Storage, recipe: Recipe, keys: Mapping[str, str], runner: Runner) -> list[dict[str, object]]:
    tasks = packing.plan_packing(storage, recipe, keys)
    told = {"storage": storage, "recipe": recipe, "keys": dict(keys)}
    entries: list[dict[str, object]] = []
    with runner.counting("pack", sum(map(len, tasks))) as advance:
        for packed in runner.each("pack", packing.pack_ranges, [{**told, "ranges": ranges} for ranges in tasks]):
            entries += [entry for entries_of_range in packed for entry in entries_of_range]
            advance(len(packed))
    return entries
