"""faces.decide and faces.candidates over a root: which faces are portraits, range by range.

    judged, by range  ->  what several people share  ->  ranked, by range  ->  first verdicts  ->  candidates

Measurements stay with the workers: the process of the flow sees what passes and shares a photo, and puts the verdicts
together piece by piece (`ranges.py`). The final verdicts are made of the first ones and of what became of the
candidates, and no measurement is read again, unless somebody has said something in between. A root with few faces is
decided in one step. The verdicts are the same either way, but for the order of their rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from voxdata.faces.decide import before_renders, judged, ranked, refuse_unmeasured, with_renders
from voxdata.faces.ownership import Shared, claims
from voxdata.faces.reviewed import people_named
from voxdata.format.digests import digest
from voxdata.people.merging import ALIASES, aliases_in_force, with_persons
from voxdata.pipeline.measured import OF_PERSON, MeasuredFaces, decided_by, face_rows, render_states
from voxdata.pipeline.ranges import (
    Range,
    aside,
    bucket_ranges,
    deleted,
    is_few,
    of_range,
    pieces,
    put_together,
    ranged,
    ranges_of,
)
from voxdata.pipeline.runner import Runner
from voxdata.pipeline.stages import FACES_MEASURE, FACES_RENDER
from voxdata.pipeline.steps import DECISION_VERSION, commit_once, journalled, key_of
from voxdata.recipe.sections import Recipe
from voxdata.store.fragments import commit_pieces, commit_table, part_bytes
from voxdata.store.locks import building
from voxdata.store.patience import patiently
from voxdata.store.storage import Storage
from voxdata.store.stored_table import read_table
from voxdata.tables.faces import FOR_LINKS
from voxdata.tables.schemas import FACE_VERDICTS

FIRST, CANDIDATES = "faces.decide", "faces.candidates"
_KEPT = pa.array([], pa.string())


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What people said: reviews, who opted out or is being forgotten, and whom the names in reviews mean."""

    reviews: pa.Table | None
    named: Mapping[str, str]
    opted_out: frozenset[str]
    forgotten: frozenset[str]

    @property
    def told(self) -> dict[str, Any]:
        """As `decide.judged` takes them."""
        return vars(self)


@dataclass(frozen=True, kw_only=True)
class JudgedRange:
    """What a worker has found of a range: what `Shared` asks for, and what refusals go by."""

    number: int
    claims: pa.Table
    counts: Counter[str]


