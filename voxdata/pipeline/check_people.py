"""Who of the people whom the sources of a recipe hold has what a sample needs, and what a build would say of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from voxdata.format.errors import BuildStoppedError, DecisionError, counted
from voxdata.people.identities import IdentityBook
from voxdata.people.names import fold_name, shown
from voxdata.people.optouts import opted_out
from voxdata.people.roll_call import Called, near
from voxdata.people.splits import ANOTHER_RULE
from voxdata.pipeline.findings import People, Said, Some, Someone
from voxdata.recipe.sections import Recipe
from voxdata.store.storage import Storage

NAMED = 8  # people in a list, the others are counted


@dataclass
class Photos:
    """How many photos a build takes of each person at most; of those with `videos` nobody can say."""

    counts: Counter[str] = field(default_factory=Counter)
    videos: set[str] = field(default_factory=set)

    def add(self, files: Mapping[str, int], most: int, *, several: bool) -> None:
        """What one source holds of each person, of which `most` are taken."""
        if several:
            self.videos.update(files)
        else:
            self.counts.update({person: min(count, most) for person, count in files.items()})

    def of(self, people: Collection[str]) -> dict[str, int]:
        """The numbers that are known."""
        return {person: self.counts[person] for person in people if person not in self.videos}


def who_can_be_used(
    recipe: Recipe,
    called: Mapping[str, Sequence[Called | None]],
    photos_of: Photos,
    book: IdentityBook,
    storage: Storage | None,
    said: Said,
) -> People:
    """Who has what a sample needs. `called` has the folders of each source by medium: `photos`, `speech`."""
    photos, speech = ([each for each in called[medium] if each is not None] for medium in ("photos", "speech"))
    shown_by, heard_by = _words(photos), _words(speech)
    if recipe.speech.select.unknown_identity == "reject" and book.by_id:
        strangers = {word for each in speech for word in each.new}
        known = {person: words for person, words in heard_by.items() if not strangers.issuperset(words)}
        if len(known) < len(heard_by):
            out = len(heard_by) - len(known)
            said.notes.append(
                f"speech.select.unknown_identity = reject leaves out {counted(out, 'person', 'people')} whom no table "
                "names"
            )
        heard_by = known
    both = {person for person in shown_by if person in heard_by} if speech else set(shown_by)
    gone = both & opted_out(storage, book) if storage is not None else set()
    people = People(
        usable=len(both - gone),
        photos_only=some(_lacking(shown_by, both), _pool(_lacking(heard_by, both))),
        speech_only=some(_lacking(heard_by, both), _pool(_lacking(shown_by, both))),
        opted_out=len(gone),
    )
    if all(each.files for each in (*photos, *speech)):  # else it was said that a source holds nothing
        _judge(recipe, people, photos_of.of(both - gone), said)
    _judge_splits(recipe, both - gone, book, said)
    return people


def _judge(recipe: Recipe, people: People, photos: Mapping[str, int], said: Said) -> None:
    """What the numbers of people and of their photos say about the end of a build."""
    needed = recipe.faces.select.min_per_identity
    few = sum(count < needed for count in photos.values())
    if people.opted_out and not people.usable:
        said.stops.append(BuildStoppedError(f"all {people.opted_out} people whom the sources hold opted out"))
    elif not people.usable:
        only = people.photos_only, people.speech_only
        said.stops.append(
            BuildStoppedError(
                f"nobody has both photos and speech: {counted(only[0].count, 'person has', 'people have')} photos "
                f"only ({only[0]}), "
                f"{only[1].count} speech only ({only[1]}); name both folders of a person alike, or name a table "
                "that has their ids and names with --set sources.metadata.path=FILE"
            )
        )
    elif few == people.usable:
        said.stops.append(
            BuildStoppedError(
                f"faces.select.min_per_identity = {needed}, and nobody has that many photos: the most are "
                f"{max(photos.values())}; add photos, or --set faces.select.min_per_identity=1"
            )
        )
    elif few:
        said.notes.append(
            f"{counted(few, 'person has', 'people have')} fewer photos than "
            f"faces.select.min_per_identity = {needed}: they stay out"
        )


def _judge_splits(recipe: Recipe, people: Collection[str], book: IdentityBook, said: Said) -> None:
    """The published rules of splits need what metadata tables say of everybody."""
    rule = recipe.splits.rule
    what = {"paper": "row", "released": "row", "vggface-vox1": "name"}.get(rule)
    if what is None or not people:
        return
    lacking = [each for each in people if getattr(book.described(each), what) in (None, "")]
    if not book.by_id:
        said.stops.append(
            DecisionError(
                f"splits.rule = {rule} goes by each person's {what} in a metadata table, and the recipe names none; "
                f"add --set sources.metadata.path=FILE, or --set {ANOTHER_RULE}"
            )
        )
    elif len(lacking) == len(people):
        said.stops.append(
            DecisionError(
                f"splits.rule = {rule}: none of the {len(people)} people who can be used has a {what} in the metadata "
                f"tables; add the table that has them with --set sources.metadata.path=FILE, or --set {ANOTHER_RULE}"
            )
        )
    elif lacking:
        said.notes.append(
            f"splits.rule = {rule}: {counted(len(lacking), 'person has', 'people have')} no {what} in the metadata "
            f"tables, the first is "
            f"{min(lacking)}; a build stops where one of them gets portraits: add them to the table, or --set "
            f"{ANOTHER_RULE}"
        )


def _words(called: Sequence[Called]) -> dict[str, list[str]]:
    """Person -> the words of all sources that stand for them."""
    found: dict[str, list[str]] = {}
    for each in called:
        for person, words in each.words.items():
            found.setdefault(person, []).extend(words)
    return found


def _lacking(words: Mapping[str, Sequence[str]], both: Collection[str]) -> list[str]:
    """The first word of each person who has one medium and not the other."""
    return [found[0] for person, found in words.items() if person not in both]


def _pool(words: Sequence[str]) -> dict[str, str]:
    return {fold_name(word): shown(word) for word in words}


def some(words: Sequence[str], people: Mapping[str, str]) -> Some:
    """The first of some folders, each with the `people` (folded name -> name) who may have been meant by it."""
    first = sorted(words)[:NAMED]
    return Some(count=len(words), first=[Someone(name=shown(word), near=near(word, people)) for word in first])
