"""The datasheet of a snapshot in Markdown, under the seven headings of Gebru et al. (2021, "Datasheets for Datasets").

Every figure comes from the catalog. What a catalog cannot know (who paid, where it is published) is asked in italics,
for the publisher to answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from voxdata.catalog.rejections import APART, HOW, OF_PIXELS, rejections
from voxdata.exchange.export_facts import Facts, Row
from voxdata.exchange.export_texts import BIASES, LIMITATIONS, USES, collection, sensitive, whose_voice

MOST_ROWS = 15


def datasheet(facts: Facts) -> str:
    """Markdown of about two pages."""
    parts = [
        f"# {_text(facts.name)}",
        _summary(facts),
        "## Motivation",
        _ask("For which purpose was this version made, by whom, and who paid for it?"),
        "## Composition",
        *_composition(facts),
        "## Collection process",
        collection(facts.recipe, imported=facts.imported),
        *_collection(facts),
        "## Preprocessing, cleaning, labelling",
        *_preprocessing(facts),
        "## Uses",
        _bullets([*USES, *LIMITATIONS]),
        "## Distribution",
        *_distribution(facts),
        "## Maintenance",
        *_maintenance(facts),
    ]
    return "\n\n".join(parts) + "\n"


def _summary(facts: Facts) -> str:
    total = facts.rows["splits"][0]
    gone = (
        " People were forgotten since it was published, and their data was removed from it." if facts.redacted else ""
    )
    return (
        f"{_count(total['identities'])} people, {_count(total['images'])} portraits, {_count(total['utterances'])} "
        f"utterances ({facts.one('speech')['hours']:.3g} hours of speech{_heard(facts)}). "
        f"Snapshot `{facts.snapshot_id}`, published {facts.published_at or 'never'}.{gone}"
    )


def _heard(facts: Facts) -> str:
    """What is in it of the clips."""
    parts = {None: "", "whole": ", log-mels and the sound of whole clips", "speech": ", log-mels and its sound"}
    return parts[facts.audio_part]


def _composition(facts: Facts) -> list[str]:
    faces, speech, people = facts.one("faces"), facts.one("speech"), facts.one("per_person")
    splits = [
        [row["split"], _count(row["identities"]), _count(row["images"]), _count(row["utterances"])]
        for row in facts.rows["splits"]
    ]
    spread = ("least", "median", "most")
    portraits = [
        ["portraits per person", *(_number(people[name]) for name in spread)],
        ["side of a portrait", *(_number(faces[f"{name}_size_px"], " px") for name in spread)],
    ]
    measured = [
        ["face angle, median", _number(faces["median_face_angle_deg"], "°")],
        ["face angle, 95 % below", _number(faces["q95_face_angle_deg"], "°")],
        ["pupil distance in the photo, median", _number(faces["median_pupil_distance_px"], " px")],
        ["speech per utterance, median", _number(speech["median_speech_s"], " s")],
        ["signal to noise, median", _number(speech["median_snr_db"], " dB")],
        ["utterances held out of training", _count(speech["held_out"])],
    ]
    total, *of_split = (row["identities"] for row in facts.rows["splits"])
    again = sum(of_split) - total
    torn = {0: "nobody is", 1: "1 person is"}.get(again, f"{again} people are")
    of_sf2f = ", as SF2F released them" if again else ""
    return [
        f"An instance is a person with at least one portrait and one utterance; {torn} in two splits{of_sf2f}.",
        _table(["split", "people", "portraits", "utterances"], splits),
        _table(["", "least", "median", "most"], portraits),
        _table(["measured", ""], measured),
        "Sex, as the metadata tables say:",
        _table(["sex", "people"], ([row["sex"], _count(row["people"])] for row in facts.rows["sexes"])),
        "Nationality, as the metadata tables say (VoxCeleb2 has none):",
        _counted(facts.rows["nationalities"], "nationality", "people"),
        _bullets([*BIASES, *sensitive(facts.audio_part)]),
    ]


def _collection(facts: Facts) -> list[str]:
    faces, speech = facts.one("faces"), facts.one("speech")
    imported = (
        f"{_count(faces['imported'])} of {_count(faces['portraits'])} portraits and {_count(speech['imported'])} of "
        f"{_count(speech['utterances'])} utterances were imported as others made them; their measurements are unknown."
    )
    rows = ([row["source"], row["licence"], _count(row["portraits"])] for row in facts.rows["licences"])
    return [imported, _table(["kind of source", "licence of the photos, as stated", "portraits"], rows)]


def _preprocessing(facts: Facts) -> list[str]:
    funnel = ([r["kind"], r["outcome"], _count(r["items"]), _count(r["people"])] for r in facts.rows["funnel"])
    ends = [
        [name, str(said.get("n_mels")), "imported" if said.get("imported") else str(said.get("vad", "")), _norm(said)]
        for name, said in sorted(facts.front_ends.items())
    ]
    makers = (
        [
            " ".join(_known(row["backend"], row["backend_version"])),
            " ".join(_known(row["matting_backend"], row["matting_version"])),
        ]
        for row in facts.rows["makers"]
    )
    return [
        "Every item that was looked at, by what became of it: `kept`, or the first rule that rejected it. Rejected "
        "items are in the catalog with all measurements.",
        _table(["kind", "outcome", "items", "people"], funnel),
        *_rejected(facts),
        whose_voice(facts.recipe),
        _table(["faces measured by", "cut out by"], makers),
        _table(["log-mel front end", "bands", "voice activity", "normalisation"], ends),
        f"{_count(facts.one('withheld')['reviews'])} human reviews acted on the choice, without those that were taken "
        "back.",
    ]


def _rejected(facts: Facts) -> list[str]:
    """Whom the rules reject: a table per trait that is known of anybody, and the rules that are uneven."""
    found = rejections(facts.rows["rejections"])
    if not found:
        return []
    parts = [f"{HOW} {OF_PIXELS} All groups: `voxdata sql --query rejects-by-group`."]
    for each in found:
        parts += [f"By {each.trait}:", _table(each.heading, each.rows)]
        parts += [APART + ("; ".join(map(_text, each.uneven)) or "none") + "."]
    return parts


def _distribution(facts: Facts) -> list[str]:
    named = ", ".join(map(_text, facts.licences)) or "unknown"
    authors = facts.rows["authors"]
    return [
        f"Licences of the photos, as their sources state them: {named}. Each row carries its own; a recording's rights "
        "stay with its publisher.",
        *(_attributions(authors) if authors else []),
        _ask("Under which terms is this version given away, and to whom?"),
    ]


def _attributions(authors: Sequence[Row]) -> list[str]:
    rows = [[row["author"], row["licence"], _count(row["portraits"])] for row in authors[:MOST_ROWS]]
    rest = authors[MOST_ROWS:]
    rows += [[f"{len(rest)} others", "", _count(sum(row["portraits"] for row in rest))]] if rest else []
    return [
        f"{_count(sum(row['portraits'] for row in authors))} portraits are cut from photos whose authors are known. "
        "Many of their licences want the author named wherever a copy goes: exports have `attributions.csv`, and "
        "`voxdata sql --query attributions` lists everybody, with the page of each photo.",
        _table(["author", "licence", "portraits"], rows),
    ]


def _maintenance(facts: Facts) -> list[str]:
    withheld = facts.one("withheld")
    return [
        f"Made by voxdata {_text(facts.code_version)} from the recipe `{facts.recipe_hash}`; the same sources and "
        "recipe give the same bytes.",
        f"{_count(withheld['forgotten'])} people were forgotten and {_count(facts.optouts)} opted out. Forgetting "
        "a person deletes this export where it was written, and publishes a version without them; who holds a copy "
        "must be told.",
        _ask("Whom can people in the dataset ask to be removed, and how?"),
    ]


def _norm(said: Mapping[str, Any]) -> str:
    found = said.get("normalisation") or {}
    if "mean" not in found:
        return "unknown"
    return f"{found.get('kind', '')}, mean {found['mean']:.4f}, std {found['std']:.4f} ({found.get('source', '')})"


def _counted(rows: Sequence[Row], name: str, count: str) -> str:
    shown = [[row[name], _count(row[count])] for row in rows[:MOST_ROWS]]
    rest = rows[MOST_ROWS:]
    shown += [[f"{len(rest)} others", _count(sum(row[count] for row in rest))]] if rest else []
    return _table([name, count], shown)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [[_text(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in [list(head), ["---"] * len(head), *lines])


def _text(value: object) -> str:
    """Text of a source as Markdown shows it: on one line, without what would be markup."""
    return re.sub(r"([\\`*_{}\[\]<>#|!~])", r"\\\1", " ".join(str(value).split()))


def _known(*values: object) -> list[str]:
    return [str(value) for value in values if value is not None]


def _bullets(texts: Iterable[str]) -> str:
    return "\n".join(f"- {text}" for text in texts)


def _ask(question: str) -> str:
    return f"*Not in the catalog: {question}*"


def _count(value: int | None) -> str:
    return f"{value or 0:,}"


def _number(value: float | None, unit: str = "") -> str:
    return "unknown" if value is None else f"{value:.4g}{unit}"