class Decision:
    """The verdicts on the measured faces of a manifest of photos, with their links."""

    def __init__(self, storage: Storage, recipe: Recipe, faces: MeasuredFaces, links_key: str, runner: Runner) -> None:
        self._storage = storage
        self._recipe = recipe
        self._faces = faces
        self._links = links_key
        self._runner = runner

    def first(self) -> str:
        """The key of the verdicts that name the candidates (`schemas.FACE_VERDICTS`)."""
        facts = self._facts()
        return self._first(self._key(facts, rendered=False), facts)

    def final(self) -> str:
        """The key of the verdicts that know which candidates were rendered."""
        facts = self._facts()
        key, before = (self._key(facts, rendered=rendered) for rendered in (True, False))
        if self._storage.exists(key):
            return key
        known = self._recipe.faces.select.reviewed != "required" or before in self._faces.kept
        if not (known and self._storage.exists(before)):
            self._first(before, facts, anew=True)
        return self._runner.step(FIRST, self._final, before, key, None)

    def assumed(self, renders: pa.Table) -> str:
        """The key of final verdicts where the candidates have these `face_id` and `render_status`."""
        facts = self._facts()
        before = self._first(self._key(facts, rendered=False), facts)
        if before not in self._faces.kept and self._recipe.faces.select.reviewed == "required":
            self._first(before, facts, anew=True)
        name = digest([before, renders["face_id"].to_pylist(), renders["render_status"].to_pylist()])
        key = f"fragments/faces.preview/{name}.parquet"
        return self._runner.step(FIRST, self._final, before, key, renders)

    def candidates(self, verdicts_key: str) -> str:
        """The key of the face rows that are to be rendered: the best 2 x cap of each person."""
        key = key_of(CANDIDATES, [self._faces.photos_key, verdicts_key])
        if self._storage.exists(key):
            return key
        found = self._chosen(verdicts_key)
        depends = [self._faces.photos_key, verdicts_key]
        return self._runner.step(CANDIDATES, commit_once, self._storage, CANDIDATES, depends, lambda: found)

    def _facts(self) -> Facts:
        reviews, opted_out, forgotten = journalled(self._storage, self._recipe, self._faces.photos_key)
        named: Mapping[str, str] = {}
        if reviews is not None and reviews.num_rows:
            photos = read_table(self._storage, self._faces.photos_key, list(OF_PERSON))
            named = people_named(with_persons(photos, aliases_in_force(self._storage)), reviews)
        return Facts(reviews=reviews, named=named, opted_out=opted_out, forgotten=forgotten)

    def _key(self, facts: Facts, *, rendered: bool) -> str:
        settings = self._recipe.faces.model_dump(mode="json")
        said = [facts.reviews.to_pylist() if facts.reviews is not None else None]
        said += [sorted(facts.opted_out), sorted(facts.forgotten)]
        rendering = FACES_RENDER.fingerprint(self._recipe)
        return key_of(FIRST, [self._links, settings, DECISION_VERSION, rendered, rendering, *said])

    def _first(self, key: str, facts: Facts, *, anew: bool = False) -> str:
        if self._storage.exists(key) and not anew:
            return key
        if is_few(self._storage, self._faces.photos_key):
            return self._runner.step(FIRST, self._at_once, key, facts)
        return self._in_ranges(key, facts)

    def _at_once(self, key: str, facts: Facts) -> str:
        verdicts, kept = before_renders(
            self._faces.for_decision,
            read_table(self._storage, self._links),
            self._recipe.faces,
            reviews=facts.reviews,
            opted_out=facts.opted_out,
            forgotten=facts.forgotten,
        )
        self._faces.kept[key] = kept
        return commit_table(self._storage, FIRST, _name(key), verdicts.sort_by("item_id"))

    def _in_ranges(self, key: str, facts: Facts) -> str:
        storage, recipe, runner = self._storage, self._recipe, self._runner
        ranges = bucket_ranges(storage, self._faces.buckets())
        rows = [aside(key, "judged", places) for places in ranges]
        parts = [aside(key, "ranked", places) for places in ranges]
        with (
            building(storage, "a dry run"),  # a build holds it: what lies aside is one's own, and forgetting waits
            deleted(storage, [*rows, *parts]),
            runner.counting(FIRST, 2 * len(ranges)) as advance,
        ):

            def each(function: Any, calls: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
                for done in runner.each(FIRST, function, calls):
                    advance(1)
                    yield done

            told = {"storage": storage, "recipe": recipe}
            asked = {**told, "photos_key": self._faces.photos_key, "links_key": self._links, "facts": facts}
            calls = [
                {**asked, "places": places, "number": number, "aside": rows[number]}
                for number, places in enumerate(ranges)
            ]
            found = sorted(each(judge, calls), key=lambda each: each.number)
            refuse_unmeasured(sum((each.counts for each in found), Counter()), recipe.faces)
            shared = runner.step(FIRST, Shared.of, [each.claims for each in found])
            del found
            calls = [
                {**told, "aside": rows[number], "number": number, "shared": shared, "ranked_as": parts[number]}
                for number in range(len(ranges))
            ]
            kept = [array for _, array in sorted(each(rank, calls), key=lambda each: each[0])]
            self._faces.kept[key] = pa.concat_arrays([_KEPT, *kept])
            return runner.step(FIRST, put_together, storage, FIRST, _name(key), FACE_VERDICTS, ranges, parts)

    def _final(self, before: str, key: str, renders: pa.Table | None) -> str:
        """`with_renders` of each range; without `renders`, of what has become of the candidates."""
        if renders is None:
            first = read_table(self._storage, before, ["face_id", "candidate"])
            renders = render_states(self._storage, self._recipe, first.filter(pc.field("candidate")))
        kept, select = self._faces.kept.get(before, _KEPT), self._recipe.faces.select
        tables = pieces(self._storage, before)
        found = (with_renders(rows, select, renders, kept).sort_by("item_id") for rows in tables)
        schema = ranged(FACE_VERDICTS, ranges_of(self._storage, before))
        return commit_pieces(self._storage, key.split("/")[1], _name(key), schema, found)

    def _chosen(self, verdicts_key: str) -> pa.Table:
        """The measured rows of candidates, without what links are made of."""
        verdicts = read_table(self._storage, verdicts_key, ["face_id", "bucket", "candidate"])
        verdicts = verdicts.filter(pc.field("candidate"))
        if is_few(self._storage, self._faces.photos_key):
            rows = self._faces.for_decision
            rows = rows.select([name for name in rows.column_names if name not in FOR_LINKS])
            chosen = pc.is_in(rows["face_id"], value_set=pc.unique(verdicts["face_id"]))
            return rows.filter(chosen).sort_by("item_id")
        told = {"storage": self._storage, "recipe": self._recipe, "photos_key": self._faces.photos_key}
        buckets, calls = verdicts["bucket"].combine_chunks(), []
        for places in bucket_ranges(self._storage, self._faces.buckets()):
            here = (
                verdicts["face_id"].combine_chunks().filter(pc.is_in(buckets, value_set=pa.array(places, pa.int32())))
            )
            if len(here):
                calls.append({**told, "places": places, "faces": here})
        with self._runner.counting(CANDIDATES, len(calls)) as advance:
            found = []
            for table in self._runner.each(CANDIDATES, choose, calls):
                found.append(table)
                advance(1)
        return pa.concat_tables(found).sort_by("item_id") if found else self._faces.none()


def judge(
    storage: Storage,
    recipe: Recipe,
    photos_key: str,
    links_key: str,
    facts: Facts,
    places: Range,
    number: int,
    aside: str,
) -> JudgedRange:
    """`decide.judged` of the faces that lie in the buckets `places`, which goes to the table `aside`. Runs in a worker
    process."""
    with storage.listed(FACES_MEASURE.store(storage, recipe).folder, ALIASES):
        faces = patiently(lambda: face_rows(storage, recipe, photos_key, decided_by(recipe), places))
    links = patiently(lambda: of_range(storage, links_key, places))
    found = judged(faces, links, recipe.faces, **facts.told)
    data = part_bytes(found.rows)
    patiently(lambda: storage.commit(aside, data))
    return JudgedRange(number=number, claims=claims(found.rows), counts=found.counts)


def rank(
    storage: Storage, recipe: Recipe, aside: str, number: int, shared: Shared, ranked_as: str
) -> tuple[int, pa.Array]:
    """`decide.ranked` of a range, committed as the table `ranked_as`; the faces that reviewers keep. Runs in a worker
    process."""
    rows = patiently(lambda: read_table(storage, aside))
    verdicts, kept = ranked(rows, shared, recipe.faces)
    data = part_bytes(verdicts.sort_by("item_id"))
    patiently(lambda: storage.commit(ranked_as, data))
    return number, kept


def choose(storage: Storage, recipe: Recipe, photos_key: str, places: Range, faces: pa.Array) -> pa.Table:
    """The measured rows of these faces, which lie in the buckets `places`. Runs in a worker process."""
    columns = [name for name in decided_by(recipe) if name not in FOR_LINKS]
    with storage.listed(FACES_MEASURE.store(storage, recipe).folder, ALIASES):
        rows = patiently(lambda: face_rows(storage, recipe, photos_key, columns, places))
    return rows.filter(pc.is_in(rows["face_id"], value_set=faces))


def _name(key: str) -> str:
    return key.rpartition("/")[2].removesuffix(".parquet")
