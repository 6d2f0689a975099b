"""Dataset versions: their shards, the samples in them, where the files came from, and what became of everything."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from voxdata.format.sidecar import SIDECAR as ON_DISK
from voxdata.format.sidecar import SOUND
from voxdata.tables.column import TEXTS, B, Column, I, L, S, Table, one_of
from voxdata.tables.faces import VERDICT
from voxdata.tables.people import AT, SPLIT, WHO
from voxdata.tables.speech import HOLDOUT

KIND = Column("kind", S, "faces or speech", required=True, check=one_of("faces", "speech"))
_KEY = Column("key", S, "WebDataset key: a face_id or an utterance_id", required=True, check="NOT contains({}, '.')")
_SPLIT = replace(SPLIT, required=True)
_TAR = Column("tar", S, "Shard that holds it", required=True)

_SHOWN = f"members[{{}}]['suffix'] NOT IN ('json', '{SOUND}')"
# What `fsspec.open` takes, the folder or bucket of the root before `shards/`.
URL = Column(
    "url",
    S,
    "Its picture or log-mel, below the root, as fsspec opens it: tar://KEY.SUFFIX::shards/TAR",
    computed=f"'tar://' || key || '.' || CASE WHEN {_SHOWN.format(1)} THEN members[1]['suffix'] "
    f"WHEN {_SHOWN.format(2)} THEN members[2]['suffix'] ELSE members[3]['suffix'] END || '::' || tar",
)

_MEMBERS = {
    "member": "File name in the tar",
    "suffix": "What its name has after the key",
    "offset": "Where its bytes begin in the tar",
    "size": "How many they are",
    "sha256": "sha256 of its bytes",
}
# Which columns there are, in which order, is the format's; the measurements of the sample's kind follow.
SIDECAR = Table(
    "sidecar",
    "The members of a shard",
    tuple(
        Column(name, kind, _MEMBERS[name]) if name in _MEMBERS else {"key": _KEY, "split": _SPLIT, "kind": KIND}[name]
        for name, kind in ON_DISK
    ),
)
# What the catalog reads of a sidecar.
SAMPLE_MEMBERS = Table("sample_members", SIDECAR.doc, (*SIDECAR.without("member"), *WHO, HOLDOUT))

SAMPLES = Table(
    "samples",
    "What the shards of the current snapshot hold: portraits and utterances",
    (
        KIND,
        _KEY,
        _SPLIT,
        *WHO,
        _TAR,
        Column(
            "members",
            pa.list_(pa.struct([("suffix", S), ("byte_offset", L), ("size_bytes", L)])),
            "Its files: suffix, place in the tar and size; their sha256 are in the sidecar",
            required=True,
        ),
        Column("size_bytes", L, "Sum of its files", required=True, check="{} > 0"),
        URL,
    ),
)

SHARDS = Table(
    "shards",
    "WebDataset tars, of every snapshot",
    (
        Column("snapshot_id", S, "Snapshot that lists it", required=True),
        replace(_TAR, doc="Key of the tar under the root"),
        Column("sidecar", S, "Key of its Parquet sidecar, one row per member", required=True),
        _SPLIT,
        KIND,
        Column(
            "first_bucket",
            I,
            "First of the identity buckets that it covers",
            required=True,
            check="{} BETWEEN 0 AND 4095",
        ),
        Column("last_bucket", I, "Last of them", required=True, check="{} BETWEEN first_bucket AND 4095"),
        Column("samples", L, "Samples in the tar", required=True, check="{} > 0"),
        Column("members", L, "Files in the tar", required=True, check="{} >= samples"),
        Column("size_bytes", L, "Size of the tar", required=True, check="{} > 0"),
        Column("sha256", S, "sha256 of the tar", required=True),
    ),
    key=("snapshot_id", "tar"),
)

SNAPSHOTS = Table(
    "snapshots",
    "Every dataset version under this root",
    (
        Column("snapshot_id", S, "Hash of the shard list and the recipe", required=True),
        Column("name", S, "Name in the recipe", required=True),
        Column("current", B, "Whether the other tables hold this snapshot", required=True),
        Column("published_at", S, "When it last became current, ISO 8601 in UTC; null if never"),
        Column(
            "tags",
            TEXTS,
            "Names that people gave it before the catalog was built; voxdata tag lists those of now",
            required=True,
        ),
        Column("identities", L, "People with portraits and utterances", required=True, check="{} >= 0"),
        Column("portraits", L, "Face samples", required=True, check="{} >= 0"),
        Column("utterances", L, "Speech samples", required=True, check="{} >= 0"),
        Column("recipe_hash", S, "Hash of the recipe's settings that can change a result", required=True),
        Column("recipe", S, "Those settings, as JSON", required=True),
        Column("code_version", S, "Version of the code that wrote it"),
    ),
    key=("snapshot_id",),
)

ABOUT = Table(
    "about",
    "One row: which schema this file has, and what its tables hold",
    (
        Column(
            "schema_version",
            I,
            "Version of these tables; code that expects another one refuses the file",
            required=True,
        ),
        Column(
            "snapshot_id",
            S,
            "Snapshot that faces, utterances and the other tables belong to; null for a build without a version",
        ),
        Column("recipe", S, "Settings that its faces and clips were decided with, as JSON", required=True),
    ),
    key=("schema_version",),
)

SOURCES = Table(
    "sources",
    "Folders and sites of the published recipe; empty where none was stated",
    (
        Column("source", S, "Name of the corpus in photos and utterances", required=True),
        Column("medium", S, "photos or speech", required=True, check=one_of("photos", "speech")),
        Column("kind", S, "Kind of source: folder or site"),
        Column("address", S, "Folder or site; a source_key continues it to the path or URL of one file", required=True),
        Column("host", S, "Host of a site; null for a folder"),
    ),
    key=("source", "medium"),
)

OUTCOMES = Table(
    "outcomes",
    "Faces and clips of each identity per source and outcome, counted when the catalog was built",
    (
        KIND,
        *WHO[:2],
        Column("source", S, "Name of the corpus; unknown where none is stated", required=True),
        VERDICT[0],
        Column(
            "outcome",
            S,
            "kept: a sample of the version; or the first rule that it failed",
            required=True,
        ),
        Column("items", L, "Faces or clips", required=True, check="{} > 0"),
        Column(
            "first_hashes",
            TEXTS,
            "First 8 digits of the three smallest photo_sha256; empty for speech",
            required=True,
        ),
    ),
    key=("kind", "identity", "source", "verdict", "outcome"),
)

PHOTO_HOSTS = Table(
    "photo_hosts",
    "Faces per outcome and the host, or the folder, that their photo came from, counted when the catalog was built",
    (
        Column("host", S, "Host of a url, address of a folder; where neither is known the source", required=True),
        OUTCOMES["outcome"],
        Column("items", L, "Faces", required=True, check="{} > 0"),
        Column("people", L, "People whom their photos are of", required=True, check="{} > 0"),
    ),
    key=("host", "outcome"),
)

REACHED = Column(
    "reached",
    I,
    "0: photos that could not be read or show no face, 1: faces too small to measure, 2: faces that were measured",
    required=True,
    check="{} BETWEEN 0 AND 2",
)
REJECTIONS = Table(
    "rejections",
    "Faces that each rule rejects of each identity, by how far they were measured, counted when the catalog was built",
    (
        *WHO[:2],
        REACHED,
        Column(
            "rule",
            S,
            "The rule, which may be one of several that a face failed; any: some rule that judges a face by itself; "
            "all: every face, rejected or not",
            required=True,
        ),
        Column("items", L, "Faces", required=True, check="{} > 0"),
    ),
    key=("identity", "person", "reached", "rule"),
)

_SNAPSHOT_ID = Column("snapshot_id", S, "The snapshot")

TAGS = Table("tags", "Names of snapshots", (Column("tag", S, "The name"), _SNAPSHOT_ID, AT))
# A snapshot became the current one; the highest `number` is current.
PUBLICATIONS = Table(
    "publications",
    "Snapshots that became the current one",
    (
        _SNAPSHOT_ID,
        Column("tables", S, "The Parquet files that its build decided on, JSON"),
        Column("recipe", S, "Key of its recipe with all sources"),
        Column("number", L, "Its place in the order of publications"),
        AT,
    ),
)
# Forgetting a person deletes them (`voxdata/forgetting/outputs.py`).
OUTPUTS = Table(
    "outputs",
    "Files made from a snapshot outside the shards",
    (Column("kind", S, "What it is"), Column("path", S, "Where it lies"), _SNAPSHOT_ID, AT),
)
