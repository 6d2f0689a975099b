"""Who is who: identities, the persons above them, and what they asked for."""

from __future__ import annotations

from dataclasses import replace

from voxdata.format.snapshot import SPLITS as SPLIT_NAMES
from voxdata.tables.column import Column, F, I, L, S, Table, one_of

IDENTITY = Column("identity", S, "VoxCeleb id or folder name", required=True)
PERSON = Column("person", S, "Canonical person above the identity", required=True)
BUCKET = Column("bucket", I, "Hash bucket of the person", required=True, check="{} BETWEEN 0 AND 4095")
WHO = (IDENTITY, PERSON, BUCKET)
WHOSE = tuple(replace(column, catalog=False) for column in WHO)  # of a row that the catalog joins to one with `WHO`

FACT = Column("fact", S, "Name of the journal file", required=True)
AT = Column("at", S, "When, ISO 8601 in UTC", required=True)
STATED_AT = replace(AT, name="stated_at")  # in the catalog, of every journal
SPLIT = Column("split", S, "train, val or test", check=one_of(*SPLIT_NAMES))

# Everyone whom the sources or the metadata name.
IDENTITIES = Table(
    "identities",
    "Everyone whom the sources or the metadata of the build name",
    (
        IDENTITY,
        replace(PERSON, doc="Canonical person above the identity; buckets and splits go by it"),
        replace(BUCKET, doc="sha256(person) mod 4096"),
        Column("name", S, "Name in the metadata"),
        Column("sex", S, "m, f or unknown, as the metadata says", check=one_of("m", "f", "unknown")),
        Column("nationality", S, "As the metadata says; VoxCeleb2 has none: unknown"),
        Column("published_set", S, "dev or test, as the metadata says"),
        Column(
            "skin_tone_stated_deg",
            F,
            "Individual typology angle of the skin as the metadata says, -90 to 90; those of simulated people say it",
        ),
        Column("metadata_row", L, "Line in its metadata table, from 0; the paper's split goes by it", check="{} >= 0"),
    ),
    key=("identity",),
)
SPLITS = Table(
    "splits",
    "The split of each person with portraits and utterances",
    (
        Column("identity", S, "Whose split it is; null: of every identity of the person"),
        PERSON,
        replace(SPLIT, doc="Split of the person; null for people without portraits and utterances"),
    ),
)
IDENTITIES_TABLE = replace(IDENTITIES, columns=(*IDENTITIES.columns, *SPLITS.without("identity", "person")))

_REASON = Column("reason", S, "Why")

# Whether an identity and a person are one.
ALIASES = Table(
    "aliases",
    "Identities that are the same person as another one",
    (
        IDENTITY,
        replace(PERSON, doc="Canonical person"),
        Column("evidence", S, "Why they are one"),
        Column("decision", S, "confirmed or refused", catalog=False),
        replace(AT, catalog=False),
    ),
    key=("identity",),
)
ALIASES_TABLE = replace(
    ALIASES,
    columns=(
        *ALIASES.without(),
        Column(
            "origin",
            S,
            "shipped with the code, or stated in this root's journal",
            required=True,
            check=one_of("shipped", "journal"),
        ),
    ),
)

# Names that mean several people at a source of photos, for a person to decide; kept as `photos/names`.
CRAWL_NAMES = Table(
    "crawl_names",
    "People whom a name of ours may mean at a source",
    (
        Column("source", S, "Corpus and source that was asked"),
        replace(IDENTITY, doc="Whom we look for"),
        Column("name", S, "The name that was asked for"),
        Column("choice", S, "Id of somebody of that name at the source"),
        Column("label", S, "What the source calls them"),
        Column("description", S, "What the source says of them"),
    ),
)
# What a person said of such a name; kept as `photos/decided`.
CRAWL_CHOICES = Table(
    "crawl_choices",
    "Who is meant by a name at a source, as a person has said",
    (
        replace(IDENTITY, doc="Whom we look for"),
        Column("choice", S, "Id of who is meant at the source; empty: nobody there"),
        AT,
    ),
)

OPTOUTS = Table(
    "optouts",
    "People who asked not to be used",
    (
        replace(PERSON, doc="Canonical person or identity"),
        _REASON,
        Column(
            "decision",
            S,
            "opted_out, or withdrawn: taken back; null means opted_out; the last word counts",
            check=one_of("opted_out", "withdrawn"),
        ),
        AT,
    ),
)
# Words and contents are JSON lists of keyed hashes (`voxdata/people/tombstones.py`).
TOMBSTONES = Table(
    "tombstones",
    "Forgotten people, who must not come back",
    (
        replace(PERSON, doc="Keyed hash of the canonical person, who is not named anywhere"),
        Column("words", S, "Keyed hashes of the person's names, JSON", catalog=False),
        Column("contents", S, "Keyed hashes of the person's files, JSON", catalog=False),
        _REASON,
        AT,
    ),
    key=("person",),
)


def stated(journal: Table) -> Table:
    """The table of the catalog that holds the facts of a journal."""
    return replace(journal, columns=(FACT, *journal.columns[:-1], STATED_AT), key=("fact",))


OPTOUTS_TABLE = stated(OPTOUTS)
TOMBSTONES_TABLE = replace(TOMBSTONES, columns=(*TOMBSTONES.without("at"), STATED_AT))
