"""The report's sections about the dataset as it is: its size, splits, versions."""

from __future__ import annotations

import json

from voxdata.catalog.query import SPLIT_SUMMARY, table_1
from voxdata.format.snapshot import SPLITS
from voxdata.pages.report.facts import Facts
from voxdata.pages.report.html import Html, element, join, note, scrolling, share, table


def tiles(facts: Facts) -> Html:
    """The dataset in six numbers."""
    totals = facts.totals()
    shown = [
        (f"{totals['people']:,}", "people"),
        (f"{totals['portraits']:,}", "portraits"),
        (f"{totals['utterances']:,}", "utterances"),
        (f"{totals['hours']:.2f}" if totals["hours"] < 10 else f"{totals['hours']:,.0f}", "hours of speech"),
        (f"{totals['photos']:,}", "photos looked at"),
        (share(totals["photos_used"], totals["photos"]), "of the photos gave a portrait"),
    ]
    cells = [element("div", element("b", value), element("span", label), class_="tile") for value, label in shown]
    return element("div", *cells, class_="tiles")


def splits(facts: Facts) -> Html:
    """Table 1 of the paper, and who is in each split."""
    summary = table_1(facts.rows(SPLIT_SUMMARY))
    rows = [[str(value) for value in row.values()] for row in summary.to_pylist()]
    by_sex = facts.people_by_sex()
    sexes = sorted({row["sex"] for row in by_sex})
    count = {(row["split"], row["sex"]): row["people"] for row in by_sex}
    named = [split for split in SPLITS if any(row["split"] == split for row in by_sex)]
    balance = [[split, *(f"{count.get((split, sex), 0):,}" for sex in sexes)] for split in named]
    words = {"f": "female", "m": "male"}
    return join(
        element("p", "As in Table 1 of the SF2F paper. A person is in one split only."),
        table("Table 1: the splits", list(summary.column_names), rows),
        element("h3", "People by sex, as the metadata says") if balance else None,
        table("People by sex", ["split", *(words.get(sex, sex) for sex in sexes)], balance) if balance else None,
    )


def versions(facts: Facts) -> Html:
    """Everything that names this dataset version."""
    snapshot = facts.snapshot
    named = [
        ["snapshot", snapshot.id if facts.left is None else "none, unpublished"],
        ["recipe", f"{snapshot.name}, hash {snapshot.recipe_hash}"],
        ["code", f"voxdata {snapshot.code_version}"],
        *([name, version] for name, version in sorted(snapshot.versions.items())),
        *(
            [row["name"], row["version"] or "unknown"]
            for row in facts.backends()
            if row["name"] not in snapshot.versions
        ),
        *(
            ["log-mels", f"{name}: {settings.get('n_mels', '?')} bins"]
            for name, settings in snapshot.front_ends.items()
        ),
    ]
    shards = [
        [
            shard.tar.rpartition("/")[2],
            f"{shard.samples:,}",
            f"{shard.bytes / 1e6:.2f}",
            shard.sha256[:16],
        ]
        for shard in snapshot.shards
    ]
    recipe = json.dumps(snapshot.recipe, indent=1, sort_keys=True, ensure_ascii=False)
    return join(
        table("Versions", ["what", "version"], named, numeric=False),
        element("h3", "Shards"),
        table("Shards", ["tar", "samples", "MB", "sha256 (first 16)"], shards)
        if shards
        else note("The snapshot has no shards."),
        _photos_by_source(facts),
        element(
            "details",
            element("summary", "The recipe, every setting that can change the result"),
            scrolling("pre", recipe, label="Recipe"),
        ),
    )


def _photos_by_source(facts: Facts) -> Html:
    """What licences the photos of each source have, and how many it has of a person."""
    licences = [
        [f"{row['source']}: {row['licence']}", *(f"{row[name]:,}" for name in ("photos", "portraits", "people"))]
        for row in facts.licences()
    ]
    yields = [
        [
            " ".join(name for name in (row["source"], row["kind"]) if name),
            *(f"{row[name]:,.0f}" for name in ("people", "least", "median", "most", "full_people")),
            f"{row['portraits']:.1f}",
        ]
        for row in facts.yields()
    ]
    columns = [
        "source",
        "people",
        "photos: least",
        "median",
        "most",
        f"with {facts.photos_wanted}",
        "portraits per person",
    ]
    return join(
        element("h3", "Licences of the photos, as their sources say"),
        table("Licences", ["source: licence", "photos", "portraits", "people"], licences)
        if licences
        else note("No photos."),
        element("h3", "Photos of each person, of every source"),
        table("Photos of each person", columns, yields) if yields else note("No photos."),
    )
