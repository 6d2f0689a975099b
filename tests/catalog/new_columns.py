"""Run the program with columns that are declared nowhere but in `voxdata/tables/`, and print what became of them.

python tests/catalog/new_columns.py ROOT, in a process of its own: the declarations are read before anything else.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

ADDED = {  # after this column of this module stands a new one
    ("faces", 'Column("face_share"'): 'Column("freckle_px", F, "Size of a freckle", "Freckle"),',
    ("faces", 'Column("cluster_people"'): 'Column("kinship", F, "Cousins\' share", "Kinship"),',
    ("faces", 'Column("candidate"'): 'Column("applause_db", F, "How loud they clapped", "Applause", "{} < 100"),',
    ("faces", 'Column("format"'): 'Column("frame", S, "Frame around the portrait"),',
    ("speech", 'Column("snr_db"'): 'Column("echo_s", F, "Length of the echo", "Echo"),',
}
VALUES = {"freckle_px": 3.0, "kinship": 0.25, "applause_db": 60.0, "frame": "oak", "echo_s": 1.5}


def declare() -> None:
    for name in ("faces", "speech"):
        spec = importlib.util.find_spec(f"voxdata.tables.{name}")
        assert spec is not None
        assert spec.origin is not None
        lines = Path(spec.origin).read_text(encoding="utf-8").splitlines()
        for (module, start), column in ADDED.items():
            if module == name:
                (place,) = [n for n, line in enumerate(lines) if line.strip().startswith(start)]
                lines.insert(place, f"        {column}")
        made = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = made
        exec(compile("\n".join(lines), spec.origin, "exec"), made.__dict__)


def said(root: str) -> dict[str, Any]:
    import small_root

    from voxdata.catalog.document import document
    from voxdata.catalog.query import open_readonly
    from voxdata.faces.columns import FACES
    from voxdata.pages.report.measures import FACE_MEASURES, SPEECH_MEASURES
    from voxdata.shards.sidecars import FACE_SIDECAR, SPEECH_SIDECAR
    from voxdata.store.storage import open_storage
    from voxdata.tables import schemas

    faces, clips = small_root.faces, small_root.clips
    small_root.faces = lambda n: [{**row, **VALUES} for row in faces(n)]
    small_root.clips = lambda n: [{**row, **VALUES} for row in clips(n)]
    storage = open_storage(root, create=True)
    small_root.SmallRoot(storage).publish()
    with open_readonly(storage) as connection:
        columns = connection.execute(
            "SELECT column_name, table_name, data_type, comment FROM duckdb_columns() "
            f"WHERE column_name IN {tuple(VALUES)} ORDER BY ALL"
        ).fetchall()
        checks = connection.execute("SELECT constraint_text FROM duckdb_constraints() WHERE table_name = 'faces'")
        checked = [text for (text,) in checks.fetchall() if "applause_db" in text]
        values = connection.execute("SELECT freckle_px, kinship, applause_db, frame FROM portraits").fetchall()
        echoes = connection.execute("SELECT DISTINCT echo_s FROM speech").fetchall()
    tables = {name: getattr(schemas, name) for name in ("LINKS", "FACE_VERDICTS", "RENDERS", "UTTERANCES")}
    tables |= {"FACES": FACES.schema, "FACE_SIDECAR": FACE_SIDECAR, "SPEECH_SIDECAR": SPEECH_SIDECAR}
    page = document().splitlines()
    return {
        "arrow": {name: [new for new in VALUES if new in schema.names] for name, schema in tables.items()},
        "columns": columns,
        "checked": checked,
        "values": [sorted(set(values)), echoes],
        "page": sorted(line for line in page if line.startswith("| ") and line.split()[1] in VALUES),
        "labels": [[m.label, m.say(2)] for m in (*FACE_MEASURES, *SPEECH_MEASURES) if m.key in VALUES],
    }


if __name__ == "__main__":
    declare()
    print(json.dumps(said(sys.argv[1])))
